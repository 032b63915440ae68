"""``python -m store``: look into a store with SQL, take tables out, join, check and mend stores."""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from store.importing import importing

with importing():
    from store.commands import (
        ROWS_SHOWN,
        run_adopt,
        run_compact,
        run_cookbook,
        run_describe,
        run_doctor,
        run_export,
        run_merge,
        run_migrate,
        run_query,
        run_tables,
    )
    from store.errors import STOPPING, explained


def main(words: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    arguments = _parser().parse_args(words)
    try:
        return arguments.run(arguments)
    except BrokenPipeError:
        # the reader of our output, such as head, has enough; nothing is left to flush to it
        sys.stdout = None
        return 0
    except KeyboardInterrupt:
        # who pressed Ctrl-C knows; 128 and the signal's number, as a shell has it
        return 130
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
        run_query,
        "query",
        "answer one SQL query; it can change nothing and read nothing else",
        'results/digits/store.duckdb "SELECT arm, teacher_strength, avg(generalization_gap) '
        'FROM measures GROUP BY ALL ORDER BY ALL"',
    )
    query.add_argument("sql", help="the query, in DuckDB's SQL")
    query.add_argument(
        "--seconds", type=float, default=600, help="stop after so long (default: %(default)s)"
    )
    _answer_forms(query)
    cookbook = _plain_command(
        commands,
        run_cookbook,
        "cookbook",
        "list the questions of the cookbook; show or answer one",
        "results/digits/store.duckdb images-teachers-disagree-on",
    )
    cookbook.add_argument("file", nargs="?", help="the store to ask, or a recipe to show")
    cookbook.add_argument("name", nargs="?", help="the recipe to answer: its name or number")
    _answer_forms(cookbook)
    tables = _command(
        commands,
        run_tables,
        "tables",
        "list tables, views and macros",
        "results/digits/store.duckdb",
    )
    _answer_forms(tables)
    describe = _command(
        commands,
        run_describe,
        "describe",
        "say what a table, view or macro is, and what its columns mean, in which unit",
        "results/digits/store.duckdb measures",
    )
    describe.add_argument("name", help="a table, view or macro, or a column: measures.ece")
    _answer_forms(describe)
    _export_command(commands)
    _merge_command(commands)
    _command(
        commands,
        run_migrate,
        "migrate",
        "bring a store that older software wrote to the present schema; no shards are needed",
        "results/digits/store.duckdb",
    )
    _command(
        commands,
        run_compact,
        "compact",
        "write a store anew without free blocks; what it holds stays the same",
        "results/digits/store.duckdb",
    )
    _doctor_command(commands)
    _adopt_command(commands)
    return parser


def _adopt_command(add_parser: Callable[..., argparse.ArgumentParser]) -> None:
    command = _plain_command(
        add_parser,
        run_adopt,
        "adopt",
        "check runs that other software trained, and make shards of them (docs/foreign.md)",
        "runs --study config/digits-mlp.yaml",
    )
    command.add_argument("folder", type=Path, help="the Parquet files of the contract")
    command.add_argument("--study", type=Path, required=True, help="the study file")
    command.add_argument("--results", type=Path, help="where shards go (default: results/<study>)")
    command.add_argument("--check", action="store_true", help="check alone; write nothing")


def _export_command(add_parser: Callable[..., argparse.ArgumentParser]) -> None:
    export = _command(
        add_parser,
        run_export,
        "export",
        "write a store's content in a form that other software reads",
        "results/digits/store.duckdb exported --csv",
    )
    export.add_argument("folder", type=Path, help="where the files go")
    export.add_argument("--csv", action="store_true", help="tables: CSV in place of Parquet")
    export.add_argument(
        "--layout",
        choices=["tables", "huggingface", "mlflow"],
        default="tables",
        help="tables: a file per table and view; huggingface: predictions as a data set that "
        "`datasets` loads; mlflow: a run per model in MLflow's file store (default: tables)",
    )


def _merge_command(add_parser: Callable[..., argparse.ArgumentParser]) -> None:
    merge = _plain_command(
        add_parser,
        run_merge,
        "merge",
        "join stores of one study, each with seeds of its own, into a new one",
        "here/store.duckdb there/store.duckdb --into both/store.duckdb",
    )
    merge.add_argument("stores", type=Path, nargs="+", metavar="STORE", help="two or more stores")
    merge.add_argument("--into", type=Path, required=True, metavar="FILE", help="the new store")
    merge.add_argument(
        "--prefer",
        type=Path,
        metavar="STORE",
        help="the store that counts where the stores differ in a seed block",
    )
    merge.add_argument(
        "--ledger", type=Path, metavar="FILE", help="write the ledger file that the analysis takes"
    )


def _doctor_command(add_parser: Callable[..., argparse.ArgumentParser]) -> None:
    doctor = _command(
        add_parser,
        run_doctor,
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


def _command(
    add_parser: Callable[..., argparse.ArgumentParser],
    run: Callable[[argparse.Namespace], int],
    name: str,
    purpose: str,
    example: str,
) -> argparse.ArgumentParser:
    command = _plain_command(add_parser, run, name, purpose, example)
    command.add_argument("file", type=Path, help="the store: results/<study>/store.duckdb")
    return command


def _plain_command(
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
    command.set_defaults(run=run)
    return command


def _answer_forms(command: argparse.ArgumentParser) -> None:
    """Let an answer be printed in any form, or written."""
    form = command.add_mutually_exclusive_group()
    form.add_argument("--csv", action="store_true", help="print comma-separated values")
    form.add_argument("--json", action="store_true", help="print a JSON list of rows")
    form.add_argument("--parquet", type=Path, metavar="OUT", help="write a Parquet file")
    command.add_argument(
        "--limit",
        type=_count,
        metavar="ROWS",
        help=f"give at most so many rows (default: {ROWS_SHOWN} in a table, else all)",
    )


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of rows, 1 or more")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
