"""Tables of shards in Parquet files, whole or in parts."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Literal

import polars as pl

from store.errors import StoreError, advice
from store.frame import Frame
from store.row_bytes import from_bytes, has_bytes, to_bytes

Compression = Literal["lz4", "zstd"]


@dataclass(frozen=True, slots=True)
class Parts:
    """A table in files of ``write_rows``.

    Each is in the order of the table's key, and one after another too.
    """

    frame: Frame
    files: tuple[Path, ...]


def in_memory(table: pl.DataFrame | Parts) -> pl.DataFrame:
    """Return a whole table, read from its files where it is in parts."""
    if isinstance(table, Parts):
        return pl.concat([read_rows(table.frame, file) for file in table.files])
    return table


def read_rows(frame: Frame, file: Path | BytesIO, columns: list[str] | None = None) -> pl.DataFrame:
    """Read a table's rows, or some columns of them. What they hold is not checked.

    file: its path, or what it holds. Raises ValueError or PolarsError where that is no such table.
    """
    return from_bytes(frame, pl.read_parquet(file, columns=columns))


def write_rows(frame: Frame, rows: pl.DataFrame, path: Path) -> None:
    """Write rows of a table, down to the disk.

    Raises StoreError where that fails: a full disk, a folder that is not writable; ValueError
    where ``to_bytes`` does.
    """
    write_plain(to_bytes(frame, rows), path, compression=compression(frame))


def join(frame: Frame, parts: Sequence[Path], path: Path) -> None:
    """Put files of ``write_rows`` into one; memory holds a part of them at a time.

    Raises StoreError as ``write_rows`` does.
    """
    try:
        pl.scan_parquet(list(parts)).sink_parquet(
            path, compression=compression(frame), maintain_order=True
        )
        flush(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise unwritable(path, error) from None


def write_plain(table: pl.DataFrame, path: Path, *, compression: Compression = "zstd") -> None:
    """Write a table as it is, down to the disk.

    Raises StoreError as ``write_rows`` does.
    """
    try:
        table.write_parquet(path, compression=compression)
        flush(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise unwritable(path, error) from None


def compression(frame: Frame) -> Compression:
    """Return how a table's files are compressed: rows of bytes, which are mostly noise, quickly."""
    return "lz4" if has_bytes(frame) else "zstd"


def unwritable(path: Path, error: Exception) -> StoreError:
    """Return the error that says why a file cannot be written, and what to do."""
    refusal = " ".join(str(error).split())
    return StoreError(f"{path}: cannot be written: {refusal}. {advice(refusal)}")


def flush(path: Path) -> None:
    """Have a file's bytes on the disk."""
    with path.open("rb") as stream:
        os.fsync(stream.fileno())
