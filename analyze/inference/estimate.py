"""What one test returns, before it is tied to a claim."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analyze.results import Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class Attenuation:
    """How much of a slope shows where its predictor has noise of its own.

    share: slope of the predictor measured once more, with other noise, on the predictor: what a
    slope is expected to show of its size. error: standard error of the share. covariance: of the
    slope and the share.
    """

    share: float
    error: float
    covariance: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """One test's answer. Fields as in ``analyze.results.Evidence``.

    test: a stable identifier; method: in words, with its source. n: seeds; rows: observations.
    estimate and p_value are None where the test gives none (and ``caveats`` says why).
    attenuation: of a slope on a predictor that is measured twice, else None.
    """

    test: str
    method: str
    value_name: str
    estimate: float | None
    n: int
    rows: int
    standard_error: float | None = None
    statistic_name: str | None = None
    statistic: float | None = None
    df: float | None = None
    p_value: float | None = None
    smallest_p: float | None = None
    interval: Interval | None = None
    caveats: tuple[str, ...] = ()
    attenuation: Attenuation | None = None


@dataclass(frozen=True, slots=True)
class Panel:
    """Complete blocks: one outcome per seed and dose.

    blocks: labels of the seed blocks, length n. doses: augmentation strengths, ascending, length k.
    values: shape (n, k), finite.
    """

    blocks: tuple[int | str, ...]
    doses: tuple[float, ...]
    values: NDArray[np.float64]

    def __post_init__(self) -> None:
        """Refuse shapes that do not fit, unordered doses and values that are not finite."""
        shape = (len(self.blocks), len(self.doses))
        if self.values.shape != shape:
            raise ValueError(
                f"values have shape {self.values.shape}; blocks and doses give {shape}"
            )
        if list(self.doses) != sorted(set(self.doses)):
            raise ValueError(f"doses {self.doses} are not ascending and distinct")
        if not np.isfinite(self.values).all():
            raise ValueError("values must be finite; drop incomplete blocks first")


@dataclass(frozen=True, slots=True)
class Table:
    """Replicates in long form, not necessarily balanced: one row per student.

    block: seed block, int, shape (rows,). dose: strength, shape (rows,). x: predictor, y:
    outcome, shape (rows,), finite. condition: shape (rows,), where conditions share a strength;
    None where strength tells them apart.
    """

    block: NDArray[np.int64]
    dose: NDArray[np.float64]
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    condition: NDArray[np.int64] | None = None

    @property
    def cell(self) -> NDArray[np.float64]:
        """Levels of the factor that within associations hold fixed beside seed, shape (rows,)."""
        return self.dose if self.condition is None else self.condition.astype(np.float64)

    def only(self, kept: NDArray[np.bool_]) -> "Table":
        """Return some of the rows."""
        condition = None if self.condition is None else self.condition[kept]
        return Table(self.block[kept], self.dose[kept], self.x[kept], self.y[kept], condition)

    def __post_init__(self) -> None:
        """Refuse columns of different lengths and values that are not finite."""
        lengths = {len(self.block), len(self.dose), len(self.x), len(self.y), len(self.cell)}
        if len(lengths) != 1:
            raise ValueError(f"columns have different lengths: {sorted(lengths)}")
        if not (np.isfinite(self.x).all() and np.isfinite(self.y).all()):
            raise ValueError("x and y must be finite; drop incomplete rows first")
