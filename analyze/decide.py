"""The rule that turns an interval into a verdict, and the levels that it is read at.

Pure functions; the analysis plan states the rule. Intervals are turned so that the expected
direction is positive before they are judged.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from scipy.special import stdtrit

from analyze.inference.estimate import Estimate
from analyze.results import Interval, Verdict

ALPHA: Final = 0.05
"""Family-wise error rate of the primary claims."""

MINIMUM_SEEDS: Final = 3
"""Below this many seed blocks an analysis is descriptive and gives no p-value."""

DECIDED: Final = frozenset({Verdict.SUPPORTED, Verdict.CONTRADICTED, Verdict.NEGLIGIBLE})
"""The verdicts that more seeds are not needed for."""


@dataclass(frozen=True, slots=True)
class Ruling:
    """A verdict, and whether its effect may be smaller than the SESOI."""

    verdict: Verdict
    size_uncertain: bool = False


@dataclass(frozen=True, slots=True)
class HolmLevel:
    """The level that a claim is read at, and its Holm-adjusted p (None where it has no p)."""

    alpha: float
    p_adjusted: float | None


def t_interval(estimate: Estimate, level: float) -> Interval | None:
    """Return the t interval of an estimate at any level, from its standard error and df.

    None where the test gives no estimate, standard error or df, or one that is not a number.
    """
    if estimate.estimate is None or estimate.standard_error is None or estimate.df is None:
        return None
    if not math.isfinite(estimate.estimate) or math.isnan(estimate.standard_error):
        return None
    if math.isnan(estimate.df) or estimate.df <= 0:
        return None
    # the quantile of scipy.stats.t without its checks, a hundred times faster
    reach = float(stdtrit(estimate.df, (1 + level) / 2)) * estimate.standard_error
    return Interval(low=estimate.estimate - reach, high=estimate.estimate + reach, level=level)


def equivalence_interval(estimate: Estimate, level: float) -> Interval | None:
    """Return the interval that an equivalence test reads: of the slope without attenuation.

    As ``t_interval`` where the estimate has none. Else the slopes that a test of the outcome less
    slope times the predictor, measured again with other noise, does not reject: whatever the noise,
    it covers as it says (Fieller 1954; Anderson and Rubin 1949). Without bounds where the predictor
    is not shown to be more than noise.
    """
    measured = t_interval(estimate, level)
    noise = estimate.attenuation
    if measured is None or noise is None:
        return measured
    assert estimate.estimate is not None
    reach = measured.high - estimate.estimate
    assert estimate.standard_error is not None
    t = reach / estimate.standard_error
    leading = noise.share**2 - (t * noise.error) ** 2
    if noise.share <= 0 or not leading > 0:
        return Interval(low=-math.inf, high=math.inf, level=level)
    middle = estimate.estimate * noise.share - t**2 * noise.covariance
    last = estimate.estimate**2 - reach**2
    half = math.sqrt(max(middle**2 - leading * last, 0.0))
    return Interval(low=(middle - half) / leading, high=(middle + half) / leading, level=level)


def rule(
    verdict_interval: Interval | None,
    equivalence_interval: Interval | None,
    *,
    sesoi: float | None,
    sign: int,
) -> Ruling:
    """Judge one outcome.

    verdict_interval: at 1 - alpha. equivalence_interval: at 1 - 2 alpha (two one-sided tests at
    alpha), of the slope without what noise of its predictor takes away. sesoi: positive, in the
    estimate's unit; None where none was declared: then nothing is negligible. sign: 1 where the
    claim expects a positive estimate, -1 where a negative one. Inside and above are strict: a
    bound that equals 0 or the SESOI decides nothing. Without an interval, or with a bound that
    is not a number, the outcome is undecided.
    Raises ValueError for a SESOI that is not positive or a sign other than 1 and -1.
    """
    if sesoi is not None and not sesoi > 0:
        raise ValueError(f"SESOI {sesoi} must be positive")
    if sign not in (-1, 1):
        raise ValueError(f"sign {sign} must be 1 or -1")
    if verdict_interval is None or equivalence_interval is None:
        return Ruling(Verdict.UNDECIDED)
    low, high = _oriented(verdict_interval, sign)
    inner_low, inner_high = _oriented(equivalence_interval, sign)
    if any(math.isnan(bound) for bound in (low, high, inner_low, inner_high)):
        return Ruling(Verdict.UNDECIDED)
    band = 0.0 if sesoi is None else sesoi
    if -band < inner_low and inner_high < band:
        return Ruling(Verdict.NEGLIGIBLE)
    if low > 0:
        return Ruling(Verdict.SUPPORTED, size_uncertain=low < band)
    if high < 0:
        return Ruling(Verdict.CONTRADICTED, size_uncertain=high > -band)
    return Ruling(Verdict.UNDECIDED)


def rule_estimate(estimate: Estimate, *, alpha: float, sesoi: float | None, sign: int) -> Ruling:
    """Judge what a t test found, at level ``alpha``."""
    return rule(
        t_interval(estimate, 1 - alpha),
        equivalence_interval(estimate, 1 - 2 * alpha),
        sesoi=sesoi,
        sign=sign,
    )


def rule_primary(
    primary: Estimate | None, *, alpha: float, sesoi: float | None, sign: int
) -> Ruling:
    """Judge a primary test, whatever it could find: nothing, too few seeds, or an estimate."""
    if primary is None:
        return Ruling(Verdict.NO_DATA)
    if primary.n < MINIMUM_SEEDS:
        return Ruling(Verdict.DESCRIPTIVE)
    if primary.estimate is None or math.isnan(primary.estimate):
        return Ruling(Verdict.NO_DATA)
    return rule_estimate(primary, alpha=alpha, sesoi=sesoi, sign=sign)


def combine(verdicts: Sequence[Verdict]) -> Verdict:
    """Return a claim's verdict from its outcomes': a claim holds where every outcome does.

    Supported, contradicted or negligible only where all outcomes are; no data or descriptive
    where any outcome is; else undecided.
    Raises ValueError when there is no outcome.
    """
    if not verdicts:
        raise ValueError("a claim needs at least one outcome")
    for lacking in (Verdict.NO_DATA, Verdict.DESCRIPTIVE):
        if lacking in verdicts:
            return lacking
    return verdicts[0] if len(set(verdicts)) == 1 else Verdict.UNDECIDED


def claim_p(p_values: Sequence[float | None]) -> float | None:
    """Return a claim's p: the largest of its outcomes' (intersection-union test).

    None where an outcome has none, for then the claim cannot be established.
    """
    known = [p for p in p_values if p is not None and not math.isnan(p)]
    return max(known) if known and len(known) == len(p_values) else None


def holm(p_values: Sequence[float | None], alpha: float = ALPHA) -> tuple[HolmLevel, ...]:
    """Levels and adjusted p of the primary claims, in the order given.

    Sequential (Holm 1979): the i-th smallest of m p-values is read at alpha / (m - i + 1); once
    a claim fails its step, it and every later one are read at that step's level, which their
    intervals use too. m counts every primary claim that the study declares: one without a p
    stays in the family, last, as if its p were 1. Ties keep the order given.
    Raises ValueError for a p outside [0, 1].
    """
    read = [1.0 if p is None or math.isnan(p) else p for p in p_values]
    if any(not 0 <= p <= 1 for p in read):
        raise ValueError(f"p-values {list(p_values)} must lie in [0, 1]")
    family = len(read)
    levels: list[HolmLevel | None] = [None] * family
    stopped_at: int | None = None
    largest = 0.0
    for step, index in enumerate(sorted(range(family), key=lambda place: read[place])):
        remaining = family - (step if stopped_at is None else stopped_at)
        if stopped_at is None and read[index] > alpha / remaining:
            stopped_at = step
        largest = max(largest, min(1.0, (family - step) * read[index]))
        known = p_values[index]
        absent = known is None or math.isnan(known)
        levels[index] = HolmLevel(alpha / remaining, None if absent else largest)
    return tuple(level for level in levels if level is not None)


def _oriented(interval: Interval, sign: int) -> tuple[float, float]:
    """Bounds after turning the expected direction positive."""
    return (interval.low, interval.high) if sign == 1 else (-interval.high, -interval.low)
