"""The wild cluster bootstrap of a within association: a second opinion for few seeds."""

import math
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from analyze.inference.associations import (
    NO_ERROR,
    WithinRegression,
    describe,
)
from analyze.inference.cluster_robust import is_exact
from analyze.inference.estimate import Estimate
from analyze.inference.factors import codes_of, sums_by

Floats = NDArray[np.float64]

ENUMERATE_FROM: Final = 8
"""From this many seeds on, 2^seeds sign vectors give p-values fine enough (2/256) to list all."""

LIBERAL: Final = (
    "below 8 seeds the wild cluster bootstrap rejects a true null in up to 8 % of studies at .05"
)
"""By simulation of 1,500 null studies each of 5 and 6 seeds: .070 to .083."""

WEBB: Final = np.array([-math.sqrt(1.5), -1, -math.sqrt(0.5), math.sqrt(0.5), 1, math.sqrt(1.5)])
"""The 6-point weights of Webb (2023), mean 0 and variance 1."""

MOST_SEEDS: Final = 1000
"""Above this the bootstrap would take minutes, and the t that it checks needs no check."""

MANY: Final = f"more than {MOST_SEEDS} seeds: not drawn, as the t test needs no help there"

_TIE: Final = 1e-9
"""Two statistics this close, relatively, are the same number rounded differently."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scores:
    """What a weight per seed does to the slope's t, exactly and without refitting.

    numerator: shape (seeds,); weights @ numerator is the slope's share x~'y*. spread: shape
    (seeds, seeds); spread @ weights are the seeds' scores, whose squares sum to its variance.
    """

    numerator: Floats
    spread: Floats

    def squared_t(self, weights: Floats) -> tuple[Floats, Floats]:
        """Return numerator and denominator of t^2, up to one constant; weights: (draws, seeds)."""
        top = (weights @ self.numerator) ** 2
        return top, np.sum((weights @ self.spread.T) ** 2, axis=1)


def wild_cluster(
    regression: WithinRegression, rng: np.random.Generator, *, draws: int = 9999
) -> Estimate:
    """Test a within slope by the restricted wild cluster bootstrap of its CR1 t, two-sided.

    The null is imposed: residuals without the predictor, one random weight per seed. From 8
    seeds on, all 2^seeds sign vectors are enumerated where they number no more than ``draws``;
    elsewhere Webb's weights are drawn ``draws`` times. Test ``wild_cluster_bootstrap``. It
    gives no interval. Source: Cameron, Gelbach & Miller (2008); Webb (2023); MacKinnon & Webb
    (2018).
    Raises ValueError for fewer than one draw.
    """
    if draws < 1:
        raise ValueError(f"{draws} bootstrap draws: at least one is needed")
    seeds = regression.seeds
    enumerated = seeds >= ENUMERATE_FROM and 2**seeds <= draws
    kind = f"all {2**seeds} sign vectors" if enumerated else f"{draws} draws of Webb's weights"
    described = describe(
        regression,
        test="wild_cluster_bootstrap",
        method=f"restricted wild cluster bootstrap by seed, {kind} (Cameron et al. 2008)",
    )
    if described.caveats or described.estimate is None:
        return described
    if seeds > MOST_SEEDS:
        return replace(described, caveats=(MANY,))
    if is_exact(regression.y_within - described.estimate * regression.x_within, regression.y):
        return replace(described, caveats=(NO_ERROR,))
    scores = _scores(regression)
    weights = _all_signs(seeds) if enumerated else rng.choice(WEBB, size=(draws, seeds))
    reached = _count_at_least(scores, weights)
    return replace(
        described,
        statistic_name="t_cr1",
        statistic=_observed_t(scores, seeds),
        p_value=reached / len(weights) if enumerated else (1 + reached) / (1 + draws),
        smallest_p=2 / 2**seeds if enumerated else max(1 / (1 + draws), 6 / 6**seeds),
        caveats=() if seeds >= ENUMERATE_FROM else (LIBERAL,),
    )


def _scores(regression: WithinRegression) -> _Scores:
    """Reduce rows to seeds."""
    x, y = regression.x_within, regression.y_within
    seeds = codes_of(regression.block)
    basis = np.column_stack([regression.factors.basis, x / np.linalg.norm(x)])
    # x and y have no seed means left, so that of I - H only the basis joins seeds
    own = sums_by(seeds, x * y)
    joined = sums_by(seeds, x[:, None] * basis) @ sums_by(seeds, y[:, None] * basis).T
    return _Scores(numerator=own, spread=np.diag(own) - joined)


def _observed_t(scores: _Scores, seeds: int) -> float:
    """Return the CR1 t of the data themselves (every weight 1)."""
    top, bottom = scores.squared_t(np.ones((1, seeds)))
    size = math.sqrt(float(top[0]) / (float(bottom[0]) * seeds / (seeds - 1)))
    return math.copysign(size, float(scores.numerator.sum()))


def _count_at_least(scores: _Scores, weights: Floats) -> int:
    """Return how many draws have a t at least as large as the data's, in absolute value."""
    top, bottom = scores.squared_t(np.ones((1, weights.shape[1])))
    drawn_top, drawn_bottom = scores.squared_t(weights)
    # cross-multiplied: a draw without any residual divides by nothing, and counts as a tie
    return int(np.sum(drawn_top * bottom[0] >= top[0] * drawn_bottom * (1 - _TIE)))


def _all_signs(seeds: int) -> Floats:
    """Every vector of signs, shape (2^seeds, seeds)."""
    bits = np.arange(2**seeds)[:, None] >> np.arange(seeds)
    return np.where(bits & 1, 1.0, -1.0)
