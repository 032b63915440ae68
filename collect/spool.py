"""Tables that grow batch by batch: in memory while they are small, else on disk model by model."""

import shutil
from pathlib import Path
from typing import Any, Final

import polars as pl
import pyarrow.parquet as pq

from store.frame import Frame
from store.row_bytes import to_bytes
from store.table_files import Parts, compression, read_rows, unwritable, write_rows

_HELD_BYTES: Final = 64 * 2**20
"""Rows of one table that are kept in memory before they go to files; of one model, as many more."""


class Spool:
    """Rows of one table, model by model: few are kept in memory, more in files of a folder.

    What the folder held before is thrown away: a model is observed as a whole. held_bytes: of
    finished models that are kept in memory, and of the model whose rows come.
    """

    def __init__(self, folder: Path, frame: Frame, *, held_bytes: int = _HELD_BYTES) -> None:
        self._folder = folder
        self._frame = frame
        self._limit = held_bytes
        self._held: list[pl.DataFrame] = []
        self._held_bytes = 0
        self._files: list[Path] = []
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)

    def model(self) -> "ModelRows":
        """Begin the rows of a model; models must come one by one, in the order of their ids."""
        return ModelRows(self, self._frame, held_bytes=self._limit)

    def table(self) -> pl.DataFrame | Parts:
        """Return the finished rows: a table in memory, or files in the order of its key."""
        if not self._files:
            return pl.concat([pl.DataFrame(schema=self._frame.schema), *self._held])
        self._write_held()
        return Parts(self._frame, tuple(self._files))

    def hold(self, rows: pl.DataFrame) -> None:
        """Take a finished model's rows, in any order."""
        self._held.append(rows)
        self._held_bytes += int(rows.estimated_size())
        if self._held_bytes > self._limit:
            self._write_held()

    def next_file(self) -> Path:
        """Return the file for what comes now, after what has come before."""
        self._write_held()
        self._files.append(self._folder / f"{len(self._files):08d}.parquet")
        return self._files[-1]

    def _write_held(self) -> None:
        if not self._held:
            return
        rows, self._held, self._held_bytes = pl.concat(self._held), [], 0
        write_rows(self._frame, self._frame.in_order(rows), self.next_file())


class ModelRows:
    """One model's rows: appended in any order."""

    def __init__(self, spool: Spool, frame: Frame, *, held_bytes: int) -> None:
        self._spool = spool
        self._frame = frame
        self._limit = held_bytes
        self._held: list[pl.DataFrame] = []
        self._held_bytes = 0
        self._file: _File | None = None

    def add(self, rows: pl.DataFrame) -> None:
        """Append rows; down to a file, where they are many."""
        if self._file is not None:
            self._file.add(rows)
            return
        self._held.append(rows)
        self._held_bytes += int(rows.estimated_size())
        if self._held_bytes > self._limit:
            self._file = _File(self._spool.next_file(), self._frame)
            for held in self._held:
                self._file.add(held)
            self._held = []

    def close(self) -> None:
        """Hand the rows over: they are whole."""
        if self._file is not None:
            self._file.close()
        elif self._held:
            self._spool.hold(pl.concat(self._held))


class _File:
    """A file of one model's rows: appended, then put in the order of the key."""

    def __init__(self, path: Path, frame: Frame) -> None:
        self._path = path
        self._frame = frame
        schema = self._arrow(pl.DataFrame(schema=frame.schema)).schema
        self._writer = pq.ParquetWriter(path, schema, compression=compression(frame))

    def add(self, rows: pl.DataFrame) -> None:
        try:
            self._writer.write_table(self._arrow(rows))
        except OSError as error:
            raise unwritable(self._path, error) from None

    def close(self) -> None:
        """End the file; sort it where batches did not come in the order of the key."""
        try:
            self._writer.close()
        except OSError as error:
            raise unwritable(self._path, error) from None
        keys = pl.read_parquet(self._path, columns=list(self._frame.key))
        if not self._frame.is_in_order(keys):
            rows = read_rows(self._frame, self._path)
            write_rows(self._frame, self._frame.in_order(rows), self._path)

    def _arrow(self, rows: pl.DataFrame) -> Any:
        # pyarrow has no types that a checker could read
        return to_bytes(self._frame, rows).to_arrow(compat_level=pl.CompatLevel.oldest())
