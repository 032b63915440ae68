"""Every table and view of a store as a file of its own."""

from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq

from store.atomic import whole
from store.database import Reader
from store.schema import quoted
from store.show import csv


def export_tables(reader: Reader, folder: Path, *, as_csv: bool) -> None:
    """Write one file per table and view: Parquet, or CSV as ``store.show`` writes it.

    Rows are written in parts, so that a table need not fit into memory; each file is whole or
    absent. Raises OSError where a file cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name in reader.names():
        parts = reader.frames(f"SELECT * FROM {quoted(name)}")
        if as_csv:
            write_csv(folder / f"{name}.csv", parts)
        else:
            write_parquet(folder / f"{name}.parquet", parts)


def write_parquet(path: Path, parts: Iterator[pl.DataFrame]) -> None:
    """Write parts of one table as one Parquet file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # the first part has columns and no rows
    first = next(parts).to_arrow()
    # without Arrow's own schema readers take plain strings and lists, not polars' large ones
    with (
        whole(path) as temporary,
        pq.ParquetWriter(temporary, first.schema, store_schema=False) as writer,
    ):
        for part in parts:
            writer.write_table(part.to_arrow().cast(first.schema))


def write_csv(path: Path, parts: Iterator[pl.DataFrame]) -> None:
    """Write parts of one table as one CSV file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.write(csv(next(parts)))
        for part in parts:
            file.write(csv(part).partition("\n")[2])
