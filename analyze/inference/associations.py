"""Whether outcome and predictor move together within seeds, beyond what strength explains.

Strength moves predictor and outcome both, so any association that does not hold it fixed is
found whether or not the two have to do with each other. Here seed AND strength are factors.
"""

import math
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from analyze.inference.cluster_robust import (
    SMALL_DF,
    RobustCoefficient,
    RobustCoefficients,
    cr2_together,
    is_exact,
)
from analyze.inference.estimate import Attenuation, Estimate, Table
from analyze.inference.factors import Factors, codes_of, two_way_factors
from analyze.inference.sample import FEWEST_SEEDS, TOO_FEW, t_interval
from analyze.inference.student_t import two_sided_p
from analyze.results import FitPoint

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

ONE_STRENGTH: Final = "only one strength: nothing varies within a seed"
CONSTANT_X: Final = "the predictor does not vary once seed and strength are held fixed"
NO_ERROR: Final = "no residual variation is left to test against"
FEW_DF: Final = "Satterthwaite df below 4: the p-value is approximate"

_CONSTANT: Final = 1e-10
"""A residual predictor below this share of the predictor's size is rounding."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WithinRegression:
    """A regression of y on x with factors, clustered by seed block; as ``two_way`` builds it.

    block, dose, cell, x, y: shape (rows,). cell: as of ``Table``. factors: seed and cell, of each
    half.
    x_within, y_within: residuals of x and y on the
    factors (deviations from seed and strength means where every cell is filled).
    """

    block: Ints
    dose: Floats
    cell: Floats
    x: Floats
    y: Floats
    factors: Factors
    x_within: Floats
    y_within: Floats

    @property
    def seeds(self) -> int:
        """Number of seed blocks."""
        return len(np.unique(self.block))


@dataclass(frozen=True, slots=True, kw_only=True)
class WithinFit:
    """What the figure of a within association draws, in deviations from seed and strength.

    points: one per row. x, y: the fitted line at its ends and at 0, where its band is 0 wide;
    empty where the slope is not known. low, high: the band, None where nothing is tested.
    """

    points: tuple[FitPoint, ...]
    x: tuple[float, ...]
    y: tuple[float, ...]
    low: tuple[float, ...] | None
    high: tuple[float, ...] | None


def two_way(table: Table) -> WithinRegression:
    """Set up y ~ x + seed factor + strength factor."""
    factors = two_way_factors(table.block, table.cell)
    return _regression(table.block, table.dose, table.cell, table.x, table.y, factors)


def split_halves(table_ab: Table, table_ba: Table) -> WithinRegression:
    """Set up the split-half regression: both halves stacked, each with its own factors.

    table_ab: x on half A of the test images, y on half B; table_ba: x on B, y on A; the same
    students in the same order. Factors are seed x half and strength x half; clusters seeds.
    Raises ValueError where the two tables list different students.
    """
    same_students(table_ab, table_ba)
    half = two_way_factors(table_ab.block, table_ab.cell)
    strengths = np.asarray(np.kron(np.eye(2), half.others), dtype=np.float64)
    groups = np.concatenate([half.groups, half.groups + half.groups.max(initial=-1) + 1])
    factors = Factors(groups, strengths)
    return _regression(
        np.concatenate([table_ab.block, table_ba.block]),
        np.concatenate([table_ab.dose, table_ba.dose]),
        np.concatenate([table_ab.cell, table_ba.cell]),
        np.concatenate([table_ab.x, table_ba.x]),
        np.concatenate([table_ab.y, table_ba.y]),
        factors,
    )


def same_students(one: Table, other: Table) -> tuple[Table, Table]:
    """Return both tables. Raises ValueError where they list different students."""
    blocks = np.array_equal(one.block, other.block)
    if not (blocks and np.array_equal(one.cell, other.cell)):
        raise ValueError(
            "the halves list different students; drop a student that one half lacks from both"
        )
    return one, other


def two_way_within(table: Table, *, level: float = 0.95) -> Estimate:
    """Slope of y on x at fixed seed and strength; CR2 by seed, Satterthwaite t.

    Test ``two_way_within_cr2``. Holds its level where slopes on strength differ between seeds.
    """
    method = (
        "ordinary least squares with seed and strength as factors; CR2 variance clustered by "
        "seed, Satterthwaite df (Pustejovsky & Tipton 2018)"
    )
    return within_cr2(two_way(table), test="two_way_within_cr2", method=method, level=level)


def split_half_within(table_ab: Table, table_ba: Table, *, level: float = 0.95) -> Estimate:
    """Slope of y on x at fixed seed and strength, free of shared test images.

    The predictor is measured on one half of the test images and the outcome on the other, and
    swapped: slope = sum(xA~ yB~ + xB~ yA~) / sum(xA~^2 + xB~^2), ~ residuals on seed and
    strength within each half. Test ``split_half_within_cr2``. Noise of the predictor pulls
    the slope towards 0 by the factor that ``split_half_reliability`` estimates; ``attenuation``
    says what is known of it.
    Raises ValueError where the two tables list different students.
    """
    method = (
        "predictor on one half of the test images, outcome on the other, and swapped; seed and "
        "strength as factors within each half; CR2 variance clustered by seed, Satterthwaite "
        "df (Pustejovsky & Tipton 2018)"
    )
    regression = split_halves(table_ab, table_ba)
    found, robust = _fitted(
        regression,
        np.column_stack([regression.y, np.concatenate([table_ba.x, table_ab.x])]),
        test="split_half_within_cr2",
        method=method,
        level=level,
    )
    if robust is None or found.standard_error is None:
        return found
    return replace(
        found,
        attenuation=Attenuation(
            share=float(robust.estimate[1]),
            error=math.sqrt(robust.covariance[1, 1]),
            covariance=float(robust.covariance[0, 1]),
        ),
    )


def within_cr2(
    regression: WithinRegression, *, test: str, method: str, level: float = 0.95
) -> Estimate:
    """Slope of a within regression with CR2 standard error by seed and Satterthwaite t."""
    outcomes = regression.y[:, None]
    return _fitted(regression, outcomes, test=test, method=method, level=level)[0]


def _fitted(
    regression: WithinRegression, outcomes: Floats, *, test: str, method: str, level: float
) -> tuple[Estimate, RobustCoefficients | None]:
    """Fit several outcomes, shape (rows, outcomes), of which the first is the regression's own."""
    described = describe(regression, test=test, method=method)
    if described.caveats:
        return described, None
    # x's residual gives the same coefficient as x and a design that is well conditioned
    factors = regression.factors
    design = np.column_stack([regression.x_within, factors.basis])
    contrast = np.eye(1, design.shape[1]).ravel()
    clusters = codes_of(regression.block)
    robust = cr2_together(design, outcomes, clusters, contrast, groups=factors.groups)
    if robust is None:
        return described, None
    return with_robust_t(described, robust.of(0), level), robust


def two_way_within_ols(table: Table, *, level: float = 0.95) -> Estimate:
    """Slope of y on x at fixed seed and strength, with the ordinary least squares t.

    Test ``two_way_within_ols``. Rejects too often where slopes on strength differ between
    seeds; printed beside the CR2 test, never in its place.
    """
    regression = two_way(table)
    described = describe(
        regression,
        test="two_way_within_ols",
        method="ordinary least squares with seed and strength as factors; residual t",
    )
    if described.caveats or described.estimate is None:
        return described
    residuals = regression.y_within - described.estimate * regression.x_within
    df = described.rows - regression.factors.rank - 1
    if df < 1 or is_exact(residuals, regression.y):
        return replace(described, caveats=(NO_ERROR,))
    spread = float(regression.x_within @ regression.x_within)
    error = math.sqrt(float(residuals @ residuals) / df / spread)
    return with_t(described, error, float(df), level)


def split_half_reliability(table_ab: Table, table_ba: Table) -> Estimate:
    """Return how far noise of the predictor pulls the split-half slope towards 0 (1: not at all).

    sum(xA~ xB~) / (sum(xA~^2 + xB~^2) / 2): the share of the predictor's within variation that
    both halves of the test images agree on. Not tested. May be negative by chance.
    Raises ValueError where the two tables list different students.
    """
    regression = split_halves(table_ab, table_ba)
    described = describe(
        regression,
        test="split_half_reliability",
        method="agreement of the predictor's within deviations on the two halves",
        value_name="reliability",
    )
    if described.estimate is None:
        return described
    on_a, on_b = np.split(regression.x_within, 2)
    value = 2 * float(on_a @ on_b) / float(on_a @ on_a + on_b @ on_b)
    return replace(described, estimate=value)


def fit_points(
    regression: WithinRegression, estimate: Estimate, *, level: float = 0.95
) -> WithinFit:
    """Return the residual points, fitted line and band of a within regression, for its figure.

    estimate: what ``within_cr2`` or the functions above it made of the same regression.
    """
    columns = (regression.block, regression.dose, regression.x_within, regression.y_within)
    points = tuple(
        FitPoint(block=int(block), strength=float(dose), x=float(x), y=float(y))
        for block, dose, x, y in zip(*columns, strict=True)
    )
    if estimate.estimate is None:
        return WithinFit(points=points, x=(), y=(), low=None, high=None)
    ends = (float(regression.x_within.min()), 0.0, float(regression.x_within.max()))
    line = tuple(estimate.estimate * at for at in ends)
    if estimate.standard_error is None or estimate.df is None:
        return WithinFit(points=points, x=ends, y=line, low=None, high=None)
    slopes = t_interval(estimate.estimate, estimate.standard_error, estimate.df, level=level)
    return WithinFit(
        points=points,
        x=ends,
        y=line,
        low=tuple(min(slopes.low * at, slopes.high * at) for at in ends),
        high=tuple(max(slopes.low * at, slopes.high * at) for at in ends),
    )


def describe(
    regression: WithinRegression, *, test: str, method: str, value_name: str = "slope"
) -> Estimate:
    """Return the slope alone, with the caveat that forbids more, if there is one."""
    x, y = regression.x_within, regression.y_within
    caveats: tuple[str, ...] = ()
    slope: float | None = None
    if len(np.unique(regression.cell)) < 2:
        caveats = (ONE_STRENGTH,)
    elif not varies(x, regression.x):
        caveats = (CONSTANT_X,)
    else:
        slope = float(x @ y) / float(x @ x)
        caveats = (TOO_FEW,) if regression.seeds < FEWEST_SEEDS else ()
    return Estimate(
        test=test,
        method=method,
        value_name=value_name,
        estimate=slope,
        n=regression.seeds,
        rows=len(y),
        caveats=caveats,
    )


def varies(remainder: Floats, original: Floats) -> bool:
    """Whether a residual is more than rounding, beside the values that it is a residual of."""
    return float(np.linalg.norm(remainder)) > _CONSTANT * float(np.linalg.norm(original))


def with_robust_t(described: Estimate, robust: RobustCoefficient, level: float) -> Estimate:
    """Add a robust coefficient's t test and interval to an estimate that has neither."""
    if described.n < FEWEST_SEEDS:
        return replace(described, estimate=robust.estimate, caveats=(TOO_FEW,))
    if not robust.testable:
        return replace(described, estimate=robust.estimate, caveats=(NO_ERROR,))
    fitted = replace(described, estimate=robust.estimate)
    tested = with_t(fitted, robust.standard_error, robust.df, level)
    return replace(tested, caveats=(FEW_DF,)) if robust.df < SMALL_DF else tested


def _regression(
    block: Ints, dose: Floats, cell: Floats, x: Floats, y: Floats, factors: Factors
) -> WithinRegression:
    return WithinRegression(
        block=block,
        dose=dose,
        cell=cell,
        x=x,
        y=y,
        factors=factors,
        x_within=factors.residual(x),
        y_within=factors.residual(y),
    )


def with_t(described: Estimate, error: float, df: float, level: float) -> Estimate:
    """Add the two-sided t test and interval of an estimate."""
    if described.estimate is None:
        return described
    statistic = described.estimate / error
    return replace(
        described,
        standard_error=error,
        statistic_name="t",
        statistic=statistic,
        df=df,
        p_value=two_sided_p(statistic, df),
        interval=t_interval(described.estimate, error, df, level=level),
    )
