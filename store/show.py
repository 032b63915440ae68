"""Answers as text: tables for people, CSV and strict JSON for programs.

A table fits the terminal: text wraps, and an answer too wide for that is shown row by row, one
column a line. NULL is spelt out, so that it cannot be taken for empty text.
"""

import json
import math
import textwrap
from collections.abc import Sequence
from datetime import date, datetime
from typing import Final

import polars as pl

NULL: Final = "NULL"
_NARROWEST: Final = 24
"""Text columns are not wrapped to fewer characters than this."""
_LONGEST: Final = 300
"""Characters of one value that a table shows."""


def table(answer: pl.DataFrame, *, width: int, limit: int | None = None) -> str:
    """Draw an answer with at most ``limit`` rows, or row by row where it is too wide.

    width: characters of a line. Floats have six significant digits; nothing else is rounded.
    """
    shown = answer if limit is None else answer.head(limit)
    if not shown.width:
        return ""
    cells = [[_cell(value) for value in row] for row in shown.iter_rows()]
    names = [_printable(name) for name in shown.columns]
    widths = _widths(names, cells, width)
    text = _records(names, cells, width) if widths is None else _grid(shown, names, cells, widths)
    if shown.height < answer.height:
        text += f"\nthe first {shown.height} of {answer.height} rows"
    return text


def csv(answer: pl.DataFrame) -> str:
    """Write comma-separated values: NULL as nothing, empty text as a pair of quotes.

    Lists are JSON text and bytes hexadecimal digits, as CSV has neither; floats are at full
    precision.
    """
    return _flat(answer).write_csv()


def strict_json(answer: pl.DataFrame) -> str:
    """Write a JSON list of rows, at full precision.

    JSON has no infinite numbers: they stand as the texts "Infinity", "-Infinity" and "NaN", as
    in results.json. Bytes are hexadecimal digits, moments in ISO format.
    """
    rows = [
        {name: _plain(value) for name, value in row.items()} for row in answer.iter_rows(named=True)
    ]
    return json.dumps(rows, ensure_ascii=False, allow_nan=False)


def as_markdown(text: str) -> str:
    """Write any text so that Markdown shows it as it is, in one line: no markup, no HTML."""
    marks = set("\\`*_[]<>&|#~$")
    return " ".join("".join(f"\\{c}" if c in marks else c for c in text).split())


def _flat(answer: pl.DataFrame) -> pl.DataFrame:
    nested = [
        pl.Series(
            name,
            [
                None if row is None else json.dumps(_plain(row), ensure_ascii=False)
                for row in column
            ],
            dtype=pl.String,
        )
        for name, column in zip(answer.columns, answer.iter_columns(), strict=True)
        if column.dtype.is_nested()
    ]
    flat = answer.with_columns(nested)
    binary = [name for name, dtype in flat.schema.items() if dtype == pl.Binary]
    return flat.with_columns(pl.col(name).bin.encode("hex") for name in binary)


def _plain(value: object) -> object:
    """Make a value that JSON has."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, (datetime, date)):
        return value.isoformat()
    if isinstance(value, (list, tuple, pl.Series)):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    return value if isinstance(value, (str, int, float, bool)) or value is None else str(value)


def _cell(value: object) -> str:
    if value is None:
        return NULL
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, datetime):
        return value.isoformat(sep=" ", timespec="seconds")
    plain = _plain(value)
    text = plain if isinstance(plain, str) else json.dumps(plain, ensure_ascii=False)
    text = _printable(text)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def _printable(text: str) -> str:
    """Show control characters as escapes: they would move the cursor or draw over the table."""
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode("ascii")
        for letter in text
    )


def _widths(names: Sequence[str], cells: Sequence[Sequence[str]], width: int) -> list[int] | None:
    """Widths of columns that fit a line; None where they would be too narrow to read."""
    needed = [max(len(text) for text in column) for column in zip(names, *cells, strict=True)]
    room = width - 3 * len(needed) - 1
    while sum(needed) > room:
        widest = max(range(len(needed)), key=lambda place: needed[place])
        least = max(_NARROWEST, len(names[widest]))
        if needed[widest] <= least:
            return None
        others = sum(needed) - needed[widest]
        second = max([*needed[:widest], *needed[widest + 1 :], least])
        needed[widest] = max(least, min(needed[widest] - 1, max(room - others, second)))
    return needed


def _grid(
    answer: pl.DataFrame,
    names: Sequence[str],
    cells: Sequence[Sequence[str]],
    widths: Sequence[int],
) -> str:
    right = [dtype.is_numeric() for dtype in answer.schema.dtypes()]

    def drawn(row: Sequence[str]) -> list[str]:
        parts = [_wrapped(text, width) for text, width in zip(row, widths, strict=True)]
        height = max(len(part) for part in parts)
        return [
            "│ "
            + " │ ".join(
                f"{part[line] if line < len(part) else '':{'>' if numeric else '<'}{width}}"
                for part, width, numeric in zip(parts, widths, right, strict=True)
            )
            + " │"
            for line in range(height)
        ]

    def rule(left: str, middle: str, end: str, stroke: str) -> str:
        return left + middle.join(stroke * (width + 2) for width in widths) + end

    lines = [rule("┌", "┬", "┐", "─"), *drawn(names), rule("╞", "╪", "╡", "═")]
    for row in cells:
        lines += drawn(row)
    return "\n".join([*lines, rule("└", "┴", "┘", "─")])


def _records(names: Sequence[str], cells: Sequence[Sequence[str]], width: int) -> str:
    """Show each row as lines of a name and a value."""
    margin = max(len(name) for name in names)
    lines: list[str] = []
    for number, row in enumerate(cells, start=1):
        lines.append(f"── row {number} ".ljust(min(width, margin + 20), "─"))
        for name, text in zip(names, row, strict=True):
            first, *more = _wrapped(text, max(width - margin - 3, _NARROWEST))
            lines.append(f"{name:<{margin}} │ {first}")
            lines += [f"{'':<{margin}} │ {part}" for part in more]
    return "\n".join(lines)


def _wrapped(text: str, width: int) -> list[str]:
    """Wrap a text that is too long for a column; leave any other as it is, spaces included."""
    return [text] if len(text) <= width else textwrap.wrap(text, width) or [""]
