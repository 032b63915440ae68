"""Whether strength acts on the outcome through a mediator, with a term for every seed.

Path a is the mediator's slope on strength within seeds. Path b is the outcome's slope on the
mediator at fixed seed and strength, strength a factor: were it a line, a bend that strength gives
both would pass for path b. The indirect effect is a x b; what is left of the outcome's slope on
strength is direct. Without seed terms, a seed that lifts mediator and outcome both looks like
mediation.
"""

from dataclasses import dataclass, fields, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from analyze.inference.associations import (
    ONE_STRENGTH,
    same_students,
    split_halves,
    two_way,
    within_cr2,
)
from analyze.inference.estimate import Estimate, Table
from analyze.inference.factors import codes_of, sums_by, without_means
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
_SINGULAR: Final = 1e-10
_CELLS: Final = 10_000_000
"""Numbers that a portion of bootstrap draws holds."""


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
    """One table, or two stacked, reduced to the within-seed sums of products of every seed.

    rows: how many went in; strengths: how many there are. moments: shape (seeds, 6), the sums
    tt, tm, ty, mm, my, yy of strength t, mediator m and outcome y, each as deviation from its
    seed's mean in its table. gram: of the strengths' indicators among themselves, shape
    (seeds, d, d); on_m, on_y: of the indicators with m and y of each table, shape
    (seeds, tables, d).
    """

    rows: int
    strengths: int
    moments: Floats
    gram: Floats
    on_m: Floats
    on_y: Floats

    @property
    def seeds(self) -> int:
        """Number of seed blocks."""
        return len(self.moments)

    def summed(self, counts: Floats) -> "_Sums":
        """Sum over seeds, each taken as often as counted; counts: shape (draws, seeds)."""
        return _Sums(
            moments=counts @ self.moments,
            gram=np.tensordot(counts, self.gram, axes=1),
            on_m=np.tensordot(counts, self.on_m, axes=1),
            on_y=np.tensordot(counts, self.on_y, axes=1),
        )


@dataclass(frozen=True, slots=True)
class _Sums:
    """As ``_Rows``, summed over the seeds of each draw: the first axis counts draws."""

    moments: Floats
    gram: Floats
    on_m: Floats
    on_y: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class _Effects:
    """What summed moments imply, each of one common shape; NaN where undetermined.

    mediator_error, outcome_error: residual sums of squares on seed and strength as factors.
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
    found = _whole(rows)
    drawn = _resampled(rows, rng, draws)
    a, b = _path_a(rows, level), _path_b(table, swapped, level)
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
    effects = _whole(_stack(table, swapped))
    scale = effects.a * np.sqrt(effects.outcome_error / effects.mediator_error)
    return scale * (effects.rho - rho * np.sqrt((1 - effects.rho**2) / (1 - rho**2)))


def _stack(table: Table, swapped: Table | None) -> _Rows:
    """Take every table's seed means out and sum products by seed."""
    tables = (table,) if swapped is None else same_students(table, swapped)
    seeds = codes_of(table.block)
    cells = np.unique(table.cell)
    # all but the first; of one strength alone a column of zeros, which takes nothing out
    above = cells[1:] if len(cells) > 1 else np.array([np.nan])
    dummies = _centre(seeds, table.cell[:, None] == above)
    t = _centre(seeds, table.dose)
    moments, on_m, on_y = [], [], []
    for one in tables:
        m, y = _centre(seeds, one.x), _centre(seeds, one.y)
        products = np.stack([t * t, t * m, t * y, m * m, m * y, y * y], axis=1)
        moments.append(sums_by(seeds, products))
        on_m.append(sums_by(seeds, dummies * m[:, None]))
        on_y.append(sums_by(seeds, dummies * y[:, None]))
    count, width = len(moments[0]), dummies.shape[1]
    pairs = (dummies[:, :, None] * dummies[:, None, :]).reshape(len(dummies), width**2)
    return _Rows(
        rows=len(tables) * len(table.y),
        strengths=len(cells),
        moments=np.sum(moments, axis=0),
        gram=sums_by(seeds, pairs).reshape(count, width, width),
        on_m=np.stack(on_m, axis=1),
        on_y=np.stack(on_y, axis=1),
    )


def _centre(seeds: Ints, values: NDArray[np.generic]) -> Floats:
    """Take out the seeds' means; what rounding leaves of a constant seed is 0."""
    left = without_means(seeds, values.astype(np.float64))
    left[np.abs(left) <= _ROUNDING * np.abs(values).max(initial=0.0)] = 0.0
    return left


def _effects(sums: _Sums) -> _Effects:
    """Effects of every draw."""
    tt, tm, ty, mm, my, yy = np.moveaxis(sums.moments, -1, 0)
    a, total = _ratio(tm, tt), _ratio(ty, tt)
    inverse = np.linalg.pinv(sums.gram, rcond=_SINGULAR, hermitian=True)
    solved = np.einsum("nde,nhe->nhd", inverse, sums.on_m)
    mediator_error = _remainder(mm, np.einsum("nhd,nhd->n", solved, sums.on_m))
    shared = my - np.einsum("nhd,nhd->n", solved, sums.on_y)
    explained = np.einsum("nhd,nde,nhe->n", sums.on_y, inverse, sums.on_y)
    outcome_error = _remainder(yy, explained)
    return _Effects(
        a=a,
        acme=a * shared / mediator_error,
        total=total,
        rho=np.clip(shared / np.sqrt(mediator_error * outcome_error), -1, 1),
        mediator_error=mediator_error,
        outcome_error=outcome_error,
    )


def _whole(rows: _Rows) -> _Effects:
    """Effects of the data themselves, shape (1,)."""
    return _effects(rows.summed(np.ones((1, rows.seeds))))


def _resampled(rows: _Rows, rng: np.random.Generator, draws: int) -> _Effects:
    """Effects of as many seeds as there are, drawn with replacement, ``draws`` times."""
    if rows.seeds == 0:
        return _effects(rows.summed(np.zeros((draws, 0))))
    even = np.full(rows.seeds, 1 / rows.seeds)
    # of many seeds or strengths the draws are made in portions, to bound the memory
    size = max(1, min(draws, _CELLS // (rows.seeds + rows.strengths**2)))
    found = [
        _effects(rows.summed(rng.multinomial(rows.seeds, even, size=part).astype(np.float64)))
        for part in [size] * (draws // size) + [draws % size] * (draws % size > 0)
    ]
    return _Effects(
        **{
            field.name: np.concatenate([getattr(one, field.name) for one in found])
            for field in fields(_Effects)
        }
    )


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
        n=rows.seeds,
        rows=rows.rows,
        caveats=(ONE_STRENGTH,) if rows.strengths < 2 else (),
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


def _path_b(table: Table, swapped: Table | None, level: float) -> Estimate:
    """Return the slope of the outcome on the mediator at fixed seed and strength, CR2 by seed."""
    regression = two_way(table) if swapped is None else split_halves(table, swapped)
    method = (
        "outcome on mediator, seed and strength as factors; CR2 variance clustered by seed, "
        "Satterthwaite df"
    )
    return within_cr2(regression, test="mediation_b", method=method, level=level)


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
    method = "paths a and b with seed terms; percentile interval over resampled seeds"
    described = _describe(rows, name, method, value_name)
    if described.caveats or not np.isfinite(found[0]):
        return replace(described, caveats=described.caveats or (UNDETERMINED,))
    described = replace(described, estimate=float(found[0]))
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
