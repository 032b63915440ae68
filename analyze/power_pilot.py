"""What a pilot says of a study to come: its blocks, its variances, and the claims to plan for.

A pilot is a study's store, or any table of runs. Only seed blocks that have every measure at
every strength serve, the same for all claims, so that measures keep their covariances.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from analyze.answers import unit_in, unit_of
from analyze.association_answers import Rows, rows_of
from analyze.inference.estimate import Estimate, Panel, Table
from analyze.power_plan import PlannedClaim, PlannedPart
from analyze.power_truth import (
    FEWEST_BLOCKS,
    AssociationBlocks,
    AssociationDeviations,
    Blocks,
    PilotTruth,
    TrendBlocks,
    TrendDeviations,
    association_deviations,
    trend_deviations,
)
from analyze.questions import Part, Question, questions_of
from analyze.replicates import (
    Replicates,
    Stored,
    complete_panel,
    panel_of,
    select_replicates,
)
from analyze.table_results import Claim, Claims
from analyze.table_rows import Columns, Runs
from store.design import Design
from store.errors import AnalysisError
from store.measures import BY_NAME

Label = int | str


@dataclass(frozen=True, slots=True, kw_only=True)
class Pilot:
    """What a pilot gives. blocks: seed blocks that serve, of ``stored`` that it has."""

    claims: tuple[PlannedClaim, ...]
    truth: PilotTruth
    blocks: int
    stored: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Measured:
    """One outcome's blocks, by their labels."""

    labels: tuple[Label, ...]
    blocks: Blocks

    def only(self, kept: Sequence[Label]) -> Blocks:
        """Return the blocks of these labels, in their order."""
        at = np.array([self.labels.index(label) for label in kept])
        if isinstance(self.blocks, TrendBlocks):
            return TrendBlocks(doses=self.blocks.doses, values=self.blocks.values[at])
        return AssociationBlocks(
            doses=self.blocks.doses, x=self.blocks.x[:, at], y=self.blocks.y[:, at]
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """One outcome of a claim before its effect is set. measured: or why there is nothing."""

    outcome: str
    predictor: str
    title: str
    unit: str
    sesoi: float
    measured: _Measured | str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Claim:
    id: str
    statement: str
    sign: int | None
    primary: bool
    parts: tuple[_Asked, ...]


def pilot_of_study(
    design: Design, stored: Stored, *, chosen: Sequence[str], times_sesoi: float | None
) -> Pilot:
    """Take a stored study as the pilot of one with the same claims.

    chosen: claims to plan for, all where empty. times_sesoi: the true effect; None takes the
    pilot's own estimate. Raises AnalysisError where a claim is not the study's or the pilot
    has too little of everything, StudyError where a SESOI does not name the claim's outcomes.
    """
    if design.shared_teachers is not None:
        raise AnalysisError(
            f"{design.study}: its seeds share teachers, and seeds are planned for teachers of "
            "their own; take a pilot without shared_teachers, or give variances by hand"
        )
    questions = [question for question in questions_of(design) if question.deciding]
    known = [question.hypothesis.id for question in questions]
    for name in chosen:
        if name not in known:
            raise AnalysisError(f"--claims {name}: the study's claims are {', '.join(known)}")
    replicates = select_replicates(
        stored, failed_runs=design.failed_runs, seeds_declared=design.seeds
    )
    claims = [
        _Claim(
            id=question.hypothesis.id,
            statement=question.hypothesis.statement,
            sign=question.hypothesis.direction.sign,
            primary=question.hypothesis.primary,
            parts=tuple(_asked_of(question, part, replicates) for part in question.parts),
        )
        for question in questions
        if not chosen or question.hypothesis.id in chosen
    ]
    return _pilot(claims, stored=replicates.counts.seeds_stored, times_sesoi=times_sesoi)


def pilot_of_table(
    runs: Runs, columns: Columns, claims: Claims, *, times_sesoi: float | None
) -> Pilot:
    """Take any table of runs as the pilot of a study that ``python -m analyze table`` will test.

    claims: with a SESOI each. Raises AnalysisError where the table has too little.
    """
    outcome, predictor, dose = columns.outcome, columns.predictor, columns.dose
    asked = [_of_table("trend", claims.trend, outcome, dose, _panel_in(runs, "outcome"))]
    if predictor is not None:
        measured = _panel_in(runs, "predictor")
        asked += [
            _of_table("predictor_trend", claims.predictor_trend, predictor, dose, measured),
            _of_table("association", claims.association, outcome, predictor, _pairs_in(runs)),
        ]
    return _pilot(asked, stored=runs.rows["block"].n_unique(), times_sesoi=times_sesoi)


def _asked_of(question: Question, part: Part, replicates: Replicates) -> _Asked:
    return _Asked(
        outcome=part.outcome,
        predictor=part.predictor,
        title=BY_NAME[part.outcome].title,
        unit=unit_of("slope", part.outcome, part.predictor),
        sesoi=part.sesoi,
        measured=_measured(question, part, replicates),
    )


def _measured(question: Question, part: Part, replicates: Replicates) -> _Measured | str:
    """Take what the claim's primary test takes."""
    if question.is_trend:
        chosen = panel_of(replicates.students, arm=question.arm, outcome=part.outcome)
        return _of_panel(chosen.panel) if chosen.panel else " ".join(chosen.caveats)
    rows = rows_of(question, part.predictor, part.outcome, replicates)
    return _of_tables(rows.tables) if isinstance(rows, Rows) else rows


def _of_panel(panel: Panel) -> _Measured:
    return _Measured(
        labels=panel.blocks, blocks=TrendBlocks(doses=panel.doses, values=panel.values)
    )


def _of_tables(tables: Sequence[Table]) -> _Measured:
    """Lay out the blocks that have every condition; only told apart, whatever their doses."""
    first = tables[0]
    doses = tuple(np.unique(first.cell).tolist())
    labels, rows = np.unique(first.block, return_counts=True)
    complete = labels[rows == len(doses)]
    x = np.stack([_grid(table, table.x, complete) for table in tables])
    y = np.stack([_grid(table, table.y, complete) for table in tables])
    blocks = AssociationBlocks(doses=doses, x=x, y=y)
    return _Measured(labels=tuple(complete.tolist()), blocks=blocks)


def _grid(
    table: Table, values: NDArray[np.float64], blocks: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Values of some blocks, shape (blocks, strengths)."""
    order = np.lexsort((table.cell, table.block))
    kept = order[np.isin(table.block[order], blocks)]
    return values[kept].reshape(len(blocks), -1)


def _of_table(
    name: str, claim: Claim, outcome: str, predictor: str, measured: _Measured | str
) -> _Claim:
    if claim.sesoi is None:
        raise ValueError(f"{name} has no SESOI")
    tie = "with" if name == "association" else "over"
    return _Claim(
        id=name,
        statement=f"{outcome} {tie} {predictor}",
        sign=claim.expected.sign if claim.expected else None,
        primary=True,
        parts=(
            _Asked(
                outcome=outcome,
                predictor=predictor,
                title=outcome,
                unit=unit_in("slope", outcome, f"unit of {predictor}"),
                sesoi=claim.sesoi,
                measured=measured,
            ),
        ),
    )


def _panel_in(runs: Runs, name: str) -> _Measured | str:
    rows = runs.rows.drop_nulls(name)
    panel = complete_panel(rows, dose="dose", outcome=name)
    if panel is not None:
        return _of_panel(panel)
    if rows["dose"].n_unique() < 2:
        return "one dose only: a trend needs two or more"
    return f"no seed has its {name} at every dose"


def _pairs_in(runs: Runs) -> _Measured | str:
    rows = runs.rows.drop_nulls(["outcome", "predictor"])
    panels = [complete_panel(rows, dose="dose", outcome=name) for name in ("predictor", "outcome")]
    if panels[0] is None or panels[1] is None:
        return "no seed has outcome and predictor at each of two doses or more"
    x, y = panels[0].values[None], panels[1].values[None]
    return _Measured(
        labels=panels[0].blocks, blocks=AssociationBlocks(doses=panels[0].doses, x=x, y=y)
    )


def _pilot(claims: Sequence[_Claim], *, stored: int, times_sesoi: float | None) -> Pilot:
    """Restrict every outcome to the blocks that serve all, and set its effect."""
    labels = [
        part.measured.labels
        for claim in claims
        for part in claim.parts
        if not isinstance(part.measured, str)
    ]
    if not labels:
        raise AnalysisError(f"the pilot has no data of any claim: {_reasons(claims)[0]}")
    shared = reduce(lambda one, other: one & other, map(set, labels))
    kept = [label for label in labels[0] if label in shared]
    if len(kept) < FEWEST_BLOCKS:
        raise AnalysisError(
            f"the pilot has {len(kept)} of {stored} seeds with every measure at every strength; "
            f"to plan from it takes {FEWEST_BLOCKS}"
        )
    planned: list[PlannedClaim] = []
    drawn: list[TrendDeviations | AssociationDeviations] = []
    for claim in claims:
        found, parts = _planned(claim, kept, times_sesoi)
        planned.append(found)
        drawn += parts
    if not drawn:
        reason = next(claim.why_not for claim in planned if claim.why_not)
        raise AnalysisError(f"the pilot says nothing of how seeds vary: {reason}")
    return Pilot(
        claims=tuple(planned),
        truth=PilotTruth(parts=tuple(drawn), blocks=len(kept)),
        blocks=len(kept),
        stored=stored,
    )


def _planned(
    claim: _Claim, kept: Sequence[Label], times_sesoi: float | None
) -> tuple[PlannedClaim, list[TrendDeviations | AssociationDeviations]]:
    """Plan one claim; without parts where one of its outcomes lacks what a plan needs."""
    parts: list[PlannedPart] = []
    drawn: list[TrendDeviations | AssociationDeviations] = []
    reasons: list[str] = []
    for asked in claim.parts:
        if isinstance(asked.measured, str):
            reasons.append(asked.measured)
            continue
        blocks = asked.measured.only(kept)
        pilot = blocks.test(len(kept))
        if pilot.estimate is None or not pilot.standard_error or pilot.df is None:
            reasons.append(f"{asked.title}: {'; '.join(pilot.caveats)}")
            continue
        parts.append(_part(asked, blocks, pilot, claim.sign, times_sesoi))
        drawn.append(
            trend_deviations(blocks)
            if isinstance(blocks, TrendBlocks)
            else association_deviations(blocks, pilot)
        )
    planned = PlannedClaim(
        id=claim.id,
        statement=claim.statement,
        sign=claim.sign,
        parts=() if reasons else tuple(parts),
        primary=claim.primary,
        why_not=" ".join(reasons),
    )
    return planned, ([] if reasons else drawn)


def _part(
    asked: _Asked, blocks: Blocks, pilot: Estimate, sign: int | None, times_sesoi: float | None
) -> PlannedPart:
    estimate = pilot.estimate or 0.0
    effect = estimate if times_sesoi is None else times_sesoi * asked.sesoi * (sign or 1)
    return PlannedPart(
        outcome=asked.outcome,
        predictor=asked.predictor,
        unit=asked.unit,
        sesoi=asked.sesoi,
        effect=effect,
        reliability=blocks.reliability() if isinstance(blocks, AssociationBlocks) else None,
        estimate=estimate,
        df=pilot.df,
    )


def _reasons(claims: Sequence[_Claim]) -> list[str]:
    return [
        part.measured for claim in claims for part in claim.parts if isinstance(part.measured, str)
    ]
