"""Mutual information of predicted labels, in bits, with its bias taken off.

Notation: n_ij images that the first labelling puts in class i and the second in class j, r_i
and c_j their sums, N all of them, f(n) = n ln n. All estimators speak of one contingency
table over all images: an average over batches is biased by what each batch is biased.
No estimate is clamped to [0, log2 K]: an estimator that is right on average must be free to
fall outside where the truth is at the edge.
"""

import math
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln, xlogy

from analyze.metrics.contingency import (
    Contingency,
    Counts,
    LabelledContingency,
    UndefinedError,
)

JACKKNIFE_CLASSES: Final = 20
"""Up to this many classes the jackknife is used, above them Chao and Shen's form."""

CONDITIONAL_ESTIMATOR: Final = "plug-in minus its exact mean under permutation within classes"

_TABULATED: Final = 64
"""Up to so many images all pairs of margins are worked out at once, and kept: at most 2 MB."""

_LN2: Final = float(np.log(2))
_ROUNDINGS: Final = 64 * float(np.finfo(np.float64).eps)
"""Of sums of n ln n, per image and ln N: a few, with room."""
_NO_ROOM: Final = 1e-12
"""Nats: below this AMI's denominator is rounding error of 0."""

Floats = NDArray[np.float64]


class Estimator(StrEnum):
    """How entropies and mutual information are estimated."""

    PLUG_IN = "plug-in"
    MILLER_MADOW = "Miller-Madow"
    JACKKNIFE = "jackknife over images"
    CHAO_SHEN = "Chao-Shen"


@dataclass(frozen=True, slots=True, kw_only=True)
class Information:
    """An estimate in bits.

    bias_bits: what was subtracted, the plug-in value minus the estimate.
    """

    estimate_bits: float
    bias_bits: float
    estimator: str


def choose_estimator(classes: int) -> Estimator:
    """Return the estimator that is used for this many classes; docs/mutual-information.md."""
    return Estimator.JACKKNIFE if classes <= JACKKNIFE_CLASSES else Estimator.CHAO_SHEN


def second_estimator(classes: int) -> Estimator:
    """Return the estimator that stands beside the chosen one, to be compared with it."""
    return Estimator.MILLER_MADOW if classes <= JACKKNIFE_CLASSES else Estimator.JACKKNIFE


def mutual_information(table: Contingency, estimator: Estimator) -> Information:
    """I(first; second).

    Sources: Miller (1955) for Miller-Madow; Zahl (1977) for the jackknife, here exact from the
    counts; Chao and Shen (2003), applied to each of the three entropies.
    Raises UndefinedError on an empty table, and by the jackknife on a single image.
    """
    _require_images(table.total)
    rows, columns = table.margins()
    plug_in = _plug_in(rows) + _plug_in(columns) - _plug_in(table.images)
    match estimator:
        case Estimator.PLUG_IN:
            estimate = plug_in
        case Estimator.JACKKNIFE:
            estimate = _jackknife_information(table)
        case Estimator.MILLER_MADOW:
            estimate = _miller_madow(rows) + _miller_madow(columns) - _miller_madow(table.images)
        case Estimator.CHAO_SHEN:
            estimate = _chao_shen(rows) + _chao_shen(columns) - _chao_shen(table.images)
    return _in_bits(plug_in, estimate, estimator)


def entropy(counts: Counts, estimator: Estimator) -> Information:
    """Entropy of the classes whose images are counted in ``counts``, shape (classes,).

    Raises UndefinedError as ``mutual_information`` does.
    """
    occupied = counts[counts > 0]
    _require_images(int(occupied.sum()))
    plug_in = _plug_in(occupied)
    match estimator:
        case Estimator.PLUG_IN:
            estimate = plug_in
        case Estimator.JACKKNIFE:
            estimate = _jackknife_entropy(occupied)
        case Estimator.MILLER_MADOW:
            estimate = _miller_madow(occupied)
        case Estimator.CHAO_SHEN:
            estimate = _chao_shen(occupied)
    return _in_bits(plug_in, estimate, estimator)


def conditional_mutual_information(table: LabelledContingency) -> Information:
    """I(first; second | label), minus its mean when images swap classes within a label.

    The mean over permutations is exact: within a label each n_ij is hypergeometric given the
    margins (Vinh et al. 2010), so nothing is drawn. 0 on average where the two labellings are
    independent given the label; elsewhere some bias remains, downwards where images per label
    are few. docs/mutual-information.md gives its size.
    Raises UndefinedError on an empty table.
    """
    _require_images(table.total)
    first, second = table.margins()
    of_labels = first.sum(axis=1)
    fixed = _sum_f(of_labels) - _sum_f(first) - _sum_f(second)
    observed = _sum_f(table.images)
    expected = sum(map(_expected_sum_f, first, second))
    return Information(
        estimate_bits=_above_rounding((observed - expected) / table.total, table.total) / _LN2,
        bias_bits=(expected + fixed) / table.total / _LN2,
        estimator=CONDITIONAL_ESTIMATOR,
    )


def adjusted_mutual_information(table: Contingency) -> float:
    """Return (I - E[I]) / ((H_first + H_second) / 2 - E[I]), all plug-in.

    E[I] is exact, at fixed margins. 1 for equal labellings, 0 on average at independence.
    Raises UndefinedError where it is 0/0: both labellings constant, or each image a class of
    its own in both.
    Source: Vinh et al. (2010), with the arithmetic mean.
    """
    _require_images(table.total)
    rows, columns = table.margins()
    fixed = float(_f(table.total)) - _sum_f(rows) - _sum_f(columns)
    expected = (_expected_sum_f(rows, columns) + fixed) / table.total
    plug_in = (_sum_f(table.images) + fixed) / table.total
    room = (_plug_in(rows) + _plug_in(columns)) / 2 - expected
    if room < _NO_ROOM:
        raise UndefinedError("the labellings leave no room above chance (0/0)")
    return (plug_in - expected) / room


def _above_rounding(nats: float, images: int) -> float:
    """Return an estimate over so many images; 0 where it is only the rounding of its sums.

    So measures of models that share nothing are equal, and no test is made of rounding errors.
    """
    return nats if abs(nats) > _ROUNDINGS * math.log(max(images, 2)) else 0.0


def _require_images(total: int) -> None:
    if not total:
        raise UndefinedError("no image")


def _in_bits(plug_in: float, estimate: float, estimator: Estimator) -> Information:
    return Information(
        estimate_bits=estimate / _LN2,
        bias_bits=(plug_in - estimate) / _LN2,
        estimator=str(estimator),
    )


def _f(counts: Counts | int) -> Floats:
    return xlogy(counts, counts)


def _sum_f(counts: Counts) -> float:
    return float(_f(counts).sum())


def _plug_in(counts: Counts) -> float:
    total = counts.sum()
    return float(np.log(total) - _f(counts).sum() / total)


def _miller_madow(counts: Counts) -> float:
    return _plug_in(counts) + (len(counts) - 1) / (2 * float(counts.sum()))


def _chao_shen(counts: Counts) -> float:
    """Chao and Shen's (2003) entropy in nats.

    Where every class was seen once the estimated coverage is 0 and the form undefined; one
    singleton fewer is counted then, as Hausser and Strimmer (2009) do.
    """
    total = int(counts.sum())
    singletons = int((counts == 1).sum())
    coverage = 1 - min(singletons, total - 1) / total
    share = coverage * counts / total
    seen = 1 - (1 - share) ** total
    return float(-(xlogy(share, share) / seen).sum())


def _jackknife_entropy(counts: Counts) -> float:
    """N H - (N - 1) mean of H without one image; images of one class give the same H."""
    total = int(counts.sum())
    _require_two(total)
    change = _f(counts - 1) - _f(counts)
    without = np.log(total - 1) - (_sum_f(counts) + change) / (total - 1)
    return total * _plug_in(counts) - (total - 1) * float(counts @ without) / total


def _jackknife_information(table: Contingency) -> float:
    """N I - (N - 1) mean of I without one image; images of one cell give the same I."""
    total = table.total
    _require_two(total)
    rows, columns = table.margins()
    cells = table.images
    level = _sum_f(cells) - _sum_f(rows) - _sum_f(columns)
    change = _f(cells - 1) - _f(cells)
    for margin in table.margins_of_cells():
        change = change - _f(margin - 1) + _f(margin)
    without = (level + change) / (total - 1) + np.log(total - 1)
    full = level / total + np.log(total)
    return float(total * full - (total - 1) * (cells @ without) / total)


def _require_two(total: int) -> None:
    if total < 2:
        raise UndefinedError("one image only: the jackknife leaves none")


def _expected_sum_f(rows: Counts, columns: Counts) -> float:
    """Mean of sum f(n_ij) over all tables with these margins, permutations being equally likely.

    Equal pairs of margins are worked out once.
    """
    total = int(rows.sum())
    if total <= _TABULATED:
        return float(expected_f(rows, columns, total).sum())
    row, row_times = np.unique(rows, return_counts=True)
    column, column_times = np.unique(columns, return_counts=True)
    means = expected_f(row, column, total)
    return float(row_times @ means @ column_times)


def expected_f(rows: Counts, columns: Counts, total: int) -> Floats:
    """Mean of f(n_ij) for every pair of margins, of tables of ``total`` images.

    rows: shape (r,). columns: shape (c,). Returns shape (r, c): n_ij is hypergeometric. Counts of
    0 and 1 add nothing (f is 0 there), so margins below 2 give 0; so do margins above the
    total, of which there is no table. Source: Vinh et al. (2010), equation 24.
    """
    # without one of its images a table may have a margin of one more than all
    if total <= _TABULATED and max(rows.max(initial=0), columns.max(initial=0)) <= total + 1:
        return _tabulated(total)[np.ix_(rows, columns)]
    return _worked_out(rows, columns, total)


@cache
def _tabulated(total: int) -> Floats:
    """Return ``expected_f`` of all margins from 0 to ``total`` + 1."""
    sizes = np.arange(total + 2)
    return _worked_out(sizes, sizes, total)


def _worked_out(rows: Counts, columns: Counts, total: int) -> Floats:
    first, second = np.repeat(rows, len(columns)), np.tile(columns, len(rows))
    low = np.maximum(2, first + second - total)
    possible = np.maximum(first, second) <= total
    terms = np.where(possible, np.maximum(np.minimum(first, second) - low + 1, 0), 0)
    pair = np.repeat(np.arange(len(first)), terms)
    count = low[pair] + np.arange(len(pair)) - np.repeat(np.cumsum(terms) - terms, terms)
    weight = np.exp(_log_hypergeometric(count, first[pair], second[pair], total))
    means = np.bincount(pair, weights=weight * _f(count), minlength=len(first))
    return means.reshape(len(rows), len(columns)).astype(np.float64)


def _log_hypergeometric(count: Counts, row: Counts, column: Counts, total: int) -> Floats:
    """Log of the probability that the two classes share ``count`` images, given their sizes."""
    factorial = gammaln(np.arange(total + 1) + 1.0)
    fixed = factorial[row] + factorial[total - row]
    fixed = fixed + factorial[column] + factorial[total - column] - factorial[total]
    return (
        fixed
        - factorial[count]
        - factorial[row - count]
        - factorial[column - count]
        - factorial[total - row - column + count]
    )
