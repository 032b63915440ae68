"""Whether strength acts on the outcome through a mediator, with a term for every seed.

Linear within seeds: mediator = a strength + seed; outcome = b mediator + direct strength + seed.
Without seed terms, a seed that lifts mediator and outcome both looks like mediation.
"""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from analyze.inference.associations import (
    CONSTANT_X,
    ONE_STRENGTH,
    residual,
    same_students,
    varies,
    with_robust_t,
)
from analyze.inference.cluster_robust import cr2
from analyze.inference.estimate import Estimate, Table
from analyze.inference.sample import FEWEST_SEEDS, TOO_FEW, mean_test
from analyze.results import Interval

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

FEW_FOR_BOOTSTRAP: Final = "below 20 seeds a percentile interval covers less often than it says"
NO_TOTAL: Final = "the total effect's interval contains 0: a share of it has no interval"
LOST_DRAWS: Final = "more than 1 in 20 bootstrap draws have no answer: no interval"
SHARED_IMAGES: Final = "mediator and outcome are measured on the same test images: b is biased"
UNDETERMINED: Final = "the mediator or the outcome does not vary at fixed strength and seed"
NO_JOINT: Final = "one of the two paths has no test"

_PERCENTILE_SEEDS: Final = 20
_LOST_SHARE: Final = 0.05
_ROUNDING: Final = 1e-12


@dataclass(frozen=True, slots=True, kw_only=True)
class MediationPaths:
    """The paths from strength over the mediator to the outcome.

    a: mediator per unit of strength, mean of per-seed slopes, t over seeds. b: outcome per unit
    of mediator at fixed strength and seed, CR2 by seed. joint: both paths differ from 0: p is
    the larger of theirs; its estimate is the ACME. acme: average causal mediation effect, ade:
    direct effect, total: their sum; outcome per unit of strength. proportion: acme / total.
    rho: the correlation of the two models' errors at which the ACME vanishes, in [-1, 1].
    The last five carry percentile intervals over resampled seeds and no p.
    """

    a: Estimate
    b: Estimate
    joint: Estimate
    acme: Estimate
    ade: Estimate
    total: Estimate
    proportion: Estimate
    rho: Estimate
    caveats: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rows:
    """One table, or two stacked, with a seed term for each table: ``groups``, (rows, groups).

    t strength, m mediator, y outcome, shape (rows,); moments: shape (seeds, 6), the within-seed
    sums tt, tm, ty, mm, my, yy of every seed.
    """

    block: Ints
    t: Floats
    m: Floats
    y: Floats
    groups: Floats
    moments: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class _Effects:
    """What summed moments imply, each of one common shape; NaN where undetermined.

    mediator_error, outcome_error: residual sums of squares on strength and seed.
    """

    a: Floats
    acme: Floats
    total: Floats
    rho: Floats
    mediator_error: Floats
    outcome_error: Floats


def mediate(
    table: Table,
    swapped: Table | None = None,
    *,
    rng: np.random.Generator,
    level: float = 0.95,
    draws: int = 9999,
) -> MediationPaths:
    """Estimate the paths strength -> x -> y; x is the mediator, y the outcome.

    swapped: the same students with the halves of the test images exchanged (mediator on half A
    and outcome on B in ``table``, on B and A here). Both are then fitted together, each with
    its own seed terms; noise of the mediator pulls b and the ACME towards 0. Without it, noise
    of shared images biases b. Tests ``mediation_a``, ``_b``, ``_joint``, ``_acme``, ``_ade``,
    ``_total``, ``_proportion``, ``_rho``.
    Raises ValueError where the tables list different students or draws is below 1 or
    level is not in (0, 1).
    Source: Imai, Keele & Yamamoto (2010), Statistical Science 25(1).
    """
    if draws < 1:
        raise ValueError(f"{draws} bootstrap draws: at least one is needed")
    rows = _stack(table, swapped)
    found = _effects(rows.moments.sum(axis=0))
    drawn = _effects(_resampled(rows.moments, rng, draws))
    a, b = _path_a(rows, level), _path_b(rows, level)
    acme = _percentile(rows, "acme", "slope", found.acme, drawn.acme, level)
    total = _percentile(rows, "total", "slope", found.total, drawn.total, level)
    direct = (found.total - found.acme, drawn.total - drawn.acme)
    share = (_ratio(found.acme, found.total), _ratio(drawn.acme, drawn.total))
    return MediationPaths(
        a=a,
        b=b,
        joint=_joint(a, b, acme),
        acme=acme,
        ade=_percentile(rows, "ade", "slope", *direct, level),
        total=total,
        proportion=_of_total(_percentile(rows, "proportion", "proportion", *share, level), total),
        rho=_percentile(rows, "rho", "correlation", found.rho, drawn.rho, level),
        caveats=(SHARED_IMAGES,) if swapped is None else (),
    )


def acme_at(table: Table, rho: Floats, swapped: Table | None = None) -> Floats:
    """Average causal mediation effect if the two models' errors correlate by rho, any shape.

    rho: in (-1, 1). NaN where the table does not determine it. 0 gives the ACME itself.
    Raises ValueError for a rho outside (-1, 1).
    Source: Imai, Keele & Yamamoto (2010), theorem 4.
    """
    if not np.all(np.abs(rho) < 1):
        raise ValueError(f"rho {rho} must lie between -1 and 1")
    effects = _effects(_stack(table, swapped).moments.sum(axis=0))
    scale = effects.a * np.sqrt(effects.outcome_error / effects.mediator_error)
    return scale * (effects.rho - rho * np.sqrt((1 - effects.rho**2) / (1 - rho**2)))


def _stack(table: Table, swapped: Table | None) -> _Rows:
    """Give every table its own seed terms and sum its within-seed products by seed."""
    tables = (table,) if swapped is None else same_students(table, swapped)
    labels = np.unique(table.block)
    member = (table.block[:, None] == labels).astype(np.float64)
    groups = np.kron(np.eye(len(tables)), member)
    t, m, y = (
        np.concatenate([getattr(one, name) for one in tables]) for name in ("dose", "x", "y")
    )
    within = [_centre(groups, column) for column in (t, m, y)]
    pairs = [within[i] * within[j] for i in range(3) for j in range(i, 3)]
    block = np.tile(table.block, len(tables))
    moments = (block == labels[:, None]).astype(np.float64) @ np.stack(pairs, axis=1)
    return _Rows(block=block, t=t, m=m, y=y, groups=groups, moments=moments)


def _centre(groups: Floats, column: Floats) -> Floats:
    """Take out the groups' means; what rounding leaves of a constant group is 0."""
    left = residual(groups, column)
    left[np.abs(left) <= _ROUNDING * np.abs(column).max(initial=0.0)] = 0.0
    return left


def _effects(moments: Floats) -> _Effects:
    """Effects from summed moments tt, tm, ty, mm, my, yy on the last axis."""
    tt, tm, ty, mm, my, yy = np.moveaxis(moments, -1, 0)
    a, total = _ratio(tm, tt), _ratio(ty, tt)
    mediator_error = _remainder(mm, a * tm)
    outcome_error = _remainder(yy, total * ty)
    shared = my - a * ty
    return _Effects(
        a=a,
        acme=a * shared / mediator_error,
        total=total,
        rho=np.clip(shared / np.sqrt(mediator_error * outcome_error), -1, 1),
        mediator_error=mediator_error,
        outcome_error=outcome_error,
    )


def _resampled(moments: Floats, rng: np.random.Generator, draws: int) -> Floats:
    """Sum the moments of as many seeds as there are, drawn with replacement; (draws, 6)."""
    seeds = len(moments)
    if seeds == 0:
        return np.zeros((draws, 6))
    return rng.multinomial(seeds, np.full(seeds, 1 / seeds), size=draws) @ moments


def _ratio(top: Floats, bottom: Floats) -> Floats:
    """Divide; NaN where the bottom is 0."""
    return top / np.where(bottom == 0, np.nan, bottom)


def _remainder(whole: Floats, explained: Floats) -> Floats:
    """Return whole - explained; NaN where only rounding is left."""
    left = whole - explained
    return np.where(left > _ROUNDING * whole, left, np.nan)


def _describe(rows: _Rows, name: str, method: str, value_name: str) -> Estimate:
    return Estimate(
        test=f"mediation_{name}",
        method=method,
        value_name=value_name,
        estimate=None,
        n=len(rows.moments),
        rows=len(rows.y),
        caveats=(ONE_STRENGTH,) if len(np.unique(rows.t)) < 2 else (),
    )


def _path_a(rows: _Rows, level: float) -> Estimate:
    """Return the mean of the seeds' slopes of the mediator on strength, with its t over seeds."""
    method = "one slope of the mediator on strength per seed, one-sample t over seeds"
    described = _describe(rows, "a", method, "slope")
    graded = rows.moments[:, 0] > 0
    slopes = rows.moments[graded, 1] / rows.moments[graded, 0]
    if not len(slopes):
        return replace(described, caveats=(ONE_STRENGTH,))
    tested = mean_test(slopes, level=level)
    return replace(
        described,
        n=len(slopes),
        estimate=tested.mean,
        standard_error=tested.standard_error,
        statistic_name=None if tested.t is None else "t",
        statistic=tested.t,
        df=tested.df,
        p_value=tested.p_value,
        interval=tested.interval,
        caveats=tested.caveats,
    )


def _path_b(rows: _Rows, level: float) -> Estimate:
    """Return the slope of the outcome on the mediator at fixed strength and seed, CR2 by seed."""
    method = (
        "outcome on mediator, strength (linear) and seed; CR2 variance clustered by seed, "
        "Satterthwaite df"
    )
    described = _describe(rows, "b", method, "slope")
    given = np.column_stack([rows.t, rows.groups])
    free = residual(given, rows.m)
    if described.caveats or not varies(free, rows.m):
        return replace(described, caveats=described.caveats or (CONSTANT_X,))
    if described.n < FEWEST_SEEDS:
        slope = float(free @ rows.y) / float(free @ free)
        return replace(described, estimate=slope, caveats=(TOO_FEW,))
    design = np.column_stack([free, given])
    robust = cr2(design, rows.y, rows.block, np.eye(1, design.shape[1]).ravel())
    return described if robust is None else with_robust_t(described, robust, level)


def _joint(a: Estimate, b: Estimate, acme: Estimate) -> Estimate:
    """Return the intersection-union test of both paths."""
    ps = [path.p_value for path in (a, b) if path.p_value is not None]
    return replace(
        acme,
        test="mediation_joint",
        method="joint significance: the larger p of the paths a and b",
        interval=None,
        p_value=max(ps) if len(ps) == 2 else None,
        caveats=() if len(ps) == 2 else (NO_JOINT,),
    )


def _percentile(
    rows: _Rows, name: str, value_name: str, found: Floats, drawn: Floats, level: float
) -> Estimate:
    """Return an effect with its percentile interval over resampled seeds."""
    method = "linear paths with seed terms; percentile interval over resampled seeds"
    described = _describe(rows, name, method, value_name)
    if described.caveats or not np.isfinite(found):
        return replace(described, caveats=described.caveats or (UNDETERMINED,))
    described = replace(described, estimate=float(found))
    if described.n < FEWEST_SEEDS:
        return replace(described, caveats=(TOO_FEW,))
    kept = drawn[np.isfinite(drawn)]
    if len(kept) < (1 - _LOST_SHARE) * len(drawn):
        return replace(described, caveats=(LOST_DRAWS,))
    low, high = np.quantile(kept, [(1 - level) / 2, (1 + level) / 2])
    few = described.n < _PERCENTILE_SEEDS
    return replace(
        described,
        interval=Interval(low=float(low), high=float(high), level=level),
        caveats=(FEW_FOR_BOOTSTRAP,) if few else (),
    )


def _of_total(proportion: Estimate, total: Estimate) -> Estimate:
    """Take a proportion's interval away where the total effect may be 0."""
    reach = total.interval
    if reach is None or not reach.low <= 0 <= reach.high:
        return proportion
    return replace(proportion, interval=None, caveats=(NO_TOTAL,))
