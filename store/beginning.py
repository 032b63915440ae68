"""What a build begins with: what a store is, and the file beside it that is to take its place."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from store.connection import Writer, transaction, writer
from store.database import open_database, renew_file, version_of
from store.errors import StoreError
from store.files import copy_database, publish, remove_database
from store.ledger import SCHEMA_VERSION, SHARD, STUDY, contents
from store.migrations import MIGRATIONS, steps_from
from store.renewal import create
from store.schema import quoted, schema

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class State:
    """What a store says that it is: rows of STUDY and of SHARD."""

    study: pl.DataFrame
    ledger: pl.DataFrame

    def is_(self, study: pl.DataFrame, wanted: Mapping[str, str]) -> bool:
        """Whether it is of this study and holds these shards, contents by names."""
        return self.study.equals(study) and contents(self.ledger) == wanted

    def grows_into(self, study: pl.DataFrame, wanted: Mapping[str, str]) -> bool:
        """Whether all that it holds belongs to what is wanted."""
        # what is made of a block on the way in depends on these
        fixed = [
            *("study", "classes", "grid", "attention_method", "tau", "logits_type", "images"),
            *("schema_version", "schema_hash"),
        ]
        same = self.study.select(fixed).equals(study.select(fixed))
        return same and contents(self.ledger).items() <= wanted.items()


def state_of(store: Path) -> State | None:
    """Read what a store is; None where there is none of this schema or it cannot be read."""
    try:
        if not store.is_file():
            return None
        with open_database(store) as reader:
            if version_of(reader, store) != SCHEMA_VERSION:
                return None
            study = reader.frame(f"SELECT * FROM {quoted(STUDY.name)}")
            ledger = reader.frame(f"SELECT * FROM {quoted(SHARD.name)} ORDER BY block")
            return State(study, ledger)
    except StoreError:
        # a store is made of shards: what cannot be read is made anew
        return None


def bring_up_to_date(store: Path) -> None:
    """Migrate a store, or give it this software's views, where that is as good as a new one.

    Raises StoreError where a newer version wrote it.
    """
    if not store.is_file():
        return
    try:
        with open_database(store) as reader:
            version = version_of(reader, store)
            steps = steps_from(version, MIGRATIONS)
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
        copy_database(store, fresh)
        renew_file(fresh)
        publish(fresh, store)
    except StoreError as error:
        _log.warning("%s; the store is made anew from its shards", error)
    finally:
        remove_database(fresh)


def prepare(
    store: Path, unfinished: Path, study: pl.DataFrame, wanted: Mapping[str, str], *, side: int
) -> None:
    """Leave beside the store what the build goes on from.

    That is a killed build's file, a copy of the store, or a store without rows.
    """
    begun = state_of(unfinished)
    if begun is not None and begun.grows_into(study, wanted):
        return
    remove_database(unfinished)
    present = state_of(store)
    if present is not None and present.grows_into(study, wanted):
        copy_database(store, unfinished)
    else:
        write_empty(unfinished, side)


_empty: dict[int, bytes] = {}
"""Files of stores without rows, by the side of their maps, as this process made them."""


def write_empty(path: Path, side: int) -> None:
    """Make a store without rows: by many hundred statements once, then as a copy of that."""
    if side in _empty:
        try:
            path.write_bytes(_empty[side])
        except OSError as error:
            # a full disk is noticed while writing, when Python no longer says of which file
            error.filename = str(path)
            raise
        return
    with writer(path) as connection, transaction(connection):
        create(Writer(connection), side)
    _empty[side] = path.read_bytes()
