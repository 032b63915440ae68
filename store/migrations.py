"""How a store of an older schema becomes one of the present: one step per version.

A step changes tables alone. After the last one the store's tables are laid out as ``frames``
declares them and its views, macros and comments are made anew, so a step need not name them:

- a table that is new, or a column that is new and may be NULL, needs a step with a summary only
  (what ``store.kept`` declares is filled whenever views are made anew);
- a column that is new and may not be NULL needs a statement that fills it;
- a table or column that goes needs a statement that drops it: nothing is dropped in silence.

To add a version N: raise ``SCHEMA_VERSION`` in ``store/ledger.py``, append ``Migration(version=N,
...)`` below, and keep a store of it with ``python tests/store/released.py``. What SQL cannot say
goes into ``change``, a function that reads and inserts; if it needs ``store.database``, it imports
that when it is called, since the database knows the migrations.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

import polars as pl

from store.errors import StoreError
from store.frame import Frame
from store.frames import FINDING_HISTORY
from store.history import history_rows
from store.schema import quoted, table_statements
from store.words import packed


class Tables(Protocol):
    """What a step may do to the store that it changes."""

    def run(self, sql: str) -> None:
        """Execute one statement."""
        ...

    def frame(self, sql: str) -> pl.DataFrame:
        """Answer one query."""
        ...

    def insert(self, frame: Frame, rows: pl.DataFrame) -> None:
        """Add rows to a table."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Migration:
    """One step: to schema ``version`` from the one before.

    summary: what changed, in words. statements: SQL that changes the tables of the version
    before. change: what SQL cannot say, done after the statements. complete: whether the result
    is what a build from the shards gives; where it is not, a build that has the shards makes the
    store anew instead.
    """

    version: int
    summary: str
    statements: tuple[str, ...] = ()
    change: Callable[[Tables], None] | None = None
    complete: bool = True

    def apply(self, tables: Tables) -> None:
        """Change the tables of a store of the version before."""
        for statement in self.statements:
            tables.run(statement)
        if self.change is not None:
            self.change(tables)


FIRST_VERSION: Final = 1


def _remember_findings(tables: Tables) -> None:
    """Make the findings at hand the first of the history; when they were made is not known."""
    name = quoted(FINDING_HISTORY.name)
    known = tables.frame(
        f"SELECT table_name FROM duckdb_tables() WHERE table_name = '{FINDING_HISTORY.name}'"
    )
    if known.height:
        # software under development wrote it before there was a version 2
        return
    for statement in table_statements(FINDING_HISTORY):
        tables.run(statement)
    tables.insert(
        FINDING_HISTORY,
        history_rows(
            tables.frame("SELECT * FROM finding"),
            study=tables.frame("SELECT * FROM study"),
            ledger=tables.frame("SELECT * FROM shard ORDER BY block"),
        ),
    )
    tables.run(f"UPDATE {name} SET analysed_at = NULL")


MIGRATIONS: Final[tuple[Migration, ...]] = (
    Migration(
        version=2,
        summary="evidence of secondary measures has a q-value; the history of findings is kept, "
        "those at hand being its first",
        change=_remember_findings,
    ),
    Migration(
        version=3,
        summary="an environment says whether networks were compiled, and its allocator",
        statements=(
            "ALTER TABLE environment ADD COLUMN IF NOT EXISTS compiled BOOLEAN",
            "UPDATE environment SET compiled = false WHERE compiled IS NULL",
        ),
    ),
    Migration(
        version=4,
        summary="logits may be stored at half precision, and prediction is a view of what is "
        "stored; the measures that SQL computes and the contingency of classes are kept",
        statements=(
            "ALTER TABLE prediction RENAME TO stored_prediction",
            "ALTER TABLE study ADD COLUMN logits_type VARCHAR",
            "UPDATE study SET logits_type = 'float32'",
        ),
    ),
    Migration(
        version=5,
        summary="a condition says the strength of each of its teachers, of which a student may "
        "have none; a seed block says the pool of its teachers",
        statements=(
            "ALTER TABLE condition ADD COLUMN IF NOT EXISTS teacher_strengths DOUBLE[]",
            "UPDATE condition SET teacher_strengths = "
            "list_resize([]::DOUBLE[], teachers, teacher_strength)",
            "ALTER TABLE shard ADD COLUMN IF NOT EXISTS pool INTEGER",
        ),
    ),
    Migration(
        version=6,
        summary="halves and attention maps are stored several to a word; attention is a view of "
        "what is stored",
        statements=(
            "ALTER TABLE stored_prediction ADD COLUMN IF NOT EXISTS halves USMALLINT[]",
            "ALTER TABLE stored_prediction RENAME TO prediction_of_lists",
            "CREATE TABLE stored_prediction AS SELECT * EXCLUDE (halves), "
            f"{packed('halves', bits=16)} AS halves, len(halves)::INTEGER AS classes "
            "FROM prediction_of_lists",
            "DROP TABLE prediction_of_lists",
            "CREATE TABLE stored_attention AS SELECT * EXCLUDE (map), "
            f"{packed('map', bits=8)} AS map_words, len(map)::INTEGER AS map_cells FROM attention",
            "DROP TABLE attention",
        ),
    ),
    Migration(
        version=7,
        summary="the specifications of each claim's curve are kept; there are none until the "
        "study is analyzed again",
    ),
)
"""In order; the last leads to ``store.ledger.SCHEMA_VERSION``."""


def steps_from(version: int, migrations: tuple[Migration, ...]) -> tuple[Migration, ...]:
    """Return the steps that a store of this version has yet to take, in order.

    Raises StoreError where one is missing: no software wrote such a version.
    """
    steps = tuple(sorted((m for m in migrations if m.version > version), key=lambda m: m.version))
    last = steps[-1].version if steps else version
    if [step.version for step in steps] != list(range(version + 1, last + 1)):
        raise StoreError(f"schema version {version} is none that was ever released")
    return steps
