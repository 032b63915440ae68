"""Checks of a store's file: each gives the faults that it finds."""

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

from store.contents import rows_of_block
from store.database import Reader, open_empty
from store.design import Design, declaration_hash
from store.errors import StoreError
from store.faults import Fault, Kind
from store.frame import Frame
from store.frames import (
    ATTENTION,
    ESTIMATE,
    EVIDENCE,
    FINDING,
    IMAGE,
    MASKED_ATTENTION,
    PREDICTION,
    SHARD_FRAMES,
)
from store.keeping import BROUGHT, BlockMeasures
from store.kept import AGAIN
from store.ledger import (
    CONDITION,
    ENVIRONMENT,
    SHARD,
    STUDY,
    blocks_named,
    condition_rows,
    environment_hash,
    study_row,
)
from store.masks import with_masks
from store.schema import REFERENCES, TABLES, Reference, quoted, schema
from store.shard import content_hash, contents_hash, images_name, shard_name
from store.vocabulary import MODELS_PER_BLOCK_LIMIT

_REBUILD: Final = "delete {store} and ledger.json beside it, then run snakemake again"
_RENEW: Final = "run snakemake again, which makes them anew, or python -m store migrate {store}"

_ORPHANS: Final = (
    *REFERENCES,
    Reference("environment", "environment_id", "shard", "environment_id"),
    Reference("student_teacher", "teacher_id", "model", "model_id"),
    Reference("estimate", "student_id", "student_teacher", "student_id"),
)

_LAYOUT: Final = {
    "table": "SELECT table_name AS owner, column_name AS name, data_type, is_nullable, "
    "comment FROM duckdb_columns() WHERE NOT internal",
    "view": "SELECT view_name AS owner, sql, comment FROM duckdb_views() WHERE NOT internal",
    "macro": "SELECT function_name AS owner, macro_definition AS sql, parameters::VARCHAR AS p, "
    "comment FROM duckdb_functions() WHERE NOT internal AND macro_definition IS NOT NULL",
    "comment": "SELECT table_name AS owner, comment FROM duckdb_tables() WHERE NOT internal",
}
"""What makes up the schema; ``owner`` is the table, view or macro that a row is of."""


def is_as_declared(reader: Reader) -> bool:
    """Whether the declaration that a store holds has the hash that it was stored with."""
    row = reader.frame(f"SELECT declaration, study_hash FROM {quoted(STUDY.name)}").row(0)
    return declaration_hash(row[0]) == row[1]


def design_of(reader: Reader, store: Path) -> Design:
    """Return the study as the store declares it.

    Raises StoreError where that is no longer a valid one.
    """
    declared = reader.frame(f"SELECT declaration FROM {quoted(STUDY.name)}")["declaration"]
    try:
        return Design.model_validate_json(declared.item())
    except ValueError:
        raise StoreError(
            f"{store}: its study is no longer a valid one; {_REBUILD.format(store=store)}"
        ) from None


def check_schema(reader: Reader, store: Path) -> Iterator[Fault]:
    """Tables, views, macros and comments must be those that this software makes."""
    again = _RENEW.format(store=store)
    found, side = reader.frame(f"SELECT schema_hash, grid FROM {quoted(STUDY.name)}").row(0)
    if found != schema().digest:
        yield Fault(
            f"{store}: tables and views are of another version of this software",
            again,
            Kind.DERIVED,
        )
        return
    for part, expected in _expected_layout(side).items():
        present = _rows(reader, _LAYOUT[part])
        wrong = sorted({str(row[0]) for row in present ^ expected})
        if wrong:
            yield Fault(
                f"{part} {', '.join(wrong)}: not as this software makes it", again, Kind.DERIVED
            )


@cache
def _expected_layout(side: int) -> dict[str, set[tuple[Any, ...]]]:
    with open_empty(side) as reader:
        return {part: _rows(reader, sql) for part, sql in _LAYOUT.items()}


def _rows(reader: Reader, sql: str) -> set[tuple[Any, ...]]:
    rows = reader.frame(sql)
    if "sql" in rows.columns:
        rows = rows.with_columns(sql=pl.Series([_spelled(text) for text in rows["sql"]]))
    return set(rows.rows())


def _spelled(sql: str) -> str:
    """Return a view's SQL without what DuckDB writes one way or the other.

    Brackets, quotes, the order of EXCLUDE and MATERIALIZED, which files for DuckDB 1.4 drop.
    """
    ordered = re.sub(
        r"EXCLUDE \(([^)]*)\)", lambda found: " ".join(sorted(found[1].split(", "))), sql
    )
    words = re.findall(r"'[^']*'|\w+|[^\s\w(),;\"']", ordered)
    return " ".join(word for word in words if word != "MATERIALIZED")


def check_study(reader: Reader, store: Path, design: Design) -> Iterator[Fault]:
    """Compare what the store says of its study with the declaration that it holds."""
    row = reader.frame(f"SELECT * FROM {quoted(STUDY.name)}").row(0, named=True)
    images = reader.frame(f"SELECT * FROM {quoted(IMAGE.name)}")
    expected = study_row(
        design,
        classes=getattr(design.dataset, "classes", images["label"].n_unique()),
        images=images_name(images),
        schema_hash=row["schema_hash"],
    ).row(0, named=True)
    # the declaration as text: software that knows more keys would read it with more of them
    expected["declaration"] = row["declaration"]
    expected["study_hash"] = declaration_hash(row["declaration"])
    for name, value in expected.items():
        if row[name] != value:
            yield Fault(
                f"study.{name} is {row[name]!r}; the declared study and its images give {value!r}",
                _REBUILD.format(store=store),
                Kind.ROWS,
            )
    conditions = reader.frame(f"SELECT * FROM {quoted(CONDITION.name)} ORDER BY condition_id")
    if not conditions.equals(condition_rows(design)):
        yield Fault(
            "condition: not the cells of the declared design",
            _REBUILD.format(store=store),
            Kind.ROWS,
        )


def check_grain(reader: Reader, store: Path) -> Iterator[Fault]:
    """No key may stand twice in any table."""
    for frame in TABLES:
        key = ", ".join(quoted(name) for name in frame.key)
        repeated = reader.frame(
            f"SELECT {key} FROM {quoted(frame.name)} GROUP BY {key} HAVING count(*) > 1 "
            f"ORDER BY {key}"
        )
        if repeated.height:
            yield Fault(
                f"{frame.name}: {repeated.height} keys ({', '.join(frame.key)}) stand more than "
                f"once, the first {repeated.row(0)}",
                _REBUILD.format(store=store),
                Kind.ROWS,
            )


def check_orphans(reader: Reader, store: Path) -> Iterator[Fault]:
    """Every row must belong to one that is there."""
    for tie in _ORPHANS:
        column = quoted(tie.column)
        lost = reader.frame(
            f"SELECT DISTINCT child.{column} AS lost FROM {quoted(tie.table)} AS child "
            f"ANTI JOIN {quoted(tie.home)} AS home ON child.{column} = home.{quoted(tie.key)} "
            f"WHERE child.{column} IS NOT NULL ORDER BY lost"
        )["lost"]
        if len(lost):
            yield Fault(
                f"{tie.table}.{tie.column}: {len(lost)} values are not in {tie.home}.{tie.key}, "
                f"the first {lost[0]}",
                _REBUILD.format(store=store),
                Kind.ROWS,
            )
    yield from _untested_findings(reader, store)


def _untested_findings(reader: Reader, store: Path) -> Iterator[Fault]:
    claim = [name for name in FINDING.key if name in EVIDENCE.key]
    same = " AND ".join(f"finding.{quoted(name)} = evidence.{quoted(name)}" for name in claim)
    lost = reader.frame(
        f"SELECT finding.hypothesis, finding.outcome FROM finding ANTI JOIN evidence ON {same} "
        "WHERE finding.p_value IS NOT NULL ORDER BY ALL"
    )
    if lost.height:
        yield Fault(
            f"finding: {lost.height} have a p-value and no evidence, the first {lost.row(0)}",
            _REBUILD.format(store=store),
            Kind.ROWS,
        )


def check_completeness(reader: Reader, store: Path, design: Design) -> Iterator[Fault]:
    """Find blocks that are missing, and models that answered too much or too little."""
    again = _REBUILD.format(store=store)
    held = set(reader.frame(f"SELECT block FROM {quoted(SHARD.name)}")["block"])
    declared = set(range(design.seeds))
    for what, blocks, kind in (
        ("are declared and not in the ledger", sorted(declared - held), Kind.MISSING),
        ("are in the ledger and not declared", sorted(held - declared), Kind.ROWS),
    ):
        if blocks:
            yield Fault(
                f"shard: {len(blocks)} blocks {what}: {blocks_named(blocks)}",
                "run snakemake again",
                kind,
            )
    yield from _pools(reader, design, again)
    answered = reader.frame(
        "SELECT model.model_id, model.status, "
        "(SELECT count(*) FROM image WHERE split = 'test') AS expected, "
        "count(image.image_id) AS found FROM model "
        "LEFT JOIN prediction ON model.model_id = prediction.model_id "
        "AND prediction.view = 'clean' "
        "LEFT JOIN image ON prediction.image_id = image.image_id AND image.split = 'test' "
        "GROUP BY ALL ORDER BY model.model_id"
    )
    for model, status, expected, found in answered.iter_rows():
        should = expected if status == "complete" else 0
        if found != should:
            yield Fault(
                f"model {model} is {status} and has {found} clean test predictions; expected "
                f"{should}",
                again,
                Kind.ROWS,
                block=model // MODELS_PER_BLOCK_LIMIT,
            )


def _pools(reader: Reader, design: Design, again: str) -> Iterator[Fault]:
    """Every block must say the pool of teachers that the study gives it; a pool, one set of them.

    That blocks of one pool hold equal teachers is no fault; that they do not is one.
    """
    rows = reader.frame(f"SELECT block, pool FROM {quoted(SHARD.name)} ORDER BY block")
    for block, pool in rows.iter_rows():
        if pool != design.pool_of(block):
            yield Fault(
                f"shard: block {block} says pool {pool}; the study gives it "
                f"{design.pool_of(block)}",
                again,
                Kind.ROWS,
                block=block,
            )
    apart = reader.frame(
        "SELECT shard.pool, model.ordinal FROM model INNER JOIN shard ON model.block = shard.block "
        "WHERE model.role = 'teacher' AND shard.pool IS NOT NULL GROUP BY ALL "
        "HAVING count(DISTINCT coalesce(model.weights_hash, 'failed')) > 1 ORDER BY ALL"
    )
    for pool, ordinal in apart.iter_rows():
        yield Fault(
            f"model: teacher {ordinal} of pool {pool} is not the same network in all of its blocks",
            "train the pool's blocks on machines of one kind: move their shards away and run "
            "snakemake again",
            Kind.ROWS,
        )


def check_provenance(reader: Reader, store: Path) -> Iterator[Fault]:
    """Every block must say with which code, on what and when it was trained."""
    again = _REBUILD.format(store=store)
    for row in reader.frame(f"SELECT * FROM {quoted(ENVIRONMENT.name)}").to_dicts():
        known = row.pop("environment_id")
        empty = [
            column.name
            for column in ENVIRONMENT.columns
            if column.null is None
            and column.name in row
            and (row[column.name] is None or not str(row[column.name]).strip())
        ]
        if empty:
            yield Fault(f"environment {known}: {', '.join(empty)} is empty", again, Kind.ROWS)
        if known != environment_hash(row):
            yield Fault(f"environment {known}: not the hash of its other columns", again, Kind.ROWS)
    for row in reader.frame(f"SELECT * FROM {quoted(SHARD.name)} ORDER BY block").to_dicts():
        wrong = [name for name in ("started_at", "finished_at") if not _is_moment(row[name])]
        wrong += [name for name in ("host",) if not row[name].strip()]
        if wrong:
            yield Fault(
                f"shard: block {row['block']} does not say its {', '.join(wrong)}",
                again,
                Kind.ROWS,
                block=row["block"],
            )


def _is_moment(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False


def check_ledger(reader: Reader, store: Path) -> Iterator[Fault]:
    """Every row of the ledger must agree with itself."""
    for row in reader.frame(f"SELECT * FROM {quoted(SHARD.name)} ORDER BY block").to_dicts():
        tables = {frame.name: row[f"{frame.name}_content"] for frame in SHARD_FRAMES}
        wrong = []
        if row["content"] != contents_hash(tables):
            wrong.append("content is not the hash of its tables' hashes")
        if row["shard"] != shard_name(row["block"], row["key"]):
            wrong.append("shard is not named after block and key")
        if not re.fullmatch(r"[0-9a-f]{16}", row["key"]):
            wrong.append("key is no hash")
        for what in wrong:
            yield Fault(
                f"shard: the ledger's row of block {row['block']} contradicts itself: {what}",
                _REBUILD.format(store=store),
                Kind.ROWS,
                block=row["block"],
            )


def check_contents(reader: Reader, store: Path, tau: float) -> Iterator[Fault]:
    """Every block's rows must have the ledger's hashes; masks and kept tables follow from them."""
    study = reader.frame(f"SELECT * FROM {quoted(STUDY.name)}")
    images = reader.frame(f"SELECT * FROM {quoted(IMAGE.name)} ORDER BY image_id")
    with BlockMeasures(study=study, images=images) as measures:
        for row in reader.frame(f"SELECT * FROM {quoted(SHARD.name)} ORDER BY block").to_dicts():
            yield from _check_block(reader, store, tau, row, measures)


def _check_block(
    reader: Reader, store: Path, tau: float, row: Mapping[str, Any], measures: BlockMeasures
) -> Iterator[Fault]:
    block, sound = row["block"], True
    for frame in SHARD_FRAMES:
        rows = rows_of_block(reader, stored(frame), block)
        found = content_hash(frame, rows)
        expected = expected_content(frame, row)
        if found != expected or rows.height != row[f"{frame.name}_rows"]:
            sound = False
            yield Fault(
                f"{frame.name}: the {rows.height} rows of block {block} have hash "
                f"{found[:16]}...; the ledger says {row[f'{frame.name}_rows']} rows with "
                f"{expected[:16]}...",
                _REBUILD.format(store=store),
                Kind.ROWS,
                block=block,
            )
        if frame is ATTENTION:
            yield from _masks(rows, block, tau, store)
    if sound:
        yield from _kept(reader, store, block, measures)


def expected_content(frame: Frame, row: Mapping[str, Any]) -> str:
    """Return the hash that a block's rows of a table have, by its row of SHARD.

    Of predictions stored at half precision, that of what these read as.
    """
    halves = row["halves_content"] if frame is PREDICTION else None
    return halves or row[f"{frame.name}_content"]


def _kept(reader: Reader, store: Path, block: int, measures: BlockMeasures) -> Iterator[Fault]:
    """Make a block's kept tables again; the same rows in one thread give the same bits."""
    rows = {frame: rows_of_block(reader, frame, block) for frame in BROUGHT}
    for frame, expected in measures.of(rows).items():
        if not rows_of_block(reader, frame, block).equals(expected):
            yield Fault(
                f"{frame.name}: the rows of block {block} are not what the view "
                f"{frame.name}{AGAIN} makes",
                _RENEW.format(store=store),
                Kind.DERIVED,
            )


def stored(frame: Frame) -> Frame:
    """Return a shard's frame as it stands in the store."""
    return MASKED_ATTENTION if frame is ATTENTION else frame


def _masks(rows: pl.DataFrame, block: int, tau: float, store: Path) -> Iterator[Fault]:
    expected = with_masks(rows, tau)
    names = [name for name in MASKED_ATTENTION.schema.names() if name not in ATTENTION.schema]
    wrong = np.zeros(rows.height, dtype=np.bool_)
    for name in names:
        wrong |= rows[name].ne_missing(expected[name]).to_numpy()
    if wrong.any():
        first = rows.filter(pl.Series(wrong)).select(ATTENTION.key).row(0)
        yield Fault(
            f"attention: {int(wrong.sum())} masks of block {block} are not what map > 255 * "
            f"{tau:g} gives, the first {first}",
            _REBUILD.format(store=store),
            Kind.DERIVED,
            block=block,
        )


def check_estimates(reader: Reader, store: Path) -> Iterator[Fault]:
    """Ask of every estimate a value, or a reason why not, and a measure that is known."""
    wrong = reader.frame(
        f"SELECT student_id, half, measure FROM {quoted(ESTIMATE.name)} "
        "WHERE (value IS NULL) = (reason IS NULL) OR half NOT IN ('all', 'a', 'b') "
        "OR measure NOT IN (SELECT column_name FROM duckdb_columns() "
        "WHERE table_name = 'measures') ORDER BY ALL"
    )
    if wrong.height:
        yield Fault(
            f"estimate: {wrong.height} rows have neither a value nor a reason, or both, or are "
            f"of no known measure or half, the first {wrong.row(0)}",
            _REBUILD.format(store=store),
            Kind.ROWS,
        )
