"""What a study asks: every claim it names, in every arm and in both forms of the measures."""

import math
from dataclasses import dataclass
from typing import Final

from analyze.hypotheses import HYPOTHESES, STRENGTH, Estimand, Hypothesis
from store.conditions import DoseResponse, mean_strength
from store.design import Design
from store.errors import StudyError
from store.measures import BY_NAME, MEASURES, Subject
from store.vocabulary import Form

_TEACHERS_ALONE: Final = (Subject.TEACHER_TEACHER, Subject.TEACHERS, Subject.LEVEL)
_NEEDS_PAIRS: Final = frozenset(
    measure.name for measure in MEASURES if measure.subject is Subject.TEACHER_TEACHER
)
_NATS_PER_BIT: Final = math.log(2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One outcome of a question, by the columns of ``measures`` that it is asked of.

    sesoi: smallest effect size of interest, in outcome units per predictor unit.
    coupled: columns that share accuracy with the outcome, to be printed beside it.
    """

    outcome: str
    predictor: str
    sesoi: float
    coupled: tuple[str, ...] = ()
    caveats: tuple[str, ...] = ()

    @property
    def measures(self) -> tuple[str, ...]:
        """Columns of its primary test: outcome and, unless that is strength, predictor."""
        pair = (self.outcome, self.predictor)
        return tuple(name for name in pair if name != STRENGTH)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One claim in one arm and one form.

    deciding: it enters the Holm family. as_published: it is what the published study would
    have read: its own computations, in its own arm.
    """

    hypothesis: Hypothesis
    arm: str
    form: Form
    deciding: bool
    as_published: bool
    parts: tuple[Part, ...]

    @property
    def is_trend(self) -> bool:
        """Whether the predictor is strength itself."""
        return self.hypothesis.estimand is Estimand.SLOPE_ON_STRENGTH

    @property
    def on_halves(self) -> bool:
        """Whether predictor and outcome can be taken on opposite halves of the images."""
        return not self.is_trend and all(
            BY_NAME[name].by_half for part in self.parts for name in (part.outcome, part.predictor)
        )


def questions_of(design: Design) -> tuple[Question, ...]:
    """Every question of a study, by claim, then arm, then form.

    The design's main arm decides; a claim about teachers alone is asked of the first arm only.
    Raises StudyError where a claim's SESOI does not name exactly the claim's outcomes, or where
    the conditions that decide cannot answer a claim.
    """
    return tuple(
        question
        for hypothesis in HYPOTHESES.values()
        if hypothesis.id in design.claims
        for question in _asked_of(hypothesis, design)
    )


def main_arm(design: Design) -> str:
    """Return the arm that decides of students: only there do teachers alone differ."""
    return design.design.main_arm


def deciding_arm(hypothesis: Hypothesis, design: Design) -> str:
    """Return the arm whose plain finding decides a claim."""
    arms = _arms(hypothesis, design.design.claim_arms, Form.PLAIN)
    return main_arm(design) if main_arm(design) in arms else arms[0]


def published_arm(design: Design) -> str:
    """Return the arm that the published computations are compared in."""
    return design.design.published_arm


def _asked_of(hypothesis: Hypothesis, design: Design) -> tuple[Question, ...]:
    sesoi = {str(claim): settings.sesoi for claim, settings in design.claims.items()}[hypothesis.id]
    _check_sesoi(hypothesis, sesoi)
    _check_conditions(hypothesis, design)
    decides = deciding_arm(hypothesis, design)
    return tuple(
        Question(
            hypothesis=hypothesis,
            arm=arm,
            form=form,
            deciding=form is Form.PLAIN and arm == decides,
            as_published=form is Form.PUBLISHED and arm == published_arm(design),
            parts=_parts(hypothesis, sesoi, form),
        )
        for arm in design.design.claim_arms
        for form in Form
        if arm in _arms(hypothesis, design.design.claim_arms, form)
    )


def _arms(hypothesis: Hypothesis, arms: tuple[str, ...], form: Form) -> tuple[str, ...]:
    """List the arms that can differ.

    The teachers are the same in every arm, but the published study measured them on the
    student's augmented images, which are not.
    """
    subjects = {BY_NAME[outcome].subject for outcome in hypothesis.outcomes}
    alike = form is Form.PLAIN and subjects <= set(_TEACHERS_ALONE)
    return arms[:1] if alike else arms


def _parts(hypothesis: Hypothesis, sesoi: dict[str, float], form: Form) -> tuple[Part, ...]:
    if form is Form.PLAIN:
        return tuple(
            Part(
                outcome=outcome,
                predictor=hypothesis.predictor,
                sesoi=sesoi[outcome],
                coupled=hypothesis.coupled,
            )
            for outcome in hypothesis.outcomes
        )
    return tuple(
        _published_part(hypothesis, outcome, sesoi[outcome]) for outcome in hypothesis.outcomes
    )


def _published_part(hypothesis: Hypothesis, outcome: str, sesoi: float) -> Part:
    """Replace outcome and predictor by the published computations, and the SESOI's unit."""
    published, predictor = _published(outcome), _published(hypothesis.predictor)
    factor = _scale(published) / _scale(outcome)
    factor *= _scale(hypothesis.predictor) / _scale(predictor)
    caveats = ["The SESOI was declared for the plain form of the measures."]
    hidden = {_published(name) for name in hypothesis.coupled}
    if predictor in hidden:
        caveats.append(
            f"The {BY_NAME[predictor].title} shares test accuracy with the "
            f"{BY_NAME[outcome].title} by construction: it goes with it in most studies where "
            "there is nothing to find. Read this as what the published computation shows, not "
            "as evidence for the claim."
        )
    return Part(
        outcome=published,
        predictor=predictor,
        sesoi=sesoi * factor,
        coupled=tuple(sorted(hidden - {predictor})),
        caveats=tuple(caveats),
    )


def _published(measure: str) -> str:
    """Column of the published computation; the measure itself where there is none."""
    return measure if measure == STRENGTH else BY_NAME[measure].published or measure


def _scale(measure: str) -> float:
    """How many of a measure's units make one of the plain form's: only bits and nats differ."""
    in_nats = measure != STRENGTH and BY_NAME[measure].unit.startswith("nats")
    return _NATS_PER_BIT if in_nats else 1.0


def _check_conditions(hypothesis: Hypothesis, design: Design) -> None:
    """Refuse a claim that the conditions of the deciding arm cannot answer.

    Strengths along which everything is declared alone (dose_response) always can, or the finding
    says that it has no data.
    """
    if isinstance(design.design, DoseResponse):
        return
    plan, arm = design.plan(), main_arm(design)
    teams = {plan.strengths_of(student) for student in plan.students if student.arm == arm}
    named = (*hypothesis.outcomes, hypothesis.predictor)
    if _NEEDS_PAIRS & set(named) and min(map(len, teams)) < 2:
        raise StudyError(
            f"claims.{hypothesis.id}: compares the teachers of an ensemble with each other, and "
            f"the students that decide (arm {arm}) have one teacher; let larger ensembles decide "
            "(design.deciding), or take the claim out"
        )
    is_trend = hypothesis.predictor == STRENGTH
    levels = {mean_strength(team) for team in teams} if is_trend else teams
    if len(levels) < 2:
        compared = "mean strengths of teachers" if is_trend else "ensembles"
        raise StudyError(
            f"claims.{hypothesis.id}: needs two {compared} or more among the students that decide "
            f"(arm {arm}), which have {len(levels)}; list another condition of that arm, let "
            "another arm decide (design.deciding), or take the claim out"
        )


def _check_sesoi(hypothesis: Hypothesis, sesoi: dict[str, float]) -> None:
    if set(sesoi) != set(hypothesis.outcomes):
        raise StudyError(
            f"claims.{hypothesis.id}.sesoi: names {', '.join(sorted(sesoi)) or 'nothing'}; it must "
            f"name the claim's outcomes: {', '.join(hypothesis.outcomes)}"
        )
