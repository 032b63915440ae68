"""Contingency tables: how many images two models gave which classes, occupied cells only."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

Counts = NDArray[np.int64]


class UndefinedError(ValueError):
    """A measure has no value on these data; the message says why, for the column ``reason``."""


@dataclass(frozen=True, slots=True)
class Contingency:
    """Images counted by two labellings.

    first, second: class of each occupied cell, shape (cells,). images: its count, positive,
    shape (cells,). A cell appears once. Classes may be any integers: their names do not matter.
    """

    first: Counts
    second: Counts
    images: Counts

    def __post_init__(self) -> None:
        """Refuse shapes that differ and counts below one."""
        _check_cells(self.images, self.first, self.second)

    @classmethod
    def from_counts(cls, counts: ArrayLike) -> Self:
        """Table of a dense array of counts, shape (K, K)."""
        dense = _dense(counts, dimensions=2)
        first, second = np.nonzero(dense)
        return cls(first, second, dense[first, second])

    @classmethod
    def from_labels(cls, first: ArrayLike, second: ArrayLike) -> Self:
        """Table of two labellings of the same images, each of shape (images,)."""
        labellings = [np.asarray(classes, np.int64) for classes in (first, second)]
        (one, other), cells = _cells(*labellings)
        return cls(one, other, _counted(cells, np.ones(len(cells), np.int64)))

    @property
    def total(self) -> int:
        """Images in the table."""
        return int(self.images.sum())

    def margins(self) -> tuple[Counts, Counts]:
        """Images of each class that occurs, by the first and by the second labelling."""
        rows, columns = _codes(self.first), _codes(self.second)
        return _counted(rows, self.images), _counted(columns, self.images)

    def margins_of_cells(self) -> tuple[Counts, Counts]:
        """Each cell's row total and column total, both of shape (cells,)."""
        rows, columns = _codes(self.first), _codes(self.second)
        return _counted(rows, self.images)[rows], _counted(columns, self.images)[columns]


@dataclass(frozen=True, slots=True)
class LabelledContingency:
    """Images counted by their label and two labellings; fields as in ``Contingency``."""

    label: Counts
    first: Counts
    second: Counts
    images: Counts

    def __post_init__(self) -> None:
        """Refuse shapes that differ and counts below one."""
        _check_cells(self.images, self.label, self.first, self.second)

    @classmethod
    def from_labels(cls, label: Counts, first: Counts, second: Counts) -> Self:
        """Table of the images' labels and two labellings, each of shape (images,)."""
        (own, one, other), cells = _cells(label, first, second)
        return cls(own, one, other, _counted(cells, np.ones(len(cells), np.int64)))

    @classmethod
    def from_counts(cls, counts: ArrayLike) -> Self:
        """Table of a dense array of counts, shape (K, K, K): label, first, second."""
        dense = _dense(counts, dimensions=3)
        label, first, second = np.nonzero(dense)
        return cls(label, first, second, dense[label, first, second])

    @property
    def total(self) -> int:
        """Images in the table."""
        return int(self.images.sum())

    def pooled(self) -> Contingency:
        """Sum over labels: the table of the two labellings alone."""
        (first, second), cells = _cells(self.first, self.second)
        return Contingency(first, second, _counted(cells, self.images))

    def margins(self) -> tuple[Counts, Counts]:
        """Images of each label and class, by the first and by the second labelling.

        Two arrays of shape (labels, classes), both numbered by what occurs; zeros included.
        """
        label = _codes(self.label)
        tables: list[Counts] = []
        for classes in (_codes(self.first), _codes(self.second)):
            shape = (int(label.max()) + 1, int(classes.max()) + 1)
            cells = label * shape[1] + classes
            tables.append(_counted(cells, self.images, size=shape[0] * shape[1]).reshape(shape))
        return tables[0], tables[1]


def _cells(*labellings: Counts) -> tuple[tuple[Counts, ...], NDArray[np.intp]]:
    """Find what occurs together: each cell's classes, in order, and which cell each place is in."""
    known = [np.unique(classes, return_inverse=True) for classes in labellings]
    shape = tuple(max(len(names), 1) for names, _ in known)
    joined = np.ravel_multi_index(tuple(codes for _, codes in known), shape)
    occupied, cells = np.unique(joined, return_inverse=True)
    places = np.unravel_index(occupied, shape)
    names = tuple(names[place] for (names, _), place in zip(known, places, strict=True))
    return names, cells


def _codes(classes: Counts) -> NDArray[np.intp]:
    """Classes renumbered from 0, those that occur."""
    return np.unique(classes, return_inverse=True)[1]


def _counted(groups: NDArray[np.intp], images: Counts, *, size: int = 0) -> Counts:
    return np.bincount(groups, weights=images, minlength=size).astype(np.int64)


def _check_cells(images: Counts, *classes: Counts) -> None:
    if any(column.shape != images.shape for column in classes) or images.ndim != 1:
        raise ValueError("classes and images must be one-dimensional and of one length")
    if (images < 1).any():
        raise ValueError("an occupied cell counts at least one image")


def _dense(counts: ArrayLike, *, dimensions: int) -> Counts:
    dense = np.asarray(counts)
    if dense.ndim != dimensions or not np.issubdtype(dense.dtype, np.integer):
        raise ValueError(f"counts must be integers in {dimensions} dimensions")
    if (dense < 0).any():
        raise ValueError("counts must not be negative")
    return dense.astype(np.int64)
