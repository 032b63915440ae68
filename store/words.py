"""Small unsigned numbers several to a 64-bit word, as the store keeps halves and attention maps.

DuckDB takes in, and writes, a list of words at the price of as many numbers: a quarter or an
eighth of what the same bytes cost as a list of halves or of cells, in the same room.
"""

from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

WORD_BITS: Final = 64


def words_of(numbers: int, *, bits: int) -> int:
    """Return how many words so many numbers need."""
    return -(-numbers * bits // WORD_BITS)


def to_words(values: NDArray[np.uint8] | NDArray[np.uint16]) -> NDArray[np.uint64]:
    """Pack rows of numbers, shape (rows, numbers), into words, shape (rows, words).

    Of n bits a number and w words a row, number i is in word i modulo w, at bit n * (i // w): so
    one shift of all words gives neighbours, in order. What is left of the last ones is 0.
    """
    rows, numbers = values.shape
    bits = 8 * values.itemsize
    lanes = WORD_BITS // bits
    words = words_of(numbers, bits=bits)
    packed = np.zeros((rows, words, lanes), dtype=values.dtype.newbyteorder("<"))
    for lane in range(lanes):
        part = values[:, lane * words : (lane + 1) * words]
        packed[:, : part.shape[1], lane] = part
    return packed.reshape(rows, words * lanes).view("<u8").astype(np.uint64, copy=False)


def packed(values: str, *, bits: int) -> str:
    """Return SQL that packs a list of numbers, given as SQL, as ``to_words`` does."""
    lanes = WORD_BITS // bits
    words = f"((len({values}) + {lanes - 1}) // {lanes})"
    parts = " | ".join(
        f"(coalesce({values}[place + {lane} * {words}], 0)::UBIGINT << {bits * lane})"
        for lane in range(lanes)
    )
    return (
        f"CASE WHEN {values} IS NOT NULL "
        f"THEN list_transform(range(1, {words} + 1), LAMBDA place: {parts}) END"
    )


def listed(values: NDArray[np.uint64] | NDArray[np.float32], dtype: pl.DataType) -> pl.Series:
    """Turn an array, shape (rows, values), into one list per row, of the dtype given."""
    if not values.size:
        return pl.Series([[]] * len(values), dtype=dtype)
    return pl.Series(values).arr.to_list()


def spread(values: pl.Series, defined: pl.Series) -> pl.Series:
    """Put values, in order, where rows are defined, and NULL elsewhere."""
    if defined.all():
        return values
    places = pl.when(defined).then(defined.cum_sum().cast(pl.Int64()) - 1)
    return values.gather(pl.select(places).to_series())
