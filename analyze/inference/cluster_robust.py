"""Cluster-robust inference for least squares with few clusters: CR2 with Satterthwaite df.

Agrees with R's ``clubSandwich`` (``vcovCR(type = "CR2")``, ``coef_test(test =
"Satterthwaite")``, identity working model), whose treatment of dummy variables that are
constant within a cluster it shares: the adjustment is the pseudo-inverse square root.

Source: Bell & McCaffrey (2002), Survey Methodology 28(2); Pustejovsky & Tipton (2018),
Journal of Business & Economic Statistics 36(4).
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from analyze.inference.factors import codes_of, without_means

Floats = NDArray[np.float64]

SMALL_DF: Final = 4.0
"""Below this Satterthwaite df the t approximation is known to be off (Tipton 2015)."""

_SINGULAR: Final = 1e-12
"""Eigenvalues of I - H within a cluster at or below this are zero, as in clubSandwich."""

_RANK: Final = 1e-10
"""Singular values of the design, its columns scaled to length 1, below this share of the largest
are zero."""

_EXACT: Final = 1e-10
"""Residuals below this share of the outcome's size are rounding: the fit is exact."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RobustCoefficient:
    """One linear combination of regression coefficients, with its CR2 standard error.

    df: Satterthwaite's; far below clusters - 1 where few clusters carry the coefficient.
    testable: False where the fit is exact or the clusters leave no freedom, so that there is no
    error to test against; standard_error and df mean nothing then.
    """

    estimate: float
    standard_error: float
    df: float
    testable: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RobustCoefficients:
    """The same combination of the coefficients of several outcomes on one design.

    estimate: shape (outcomes,). covariance: CR2, shape (outcomes, outcomes). df, testable: as of
    ``RobustCoefficient``; testable has one answer for each outcome.
    """

    estimate: Floats
    covariance: Floats
    df: float
    testable: tuple[bool, ...]

    def of(self, outcome: int) -> RobustCoefficient:
        """Return one outcome's coefficient."""
        return RobustCoefficient(
            estimate=float(self.estimate[outcome]),
            standard_error=math.sqrt(self.covariance[outcome, outcome]),
            df=self.df,
            testable=self.testable[outcome],
        )


def cr2(
    design: Floats,
    outcome: Floats,
    clusters: NDArray[np.int64],
    contrast: Floats,
    *,
    groups: NDArray[np.int64] | None = None,
) -> RobustCoefficient | None:
    """Ordinary least squares with the CR2 variance of ``contrast @ coefficients``.

    outcome: shape (rows,). The rest, and what is raised, as of ``cr2_together``.
    None where the rows do not identify the contrast.
    """
    found = cr2_together(design, outcome[:, None], clusters, contrast, groups=groups)
    return None if found is None else found.of(0)


def cr2_together(
    design: Floats,
    outcomes: Floats,
    clusters: NDArray[np.int64],
    contrast: Floats,
    *,
    groups: NDArray[np.int64] | None = None,
) -> RobustCoefficients | None:
    """Least squares of several outcomes on one design, with their CR2 covariance.

    design: shape (rows, columns), its constant written out; columns may depend on one
    another. outcomes: shape (rows, outcomes). clusters: shape (rows,), one label per row.
    contrast: shape (columns,). groups: codes from 0, shape (rows,), each group inside one cluster:
    their means are taken out of design and outcomes, which is the same as one indicator column for
    each. None where the rows do not identify the contrast.
    Raises ValueError for fewer than two clusters or shapes that do not fit.
    Source: Pustejovsky & Tipton (2018), equations 8 (adjustment) and 12 (df).
    """
    _check_shapes(design, outcomes, clusters, contrast)
    centred = outcomes if groups is None else without_means(groups, outcomes)
    basis, weights = _project(design if groups is None else without_means(groups, design), contrast)
    if weights is None:
        return None
    residuals = centred - basis @ (basis.T @ centred)
    residuals -= basis @ (basis.T @ residuals)
    scores: list[Floats] = []
    own: list[Floats] = []
    loadings: list[Floats] = []
    for rows in _members(clusters):
        within = _annihilators(basis[rows], None if groups is None else groups[rows])
        adjusted = np.einsum("cij,cj->ci", _inverse_roots(within), weights[rows])
        scores.append(np.einsum("ci,cio->co", adjusted, residuals[rows]))
        own.append(np.einsum("ci,cij,cj->c", adjusted, within, adjusted))
        loadings.append(np.einsum("cir,ci->cr", basis[rows], adjusted))
    trace, squares = _satterthwaite(np.concatenate(own), np.concatenate(loadings))
    free = trace > _RANK * float(weights @ weights)
    by_cluster = np.concatenate(scores)
    return RobustCoefficients(
        estimate=weights @ centred,
        covariance=by_cluster.T @ by_cluster,
        df=trace**2 / squares if free else 0.0,
        testable=tuple(
            free and not is_exact(left, outcome)
            for left, outcome in zip(residuals.T, outcomes.T, strict=True)
        ),
    )


def _members(clusters: NDArray[np.int64]) -> list[NDArray[np.intp]]:
    """Return the rows of clusters, those of one size together, shape (clusters, size)."""
    codes = codes_of(clusters)
    sizes = np.bincount(codes)
    each = np.split(np.argsort(codes, kind="stable"), np.cumsum(sizes)[:-1])
    return [
        np.stack([each[cluster] for cluster in np.flatnonzero(sizes == size)])
        for size in np.unique(sizes)
    ]


def _annihilators(basis: Floats, groups: NDArray[np.int64] | None) -> Floats:
    """Return I - H among the rows of each of some clusters, from their rows of the basis.

    basis: shape (clusters, size, rank). groups: shape (clusters, size).
    """
    identity = np.eye(basis.shape[1])
    if groups is None:
        free = identity
    else:
        same = groups[:, :, None] == groups[:, None, :]
        free = identity - same / same.sum(axis=2, keepdims=True)
    return free - basis @ basis.transpose(0, 2, 1)


def _satterthwaite(own: Floats, loadings: Floats) -> tuple[float, float]:
    """Return trace and sum of squares of the clusters' gram matrix G, never written out.

    own: its diagonal, shape (clusters,). loadings: shape (clusters, rank); off the diagonal
    G = -loadings @ loadings.T.
    """
    inner = loadings.T @ loadings
    lengths = np.sum(loadings**2, axis=1)
    return float(own.sum()), float(np.sum(own**2) + np.sum(inner**2) - np.sum(lengths**2))


def is_exact(residuals: Floats, outcome: Floats) -> bool:
    """Whether residuals are rounding alone. Both of shape (rows,), in outcome units."""
    return float(np.linalg.norm(residuals)) <= _EXACT * float(np.linalg.norm(outcome))


def _check_shapes(
    design: Floats, outcomes: Floats, clusters: NDArray[np.int64], contrast: Floats
) -> None:
    """Refuse shapes that do not fit and a single cluster."""
    if design.ndim != 2 or design.shape != (len(outcomes), len(contrast)):
        raise ValueError(
            f"design has shape {design.shape}; outcome and contrast give "
            f"{(len(outcomes), len(contrast))}"
        )
    if len(clusters) != len(outcomes):
        raise ValueError(f"{len(clusters)} cluster labels for {len(outcomes)} rows")
    if len(np.unique(clusters)) < 2:
        raise ValueError("a cluster-robust variance needs at least two clusters")


def _project(design: Floats, contrast: Floats) -> tuple[Floats, Floats | None]:
    """Return an orthonormal basis of the design, and the weights that give the contrast.

    basis: shape (rows, rank). weights: shape (rows,), so that weights @ outcome is the
    estimate; None where the contrast is not in the row space.
    """
    lengths = np.linalg.norm(design, axis=0)
    scale = np.where(lengths > 0, lengths, 1.0)
    left, singular, right = np.linalg.svd(design / scale, full_matrices=False)
    kept = singular > _RANK * singular[0]
    basis = left[:, kept]
    scaled = contrast / scale
    inside = right[kept].T @ (right[kept] @ scaled)
    if np.linalg.norm(scaled - inside) > math.sqrt(_RANK) * np.linalg.norm(scaled):
        return basis, None
    return basis, basis @ ((right[kept] @ scaled) / singular[kept])


def _inverse_roots(matrices: Floats) -> Floats:
    """Symmetric pseudo-inverse square roots of positive semi-definite matrices."""
    values, vectors = np.linalg.eigh(matrices)
    roots = np.zeros_like(values)
    positive = values > _SINGULAR
    roots[positive] = values[positive] ** -0.5
    return (vectors * roots[:, None, :]) @ vectors.transpose(0, 2, 1)
