"""Estimates of several studies put together: a random-effects meta-analysis.

Study i has an estimate y_i with standard error s_i, and y_i ~ Normal(mu, s_i^2 + tau^2): mu is the
mean over studies like these, tau the standard deviation of studies' own true values around it. The
s_i are taken as known. Sources: DerSimonian and Laird (1986) for the model; Viechtbauer (2005) for
REML; Hartung and Knapp (2001), Sidik and Jonkman (2002) and Knapp and Hartung (2003) for the
interval; Viechtbauer (2007) for that of tau^2; Higgins and Thompson (2002) for I^2; Higgins,
Thompson and Spiegelhalter (2009) for the prediction interval.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import chdtrc, chdtri, stdtrit

from analyze.results import Interval

Floats = NDArray[np.float64]

FEWEST_STUDIES: Final = 2
"""Below this many studies there is nothing to put together."""

FEWEST_TO_PREDICT: Final = 3
"""Below this many studies a prediction interval has no degree of freedom."""

_GRID: Final = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class MetaAnalysis:
    """The mean over studies, and how much studies differ. It bears no verdict.

    estimate, standard_error, interval: of mu, t with df = studies - 1. factor: what Hartung and
    Knapp's method multiplies the ordinary variance 1 / sum(w) by; where it is below 1, 1 stands in
    its place. tau2, tau2_interval: variance between studies, in squared units, REML and Q-profile.
    i2: share of the variance that is between studies, [0, 1). q, q_df, q_p: Cochran's test that all
    studies have one true value. prediction: of a new study's true value, t with studies - 2 df;
    None for two studies. weights: one per study, in the order given, summing to 1.
    """

    studies: int
    estimate: float
    standard_error: float
    df: int
    interval: Interval
    factor: float
    tau2: float
    tau2_interval: Interval
    i2: float
    q: float
    q_df: int
    q_p: float
    prediction: Interval | None
    weights: tuple[float, ...]


def meta_analysis(
    estimates: Sequence[float], standard_errors: Sequence[float], *, level: float = 0.95
) -> MetaAnalysis:
    """Put studies' estimates together, all in one unit.

    estimates, standard_errors: shape (studies,). Raises ValueError for fewer than two studies,
    an estimate that is not finite, or a standard error that is not finite and positive.
    """
    y, s = _checked(estimates, standard_errors)
    # in units of a typical standard error, so that no threshold here depends on the unit
    centre, unit = float(np.median(y)), float(np.exp(np.log(s).mean()))
    z, v = (y - centre) / unit, (s / unit) ** 2
    k = len(z)
    tau2 = _reml(z, v)
    weights = 1 / (v + tau2)
    mean = _mean(z, weights)
    factor = float((weights * (z - mean) ** 2).sum() / (k - 1))
    error = math.sqrt(max(factor, 1.0) / weights.sum())
    q = _q(z, v, 0.0)
    bounds = _q_profile(z, v, level)

    def around(df: int, spread: float) -> Interval:
        reach = float(stdtrit(df, (1 + level) / 2)) * spread
        ends = (centre + unit * (mean + side * reach) for side in (-1, 1))
        return Interval(low=next(ends), high=next(ends), level=level)

    return MetaAnalysis(
        studies=k,
        estimate=centre + unit * mean,
        standard_error=unit * error,
        df=k - 1,
        interval=around(k - 1, error),
        factor=factor,
        tau2=unit**2 * tau2,
        tau2_interval=Interval(low=unit**2 * bounds[0], high=unit**2 * bounds[1], level=level),
        i2=_i2(v, tau2),
        q=q,
        q_df=k - 1,
        q_p=float(chdtrc(k - 1, q)),
        prediction=around(k - 2, math.hypot(error, math.sqrt(tau2)))
        if k >= FEWEST_TO_PREDICT
        else None,
        weights=tuple((weights / weights.sum()).tolist()),
    )


def _checked(estimates: Sequence[float], standard_errors: Sequence[float]) -> tuple[Floats, Floats]:
    y = np.asarray(estimates, dtype=np.float64)
    s = np.asarray(standard_errors, dtype=np.float64)
    if y.shape != s.shape or y.ndim != 1:
        raise ValueError(f"{y.shape} estimates and {s.shape} standard errors are not one a study")
    if len(y) < FEWEST_STUDIES:
        raise ValueError(f"{len(y)} studies are fewer than {FEWEST_STUDIES}")
    if not np.isfinite(y).all():
        raise ValueError("estimates must be finite")
    if not (np.isfinite(s).all() and (s > 0).all()):
        raise ValueError("standard errors must be finite and positive")
    return y, s


def _mean(y: Floats, weights: Floats) -> float:
    return float((weights * y).sum() / weights.sum())


def _q(y: Floats, v: Floats, tau2: float) -> float:
    """Return the weighted sum of squares around the weighted mean; it falls as tau^2 grows."""
    weights = 1 / (v + tau2)
    return float((weights * (y - _mean(y, weights)) ** 2).sum())


def _i2(v: Floats, tau2: float) -> float:
    """Return tau^2 over itself plus the variance within a typical study."""
    w = 1 / v
    # the square of the sum less the squares, without the difference of nearly equal numbers
    crossed = sum(weight * np.delete(w, place).sum() for place, weight in enumerate(w))
    typical = (len(v) - 1) * w.sum() / crossed
    return float(tau2 / (tau2 + typical))


def _reml(y: Floats, v: Floats) -> float:
    """Return the tau^2 >= 0 of the largest restricted likelihood.

    The likelihood may have several maxima, so the best place of a grid is refined by the root of
    the score beside it.
    """
    # beyond its highest value the score is negative: no spread larger than that of y is likely
    top = 10 * float((y.max() - y.min()) ** 2) + float(v.max())
    grid = np.concatenate([[0.0], np.geomspace(1e-9 * float(v.min()), top, _GRID)])
    best = int(np.argmax(_restricted_likelihood(y, v, grid)))
    low, high = float(grid[max(best - 1, 0)]), float(grid[min(best + 1, _GRID)])

    def score(tau2: float) -> float:
        w = 1 / (v + tau2)
        squares = float((w**2 * (y - _mean(y, w)) ** 2).sum())
        return squares - float(w.sum()) + float((w**2).sum() / w.sum())

    if best == 0 and score(0.0) <= 0:
        return 0.0
    return _root(score, low, high)


def _restricted_likelihood(y: Floats, v: Floats, tau2: Floats) -> Floats:
    """Return the logarithm of the restricted likelihood at every tau^2, up to a constant."""
    w = 1 / (v + tau2[:, None])
    total = w.sum(axis=1)
    means = (w * y).sum(axis=1) / total
    squares = (w * (y - means[:, None]) ** 2).sum(axis=1)
    return 0.5 * (np.log(w).sum(axis=1) - np.log(total) - squares)


def _q_profile(y: Floats, v: Floats, level: float) -> tuple[float, float]:
    """Return the bounds of tau^2: where Q is at its chi-squared quantiles.

    Both are 0 where studies differ less than even tau^2 = 0 would let expect.
    """
    rest = (1 - level) / 2
    return (
        _tau2_at(y, v, float(chdtri(len(y) - 1, rest))),
        _tau2_at(y, v, float(chdtri(len(y) - 1, 1 - rest))),
    )


def _tau2_at(y: Floats, v: Floats, quantile: float) -> float:
    def above(tau2: float) -> float:
        return _q(y, v, tau2) - quantile

    if above(0.0) <= 0:
        return 0.0
    high = float(v.max())
    while above(high) > 0:
        high *= 4
    return _root(above, 0.0, high)


def _root(function: Callable[[float], float], low: float, high: float) -> float:
    root: Any = brentq(function, low, high, xtol=1e-300, rtol=np.float64(1e-14), maxiter=1000)
    return float(root)
