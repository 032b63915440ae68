"""Factors of a regression, of which the largest is never written out as columns.

Thousands of seeds would be thousands of indicator columns. To take out each seed's mean does
the same (Frisch, Waugh and Lovell), row by row.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_DEPENDENT: Final = 1e-10
"""Singular values below this share of the largest are zero."""


def codes_of(labels: NDArray[np.generic]) -> Ints:
    """Return each label's place among the labels in order, from 0, shape (rows,)."""
    return np.unique(labels, return_inverse=True)[1].astype(np.int64)


def sums_by(codes: Ints, values: Floats) -> Floats:
    """Sum values, shape (rows,) or (rows, columns), by their codes from 0."""
    if values.ndim == 1:
        return np.asarray(np.bincount(codes, weights=values), dtype=np.float64)
    summed = [np.bincount(codes, weights=column) for column in values.T]
    return np.asarray(np.stack(summed, axis=1), dtype=np.float64)


def without_means(codes: Ints, values: Floats) -> Floats:
    """Take each group's mean from values, shape (rows,) or (rows, columns)."""
    sizes = np.bincount(codes).astype(np.float64)
    sums = sums_by(codes, values) if values.size else np.zeros((len(sizes), *values.shape[1:]))
    means = sums / (sizes if values.ndim == 1 else sizes[:, None])
    return values - means[codes]


@dataclass(frozen=True)
class Factors:
    """One factor as groups, the others as columns.

    groups: of each row, from 0. others: indicator columns, shape (rows, columns), which may
    depend on one another and on the groups.
    """

    groups: Ints
    others: Floats

    @cached_property
    def basis(self) -> Floats:
        """Orthonormal basis of what the groups' means leave of the other columns."""
        left, singular, _ = np.linalg.svd(
            without_means(self.groups, self.others), full_matrices=False
        )
        return left[:, singular > _DEPENDENT * max(1.0, float(singular.max(initial=0.0)))]

    @property
    def rank(self) -> int:
        """Number of columns that do not depend on one another."""
        return int(self.groups.max(initial=-1)) + 1 + self.basis.shape[1]

    def residual(self, values: Floats) -> Floats:
        """Return what least squares on the factors leaves of values, shape (rows,)."""
        left = values
        # the second pass takes out what rounding left in the first
        for _ in range(2):
            left = without_means(self.groups, left)
            left = left - self.basis @ (self.basis.T @ left)
        return left


def two_way_factors(block: Ints, dose: Floats) -> Factors:
    """Seed as groups, strength as columns, the first strength left out."""
    strengths = (dose[:, None] == np.unique(dose)[1:]).astype(np.float64)
    return Factors(codes_of(block), strengths)


def one_factor(labels: NDArray[np.generic]) -> Factors:
    """One factor alone."""
    return Factors(codes_of(labels), np.zeros((len(labels), 0)))
