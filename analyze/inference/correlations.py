"""Five correlations of the same two measures, side by side, and a flag where signs conflict.

Each answers another question; one printed alone can mislead (Simpson's paradox). Only the
last holds strength fixed.
"""

import math
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from analyze.inference.associations import (
    NO_ERROR,
    ONE_STRENGTH,
    varies,
)
from analyze.inference.estimate import Estimate, Table
from analyze.inference.factors import Factors, one_factor, two_way_factors
from analyze.inference.mundlak import DISCONNECTED, additive_parts
from analyze.inference.sample import FEWEST_SEEDS, TOO_FEW
from analyze.inference.student_t import two_sided_p
from analyze.results import Interval

Floats = NDArray[np.float64]

COMMON_CAUSE: Final = "strength moves both measures: a common cause alone gives a correlation"
NOT_INDEPENDENT: Final = "students of one seed or strength are not independent: not tested"
NOT_SAMPLED: Final = "strengths are chosen, not sampled: not tested"
SAME_SLOPES: Final = "assumes that slopes on strength are alike across seeds; the CR2 test does not"
ON_A_LINE: Final = "two means always lie on a line"
NO_VARIATION: Final = "one of the measures does not vary here"

_PERFECT: Final = 1e-12


@dataclass(frozen=True, slots=True, kw_only=True)
class SignConflict:
    """Correlations of the same measures that point in different directions.

    clear: a positive and a negative one both have intervals that exclude 0; otherwise the
    conflict is in signs that chance can give.
    """

    clear: bool
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Correlations:
    """The five correlations of a table's x and y, and their conflict if there is one."""

    pooled: Estimate
    between_condition: Estimate
    between_seed: Estimate
    within_seed: Estimate
    two_way_within: Estimate
    conflict: SignConflict | None


def correlate(table: Table, *, level: float = 0.95) -> Correlations:
    """All five correlations of x and y.

    Tests ``correlation_pooled`` (all students), ``correlation_between_condition`` (means per
    strength), ``correlation_between_seed`` (means per seed), ``correlation_within_seed``
    (repeated measures correlation, Bakdash & Marusich 2017) and
    ``correlation_two_way_within`` (partial, given seed and strength). Where cells are missing,
    means are those of the additive fit. Intervals: Fisher's z with standard error
    1 / sqrt(df - 1). No p or interval where rows are not replicates.
    """
    pooled = _pooled(table)
    condition, seed = _between_condition(table), _between_seed(table, level)
    within, two_way = _within_seed(table, level), _two_way_within(table, level)
    named = {
        "pooled": pooled,
        "between conditions": condition,
        "between seeds": seed,
        "within seeds": within,
        "within seeds and conditions": two_way,
    }
    return Correlations(
        pooled=pooled,
        between_condition=condition,
        between_seed=seed,
        within_seed=within,
        two_way_within=two_way,
        conflict=sign_conflict(named),
    )


def sign_conflict(correlations: dict[str, Estimate]) -> SignConflict | None:
    """Say which of the named correlations are positive and which negative, if both exist."""
    known = {name: one for name, one in correlations.items() if one.estimate}
    rising = [name for name, one in known.items() if one.estimate and one.estimate > 0]
    falling = [name for name in known if name not in rising]
    if not rising or not falling:
        return None
    above = any(one.interval and one.interval.low > 0 for one in known.values())
    below = any(one.interval and one.interval.high < 0 for one in known.values())
    clear = above and below
    certainty = (
        "opposite signs are each clear of 0 (Simpson's paradox)"
        if clear
        else "no two opposite signs are each clear of 0"
    )
    words = f"positive {_listed(rising)}; negative {_listed(falling)}: {certainty}"
    return SignConflict(clear=clear, words=words)


def fisher_interval(correlation: float, df: float, level: float) -> Interval:
    """Interval of a correlation with df = effective observations - 2, by Fisher's z.

    Raises ValueError for df of 1 or less, a correlation of 1, or a level outside (0, 1).
    """
    if not (df > 1 and abs(correlation) < 1 and 0 < level < 1):
        raise ValueError(f"no interval of correlation {correlation} at df {df}, level {level}")
    centre = math.atanh(correlation)
    reach = float(stats.norm.ppf((1 + level) / 2)) / math.sqrt(df - 1)
    return Interval(low=math.tanh(centre - reach), high=math.tanh(centre + reach), level=level)


def _pooled(table: Table) -> Estimate:
    grand_mean = one_factor(np.zeros(len(table.x)))
    return _describe(
        table,
        "pooled",
        "Pearson correlation over all students",
        value=_partial(table, grand_mean),
        otherwise=NO_VARIATION,
        caveats=(NOT_INDEPENDENT, COMMON_CAUSE),
    )


def _between_condition(table: Table) -> Estimate:
    strengths = len(np.unique(table.cell))
    value, reason = _between(table, table.cell, part=2)
    if strengths < 3:
        value, reason = None, ONE_STRENGTH if strengths < 2 else ON_A_LINE
    return _describe(
        table,
        "between_condition",
        "Pearson correlation of the means per strength",
        value=value,
        otherwise=reason,
        caveats=(NOT_SAMPLED, COMMON_CAUSE),
    )


def _between_seed(table: Table, level: float) -> Estimate:
    value, reason = _between(table, table.block, part=1)
    seeds = len(np.unique(table.block))
    if seeds < FEWEST_SEEDS:
        value, reason = None, ON_A_LINE if seeds == 2 else TOO_FEW
    described = _describe(
        table,
        "between_seed",
        "Pearson correlation of the means per seed",
        value=value,
        otherwise=reason,
    )
    return _tested(described, seeds - 2, level)


def _within_seed(table: Table, level: float) -> Estimate:
    seeds = np.unique(table.block)
    factors = one_factor(table.block)
    described = _describe(
        table,
        "within_seed",
        "repeated measures correlation (Bakdash & Marusich 2017)",
        value=_partial(table, factors),
        otherwise=NO_VARIATION if len(np.unique(table.cell)) > 1 else ONE_STRENGTH,
        caveats=(COMMON_CAUSE,),
    )
    return _tested(described, len(table.x) - len(seeds) - 1, level)


def _two_way_within(table: Table, level: float) -> Estimate:
    factors = two_way_factors(table.block, table.cell)
    one = len(np.unique(table.cell)) < 2
    described = _describe(
        table,
        "two_way_within",
        "partial correlation given seed and strength",
        value=None if one else _partial(table, factors),
        otherwise=ONE_STRENGTH if one else NO_VARIATION,
        caveats=(SAME_SLOPES,),
    )
    return _tested(described, len(table.x) - factors.rank - 1, level)


def _between(table: Table, labels: NDArray[np.generic], *, part: int) -> tuple[float | None, str]:
    """Correlate one effect per label (1: seeds, 2: strengths), or say why there is none."""
    x_parts = additive_parts(table.block, table.cell, table.x)
    y_parts = additive_parts(table.block, table.cell, table.y)
    if x_parts is None or y_parts is None:
        return None, DISCONNECTED
    first = np.unique(labels, return_index=True)[1]
    x, y = x_parts[part][first], y_parts[part][first]
    return _cosine((x - x.mean(), y - y.mean()), (table.x, table.y)), NO_VARIATION


def _partial(table: Table, factors: Factors) -> float | None:
    """Correlate what the factors leave of x and y."""
    remainders = (factors.residual(table.x), factors.residual(table.y))
    return _cosine(remainders, (table.x, table.y))


def _cosine(centred: tuple[Floats, Floats], original: tuple[Floats, Floats]) -> float | None:
    """Return the correlation of two centred columns; None where one is rounding of its original."""
    if not all(varies(part, whole) for part, whole in zip(centred, original, strict=True)):
        return None
    x, y = centred
    value = float((x / np.linalg.norm(x)) @ (y / np.linalg.norm(y)))
    return min(1.0, max(-1.0, value))


def _describe(
    table: Table,
    name: str,
    method: str,
    *,
    value: float | None,
    otherwise: str,
    caveats: tuple[str, ...] = (),
) -> Estimate:
    """Return a correlation without a test; where there is none, ``otherwise`` says why."""
    return Estimate(
        test=f"correlation_{name}",
        method=method,
        value_name="correlation",
        estimate=value,
        n=len(np.unique(table.block)),
        rows=len(table.x),
        caveats=(otherwise,) if value is None else caveats,
    )


def _tested(described: Estimate, df: int, level: float) -> Estimate:
    """Add the t test and Fisher's interval of a correlation with ``df`` degrees of freedom."""
    value = described.estimate
    if value is None:
        return described
    if described.n < FEWEST_SEEDS:
        return replace(described, caveats=(TOO_FEW, *described.caveats))
    if df < 1 or 1 - abs(value) < _PERFECT:
        return replace(described, caveats=(NO_ERROR, *described.caveats))
    statistic = value * math.sqrt(df / (1 - value**2))
    return replace(
        described,
        statistic_name="t",
        statistic=statistic,
        df=float(df),
        p_value=two_sided_p(statistic, df),
        interval=fisher_interval(value, df, level) if df > 1 else None,
    )


def _listed(names: list[str]) -> str:
    """Join names as a sentence does."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
