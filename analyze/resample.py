"""The primary tests over many resampled studies at once, to say how many seeds would decide.

A resampled study draws seed blocks with replacement from the study's own, each drawn one a
block of its own. For complete blocks both primary tests have closed forms in a few numbers
per block, so hundreds of studies cost milliseconds; tests hold them equal to the tests
themselves. Deviations from the study's own fit are widened by sqrt(n / (n - 1)), for draws
with replacement from n blocks would understate the variance of new ones.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from analyze.inference.estimate import Panel, Table
from analyze.inference.trends import per_seed_slopes

_CELLS: Final = 2_000_000

Floats = NDArray[np.float64]
Picks = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Resampled:
    """Estimate, standard error and df of each resampled study, shape (draws,); NaN: untestable."""

    estimate: Floats
    standard_error: Floats
    df: Floats


Resample = Callable[[Picks], Resampled]
"""From blocks drawn, indices of shape (draws, seeds), to what the test finds in each draw."""


def decided(found: Resampled, *, alpha: float, sesoi: float) -> NDArray[np.bool_]:
    """Whether each resampled study is decided by the rule of ``analyze.decide``, at ``alpha``.

    Whichever way: negligible, or an interval on one side of 0.
    """
    with np.errstate(invalid="ignore"):
        outer = stats.t.isf(alpha / 2, found.df) * found.standard_error
        inner = stats.t.isf(alpha, found.df) * found.standard_error
        size = np.abs(found.estimate)
        return (size + inner < sesoi) | (size - outer > 0)


def resample_slopes(panel: Panel) -> Resample:
    """Resample the per-seed slope t test."""
    slopes = per_seed_slopes(panel)
    centre = slopes.mean()
    widened = centre + _widening(len(slopes)) * (slopes - centre)

    def resample(picks: Picks) -> Resampled:
        drawn = widened[picks]
        seeds = picks.shape[1]
        spread = drawn.std(axis=1, ddof=1)
        spread[spread == 0] = np.nan
        return Resampled(
            drawn.mean(axis=1), spread / np.sqrt(seeds), np.full(len(picks), seeds - 1.0)
        )

    return resample


def resample_within(tables: tuple[Table, ...]) -> Resample | None:
    """Resample the within association: CR2 by seed, Satterthwaite t.

    tables: one, or the two of a split-half regression, of the same students. Only seed blocks
    that have every strength are drawn from; None where fewer than 3 do.
    """
    blocks = _complete_blocks(tables[0])
    if len(blocks) < 3:
        return None
    x = np.hstack([_by_block(table, table.x, blocks) for table in tables])
    y = np.hstack([_by_block(table, table.y, blocks) for table in tables])
    x_within, y_within = x - x.mean(axis=0), y - y.mean(axis=0)
    slope = float((x_within * y_within).sum()) / max(float((x_within**2).sum()), 1e-300)
    y = slope * x + _widening(len(blocks)) * (y - slope * x)

    def resample(picks: Picks) -> Resampled:
        counts = np.stack([np.bincount(draw, minlength=len(blocks)) for draw in picks])
        # every draw holds blocks x blocks numbers: many blocks are taken in portions
        portions = np.array_split(
            counts.astype(np.float64), 1 + counts.size * len(blocks) // _CELLS
        )
        found = [_within_cr2(x, y, portion) for portion in portions if len(portion)]
        return Resampled(
            np.concatenate([one.estimate for one in found]),
            np.concatenate([one.standard_error for one in found]),
            np.concatenate([one.df for one in found]),
        )

    return resample


def _within_cr2(x: Floats, y: Floats, counts: Floats) -> Resampled:
    """CR2 and Satterthwaite df of balanced two-way data, from each block's multiplicity.

    x, y: shape (blocks, columns), deviations from seed means. counts: shape (draws, blocks).
    Of balanced data I - H of a block is (1 - 1/G) M - x x' / S, so its inverse root scales x by
    1 / sqrt(1 - 1/G - |x|^2 / S), and every sum over seeds is one over distinct blocks.
    """
    seeds = counts.sum(axis=1)[:, None]
    x = x[None] - ((counts @ x) / seeds)[:, None, :]
    y = y[None] - ((counts @ y) / seeds)[:, None, :]
    gram = np.einsum("dbk,dck->dbc", x, x)
    squares = np.einsum("dbb->db", gram)
    products = np.einsum("dbk,dbk->db", x, y)
    total = (counts * squares).sum(axis=1)[:, None]
    total[total <= 0] = np.nan
    slope = (counts * products).sum(axis=1)[:, None] / total
    freedom = 1 - 1 / seeds - squares / total
    adjust = np.where(freedom > 1e-9, 1 / np.sqrt(np.maximum(freedom, 1e-9)), 0.0)
    scores = adjust * (products - slope * squares)
    variance = (counts * scores**2).sum(axis=1) / total[:, 0] ** 2
    variance[variance <= 0] = np.nan
    own = adjust**2 * squares * freedom
    cross = squares[:, :, None] * squares[:, None, :] / total[:, :, None]
    cross = adjust[:, :, None] * adjust[:, None, :] * (gram / seeds[:, :, None] + cross)
    pairs = np.einsum("db,dc,dbc->d", counts, counts, cross**2)
    same = np.einsum("db,dbb->d", counts, cross**2)
    weight = (counts * own).sum(axis=1)
    df = weight**2 / ((counts * own**2).sum(axis=1) + pairs - same)
    return Resampled(slope[:, 0], np.sqrt(variance), df)


def _widening(blocks: int) -> float:
    return float(np.sqrt(blocks / (blocks - 1))) if blocks > 1 else 1.0


def _complete_blocks(table: Table) -> NDArray[np.int64]:
    blocks, rows = np.unique(table.block, return_counts=True)
    return blocks[rows == len(np.unique(table.cell))]


def _by_block(table: Table, values: Floats, blocks: NDArray[np.int64]) -> Floats:
    """Values as deviations from seed means, shape (blocks, strengths)."""
    order = np.lexsort((table.cell, table.block))
    kept = order[np.isin(table.block[order], blocks)]
    shaped = values[kept].reshape(len(blocks), -1)
    return shaped - shaped.mean(axis=1, keepdims=True)
