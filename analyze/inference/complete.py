"""The within association of complete blocks in closed form, for hundreds of specifications.

``split_half_within`` takes any students; where every seed has every strength, its estimate, CR2
standard error and Satterthwaite df follow from a few numbers per seed, and those of the predictor
serve every outcome. Tests hold the two equal.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from analyze.inference.associations import varies, with_t
from analyze.inference.cluster_robust import is_exact
from analyze.inference.estimate import Estimate
from analyze.inference.sample import FEWEST_SEEDS

Floats = NDArray[np.float64]

_FREEDOM: Final = 1e-6
"""A seed that carries more of the predictor than this leaves is left to the general way."""


@dataclass(frozen=True, slots=True)
class Predictor:
    """A predictor without seed and strength means, and what CR2 makes of it.

    within: shape (seeds, columns). squares: its sum of squares by seed, shape (seeds,). scale:
    inverse root of each seed's freedom. df: Satterthwaite's.
    """

    within: Floats
    squares: Floats
    scale: Floats
    df: float

    def scores(self, products: Floats) -> Floats:
        """Adjust scores of seeds, made from their sums of x times y, shape (..., seeds)."""
        slope = products.sum(axis=-1, keepdims=True) / self.squares.sum()
        return self.scale * (products - slope * self.squares)


def without_means(values: Floats) -> Floats:
    """Take out seed and strength means of each part.

    values: shape (..., parts, seeds, strengths), complete; parts are tables with factors of their
    own, as the two of ``split_half_within``. Returns shape (..., seeds, parts x strengths).
    """
    left = values - values.mean(axis=-1, keepdims=True)
    left = left - left.mean(axis=-2, keepdims=True)
    *before, parts, seeds, strengths = left.shape
    return np.moveaxis(left, -3, -2).reshape(*before, seeds, parts * strengths)


def predictor_of(values: Floats) -> Predictor | None:
    """Work out what a predictor, shape (parts, seeds, strengths), brings to every outcome.

    None where the general way must say why there is no test, or carries it.
    Of complete data I - H of a seed is (1 - 1/G) M - x x' / S, as in ``analyze.resample``.
    """
    within = without_means(values)
    seeds = len(within)
    if seeds < FEWEST_SEEDS or not varies(within.ravel(), values.ravel()):
        return None
    gram = within @ within.T
    squares = np.diag(gram).copy()
    total = float(squares.sum())
    freedom = 1 - 1 / seeds - squares / total
    if freedom.min() < _FREEDOM:
        return None
    scale = 1 / np.sqrt(freedom)
    cross = np.outer(scale, scale) * (gram / seeds + np.outer(squares, squares) / total)
    outside = float((cross**2).sum() - (np.diag(cross) ** 2).sum())
    # scale^2 squares freedom is squares: what a seed's adjusted weights leave of themselves
    df = total**2 / (float((squares**2).sum()) + outside)
    return Predictor(within, squares, scale, df)


def complete_within(predictor: Predictor, outcome: Floats) -> Estimate | None:
    """Test the association as ``split_half_within`` does.

    outcome: shape (parts, seeds, strengths), each part on the half that the predictor's is not
    on. None where the general way must say why there is no test.
    """
    y = without_means(outcome)
    products = (predictor.within * y).sum(axis=1)
    total = float(predictor.squares.sum())
    slope = float(products.sum()) / total
    if is_exact((y - slope * predictor.within).ravel(), outcome.ravel()):
        return None
    error = math.sqrt(float((predictor.scores(products) ** 2).sum())) / total
    described = Estimate(
        test="split_half_within_cr2",
        method="as the primary test, in closed form",
        value_name="slope",
        estimate=slope,
        n=len(y),
        rows=y.size,
    )
    return with_t(described, error, predictor.df, 0.95) if error > 0 else None
