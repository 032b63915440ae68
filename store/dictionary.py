"""Write docs/store.md and docs/cookbook.md: ``python -m store.dictionary``.

Both say what the store says of itself: its COMMENTs, and the files of ``store/cookbook``.
``--check`` writes nothing and fails when a file is not what would be written.
"""

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import polars as pl

from store.atomic import write_text
from store.database import open_empty
from store.errors import UserError
from store.ledger import SCHEMA_VERSION
from store.recipes import Recipe, recipes
from store.schema import REFERENCES, TABLES, VIEWS
from store.show import as_markdown

DEFAULT_FOLDER: Final = Path("docs")

_OPENING: Final = """\
# The store

<!-- Written by `python -m store.dictionary` from the store's own comments: change those. -->

`results/<study>/store.duckdb` holds a whole study: every logit and attention map, every measure
and every finding. It is one DuckDB file, for DuckDB 1.4 and later. `python -m store` looks into
it; only `migrate`, `compact` and `doctor --repair` change it:

```sh
python -m store tables results/digits/store.duckdb
python -m store describe results/digits/store.duckdb measures
python -m store query results/digits/store.duckdb "SELECT * FROM ensemble_gain" --csv
python -m store cookbook results/digits/store.duckdb images-teachers-disagree-on
python -m store export results/digits/store.duckdb exported --layout huggingface
python -m store merge here/store.duckdb there/store.duckdb --into both/store.duckdb
python -m store doctor results/digits/store.duckdb --shards results/digits/shards
python -m store migrate results/digits/store.duckdb
python -m store compact results/digits/store.duckdb
```

Start at [`measures`](#measures), one row per student, whose columns
[measures.md](measures.md) defines; [cookbook.md](cookbook.md) answers what people ask. This is
schema version {version}.

What holds everywhere:

- One row is what the *grain* says, and the columns in brackets after it tell rows apart.
- NULL means that there is no value, never 0; each comment says why there may be none.
- A seed block (`block`) is the replicate. `model_id` is block * 1000 + the model's ordinal in its
  block.
- Fractions are in [0, 1]; units stand in names (`_nats`, `_bits`, `_seconds`) or in brackets.
- Volatile columns (times, hosts) may differ between two runs of one seed; no other column may.

## How the tables hang together

```mermaid
erDiagram
{diagram}
```

The tables `evidence`, `finding` and `finding_history` are of the study as a whole:
(`hypothesis`, `arm`, `form`, `outcome`, `predictor`) leads from one to the other, and
(`hypothesis`, `arm`) to the claim's specifications in `specification`: every defensible way to
test it.

## Large stores

`store: {{logits: float16}}` in a study file has its store keep logits rounded to half precision,
which take half the room; the view `prediction` reads them either way, and `predicted` is of the
logits before they were rounded. Changing it makes the store anew and trains nothing.

Halves and attention maps lie several to a 64-bit word in the tables `stored_prediction` and
`stored_attention`, which makes taking them in cheaper; the views `prediction` and `attention` give
them as lists, to the bit. What reads masks alone may as well read the view: the maps are then
not taken apart.

`measured` and `contingency` are kept when a block comes in, so that `measures` need not read every
logit again; the views `measured_again` and `contingency_again` make the same rows from the images.

## Findings of earlier analyses

`finding` says what the last analysis found, and is emptied when seeds are added.
`finding_history` keeps what each analysis found, as a study that grows until it is decided should
be read with every look at it. An analysis that finds the same of the same shards is no second
look. The history lies beside the store too (`store.finding_history.parquet`), so that it outlives a
store that is deleted and built anew; delete both to forget it.

## Stores of several machines

Two machines can train different packs of one study (`snakemake results/digits/packs/00002.json`
trains one), and each build a store of what it has (`python -m store.job ... --partial`).
`python -m store merge` joins such stores. They have to declare the same study but for `seeds`,
`pack_size` and where the images lie; else a line says what differs. A block that several stores
hold alike is taken once. Where they differ, each conflict is named, with the tables and the
environments that differ, and nothing is written until `--prefer STORE` says which counts. The
result is what one build of all shards would have given; it declares the seeds up to its last
block, and its claims are to be tested anew (`--ledger` writes the file that
`python -m analyze.job` takes).

## Other software

`python -m store export STORE FOLDER` writes a Parquet file per table and view (`--csv`: CSV).
`--layout huggingface` writes predictions as a data set that
`datasets.load_dataset("FOLDER")` reads as it stands, with images, models and measures as further
configurations. `--layout mlflow` writes each model as a run of MLflow's file store:
`mlflow ui --backend-store-uri FOLDER`. MLflow reads it without more up to version {last_free};
later ones want `MLFLOW_ALLOW_FILE_STORE=true`, or the folder to be converted by
`mlflow migrate-filestore`.

No energy is measured. `training_time` holds seconds of training per condition, and
`energy_kwh(seconds, watts)` makes an estimate of a mean power that you have to know.
"""

_COOKBOOK: Final = """\
# Cookbook

<!-- Written by `python -m store.dictionary` from store/cookbook: change its files. -->

Questions that people ask of a [store](store.md), each with its query. `python -m store cookbook`
lists them; with a store and a name or number it answers one, as a table, `--csv`, `--json` or
`--parquet OUT`:

```sh
python -m store cookbook results/digits/store.duckdb images-teachers-disagree-on
```

Each is a file of `store/cookbook`, to be run by any DuckDB from 1.4 on, and each is tested
against plain loops over the shards. They are descriptions: what may be claimed, with what
certainty, is in `finding` and in the report.
"""
LAST_FREE_MLFLOW: Final = "3.12"
"""The last version of MLflow that opens a file store unasked, found by trying."""

_TYPES: Final = {"TIMESTAMP WITH TIME ZONE": "TIMESTAMPTZ"}


class OutdatedError(UserError):
    """A written page is not the one that the store's comments give."""


def pages() -> dict[str, str]:
    """Return both pages as Markdown, by file name."""
    return {"store.md": store_page(), "cookbook.md": cookbook_page()}


def store_page() -> str:
    """Describe all tables, views and macros, with a diagram of the tables."""
    with open_empty() as reader:
        comments = reader.frame(
            "SELECT table_name AS name, comment FROM duckdb_tables() WHERE NOT internal "
            "UNION ALL SELECT view_name, comment FROM duckdb_views() WHERE NOT internal"
        )
        columns = reader.frame(
            "SELECT table_name AS name, column_name AS column, data_type AS type, "
            "comment AS meaning FROM duckdb_columns() WHERE NOT internal "
            "ORDER BY table_name, column_index"
        )
        macros = reader.frame(
            "SELECT function_name || '(' || array_to_string(parameters, ', ') || ')', "
            "function_type, comment FROM duckdb_functions() WHERE NOT internal "
            "ORDER BY function_name"
        )
    said = dict(comments.iter_rows())
    tables = [frame.name for frame in TABLES]
    opening = _OPENING.format(
        version=SCHEMA_VERSION, diagram="\n".join(_diagram(columns)), last_free=LAST_FREE_MLFLOW
    )
    parts = [
        opening,
        *_section("Tables", tables, said, columns),
        *_section("Views", VIEWS, said, columns),
        *_macros(macros),
    ]
    return "\n".join(parts) + "\n"


def cookbook_page() -> str:
    """Return every recipe: question, what it gives, what may be varied, query."""
    contents = [f"{r.number}. [{r.question}](#{r.number:02d}-{r.name})" for r in recipes()]
    entries = [text for recipe in recipes() for text in _entry(recipe)]
    return "\n".join([_COOKBOOK, *contents, "", *entries])


def write_pages(folder: Path, *, check: bool) -> None:
    """Write both pages, or check that they stand there as they would be written.

    Raises OutdatedError when one is checked and differs.
    """
    for name, expected in pages().items():
        file = folder / name
        if not check:
            write_text(file, expected)
            continue
        found = file.read_text(encoding="utf-8") if file.exists() else None
        if found != expected:
            raise OutdatedError(
                f"{file} is {'missing' if found is None else 'not what the store says'}; run "
                "python -m store.dictionary and commit it"
            )


def _diagram(columns: pl.DataFrame) -> Iterator[str]:
    """Draw tables with the columns that tie them, in Mermaid's words."""
    frames = {frame.name: frame for frame in TABLES}
    for reference in REFERENCES:
        child = {column.name: column for column in frames[reference.table].columns}
        least = "||" if child[reference.column].null is None else "|o"
        yield f'    {reference.home} {least}--o{{ {reference.table} : "{reference.column}"'
    for frame in TABLES:
        marks = {name: ["PK"] for name in frame.key}
        for reference in REFERENCES:
            if reference.table == frame.name:
                marks.setdefault(reference.column, []).append("FK")
        types = dict(columns.filter(name=frame.name).select("column", "type").iter_rows())
        yield f"    {frame.name} {{"
        for column in frame.schema:
            if column in marks:
                yield f"        {_short(types[column])} {column} {', '.join(marks[column])}"
        yield "    }"


def _short(kind: str) -> str:
    return _TYPES.get(kind, kind)


def _section(
    title: str, names: Sequence[str], said: Mapping[str, str], columns: pl.DataFrame
) -> Iterator[str]:
    yield f"## {title}\n"
    for name in names:
        yield f"### {name}\n\n{as_markdown(said[name])}\n"
        yield "| column | type | meaning |\n| --- | --- | --- |"
        for column, kind, meaning in columns.filter(name=name).drop("name").iter_rows():
            yield f"| `{column}` | {_short(kind)} | {as_markdown(meaning)} |"
        yield ""


def _macros(macros: pl.DataFrame) -> Iterator[str]:
    yield "## Macros\n\nFunctions that the views and your own queries may use.\n"
    yield "| macro | gives | meaning |\n| --- | --- | --- |"
    for call, kind, meaning in macros.iter_rows():
        gives = "a table" if kind == "table_macro" else "a value"
        yield f"| `{call}` | {gives} | {as_markdown(meaning)} |"


def _entry(recipe: Recipe) -> Iterator[str]:
    yield f"## {recipe.number:02d} {recipe.name}\n\n**{as_markdown(recipe.question)}**\n"
    yield f"{as_markdown(recipe.returns)}\n"
    if recipe.change:
        yield f"To vary: {as_markdown(recipe.change)}\n"
    yield f"```sql\n{recipe.sql}\n```\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m store.dictionary",
        description="Write the pages on the store and its cookbook as Markdown.",
        epilog="example: python -m store.dictionary --check",
    )
    parser.add_argument("--check", action="store_true", help="fail if a file differs")
    parser.add_argument(
        "--folder", type=Path, default=DEFAULT_FOLDER, help=f"default: {DEFAULT_FOLDER}"
    )
    chosen = parser.parse_args(arguments)
    try:
        write_pages(chosen.folder, check=chosen.check)
    except UserError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
