"""Similarity of two models' features, computed while both are at hand."""

import numpy as np
from numpy.typing import NDArray


def cka(a: NDArray[np.float32], b: NDArray[np.float32]) -> float | None:
    """Linear centred kernel alignment with the unbiased HSIC estimator.

    a, b: features of the same images, shapes (images, p) and (images, q), images > 3. Returns
    a value of at most 1, about 0 for unrelated features, unchanged when either is
    rotated, shifted or scaled; None where features do not vary or are not finite.
    Source: Kornblith et al. 2019; Song et al. 2012, equation 5.
    """
    if len(a) != len(b):
        raise ValueError(f"features of {len(a)} and {len(b)} images")
    if len(a) <= 3:
        raise ValueError(f"{len(a)} images; the unbiased estimator needs at least 4")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        return None
    # the estimator is invariant to a shift of features; centring keeps the sums small
    x = a.astype(np.float64) - a.mean(axis=0, dtype=np.float64)
    y = b.astype(np.float64) - b.mean(axis=0, dtype=np.float64)
    own = _hsic(x, x) * _hsic(y, y)
    if not own > 0:
        return None
    return float(_hsic(x, y) / np.sqrt(own))


def _hsic(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    """Unbiased HSIC of linear kernels with empty diagonals, in feature space."""
    n = len(x)
    diagonal_x, diagonal_y = (x * x).sum(axis=1), (y * y).sum(axis=1)
    trace = np.square(x.T @ y).sum() - diagonal_x @ diagonal_y
    rows_x = x @ x.sum(axis=0) - diagonal_x
    rows_y = y @ y.sum(axis=0) - diagonal_y
    product = rows_x.sum() * rows_y.sum() / ((n - 1) * (n - 2))
    return (trace + product - 2 / (n - 2) * (rows_x @ rows_y)) / (n * (n - 3))
