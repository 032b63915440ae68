"""Make a store's file what this software would have written: steps, layout, views, comments."""

from typing import Final

from store.errors import StoreError
from store.frame import Frame
from store.keeping import fill_kept
from store.ledger import SCHEMA_VERSION, STUDY
from store.migrations import Migration, Tables
from store.schema import (
    TABLES,
    VIEWS,
    column_comment,
    literal,
    quoted,
    schema,
    table_statements,
    view_statements,
)

_DECLARED: Final = " as declared"
"""Follows a table's name while its successor is filled."""


def create(tables: Tables, side: int | None) -> None:
    """Make the tables, macros and views of an empty store, and say what they mean.

    side: of the attention maps that it is made for, in cells.
    """
    for statement in schema(side).statements:
        tables.run(statement)
    comment_views(tables)


def renew(tables: Tables, steps: tuple[Migration, ...]) -> None:
    """Take the steps, lay tables out as declared, make views, macros and comments anew.

    What the store keeps of its views is made anew with them. To be done on a copy.

    Raises StoreError where the steps leave a table or column that is not declared, or where rows
    of images do not hang together.
    """
    _drop_views(tables)
    for step in steps:
        step.apply(tables)
    _refuse_strangers(tables)
    for frame in TABLES:
        _lay_out(tables, frame)
    side = int(tables.frame(f"SELECT grid FROM {quoted(STUDY.name)}").item())
    for statement in view_statements(side):
        tables.run(statement)
    comment_views(tables)
    fill_kept(tables)
    tables.run(
        f"UPDATE {quoted(STUDY.name)} SET schema_version = {SCHEMA_VERSION}, "
        f"schema_hash = {literal(schema().digest)}"
    )


def comment_views(tables: Tables) -> None:
    """Say what every column of every view means."""
    columns = tables.frame(
        "SELECT table_name, column_name FROM duckdb_columns() WHERE NOT internal"
    )
    for view, column in columns.iter_rows():
        comment = column_comment(column) if view in VIEWS else None
        if comment is not None:
            tables.run(f"COMMENT ON COLUMN {quoted(view)}.{quoted(column)} IS {literal(comment)}")


def _drop_views(tables: Tables) -> None:
    views = tables.frame("SELECT view_name FROM duckdb_views() WHERE NOT internal")
    for view in views["view_name"]:
        tables.run(f"DROP VIEW {quoted(view)}")
    macros = tables.frame(
        "SELECT DISTINCT function_name, function_type FROM duckdb_functions() WHERE NOT internal "
        "AND function_type IN ('macro', 'table_macro')"
    )
    for name, kind in macros.iter_rows():
        tables.run(f"DROP MACRO{' TABLE' if kind == 'table_macro' else ''} {quoted(name)}")


def _refuse_strangers(tables: Tables) -> None:
    """Refuse what no frame declares: it would be lost when tables are laid out."""
    declared = {frame.name: set(frame.schema) for frame in TABLES}
    found = tables.frame(
        "SELECT table_name, column_name FROM duckdb_columns() WHERE NOT internal "
        "ORDER BY table_name, column_index"
    )
    for table, column in found.iter_rows():
        if column not in declared.get(table, ()):
            raise StoreError(
                f"{table}.{column} is not of schema version {SCHEMA_VERSION}, and no migration "
                "says where it goes; please report this"
            )


def _lay_out(tables: Tables, frame: Frame) -> None:
    """Give a table the declared columns, in order, with types and comments; keep its rows."""
    fresh = frame.name + _DECLARED
    for statement in table_statements(frame, fresh):
        tables.run(statement)
    found, declared = _layout(tables, frame.name), _layout(tables, fresh)
    if found and found != declared:
        names = ", ".join(quoted(name) for name, _, _, _ in found)
        tables.run(f"INSERT INTO {quoted(fresh)} BY NAME SELECT {names} FROM {quoted(frame.name)}")
    if found == declared:
        tables.run(f"DROP TABLE {quoted(fresh)}")
        return
    tables.run(f"DROP TABLE IF EXISTS {quoted(frame.name)}")
    tables.run(f"ALTER TABLE {quoted(fresh)} RENAME TO {quoted(frame.name)}")


def _layout(tables: Tables, table: str) -> list[tuple[str, str, bool, str]]:
    """Name, type, whether it may be NULL, and comment of a table's columns, in order."""
    columns = tables.frame(
        "SELECT column_name, data_type, is_nullable, comment FROM duckdb_columns() "
        f"WHERE NOT internal AND table_name = {literal(table)} ORDER BY column_index"
    )
    return columns.rows()
