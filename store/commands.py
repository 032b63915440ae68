"""The commands of ``python -m store``: each takes its words, prints, returns the exit status."""

import argparse
import shutil
import textwrap
from pathlib import Path
from typing import Final

import polars as pl

from store.adopt import adopt, check
from store.atomic import whole, write_text
from store.database import Limits, Reader, no_such, open_reader
from store.doctor import examine
from store.errors import StoreError
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

ROWS_SHOWN: Final = 40
"""Rows of an answer that are printed as a table, where no limit is given."""
_WIDTH: Final = 120
"""Characters of a line where the output is no terminal."""


def run_query(arguments: argparse.Namespace) -> int:
    """Answer one SQL query."""
    if not arguments.sql.strip():
        raise StoreError("the query is empty; for example: SELECT * FROM measures LIMIT 5")
    with open_reader(arguments.file, limits=Limits(seconds=arguments.seconds)) as reader:
        _give(reader.frame(arguments.sql), arguments)
    return 0


def run_cookbook(arguments: argparse.Namespace) -> int:
    """List the recipes, show one, or ask a store one."""
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


def run_tables(arguments: argparse.Namespace) -> int:
    """List tables, views and macros with what they hold."""
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


def run_describe(arguments: argparse.Namespace) -> int:
    """Say what a table, view, macro or column means."""
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


def run_export(arguments: argparse.Namespace) -> int:
    """Write the store in another layout."""
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


def run_merge(arguments: argparse.Namespace) -> int:
    """Put stores of one study into a new one; name conflicts."""
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


def run_migrate(arguments: argparse.Namespace) -> int:
    """Bring a store to the present schema; the old file is kept."""
    done = migrate(arguments.file)
    if not done.steps:
        print(f"{arguments.file}: schema version {done.after}, nothing to migrate")
        return 0
    for step in done.steps:
        print(f"{arguments.file}: {step}")
    if done.kept is None:
        return 0
    print(f"{arguments.file}: schema version {done.after}; as it was, in {done.kept}")
    return 0


def run_compact(arguments: argparse.Namespace) -> int:
    """Write a store anew without free blocks."""
    done = compact(arguments.file)
    for name, digest in done.hashes.items():
        print(f"{name}: {digest}, as before")
    print(
        f"{arguments.file}: {done.before / 2**20:.1f} MiB before, {done.after / 2**20:.1f} MiB now"
    )
    return 0


def run_doctor(arguments: argparse.Namespace) -> int:
    """Name every fault and its repair, or mend what is safe; 1 where faults are left."""
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


def run_adopt(arguments: argparse.Namespace) -> int:
    """Check runs of other software, and make shards of them."""
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


def _give(answer: pl.DataFrame, arguments: argparse.Namespace, *, shown: int = ROWS_SHOWN) -> None:
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
