"""How far each test image moves a measure: what changes when that one image is left out.

To draw test images anew gives image i a weight w_i instead of 1. To first order a measure then
moves by the mean over images of (w_i - 1) h_i, where h_i = (n - 1) (measure - measure without
image i) and n is the number of images; of a mean that is all. Leaving out is exact here, and
does not do what drawing an image twice does to measures that compare images: two copies of
one image would count as two images that agree.

Source: Efron (1982), The Jackknife, the Bootstrap and Other Resampling Plans, ch. 6.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import xlogy

from analyze.metrics.attention import Bools, Masks, chunks, matched_iou
from analyze.metrics.contingency import Counts, UndefinedError
from analyze.metrics.information import expected_f

Floats = NDArray[np.float64]

UNDEFINED: Final = "without one of the test images the measure is undefined"

_LN2: Final = float(np.log(2))


@dataclass(frozen=True, slots=True, kw_only=True)
class Influence:
    """A measure on a subset of the test images, and how far each image moves it.

    value: the measure, in its own unit. images: h_i, the same unit, shape (images,), 0 outside
    the subset.
    """

    value: float
    images: Floats

    def __post_init__(self) -> None:
        """Refuse what is not finite."""
        if not (np.isfinite(self.value) and np.isfinite(self.images).all()):
            raise UndefinedError(UNDEFINED)


@dataclass(frozen=True, slots=True)
class _PairSums:
    """IoU of image i's first mask with other images' second, and the reverse; 0/0 as 0.

    of_first, of_second: summed over the images of each subset, i itself too, shape (images,
    subsets).
    """

    of_first: Floats
    of_second: Floats


def mean_influence(values: Floats, subset: Bools) -> Influence:
    """Mean over a subset of one value per image, shape (images,).

    Raises UndefinedError for a subset of fewer than two images or values that are not finite.
    """
    if subset.sum() < 2:
        raise UndefinedError(UNDEFINED)
    mean = float(values[subset].mean())
    moved = np.zeros(len(values))
    moved[subset] = values[subset] - mean
    return Influence(value=mean, images=moved)


def mean_of(influences: Sequence[Influence | None]) -> Influence:
    """Mean of several measures on the same images, as over pairs of teachers.

    Raises UndefinedError when there is none, or one of them is undefined.
    """
    known = [one for one in influences if one is not None]
    if not known or len(known) < len(influences):
        raise UndefinedError(UNDEFINED)
    return Influence(
        value=float(np.mean([one.value for one in known])),
        images=np.mean([one.images for one in known], axis=0),
    )


def overlap_influences(first: Masks, second: Masks, subsets: Bools) -> tuple[Influence | None, ...]:
    """Overlap above chance of two models' masks, on each subset of the images.

    As ``attention.overlaps``: both models must have a mask; IoU0 is over all ordered pairs of
    different images. subsets: shape (subsets, images). None where a subset, or a subset without
    one of its images, has no value. An image without a mask moves nothing.
    """
    both = first.defined & second.defined
    one, other = (masks.cells[both].astype(np.float32) for masks in (first, second))
    matched, defined = matched_iou(one, other)
    empty = (one.sum(axis=1) == 0, other.sum(axis=1) == 0)
    chosen = subsets[:, both]
    sums = _pair_sums(one, other, chosen.T.astype(np.float64))
    found: list[Influence | None] = []
    for number, subset in enumerate(subsets):
        here = chosen[number]
        moved = np.zeros(len(both))
        value, without = _overlap_without_one(
            matched[here],
            defined[here],
            (sums.of_first + sums.of_second)[here, number],
            empty[0][here].astype(np.float64),
            empty[1][here].astype(np.float64),
        )
        moved[np.flatnonzero(both)[here]] = (int(subset.sum()) - 1) * (value - without)
        finite = bool(np.isfinite(value) and np.isfinite(without).all())
        found.append(Influence(value=value, images=moved) if finite else None)
    return tuple(found)


def information_influence(label: Counts, first: Counts, second: Counts, subset: Bools) -> Influence:
    """I(first; second | label) less its mean under permutation, in bits, on a subset.

    As ``information.conditional_mutual_information``, the mean under permutation taken anew
    without each image. label, first, second: class of each image, shape (images,).
    Raises UndefinedError for a subset of fewer than two images.
    """
    total = int(subset.sum())
    if total < 2:
        raise UndefinedError(UNDEFINED)
    beyond = 0.0
    lost = np.zeros(len(subset))
    for value in np.unique(label[subset]):
        here = subset & (label == value)
        own, without = _beyond_chance(first[here], second[here])
        beyond += own
        lost[here] = own - without
    value = beyond / total / _LN2
    moved = np.zeros(len(subset))
    moved[subset] = (total - 1) * value - (beyond - lost[subset]) / _LN2
    return Influence(value=value, images=moved)


def _pair_sums(one: NDArray[np.float32], other: NDArray[np.float32], chosen: Floats) -> _PairSums:
    """Meet all pairs of images once. chosen: 1 in the subset, shape (images, subsets)."""
    area = other.sum(axis=1, dtype=np.float64)
    of_first, of_second = np.zeros(chosen.shape), np.zeros(chosen.shape)
    for rows in chunks(len(one)):
        shared = (one[rows] @ other.T).astype(np.float64)
        union = one[rows].sum(axis=1, dtype=np.float64)[:, None] + area
        union -= shared
        np.maximum(union, 1, out=union)
        shared /= union
        of_first[rows] = shared @ chosen
        of_second += shared.T @ chosen[rows]
    return _PairSums(of_first, of_second)


def _overlap_without_one(
    matched: Floats, defined: Floats, sums: Floats, empty_one: Floats, empty_other: Floats
) -> tuple[float, Floats]:
    """Return the adjusted overlap of one subset, and without each image, shape (images,).

    matched: IoU, 0 where 0/0; defined: 1 or 0. sums: of an image with all, in both orders.
    empty_one, empty_other: 1 where a mask is empty: two empty masks have no IoU.
    """
    images = len(matched)
    both_empty = empty_one * empty_other
    # an image with itself is in both orders' sums and is no mismatched pair
    pairs_of = sums - 2 * matched
    mismatched = pairs_of.sum() / 2
    ones, others, same = empty_one.sum(), empty_other.sum(), both_empty.sum()
    undefined = ones * others - same
    undefined_without = (ones - empty_one) * (others - empty_other) - (same - both_empty)
    with np.errstate(divide="ignore", invalid="ignore"):
        iou = matched.sum() / defined.sum()
        chance = mismatched / (images * (images - 1) - undefined)
        iou_without = (matched.sum() - matched) / (defined.sum() - defined)
        pairs = (images - 1) * (images - 2) - undefined_without
        chance_without = (mismatched - pairs_of) / pairs
        without = (iou_without - chance_without) / (1 - chance_without)
        return float((iou - chance) / (1 - chance)), without


def _beyond_chance(first: Counts, second: Counts) -> tuple[float, Floats]:
    """Sum of f(n_ij) less its mean under permutation, of one label's images, in nats.

    Also without each image, shape (images,): all images of one cell give the same.
    """
    row_names, row = np.unique(first, return_inverse=True)
    column_names, column = np.unique(second, return_inverse=True)
    shape = (len(row_names), len(column_names))
    table = np.bincount(row * shape[1] + column, minlength=shape[0] * shape[1]).reshape(shape)
    rows, columns, images = table.sum(axis=1), table.sum(axis=0), len(first)
    terms = xlogy(table, table)
    fewer = np.maximum(table - 1, 0)
    observed = float(terms.sum())
    observed_without = observed - terms + xlogy(fewer, fewer)
    whole = observed - float(expected_f(rows, columns, images).sum())
    without = observed_without - _expected_without_one(rows, columns, images)
    return whole, without[row, column]


def _expected_without_one(rows: Counts, columns: Counts, images: int) -> Floats:
    """Mean of the sum of f(n_ij) without an image of row e and column s, shape (rows, columns).

    Only that row's and that column's terms differ from those of the margins as they are.
    """
    both = expected_f(
        np.concatenate([rows, rows - 1]), np.concatenate([columns, columns - 1]), images - 1
    )
    row, column = len(rows), len(columns)
    kept, column_less = both[:row, :column], both[:row, column:]
    row_less, less = both[row:, :column], both[row:, column:]
    by_row = (row_less - kept).sum(axis=1)[:, None]
    by_column = (column_less - kept).sum(axis=0)
    return kept.sum() + by_row + by_column + less - row_less - column_less + kept
