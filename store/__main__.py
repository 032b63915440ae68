"""``python -m store``: look into a store with SQL, take tables out, join, check and mend stores."""

import argparse
import shutil
import sys
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path

import polars as pl

from store.adopt import adopt, check
from store.atomic import whole, write_text
from store.database import Limits, Reader, no_such, open_reader
from store.doctor import examine
from store.errors import STOPPING, StoreError, explained
from store.export import export_tables
from store.huggingface import export_huggingface
from store.ledger import blocks_named, ledger_text
from store.mend import mend
from store.merge import merge
from store.mlflow_runs import export_mlflow
from store.recipes import Recipe, recipe_named, recipes
from store.schema import quoted
from store.show import csv, strict_json, table
from store.study_file import load_design
from store.upkeep import compact, migrate

_ROWS_SHOWN = 40
_WIDTH = 120
"""Characters of a line where the output is no terminal."""


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
    _answer_forms(query)
    cookbook = _plain_command(
        commands,
        _cookbook,
        "cookbook",
        "list the questions of the cookbook; show or answer one",
        "results/digits/store.duckdb images-teachers-disagree-on",
    )
    cookbook.add_argument("file", nargs="?", help="the store to ask, or a recipe to show")
    cookbook.add_argument("name", nargs="?", help="the recipe to answer: its name or number")
    _answer_forms(cookbook)
    tables = _command(
        commands, _tables, "tables", "list tables, views and macros", "results/digits/store.duckdb"
    )
    _answer_forms(tables)
    describe = _command(
        commands,
        _describe,
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
    _doctor_command(commands)
    _adopt_command(commands)
    return parser


def _adopt_command(add_parser: Callable[..., argparse.ArgumentParser]) -> None:
    command = _plain_command(
        add_parser,
        _adopt,
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
        _export,
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
        _merge,
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
        help=f"give at most so many rows (default: {_ROWS_SHOWN} in a table, else all)",
    )


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of rows, 1 or more")
    return int(text)


def _query(arguments: argparse.Namespace) -> int:
    if not arguments.sql.strip():
        raise StoreError("the query is empty; for example: SELECT * FROM measures LIMIT 5")
    with open_reader(arguments.file, limits=Limits(seconds=arguments.seconds)) as reader:
        _give(reader.frame(arguments.sql), arguments)
    return 0


def _cookbook(arguments: argparse.Namespace) -> int:
    file, name = arguments.file, arguments.name
    if file is None or (name is None and Path(file).is_file()):
        _give(
            pl.DataFrame(
                {
                    "recipe": [f"{recipe.number:02d} {recipe.name}" for recipe in recipes()],
                    "question": [recipe.question for recipe in recipes()],
                }
            ),
            arguments,
        )
    elif name is None:
        print(_recipe_text(recipe_named(file)))
    else:
        recipe = recipe_named(name)
        with open_reader(Path(file)) as reader:
            answer = reader.frame(recipe.sql)
        if not (arguments.csv or arguments.json or arguments.parquet):
            print(textwrap.fill(f"{recipe.question} {recipe.returns}", _width()))
        _give(answer, arguments)
    return 0


def _recipe_text(recipe: Recipe) -> str:
    lines = [f"-- {recipe.question}", f"-- {recipe.returns}"]
    if recipe.change:
        lines.append(f"-- To vary: {recipe.change}")
    return "\n".join([*lines, recipe.sql])


def _tables(arguments: argparse.Namespace) -> int:
    with open_reader(arguments.file) as reader:
        known = _known(reader)
        counts = [
            reader.frame(f"SELECT count(*) AS rows FROM {quoted(name)}").item()
            if kind == "table"
            else None
            for name, kind in known.select("name", "kind").iter_rows()
        ]
    content = [_first_sentence(text) for text in known["content"]]
    if arguments.csv or arguments.json or arguments.parquet:
        rows = pl.Series(counts, dtype=pl.Int64)
    else:
        rows = pl.Series(["" if count is None else f"{count}" for count in counts])
    _give(known.with_columns(content=pl.Series(content), rows=rows), arguments, shown=known.height)
    return 0


def _describe(arguments: argparse.Namespace) -> int:
    with open_reader(arguments.file) as reader:
        name, _, column = arguments.name.partition(".")
        known = _known(reader)
        found = known.filter(pl.col("name") == name.lower())
        if not found.height:
            raise StoreError(no_such(arguments.name, known["name"].to_list()))
        kind, name, content = found.select("kind", "name", "content").row(0)
        described = _described(reader, kind, name)
    if column:
        names = described["column"].to_list()
        described = described.filter(pl.col("column") == column.lower())
        if not described.height:
            raise StoreError(f"{name} has no column {column}; it has {', '.join(names)}")
    elif not (arguments.csv or arguments.json or arguments.parquet):
        print(textwrap.fill(f"{kind} {name}. {content or ''}".rstrip(), _width()))
    _give(described, arguments, shown=described.height)
    return 0


def _described(reader: Reader, kind: str, name: str) -> pl.DataFrame:
    """List the columns of a table or view with their meaning; of a macro its definition."""
    if kind == "macro":
        return reader.frame(
            "SELECT function_name || '(' || array_to_string(parameters, ', ') || ')' AS column, "
            "function_type AS type, macro_definition AS meaning FROM duckdb_functions() "
            "WHERE NOT internal AND function_name = ?",
            [name],
        )
    return reader.frame(
        "SELECT column_name AS column, data_type AS type, comment AS meaning "
        "FROM duckdb_columns() WHERE table_name = ? ORDER BY column_index",
        [name],
    )


def _export(arguments: argparse.Namespace) -> int:
    layout, folder = arguments.layout, arguments.folder
    if arguments.csv and layout != "tables":
        raise StoreError(f"--csv is for tables; the layout {layout} has its own files")
    try:
        with open_reader(arguments.file) as reader:
            if layout == "huggingface":
                export_huggingface(reader, folder)
            elif layout == "mlflow":
                export_mlflow(reader, folder)
            else:
                export_tables(reader, folder, as_csv=arguments.csv)
    except OSError as error:
        raise StoreError(f"{folder}: cannot be written: {error.strerror or error}") from None
    return 0


def _merge(arguments: argparse.Namespace) -> int:
    merged = merge(arguments.stores, arguments.into, prefer=arguments.prefer)
    for conflict in merged.conflicts:
        print(f"conflict: {conflict}")
    if merged.ledger is None:
        raise StoreError(
            f"{len(merged.conflicts)} of the blocks differ between stores; nothing was written. "
            "Name the store that counts with --prefer STORE"
        )
    if arguments.ledger:
        design = merged.design
        text = ledger_text(design, merged.ledger, study_hash=design.study_hash())
        write_text(arguments.ledger, text)
    print(
        f"{arguments.into}: {merged.ledger.height} seed blocks of {merged.design.study}; "
        "its claims are to be tested anew"
    )
    if merged.missing:
        print(f"in no store, below the last: {blocks_named(merged.missing)}")
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


def _adopt(arguments: argparse.Namespace) -> int:
    design = load_design(arguments.study)
    results = arguments.results or Path("results") / design.study
    if arguments.check:
        done = check(arguments.folder, design)
    else:
        done = adopt(arguments.folder, design, results)
    print(
        f"{arguments.folder}: {design.seeds} seeds, {done.models} models, {done.answers} answers: "
        "as the study declares them"
    )
    if not arguments.check:
        print(
            f"wrote {len(done.manifests)} shards to {results / 'shards'}; go on with "
            f"snakemake --cores all --config study={arguments.study}"
            + (f" results={arguments.results}" if arguments.results else "")
        )
    return 0


def _known(reader: Reader) -> pl.DataFrame:
    """List tables, then views, then macros, with their comments."""
    return reader.frame(
        "SELECT table_name AS name, 'table' AS kind, comment AS content FROM duckdb_tables() "
        "UNION ALL SELECT view_name, 'view', comment FROM duckdb_views() WHERE NOT internal "
        "UNION ALL SELECT function_name, 'macro', comment FROM duckdb_functions() "
        "WHERE NOT internal "
        "ORDER BY list_position(['table', 'view', 'macro'], kind), name"
    )


def _first_sentence(comment: str | None) -> str:
    """Shorten a comment to its first sentence; a former version left macros without one."""
    return (comment or "").removeprefix("Grain: ").partition(". ")[0].partition(" (")[0]


def _give(answer: pl.DataFrame, arguments: argparse.Namespace, *, shown: int = _ROWS_SHOWN) -> None:
    """Print an answer in the form that was asked for, or write it.

    shown: rows of a table where no number was asked for.
    """
    limited = answer if arguments.limit is None else answer.head(arguments.limit)
    if arguments.parquet:
        _write(limited, arguments.parquet)
    elif arguments.csv:
        print(csv(limited), end="")
    elif arguments.json:
        print(strict_json(limited))
    else:
        limit = arguments.limit or shown
        print(table(answer, width=_width(), limit=limit))
        if answer.height > limit:
            print("all of them with --csv, --json or --parquet OUT; more with --limit ROWS")


def _write(answer: pl.DataFrame, path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole(path) as temporary:
            answer.write_parquet(temporary)
    except OSError as error:
        raise StoreError(f"{path}: cannot be written: {error.strerror or error}") from None


def _width() -> int:
    return shutil.get_terminal_size((_WIDTH, 24)).columns


if __name__ == "__main__":
    sys.exit(main())
