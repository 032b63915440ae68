"""Factorial contrasts: what each teacher's, the ensemble's and the student's augmentation does.

No claim was made of them beforehand, so they have no verdict: as of secondary measures, their p
are adjusted together by Benjamini and Hochberg's method, over all outcomes and sizes of ensembles.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from analyze.answers import About, stream, tied
from analyze.hypotheses import HYPOTHESES, Estimand
from analyze.inference.contrasts import CONTRAST_T, Weighing, contrast_tests, weighings
from analyze.inference.estimate import Estimate
from analyze.replicates import Replicates, blocks_named, finite_rows
from analyze.results import Contrast, Evidence, Rank
from analyze.secondary import adjusted_for_false_discoveries
from analyze.shared_teachers import means_of_pools, pool_means, teachers_alone
from store.conditions import LEVELS, Factorial, arm_of
from store.design import Design
from store.measures import BY_NAME, Subject
from store.vocabulary import Form

CONTRAST: Final = "contrast"
"""Stands where other evidence names its claim."""

OUTCOMES: Final = (
    "generalization_gap",
    "test_accuracy",
    "agreement",
    "conditional_mutual_information_bits",
    "attention_iou_adjusted",
    "attention_iou_adjusted_teacher_student",
)
"""What contrasts are taken of: the claims' outcomes, accuracy, and where the student looks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ensembles:
    """The conditions of ensembles of one size, in the order that contrasts weigh them in."""

    teachers: int
    conditions: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Complete:
    """Blocks with a value in every condition, shape (blocks, conditions); why others are not.

    Where seeds share teachers, the pools of these and the means of their seeds.
    """

    blocks: tuple[int, ...]
    values: NDArray[np.float64]
    caveats: tuple[str, ...]


def contrasts_of(replicates: Replicates, design: Design) -> tuple[Contrast, ...]:
    """Return every contrast of a factorial study, by size of ensemble, outcome, then contrast.

    Nothing of other designs. A contrast without a complete seed block has its reason as caveat.
    """
    layout = design.design
    if not isinstance(layout, Factorial):
        return ()
    found = [
        one
        for size in layout.teachers
        for outcome in OUTCOMES
        if size > 1 or BY_NAME[outcome].subject is not Subject.TEACHER_TEACHER
        for one in _of_outcome(_ensembles(design, layout, size), outcome, replicates, design)
    ]
    return _with_q_values(found)


def _ensembles(design: Design, layout: Factorial, teachers: int) -> _Ensembles:
    """Find each cell's condition by the levels of its teachers and student."""
    plan = design.plan()
    known = {
        (student.arm, plan.strengths_of(student)): student.condition_id for student in plan.students
    }
    return _Ensembles(
        teachers=teachers,
        conditions=tuple(
            known[
                arm_of(cell.student, teachers),
                tuple(layout.strength(level) for level in cell.teachers),
            ]
            for cell in layout.cells(teachers)
        ),
    )


def _of_outcome(
    ensembles: _Ensembles, outcome: str, replicates: Replicates, design: Design
) -> tuple[Contrast, ...]:
    """Take every contrast of one outcome; of teachers alone, those that the student is not in."""
    alone = BY_NAME[outcome].of_teachers
    own = replicates.of_teachers() if alone else replicates
    complete = _by_pool(_complete(ensembles, outcome, own.students), own.pools)
    if own is not replicates:
        complete = replace(
            complete, caveats=(*teachers_alone(replicates.counts), *complete.caveats)
        )
    return tuple(
        _contrast(weighing, ensembles, outcome, complete, design)
        for weighing in weighings(ensembles.teachers)
        if not (alone and weighing.of_student)
    )


def _complete(ensembles: _Ensembles, outcome: str, students: pl.DataFrame) -> _Complete:
    """Lay out the blocks that have the outcome in every condition."""
    declared = students.filter(pl.col("condition_id").is_in(list(ensembles.conditions)))
    rows = finite_rows(declared, [outcome])
    counts = rows.group_by("block").len().filter(pl.col("len") == len(ensembles.conditions))
    blocks = counts["block"].sort()
    places = {condition: place for place, condition in enumerate(ensembles.conditions)}
    kept = rows.filter(pl.col("block").is_in(blocks.implode()))
    values = np.full((len(blocks), len(places)), np.nan)
    at = np.searchsorted(blocks.to_numpy(), kept["block"].to_numpy())
    by = np.array([places[condition] for condition in kept["condition_id"]], dtype=np.intp)
    values[at, by] = kept[outcome].to_numpy().astype(np.float64)
    lost = sorted(set(declared["block"].to_list()) - set(blocks.to_list()))
    return _Complete(
        blocks=tuple(blocks.to_list()),
        values=values,
        caveats=_why_lost(outcome, lost, some=len(blocks) > 0, any_value=rows.height > 0),
    )


def _by_pool(complete: _Complete, pools: int | None) -> _Complete:
    """Average the seeds of each pool of shared teachers: their contrasts are not independent."""
    if pools is None or not complete.blocks:
        return complete
    blocks = np.array(complete.blocks, dtype=np.int64)
    means = [pool_means(column, blocks, pools) for column in complete.values.T]
    return _Complete(
        blocks=tuple(np.unique(blocks % pools).tolist()),
        values=np.column_stack(means),
        caveats=(*complete.caveats, means_of_pools(len(blocks))),
    )


def _why_lost(outcome: str, lost: Sequence[int], *, some: bool, any_value: bool) -> tuple[str, ...]:
    title = BY_NAME[outcome].title
    if not any_value:
        return (f"No student has a value of {title}: {BY_NAME[outcome].null}.",)
    if not some:
        return (f"No seed block has a value of {title} in every condition.",)
    if not lost:
        return ()
    return (f"Seed {blocks_named(lost)} left out: no value of {title} in every condition.",)


def _contrast(
    weighing: Weighing,
    ensembles: _Ensembles,
    outcome: str,
    complete: _Complete,
    design: Design,
) -> Contrast:
    sesoi = _sesoi(weighing, outcome, design)
    arm = f"of_{ensembles.teachers}"
    estimates: tuple[Estimate, ...] = ()
    if complete.blocks:
        estimates = contrast_tests(
            complete.blocks,
            complete.values,
            weighing,
            sesoi=sesoi,
            rng=stream(design.study_seed, CONTRAST, arm, outcome, weighing.name),
        )
    subject = About(
        hypothesis=CONTRAST,
        arm=arm,
        form=Form.PLAIN,
        outcome=outcome,
        predictor=weighing.name,
    )
    unit = BY_NAME[outcome].unit
    return Contrast(
        name=weighing.name,
        teachers=ensembles.teachers,
        outcome=outcome,
        unit=unit,
        interaction=weighing.interaction,
        conditions=ensembles.conditions,
        weights=weighing.weights,
        sesoi=sesoi,
        n=len(complete.blocks),
        evidence=tuple(
            tied(subject, one, Rank.BESIDE, unit=unit if one.value_name == "contrast" else "")
            for one in estimates
        ),
        caveats=complete.caveats,
    )


def _sesoi(weighing: Weighing, outcome: str, design: Design) -> float | None:
    """Return the smallest difference of interest in outcome units, from the claims' trends.

    A trend's SESOI is per unit of the teachers' mean strength, of which a contrast takes as many
    as it moves; one that moves the student, or the mixture, is held to the step of all teachers.
    """
    layout = design.design
    assert isinstance(layout, Factorial)
    declared = {str(name): claim.sesoi for name, claim in design.claims.items()}
    for claim in HYPOTHESES.values():
        trend = claim.estimand is Estimand.SLOPE_ON_STRENGTH
        if trend and claim.id in declared and outcome in claim.outcomes:
            distance = layout.strength(LEVELS[1]) - layout.strength(LEVELS[0])
            return declared[claim.id][outcome] * distance * weighing.step
    return None


def _with_q_values(found: Sequence[Contrast]) -> tuple[Contrast, ...]:
    """Adjust the p of every contrast's t over all of them."""
    p_values = {
        place: item.p_value
        for place, one in enumerate(found)
        for item in one.evidence
        if item.test == CONTRAST_T and item.p_value is not None
    }
    adjusted = adjusted_for_false_discoveries(list(p_values.values()))
    q_values = dict(zip(p_values, adjusted, strict=True))
    return tuple(
        replace(one, evidence=tuple(_with_q(item, q_values.get(place)) for item in one.evidence))
        for place, one in enumerate(found)
    )


def _with_q(item: Evidence, q_value: float | None) -> Evidence:
    return replace(item, q_value=q_value) if item.test == CONTRAST_T else item
