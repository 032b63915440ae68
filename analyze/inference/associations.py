"""Whether outcome and predictor move together within seeds, beyond what strength explains.

Strength moves predictor and outcome both, so any association that does not hold it fixed is
found whether or not the two have to do with each other. Here seed AND strength are factors.
"""

import math
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from analyze.inference.cluster_robust import (
    SMALL_DF,
    RobustCoefficient,
    cr2,
    is_exact,
    t_interval,
    t_p_value,
)
from analyze.inference.estimate import Estimate, Table
from analyze.results import FitPoint

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

MINIMUM_SEEDS: Final = 3
"""Below this many seed blocks an association is described, not tested."""

FEW_SEEDS: Final = "fewer than 3 seeds: described, not tested"
ONE_STRENGTH: Final = "only one strength: nothing varies within a seed"
CONSTANT_X: Final = "the predictor does not vary once seed and strength are held fixed"
NO_ERROR: Final = "no residual variation is left to test against"
FEW_DF: Final = "Satterthwaite df below 4: the p-value is approximate"
DISCONNECTED: Final = "seeds share too few strengths to tell seed from strength"

_CONSTANT: Final = 1e-10
"""A residual predictor below this share of the predictor's size is rounding."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WithinRegression:
    """A regression of y on x with factors, clustered by seed block; as ``two_way`` builds it.

    block, dose, x, y: shape (rows,). factors: the factors' indicator columns, shape (rows,
    columns), which may depend on one another. x_within, y_within: residuals of x and y on the
    factors (deviations from seed and strength means where every cell is filled).
    """

    block: Ints
    dose: Floats
    x: Floats
    y: Floats
    factors: Floats
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Mundlak:
    """One predictor's three slopes. Units: outcome per unit of predictor.

    within: at fixed seed and strength. between_seed: along the seeds' adjusted means.
    between_strength: along the strengths' adjusted means. context: between_seed - within.
    """

    within: Estimate
    between_seed: Estimate
    between_strength: Estimate
    context: Estimate


def two_way(table: Table) -> WithinRegression:
    """Set up y ~ x + seed factor + strength factor."""
    factors = two_way_factors(table.block, table.dose)
    return _regression(table.block, table.dose, table.x, table.y, factors)


def split_halves(table_ab: Table, table_ba: Table) -> WithinRegression:
    """Set up the split-half regression: both halves stacked, each with its own factors.

    table_ab: x on half A of the test images, y on half B; table_ba: x on B, y on A; the same
    students in the same order. Factors are seed x half and strength x half; clusters seeds.
    Raises ValueError where the two tables list different students.
    """
    same = np.array_equal(table_ab.block, table_ba.block)
    if not (same and np.array_equal(table_ab.dose, table_ba.dose)):
        raise ValueError(
            "the halves list different students; drop a student that one half lacks from both"
        )
    factors = two_way_factors(table_ab.block, table_ab.dose)
    return _regression(
        np.concatenate([table_ab.block, table_ba.block]),
        np.concatenate([table_ab.dose, table_ba.dose]),
        np.concatenate([table_ab.x, table_ba.x]),
        np.concatenate([table_ab.y, table_ba.y]),
        np.asarray(linalg.block_diag(factors, factors), dtype=np.float64),
    )


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
    the slope towards 0 by the factor that ``split_half_reliability`` estimates.
    Raises ValueError where the two tables list different students.
    """
    method = (
        "predictor on one half of the test images, outcome on the other, and swapped; seed and "
        "strength as factors within each half; CR2 variance clustered by seed, Satterthwaite "
        "df (Pustejovsky & Tipton 2018)"
    )
    regression = split_halves(table_ab, table_ba)
    return within_cr2(regression, test="split_half_within_cr2", method=method, level=level)


def within_cr2(
    regression: WithinRegression, *, test: str, method: str, level: float = 0.95
) -> Estimate:
    """Slope of a within regression with CR2 standard error by seed and Satterthwaite t."""
    described = _describe(regression, test=test, method=method)
    if described.caveats:
        return described
    # x's residual gives the same coefficient as x and a design that is well conditioned
    design = np.column_stack([regression.x_within, regression.factors])
    contrast = np.zeros(design.shape[1])
    contrast[0] = 1.0
    robust = cr2(design, regression.y, regression.block, contrast)
    return described if robust is None else with_robust_t(described, robust, level)


def two_way_within_ols(table: Table, *, level: float = 0.95) -> Estimate:
    """Slope of y on x at fixed seed and strength, with the ordinary least squares t.

    Test ``two_way_within_ols``. Rejects too often where slopes on strength differ between
    seeds; printed beside the CR2 test, never in its place.
    """
    regression = two_way(table)
    described = _describe(
        regression,
        test="two_way_within_ols",
        method="ordinary least squares with seed and strength as factors; residual t",
    )
    if described.caveats or described.estimate is None:
        return described
    residuals = regression.y_within - described.estimate * regression.x_within
    df = described.rows - int(np.linalg.matrix_rank(regression.factors)) - 1
    if df < 1 or is_exact(residuals, regression.y):
        return replace(described, caveats=(NO_ERROR,))
    spread = float(regression.x_within @ regression.x_within)
    error = math.sqrt(float(residuals @ residuals) / df / spread)
    return _with_t(described, error, float(df), level)


def split_half_reliability(table_ab: Table, table_ba: Table) -> Estimate:
    """Return how far noise of the predictor pulls the split-half slope towards 0 (1: not at all).

    sum(xA~ xB~) / (sum(xA~^2 + xB~^2) / 2): the share of the predictor's within variation that
    both halves of the test images agree on. Not tested. May be negative by chance.
    Raises ValueError where the two tables list different students.
    """
    regression = split_halves(table_ab, table_ba)
    described = _describe(
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


def mundlak(table: Table, *, level: float = 0.95) -> Mundlak:
    """Within, between-seed and between-strength slopes in one regression, CR2 by seed.

    x is split into its residual on seed and strength and the additive fit's seed and strength
    effects; the within slope equals ``two_way_within``'s. Tests ``mundlak_within``,
    ``mundlak_between_seed``, ``mundlak_between_strength``, ``mundlak_context``.
    Source: Mundlak (1978), Econometrica 46(1); Wooldridge (2021), two-way Mundlak regression.
    """
    regression = two_way(table)
    parts = additive_parts(table.block, table.dose, table.x)
    names = ("within", "between_seed", "between_strength", "context")
    blank = [_blank(regression, name) for name in names]
    if parts is None or np.unique(table.dose).size < 2:
        reason = ONE_STRENGTH if np.unique(table.dose).size < 2 else DISCONNECTED
        found = [replace(one, caveats=(reason,)) for one in blank]
    else:
        design = np.column_stack([np.ones(len(table.y)), *parts])
        contrasts = np.array([[0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1], [0, -1, 1, 0]], float)
        found = [
            _fit_contrast(one, design, table, contrast, level)
            for one, contrast in zip(blank, contrasts, strict=True)
        ]
    return Mundlak(
        within=found[0], between_seed=found[1], between_strength=found[2], context=found[3]
    )


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
    slopes = t_interval(estimate.estimate, estimate.standard_error, estimate.df, level)
    return WithinFit(
        points=points,
        x=ends,
        y=line,
        low=tuple(min(slopes.low * at, slopes.high * at) for at in ends),
        high=tuple(max(slopes.low * at, slopes.high * at) for at in ends),
    )


def two_way_factors(block: Ints, dose: Floats) -> Floats:
    """Return indicator columns of seed and strength, the first strength left out."""
    seeds = block[:, None] == np.unique(block)
    strengths = dose[:, None] == np.unique(dose)[1:]
    return np.hstack([seeds, strengths]).astype(np.float64)


def residual(factors: Floats, values: Floats) -> Floats:
    """Return what least squares on the factors leaves of values, shape (rows,)."""
    left, singular, _ = np.linalg.svd(factors, full_matrices=False)
    basis = left[:, singular > _CONSTANT * singular.max(initial=0.0)]
    once = values - basis @ (basis.T @ values)
    return once - basis @ (basis.T @ once)


def varies(remainder: Floats, original: Floats) -> bool:
    """Whether a residual is more than rounding, beside the values that it is a residual of."""
    return float(np.linalg.norm(remainder)) > _CONSTANT * float(np.linalg.norm(original))


def additive_parts(
    block: Ints, dose: Floats, values: Floats
) -> tuple[Floats, Floats, Floats] | None:
    """Split values into residual, seed effect and strength effect, each of shape (rows,).

    Effects are those of the additive least squares fit, centred over the rows: means where
    every cell is filled, means adjusted for the missing cells elsewhere. A part that is rounding
    is 0. None where the seeds do not share enough strengths to tell the two apart.
    """
    factors = two_way_factors(block, dose)
    if values.size == 0 or np.linalg.matrix_rank(factors) < factors.shape[1]:
        return None
    coefficients = np.linalg.lstsq(factors, values, rcond=None)[0]
    seeds = len(np.unique(block))
    seed_part = factors[:, :seeds] @ coefficients[:seeds]
    strength_part = factors[:, seeds:] @ coefficients[seeds:]
    parts = (
        residual(factors, values),
        seed_part - seed_part.mean(),
        strength_part - strength_part.mean(),
    )
    within, seed, strength = (
        part if varies(part, values) else np.zeros_like(part) for part in parts
    )
    return within, seed, strength


def with_robust_t(described: Estimate, robust: RobustCoefficient, level: float) -> Estimate:
    """Add a robust coefficient's t test and interval to an estimate that has neither."""
    if described.n < MINIMUM_SEEDS:
        return replace(described, estimate=robust.estimate, caveats=(FEW_SEEDS,))
    if not robust.testable:
        return replace(described, estimate=robust.estimate, caveats=(NO_ERROR,))
    fitted = replace(described, estimate=robust.estimate)
    tested = _with_t(fitted, robust.standard_error, robust.df, level)
    return replace(tested, caveats=(FEW_DF,)) if robust.df < SMALL_DF else tested


def _regression(
    block: Ints, dose: Floats, x: Floats, y: Floats, factors: Floats
) -> WithinRegression:
    return WithinRegression(
        block=block,
        dose=dose,
        x=x,
        y=y,
        factors=factors,
        x_within=residual(factors, x),
        y_within=residual(factors, y),
    )


def _describe(
    regression: WithinRegression, *, test: str, method: str, value_name: str = "slope"
) -> Estimate:
    """Return the slope alone, with the caveat that forbids more, if there is one."""
    x, y = regression.x_within, regression.y_within
    caveats: tuple[str, ...] = ()
    slope: float | None = None
    if len(np.unique(regression.dose)) < 2:
        caveats = (ONE_STRENGTH,)
    elif not varies(x, regression.x):
        caveats = (CONSTANT_X,)
    else:
        slope = float(x @ y) / float(x @ x)
        caveats = (FEW_SEEDS,) if regression.seeds < MINIMUM_SEEDS else ()
    return Estimate(
        test=test,
        method=method,
        value_name=value_name,
        estimate=slope,
        n=regression.seeds,
        rows=len(y),
        caveats=caveats,
    )


def _with_t(described: Estimate, error: float, df: float, level: float) -> Estimate:
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
        p_value=t_p_value(statistic, df),
        interval=t_interval(described.estimate, error, df, level),
    )


def _blank(regression: WithinRegression, part: str) -> Estimate:
    return Estimate(
        test=f"mundlak_{part}",
        method="within/between regression (Mundlak 1978), CR2 variance clustered by seed",
        value_name="slope_difference" if part == "context" else "slope",
        estimate=None,
        n=regression.seeds,
        rows=len(regression.y),
    )


def _fit_contrast(
    blank: Estimate, design: Floats, table: Table, contrast: Floats, level: float
) -> Estimate:
    """One slope of the Mundlak regression."""
    if blank.n < 2:
        return replace(blank, caveats=(FEW_SEEDS,))
    robust = cr2(design, table.y, table.block, contrast)
    if robust is None:
        return replace(blank, caveats=("the predictor does not vary along this part",))
    return with_robust_t(blank, robust, level)
