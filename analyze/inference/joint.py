"""All specifications of one claim at once, under signs that seeds could as well have had.

Specifications share their data, so their p-values say nothing together. The joint test gives every
seed a sign, the same for all specifications, and looks at the whole curve again (Simonsohn,
Simmons and Nelson 2020). For a trend, a seed whose sign turns is one in which strength had run the
other way: of all orders of strength within seeds, these keep what seeds' slopes differ by. For an
association, a seed's outcomes keep their sizes and lose their tie to its predictors, seed and
strength means having been taken out first (a wild cluster bootstrap under the null).

Every order of strength, or of residuals, within seeds would be the more familiar permutation. It
is valid only where all seeds have one slope: where slopes vary by a noise SD per level, the median
of all specifications is then found at .05 in .06 to .12 of simulated studies without an effect,
and with signs of seeds in .03 to .07 (docs/benchmarks.md).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from analyze.inference.complete import Predictor

Floats = NDArray[np.float64]

EXACT_SEEDS: Final = 12
"""Up to here all 2^n signs are counted (4,096)."""

DRAWS: Final = 2_000
FEWEST_DRAWS: Final = 200
_NUMBERS: Final = 200_000_000
"""Numbers that a test of associations makes at most: of very many seeds, fewer draws."""

ALPHA: Final = 0.05
_ROUNDING: Final = 1e-9


@dataclass(frozen=True, slots=True)
class Signs:
    """Signs of seeds, 1 or -1, shape (draws, seeds); the first draw is the data as observed."""

    values: Floats
    exact: bool


@dataclass(frozen=True, slots=True)
class JointP:
    """A statistic of the whole curve, its p and the least p that these draws can give."""

    observed: float
    p_value: float
    smallest_p: float


@dataclass(frozen=True, slots=True)
class Statistics:
    """Every specification's t under every draw, shape (draws, specifications), positive as claimed.

    critical: what t must exceed to be significant at .05, two-sided, shape (specifications,).
    """

    t: Floats
    critical: Floats


def signs_of(seeds: int, size: int, rng: np.random.Generator) -> Signs:
    """Return all signs that so many seeds can have, or a sample of them above ``EXACT_SEEDS``.

    size: numbers that one draw takes.
    """
    if seeds <= EXACT_SEEDS:
        places = np.arange(2**seeds)[:, None] >> np.arange(seeds)
        return Signs((1 - 2 * (places & 1)).astype(np.float64), exact=True)
    draws = max(FEWEST_DRAWS, min(DRAWS, _NUMBERS // max(size, 1)))
    values = (1 - 2 * rng.integers(0, 2, size=(draws, seeds))).astype(np.float64)
    values[0] = 1.0
    return Signs(values, exact=False)


def slope_statistics(slopes: Floats, signs: Signs) -> Statistics:
    """One-sample t over seeds of every specification's slopes, shape (specifications, seeds)."""
    seeds = slopes.shape[1]
    mean = signs.values @ slopes.T / seeds
    squares = (slopes**2).sum(axis=1)
    # signs leave the sum of squares as it is, so the mean alone decides
    variance = np.maximum(squares - seeds * mean**2, 0.0) / (seeds - 1)
    critical = np.full(len(slopes), stats.t.isf(ALPHA / 2, seeds - 1))
    return Statistics(_ratio(mean * np.sqrt(seeds), np.sqrt(variance)), critical)


def within_statistics(
    predictors: Sequence[Predictor], outcomes: Floats, pairs: NDArray[np.intp], signs: Signs
) -> Statistics:
    """Give t of the within association, CR2 by seed and Satterthwaite df, of every specification.

    outcomes: as ``without_means`` leaves them, shape (variants, seeds, columns). pairs: places of
    predictor and outcome, shape (specifications, 2). Equals ``split_half_within``'s t where all
    signs are 1.
    """
    found = np.empty((len(signs.values), len(pairs)))
    for place, (first, second) in enumerate(pairs):
        found[:, place] = _flipped_t(predictors[first], outcomes[second], signs)
    df = np.array([predictors[first].df for first in pairs[:, 0]])
    return Statistics(found, np.asarray(stats.t.isf(ALPHA / 2, df), dtype=np.float64))


def joint_median(statistics: Statistics, seeds: int, *, signs: Signs) -> JointP:
    """Two-sided test of the median over specifications of t over the root of seeds."""
    medians = np.median(statistics.t, axis=1) / np.sqrt(seeds)
    size = np.abs(medians)
    beyond = int((size >= size[0] * (1 - _ROUNDING)).sum())
    # turning all signs turns the median: the extreme comes in pairs where all draws are there
    fewest = 2 if signs.exact else 1
    return JointP(float(medians[0]), beyond / len(size), fewest / len(size))


def joint_significant(statistics: Statistics) -> JointP:
    """Test how many specifications are significant in the claimed direction; more is extreme.

    Of a strong effect all are, with one or two seeds turned as well; equal counts are told apart
    by the median of t.
    """
    counts = (statistics.t > statistics.critical).sum(axis=1)
    medians = np.median(statistics.t, axis=1)
    level = medians[0] - _ROUNDING * abs(medians[0])
    beyond = (counts > counts[0]) | ((counts == counts[0]) & (medians >= level))
    return JointP(float(counts[0]), float(beyond.mean()), 1 / len(counts))


def _flipped_t(predictor: Predictor, y: Floats, signs: Signs) -> Floats:
    """Give t of one specification under every draw; y: shape (seeds, columns)."""
    # the signs move the strengths' means over seeds, which the fit takes out again
    means = signs.values @ y / len(y)
    products = signs.values * (predictor.within * y).sum(axis=1) - means @ predictor.within.T
    total = products.sum(axis=1)
    return _ratio(total, np.sqrt((predictor.scores(products) ** 2).sum(axis=1)))


def _ratio(effect: Floats, error: Floats) -> Floats:
    """Effect over error; 0 where both are 0, without end where the error alone is."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.nan_to_num(effect / error, nan=0.0, posinf=np.inf, neginf=-np.inf)
