"""Which choices a claim's test leaves open, and every specification that they make together.

A choice is listed where another analyst could make it as well: it measures what the claim speaks
of, and its test holds its level. Left out, with the reason:

- the arm: it is another question, not another way to ask the same one;
- plug-in mutual information, whose bias grows as labels disagree; and the jackknife of mutual
  information given the label: at 10 classes and 900 images it is .025 to .033 bits too high at 91 %
  accuracy and .007 to .017 at 97 %, so it moves with the very accuracy that the gap is made of;
- both measures on the same test images, for an association: it finds their common noise.

What the published study computed is shown beside, marked, one departure at a time; it counts in
no summary, for augmentation moves it mechanically. For H3b so are measures that share accuracy
with the gap.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Final

from analyze.hypotheses import STRENGTH
from analyze.metrics.attention_variants import ADJUSTED, PLAIN
from analyze.metrics.information import Estimator, choose_estimator, second_estimator
from analyze.metrics.label_variants import PROBABILITIES
from analyze.metrics.masking import AboveTau, Threshold, TopCells
from analyze.metrics.variants import variant_name
from analyze.questions import Question
from analyze.results import Standing
from store.design import Design
from store.measures import BY_NAME
from store.sections import Attention
from store.vocabulary import AttentionMethod

TAUS: Final = (0.2, 0.3, 0.4, 0.5, 0.6)
TOP_PERCENTS: Final = (10, 20, 30)

_GAP: Final = "generalization_gap"
BEST_EPOCH_GAP: Final = variant_name(_GAP, "best_epoch")
"""Clean training accuracy at the last epoch less test accuracy at the epoch where that is best."""

_GIVEN_LABEL: Final = "conditional_mutual_information_bits"
_INFORMATION: Final = "mutual_information_bits"
_SECOND: Final = "mutual_information_second_bits"
_MAPS: Final = {
    AttentionMethod.CAM_LABEL: "label’s class",
    AttentionMethod.CAM_PREDICTED: "predicted class",
    AttentionMethod.CAM_SUM: "sum over classes",
    AttentionMethod.GRADCAM: "Grad-CAM",
    AttentionMethod.ROLLOUT: "class token, all layers",
    AttentionMethod.CLASS_TOKEN: "class token, last layer",
}
_SHORT: Final = {
    Estimator.JACKKNIFE: "jackknife",
    Estimator.MILLER_MADOW: "Miller-Madow",
    Estimator.CHAO_SHEN: "Chao-Shen",
    Estimator.PLUG_IN: "plug-in",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One option of a choice."""

    name: str
    title: str
    standing: Standing = Standing.COUNTED


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One choice that an analyst has to make."""

    name: str
    title: str
    options: tuple[Option, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One side of a claim, its outcome or its predictor, with one option of each of its choices.

    column: in ``measures``, or the name of a variant. measure: of ``measures``, whose unit and
    halves it has. sign: -1 where the column rises as what the claim speaks of falls. declared:
    whether the claim itself names it.
    """

    column: str
    measure: str
    options: tuple[str, ...]
    standing: Standing = Standing.COUNTED
    sign: int = 1
    declared: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """All variants of a claim's outcome or predictor."""

    choices: tuple[Choice, ...] = ()
    variants: tuple[Variant, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One specification before it is tested. predictor: None where it is strength."""

    outcome: Variant
    predictor: Variant | None

    @property
    def options(self) -> tuple[str, ...]:
        """One option of every choice, the outcome's choices first."""
        return (*self.outcome.options, *(self.predictor.options if self.predictor else ()))

    @property
    def standing(self) -> Standing:
        """Counted where both sides are."""
        standings = {side.standing for side in self.sides}
        marked = [s for s in (Standing.COUPLED, Standing.PUBLISHED) if s in standings]
        return marked[0] if marked else Standing.COUNTED

    @property
    def declared(self) -> bool:
        """Whether it is what the claim declares."""
        return all(side.declared for side in self.sides)

    @property
    def sides(self) -> tuple[Variant, ...]:
        """Outcome and, of an association, predictor."""
        return (self.outcome, self.predictor) if self.predictor else (self.outcome,)


def thresholds_of(attention: Attention) -> tuple[Threshold, ...]:
    """Every threshold that masks are made at, the study's own among them."""
    taus = sorted({*TAUS, attention.tau})
    return (*(AboveTau(tau) for tau in taus), *(TopCells(percent) for percent in TOP_PERCENTS))


def sides_of(question: Question, design: Design, *, classes: int) -> tuple[Side, Side]:
    """Outcome's and predictor's choices of a claim; the second is empty for a trend."""
    outcomes = tuple(part.outcome for part in question.parts)
    predictor = question.parts[0].predictor
    return (
        _side(outcomes, design, classes=classes),
        Side()
        if predictor == STRENGTH
        else _side((predictor,), design, classes=classes, beside=outcomes),
    )


def ways_of(outcome: Side, predictor: Side) -> tuple[Way, ...]:
    """Every specification: all pairs of counted variants, and the marked ones one at a time.

    A marked variant goes with what the claim declares for the other side; the published forms of
    both sides also go with each other.
    """
    pairs = product(outcome.variants, predictor.variants or (None,))
    return tuple(Way(outcome=one, predictor=other) for one, other in pairs if _kept(one, other))


def _kept(outcome: Variant, predictor: Variant | None) -> bool:
    if predictor is None:
        return True
    marked = [v for v in (outcome, predictor) if v.standing is not Standing.COUNTED]
    if len(marked) == 2:
        return all(v.column == v.measure and "published" in v.column for v in marked)
    other = outcome if marked == [predictor] else predictor
    return not marked or other.declared


def _side(
    declared: tuple[str, ...],
    design: Design,
    *,
    classes: int,
    beside: tuple[str, ...] = (),
) -> Side:
    """Return the choices of one measure, or of a claim's two outcomes.

    beside: the outcomes, where the side is a predictor.
    """
    if declared == (ADJUSTED,):
        return _attention_side(design.attention)
    if declared == (_GAP,):
        return _gap_side()
    return _label_side(
        declared, classes=classes, teachers=design.deciding_ensemble, coupled=_GAP in beside
    )


def _attention_side(attention: Attention) -> Side:
    thresholds = thresholds_of(attention)
    declared = AboveTau(attention.tau)
    corrections = ((PLAIN, "plain"), (ADJUSTED, "adjusted"))
    counted = tuple(
        _overlap(method, threshold, measure, name, attention)
        for method, threshold, (measure, name) in product(attention.kept, thresholds, corrections)
    )
    published = _published(ADJUSTED, (str(attention.published), declared.name, "published"))
    return Side(
        choices=(
            Choice(
                name="map",
                title="Attention map of",
                options=tuple(Option(name=str(m), title=_MAPS[m]) for m in attention.kept),
            ),
            Choice(
                name="threshold",
                title="Cells attended to",
                options=tuple(Option(name=t.name, title=t.title) for t in thresholds),
            ),
            Choice(
                name="overlap",
                title="Overlap",
                options=(
                    Option(name="plain", title="IoU"),
                    Option(name="adjusted", title="IoU above chance"),
                    Option(
                        name="published",
                        title="IoU pooled over augmented images",
                        standing=Standing.PUBLISHED,
                    ),
                ),
            ),
        ),
        variants=(*counted, *published),
    )


def _overlap(
    method: AttentionMethod, threshold: Threshold, measure: str, name: str, attention: Attention
) -> Variant:
    """Return one way to measure the overlap; the study's own stands in ``measures``."""
    own = method is attention.primary and threshold == AboveTau(attention.tau)
    return Variant(
        column=measure if own else variant_name(measure, str(method), threshold.name),
        measure=measure,
        options=(str(method), threshold.name, name),
        declared=own and measure == ADJUSTED,
    )


def _gap_side() -> Side:
    """Accuracy or loss at the last epoch; the store has no clean training answers of others."""
    marked = Standing.PUBLISHED
    return Side(
        choices=(
            Choice(
                name="gap",
                title="Generalization gap",
                options=(
                    Option(name="accuracy", title="accuracy, last epoch"),
                    Option(name="loss", title="loss, last epoch"),
                    Option(
                        name="best_epoch",
                        title="accuracy, best test epoch",
                        standing=marked,
                    ),
                    Option(
                        name="published",
                        title="running accuracy, best test epoch",
                        standing=marked,
                    ),
                ),
            ),
        ),
        variants=(
            Variant(column=_GAP, measure=_GAP, options=("accuracy",), declared=True),
            Variant(column="loss_gap_nats", measure="loss_gap_nats", options=("loss",)),
            Variant(
                column=BEST_EPOCH_GAP,
                measure="generalization_gap_published",
                options=("best_epoch",),
                standing=marked,
            ),
            *_published(_GAP, ("published",)),
        ),
    )


def _label_side(declared: tuple[str, ...], *, classes: int, teachers: int, coupled: bool) -> Side:
    """Return the measures of fidelity or information, each by both rules of the ensemble.

    teachers: of an ensemble; of one, the rules are the same. coupled: whether the other side is
    made of the student's accuracy, as information is unless the label is given.
    """
    fidelity = "agreement" in declared
    sound = (_GIVEN_LABEL,) if coupled else (_GIVEN_LABEL, _INFORMATION, _SECOND)
    if fidelity:
        sound = ("agreement", "error_consistency", "predictive_kl_nats", *sound)
    beside = ("agreement", _INFORMATION, _SECOND) if coupled else ()
    published = dict.fromkeys(BY_NAME[name].published or "" for name in declared)
    titles = _label_titles(classes)
    measures = (
        *(Option(name=name, title=titles[name]) for name in sound),
        *(Option(name=name, title=titles[name], standing=Standing.COUPLED) for name in beside),
        *(
            Option(name=name, title=titles[name], standing=Standing.PUBLISHED)
            for name in published
            if name
        ),
    )
    both = (
        Option(name="logits", title="mean of logits"),
        Option(name=PROBABILITIES, title="mean of probabilities"),
    )
    rules = both if teachers > 1 else both[:1]
    counted = tuple(
        _label_variant(name, rule.name, declared) for name, rule in product(sound, rules)
    )
    marked = tuple(
        Variant(
            column=option.name,
            measure=option.name,
            options=(option.name, "logits"),
            standing=option.standing,
        )
        for option in measures
        if option.standing is not Standing.COUNTED
    )
    return Side(
        choices=(
            Choice(
                name="measure", title="Fidelity" if fidelity else "Information", options=measures
            ),
            Choice(name="ensemble", title="Ensemble by", options=rules),
        ),
        variants=(*counted, *marked),
    )


def _label_variant(name: str, rule: str, declared: Sequence[str]) -> Variant:
    own = rule == "logits"
    return Variant(
        column=name if own else variant_name(name, rule),
        measure=name,
        options=(name, rule),
        sign=-1 if name == "predictive_kl_nats" else 1,
        declared=own and name in declared,
    )


def _label_titles(classes: int) -> dict[str, str]:
    return {
        "agreement": "top-1 agreement",
        "error_consistency": "error consistency",
        "predictive_kl_nats": "divergence, sign reversed",
        _GIVEN_LABEL: "information given the label",
        _INFORMATION: f"information, {_SHORT[choose_estimator(classes)]}",
        _SECOND: f"information, {_SHORT[second_estimator(classes)]}",
        "agreement_published": "agreement on augmented images",
        "mutual_information_published_nats": "plug-in information, augmented images",
    }


def _published(measure: str, options: tuple[str, ...]) -> Iterator[Variant]:
    """Yield the published form of a measure, where there is one."""
    column = BY_NAME[measure].published
    if column is not None:
        yield Variant(column=column, measure=column, options=options, standing=Standing.PUBLISHED)
