"""The studentized range of several means: its tail and quantiles, by fixed quadrature.

SciPy integrates adaptively, point by point in Python: 10 ms a value, of which a quantile takes
several. It takes tails as differences from 1, so that its quantile at 1 - 1e-10 is a tenth too
small (two means, 4 degrees of freedom). The same integrals of the tail itself, on Gauss-Legendre
nodes, take about a tenth of the time.
"""

from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special, stats

Floats = NDArray[np.float64]

_LEFT_OUT: Final = 1e-25
"""Probability beyond either end of what is integrated over of the pooled standard deviation."""

_FARTHEST: Final = 8.5
"""Standard errors beyond which no mean is looked for; outside lies 2e-17."""

_MEANS: Final = 96
_DEVIATIONS: Final = 192
"""Nodes for the largest mean, and for the pooled standard deviation."""

_ROOT: Final = 4
"""Nodes are evenly dealt over this root of the deviation, as its density is no smooth function of
it at 0 where the degrees of freedom are few and no whole number."""


def survival(value: float, means: int, df: float) -> float:
    """Return P(Q > value), Q the range of so many means over their pooled standard error.

    value: 0 or more. df: of the pooled variance, 1 or more. Relative error below 1e-8 from 2 on,
    down to tails of 1e-8; absolute error below 1e-10. Source: Copenhaver and Holland
    (1988), equations 1 and 2.
    """
    ends = np.array([stats.chi2.ppf(_LEFT_OUT, df), stats.chi2.isf(_LEFT_OUT, df)]) / df
    low, high = ends ** (0.5 / _ROOT)
    nodes, weights = _nodes(_DEVIATIONS)
    roots = low + (high - low) * nodes
    deviations = roots**_ROOT
    # without what does not depend on the deviation: it is divided by its sum
    logarithm = special.xlogy(df - 1, deviations) - df * deviations**2 / 2
    share = weights * np.exp(logarithm - logarithm.max()) * roots ** (_ROOT - 1)
    return float(share @ _range_beyond(value * deviations, means) / share.sum())


def quantile(level: float, means: int, df: float) -> float:
    """Return the value that the studentized range stays below with this probability.

    Relative error below 1e-8 up to .999, and from 2 degrees of freedom on up to 1 - 1e-8.
    """

    def excess(value: float) -> float:
        # of logarithms, which are nearly straight in the tail
        return float(np.log(survival(value, means, df)) - np.log(1 - level))

    lowest, highest = 0.0, 4.0
    while excess(highest) > 0:
        lowest, highest = highest, 2 * highest
    found = optimize.root_scalar(excess, bracket=(lowest, highest), xtol=1e-12, rtol=1e-9)
    return float(found.root)


def _range_beyond(widths: Floats, means: int) -> Floats:
    """Return P(range > width) of so many standard normal means, for each width.

    By the largest mean: that of the others one is more than the width below it.
    """
    nodes, weights = _nodes(_MEANS)
    largest = _FARTHEST * (2 * nodes - 1)
    density = np.exp(-(largest**2) / 2) / np.sqrt(2 * np.pi)
    below = special.ndtr(largest)
    far = np.minimum(special.ndtr(largest - widths[:, None]) / below, 1)
    # 1 - (1 - far)^(means - 1), without a difference of nearly equal numbers
    any_far = far
    for _ in range(means - 2):
        any_far = far + (1 - far) * any_far
    return any_far @ (means * below ** (means - 1) * 2 * _FARTHEST * weights * density)


@cache
def _nodes(count: int) -> tuple[Floats, Floats]:
    """Gauss-Legendre nodes and weights on 0 to 1."""
    nodes, weights = np.polynomial.legendre.leggauss(count)
    return (nodes + 1) / 2, weights / 2
