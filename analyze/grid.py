"""One arm's measures and variants, laid out by seed block and strength."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from analyze.replicates import Replicates
from analyze.specifications import BEST_EPOCH_GAP, Variant
from store.measures import BY_NAME
from store.vocabulary import Half

ALL, HALF_A, HALF_B = range(3)
"""Places of the test images used along a grid's first axis."""

_HALVES: Final = (Half.ALL, Half.A, Half.B)

Floats = NDArray[np.float64]
_Cells = tuple[NDArray[np.intp], NDArray[np.intp]]
"""Block and condition of each row, as places in a grid."""


@dataclass(frozen=True, slots=True)
class Grid:
    """One arm's values by seed block and condition; NaN where there is none.

    blocks: ascending. doses: strength of each condition, ascending; conditions that share one
    stand side by side. values: by column, shape (3, blocks, conditions): all test images, half
    a, half b.
    """

    blocks: NDArray[np.int64]
    doses: Floats
    values: Mapping[str, Floats]

    def of(self, variant: Variant) -> Floats:
        """Return a variant's values, turned where it rises as the claim's measure falls."""
        return variant.sign * self.values[variant.column]

    @property
    def shared(self) -> bool:
        """Whether conditions share a strength."""
        return len(np.unique(self.doses)) < len(self.doses)

    def by_dose(self, cells: Floats) -> tuple[Floats, Floats]:
        """Average the conditions of each strength that have any value.

        cells: shape (..., blocks, conditions). Returns distinct strengths and cells of shape
        (..., blocks, strengths): NaN where one of those conditions has none, or none has any.
        """
        if not self.shared:
            return self.doses, cells
        somewhere = np.isfinite(cells).any(axis=tuple(range(cells.ndim - 1)))
        distinct = np.unique(self.doses)
        means = np.full((*cells.shape[:-1], len(distinct)), np.nan)
        for place, dose in enumerate(distinct):
            kept = somewhere & (self.doses == dose)
            if kept.any():
                means[..., place] = cells[..., kept].mean(axis=-1)
        return distinct, means

    def has(self, variant: Variant) -> bool:
        """Whether the arm has any value of a variant."""
        values = self.values.get(variant.column)
        return values is not None and bool(np.isfinite(values[ALL]).any())


def grid_of(replicates: Replicates, variants: pl.DataFrame, *, arm: str) -> Grid:
    """Lay out every measure and variant of one arm by block and condition."""
    students = replicates.students.filter(pl.col("arm") == arm)
    halves = replicates.halves.filter(pl.col("arm") == arm)
    blocks = students["block"].unique().sort().to_numpy().astype(np.int64)
    conditions = students.select("teacher_strength", "condition_id").unique().sort(pl.all())
    columns = {name: place for place, name in enumerate(conditions["condition_id"].to_list())}
    values: dict[str, Floats] = {}

    def put(rows: pl.DataFrame, column: str, name: str, half: int, place: _Cells) -> None:
        if name not in values:
            values[name] = np.full((len(_HALVES), len(blocks), conditions.height), np.nan)
        # NULL is NaN here
        values[name][(half, *place)] = rows[column].to_numpy()

    def cells(rows: pl.DataFrame) -> _Cells:
        by = np.array([columns[name] for name in rows["condition_id"].to_list()], dtype=np.intp)
        return np.searchsorted(blocks, rows["block"].to_numpy()), by

    frames = [(ALL, students.with_columns(_best_epoch_gap(students)))]
    frames += [(half, halves.filter(pl.col("half") == _HALVES[half])) for half in (HALF_A, HALF_B)]
    for half, rows in frames:
        place = cells(rows)
        present = [column for column in (*BY_NAME, BEST_EPOCH_GAP) if column in rows.columns]
        measured = rows.select(pl.col(present).cast(pl.Float64))
        for column in present:
            put(measured, column, column, half, place)
    keys = students.select("student_id", "block", "condition_id")
    for (name, half), group in variants.join(keys, on="student_id").group_by("variant", "half"):
        put(group, "value", str(name), _HALVES.index(Half(half)), cells(group))
    doses = conditions["teacher_strength"].to_numpy().astype(np.float64)
    return Grid(blocks, doses, values)


def _best_epoch_gap(students: pl.DataFrame) -> list[pl.Expr]:
    needed = ("train_accuracy", "test_accuracy_published")
    if not set(needed) <= set(students.columns):
        return []
    return [(pl.col(needed[0]) - pl.col(needed[1])).alias(BEST_EPOCH_GAP)]
