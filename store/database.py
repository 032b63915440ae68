"""The store: one DuckDB file, written by one process, read by any number.

The only module that knows DuckDB. A build works on a file beside the store and renames it when
it is whole, so readers keep what they opened and a killed build loses nothing but time.
"""

import difflib
import fcntl
import logging
import os
import re
import shutil
import tempfile
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Timer
from types import TracebackType
from typing import Any, Final, Self

import duckdb
import polars as pl
import polars.selectors as cs

from store.design import Design
from store.errors import StoreError, advice
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
from store.migrations import MIGRATIONS, Migration, steps_from
from store.renewal import comment_views, renew
from store.schema import TABLES, literal, quoted, schema
from store.shard import Manifest

_log = logging.getLogger(__name__)

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


_QUESTIONS: Final = (
    duckdb.StatementType.SELECT,
    duckdb.StatementType.EXPLAIN,
    # what PIVOT becomes
    duckdb.StatementType.MULTI,
)


_OF_DAMAGE: Final = (
    duckdb.IOException,
    duckdb.FatalException,
    duckdb.InternalException,
    duckdb.SerializationException,
)
"""What DuckDB raises where a file, and not the query, is at fault."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one query of somebody else's may take: then it is stopped, and nothing is lost.

    memory: as DuckDB writes it, such as 4GB or 50%. What does not fit is not put on disk either.
    """

    seconds: float
    memory: str = "50%"


class Writer:
    """A connection to a file that is no store yet; see ``store.migrations.Tables``."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection

    def run(self, sql: str) -> None:
        """Execute one statement."""
        self._connection.execute(sql)

    def frame(self, sql: str) -> pl.DataFrame:
        """Answer one query."""
        return _answer(self._connection, sql)

    def insert(self, frame: Frame, rows: pl.DataFrame) -> None:
        """Add rows to a table."""
        _insert(self._connection, frame, rows)


class Reader:
    """A read-only connection; SQL cannot write, read other files or reach a network."""

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        store: Path,
        *,
        seconds: float | None = None,
    ) -> None:
        self._connection = connection
        self._store = store
        self._seconds = seconds

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

        parameters: values of its ``?`` placeholders. Raises StoreError where DuckDB refuses, where
        it is not one query, and where it takes longer than it may.
        """
        with self._asking(sql):
            return _answer(self._connection, sql, parameters)

    def frames(self, sql: str, parameters: Sequence[object] = ()) -> Iterator[pl.DataFrame]:
        """Answer one query in parts of up to 100,000 rows: an answer need not fit into memory.

        At least one part comes, so that columns are known. Raises StoreError as ``frame`` does;
        each part may take as long as a whole query.
        """
        with self._asking(sql):
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
    def _asking(self, sql: str) -> Generator[None, None, None]:
        """Let one question be asked, and nothing else be done."""
        with self._in_words():
            _require_one_question(sql)
            yield

    @contextmanager
    def _in_words(self) -> Generator[None, None, None]:
        """Keep to the time allowed; turn what DuckDB raises into one line, or into a Ctrl-C."""
        stopped = Event()
        try:
            with _alarm(self._connection, self._seconds, stopped):
                yield
        except (duckdb.Error, RuntimeError) as error:
            if stopped.is_set():
                raise StoreError(
                    f"{self._store}: stopped after {self._seconds:g} s; ask for less, or allow "
                    "more with --seconds"
                ) from None
            _pass_on_an_interrupt(error)
            raise StoreError(f"{self._store}: {self._explained(error)}") from None

    def _explained(self, error: duckdb.Error | RuntimeError) -> str:
        """Say in one line what is wrong; for a table that is not there, the nearest that is."""
        refusal = _one_line(error)
        missing = _NO_TABLE.search(str(error))
        if missing is not None:
            try:
                return no_such(missing[1], self.names())
            except duckdb.Error:
                return refusal
        return f"{refusal}. {advice(refusal)}" if isinstance(error, _OF_DAMAGE) else refusal


def no_such(name: str, names: Sequence[str]) -> str:
    """Say that there is no such table or view, and which was meant or which there are."""
    near = difflib.get_close_matches(name.lower(), names, n=1)
    meant = f"did you mean {near[0]}?" if near else f"there are {', '.join(names)}"
    return f"{name}: no such table or view; {meant}"


def open_reader(
    store: Path,
    *,
    limits: Limits | None = None,
    migrations: tuple[Migration, ...] = MIGRATIONS,
) -> Reader:
    """Open a store for reading. limits: of each query, where somebody else writes them.

    A store of an older schema is read through a copy that is brought to the present one; the
    file itself is left as it is, and the log says how to bring it up to date for good.

    Raises StoreError where there is none, it is no store, or a newer version wrote it.
    """
    version = schema_version(store)
    if version == SCHEMA_VERSION:
        return open_database(store, limits=limits)
    if version > SCHEMA_VERSION:
        raise StoreError(
            f"{store}: schema version {version}; this software reads up to {SCHEMA_VERSION}. "
            "Update the software, or build the store again with snakemake."
        )
    _log.warning(
        "note: %s is of schema version %d and is read through a copy brought to version %d; "
        "`python -m store migrate %s` does so for good",
        *(store, version, SCHEMA_VERSION, store),
    )
    with tempfile.TemporaryDirectory(prefix="store-") as folder:
        copy = Path(folder) / store.name
        _copy(store, copy)
        renew_file(copy, migrations=migrations)
        # the system keeps the file for as long as it is open; its name may go
        return open_database(copy, limits=limits)


def schema_version(store: Path) -> int:
    """Return the version of the schema that a store was written with.

    Raises StoreError where there is no store.
    """
    if not store.is_file():
        raise StoreError(f"{store}: no such store; run snakemake, or python -m store.job")
    with open_database(store) as reader:
        try:
            version = reader.frame(f"SELECT schema_version FROM {quoted(STUDY.name)}")
        except StoreError:
            raise StoreError(
                f"{store}: not a store of this software: it has no table study"
            ) from None
    if version.height != 1:
        raise StoreError(
            f"{store}: its table study has {version.height} rows and should have one. "
            "Run python -m store doctor on it."
        )
    return int(version.item())


def open_database(path: Path, *, limits: Limits | None = None) -> Reader:
    """Open any DuckDB file for reading, as a store is read.

    Raises StoreError where DuckDB refuses it.
    """
    limiting = {} if limits is None else {"memory_limit": limits.memory, "temp_directory": ""}
    try:
        connection = duckdb.connect(
            str(path.absolute()), read_only=True, config={**_READ_ONLY, **limiting}
        )
    except duckdb.Error as error:
        refusal = _one_line(error)
        raise StoreError(f"{path}: cannot be opened: {refusal}. {advice(refusal)}") from None
    return Reader(connection, path, seconds=limits.seconds if limits else None)


def open_empty() -> Reader:
    """Open a store of no study, in memory: its tables, views and macros, without rows."""
    connection = duckdb.connect(config={"python_enable_replacements": "false"})
    _create(connection)
    return Reader(connection, Path("an empty store"))


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
    with _lock(store):
        _bring_up_to_date(store)
        present = _state(store)
        if present is not None and present.is_(study, wanted):
            return present.ledger
        unfinished = store.with_name(f"{store.name}.next")
        history = united(_histories(former or store), study=design.study)
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


def renew_file(path: Path, *, migrations: tuple[Migration, ...] = MIGRATIONS) -> None:
    """Bring a database file to the present schema, in place: to be done on a copy.

    Raises StoreError where no migration leads here from its version.
    """
    steps = steps_from(schema_version(path), migrations)
    with _writer(path) as connection:
        renew(Writer(connection), steps)


@contextmanager
def changing(path: Path) -> Generator[Writer, None, None]:
    """Open a database file to change it, in one transaction: to be done on a copy."""
    with _writer(path) as connection, _transaction(connection):
        yield Writer(connection)


def copy_tables(source: Path, target: Path) -> None:
    """Write a store's rows into a new file: no free blocks, views and comments as of now."""
    with _writer(target) as connection:
        _create(connection)
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
    with _lock(store):
        fresh = store.with_name(f"{store.name}.fresh")
        _remove(fresh)
        try:
            yield fresh
            _publish(fresh, store)
        finally:
            _remove(fresh)


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
    """Read what a store is; None where there is none of this schema or it cannot be read."""
    try:
        if not store.is_file() or schema_version(store) != SCHEMA_VERSION:
            return None
        with open_database(store) as reader:
            study = reader.frame(f"SELECT * FROM {quoted(STUDY.name)}")
            ledger = reader.frame(f"SELECT * FROM {quoted(SHARD.name)} ORDER BY block")
            return _State(study, ledger)
    except StoreError:
        # a store is made of shards: what cannot be read is made anew
        return None


def _bring_up_to_date(store: Path) -> None:
    """Migrate a store, or give it this software's views, where that is as good as a new one.

    Raises StoreError where a newer version wrote it.
    """
    try:
        version = schema_version(store)
        steps = steps_from(version, MIGRATIONS)
        with open_database(store) as reader:
            digest = reader.frame(f"SELECT schema_hash FROM {quoted(STUDY.name)}").item()
    except StoreError:
        return
    if version > SCHEMA_VERSION:
        raise StoreError(
            f"{store}: schema version {version}; this software writes {SCHEMA_VERSION}. Update the "
            "software, or move the file away to have a store of this version made."
        )
    if digest == schema().digest or not all(step.complete for step in steps):
        return
    fresh = store.with_name(f"{store.name}.fresh")
    try:
        _copy(store, fresh)
        renew_file(fresh)
        _publish(fresh, store)
    except StoreError as error:
        _log.warning("%s; the store is made anew from its shards", error)
    finally:
        _remove(fresh)


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
    comment_views(Writer(connection))


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
    except (duckdb.Error, RuntimeError) as error:
        _pass_on_an_interrupt(error)
        refusal = _one_line(error)
        raise StoreError(f"{path}: cannot be written: {refusal}. {advice(refusal)}") from None
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
    try:
        copy_file(source, part)
        _wal(target).unlink(missing_ok=True)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def copy_file(source: Path, target: Path) -> None:
    """Copy a file; what stops it names the target, where a full disk is."""
    try:
        shutil.copyfile(source, target)
    except OSError as error:
        error.filename, error.filename2 = str(target), None
        raise


def _remove(database: Path) -> None:
    database.unlink(missing_ok=True)
    _wal(database).unlink(missing_ok=True)


def _wal(database: Path) -> Path:
    return database.with_name(f"{database.name}.wal")


def _require_one_question(sql: str) -> None:
    """Raise an error of DuckDB's unless this is one statement, and one that only asks."""
    statements = duckdb.extract_statements(sql)
    if len(statements) != 1 or statements[0].type not in _QUESTIONS:
        kinds = ", ".join(str(s.type.name) for s in statements) or "nothing"
        raise duckdb.PermissionException(
            "one SELECT, DESCRIBE, SHOW, SUMMARIZE or EXPLAIN can be asked at a time; this is "
            f"{kinds}"
        )


@contextmanager
def _alarm(
    connection: duckdb.DuckDBPyConnection, seconds: float | None, stopped: Event
) -> Generator[None, None, None]:
    """Interrupt what the connection does after so many seconds, and say so."""
    if seconds is None:
        yield
        return

    def stop() -> None:
        stopped.set()
        connection.interrupt()

    timer = Timer(seconds, stop)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _pass_on_an_interrupt(error: BaseException) -> None:
    """Raise KeyboardInterrupt where DuckDB met one, of which it makes an error of its own."""
    if isinstance(error, duckdb.InterruptException) or "Query interrupted" in str(error):
        raise KeyboardInterrupt from None


def _one_line(error: BaseException) -> str:
    """Return what DuckDB says and hints, without the copy of the query that it points into."""
    return " ".join(str(error).partition("\n\nLINE ")[0].split())
