"""The contract for runs that other software trained: a folder of Parquet files, by their columns.

Columns may stand in any order. One whose NULL has a meaning may be missing, which says NULL of
every row. Numbers of other widths are taken where no value changes.
"""

from dataclasses import replace
from pathlib import Path
from typing import Final

import polars as pl

from store.errors import DataError
from store.frame import Column, Frame
from store.frames import ATTENTION, EPOCH, IMAGE, MODEL, PREDICTION

_MODEL: Final = Column(
    name="model", dtype=pl.String(), meaning="The model: any name, the same in every file."
)


def _named(frame: Frame, *names: str) -> tuple[Column, ...]:
    known = {column.name: column for column in frame.columns}
    return tuple(known[name] for name in names)


def _logits() -> Column:
    return Column(
        name="logits",
        dtype=pl.List(pl.Float32()),
        meaning="One number per class, in order of the classes, whose softmax is the model's "
        "probabilities, at the end of training and with nothing random in the network. Logarithms "
        "of probabilities are logits.",
    )


IMAGES: Final = Frame(
    "images",
    "one image, the same for every seed",
    (
        *_named(IMAGE, "image_id", "split", "label"),
        Column(
            name="class_name",
            dtype=pl.String(),
            meaning="Its class's name.",
            null="the class has no name but its number",
        ),
        replace(
            _named(IMAGE, "png")[0],
            null="not given: the report then shows no pictures",
        ),
    ),
    ("image_id",),
)

MODELS: Final = Frame(
    "models",
    "one trained model",
    (
        _MODEL,
        Column(
            name="seed",
            dtype=pl.Int32(),
            meaning="Its seed block, from 0: models of one block share data and teachers, those "
            "of two blocks nothing random.",
        ),
        *_named(MODEL, "role", "slot", "arm"),
        Column(
            name="strength",
            dtype=pl.Float64(),
            meaning="The dose that it was trained with, as the study file declares it.",
            unit="fraction of the greatest dose",
        ),
        Column(
            name="teacher_strength",
            dtype=pl.Float64(),
            meaning="The dose of the teachers that a student learned from.",
            unit="fraction of the greatest dose",
            null="a teacher, or a student without teachers",
        ),
        *_named(MODEL, "parameters", "epochs"),
        Column(
            name="failure",
            dtype=pl.String(),
            meaning="Why its training failed, in words; it then has no predictions.",
            null="it did not fail",
        ),
        *_named(MODEL, "weights_hash", "train_seconds", "finished_at"),
    ),
    ("model",),
)

PREDICTIONS: Final = Frame(
    "predictions",
    "one model's answer to one view of one image: every test image and every image of its "
    "training, as they are (view 'clean'), and views of test images where there are some",
    (_MODEL, *_named(PREDICTION, "view", "image_id"), _logits()),
    ("model", "view", "image_id"),
)

MAPS: Final = Frame(
    "attention",
    "one model's attention map on one view of one test image",
    (_MODEL, *_named(ATTENTION, "view", "image_id", "method", "map")),
    ("model", "view", "image_id", "method"),
)

EPOCHS: Final = Frame(
    "epochs",
    "one epoch of one model's training; the published measures are made of these",
    (_MODEL, *(column for column in EPOCH.columns if column.name != "model_id")),
    ("model", "epoch"),
)

PAIRS: Final = Frame(
    "pairs",
    "two models of one seed block, a teacher first: two of one ensemble, or one and its student",
    (
        replace(_MODEL, name="model_a", meaning="The first model, a teacher, by its name."),
        replace(
            _MODEL,
            name="model_b",
            meaning="The second: a teacher of a higher slot, or a student, by its name.",
        ),
        Column(
            name="cka",
            dtype=pl.Float64(),
            meaning="Linear centred kernel alignment of features on the clean test images, by an "
            "unbiased estimator.",
            unit="at most 1",
            null="undefined",
        ),
    ),
    ("model_a", "model_b"),
)

REQUIRED: Final = (IMAGES, MODELS, PREDICTIONS)
OPTIONAL: Final = (MAPS, EPOCHS, PAIRS)


def file_of(folder: Path, frame: Frame) -> Path:
    """Return where a table of the contract lies."""
    return folder / f"{frame.name}.parquet"


def scan(folder: Path, frame: Frame) -> pl.LazyFrame:
    """Open one table of a folder, with the contract's columns and types.

    Raises DataError where it is missing, no Parquet, or a column is missing, unknown or of
    another type.
    """
    path = file_of(folder, frame)
    try:
        rows = pl.scan_parquet(path)
        found = rows.collect_schema()
    except FileNotFoundError:
        raise DataError(f"{path}: missing; it holds {frame.grain}. See docs/foreign.md") from None
    except (OSError, pl.exceptions.PolarsError) as error:
        raise DataError(f"{path}: cannot be read as Parquet: {_one_line(error)}") from None
    unknown = sorted(set(found.names()) - set(frame.schema.names()))
    if unknown:
        raise DataError(
            f"{path}: column {unknown[0]} is none of the contract's; allowed: "
            f"{', '.join(frame.schema.names())}"
        )
    for column in frame.columns:
        if column.name not in found and column.null is None:
            raise DataError(f"{path}: column {column.name} is missing: {column.meaning}")
        kind = found.get(column.name)
        if kind == pl.Null() and column.null is not None:
            continue
        if kind is not None and not _fits(kind, column.dtype):
            raise DataError(
                f"{path}: column {column.name} is of type {kind}; the contract has {column.dtype}"
            )
    return rows.select(_taken(column, found) for column in frame.columns)


def collected(rows: pl.LazyFrame, path: Path, frame: Frame) -> pl.DataFrame:
    """Read rows, checked for NULLs and repeated keys.

    Raises DataError that names file, column and key.
    """
    try:
        table = rows.collect()
    except (OSError, pl.exceptions.PolarsError) as error:
        raise DataError(f"{path}: {_one_line(error)}") from None
    for column in frame.columns:
        empty = table.filter(pl.col(column.name).is_null())
        if column.null is None and empty.height:
            raise DataError(
                f"{path}: column {column.name} is empty in {empty.height} rows, the first with "
                f"{keyed(empty, frame)}"
            )
    repeated = table.filter(pl.struct(frame.key).is_duplicated())
    if repeated.height:
        raise DataError(f"{path}: two rows have {keyed(repeated, frame)}; each stands once")
    return table


def keyed(rows: pl.DataFrame, frame: Frame) -> str:
    """Name the first row by its key."""
    row = rows.select(frame.key).row(0, named=True)
    return ", ".join(f"{name} {value}" for name, value in row.items())


def _taken(column: Column, found: pl.Schema) -> pl.Expr:
    if column.name not in found:
        return pl.lit(None, column.dtype).alias(column.name)
    kind = found[column.name]
    if isinstance(kind, pl.Datetime) and kind.time_zone is None:
        return pl.col(column.name).dt.replace_time_zone("UTC").cast(column.dtype)
    return pl.col(column.name).cast(column.dtype, strict=True)


def _fits(found: pl.DataType, wanted: pl.DataType) -> bool:
    """Whether values of one type can be taken as the other's; each value is checked later."""
    if isinstance(wanted, pl.List):
        inner = found.inner if isinstance(found, pl.List | pl.Array) else None
        return inner is not None and _fits(_instance(inner), _instance(wanted.inner))
    if wanted.is_integer():
        return found.is_integer()
    if wanted.is_float():
        return found.is_numeric()
    if wanted == pl.String():
        return found in (pl.String(), pl.Categorical()) or isinstance(found, pl.Enum)
    if isinstance(wanted, pl.Datetime):
        return isinstance(found, pl.Datetime)
    return found == wanted


def _instance(kind: object) -> pl.DataType:
    return kind() if isinstance(kind, type) else kind  # type: ignore[return-value]


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300]
