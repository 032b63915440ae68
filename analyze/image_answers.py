"""What a deciding finding prints beside its primary test: the same, with new test images too."""

from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from analyze.answers import Answer, about, evidence_of
from analyze.association_answers import Rows, rows_of
from analyze.decide import MINIMUM_SEEDS
from analyze.inference.estimate import Estimate, Panel, Table
from analyze.inference.seed_image import (
    NOT_DRAWN,
    described,
    seed_image_bootstrap,
    slope_draws,
    within_draws,
)
from analyze.metrics.image_draws import DrawnCells, ImageDraws
from analyze.questions import Part, Question
from analyze.replicates import Replicates, panel_of
from analyze.results import Rank
from store.vocabulary import Half

Floats = NDArray[np.float64]

_SAME: Final = 1e-9
"""A measure taken image by image is the stored one to rounding; else nothing is printed of it."""


def with_new_images(
    question: Question, answer: Answer, replicates: Replicates, draws: ImageDraws | None
) -> Answer:
    """Add the seed x image bootstrap to the answer of a deciding question, of 3 seeds or more.

    draws: None where the store was not asked for them. Published forms have none: they pool
    batches in the order of the images, and take the best epoch on them.
    """
    primary = answer.primary
    shared = replicates.pools is not None  # it draws seeds, not pools
    asked = question.deciding and answer.seeds >= MINIMUM_SEEDS and not shared
    if primary is None or draws is None or not asked:
        return answer
    find = _trend if question.is_trend else _association
    estimate = find(question, answer.part, replicates, draws, primary)
    beside = evidence_of(about(question, answer.part), [estimate], Rank.BESIDE)
    return replace(answer, evidence=(*answer.evidence, *beside))


def _trend(
    question: Question, part: Part, replicates: Replicates, draws: ImageDraws, primary: Estimate
) -> Estimate:
    panel = panel_of(replicates.students, arm=question.arm, outcome=part.outcome).panel
    cells = None if panel is None else _of_panel(question, part, panel, draws)
    if panel is None or cells is None:
        return replace(described(primary), caveats=(NOT_DRAWN,))
    moved = cells.moved.reshape(*panel.values.shape, -1)
    return seed_image_bootstrap(primary, slope_draws(panel, moved), images=draws.images)


def _of_panel(question: Question, part: Part, panel: Panel, draws: ImageDraws) -> DrawnCells | None:
    seeds, doses = panel.values.shape
    cells = draws.cells(
        arm=question.arm,
        half=Half.ALL,
        measure=part.outcome,
        blocks=np.repeat(panel.blocks, doses).tolist(),
        strengths=list(panel.doses) * seeds,
    )
    return cells if cells is not None and _agrees(cells, panel.values.ravel()) else None


def _association(
    question: Question, part: Part, replicates: Replicates, draws: ImageDraws, primary: Estimate
) -> Estimate:
    rows = rows_of(question, part.predictor, part.outcome, replicates)
    if isinstance(rows, str) or primary.estimate is None:
        return replace(described(primary), caveats=(NOT_DRAWN,))
    x = _of_rows(question, part.predictor, rows, draws, outcome=False)
    y = _of_rows(question, part.outcome, rows, draws, outcome=True)
    if x is None or y is None:
        return replace(described(primary), caveats=(NOT_DRAWN,))
    drawn = within_draws(rows.regression(), primary.estimate, x, y)
    return seed_image_bootstrap(primary, drawn, images=draws.images)


def _of_rows(
    question: Question, measure: str, rows: Rows, draws: ImageDraws, *, outcome: bool
) -> Floats | None:
    """Change of a measure on every row of the regression, shape (rows, draws).

    Rows are those of the two tables, one below the other: the predictor on half a with the
    outcome on b, then swapped; or those of the one table on all images.
    """
    halves = (Half.ALL,)
    if rows.halves:
        halves = (Half.B, Half.A) if outcome else (Half.A, Half.B)
    found: list[Floats] = []
    for table, half in zip(rows.tables, halves, strict=True):
        cells = draws.cells(
            arm=question.arm,
            half=half,
            measure=measure,
            blocks=table.block.tolist(),
            strengths=table.dose.tolist(),
            conditions=None if table.condition is None else table.condition.tolist(),
        )
        if cells is None or not _agrees(cells, _measured(table, outcome=outcome)):
            return None
        found.append(cells.moved)
    return np.concatenate(found)


def _measured(table: Table, *, outcome: bool) -> Floats:
    return table.y if outcome else table.x


def _agrees(cells: DrawnCells, measured: Floats) -> bool:
    return bool(np.allclose(cells.value, measured, rtol=0, atol=_SAME))
