"""Tables that grow batch by batch, on disk: memory holds one batch, later one model's rows."""

import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq

from store.frames import Frame
from store.shard import Parts, unwritable, write_table


class Spool:
    """Rows of one table, model by model, in files of a folder.

    What the folder held before is thrown away: a model is observed as a whole.
    """

    def __init__(self, folder: Path, frame: Frame) -> None:
        self._folder = folder
        self._frame = frame
        self._files: list[Path] = []
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)

    def model(self, model_id: int) -> "ModelRows":
        """Begin the rows of a model; models must come in the order of their ids."""
        path = self._folder / f"{model_id:08d}.parquet"
        self._files.append(path)
        return ModelRows(path, self._frame)

    def parts(self) -> Parts:
        """Return the finished files, in the order of the table's key."""
        return Parts(tuple(self._files))


class ModelRows:
    """One model's rows: appended, then put in the order of the key."""

    def __init__(self, path: Path, frame: Frame) -> None:
        self._path = path
        self._frame = frame
        schema = _arrow(pl.DataFrame(schema=frame.schema)).schema
        self._writer = pq.ParquetWriter(path, schema, compression="zstd")

    def add(self, rows: pl.DataFrame) -> None:
        """Append rows, down to the file."""
        try:
            self._writer.write_table(_arrow(rows))
        except OSError as error:
            raise unwritable(self._path, error) from None

    def close(self) -> None:
        """End the file; sort it where batches did not come in the order of the key."""
        try:
            self._writer.close()
        except OSError as error:
            raise unwritable(self._path, error) from None
        keys = pl.read_parquet(self._path, columns=list(self._frame.key))
        if not keys.to_struct("key").is_sorted():
            write_table(pl.read_parquet(self._path).sort(self._frame.key), self._path)


def _arrow(rows: pl.DataFrame) -> Any:
    # pyarrow has no types that a checker could read
    return rows.to_arrow(compat_level=pl.CompatLevel.oldest())
