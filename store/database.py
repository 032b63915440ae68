"""The store: one DuckDB file, written by one process, read by any number.

The only module that knows DuckDB. A build works on a file beside the store and renames it when
it is whole, so readers keep what they opened and a killed build loses nothing but time.
"""

import difflib
import fcntl
import os
import re
import shutil
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import duckdb
import polars as pl
import polars.selectors as cs

from store.design import Design
from store.errors import StoreError
from store.frames import (
    ATTENTION,
    ESTIMATE,
    EVIDENCE,
    FINDING,
    FINDING_HISTORY,
    IMAGE,
    SHARD_FRAMES,
    Frame,
)
from store.history import history_rows, read_history, united, write_history
from store.intake import (
    checked_manifest,
    count_classes,
    images_of,
    read_images,
    verified_table,
)
from store.ledger import (
    CONDITION,
    ENVIRONMENT,
    SCHEMA_VERSION,
    SHARD,
    STUDY,
    StoredBlock,
    condition_rows,
    contents,
    environment_row,
    ledger_row,
    study_row,
)
from store.masks import with_masks
from store.schema import VIEWS, column_comment, literal, quoted, schema
from store.shard import Manifest

STORAGE_VERSION: Final = "v1.4.0"
"""The file can be opened by DuckDB of this version and later."""

_ROWS_AT_ONCE: Final = 100_000

_NO_TABLE: Final = re.compile(r"Table with name \"?([^\s\"]+)\"? does not exist")

_READ_ONLY: Final = {
    "enable_external_access": "false",
    "python_enable_replacements": "false",
    # sums of floats depend on how rows are shared among threads; one thread gives one answer
    "threads": "1",
    "lock_configuration": "true",
}


class Reader:
    """A read-only connection; SQL cannot write, read other files or reach a network."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, store: Path) -> None:
        self._connection = connection
        self._store = store

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Release the file."""
        self._connection.close()

    def frame(self, sql: str, parameters: Sequence[object] = ()) -> pl.DataFrame:
        """Answer one SQL query.

        parameters: values of its ``?`` placeholders. Raises StoreError where DuckDB refuses.
        """
        with self._in_words():
            return _answer(self._connection, sql, parameters)

    def frames(self, sql: str, parameters: Sequence[object] = ()) -> Iterator[pl.DataFrame]:
        """Answer one query in parts of up to 100,000 rows: an answer need not fit into memory.

        At least one part comes, so that columns are known. Raises StoreError where DuckDB refuses.
        """
        with self._in_words():
            relation = self._connection.sql(sql, params=list(parameters))
            reader = relation.to_arrow_reader(_ROWS_AT_ONCE)
        yield _as_frame(reader.schema.empty_table())
        while True:
            with self._in_words():
                batch = next(reader, None)
            if batch is None:
                return
            yield _as_frame(batch)

    def names(self) -> list[str]:
        """Names of all tables, then of all views."""
        found = self._connection.execute(
            "SELECT table_name AS name, 'table' AS kind FROM duckdb_tables() WHERE NOT internal "
            "UNION ALL SELECT view_name, 'view' FROM duckdb_views() WHERE NOT internal "
            "ORDER BY kind, name"
        ).fetchall()
        return [name for name, _ in found]

    @contextmanager
    def _in_words(self) -> Generator[None, None, None]:
        """Turn what DuckDB raises into a line that a user can act on, or into their Ctrl-C."""
        try:
            yield
        except duckdb.InterruptException:
            raise KeyboardInterrupt from None
        except duckdb.Error as error:
            raise StoreError(f"{self._store}: {self._explained(error)}") from None
        except RuntimeError as error:
            if str(error) == "Query interrupted":
                raise KeyboardInterrupt from None
            raise

    def _explained(self, error: duckdb.Error) -> str:
        """One line; for a table that is not there, the nearest that is."""
        missing = _NO_TABLE.search(str(error))
        if missing is None:
            return _one_line(error)
        try:
            return no_such(missing[1], self.names())
        except duckdb.Error:
            return _one_line(error)


def no_such(name: str, names: Sequence[str]) -> str:
    """Say that there is no such table or view, and which was meant or which there are."""
    near = difflib.get_close_matches(name.lower(), names, n=1)
    meant = f"did you mean {near[0]}?" if near else f"there are {', '.join(names)}"
    return f"{name}: no such table or view; {meant}"


def open_reader(store: Path) -> Reader:
    """Open a store for reading.

    Raises StoreError where there is none, it is no store, or a newer version wrote it.
    """
    if not store.is_file():
        raise StoreError(f"{store}: no such store; run snakemake, or python -m store.job")
    reader = open_database(store)
    try:
        version = reader.frame(f"SELECT schema_version FROM {quoted(STUDY.name)}")
    except StoreError:
        reader.close()
        raise StoreError(f"{store}: not a store of this software: it has no table study") from None
    if version.height != 1 or version.item() > SCHEMA_VERSION:
        reader.close()
        found = version.item() if version.height == 1 else "unknown"
        raise StoreError(
            f"{store}: schema version {found}; this software reads up to {SCHEMA_VERSION}. "
            "Update the software, or build the store again with snakemake."
        )
    return reader


def open_database(path: Path) -> Reader:
    """Open any DuckDB file for reading, as a store is read.

    Raises StoreError where DuckDB refuses it.
    """
    try:
        connection = duckdb.connect(str(path.absolute()), read_only=True, config=dict(_READ_ONLY))
    except duckdb.Error as error:
        raise StoreError(f"{path}: cannot be opened: {_one_line(error)}") from None
    return Reader(connection, path)


def open_empty() -> Reader:
    """Open a store of no study, in memory: its tables, views and macros, without rows."""
    connection = duckdb.connect(config={"python_enable_replacements": "false"})
    _create(connection)
    return Reader(connection, Path("an empty store"))


def build(store: Path, *, design: Design, shards: Path, members: Sequence[Path]) -> pl.DataFrame:
    """Bring the store in line with a study's shards; return its ledger, by block.

    members: the study's shard folders, inside ``shards``, which holds the images too. Shards
    that the store holds already are not read again. A store made with another threshold,
    other images or another schema, or that holds shards of the study no longer, is made anew.
    Where nothing changed the file is left alone.

    Raises StaleShardError where a shard is damaged or of another study, StoreError where
    shards saw different images.
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
    with _lock(store):
        present = _state(store)
        if present is not None and present.is_(study, wanted):
            return present.ledger
        unfinished = store.with_name(f"{store.name}.next")
        history = united(_histories(store), study=design.study)
        _prepare(store, unfinished, study, wanted)
        with _writer(unfinished) as connection:
            with _transaction(connection):
                if not _has_tables(connection):
                    _create(connection)
                    _insert(connection, IMAGE, read_images(images))
                _declare(connection, study, condition_rows(design), history)
            held = contents(_table(connection, SHARD))
            for shard, manifest in manifests.items():
                if shard.name not in held:
                    _ingest(connection, _block_of(shard, manifest, design), design.attention.tau)
            ledger = _table(connection, SHARD)
        _publish(unfinished, store)
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
    with _lock(store):
        if store.exists():
            raise StoreError(f"{store}: exists already; name another file, or delete it")
        unfinished = store.with_name(f"{store.name}.next")
        _remove(unfinished)
        try:
            with _writer(unfinished) as connection:
                with _transaction(connection):
                    _create(connection)
                    _insert(connection, IMAGE, images)
                    _declare(connection, study, condition_rows(design), history)
                for block in blocks:
                    _ingest(connection, block, design.attention.tau)
                ledger = _table(connection, SHARD)
            _publish(unfinished, store)
        finally:
            _remove(unfinished)
    return ledger


def record_estimates(store: Path, estimates: pl.DataFrame) -> None:
    """Replace the table ``estimate``."""
    checked = ESTIMATE.check(estimates)
    with _recording(store) as connection:
        _replace(connection, ESTIMATE, checked)


def record_analysis(store: Path, *, evidence: pl.DataFrame, findings: pl.DataFrame) -> None:
    """Replace the tables ``evidence`` and ``finding``; add to ``finding_history``."""
    tables = {EVIDENCE: EVIDENCE.check(evidence), FINDING: FINDING.check(findings)}
    with _recording(store) as connection:
        for frame, table in tables.items():
            _replace(connection, frame, table)
        study = _table(connection, STUDY)
        now = history_rows(tables[FINDING], study=study, ledger=_table(connection, SHARD))
        history = united(
            [_table(connection, FINDING_HISTORY), read_history(store), now],
            study=study["study"].item(),
        )
        _replace(connection, FINDING_HISTORY, history)
        write_history(store, history)


class _State:
    """What a store says that it is."""

    def __init__(self, study: pl.DataFrame, ledger: pl.DataFrame) -> None:
        self.study = study
        self.ledger = ledger

    def is_(self, study: pl.DataFrame, wanted: Mapping[str, str]) -> bool:
        return self.study.equals(study) and contents(self.ledger) == wanted

    def grows_into(self, study: pl.DataFrame, wanted: Mapping[str, str]) -> bool:
        """Whether all that it holds belongs to what is wanted."""
        fixed = ["study", "classes", "grid", "tau", "images", "schema_version", "schema_hash"]
        same = self.study.select(fixed).equals(study.select(fixed))
        return same and contents(self.ledger).items() <= wanted.items()


def _state(store: Path) -> _State | None:
    """Read what a store is; None where there is none or it cannot be read."""
    if not store.is_file():
        return None
    try:
        with open_reader(store) as reader:
            study = reader.frame(f"SELECT * FROM {quoted(STUDY.name)}")
            ledger = reader.frame(f"SELECT * FROM {quoted(SHARD.name)} ORDER BY block")
            return _State(study, ledger)
    except StoreError:
        # a store is made of shards: what cannot be read is made anew
        return None


def _prepare(store: Path, unfinished: Path, study: pl.DataFrame, wanted: Mapping[str, str]) -> None:
    """Leave beside the store what the build goes on from: a killed build's file, or a copy."""
    begun = _state(unfinished)
    if begun is not None and begun.grows_into(study, wanted):
        return
    _remove(unfinished)
    present = _state(store)
    if present is not None and present.grows_into(study, wanted):
        _copy(store, unfinished)


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


def _create(connection: duckdb.DuckDBPyConnection) -> None:
    """Make the tables, macros and views of an empty store, and say what they mean."""
    for statement in schema().statements:
        connection.execute(statement)
    _comment_views(connection)


def _declare(
    connection: duckdb.DuckDBPyConnection,
    study: pl.DataFrame,
    conditions: pl.DataFrame,
    history: pl.DataFrame,
) -> None:
    """Write what the study says now, and what was found before."""
    # what an analysis said holds for the shards that it saw
    for frame in (ESTIMATE, EVIDENCE, FINDING):
        connection.execute(f"DELETE FROM {quoted(frame.name)}")
    _replace(connection, STUDY, study)
    _replace(connection, CONDITION, conditions)
    _replace(connection, FINDING_HISTORY, history)


def _block_of(shard: Path, manifest: Manifest, design: Design) -> StoredBlock:
    return StoredBlock(
        tables={frame: verified_table(shard, frame, manifest, design) for frame in SHARD_FRAMES},
        environment=environment_row(manifest.environment),
        ledger=ledger_row(manifest, shard.name),
    )


def _ingest(connection: duckdb.DuckDBPyConnection, block: StoredBlock, tau: float) -> None:
    """Take in one block, whole, with its ledger row."""
    tables = {**block.tables, ATTENTION: with_masks(block.tables[ATTENTION], tau)}
    with _transaction(connection):
        for frame, table in tables.items():
            _insert(connection, frame, table)
        known = _table(connection, ENVIRONMENT)["environment_id"].to_list()
        if block.environment["environment_id"].item() not in known:
            _insert(connection, ENVIRONMENT, block.environment)
        _insert(connection, SHARD, block.ledger)


def _replace(connection: duckdb.DuckDBPyConnection, frame: Frame, rows: pl.DataFrame) -> None:
    """Replace a whole table."""
    connection.execute(f"DELETE FROM {quoted(frame.name)}")
    _insert(connection, frame, rows.sort(frame.key))


@contextmanager
def _recording(store: Path) -> Generator[duckdb.DuckDBPyConnection, None, None]:
    """Write into a copy of a store that is renamed when it is whole."""
    with _lock(store):
        open_reader(store).close()
        copy = store.with_name(f"{store.name}.recording")
        _copy(store, copy)
        with _writer(copy) as connection, _transaction(connection):
            yield connection
        _publish(copy, store)


@contextmanager
def _lock(store: Path) -> Generator[None, None, None]:
    """Keep other writers out; readers need nothing."""
    store.parent.mkdir(parents=True, exist_ok=True)
    with store.with_name(f"{store.name}.lock").open("w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StoreError(f"{store}: another process is writing it; try again later") from None
        yield


@contextmanager
def _writer(path: Path) -> Generator[duckdb.DuckDBPyConnection, None, None]:
    connection = duckdb.connect()
    try:
        connection.execute(
            f"ATTACH {literal(str(path))} AS store (STORAGE_VERSION '{STORAGE_VERSION}')"
        )
        connection.execute("USE store")
        yield connection
        connection.execute("CHECKPOINT store")
    except duckdb.Error as error:
        raise StoreError(f"{path}: cannot be written: {_one_line(error)}") from None
    finally:
        connection.close()


@contextmanager
def _transaction(connection: duckdb.DuckDBPyConnection) -> Generator[None, None, None]:
    connection.execute("BEGIN TRANSACTION")
    try:
        yield
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _insert(connection: duckdb.DuckDBPyConnection, frame: Frame, rows: pl.DataFrame) -> None:
    connection.register("incoming", rows.to_arrow())
    connection.execute(f"INSERT INTO {quoted(frame.name)} BY NAME SELECT * FROM incoming")
    connection.unregister("incoming")


def _table(connection: duckdb.DuckDBPyConnection, frame: Frame) -> pl.DataFrame:
    order = ", ".join(quoted(name) for name in frame.key)
    return _answer(connection, f"SELECT * FROM {quoted(frame.name)} ORDER BY {order}")


def _answer(
    connection: duckdb.DuckDBPyConnection, sql: str, parameters: Sequence[object] = ()
) -> pl.DataFrame:
    """Answer a query; an empty frame where a statement has no answer."""
    relation = connection.sql(sql, params=list(parameters))
    if not isinstance(relation, duckdb.DuckDBPyRelation):  # pyright: ignore[reportUnnecessaryIsInstance]
        return pl.DataFrame()  # DuckDB's types do not say that it gives None here
    return _as_frame(relation.to_arrow_table())


def _as_frame(rows: Any) -> pl.DataFrame:
    """Take over an Arrow table or batch."""
    frame = pl.from_arrow(rows)
    assert isinstance(frame, pl.DataFrame)
    # moments come in the machine's zone; setting another needs an extension that is not shipped
    moments = cs.datetime(time_zone="*")
    return frame.with_columns(moments.dt.convert_time_zone("UTC"))


def _has_tables(connection: duckdb.DuckDBPyConnection) -> bool:
    found = connection.execute(
        "SELECT count(*) FROM duckdb_tables() WHERE database_name = 'store'"
    ).fetchone()
    return found is not None and found[0] > 0


def _comment_views(connection: duckdb.DuckDBPyConnection) -> None:
    """Say what every column of every view means."""
    columns = connection.execute(
        "SELECT table_name, column_name FROM duckdb_columns() WHERE list_contains(?, table_name)",
        [list(VIEWS)],
    ).fetchall()
    for view, column in columns:
        comment = column_comment(column)
        if comment is not None:
            connection.execute(
                f"COMMENT ON COLUMN {quoted(view)}.{quoted(column)} IS {literal(comment)}"
            )


def _publish(finished: Path, store: Path) -> None:
    """Put a finished file in the store's place."""
    with finished.open("rb") as stream:
        os.fsync(stream.fileno())
    # a log left beside the former file is no part of this one
    _wal(store).unlink(missing_ok=True)
    finished.replace(store)


def _copy(source: Path, target: Path) -> None:
    """Copy a database so that the target is whole or absent."""
    part = target.with_name(f"{target.name}.part")
    shutil.copyfile(source, part)
    _wal(target).unlink(missing_ok=True)
    part.replace(target)


def _remove(database: Path) -> None:
    database.unlink(missing_ok=True)
    _wal(database).unlink(missing_ok=True)


def _wal(database: Path) -> Path:
    return database.with_name(f"{database.name}.wal")


def _one_line(error: BaseException) -> str:
    """Return what DuckDB says and hints, without the copy of the query that it points into."""
    return " ".join(str(error).partition("\n\nLINE ")[0].split())
