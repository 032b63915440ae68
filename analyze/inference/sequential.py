"""Levels at which data may be read that are looked at more than once, while seeds are added.

Group-sequential tests with the error-spending function of Lan and DeMets (1983) that comes close
to the boundaries of O'Brien and Fleming (1979): very little error is spent on early looks. Pure
numbers: which looks a study declares, and which it has reached, is ``analyze.looks``.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

Floats = NDArray[np.float64]

_REACH: Final = 10.0
"""Normal deviates beyond which no probability is left to follow (2e-23)."""
_PANEL_NODES: Final = 12
_PANEL_WIDTH: Final = 2.0
"""Gauss-Legendre panels: nodes of each, and its width in SDs of the narrower increment beside it.
Doubling the nodes moves no level by more than 1e-13."""
_PORTION: Final = 4_000_000


def spending(alpha: float, fraction: float) -> float:
    """Return the error that may be spent by an information fraction, both sides together.

    Each side spends half: 2 (1 - Phi(z_{a/2} / sqrt(fraction))) with a = alpha / 2, which is alpha
    in all at fraction 1. alpha: two-sided, in (0, 1). fraction: in (0, 1].
    Source: Lan and DeMets (1983), their alpha_1*, for a one-sided level a.
    """
    return 4 * float(ndtr(ndtri(alpha / 4) / math.sqrt(fraction)))


def look_levels(alpha: float, fractions: Sequence[float]) -> tuple[float, ...]:
    """Return the nominal two-sided p-level of each look, in order.

    alpha: error rate over all looks together, two-sided, in (0, 1). fractions: share of the
    largest information (the largest number of seeds) that each look has, strictly ascending, in
    (0, 1]. A test whose p at look k is at or below level k rejects; the levels of the looks
    so far do not depend on those to come. Accurate to 1e-10. A level below the smallest
    floating-point number is 0.
    Raises ValueError outside these ranges.
    Source: Lan and DeMets (1983); Jennison and Turnbull (2000), ch. 7 and 19.
    """
    if not 0 < alpha < 1:
        raise ValueError(f"alpha {alpha} is not in (0, 1)")
    shares = tuple(map(float, fractions))
    if not shares or not all(0 < share <= 1 for share in shares):
        raise ValueError(f"fractions {list(shares)} must be one or more numbers in (0, 1]")
    return spent_levels([spending(alpha, share) for share in shares], shares)


def spent_levels(spent: Sequence[float], information: Sequence[float]) -> tuple[float, ...]:
    """Return the nominal two-sided p-level of each look, for any spending.

    spent: error spent by each look in all, never falling, in [0, 1). information: at each look,
    positive, strictly ascending, in any unit (seeds): the correlation of the statistics of two
    looks is the root of its ratio.
    Raises ValueError outside these ranges.
    Source: Armitage, McPherson and Rowe (1969); Jennison and Turnbull (2000), ch. 19.
    """
    amounts, times = tuple(map(float, spent)), tuple(map(float, information))
    if len(amounts) != len(times):
        raise ValueError(f"{len(amounts)} amounts spent for {len(times)} looks")
    if any(not 0 <= amount < 1 for amount in amounts) or list(amounts) != sorted(amounts):
        raise ValueError(f"error spent {list(amounts)} must not fall, and lie in [0, 1)")
    if any(not 0 < time < math.inf for time in times) or list(times) != sorted(set(times)):
        raise ValueError(f"information {list(times)} must be positive and strictly ascending")
    return _levels(amounts, times)


@dataclass(frozen=True, slots=True)
class _Going:
    """Studies that no look has stopped: where their score is, and with what probability.

    score: standardized statistic times the root of the information fraction, a Brownian motion
    under the null; shape (nodes,). mass: probability at each, shape (nodes,).
    """

    score: Floats
    mass: Floats

    def crossing(self, bound: float, sd: float) -> float:
        """Probability of a score beyond ``bound``, either side, after an increment of this SD."""
        beyond = ndtr((self.score - bound) / sd) + ndtr((-self.score - bound) / sd)
        return float(self.mass @ beyond)

    def after(self, nodes: Floats, weights: Floats, sd: float) -> "_Going":
        """Move on by an increment, to the nodes of a quadrature within the bounds."""
        density = np.empty_like(nodes)
        step = max(1, _PORTION // len(self.score))
        for start in range(0, len(nodes), step):
            part = slice(start, start + step)
            away = (nodes[part, None] - self.score) / sd
            density[part] = np.exp(-(away**2) / 2) @ self.mass
        return _Going(nodes, weights * density / (sd * math.sqrt(2 * math.pi)))


@lru_cache(maxsize=256)
def _levels(spent: tuple[float, ...], information: tuple[float, ...]) -> tuple[float, ...]:
    """Look by look: solve for the bound that spends its part, then move on what is left."""
    times = np.asarray(information) / information[-1]
    sds = np.sqrt(np.diff(times, prepend=0.0))
    going = _Going(np.zeros(1), np.ones(1))
    levels: list[float] = []
    before = 0.0
    for look, (amount, time, sd) in enumerate(zip(spent, times, sds, strict=True)):
        root = math.sqrt(time)
        bound = _bound(going, amount - before, root, float(sd))
        levels.append(2 * float(ndtr(-bound)))
        before = amount
        if look + 1 < len(times):
            narrow = float(min(sd, sds[look + 1]))
            going = going.after(*_quadrature(min(bound, _REACH) * root, narrow), float(sd))
    return tuple(levels)


def _bound(going: _Going, part: float, root: float, sd: float) -> float:
    """Solve for the standardized bound beyond which a look stops with probability ``part``.

    By halving, down to the last bit: the probability falls as the bound rises.
    """
    # ignoring the looks before gives a bound that is too far out, never one too near
    far = -float(ndtri(part / 2)) if part > 0 else math.inf
    if not far < math.inf:
        return math.inf
    near = 0.0
    while near < (middle := (near + far) / 2) < far:
        too_near = going.crossing(middle * root, sd) > part
        near, far = (middle, far) if too_near else (near, middle)
    return far


def _quadrature(bound: float, sd: float) -> tuple[Floats, Floats]:
    """Nodes and weights of Gauss-Legendre panels over [-bound, bound]."""
    panels = max(1, math.ceil(2 * bound / (_PANEL_WIDTH * sd)))
    node, weight = np.polynomial.legendre.leggauss(_PANEL_NODES)
    half = bound / panels
    centres = -bound + half * (2 * np.arange(panels) + 1)
    return (centres[:, None] + half * node).ravel(), np.tile(half * weight, panels)
