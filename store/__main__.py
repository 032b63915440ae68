"""``python -m store``: look into a store with SQL, take tables out, check it."""

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

import polars as pl

from store.database import Limits, Reader, open_reader
from store.design import load_design
from store.doctor import examine
from store.errors import STOPPING, StoreError, explained
from store.mend import mend
from store.schema import quoted
from store.upkeep import compact, migrate

_ROWS_SHOWN = 40


def main() -> int:
    """Run the command line; return the exit status."""
    arguments = _parser().parse_args()
    try:
        return arguments.run(arguments)
    except BrokenPipeError:
        # the reader of our output, such as head, has enough; nothing is left to flush to it
        sys.stdout = None
        return 0
    except STOPPING as error:
        print(f"error: {explained(error)}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m store",
        description="Look into a store: every logit, attention map and measure is within SQL.",
        epilog="example: python -m store tables results/digits/store.duckdb",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND").add_parser
    query = _command(
        commands,
        _query,
        "query",
        "answer one SQL query; it can change nothing and read nothing else",
        'results/digits/store.duckdb "SELECT arm, teacher_strength, avg(generalization_gap) '
        'FROM measures GROUP BY ALL ORDER BY ALL"',
    )
    query.add_argument("sql", help="the query, in DuckDB's SQL")
    query.add_argument(
        "--seconds", type=float, default=600, help="stop after so long (default: %(default)s)"
    )
    form = query.add_mutually_exclusive_group()
    form.add_argument("--csv", action="store_true", help="print comma-separated values")
    form.add_argument("--json", action="store_true", help="print a JSON list of rows")
    form.add_argument("--parquet", type=Path, metavar="OUT", help="write a Parquet file")
    _command(commands, _tables, "tables", "list tables and views", "results/digits/store.duckdb")
    describe = _command(
        commands,
        _describe,
        "describe",
        "list a table's or view's columns with their meaning",
        "results/digits/store.duckdb measures",
    )
    describe.add_argument("name", help="a table or view")
    export = _command(
        commands,
        _export,
        "export",
        "write every table and view to a file of its own",
        "results/digits/store.duckdb exported --csv",
    )
    export.add_argument("folder", type=Path, help="where the files go")
    export.add_argument("--csv", action="store_true", help="CSV in place of Parquet")
    _command(
        commands,
        _migrate,
        "migrate",
        "bring a store that older software wrote to the present schema; no shards are needed",
        "results/digits/store.duckdb",
    )
    _command(
        commands,
        _compact,
        "compact",
        "write a store anew without free blocks; what it holds stays the same",
        "results/digits/store.duckdb",
    )
    doctor = _command(
        commands,
        _doctor,
        "doctor",
        "check a store, and its shards; exit with 1 where there are faults",
        "results/digits/store.duckdb --shards results/digits/shards",
    )
    doctor.add_argument("--shards", type=Path, metavar="DIR", help="the study's shards folder")
    doctor.add_argument("--study", type=Path, metavar="YAML", help="the study file as it is now")
    doctor.add_argument(
        "--repair",
        action="store_true",
        help="mend what is safe to mend; what is damaged goes to a folder named quarantine",
    )
    return parser


def _command(
    add_parser: Callable[..., argparse.ArgumentParser],
    run: Callable[[argparse.Namespace], int],
    name: str,
    purpose: str,
    example: str,
) -> argparse.ArgumentParser:
    command = add_parser(
        name,
        help=purpose,
        description=f"{purpose[0].upper()}{purpose[1:]}.",
        epilog=f"example: python -m store {name} {example}",
    )
    command.add_argument("file", type=Path, help="the store: results/<study>/store.duckdb")
    command.set_defaults(run=run)
    return command


def _query(arguments: argparse.Namespace) -> int:
    if not arguments.sql.strip():
        raise StoreError("the query is empty; for example: SELECT * FROM measures LIMIT 5")
    with open_reader(arguments.file, limits=Limits(seconds=arguments.seconds)) as reader:
        answer = reader.frame(arguments.sql)
    if arguments.parquet:
        _write(answer, arguments.parquet, csv=False)
    elif arguments.csv:
        print(_flat(answer).write_csv(), end="")
    elif arguments.json:
        print(_without_bytes(answer).write_json())
    else:
        _print_table(answer, rows=_ROWS_SHOWN)
        if answer.height > _ROWS_SHOWN:
            print(f"{answer.height} rows; all of them with --csv, --json or --parquet OUT")
    return 0


def _tables(arguments: argparse.Namespace) -> int:
    with open_reader(arguments.file) as reader:
        names = _names(reader)
        counts = [
            reader.frame(f"SELECT count(*) AS rows FROM {quoted(name)}").item()
            if kind == "table"
            else None
            for name, kind in names.select("name", "kind").iter_rows()
        ]
    shown = names.with_columns(
        content=pl.Series([_first_sentence(text) for text in names["content"]]),
        rows=pl.Series(["" if count is None else f"{count}" for count in counts]),
    )
    _print_table(shown)
    return 0


def _describe(arguments: argparse.Namespace) -> int:
    with open_reader(arguments.file) as reader:
        _known(reader, arguments.name)
        columns = reader.frame(
            "SELECT column_name AS column, data_type AS type, comment AS meaning "
            "FROM duckdb_columns() WHERE table_name = ? ORDER BY column_index",
            [arguments.name],
        )
    _print_table(columns)
    return 0


def _export(arguments: argparse.Namespace) -> int:
    with open_reader(arguments.file) as reader:
        for name in _names(reader)["name"]:
            answer = reader.frame(f"SELECT * FROM {quoted(name)}")
            suffix = "csv" if arguments.csv else "parquet"
            _write(answer, arguments.folder / f"{name}.{suffix}", csv=arguments.csv)
    return 0


def _migrate(arguments: argparse.Namespace) -> int:
    done = migrate(arguments.file)
    if done.before == done.after:
        print(f"{arguments.file}: schema version {done.after}, nothing to migrate")
        return 0
    for step in done.steps:
        print(f"{arguments.file}: {step}")
    print(f"{arguments.file}: schema version {done.after}; as it was, in {done.kept}")
    return 0


def _compact(arguments: argparse.Namespace) -> int:
    done = compact(arguments.file)
    for name, digest in done.hashes.items():
        print(f"{name}: {digest}, as before")
    print(
        f"{arguments.file}: {done.before / 2**20:.1f} MiB before, {done.after / 2**20:.1f} MiB now"
    )
    return 0


def _doctor(arguments: argparse.Namespace) -> int:
    study = load_design(arguments.study) if arguments.study else None
    if arguments.repair:
        mended = mend(arguments.file, arguments.shards, study)
        for text in mended.done:
            print(f"mended: {text}")
        faults = list(mended.left)
    else:
        faults = examine(arguments.file, arguments.shards, study)
    for fault in faults:
        print(f"fault: {fault.what}\n  repair: {fault.repair}")
    if not faults:
        print(f"{arguments.file}: no faults")
    return 1 if faults else 0


def _names(reader: Reader) -> pl.DataFrame:
    """List tables, then views, with their comments."""
    return reader.frame(
        "SELECT table_name AS name, 'table' AS kind, comment AS content FROM duckdb_tables() "
        "UNION ALL SELECT view_name, 'view', comment FROM duckdb_views() WHERE NOT internal "
        "ORDER BY kind, name"
    )


def _first_sentence(comment: str) -> str:
    return comment.removeprefix("Grain: ").partition(". ")[0].partition(" (")[0]


def _known(reader: Reader, name: str) -> None:
    names = _names(reader)["name"].to_list()
    if name not in names:
        raise StoreError(f"{name}: no such table or view; there are {', '.join(names)}")


def _write(answer: pl.DataFrame, path: Path, *, csv: bool) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if csv:
            _flat(answer).write_csv(path)
        else:
            answer.write_parquet(path)
    except OSError as error:
        raise StoreError(f"{path}: cannot be written: {error.strerror or error}") from None


def _flat(answer: pl.DataFrame) -> pl.DataFrame:
    """Write lists as JSON text and bytes as hexadecimal digits, as CSV has neither."""
    lists = [
        pl.Series(
            name, [None if row is None else json.dumps(row.to_list()) for row in answer[name]]
        )
        for name, dtype in answer.schema.items()
        if isinstance(dtype, pl.List)
    ]
    return _without_bytes(answer.with_columns(lists))


def _without_bytes(answer: pl.DataFrame) -> pl.DataFrame:
    binary = [name for name, dtype in answer.schema.items() if dtype == pl.Binary]
    return answer.with_columns(pl.col(name).bin.encode("hex") for name in binary)


def _print_table(answer: pl.DataFrame, rows: int = -1) -> None:
    """Print a table; of more rows the first and last half."""
    with pl.Config(
        tbl_rows=rows,
        tbl_cols=-1,
        tbl_hide_dataframe_shape=True,
        tbl_hide_column_data_types=True,
        tbl_formatting="UTF8_BORDERS_ONLY",
        fmt_str_lengths=300,
    ):
        print(answer)


if __name__ == "__main__":
    sys.exit(main())
