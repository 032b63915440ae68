"""A student's predicted labels against its ensemble's: the information measures."""

from collections.abc import Callable
from typing import Final

import numpy as np
import polars as pl

from analyze.metrics.answers import MODEL_FAILED, NO_IMAGES, Answer
from analyze.metrics.contingency import Counts, LabelledContingency, UndefinedError
from analyze.metrics.information import (
    CONDITIONAL_ESTIMATOR,
    Estimator,
    Information,
    adjusted_mutual_information,
    choose_estimator,
    conditional_mutual_information,
    mutual_information,
    second_estimator,
)
from store.vocabulary import Half

ADJUSTED_ESTIMATOR: Final = "exact expectation at fixed margins, arithmetic mean of the entropies"
NOT_PREDICTED: Final = "predictions of test images are missing, or their logits are not finite"
_CLASSES: Final = ("label", "ensemble_class", "student_class")


def label_answers(
    cells: pl.DataFrame | None, half: Half, *, images: int, classes: int, failed: bool
) -> tuple[Answer, ...]:
    """Answer all information measures of one student on one half of the test images.

    cells: label, ensemble_class, student_class, images: one row per occupied cell; None when
    the store has none. images: test images in the half, all of which must be counted in cells.
    failed: whether the student or one of its teachers failed.
    """
    reason = MODEL_FAILED if failed else _why_not(cells, images)
    table = None if reason or cells is None else _table(cells)
    chosen = choose_estimator(classes)

    second = second_estimator(classes)

    def by(estimator: Estimator) -> Callable[[LabelledContingency], Information]:
        return lambda table: mutual_information(table.pooled(), estimator)

    def of_index(table: LabelledContingency) -> float:
        return adjusted_mutual_information(table.pooled())

    def answer(
        measure: str,
        estimator: str,
        estimate: Callable[[LabelledContingency], Information | float],
    ) -> Answer:
        if table is None:
            return Answer(measure=measure, half=half, estimator=estimator, reason=reason)
        try:
            found = estimate(table)
        except UndefinedError as undefined:
            return Answer(measure=measure, half=half, estimator=estimator, reason=str(undefined))
        value, bias = (
            (found.estimate_bits, found.bias_bits)
            if isinstance(found, Information)
            else (found, None)
        )
        return Answer(measure=measure, half=half, estimator=estimator, value=value, bias=bias)

    return (
        answer("mutual_information_bits", chosen, by(chosen)),
        answer("mutual_information_second_bits", second, by(second)),
        answer(
            "conditional_mutual_information_bits",
            CONDITIONAL_ESTIMATOR,
            conditional_mutual_information,
        ),
        answer("adjusted_mutual_information", ADJUSTED_ESTIMATOR, of_index),
    )


def _why_not(cells: pl.DataFrame | None, images: int) -> str | None:
    if images == 0:
        return NO_IMAGES
    if cells is None or any(cells[column].null_count() for column in _CLASSES):
        return NOT_PREDICTED
    return None if cells["images"].sum() == images else NOT_PREDICTED


def _table(cells: pl.DataFrame) -> LabelledContingency:
    occupied = cells.filter(pl.col("images") > 0)
    return LabelledContingency(*(_whole(occupied[column]) for column in (*_CLASSES, "images")))


def _whole(column: pl.Series) -> Counts:
    return column.cast(pl.Int64).to_numpy().astype(np.int64)
