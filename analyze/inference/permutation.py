"""Exact null distributions of rank statistics, ties included.

A distribution is an array of probabilities; its index is the statistic, in whole units. All
terms are positive, so sums lose no relative precision in the tails.
"""

from functools import lru_cache
from math import factorial

import numpy as np
from numpy.typing import NDArray


def page_null(scores: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the null distribution of Page's L, given each block's ranks.

    scores: whole-number ranks, shape (n, k); doubled midranks where there are ties. The
    null permutes each block's ranks, all k! orders alike. Index: sum of (position in
    1..k) x score over all blocks.
    """
    null = np.ones(1)
    for block in scores:
        null = np.convolve(null, _one_block(tuple(sorted(int(score) for score in block))))
    return null


@lru_cache(maxsize=256)
def _one_block(scores: tuple[int, ...]) -> NDArray[np.float64]:
    """Return one block's distribution: positions filled in order, over subsets of ranks used."""
    k = len(scores)
    top = sum(position * score for position, score in enumerate(scores, start=1))
    ways = np.zeros((2**k, top + 1))
    ways[0, 0] = 1.0
    for used in range(2**k - 1):
        position = used.bit_count() + 1
        for index, score in enumerate(scores):
            if not used >> index & 1:
                step = position * score
                ways[used | 1 << index, step:] += ways[used, : top + 1 - step]
    return ways[-1] / factorial(k)


def signed_rank_null(scores: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the null distribution of the signed-rank sum, given the ranks of |x|.

    scores: whole-number ranks, shape (n,); doubled midranks where there are ties. The null
    gives each rank a sign by a fair coin. Index: sum of the positive scores.
    """
    null = np.zeros(int(scores.sum()) + 1)
    null[0] = 1.0
    for score in scores:
        shifted = np.zeros_like(null)
        shifted[score:] = null[: len(null) - score]
        null = (null + shifted) / 2
    return null


def two_sided(null: NDArray[np.float64], observed: int) -> float:
    """Double the smaller tail (the observed value included), at most 1, never 0."""
    smaller = min(float(null[: observed + 1].sum()), float(null[observed:].sum()))
    return float(min(1.0, max(2 * smaller, np.finfo(float).tiny)))


def smallest_two_sided(null: NDArray[np.float64]) -> float:
    """Return the least p that ``two_sided`` can give under this distribution."""
    possible = np.flatnonzero(null)
    return min(two_sided(null, int(possible[0])), two_sided(null, int(possible[-1])))


def sampled_page_null(
    scores: NDArray[np.int64], draws: int, generator: np.random.Generator
) -> NDArray[np.int64]:
    """Draw Page's statistic under the null: each block's ranks shuffled, shape (draws,)."""
    positions = np.arange(1, scores.shape[1] + 1)
    drawn = np.zeros(draws, dtype=np.int64)
    for block in scores:
        drawn += generator.permuted(np.tile(block, (draws, 1)), axis=1) @ positions
    return drawn
