"""The primary tests over many resampled studies at once, to say how many seeds would decide.

A resampled study draws seed blocks with replacement from the study's own, each drawn one a
block of its own. For complete blocks both primary tests have closed forms in a few numbers
per block, so hundreds of studies cost milliseconds; tests hold them equal to the tests
themselves. Deviations from the study's own fit are widened by sqrt(n / (n - 1)), for draws
with replacement from n blocks would understate the variance of new ones.
"""

from collections.abc import Callable, Sequence
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
    """Estimate, standard error and df of each resampled study, shape (draws,); NaN: untestable.

    share, share_error, covariance: as of ``analyze.inference.estimate.Attenuation``, of each.
    """

    estimate: Floats
    standard_error: Floats
    df: Floats
    share: Floats | None = None
    share_error: Floats | None = None
    covariance: Floats | None = None

    def within(self, sesoi: float, reach: Floats) -> NDArray[np.bool_]:
        """Whether the interval of an equivalence test lies inside the SESOI, of each draw.

        reach: quantile of t. As ``analyze.decide.equivalence_interval`` where there is attenuation:
        the outcome less SESOI times the predictor, measured again, has a slope on it below 0, and
        the outcome plus that one above.
        """
        if self.share is None or self.share_error is None or self.covariance is None:
            return np.abs(self.estimate) + reach * self.standard_error < sesoi
        variance = self.standard_error**2 + (sesoi * self.share_error) ** 2
        apart = 2 * sesoi * self.covariance
        below = self.estimate - sesoi * self.share
        above = self.estimate + sesoi * self.share
        return (
            (below + reach * np.sqrt(np.maximum(variance - apart, 0)) < 0)
            & (above - reach * np.sqrt(np.maximum(variance + apart, 0)) > 0)
            & (self.share > reach * self.share_error)
        )


Resample = Callable[[Picks], Resampled]
"""From blocks drawn, indices of shape (draws, seeds), to what the test finds in each draw."""


def decided(found: Resampled, *, alpha: float, sesoi: float) -> NDArray[np.bool_]:
    """Whether each resampled study is decided by the rule of ``analyze.decide``, at ``alpha``.

    Whichever way: negligible, or an interval on one side of 0.
    """
    with np.errstate(invalid="ignore"):
        outer = stats.t.isf(alpha / 2, found.df) * found.standard_error
        negligible = found.within(sesoi, stats.t.isf(alpha, found.df))
        return negligible | (np.abs(found.estimate) - outer > 0)


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
    # the predictor on the half that it is not taken on
    again = np.roll(x, x.shape[1] // 2, axis=1) if len(tables) == 2 else None

    def resample(picks: Picks) -> Resampled:
        counts = np.stack([np.bincount(draw, minlength=len(blocks)) for draw in picks])
        # every draw holds blocks x blocks numbers: many blocks are taken in portions
        portions = np.array_split(
            counts.astype(np.float64), 1 + counts.size * len(blocks) // _CELLS
        )
        return _joined([_within_cr2(x, y, again, portion) for portion in portions if len(portion)])

    return resample


def _joined(found: Sequence[Resampled]) -> Resampled:
    """Put portions of the draws together."""

    def column(name: str) -> Floats | None:
        values = [getattr(one, name) for one in found]
        return None if values[0] is None else np.concatenate(values)

    return Resampled(
        np.concatenate([one.estimate for one in found]),
        np.concatenate([one.standard_error for one in found]),
        np.concatenate([one.df for one in found]),
        share=column("share"),
        share_error=column("share_error"),
        covariance=column("covariance"),
    )


def _within_cr2(x: Floats, y: Floats, again: Floats | None, counts: Floats) -> Resampled:
    """CR2 and Satterthwaite df of balanced two-way data, from each block's multiplicity.

    x, y: shape (blocks, columns), deviations from seed means. again: x measured once more, with
    other noise. counts: shape (draws, blocks).
    Of balanced data I - H of a block is (1 - 1/G) M - x x' / S, so its inverse root scales x by
    1 / sqrt(1 - 1/G - |x|^2 / S), and every sum over seeds is one over distinct blocks.
    """
    seeds = counts.sum(axis=1)[:, None]
    x = x[None] - ((counts @ x) / seeds)[:, None, :]
    gram = np.einsum("dbk,dck->dbc", x, x)
    squares = np.einsum("dbb->db", gram)
    total = (counts * squares).sum(axis=1)[:, None]
    total[total <= 0] = np.nan
    freedom = 1 - 1 / seeds - squares / total
    adjust = np.where(freedom > 1e-9, 1 / np.sqrt(np.maximum(freedom, 1e-9)), 0.0)

    def fit(outcome: Floats) -> tuple[Floats, Floats]:
        left = outcome[None] - ((counts @ outcome) / seeds)[:, None, :]
        products = np.einsum("dbk,dbk->db", x, left)
        slope = (counts * products).sum(axis=1)[:, None] / total
        return slope[:, 0], adjust * (products - slope * squares) / total

    slope, scores = fit(y)
    variance = (counts * scores**2).sum(axis=1)
    variance[variance <= 0] = np.nan
    own = adjust**2 * squares * freedom
    cross = squares[:, :, None] * squares[:, None, :] / total[:, :, None]
    cross = adjust[:, :, None] * adjust[:, None, :] * (gram / seeds[:, :, None] + cross)
    pairs = np.einsum("db,dc,dbc->d", counts, counts, cross**2)
    same = np.einsum("db,dbb->d", counts, cross**2)
    weight = (counts * own).sum(axis=1)
    df = weight**2 / ((counts * own**2).sum(axis=1) + pairs - same)
    if again is None:
        return Resampled(slope, np.sqrt(variance), df)
    share, beside = fit(again)
    return Resampled(
        slope,
        np.sqrt(variance),
        df,
        share=share,
        share_error=np.sqrt((counts * beside**2).sum(axis=1)),
        covariance=(counts * scores * beside).sum(axis=1),
    )


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
