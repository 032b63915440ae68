"""Rows of numbers as their bytes, as shards keep logits and attention maps.

Parquet keeps a list number by number, each with the levels that say where a list ends; to take
those apart was most of what reading a shard cost. Here a row is one value: its numbers in order,
little-endian.
"""

import sys
from typing import Final

import numpy as np
import polars as pl
import pyarrow as pa

from store.frame import Frame
from store.frames import ATTENTION, PREDICTION
from store.words import spread

_KEPT_SO: Final = {PREDICTION.name: "logits", ATTENTION.name: "map"}
"""By table, the column of which rows are kept as bytes."""


def has_bytes(frame: Frame) -> bool:
    """Whether a shard keeps rows of the table as bytes."""
    return frame.name in _KEPT_SO


def to_bytes(frame: Frame, table: pl.DataFrame) -> pl.DataFrame:
    """Turn a table's lists of numbers into their bytes; NULL stays NULL.

    table: columns as the frame declares. Raises ValueError where two lists differ in length, or
    one is empty.
    """
    if not has_bytes(frame):
        return table
    name = _KEPT_SO[frame.name]
    present = table[name].drop_nulls()
    if not len(present):
        return table.with_columns(pl.lit(None, pl.Binary()).alias(name))
    lengths = present.list.len()
    if lengths.n_unique() != 1 or not lengths[0]:
        raise ValueError(f"{frame.name}.{name}: rows of {lengths.min()} to {lengths.max()} numbers")
    numbers = _little_endian(present.explode().to_numpy())
    values = pa.FixedSizeBinaryArray.from_buffers(
        pa.binary(numbers.nbytes // len(present)), len(present), [None, pa.py_buffer(numbers)]
    )
    return table.with_columns(spread(pl.Series(name, values), table[name].is_not_null()))


def from_bytes(frame: Frame, table: pl.DataFrame) -> pl.DataFrame:
    """Turn bytes into the lists that they were made of; what holds lists already stays as it is.

    Raises ValueError where rows are not whole numbers, or differ in length.
    """
    name = _KEPT_SO.get(frame.name)
    if name is None or table.schema.get(name) != pl.Binary():
        return table
    declared = frame.schema[name]
    assert isinstance(declared, pl.List)
    rows, one = table[name], pl.Series([0], dtype=declared.inner).to_numpy().itemsize
    sizes = rows.bin.size().drop_nulls()
    size = int(sizes[0]) if len(sizes) else one
    if sizes.n_unique() > 1 or size % one or not size:
        raise ValueError(
            f"{frame.name}.{name}: rows of {sizes.min()} to {sizes.max()} bytes, of {one} a number"
        )
    array = pl.Array(declared.inner, size // one)
    return table.with_columns(rows.bin.reinterpret(dtype=array).arr.to_list())


def _little_endian(numbers: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(numbers.byteswap() if sys.byteorder == "big" else numbers)
