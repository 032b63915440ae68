"""How much the seeds' slopes favour an effect over none: the JZS Bayes factor.

The effect size has a Cauchy prior of width r, the variance Jeffreys' prior. The factor
depends on r, so it is always read at several widths.
"""

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from analyze.inference.estimate import Estimate
from analyze.inference.sample import FEWEST_SEEDS, mean_test

DEFAULT_WIDTH: Final = 0.707
PRIOR_WIDTHS: Final = (0.5, DEFAULT_WIDTH, 1.0, math.sqrt(2))
"""From narrow to ultrawide; .707 is the customary one."""

_STEP: Final = 0.02
_LARGEST_LOG: Final = 700.0


def jzs_t(
    slopes: NDArray[np.float64], r: float = DEFAULT_WIDTH, *, rows: int | None = None
) -> Estimate:
    """Return the Bayes factor BF10 of a mean slope against none.

    slopes: one per seed, shape (n,). r: width of the Cauchy prior on the standardized
    effect. rows: observations behind the slopes. A caveat tells where the widths of
    ``PRIOR_WIDTHS`` disagree on which side is favoured threefold. No factor below 3 seeds or
    where the seeds agree to rounding error. Source: Rouder et al. (2009).
    """
    if r <= 0:
        raise ValueError(f"prior width r = {r} must be positive")
    test = mean_test(slopes, level=0.95)
    factor, caveats = None, test.caveats
    if test.t is not None:
        factor = bayes_factor(test.t, len(slopes), r)
        caveats = _sensitivity(test.t, len(slopes))
    return Estimate(
        test=f"jzs_bayes_factor_r{r:.3g}",
        method=f"JZS Bayes factor of the seeds' slopes, Cauchy prior of width r = {r:.3g}",
        value_name="bayes_factor_10",
        estimate=factor,
        n=len(slopes),
        rows=len(slopes) if rows is None else rows,
        statistic_name="t",
        statistic=test.t,
        df=test.df,
        caveats=caveats,
    )


def jzs_sensitivity(
    slopes: NDArray[np.float64], *, rows: int | None = None
) -> tuple[Estimate, ...]:
    """Return the Bayes factor at each of ``PRIOR_WIDTHS``."""
    return tuple(jzs_t(slopes, width, rows=rows) for width in PRIOR_WIDTHS)


def bayes_factor(t: float, n: int, r: float) -> float:
    """Return the JZS BF10 of a one-sample t of n seeds; at most about 1e304.

    Rouder et al. (2009), eq. 1, integrated over the logarithm of g by the trapezoid rule,
    which converges exponentially for an integrand that vanishes at both ends.
    """
    if n < FEWEST_SEEDS:
        raise ValueError(f"a Bayes factor needs at least {FEWEST_SEEDS} seeds, not {n}")
    df = n - 1
    top = 60 + 2 * math.log1p(abs(t))
    log_g = np.arange(-8.0, top, _STEP)
    g = np.exp(log_g)
    spread = 1 + n * g * r**2
    log_integrand = (
        -0.5 * np.log(spread)
        - (df + 1) / 2 * (np.log1p(t**2 / (spread * df)) - math.log1p(t**2 / df))
        - 0.5 * math.log(2 * math.pi)
        - 0.5 * log_g
        - 0.5 / g
    )
    largest = float(log_integrand.max())
    total = float(np.exp(log_integrand - largest).sum()) * _STEP
    return math.exp(min(_LARGEST_LOG, largest + math.log(total)))


def _sensitivity(t: float, n: int) -> tuple[str, ...]:
    factors = [bayes_factor(t, n, width) for width in PRIOR_WIDTHS]
    sides = {(factor > 3) - (factor < 1 / 3) for factor in factors}
    if len(sides) == 1:
        return ()
    return (
        f"depends on the prior: BF10 from {min(factors):.3g} to {max(factors):.3g} over "
        "r = 0.5 to 1.41",
    )
