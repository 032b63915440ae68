"""Do two models look at the same places? Overlap above chance, and rank correlation.

Every function takes subsets of the images, shape (subsets, images), boolean: the mismatched
pairs of images are then met once for all test images and both halves.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]

_WORD_BITS: Final = 64
_CHUNK_PAIRS: Final = 1 << 16
"""Pairs of images met at once: 1.3 MB of work space, within a processor's cache."""
_MAP_VALUES: Final = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Masks:
    """One model's attention masks.

    cells: shape (images, cells). defined: shape (images,), whether the image has a mask.
    """

    cells: Bools
    defined: Bools


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranks:
    """One model's attention maps as ranks within each image.

    centred: twice the average rank minus its mean, whole numbers, shape (images, cells).
    defined: shape (images,), whether the map exists and is not constant.
    """

    centred: NDArray[np.float32]
    defined: Bools


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlap:
    """How much two models' masks overlap on one subset of the images.

    iou: mean intersection over union on the same image. chance: the same over all ordered
    pairs of different images (IoU0). adjusted: (iou - chance) / (1 - chance). Each is None where
    it is undefined. images: those where both models have a mask; without_mask: the others.
    undefined_images, undefined_pairs: left out of iou and of chance, as 0/0.
    """

    iou: float | None
    chance: float | None
    images: int
    without_mask: int
    undefined_images: int
    undefined_pairs: int

    @property
    def adjusted(self) -> float | None:
        """Overlap above chance; None where iou or chance is undefined or chance is 1."""
        if self.iou is None or self.chance is None or self.chance >= 1:
            return None
        return (self.iou - self.chance) / (1 - self.chance)


@dataclass(frozen=True, slots=True, kw_only=True)
class Correlation:
    """Mean over images of Spearman's rho; None without one image where both maps vary.

    images: those in the mean. left_out: those where a map is undefined or constant.
    """

    rho: float | None
    images: int
    left_out: int


def masks_from_words(words: NDArray[np.int64] | NDArray[np.uint64], *, cells: int) -> Bools:
    """Masks of stored words, shape (images, words): cell i at bit i % 64 of word i // 64.

    Returns shape (images, cells). Raises ValueError when the words are too few.
    """
    if cells > words.shape[1] * _WORD_BITS:
        raise ValueError(f"{words.shape[1]} words hold no mask of {cells} cells")
    unsigned = words.view(np.uint64)[:, :, None]
    bits = (unsigned >> np.arange(_WORD_BITS, dtype=np.uint64)) & np.uint64(1)
    return bits.reshape(len(words), -1)[:, :cells].astype(np.bool_)


def overlaps(first: Masks, second: Masks, subsets: Bools) -> tuple[Overlap, ...]:
    """Overlap of two models' masks on each subset of the images.

    Only images where both have a mask count, for iou and for chance alike. IoU0 is exact: all
    pairs (i, j), i != j, the first model's mask of i against the second's of j. Memory stays
    below 100 MB for 10,000 images of 256 cells.
    """
    both = first.defined & second.defined
    one, other = (masks.cells[both].astype(np.float32) for masks in (first, second))
    chosen = subsets[:, both].astype(np.float64)
    matched, has_union = matched_iou(one, other)
    all_pairs = _summed_over_pairs(one, other, chosen.T)
    empty = np.stack([one.sum(axis=1) == 0, other.sum(axis=1) == 0]).astype(np.float64)
    images = chosen.sum(axis=1)
    defined_images = chosen @ has_union
    empty_first, empty_second = chosen @ empty.T[:, 0], chosen @ empty.T[:, 1]
    undefined_pairs = empty_first * empty_second - (images - defined_images)
    pairs = images * (images - 1) - undefined_pairs
    on_same = chosen @ matched
    return tuple(
        Overlap(
            iou=_ratio(on_same[s], defined_images[s]),
            chance=_ratio(all_pairs[s] - on_same[s], pairs[s]),
            images=int(images[s]),
            without_mask=int(subsets[s].sum() - images[s]),
            undefined_images=int(images[s] - defined_images[s]),
            undefined_pairs=int(undefined_pairs[s]),
        )
        for s in range(len(subsets))
    )


def rank_maps(maps: NDArray[np.uint8], defined: Bools) -> Ranks:
    """Ranks within each image, ties getting their average rank.

    maps: shape (images, cells), values 0..255; rows that are not ``defined`` are ignored.
    Ranks come from counting values, which is exact and needs no sort.
    """
    images, cells = maps.shape
    row = np.arange(images)[:, None] * _MAP_VALUES
    place = row + maps
    counts = np.bincount(place.ravel(), minlength=images * _MAP_VALUES)
    counts = counts.reshape(images, _MAP_VALUES)
    # below + (equal + 1) / 2 is the average rank, (cells + 1) / 2 the mean of all ranks
    centred = 2 * np.cumsum(counts, axis=1) - counts - cells
    ranks = centred.ravel()[place].astype(np.float32)
    return Ranks(centred=ranks, defined=defined & ranks.any(axis=1))


def rank_correlations(first: Ranks, second: Ranks, subsets: Bools) -> tuple[Correlation, ...]:
    """Mean over each subset's images of Spearman's rho of two models' maps (ties averaged)."""
    both = first.defined & second.defined
    one, other = first.centred[both], second.centred[both]
    squares = _row_products(one, one) * _row_products(other, other)
    rho = _row_products(one, other) / np.sqrt(squares)
    chosen = subsets[:, both]
    return tuple(
        Correlation(
            rho=_ratio(float(rho[rows].sum()), float(rows.sum())),
            images=int(rows.sum()),
            left_out=int(subset.sum() - rows.sum()),
        )
        for rows, subset in zip(chosen, subsets, strict=True)
    )


def _row_products(one: NDArray[np.float32], other: NDArray[np.float32]) -> Floats:
    return (one * other).sum(axis=1, dtype=np.float64)


def _ratio(numerator: float, denominator: float) -> float | None:
    return float(numerator / denominator) if denominator else None


def matched_iou(one: NDArray[np.float32], other: NDArray[np.float32]) -> tuple[Floats, Floats]:
    """IoU per image, 0 where it is 0/0, and whether it is defined (1 or 0)."""
    shared = (one * other).sum(axis=1, dtype=np.float64)
    union = one.sum(axis=1, dtype=np.float64) + other.sum(axis=1) - shared
    return shared / np.maximum(union, 1), (union > 0).astype(np.float64)


def _summed_over_pairs(
    one: NDArray[np.float32], other: NDArray[np.float32], chosen: Floats
) -> Floats:
    """Sum of IoU over all pairs (i, j) inside each subset, i = j too, 0/0 as 0.

    chosen: 1 where the image is in the subset, shape (images, subsets).
    """
    area = other.sum(axis=1, dtype=np.float64)
    total = np.zeros(chosen.shape[1])
    for rows in chunks(len(one)):
        shared = (one[rows] @ other.T).astype(np.float64)
        union = one[rows].sum(axis=1, dtype=np.float64)[:, None] + area
        union -= shared
        np.maximum(union, 1, out=union)
        shared /= union
        total += ((shared @ chosen) * chosen[rows]).sum(axis=0)
    return total


def chunks(images: int) -> Iterator[slice]:
    """Return slices of the images, to meet all others a portion at a time."""
    step = max(1, _CHUNK_PAIRS // max(images, 1))
    for start in range(0, images, step):
        yield slice(start, start + step)
