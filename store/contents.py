"""One hash per table of a store: two stores hold the same when these are equal."""

import hashlib
from collections.abc import Iterator
from typing import Final

import polars as pl

from store.database import Reader
from store.frame import Frame
from store.schema import TABLES, quoted
from store.shard import content_hash
from store.vocabulary import MODELS_PER_BLOCK_LIMIT

_MODEL_KEYS: Final = ("model_id", "model_a", "student_id")
"""First columns of a key that say which block a row belongs to."""


def table_hashes(reader: Reader) -> dict[str, str]:
    """SHA-256 of every table's rows, by the table's name, 64 hexadecimal digits each.

    Rows are sorted by key and volatile columns left out, so it does not matter when, where and
    in what order the rows came. Tables of models are read block by block: they need not fit into
    memory. Equal content gives an equal hash.
    """
    return {frame.name: _table_hash(reader, frame) for frame in TABLES}


def _table_hash(reader: Reader, frame: Frame) -> str:
    digest = hashlib.sha256()
    for rows in _parts(reader, frame):
        digest.update(content_hash(frame, rows.select(frame.schema.names())).encode())
    return digest.hexdigest()


def _parts(reader: Reader, frame: Frame) -> Iterator[pl.DataFrame]:
    """Read a table whole, or block by block where its rows are of models."""
    key = frame.key[0]
    if key not in _MODEL_KEYS:
        yield reader.frame(f"SELECT * FROM {quoted(frame.name)}")
        return
    blocks = reader.frame(
        f"SELECT DISTINCT {quoted(key)} // {MODELS_PER_BLOCK_LIMIT} AS block "
        f"FROM {quoted(frame.name)} ORDER BY block"
    )
    for block in blocks["block"]:
        yield rows_of_block(reader, frame, block)


def rows_of_block(reader: Reader, frame: Frame, block: int) -> pl.DataFrame:
    """Rows that a block brought to a table of models, in order of the key."""
    first = block * MODELS_PER_BLOCK_LIMIT
    key = quoted(frame.key[0])
    order = ", ".join(quoted(name) for name in frame.key)
    return reader.frame(
        f"SELECT * FROM {quoted(frame.name)} WHERE {key} >= ? AND {key} < ? ORDER BY {order}",
        [first, first + MODELS_PER_BLOCK_LIMIT],
    )
