"""Every test of a claim about a trend over strength: per-seed slopes, and what stands beside."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from analyze.answers import Answer, about, evidence_of, flagged, stream
from analyze.decide import MINIMUM_SEEDS
from analyze.inference.diagnostics import Diagnostic
from analyze.inference.estimate import Estimate, Panel, Table
from analyze.inference.sample import mean_test
from analyze.inference.trends import per_seed_slopes, slope_t
from analyze.questions import Part, Question
from analyze.replicates import Replicates, panel_of, trend_rows_of
from analyze.resample import resample_slopes
from analyze.results import FitLine, FitPoint, Rank
from analyze.shared_teachers import shared_slope, table_of_panel
from analyze.table_pools import taken_as_fresh
from analyze.trend_beside import beside_trend, trend_diagnostics

_BAND_POINTS: Final = 25


def answer_trend(
    question: Question, part: Part, replicates: Replicates, *, study_seed: int
) -> Answer:
    """Run the per-seed slope t and, from 3 seeds on, everything that is printed beside it.

    Where seeds share teachers, the crossed model decides, and what counts seeds says so.
    """
    chosen = panel_of(replicates.students, arm=question.arm, outcome=part.outcome)
    panel = chosen.panel
    if panel is None:
        return Answer(part=part, primary=None, caveats=chosen.caveats)
    if replicates.pools is not None:
        return _shared(question, part, panel, replicates.pools, chosen.caveats, study_seed)
    primary = slope_t(panel)
    tested = primary.n >= MINIMUM_SEEDS
    rows = trend_rows_of(replicates.students, arm=question.arm, outcome=part.outcome)
    found = trend_diagnostics(panel, rows) if tested else ()
    beside = _beside(question, part, panel, rows, found, study_seed) if tested else ()
    return Answer(
        part=part,
        primary=primary,
        evidence=(
            *evidence_of(about(question, part), [primary], Rank.PRIMARY),
            *evidence_of(about(question, part), beside, Rank.BESIDE),
        ),
        fit=_fit_line(question, part, panel),
        resample=resample_slopes(panel) if tested else None,
        blocks=primary.n,
        caveats=(*chosen.caveats, *flagged(found)),
    )


def _shared(
    question: Question,
    part: Part,
    panel: Panel,
    pools: int,
    caveats: tuple[str, ...],
    study_seed: int,
) -> Answer:
    primary = shared_slope(panel, pools)
    beside: tuple[Estimate, ...] = ()
    if primary.n >= MINIMUM_SEEDS:
        tests = _beside(question, part, panel, table_of_panel(panel), (), study_seed)
        beside = taken_as_fresh((slope_t(panel), *tests))
    return Answer(
        part=part,
        primary=primary,
        evidence=(
            *evidence_of(about(question, part), [primary], Rank.PRIMARY),
            *evidence_of(about(question, part), beside, Rank.BESIDE),
        ),
        # the band counts seeds
        fit=replace(_fit_line(question, part, panel), low=None, high=None),
        blocks=primary.n,
        caveats=caveats,
    )


def _beside(
    question: Question,
    part: Part,
    panel: Panel,
    rows: Table,
    found: Sequence[Diagnostic],
    study_seed: int,
) -> tuple[Estimate, ...]:
    return beside_trend(
        panel,
        rows,
        found,
        sign=question.hypothesis.direction.sign,
        sesoi=part.sesoi,
        rng=stream(study_seed, question.hypothesis.id, question.arm, part.outcome),
        # of the findings that decide nothing, all pairs would be a thousand lines more
        pairs=question.deciding,
    )


def _fit_line(question: Question, part: Part, panel: Panel) -> FitLine:
    """Mean of the seeds' own lines, with the t band of that mean at every strength."""
    doses = np.asarray(panel.doses)
    at = np.linspace(doses[0], doses[-1], _BAND_POINTS)
    slopes, centres = per_seed_slopes(panel), panel.values.mean(axis=1)
    lines = centres[:, None] + slopes[:, None] * (at - doses.mean())
    low, high = _band(lines)
    return FitLine(
        hypothesis=question.hypothesis.id,
        arm=question.arm,
        form=question.form,
        outcome=part.outcome,
        predictor=part.predictor,
        x=tuple(at.tolist()),
        y=tuple(lines.mean(axis=0).tolist()),
        low=low,
        high=high,
        points=tuple(
            FitPoint(block=int(block), strength=dose, x=dose, y=float(value))
            for block, row in zip(panel.blocks, panel.values, strict=True)
            for dose, value in zip(panel.doses, row, strict=True)
        ),
    )


def _band(
    lines: NDArray[np.float64],
) -> tuple[tuple[float, ...] | None, tuple[float, ...] | None]:
    """95 % t bounds over seeds of the mean line; None where any point has none."""
    bands = [mean_test(column, level=0.95).interval for column in lines.T]
    known = [band for band in bands if band is not None]
    if len(known) < len(bands):
        return None, None
    return tuple(band.low for band in known), tuple(band.high for band in known)
