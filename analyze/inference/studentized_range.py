"""The studentized range of several means: its tail and quantiles, by fixed quadrature.

SciPy integrates adaptively, point by point in Python: 10 ms a value, of which a quantile takes
several. The same two integrals on Gauss-Legendre nodes take about a tenth of that.
"""

from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special, stats

Floats = NDArray[np.float64]

_LEFT_OUT: Final = 1e-15
"""Probability beyond either end of what is integrated over of the pooled standard deviation."""

_FARTHEST: Final = 8.5
"""Standard errors beyond which no mean is looked for; outside lies 2e-17."""

_MEANS: Final = 96
_DEVIATIONS: Final = 192
"""Nodes for the largest mean, and for the pooled standard deviation."""

_RESOLVED: Final = 1 - 1e-6

_ROOT: Final = 4
"""Nodes are evenly dealt over this root of the deviation, as its density is no smooth function of
it at 0 where the degrees of freedom are few and no whole number."""


def survival(value: float, means: int, df: float) -> float:
    """Return P(Q > value), Q the range of so many means over their pooled standard error.

    value: 0 or more. df: of the pooled variance, 1 or more. Absolute error below 1e-10. Source:
    Copenhaver and Holland (1988), equations 1 and 2.
    """
    ends = np.array([stats.chi2.ppf(_LEFT_OUT, df), stats.chi2.isf(_LEFT_OUT, df)]) / df
    low, high = ends ** (0.5 / _ROOT)
    nodes, weights = _nodes(_DEVIATIONS)
    roots = low + (high - low) * nodes
    deviations = roots**_ROOT
    # without what does not depend on the deviation: it is divided by its sum
    logarithm = special.xlogy(df - 1, deviations) - df * deviations**2 / 2
    share = weights * np.exp(logarithm - logarithm.max()) * roots ** (_ROOT - 1)
    return float(1 - share @ _range_within(value * deviations, means) / share.sum())


def quantile(level: float, means: int, df: float) -> float:
    """Return the value that the studentized range stays below with this probability.

    Relative error below 1e-8. Farther out than ``_RESOLVED`` by SciPy, which takes a tenth of a
    second: there the tail, a difference from 1, has too few digits.
    """
    if level > _RESOLVED:
        return float(stats.studentized_range.ppf(level, means, df))

    def excess(value: float) -> float:
        # of logarithms, which are nearly straight in the tail
        return float(np.log(survival(value, means, df)) - np.log(1 - level))

    lowest, highest = 0.0, 4.0
    while excess(highest) > 0:
        lowest, highest = highest, 2 * highest
    found = optimize.root_scalar(excess, bracket=(lowest, highest), xtol=1e-12, rtol=1e-9)
    return float(found.root)


def _range_within(widths: Floats, means: int) -> Floats:
    """Return P(range <= width) of so many standard normal means, for each width."""
    nodes, weights = _nodes(_MEANS)
    largest = _FARTHEST * (2 * nodes - 1)
    density = np.exp(-(largest**2) / 2) / np.sqrt(2 * np.pi)
    inside = special.ndtr(largest) - special.ndtr(largest - widths[:, None])
    return means * inside ** (means - 1) @ (2 * _FARTHEST * weights * density)


@cache
def _nodes(count: int) -> tuple[Floats, Floats]:
    """Gauss-Legendre nodes and weights on 0 to 1."""
    nodes, weights = np.polynomial.legendre.leggauss(count)
    return (nodes + 1) / 2, weights / 2
