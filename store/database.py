"""The store as its readers see it: one DuckDB file, opened read-only by any number of them.

``store.builder`` writes it: on a file beside the store that is renamed when it is whole, so
readers keep what they opened and a killed build loses nothing but time.
"""

import difflib
import logging
import re
import tempfile
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Timer
from types import TracebackType
from typing import Final, Self

import duckdb
import polars as pl

from store.connection import (
    MEMORY,
    SILENT,
    Writer,
    answer,
    as_frame,
    one_line,
    pass_on_an_interrupt,
    writer,
)
from store.errors import StoreError, advice
from store.files import copy_database
from store.ledger import SCHEMA_VERSION, STUDY
from store.migrations import MIGRATIONS, Migration, steps_from
from store.renewal import create, renew
from store.schema import quoted

_log = logging.getLogger(__name__)

_ROWS_AT_ONCE: Final = 100_000

_NO_TABLE: Final = re.compile(r"Table with name \"?([^\s\"]+)\"? does not exist")

_READ_ONLY: Final = {
    "enable_external_access": "false",
    "python_enable_replacements": "false",
    # sums of floats depend on how rows are shared among threads; one thread gives one answer
    "threads": "1",
    "memory_limit": MEMORY,
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

    def unhurried(self) -> "Reader":
        """Return a reader of the same connection whose questions may take as long as they do."""
        return Reader(self._connection, self._store)

    def close(self) -> None:
        """Release the file."""
        self._connection.close()

    def frame(self, sql: str, parameters: Sequence[object] = ()) -> pl.DataFrame:
        """Answer one SQL query.

        parameters: values of its ``?`` placeholders. Raises StoreError where DuckDB refuses, where
        it is not one query, and where it takes longer than it may.
        """
        with self._asking(sql):
            return answer(self._connection, sql, parameters)

    def frames(self, sql: str, parameters: Sequence[object] = ()) -> Iterator[pl.DataFrame]:
        """Answer one query in parts of up to 100,000 rows: an answer need not fit into memory.

        At least one part comes, so that columns are known. Raises StoreError as ``frame`` does;
        each part may take as long as a whole query.
        """
        with self._asking(sql):
            relation = self._connection.sql(sql, params=list(parameters))
            reader = relation.to_arrow_reader(_ROWS_AT_ONCE)
        yield as_frame(reader.schema.empty_table())
        while True:
            with self._in_words():
                batch = next(reader, None)
            if batch is None:
                return
            yield as_frame(batch)

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
            pass_on_an_interrupt(error)
            raise StoreError(f"{self._store}: {self._explained(error)}") from None

    def _explained(self, error: duckdb.Error | RuntimeError) -> str:
        """Say in one line what is wrong; for a table that is not there, the nearest that is."""
        refusal = one_line(error)
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
    _require_file(store)
    reader = open_database(store, limits=limits)
    try:
        # without a clock: a limit is for the questions that somebody asks
        version = version_of(reader.unhurried(), store)
    except BaseException:
        reader.close()
        raise
    if version == SCHEMA_VERSION:
        return reader
    reader.close()
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
        copy_database(store, copy)
        renew_file(copy, migrations=migrations)
        # the system keeps the file for as long as it is open; its name may go
        return open_database(copy, limits=limits)


def schema_version(store: Path) -> int:
    """Return the version of the schema that a store was written with.

    Raises StoreError where there is no store.
    """
    _require_file(store)
    with open_database(store) as reader:
        return version_of(reader, store)


def version_of(reader: Reader, store: Path) -> int:
    """Return the version of the schema that an open file was written with.

    Raises StoreError where the file is no store.
    """
    try:
        version = reader.frame(f"SELECT schema_version FROM {quoted(STUDY.name)}")
    except StoreError as error:
        if "no such table" not in str(error):
            raise
        raise StoreError(f"{store}: not a store of this software: it has no table study") from None
    if version.height != 1:
        raise StoreError(
            f"{store}: its table study has {version.height} rows and should have one. "
            "Run python -m store doctor on it."
        )
    return int(version.item())


def _require_file(store: Path) -> None:
    if not store.is_file():
        raise StoreError(f"{store}: no such store; run snakemake, or python -m store.job")


def open_database(path: Path, *, limits: Limits | None = None) -> Reader:
    """Open any DuckDB file for reading, as a store is read.

    Raises StoreError where DuckDB refuses it, KeyboardInterrupt where it was interrupted.
    """
    limiting = {} if limits is None else {"memory_limit": limits.memory, "temp_directory": ""}
    try:
        connection = duckdb.connect(
            str(path.absolute()), read_only=True, config={**_READ_ONLY, **limiting}
        )
        _lock_up(connection)
    except (duckdb.Error, RuntimeError) as error:
        pass_on_an_interrupt(error)
        if not isinstance(error, duckdb.Error):
            raise
        refusal = one_line(error)
        raise StoreError(f"{path}: cannot be opened: {refusal}. {advice(refusal)}") from None
    return Reader(connection, path, seconds=limits.seconds if limits else None)


def _lock_up(connection: duckdb.DuckDBPyConnection) -> None:
    """Have no question change how questions are answered.

    Raises duckdb.Error where that cannot be had.
    """
    locked = "SELECT current_setting('lock_configuration')"
    if connection.execute(locked).fetchall() == [(True,)]:
        # connections of one process to one file share it
        return
    connection.execute(SILENT)
    connection.execute("SET lock_configuration = true")


def open_empty(side: int | None = None) -> Reader:
    """Open a store of no study, in memory: its tables, views and macros, without rows.

    side: of the attention maps that it is made for, in cells.
    """
    connection = duckdb.connect(config={"python_enable_replacements": "false"})
    create(Writer(connection), side)
    return Reader(connection, Path("an empty store"))


def renew_file(path: Path, *, migrations: tuple[Migration, ...] = MIGRATIONS) -> None:
    """Bring a database file to the present schema, in place: to be done on a copy.

    Raises StoreError where no migration leads here from its version.
    """
    steps = steps_from(schema_version(path), migrations)
    with writer(path) as connection:
        renew(Writer(connection), steps)


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
        # it knows the connection: were it alive when Python ends, DuckDB would report a leak
        timer.join()
