"""Images in Parquet files, in the Hugging Face layout."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from collect.pixels import THREADS, AsNeeded, InMemory, Pixels, fit_in_memory
from collect.readers.decoding import decoded
from collect.readers.splits import Images, Splits, drawn_test_rows
from store.errors import DataError, one_line
from store.images import ParquetData


@dataclass(frozen=True, slots=True)
class _Rows:
    """One split's rows, of all its files. table: image (encoded), label. starts: rows before."""

    table: pl.DataFrame
    files: tuple[Path, ...]
    starts: NDArray[np.int64]

    def named(self, row: int) -> str:
        """Name a row as its file counts it, from 0."""
        file = int(np.searchsorted(self.starts, row, side="right")) - 1
        return f"{self.files[file]}: image in row {row - int(self.starts[file])}"


def read_parquet(dataset: ParquetData, study_seed: int) -> Splits:
    """Read a folder of Parquet files. Raises DataError that names file, column and row."""
    folder = Path(dataset.path)
    train, test = (_read_split(folder, split, dataset) for split in ("train", "test"))
    chosen = drawn_test_rows(
        test.table.height, dataset.test_size, study_seed=study_seed, place=f"{folder}/test*.parquet"
    )
    names = dataset.class_names or tuple(str(label) for label in range(dataset.classes))
    height = train.table.height
    return Splits(
        _decoded(train, np.arange(height), 0, dataset),
        _decoded(test, chosen, height, dataset),
        names,
    )


def _read_split(folder: Path, split: str, dataset: ParquetData) -> _Rows:
    files = tuple(sorted(folder.glob(f"{split}*.parquet")))
    tables = [_read_file(file, dataset) for file in files]
    starts = np.cumsum([0, *(table.height for table in tables)])[:-1]
    return _Rows(pl.concat(tables), files, starts.astype(np.int64))


def _read_file(file: Path, dataset: ParquetData) -> pl.DataFrame:
    """Read one file's images, encoded, and labels, checked."""
    try:
        table = pl.read_parquet(file)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError(f"{file}: cannot be read: {one_line(str(error))}") from None
    for key, column in (
        ("image_column", dataset.image_column),
        ("label_column", dataset.label_column),
    ):
        if column not in table.columns:
            raise DataError(
                f"dataset.{key}: {file} has no column {column!r}; it has {', '.join(table.columns)}"
            )
    image_type = table.schema[dataset.image_column]
    if not isinstance(image_type, pl.Struct) or "bytes" not in {f.name for f in image_type.fields}:
        raise DataError(
            f"{file}: column {dataset.image_column!r} is {image_type}; it must be a struct "
            "with a field 'bytes' that holds the encoded image"
        )
    _check_labels(file, table[dataset.label_column], dataset)
    return table.select(
        image=pl.col(dataset.image_column).struct.field("bytes"),
        label=pl.col(dataset.label_column).cast(pl.Int64),
    )


def _check_labels(file: Path, labels: pl.Series, dataset: ParquetData) -> None:
    if not labels.dtype.is_integer():
        raise DataError(f"{file}: column {dataset.label_column!r} is {labels.dtype}, not integer")
    low, high = labels.min(), labels.max()
    if labels.null_count() or not (isinstance(low, int) and isinstance(high, int)):
        raise DataError(f"{file}: column {dataset.label_column!r} has missing labels")
    if low < 0 or high >= dataset.classes:
        raise DataError(
            f"dataset.classes is {dataset.classes}, but {file} has labels {low} to {high}; "
            f"allowed: 0 to {dataset.classes - 1}"
        )


def _decoded(split: _Rows, rows: NDArray[np.int64], first_id: int, dataset: ParquetData) -> Images:
    side, encoded = dataset.image_size, split.table["image"]

    def image(row: int) -> NDArray[np.uint8]:
        return decoded(encoded[row], side, named=split.named(row))

    if fit_in_memory(len(rows), 3, side):
        kept = np.empty((len(rows), 3, side, side), dtype=np.uint8)
        for position, row in enumerate(rows.tolist()):
            kept[position] = image(row)
        pixels: Pixels = InMemory(kept)
    else:
        pixels = AsNeeded(rows.tolist(), image, channels=3, side=side, threads=THREADS)
    return Images(
        (rows + first_id).astype(np.int32), pixels, split.table["label"].to_numpy()[rows].copy()
    )
