"""From the answers to a question to a finding: level, verdict, words, single-seed shares."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from analyze.answers import Answer, number, stream, unit_of
from analyze.decide import (
    ALPHA,
    DECIDED,
    MINIMUM_SEEDS,
    HolmLevel,
    Ruling,
    claim_p,
    combine,
    equivalence_interval,
    holm,
    rule_primary,
    t_interval,
)
from analyze.looks import standing_words
from analyze.questions import Question
from analyze.replicates import Replicates, runs_of
from analyze.results import Finding, OutcomeFinding, SequentialLook, SingleSeed, Verdict
from analyze.seeds import (
    SEEDS_CAP,
    seeds_to_decide,
    single_seed_association,
    single_seed_slope,
)
from analyze.sentences import claim_sentence
from analyze.shared_teachers import teachers_alone

SECONDARY_ALPHA: Final = ALPHA
"""Level of the secondary claim: outside the Holm family; with one, Benjamini-Hochberg's too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """A question with the answers to its parts."""

    question: Question
    answers: tuple[Answer, ...]

    @property
    def p_value(self) -> float | None:
        """The claim's p: the largest of its parts' primary tests."""
        return claim_p([number(a.primary.p_value) if a.primary else None for a in self.answers])

    @property
    def seeds(self) -> int:
        """Seed blocks that every part's primary test has at least."""
        return min(answer.seeds for answer in self.answers)


def levels_of(
    answered: Sequence[Answered], look: SequentialLook | None = None
) -> dict[str, HolmLevel]:
    """Level of every claim by its id: Holm's over the primary ones, else the secondary level.

    look: of a study whose seeds are added by a declared rule: its levels instead, 0 between looks.
    """
    deciding = [each for each in answered if each.question.deciding]
    if look is not None:
        return {
            each.question.hypothesis.id: HolmLevel(
                (look.level if each.question.hypothesis.primary else look.secondary_level) or 0.0,
                None,
            )
            for each in deciding
        }
    family = [each for each in deciding if each.question.hypothesis.primary]
    holms = holm([each.p_value for each in family])
    levels = {each.question.hypothesis.id: level for each, level in zip(family, holms, strict=True)}
    for each in deciding:
        if not each.question.hypothesis.primary:
            levels[each.question.hypothesis.id] = HolmLevel(SECONDARY_ALPHA, each.p_value)
    return levels


def finding_of(
    answered: Answered,
    levels: Mapping[str, HolmLevel],
    replicates: Replicates,
    *,
    study_seed: int,
    look: SequentialLook | None = None,
) -> Finding:
    """Conclude one question. The claim's level is that of its deciding finding in every arm.

    look: of a study whose seeds are added by a declared rule, which says how to go on.
    """
    question, hypothesis = answered.question, answered.question.hypothesis
    level = levels[hypothesis.id]
    outcomes = tuple(
        _outcome(question, answer, level.alpha, study_seed, look) for answer in answered.answers
    )
    verdict = combine([outcome.verdict for outcome in outcomes])
    said = claim_sentence(
        outcomes,
        seeds=[answer.seeds for answer in answered.answers],
        sign=hypothesis.direction.sign,
        replicate=_replicate(question, replicates),
    )
    standing = standing_words(verdict, look) if look is not None and question.deciding else ""
    return Finding(
        hypothesis=hypothesis.id,
        statement=hypothesis.statement,
        arm=question.arm,
        form=question.form,
        deciding=question.deciding,
        as_published=question.as_published,
        verdict=verdict,
        sentence=f"{said} {standing}".strip(),
        n=answered.seeds,
        alpha=level.alpha,
        p_holm=level.p_adjusted if question.deciding else None,
        outcomes=outcomes,
        evidence=tuple(item for answer in answered.answers for item in answer.evidence),
        single_seed=_single_seed(question, replicates, study_seed),
        caveats=() if question.hypothesis.needs_students else teachers_alone(replicates.counts),
    )


def _replicate(question: Question, replicates: Replicates) -> str:
    shared = replicates.counts.teacher_pools is not None
    return "teacher pool" if shared and not question.hypothesis.needs_students else "seed"


def _outcome(
    question: Question,
    answer: Answer,
    alpha: float,
    study_seed: int,
    look: SequentialLook | None,
) -> OutcomeFinding:
    """Read one part's primary test at the claim's level; at level 0 nothing is read."""
    primary, part = answer.primary, answer.part
    tested = primary if answer.seeds >= MINIMUM_SEEDS else None
    sign = question.hypothesis.direction.sign
    ruling = rule_primary(primary, alpha=alpha, sesoi=part.sesoi, sign=sign)
    # the rule says at which number of seeds the next look is, and that there is none after the cap
    fixed = look is None
    more = _seeds_to_decide(question, answer, ruling, alpha, study_seed) if fixed else None
    read = tested if alpha > 0 else None
    return OutcomeFinding(
        outcome=part.outcome,
        predictor=part.predictor,
        verdict=ruling.verdict,
        estimate=number(primary.estimate) if primary else None,
        unit=unit_of("slope", part.outcome, part.predictor),
        p_value=number(tested.p_value) if tested else None,
        alpha=alpha,
        sesoi=part.sesoi,
        interval_95=t_interval(tested, 0.95) if tested else None,
        verdict_interval=t_interval(read, 1 - alpha) if read else None,
        equivalence_interval=equivalence_interval(read, 1 - 2 * alpha) if read else None,
        size_uncertain=ruling.size_uncertain,
        seeds_to_decide=more,
        caveats=(
            *part.caveats,
            *answer.caveats,
            *(primary.caveats if primary else ()),
            *(_out_of_reach(question, ruling, answer, more) if fixed else ()),
        ),
    )


def _seeds_to_decide(
    question: Question, answer: Answer, ruling: Ruling, alpha: float, study_seed: int
) -> int | None:
    """Look for the number of seeds only where the deciding finding is undecided."""
    if not question.deciding or ruling.verdict in DECIDED or answer.resample is None:
        return None
    return seeds_to_decide(
        answer.blocks, answer.resample, alpha=alpha, sesoi=answer.part.sesoi, seed=study_seed
    )


def _out_of_reach(
    question: Question, ruling: Ruling, answer: Answer, more: int | None
) -> tuple[str, ...]:
    asked = question.deciding and ruling.verdict is Verdict.UNDECIDED
    searched = answer.resample is not None and answer.blocks < SEEDS_CAP
    if not asked or not searched or more is not None:
        return ()
    return (f"Not even {SEEDS_CAP} seeds would decide it in four of five studies like this one.",)


def _single_seed(question: Question, replicates: Replicates, study_seed: int) -> SingleSeed | None:
    """Shares over all ways to pick one run per strength; None where that cannot be done."""
    hypothesis = question.hypothesis
    sign = hypothesis.direction.sign
    rng = stream(study_seed, "single", hypothesis.id, question.arm, question.form)
    outcomes = [part.outcome for part in question.parts]
    predictors = [] if question.is_trend else [question.parts[0].predictor]
    runs = runs_of(replicates.students, arm=question.arm, measures=[*predictors, *outcomes])
    if len(runs.doses) < 2:
        return None
    if question.is_trend:
        return single_seed_slope(runs.doses, runs.values, sign=sign, rng=rng)
    return single_seed_association(runs.values[0], runs.values[1], sign=sign, rng=rng)
