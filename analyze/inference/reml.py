"""Fit a linear mixed model of one predictor by restricted maximum likelihood.

Seeds are independent, so the likelihood is a sum over seeds. The covariance of the random
terms is relative to the residual variance and is searched through its Cholesky factor, as in
Bates et al. (2015). Several grouping factors: ``crossed_reml``, which says why both are here.
"""

from dataclasses import dataclass
from itertools import product
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

Floats = NDArray[np.float64]
RandomTerms = Literal["intercept", "slope", "correlated_slope"]
"""Random intercept; intercept and slope, uncorrelated at the mean dose; or correlated."""

_FACTOR: Final[dict[RandomTerms, tuple[tuple[int, int], ...]]] = {
    "intercept": ((0, 0),),
    "slope": ((0, 0), (1, 1)),
    "correlated_slope": ((0, 0), (1, 0), (1, 1)),
}
_SIZES: Final = (1.0, 4.0)
_LEANS: Final = (0.0, 1.5, -1.5)
"""Where the searches start: sizes, and covariances over them. With few rows beyond each seed's
own line the likelihood can have two optima."""
_NUDGE: Final = 1e-3
_FLAT: Final = 1e-6
"""A gradient of the criterion below this is an optimum; the criterion is of order N."""
_TIE: Final = 1e-8
"""A boundary within this of the best criterion is preferred: the simpler model."""


@dataclass(frozen=True, slots=True)
class Seeds:
    """The replicates by seed, filled up with rows of zeros to the longest seed's k.

    design: intercept and predictor, shape (n, k, 2). outcomes: shape (n, k). observed: 1
    where there is a replicate, else 0, shape (n, k).
    """

    design: Floats
    outcomes: Floats
    observed: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class RemlFit:
    """The REML estimates.

    coefficients: intercept and slope, shape (2,). relative: covariance of the random terms
    over the residual variance, shape (q, q). boundary: a variance at 0 or a correlation at
    -+1. converged: the criterion is flat there.
    """

    coefficients: Floats
    relative: Floats
    residual_variance: float
    boundary: bool
    converged: bool


@dataclass(frozen=True, slots=True)
class _Profile:
    """The criterion (-2 log restricted likelihood, but for a constant) at one factor."""

    criterion: float
    gradient: Floats
    coefficients: Floats
    residual_variance: float


def fit_reml(seeds: Seeds, random: RandomTerms) -> RemlFit:
    """Fit outcome = intercept + slope x predictor + random terms by seed + residual.

    The predictor should be centred and both of order 1. The caller sees to it that the
    residual variance is identified and positive.
    """
    theta, profile = _best(seeds, random)
    diagonal = np.array([row == column for row, column in _FACTOR[random]])
    factor = _factor(theta, random)
    slack = np.where(diagonal & (theta == 0), 0.0, profile.gradient)
    return RemlFit(
        coefficients=profile.coefficients,
        relative=factor @ factor.T,
        residual_variance=profile.residual_variance,
        boundary=bool((theta[diagonal] == 0).any()),
        converged=bool(np.abs(slack).max() < _FLAT),
    )


def _best(seeds: Seeds, random: RandomTerms) -> tuple[Floats, _Profile]:
    """Search from inside, then from every face of the boundary; keep the least."""
    places = _FACTOR[random]
    starts = [(size, lean) for size in _SIZES for lean in _LEANS]
    inside = [
        _descend(seeds, random, np.array([size if i == j else lean * size for i, j in places]))
        for size, lean in (starts if random == "correlated_slope" else starts[:: len(_LEANS)])
    ]
    theta, profile = min(inside, key=lambda found: found[1].criterion)
    diagonal = _diagonal(places)
    # from an optimum on one face, the others start as far inside as the first search did
    base = theta.copy()
    base[diagonal] = np.where(theta[diagonal] == 0, 1.0, theta[diagonal])
    for kept in sorted(product((0, 1), repeat=len(diagonal)), reverse=True)[1:]:
        face = base.copy()
        face[diagonal] *= np.array(kept, dtype=np.float64)
        at_face = _descend(seeds, random, face)
        if at_face[1].criterion <= profile.criterion + _TIE:
            theta, profile = at_face
    return _leave_boundary(seeds, random, theta, profile)


def _leave_boundary(
    seeds: Seeds, random: RandomTerms, theta: Floats, profile: _Profile
) -> tuple[Floats, _Profile]:
    """Search once more from just inside where that lowers the criterion.

    At 0 the gradient vanishes whether or not the variance should be positive.
    """
    inside = theta.copy()
    for index in _diagonal(_FACTOR[random]):
        if theta[index] == 0:
            nudged = theta.copy()
            nudged[index] = _NUDGE
            if _profile(seeds, random, nudged).gradient[index] < 0:
                inside[index] = _NUDGE
    if (inside == theta).all():
        return theta, profile
    found = _descend(seeds, random, inside)
    return found if found[1].criterion < profile.criterion - _TIE else (theta, profile)


def _diagonal(places: tuple[tuple[int, int], ...]) -> list[int]:
    return [index for index, (row, column) in enumerate(places) if row == column]


def _descend(seeds: Seeds, random: RandomTerms, start: Floats) -> tuple[Floats, _Profile]:
    """Minimize from ``start``; an element of the diagonal that starts at 0 stays there."""

    def objective(theta: Floats) -> tuple[float, Floats]:
        at = _profile(seeds, random, theta)
        return at.criterion, at.gradient

    bounds = [(0.0, None) if row == column else (None, None) for row, column in _FACTOR[random]]
    found = optimize.minimize(
        objective,
        start,
        jac=True,
        method="L-BFGS-B",
        bounds=bounds,
        options={"ftol": 1e-14, "gtol": 1e-8},
    )
    return _polish(seeds, random, np.asarray(found.x, dtype=np.float64))


def _polish(seeds: Seeds, random: RandomTerms, theta: Floats) -> tuple[Floats, _Profile]:
    """Take Newton steps on the gradient: the criterion alone is too flat for 1e-6."""
    profile = _profile(seeds, random, theta)
    for _ in range(4):
        free = theta != 0
        if not free.any() or float(np.abs(profile.gradient[free]).max()) < 1e-10:
            break
        step = np.zeros_like(theta)
        hessian = _hessian(seeds, random, theta, free)
        step[free] = np.linalg.lstsq(hessian, profile.gradient[free], rcond=1e-10)[0]
        moved = theta - step
        at_moved = _profile(seeds, random, moved)
        if float(np.abs(at_moved.gradient).max()) >= float(np.abs(profile.gradient).max()):
            break
        theta, profile = moved, at_moved
    return theta, profile


def _hessian(seeds: Seeds, random: RandomTerms, theta: Floats, free: NDArray[np.bool_]) -> Floats:
    """Differentiate the gradient numerically in the free elements."""
    rows: list[Floats] = []
    for index in np.flatnonzero(free):
        reach = np.zeros_like(theta)
        reach[index] = 1e-5 * max(1.0, abs(float(theta[index])))
        ahead = _profile(seeds, random, theta + reach).gradient
        behind = _profile(seeds, random, theta - reach).gradient
        rows.append((ahead - behind)[free] / (2 * reach[index]))
    return np.array(rows)


def _factor(theta: Floats, random: RandomTerms) -> Floats:
    """Return the lower triangular factor that the elements ``theta`` fill."""
    places = _FACTOR[random]
    terms = places[-1][0] + 1
    factor = np.zeros((terms, terms))
    for value, place in zip(theta, places, strict=True):
        factor[place] = value
    return factor


def _profile(seeds: Seeds, random: RandomTerms, theta: Floats) -> _Profile:
    """Profile coefficients and residual variance out of the restricted likelihood."""
    factor = _factor(theta, random)
    z = seeds.design[:, :, : len(factor)]
    # rows that fill up have variance 1, no design and no outcome: they add nothing
    covariance = np.eye(z.shape[1]) + z @ (factor @ factor.T) @ z.mT
    inverse = np.asarray(np.linalg.inv(covariance), dtype=np.float64)
    weighted = inverse @ seeds.design
    normal = (seeds.design.mT @ weighted).sum(axis=0)
    unscaled = np.linalg.inv(normal)
    coefficients = unscaled @ np.einsum("nki,nk->i", weighted, seeds.outcomes)
    residuals = seeds.outcomes - seeds.design @ coefficients
    pulled = np.einsum("nkl,nl->nk", inverse, residuals)
    df = float(seeds.observed.sum()) - 2
    variance = float((residuals * pulled).sum()) / df
    z_weighted = z.mT @ weighted
    z_pulled = np.einsum("nkq,nk->nq", z, pulled)
    slope = (z.mT @ inverse @ z - z_weighted @ unscaled @ z_weighted.mT).sum(axis=0)
    gradient = 2 * (slope - z_pulled.T @ z_pulled / variance) @ factor
    return _Profile(
        criterion=float(np.linalg.slogdet(covariance)[1].sum())
        + float(np.linalg.slogdet(normal)[1])
        + df * float(np.log(variance)),
        gradient=np.array([gradient[place] for place in _FACTOR[random]]),
        coefficients=coefficients,
        residual_variance=variance,
    )
