"""Check a store against itself and against its shards; say how each fault is mended."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl

from store.contents import rows_of_block
from store.database import Reader, open_reader
from store.design import Design
from store.errors import StaleShardError, StoreError
from store.frames import ATTENTION, MASKED_ATTENTION, SHARD_FRAMES, STORE_FRAMES
from store.intake import checked_manifest, read_images, repair, verified_table
from store.ledger import CONDITION, ENVIRONMENT, SHARD, STUDY
from store.masks import with_masks
from store.schema import quoted, schema
from store.shard import content_hash

_REBUILD: Final = "delete {store} and ledger.json beside it, then run snakemake again"

_ORPHANS: Final = (
    ("model", "block", "shard", "block"),
    ("shard", "environment_id", "environment", "environment_id"),
    ("model_pair", "model_a", "model", "model_id"),
    ("model_pair", "model_b", "model", "model_id"),
    ("prediction", "model_id", "model", "model_id"),
    ("prediction", "image_id", "image", "image_id"),
    ("attention", "model_id", "model", "model_id"),
    ("attention", "image_id", "image", "image_id"),
    ("epoch", "model_id", "model", "model_id"),
    ("student_teacher", "teacher_id", "model", "model_id"),
    ("estimate", "student_id", "model", "model_id"),
)
"""Table, column, and the table and column that each of its values must be found in."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong, and what to do."""

    what: str
    repair: str


def examine(store: Path, shards: Path | None) -> list[Fault]:
    """Check a store, and the shards that it was made of where their folder is given.

    Raises StoreError where the store cannot be opened at all.
    """
    with open_reader(store) as reader:
        design = _design(reader, store)
        checks: list[Callable[[], Iterator[Fault]]] = [
            lambda: _schema(reader, store),
            lambda: _grain(reader, store),
            lambda: _orphans(reader, store),
            lambda: _completeness(reader, store),
            lambda: _contents(reader, store, design),
        ]
        if shards is not None:
            checks.append(lambda: _shards(reader, design, shards))
        return [fault for check in checks for fault in _survived(check, store)]


def _survived(check: Callable[[], Iterator[Fault]], store: Path) -> Iterator[Fault]:
    """Run one check; a file damaged within shows as a refusal to read."""
    try:
        yield from check()
    except StoreError as error:
        yield Fault(f"a check could not be made: {error}", _REBUILD.format(store=store))


def _design(reader: Reader, store: Path) -> Design:
    """Return the study as the store declares it."""
    text = reader.frame(f"SELECT declaration FROM {quoted(STUDY.name)}").item()
    try:
        return Design.model_validate_json(text)
    except ValueError:
        raise StoreError(
            f"{store}: its study is no longer a valid one; {_REBUILD.format(store=store)}"
        ) from None


def _schema(reader: Reader, store: Path) -> Iterator[Fault]:
    found = reader.frame(f"SELECT schema_hash FROM {quoted(STUDY.name)}").item()
    if found != schema().digest:
        yield Fault(
            f"{store}: tables and views are of another version of this software",
            "run snakemake again, which makes them anew from the shards",
        )


def _grain(reader: Reader, store: Path) -> Iterator[Fault]:
    for frame in (STUDY, ENVIRONMENT, CONDITION, SHARD, *STORE_FRAMES):
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
            )


def _orphans(reader: Reader, store: Path) -> Iterator[Fault]:
    for table, column, home, key in _ORPHANS:
        lost = reader.frame(
            f"SELECT DISTINCT child.{quoted(column)} AS lost FROM {quoted(table)} AS child "
            f"ANTI JOIN {quoted(home)} AS home ON child.{quoted(column)} = home.{quoted(key)} "
            "ORDER BY lost"
        )["lost"]
        if len(lost):
            yield Fault(
                f"{table}.{column}: {len(lost)} values are not in {home}.{key}, the first "
                f"{lost[0]}",
                _REBUILD.format(store=store),
            )


def _completeness(reader: Reader, store: Path) -> Iterator[Fault]:
    """Check that complete models answered every test image, and failed ones none."""
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
                _REBUILD.format(store=store),
            )


def _contents(reader: Reader, store: Path, design: Design) -> Iterator[Fault]:
    """Check every block's rows against the ledger's hashes, and masks against maps."""
    for row in reader.frame(f"SELECT * FROM {quoted(SHARD.name)} ORDER BY block").to_dicts():
        block = row["block"]
        for frame in SHARD_FRAMES:
            rows = rows_of_block(reader, MASKED_ATTENTION if frame is ATTENTION else frame, block)
            found = content_hash(frame, rows)
            if found != row[f"{frame.name}_content"]:
                yield Fault(
                    f"{frame.name}: the {rows.height} rows of block {block} have hash "
                    f"{found[:16]}...; the ledger says {row[f'{frame.name}_rows']} rows with "
                    f"{row[f'{frame.name}_content'][:16]}...",
                    _REBUILD.format(store=store),
                )
            if frame is ATTENTION:
                yield from _masks(rows, block, design.attention.tau, store)


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
        )


def _shards(reader: Reader, design: Design, shards: Path) -> Iterator[Fault]:
    """Check the shards that the ledger names, and look for others."""
    ledger = reader.frame(f"SELECT block, shard, content FROM {quoted(SHARD.name)} ORDER BY block")
    for block, name, content in ledger.iter_rows():
        yield from _shard(shards / name, design, block, content)
    yield from _images(reader, shards)
    if shards.is_dir():
        known = set(ledger["shard"])
        for path in sorted(shards.iterdir()):
            if path.name.startswith("."):
                yield Fault(f"{path}: left by a killed job", f"delete {path}")
            elif path.is_dir() and path.name not in known:
                yield Fault(
                    f"{path}: not in the store",
                    "run snakemake again where it is a block of the study; else it may be deleted",
                )


def _shard(shard: Path, design: Design, block: int, content: str) -> Iterator[Fault]:
    again = repair(shard, design, block)
    if not shard.is_dir():
        yield Fault(f"{shard}: missing; the store holds block {block} from it", again)
        return
    try:
        manifest = checked_manifest(shard, design)
    except StaleShardError as error:
        yield Fault(str(error), again)
        return
    if manifest.content != content:
        yield Fault(
            f"{shard}: content {manifest.content[:16]}..., the store took in {content[:16]}...",
            "run snakemake again",
        )
    for frame in SHARD_FRAMES:
        try:
            table = verified_table(shard, frame, manifest, design)
        except StaleShardError as error:
            yield Fault(str(error), again)
            continue
        if content_hash(frame, table) != manifest.files[frame.name].content:
            yield Fault(f"{shard}/{frame.name}.parquet: not the content of its manifest", again)


def _images(reader: Reader, shards: Path) -> Iterator[Fault]:
    name = reader.frame(f"SELECT images FROM {quoted(STUDY.name)}").item()
    try:
        read_images(shards / name)
    except StoreError as error:
        yield Fault(str(error), f"see {shards / name}")
