"""From any table of runs to rows that tests can take, or one line that says what is wrong with it.

A run is one row: a seed, a dose and what was measured. What is missing is dropped and counted;
what cannot be read as asked is refused, by its column and row.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import polars as pl

from store.errors import AnalysisError

MISSING: Final = ("", "nan", "na", "n/a", "null", "none")
"""Texts that stand for no value, in any case."""

_LISTED_AT_MOST: Final = 12
LARGEST: Final = 1e100
"""Larger numbers overflow where they are squared twice."""
_NESTED: Final = (pl.List, pl.Array, pl.Struct, pl.Object, pl.Binary)


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """The columns that a table is read by.

    where: column and value that rows must have. pool: names the teachers that several seeds may
    share; None: every seed has its own.
    """

    block: str
    dose: str
    outcome: str
    predictor: str | None = None
    where: tuple[tuple[str, str], ...] = ()
    pool: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Dropped:
    """How many rows have no value in a column."""

    column: str
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Runs:
    """The rows to analyze.

    rows: columns ``block`` (whole numbers or text), ``dose``, ``outcome`` and, where one is
    asked for, ``predictor`` (Float64, finite or null); each block and dose once. With a column of
    pools also ``pool`` (whole numbers or text), and each block, dose and pool once. read: rows
    of the table; chosen: those that have the values asked for.
    """

    rows: pl.DataFrame
    read: int
    chosen: int
    dropped: tuple[Dropped, ...]


def runs_of(frame: pl.DataFrame, columns: Columns, *, source: str) -> Runs:
    """Check and select the rows of a table.

    source: what the table is, for messages, which count rows from 1 after the header. Raises
    AnalysisError where a column is not there, a number is none or infinite, a seed has two
    rows at one dose (of one pool), or nothing is left.
    """
    _check_columns(frame, columns, source)
    numbered = frame.with_columns(pl.Series(_place(frame), range(1, frame.height + 1)))
    chosen = _chosen(numbered, columns, source)
    keys = {"block": columns.block, "dose": columns.dose}
    if columns.pool is not None:
        keys["pool"] = columns.pool
    measures = {"outcome": columns.outcome}
    if columns.predictor is not None:
        measures["predictor"] = columns.predictor
    names = {**keys, **measures}
    read = {
        name: _labels(chosen, column, source)
        if name in ("block", "pool")
        else _numbers(chosen, column, source)
        for name, column in names.items()
    }
    rows = pl.DataFrame({"place": chosen[_place(frame)], **read})
    dropped = tuple(
        Dropped(column=column, rows=count)
        for name, column in names.items()
        if (count := rows[name].null_count())
    )
    measured = pl.any_horizontal(pl.col(name).is_not_null() for name in measures)
    kept = rows.drop_nulls(list(keys)).filter(measured)
    if kept.is_empty():
        asked = ", ".join(repr(column) for column in names.values())
        raise AnalysisError(f"{source}: none of {rows.height} rows has values of {asked}")
    _check_unique(kept, chosen, columns, source)
    return Runs(
        rows=kept.drop("place").sort(list(keys)),
        read=frame.height,
        chosen=chosen.height,
        dropped=dropped,
    )


def _check_columns(frame: pl.DataFrame, columns: Columns, source: str) -> None:
    asked = [columns.block, columns.dose, columns.outcome]
    asked += [name for name in (columns.predictor, columns.pool) if name is not None]
    twice = next((name for name in asked if asked.count(name) > 1), None)
    if twice is not None:
        raise AnalysisError(
            f"column {twice!r} is asked for twice: seed, dose, outcome, predictor and pool must "
            "differ"
        )
    for name in (*asked, *(column for column, _ in columns.where)):
        if name not in frame.columns:
            raise AnalysisError(f"{source}: no column {name!r}; there are {_listed(frame.columns)}")
    if frame.is_empty():
        raise AnalysisError(f"{source}: no rows under the columns {_listed(frame.columns)}")


def _place(frame: pl.DataFrame) -> str:
    """Name a column for row numbers that no column of the frame has."""
    return "place" + "_" * max(len(name) for name in frame.columns)


def _chosen(frame: pl.DataFrame, columns: Columns, source: str) -> pl.DataFrame:
    for column, value in columns.where:
        texts = _texts(frame, column, source)
        matches = texts == value
        if frame[column].dtype.is_numeric() and (number := _number(value)) is not None:
            matches = frame[column].cast(pl.Float64) == number
        if not matches.any():
            raise AnalysisError(
                f"{source}: no row has {column!r} = {value!r}; there are "
                f"{_listed(texts.drop_nulls().unique(maintain_order=True).to_list())}"
            )
        frame = frame.filter(matches.fill_null(value=False))
    return frame


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _texts(frame: pl.DataFrame, column: str, source: str) -> pl.Series:
    """Read a column as text; null where there is no value."""
    values = frame[column]
    if isinstance(values.dtype, _NESTED):
        raise AnalysisError(
            f"{source}: column {column!r} holds {values.dtype}, not one value a row"
        )
    texts = values.cast(pl.String).str.strip_chars()
    missing = texts.str.to_lowercase().is_in(MISSING)
    return texts.zip_with(~missing.fill_null(value=True), pl.Series([None], dtype=pl.String))


def _labels(frame: pl.DataFrame, column: str, source: str) -> pl.Series:
    """Read seeds: as whole numbers where every one is, else as text."""
    texts = _texts(frame, column, source)
    if frame[column].dtype.is_float():
        texts = texts.str.strip_suffix(".0")
    whole = texts.cast(pl.Int64, strict=False)
    alike = (whole.cast(pl.String) == texts).drop_nulls().all()
    every = whole.null_count() == texts.null_count()
    return whole if alike and every else texts


def _numbers(frame: pl.DataFrame, column: str, source: str) -> pl.Series:
    """Read a column as numbers; null where there is no value or no number (NaN)."""
    values = frame[column]
    if values.dtype.is_numeric():
        numbers = values.cast(pl.Float64)
    elif isinstance(values.dtype, pl.String | pl.Null):
        texts = _texts(frame, column, source)
        numbers = texts.cast(pl.Float64, strict=False)
        _refuse(frame, column, texts.is_not_null() & numbers.is_null(), "is no number", source)
    else:
        raise AnalysisError(f"{source}: column {column!r} holds {values.dtype}, not numbers")
    huge = numbers.is_finite() & (numbers.abs() > LARGEST)
    _refuse(frame, column, huge, "is too large to compute with", source)
    _refuse(frame, column, numbers.is_infinite(), "is infinite: drop the run or repair it", source)
    return numbers.fill_nan(None)


def _refuse(frame: pl.DataFrame, column: str, wrong: pl.Series, reason: str, source: str) -> None:
    found = frame.filter(wrong.fill_null(value=False))
    if found.is_empty():
        return
    more = f" ({found.height} such rows)" if found.height > 1 else ""
    # the row numbers are the last column
    place = found.row(0)[-1]
    raise AnalysisError(
        f"{source}: row {place}, column {column!r}: {str(found[column][0])[:60]!r} {reason}{more}"
    )


def _check_unique(kept: pl.DataFrame, chosen: pl.DataFrame, columns: Columns, source: str) -> None:
    keys = ["block", "dose"] if columns.pool is None else ["block", "dose", "pool"]
    double = kept.filter(pl.struct(keys).is_duplicated())
    if double.is_empty():
        return
    block, dose = double["block"][0], double["dose"][0]
    same = [pl.col(key) == double[key][0] for key in keys]
    both = double.filter(pl.all_horizontal(same))["place"]
    pair = chosen.filter(chosen.to_series(-1).is_in(both[:2].implode())).drop(chosen.columns[-1])
    used = (columns.block, columns.dose, columns.outcome, columns.predictor, columns.pool)
    differ = [name for name in pair.columns if name not in used and pair[name].n_unique() > 1]
    hint = f"they differ in {_listed(differ)}: " if differ else ""
    of_pool, per = "", "per dose"
    if columns.pool is not None:
        of_pool, per = f" of {columns.pool!r} {double['pool'][0]}", "per dose and pool"
    raise AnalysisError(
        f"{source}: rows {both[0]} and {both[1]} both are {columns.block!r} {block} at "
        f"{columns.dose!r} {dose:g}{of_pool}, and a seed has one row {per}; {hint}choose runs "
        "with --arm COLUMN=VALUE, or average such rows first"
    )


def _listed(names: Sequence[object]) -> str:
    shown = ", ".join(repr(str(name)[:40]) for name in names[:_LISTED_AT_MOST])
    rest = len(names) - _LISTED_AT_MOST
    return f"{shown} and {rest} more" if rest > 0 else shown or "none"
