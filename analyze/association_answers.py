"""Every test of a claim that two measures move together within seeds, and what stands beside."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from analyze.answers import Answer, about, evidence_of, flagged, stream
from analyze.decide import MINIMUM_SEEDS
from analyze.inference.associations import (
    WithinRegression,
    fit_points,
    split_half_reliability,
    split_half_within,
    split_halves,
    two_way,
    two_way_within,
    two_way_within_ols,
)
from analyze.inference.bootstrap import wild_cluster
from analyze.inference.correlations import Correlations, correlate
from analyze.inference.diagnostics import Diagnostic, looked_at
from analyze.inference.estimate import Estimate, Table
from analyze.inference.mundlak import mundlak
from analyze.inference.within_diagnostics import within_diagnostics
from analyze.questions import Part, Question
from analyze.replicates import Replicates, half_tables_of, table_of
from analyze.resample import resample_within
from analyze.results import Evidence, FitLine, Rank
from analyze.shared_teachers import shared_within
from analyze.table_pools import taken_as_fresh
from store.measures import BY_NAME

_UNSPLIT: Final = (
    "Predictor and outcome are taken on the same test images: the published computation has no "
    "halves, so the sampling noise that both share stays in the association."
)
_COUPLED: Final = (
    "Shares accuracy with the outcome by construction: it goes with it in most studies where "
    "there is nothing to find, so it bears no verdict."
)

_READ_WITHOUT_NOISE: Final = (
    ", and is called negligible only where it would be so without that noise."
)
_READ_WITH_NOISE: Final = (
    ". The verdict is on the slope as it shows: read a small one as not shown, rather than as "
    "absent."
)

_RELIABLE: Final = 0.7
"""Least share of the predictor's within variation that is no cause for a caveat."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Rows on all test images and, where both measures have them, on opposite halves."""

    whole: Table
    halves: tuple[Table, Table] | None
    caveats: tuple[str, ...]

    @property
    def tables(self) -> tuple[Table, ...]:
        """What the primary test takes: the two halves, or the one table."""
        return self.halves or (self.whole,)

    def regression(self) -> WithinRegression:
        """Set up the primary test's regression."""
        return split_halves(*self.halves) if self.halves else two_way(self.whole)

    def primary(self) -> Estimate:
        """Run the primary test."""
        return _primary_of(self.tables)

    def looked_at(self, primary: Estimate, names: Sequence[int | str]) -> tuple[Diagnostic, ...]:
        """Return what to know before trusting ``primary``, the primary test of these rows.

        names: of the seeds, in ascending order of their blocks.
        """
        return within_diagnostics(self.whole, self.tables, primary, _primary_of, names=names)


def _primary_of(tables: tuple[Table, ...]) -> Estimate:
    return split_half_within(*tables) if len(tables) == 2 else two_way_within(*tables)


def answer_association(
    question: Question, part: Part, replicates: Replicates, *, study_seed: int
) -> Answer:
    """Run the within association with CR2 by seed and, from 3 seeds on, what stands beside it.

    On opposite halves of the test images where both measures have them. Where seeds share
    teachers, the crossed model decides, and what counts seeds says so.
    """
    rows = rows_of(question, part.predictor, part.outcome, replicates)
    if isinstance(rows, str):
        return Answer(part=part, primary=None, caveats=(rows,))
    pools = replicates.pools
    primary = rows.primary() if pools is None else shared_within(rows.tables, pools)
    evidence = evidence_of(about(question, part), [primary], Rank.PRIMARY)
    caveats = rows.caveats if rows.halves else (*rows.caveats, _UNSPLIT)
    tested = primary.n >= MINIMUM_SEEDS
    if tested:
        rng = stream(study_seed, question.hypothesis.id, question.arm, question.form, part.outcome)
        correlations = correlate(rows.whole)
        found = (
            rows.looked_at(primary, np.unique(rows.tables[0].block).tolist())
            if pools is None
            else ()
        )
        beside = beside_association(rows, correlations, found, rng)
        if pools is not None:
            beside = taken_as_fresh((rows.primary(), *beside))
        evidence += evidence_of(about(question, part), beside, Rank.BESIDE)
        evidence += _coupled(question, part, replicates)
        if correlations.conflict and correlations.conflict.clear:
            caveats += (f"Signs conflict: {correlations.conflict.words}.",)
        caveats += (*_noisy_predictor(part, rows, primary), *flagged(found))
    return Answer(
        part=part,
        primary=primary,
        evidence=evidence,
        fit=_fit_line(question, part, rows.regression(), primary),
        resample=resample_within(rows.tables) if tested and pools is None else None,
        blocks=complete_blocks(rows.whole),
        caveats=caveats,
    )


def _noisy_predictor(part: Part, rows: Rows, primary: Estimate) -> tuple[str, ...]:
    """Warn where the halves of the test images hardly agree on the predictor."""
    reliability = split_half_reliability(*rows.halves).estimate if rows.halves else None
    if reliability is None or reliability >= _RELIABLE:
        return ()
    common = f"{max(reliability, 0):.0%}"
    return (
        f"Within seeds and strengths, {common} of the variation of the "
        f"{BY_NAME[part.predictor].title} is common to both halves of the test images: a slope is "
        f"expected to show at {common} of its size"
        f"{_READ_WITH_NOISE if primary.attenuation is None else _READ_WITHOUT_NOISE}",
    )


def rows_of(question: Question, predictor: str, outcome: str, replicates: Replicates) -> Rows | str:
    """Return the rows of predictor and outcome, or why there are none."""
    whole = table_of(replicates.students, arm=question.arm, predictor=predictor, outcome=outcome)
    if whole.table is None:
        return " ".join(whole.caveats)
    if not (BY_NAME[predictor].by_half and BY_NAME[outcome].by_half):
        return Rows(whole=whole.table, halves=None, caveats=whole.caveats)
    halves = half_tables_of(
        replicates.halves, arm=question.arm, predictor=predictor, outcome=outcome
    )
    if halves.a_on_b is None or halves.b_on_a is None:
        return " ".join(halves.caveats)
    split = (halves.a_on_b, halves.b_on_a)
    return Rows(whole=whole.table, halves=split, caveats=halves.caveats)


def beside_association(
    rows: Rows,
    correlations: Correlations,
    found: Sequence[Diagnostic],
    rng: np.random.Generator,
    *,
    level: float = 0.95,
) -> tuple[Estimate, ...]:
    """Return every test beside the within association, of 3 seeds or more.

    correlations: of ``rows.whole``. found: the diagnostics of these rows. level: of the intervals.
    """
    parts = mundlak(rows.whole, level=level)
    split = (
        (two_way_within(rows.whole, level=level), split_half_reliability(*rows.halves))
        if rows.halves
        else ()
    )
    return (
        *split,
        two_way_within_ols(rows.whole, level=level),
        wild_cluster(rows.regression(), rng),
        correlations.pooled,
        correlations.between_condition,
        correlations.between_seed,
        correlations.within_seed,
        correlations.two_way_within,
        parts.within,
        parts.between_seed,
        parts.between_strength,
        parts.context,
        *(looked_at(one, n=parts.within.n, rows=len(rows.whole.y)) for one in found),
    )


def _coupled(question: Question, part: Part, replicates: Replicates) -> tuple[Evidence, ...]:
    """Return associations with measures that share accuracy with the outcome: no verdict."""
    found: tuple[Evidence, ...] = ()
    for predictor in part.coupled:
        rows = rows_of(question, predictor, part.outcome, replicates)
        if not isinstance(rows, str):
            pools = replicates.pools
            primary = rows.primary() if pools is None else shared_within(rows.tables, pools)
            estimate = replace(primary, caveats=(*primary.caveats, _COUPLED))
            subject = about(question, part, predictor=predictor)
            found += evidence_of(subject, [estimate], Rank.COUPLED)
    return found


def _fit_line(
    question: Question, part: Part, regression: WithinRegression, primary: Estimate
) -> FitLine:
    drawn = fit_points(regression, primary)
    return FitLine(
        hypothesis=question.hypothesis.id,
        arm=question.arm,
        form=question.form,
        outcome=part.outcome,
        predictor=part.predictor,
        x=drawn.x,
        y=drawn.y,
        low=drawn.low,
        high=drawn.high,
        points=drawn.points,
    )


def complete_blocks(table: Table) -> int:
    """Count the seed blocks with a row at every strength."""
    rows = np.unique(table.block, return_counts=True)[1]
    return int((rows == len(np.unique(table.cell))).sum())
