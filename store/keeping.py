"""Fill the tables of ``store.kept``: block by block, in a database of that block alone."""

from collections.abc import Mapping
from typing import Final, Self

import duckdb
import polars as pl

from store.connection import MEMORY, SILENT, answer, insert, one_line, pass_on_an_interrupt
from store.errors import StoreError
from store.frame import Frame
from store.frames import EPOCH, IMAGE, MODEL, MODEL_PAIR, STORED_ATTENTION, STORED_PREDICTION
from store.kept import AGAIN, KEPT
from store.ledger import SHARD, STUDY
from store.migrations import Tables
from store.schema import quoted
from store.scratch import of_block, of_images, scratch_tables
from store.vocabulary import MODELS_PER_BLOCK_LIMIT

Rows = Mapping[Frame, pl.DataFrame]
"""Rows of several tables, by table."""

BROUGHT: Final = (MODEL, MODEL_PAIR, STORED_PREDICTION, STORED_ATTENTION, EPOCH)
"""What a block brings to a store's tables, and kept rows are made of."""

_AS_WRITTEN: Final = (
    # joins in an order that is guessed from sizes would add the same numbers up in another order
    "join_order",
    # and these make a small block's plan no faster, but longer to make than to run
    "statistics_propagation",
    "projection_pullup",
    "projection_placement",
    "expression_rewriter",
    "common_subplan",
    "common_aggregate",
    "aggregate_reuse",
    "aggregate_function_rewriter",
    "cte_filter_pusher",
    "duplicate_groups",
    "column_lifetime",
    "join_filter_pushdown",
)
"""Optimizers that are left out where the views see one block alone."""

_SCRATCH: Final = {
    "threads": "1",
    "memory_limit": MEMORY,
    "disabled_optimizers": ",".join(_AS_WRITTEN),
}


class BlockMeasures:
    """Makes the tables of KEPT by their views, block by block: a context manager.

    study, images: STUDY and IMAGE. The views see one block alone, in tables made for it, and one
    thread runs them, so the rows are the same bits whatever else is in the store or came before.
    """

    def __init__(self, *, study: pl.DataFrame, images: pl.DataFrame) -> None:
        self._side, self._method = int(study["grid"].item()), str(study["attention_method"].item())
        self._common = {STUDY: study, IMAGE: images.with_columns(png=pl.lit(None, pl.Binary()))}
        self._connection: duckdb.DuckDBPyConnection | None = None
        self._has_views = False

    def __enter__(self) -> Self:
        """Return itself; the database is made with the first block."""
        return self

    def __exit__(self, *_: object) -> None:
        """Let the database go."""
        if self._connection is not None:
            self._connection.close()
            self._connection, self._has_views = None, False

    def of(self, block: Rows) -> Rows:
        """Return the rows of KEPT for one block.

        block: its tables of BROUGHT, as they are stored. Raises StoreError where the rows do not
        hang together, KeyboardInterrupt where DuckDB was interrupted.
        """
        tables = {
            **{frame: block[frame] for frame in BROUGHT},
            STORED_ATTENTION: block[STORED_ATTENTION].with_columns(
                map_words=pl.lit(None, STORED_ATTENTION.schema["map_words"])
            ),
        }
        try:
            connection = self._opened()
            for statement in scratch_tables(BROUGHT):
                connection.execute(statement)
            for frame, rows in tables.items():
                insert(connection, frame, rows)
            for step in of_block(method=self._method):
                if step.always or not self._has_views:
                    connection.execute(step.statement)
            self._has_views = True
            return {frame: _made_again(connection, frame) for frame in KEPT}
        except (duckdb.Error, RuntimeError, ValueError) as error:
            pass_on_an_interrupt(error)
            raise StoreError(f"the measures of a block cannot be made: {one_line(error)}") from None

    def _opened(self) -> duckdb.DuckDBPyConnection:
        if self._connection is None:
            self._connection = duckdb.connect(config=dict(_SCRATCH))
            self._connection.execute(SILENT)
            for statement in scratch_tables((*self._common, *BROUGHT)):
                self._connection.execute(statement)
            for frame, rows in self._common.items():
                insert(self._connection, frame, rows)
            for statement in of_images(side=self._side):
                self._connection.execute(statement)
        return self._connection


def fill_kept(tables: Tables) -> None:
    """Empty a store's kept tables and make them anew of the rows that it holds."""
    study = tables.frame(f"SELECT * FROM {quoted(STUDY.name)}")
    images = tables.frame(f"SELECT * FROM {quoted(IMAGE.name)} ORDER BY image_id")
    for frame in KEPT:
        tables.run(f"DELETE FROM {quoted(frame.name)}")
    blocks = tables.frame(f"SELECT block FROM {quoted(SHARD.name)} ORDER BY block")["block"]
    with BlockMeasures(study=study, images=images) as measures:
        for block in blocks:
            rows = {frame: tables.frame(_of_block(frame, block)) for frame in BROUGHT}
            for frame, made in measures.of(rows).items():
                tables.insert(frame, made)


def _of_block(frame: Frame, block: int) -> str:
    first, key = block * MODELS_PER_BLOCK_LIMIT, quoted(frame.key[0])
    order = ", ".join(quoted(name) for name in frame.key)
    return (
        f"SELECT * FROM {quoted(frame.name)} WHERE {key} >= {first} "
        f"AND {key} < {first + MODELS_PER_BLOCK_LIMIT} ORDER BY {order}"
    )


def _made_again(connection: duckdb.DuckDBPyConnection, frame: Frame) -> pl.DataFrame:
    rows = answer(connection, f"SELECT * FROM {quoted(frame.name + AGAIN)}")
    return frame.check(rows).sort(frame.key)
