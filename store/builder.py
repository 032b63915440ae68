"""Make and change stores: one writer, on a file beside the store that is renamed when whole."""

from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import duckdb
import polars as pl

from store.beginning import bring_up_to_date, prepare, state_of, write_empty
from store.connection import (
    Writer,
    insert,
    is_empty,
    replace_rows,
    transaction,
    whole_table,
    writer,
)
from store.database import open_database, open_reader
from store.design import Design
from store.errors import StoreError, UserError
from store.files import copy_database, lock, publish, remove_database
from store.frames import (
    ATTENTION,
    ESTIMATE,
    EVIDENCE,
    FINDING,
    FINDING_HISTORY,
    IMAGE,
    PREDICTION,
    SHARD_FRAMES,
    SPECIFICATION,
    STORED_ATTENTION,
    STORED_PREDICTION,
)
from store.halves import stored_as
from store.history import history_rows, read_history, united, write_history
from store.intake import (
    checked_manifest,
    count_classes,
    images_of,
    read_images,
    verified_table,
)
from store.keeping import BlockMeasures, Rows
from store.ledger import (
    CONDITION,
    ENVIRONMENT,
    SHARD,
    STUDY,
    StoredBlock,
    condition_rows,
    contents,
    environment_row,
    ledger_row,
    study_row,
)
from store.masks import in_words, with_masks
from store.schema import TABLES, literal, quoted, schema
from store.shard import Manifest, content_hash
from store.vocabulary import LogitsType

_ROWS_AT_ONCE: Final = 500_000
"""Predictions or attention maps that come in by one transaction, at least: four row groups."""


def build(
    store: Path,
    *,
    design: Design,
    shards: Path,
    members: Sequence[Path],
    former: Path | None = None,
) -> pl.DataFrame:
    """Bring the store in line with a study's shards; return its ledger, by block.

    members: the study's shard folders, inside ``shards``, which holds the images too. Shards
    that the store holds already are not read again. A store of an older schema is migrated. One
    made with another threshold or other images, or that holds shards of the study no longer, is
    made anew. Where nothing changed the file is left alone. former: another store, to whose place
    this one is to come, and whose history of findings it goes on with.

    Raises StaleShardError where a shard is damaged or of another study, StoreError where
    shards saw different images or a newer version of this software wrote the store.
    """
    manifests = {shard: checked_manifest(shard, design) for shard in members}
    if len(manifests) != len(members) or not members:
        raise StoreError(f"{store}: a study needs shards, each once; found {len(members)}")
    manifests = dict(sorted(manifests.items(), key=lambda item: item[1].block))
    images = images_of(shards, manifests)
    study = study_row(
        design,
        classes=count_classes(design, images),
        images=images.name,
        schema_hash=schema().digest,
    )
    wanted = {shard.name: manifest.content for shard, manifest in manifests.items()}
    with lock(store):
        bring_up_to_date(store)
        present = state_of(store)
        if present is not None and present.is_(study, wanted):
            return present.ledger
        unfinished = store.with_name(f"{store.name}.next")
        history = united(_histories(former or store), study=design.study)
        prepare(store, unfinished, study, wanted, side=design.grid)
        with writer(unfinished) as connection:
            with transaction(connection):
                if is_empty(connection, IMAGE):
                    insert(connection, IMAGE, read_images(images))
                _declare(connection, study, condition_rows(design), history)
            held = contents(whole_table(connection, SHARD))
            coming = (
                _block_of(shard, manifest, design)
                for shard, manifest in manifests.items()
                if shard.name not in held
            )
            _ingest(connection, coming, design)
            ledger = whole_table(connection, SHARD)
        publish(unfinished, store)
    return ledger


def build_of_blocks(
    store: Path,
    *,
    design: Design,
    study: pl.DataFrame,
    images: pl.DataFrame,
    history: pl.DataFrame,
    blocks: Iterable[StoredBlock],
) -> pl.DataFrame:
    """Build a new store of blocks that other stores hold; return its ledger, by block.

    study, images, history: rows of STUDY, IMAGE and FINDING_HISTORY. The file is whole or
    absent.

    Raises StoreError where there is such a file already, or another process writes it.
    """
    with lock(store):
        if store.exists():
            raise StoreError(f"{store}: exists already; name another file, or delete it")
        unfinished = store.with_name(f"{store.name}.next")
        remove_database(unfinished)
        try:
            write_empty(unfinished, design.grid)
            with writer(unfinished) as connection:
                with transaction(connection):
                    insert(connection, IMAGE, images)
                    _declare(connection, study, condition_rows(design), history)
                _ingest(connection, blocks, design)
                ledger = whole_table(connection, SHARD)
            publish(unfinished, store)
        finally:
            remove_database(unfinished)
    return ledger


def record_estimates(store: Path, estimates: pl.DataFrame) -> None:
    """Replace the table ``estimate``."""
    checked = ESTIMATE.check(estimates)
    with _recording(store) as connection:
        replace_rows(connection, ESTIMATE, checked)


def record_analysis(
    store: Path,
    *,
    evidence: pl.DataFrame,
    findings: pl.DataFrame,
    specifications: pl.DataFrame | None = None,
) -> None:
    """Replace ``evidence``, ``finding`` and ``specification``; add to ``finding_history``.

    specifications: None for none.
    """
    if specifications is None:
        specifications = pl.DataFrame(schema=SPECIFICATION.schema)
    tables = {
        EVIDENCE: EVIDENCE.check(evidence),
        FINDING: FINDING.check(findings),
        SPECIFICATION: SPECIFICATION.check(specifications),
    }
    with _recording(store) as connection:
        for frame, table in tables.items():
            replace_rows(connection, frame, table)
        study = whole_table(connection, STUDY)
        now = history_rows(tables[FINDING], study=study, ledger=whole_table(connection, SHARD))
        history = united(
            [whole_table(connection, FINDING_HISTORY), read_history(store), now],
            study=study["study"].item(),
        )
        replace_rows(connection, FINDING_HISTORY, history)
        write_history(store, history)


@contextmanager
def changing(path: Path) -> Generator[Writer, None, None]:
    """Open a database file to change it, in one transaction: to be done on a copy."""
    with writer(path) as connection, transaction(connection):
        yield Writer(connection)


def copy_tables(source: Path, target: Path) -> None:
    """Write a store's rows into a new file: no free blocks, views and comments as of now."""
    with open_database(source) as reader:
        side = reader.frame(f"SELECT grid FROM {quoted(STUDY.name)}").item()
    write_empty(target, side)
    with writer(target) as connection:
        connection.execute(f"ATTACH {literal(str(source))} AS former (READ_ONLY)")
        for frame in TABLES:
            name = quoted(frame.name)
            connection.execute(f"INSERT INTO store.{name} BY NAME SELECT * FROM former.{name}")
        connection.execute("DETACH former")


@contextmanager
def replacing(store: Path) -> Generator[Path, None, None]:
    """Keep other writers out while a file is made that takes the store's place when it is whole.

    Yields its name, at which there is nothing yet. Where making it fails the store is untouched.
    """
    with lock(store):
        fresh = store.with_name(f"{store.name}.fresh")
        remove_database(fresh)
        try:
            yield fresh
            publish(fresh, store)
        finally:
            remove_database(fresh)


def _histories(store: Path) -> list[pl.DataFrame]:
    """Read what the store, and the file beside it, know of earlier findings."""
    found = [read_history(store)]
    if store.is_file():
        try:
            with open_reader(store) as reader:
                found.append(reader.frame(f"SELECT * FROM {quoted(FINDING_HISTORY.name)}"))
        except StoreError:
            # damaged, or made before there was a history: the file beside it has to do
            return found
    return found


def _declare(
    connection: duckdb.DuckDBPyConnection,
    study: pl.DataFrame,
    conditions: pl.DataFrame,
    history: pl.DataFrame,
) -> None:
    """Write what the study says now, and what was found before."""
    # what an analysis said holds for the shards that it saw
    for frame in (ESTIMATE, EVIDENCE, FINDING, SPECIFICATION):
        connection.execute(f"DELETE FROM {quoted(frame.name)}")
    replace_rows(connection, STUDY, study)
    replace_rows(connection, CONDITION, conditions)
    replace_rows(connection, FINDING_HISTORY, history)


def _block_of(shard: Path, manifest: Manifest, design: Design) -> StoredBlock:
    return StoredBlock(
        tables={frame: verified_table(shard, frame, manifest, design) for frame in SHARD_FRAMES},
        environment=environment_row(manifest.environment),
        ledger=ledger_row(manifest, shard.name, pool=design.pool_of(manifest.block)),
    )


def _ingest(
    connection: duckdb.DuckDBPyConnection, blocks: Iterable[StoredBlock], design: Design
) -> None:
    """Take in blocks, each whole with its ledger row, small ones several at a time."""
    study, images = whole_table(connection, STUDY), whole_table(connection, IMAGE)
    with BlockMeasures(study=study, images=images) as measures:
        for batch in _batches(_rows(block, design, measures) for block in blocks):
            with transaction(connection):
                _insert_batch(connection, batch)


def _insert_batch(connection: duckdb.DuckDBPyConnection, batch: Sequence[Rows]) -> None:
    for frame in batch[0]:
        # in one piece: pieces become row groups of their own, which are merged by writing
        # them, and what lies between, anew
        coming = pl.concat([block[frame] for block in batch], rechunk=True)
        if frame is ENVIRONMENT:
            known = whole_table(connection, ENVIRONMENT)["environment_id"].implode()
            coming = coming.unique(frame.key, maintain_order=True)
            coming = coming.filter(~pl.col("environment_id").is_in(known))
        insert(connection, frame, coming)


def _batches(blocks: Iterable[Rows]) -> Generator[list[Rows], None, None]:
    """Put blocks together that one transaction takes in.

    Every transaction leaves a row group that is not full, and a checkpoint merges those by
    writing them and what lies between them anew: with one small block a transaction that was
    nearly the whole file, and left it twice the size. Where a block cannot be read, those before
    it come all the same.
    """
    waiting: list[Rows] = []
    try:
        for block in blocks:
            waiting.append(block)
            if any(
                sum(each[frame].height for each in waiting) >= _ROWS_AT_ONCE
                for frame in (STORED_PREDICTION, STORED_ATTENTION)
            ):
                yield waiting
                waiting = []
    except UserError:
        if waiting:
            yield waiting
        raise
    if waiting:
        yield waiting


def _rows(block: StoredBlock, design: Design, measures: BlockMeasures) -> Rows:
    """Everything that a block brings to the store's tables."""
    kind = design.store.logits
    predictions = stored_as(kind, block.tables[PREDICTION])
    rows = {frame: table for frame, table in block.tables.items() if frame is not PREDICTION}
    rows[STORED_ATTENTION] = in_words(with_masks(rows.pop(ATTENTION), design.attention.tau))
    read_as = {**rows, STORED_PREDICTION: stored_as(LogitsType.FLOAT32, predictions.read).stored}
    kept = measures.of(read_as)
    rows[STORED_PREDICTION] = predictions.stored
    halves = None if kind is LogitsType.FLOAT32 else content_hash(PREDICTION, predictions.read)
    ledger = block.ledger.with_columns(halves_content=pl.lit(halves, pl.String()))
    return {**rows, **kept, ENVIRONMENT: block.environment, SHARD: ledger}


@contextmanager
def _recording(store: Path) -> Generator[duckdb.DuckDBPyConnection, None, None]:
    """Write into a copy of a store that is renamed when it is whole."""
    with lock(store):
        open_reader(store).close()
        copy = store.with_name(f"{store.name}.recording")
        copy_database(store, copy)
        with writer(copy) as connection, transaction(connection):
            yield connection
        publish(copy, store)
