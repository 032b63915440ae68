"""Attention masks as words of bits, from attention maps."""

import numpy as np
import polars as pl
from numpy.typing import NDArray

from store.frames import ATTENTION, STORED_ATTENTION
from store.vocabulary import MASK_WORD_BITS, MASK_WORDS
from store.words import listed, spread, to_words


def with_masks(attention: pl.DataFrame, tau: float) -> pl.DataFrame:
    """Add the mask (map > 255 tau) to attention maps: MASKED_ATTENTION from ATTENTION.

    Raises ValueError where maps have different numbers of cells, or more than fit.
    """
    words, cells = mask_words(_stacked(attention["map"].drop_nulls()), tau)
    columns = [pl.Series(f"mask_{word}", words[:, word]) for word in range(MASK_WORDS)]
    columns.append(pl.Series("mask_cells", cells))
    defined = attention["map"].is_not_null()
    return attention.select(ATTENTION.schema.names()).with_columns(
        spread(column, defined) for column in columns
    )


def in_words(masked: pl.DataFrame) -> pl.DataFrame:
    """Give attention the form in which a store keeps it: STORED_ATTENTION from MASKED_ATTENTION."""
    maps = masked["map"]
    cells = maps.list.len().cast(STORED_ATTENTION.schema["map_cells"])
    words = listed(to_words(_stacked(maps.drop_nulls())), STORED_ATTENTION.schema["map_words"])
    return masked.with_columns(map_words=spread(words, maps.is_not_null()), map_cells=cells).select(
        STORED_ATTENTION.schema.names()
    )


def mask_words(maps: NDArray[np.uint8], tau: float) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Pack masks into words: cell i at bit i modulo 64 of word i // 64.

    maps: shape (maps, cells), cells up to 256. Returns words, shape (maps, 4), signed because
    DuckDB counts bits of signed words alone, and the cells that are on, shape (maps,).
    """
    count, cells = maps.shape
    if cells > MASK_WORDS * MASK_WORD_BITS:
        raise ValueError(f"maps of {cells} cells; a mask holds {MASK_WORDS * MASK_WORD_BITS}")
    # of whole numbers those beyond a bound are those beyond its whole part, and bytes are compared
    # as bytes
    on = maps > np.uint8(255 * tau)
    packed = np.zeros((count, MASK_WORDS * MASK_WORD_BITS // 8), dtype=np.uint8)
    packed[:, : -(-cells // 8)] = np.packbits(on, axis=1, bitorder="little")
    words = packed.view("<i8").astype(np.int64)
    return words, np.bitwise_count(words.view(np.uint64)).sum(axis=1, dtype=np.int32)


def _stacked(maps: pl.Series) -> NDArray[np.uint8]:
    """Put maps into one array, shape (maps, cells)."""
    if not len(maps):
        return np.zeros((0, 0), dtype=np.uint8)
    lengths = maps.list.len()
    if lengths.n_unique() != 1:
        raise ValueError(f"attention.map: maps of {lengths.min()} to {lengths.max()} cells")
    return maps.explode().to_numpy().reshape(len(maps), -1)
