"""``python -m analyze table``: test any table of runs, from any tracker.

Reads CSV, Parquet, or the answer of a query on a DuckDB file. Only here are paths.
"""

import argparse
import io
import re
import sys
from pathlib import Path
from typing import Final

import polars as pl

from analyze.decide import MINIMUM_SEEDS
from analyze.hypotheses import Direction
from analyze.outputs import check_outputs, save_output
from analyze.table import analyze_table
from analyze.table_page import table_page
from analyze.table_results import Claim, Claims, table_json
from analyze.table_rows import Columns, runs_of
from analyze.table_text import table_lines
from store.database import open_database
from store.errors import AnalysisError
from store.sections import MOST_LOOKS

_SEPARATORS: Final = (",", ";", "\t")
_TERMINAL: Final = "-"


def run_table(options: argparse.Namespace) -> None:
    """Analyze one table and write what was asked for. Raises UserError, having written nothing."""
    claims = Claims(
        trend=_claim(options, ""),
        predictor_trend=_claim(options, "predictor_"),
        association=_claim(options, "association_"),
    )
    columns = Columns(
        block=options.block,
        dose=options.dose,
        outcome=options.outcome,
        predictor=options.predictor,
        where=tuple(where_of(text) for text in options.arm),
        pool=options.pool,
    )
    if not 0.5 < options.level < 1:
        raise AnalysisError(f"--level {options.level:g}: must be above .5 and below 1, as .95")
    looks = _looks(options.looks)
    _check_outputs(options)
    source = options.table.name
    runs = runs_of(read_table(options.table, options.query), columns, source=source)
    results = analyze_table(runs, columns, claims, level=options.level, source=source, looks=looks)
    page = table_page(results) if options.html else ""
    text = table_json(results)
    if options.json and str(options.json) != _TERMINAL:
        _save(options.json, text)
    if options.html:
        _save(options.html, page)
    on_terminal = str(options.json) == _TERMINAL
    sys.stdout.write(text if on_terminal else "\n".join(table_lines(results)) + "\n")


def read_table(path: Path, query: str | None) -> pl.DataFrame:
    """Read a table by what the file is, not by its name; CSV as text.

    Raises UserError where it cannot be read.
    """
    try:
        with path.open("rb") as file:
            head = file.read(12)
    except OSError as error:
        raise AnalysisError(f"{path}: cannot be read: {error.strerror}") from None
    if head[8:12] == b"DUCK":
        return _read_database(path, query)
    if query is not None:
        raise AnalysisError(f"{path}: --query needs a DuckDB file, and this is none")
    if not head:
        raise AnalysisError(f"{path}: the file is empty")
    try:
        return pl.read_parquet(path) if head[:4] == b"PAR1" else _read_text(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        words = " ".join(str(error).split())[:200]
        raise AnalysisError(f"{path}: cannot be read as a table: {words}") from None


def add_table_parser(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",  # pyright: ignore[reportPrivateUsage]
) -> None:
    """Add the command's arguments."""
    parser = commands.add_parser(
        "table",
        help="test any table of runs: CSV, Parquet or a query on a DuckDB file",
        description="Test whether an outcome moves with a dose, the seed being the unit, and "
        "whether a predictor moves with the outcome beyond what the dose explains.",
        epilog="example: python -m analyze table runs.csv --block seed --dose strength "
        "--outcome overfit_gap --predictor iou --expected falls --json - ; docs/table.md has more",
    )
    parser.add_argument("table", type=Path, help="one row per run, columns named in its header")
    parser.add_argument("--block", required=True, metavar="COLUMN", help="the seed, the unit")
    parser.add_argument("--dose", required=True, metavar="COLUMN", help="what was varied, a number")
    parser.add_argument("--outcome", required=True, metavar="COLUMN")
    parser.add_argument("--predictor", metavar="COLUMN", help="what may go with the outcome")
    parser.add_argument(
        "--pool",
        metavar="COLUMN",
        help="names the teachers that a run distils from, where several seeds share them",
    )
    parser.add_argument(
        "--arm",
        action="append",
        default=[],
        metavar="COLUMN=VALUE",
        help="take only such rows; may be given more than once",
    )
    parser.add_argument("--query", metavar="SQL", help="of a DuckDB file: a query that gives rows")
    for prefix, what in (
        ("", "the outcome over the dose"),
        ("predictor-", "the predictor over the dose"),
        ("association-", "the outcome with the predictor"),
    ):
        parser.add_argument(
            f"--{prefix}expected",
            choices=[str(one) for one in Direction],
            help=f"the direction claimed of {what}; without it, either will do",
        )
        parser.add_argument(
            f"--{prefix}sesoi",
            type=float,
            metavar="SIZE",
            help=f"smallest slope of interest of {what}; without it, none is negligible",
        )
    parser.add_argument(
        "--looks",
        metavar="8,16,24",
        help="numbers of seeds at which you declared beforehand to look while adding seeds; the "
        "last is the cap, and the table must have one of them (docs/adding-seeds.md)",
    )
    parser.add_argument("--level", type=float, default=0.95, help="of intervals; default .95")
    parser.add_argument("--json", type=Path, metavar="OUT", help="write JSON; - prints it instead")
    parser.add_argument("--html", type=Path, metavar="OUT", help="write one self-contained page")


def _looks(text: str | None) -> tuple[int, ...]:
    """Read the declared looks, e.g. ``8,16,24``."""
    if text is None:
        return ()
    parts = [part.strip() for part in text.split(",")]
    looks = [int(part) if re.fullmatch("[0-9]{1,9}", part) else 0 for part in parts]
    if min(looks) < MINIMUM_SEEDS or looks != sorted(set(looks)) or len(looks) > MOST_LOOKS:
        raise AnalysisError(
            f"--looks {text!r}: must be up to {MOST_LOOKS} ascending numbers of seeds, each "
            f"{MINIMUM_SEEDS} or more, as 8,16,24"
        )
    return tuple(looks)


def _claim(options: argparse.Namespace, prefix: str) -> Claim:
    expected: str | None = getattr(options, f"{prefix}expected")
    sesoi: float | None = getattr(options, f"{prefix}sesoi")
    if sesoi is not None and not 0 < sesoi < float("inf"):
        flag = f"--{prefix}sesoi".replace("_", "-")
        raise AnalysisError(f"{flag} {sesoi:g}: must be a positive number")
    return Claim(expected=None if expected is None else Direction(expected), sesoi=sesoi)


def where_of(text: str) -> tuple[str, str]:
    """Read COLUMN=VALUE."""
    column, sign, value = text.partition("=")
    if not sign or not column:
        raise AnalysisError(f"--arm {text!r}: write COLUMN=VALUE, as --arm arm=fixed")
    return column, value


def _check_outputs(options: argparse.Namespace) -> None:
    check_outputs([options.json, options.html], read=options.table, what="the table itself")


def _read_database(path: Path, query: str | None) -> pl.DataFrame:
    if not query or not query.strip():
        raise AnalysisError(
            f"{path}: a DuckDB file: say which rows with --query, as --query "
            '"SELECT * FROM measures"'
        )
    with open_database(path) as reader:
        return reader.frame(query)


def _read_text(path: Path) -> pl.DataFrame:
    """Read separated values, every one as text, by the separator that the header has most of."""
    content = path.read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise AnalysisError(
            f"{path}: line {line} is not UTF-8 text; save the table as CSV in UTF-8"
        ) from None
    if "\0" in text:
        raise AnalysisError(f"{path}: not a table: CSV, Parquet and DuckDB files are read")
    if not text.strip():
        raise AnalysisError(f"{path}: the file is empty")
    header = text.lstrip().partition("\n")[0]
    separator = max(_SEPARATORS, key=header.count)
    frame = pl.read_csv(
        io.BytesIO(text.encode()),
        separator=separator,
        infer_schema=False,
        truncate_ragged_lines=False,
    )
    doubled = [name for name in frame.columns if f"{name}_duplicated_0" in frame.columns]
    if doubled:
        raise AnalysisError(f"{path}: two columns are named {doubled[0]!r}")
    names = {name: name.strip() for name in frame.columns}
    return frame.rename(names) if len(set(names.values())) == len(names) else frame


def _save(path: Path, text: str) -> None:
    save_output(path, text)
