"""Connections to DuckDB that write, and what every use of DuckDB shares."""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import duckdb
import polars as pl
import polars.selectors as cs

from store.errors import StoreError, advice
from store.frame import Frame
from store.schema import literal, quoted

STORAGE_VERSION: Final = "v1.4.0"
"""The file can be opened by DuckDB of this version and later."""

MEMORY: Final = "2GB"
"""What DuckDB may take; beyond it goes to a file beside the database."""

SILENT: Final = "SET enable_progress_bar = false"
"""A bar would be drawn into a command's output. It cannot be set when connecting."""


class Writer:
    """A connection to a file that is no store yet; see ``store.migrations.Tables``."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection

    def run(self, sql: str) -> None:
        """Execute one statement."""
        self._connection.execute(sql)

    def frame(self, sql: str) -> pl.DataFrame:
        """Answer one query."""
        return answer(self._connection, sql)

    def insert(self, frame: Frame, rows: pl.DataFrame) -> None:
        """Add rows to a table."""
        insert(self._connection, frame, rows)


@contextmanager
def writer(path: Path) -> Generator[duckdb.DuckDBPyConnection, None, None]:
    """Open a database file to write it; what DuckDB refuses is one line that says what to do."""
    connection = duckdb.connect(config={"memory_limit": MEMORY, "temp_directory": f"{path}.tmp"})
    try:
        connection.execute(SILENT)
        connection.execute(
            f"ATTACH {literal(str(path))} AS store (STORAGE_VERSION '{STORAGE_VERSION}')"
        )
        connection.execute("USE store")
        yield connection
        connection.execute("CHECKPOINT store")
    except (duckdb.Error, RuntimeError) as error:
        pass_on_an_interrupt(error)
        refusal = one_line(error)
        raise StoreError(f"{path}: cannot be written: {refusal}. {advice(refusal)}") from None
    finally:
        connection.close()


@contextmanager
def transaction(connection: duckdb.DuckDBPyConnection) -> Generator[None, None, None]:
    """All or nothing."""
    connection.execute("BEGIN TRANSACTION")
    try:
        yield
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def insert(connection: duckdb.DuckDBPyConnection, frame: Frame, rows: pl.DataFrame) -> None:
    """Add rows to a table."""
    connection.register("incoming", rows.to_arrow())
    connection.execute(f"INSERT INTO {quoted(frame.name)} BY NAME SELECT * FROM incoming")
    connection.unregister("incoming")


def replace_rows(connection: duckdb.DuckDBPyConnection, frame: Frame, rows: pl.DataFrame) -> None:
    """Replace a whole table."""
    connection.execute(f"DELETE FROM {quoted(frame.name)}")
    insert(connection, frame, rows.sort(frame.key))


def whole_table(connection: duckdb.DuckDBPyConnection, frame: Frame) -> pl.DataFrame:
    """Return a table's rows in order of its key."""
    order = ", ".join(quoted(name) for name in frame.key)
    return answer(connection, f"SELECT * FROM {quoted(frame.name)} ORDER BY {order}")


def answer(
    connection: duckdb.DuckDBPyConnection, sql: str, parameters: Sequence[object] = ()
) -> pl.DataFrame:
    """Answer a query; an empty frame where a statement has no answer."""
    relation = connection.sql(sql, params=list(parameters))
    if not isinstance(relation, duckdb.DuckDBPyRelation):  # pyright: ignore[reportUnnecessaryIsInstance]
        return pl.DataFrame()  # DuckDB's types do not say that it gives None here
    return as_frame(relation.to_arrow_table())


def as_frame(rows: Any) -> pl.DataFrame:
    """Take over an Arrow table or batch."""
    frame = pl.from_arrow(rows)
    assert isinstance(frame, pl.DataFrame)
    # moments come in the machine's zone; setting another needs an extension that is not shipped
    moments = cs.datetime(time_zone="*")
    return frame.with_columns(moments.dt.convert_time_zone("UTC"))


def is_empty(connection: duckdb.DuckDBPyConnection, frame: Frame) -> bool:
    """Whether a table has no row."""
    return connection.execute(f"SELECT 1 FROM {quoted(frame.name)} LIMIT 1").fetchone() is None


def pass_on_an_interrupt(error: BaseException) -> None:
    """Raise KeyboardInterrupt where DuckDB met one, of which it makes an error of its own."""
    if isinstance(error, duckdb.InterruptException) or "Query interrupted" in str(error):
        raise KeyboardInterrupt from None


def one_line(error: BaseException) -> str:
    """Return what DuckDB says and hints, without the copy of the query that it points into."""
    return " ".join(str(error).partition("\n\nLINE ")[0].split())
