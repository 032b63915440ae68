"""Migrate and compact a store: on a file beside it that takes its place once it is checked."""

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from store.builder import copy_tables, replacing
from store.contents import table_hashes
from store.database import open_reader, renew_file, schema_version
from store.errors import StoreError
from store.files import copy_file
from store.ledger import SCHEMA_VERSION
from store.migrations import MIGRATIONS, Migration, steps_from
from store.schema import schema

_RENEWED: Final = "views, and measures that are kept of them, made anew by this software"


@dataclass(frozen=True, slots=True, kw_only=True)
class Migrated:
    """What a migration did. kept: the file as it was. steps: what changed, in words.

    Of a store of the present version, the one step is that its views were other software's.
    """

    before: int
    after: int
    steps: tuple[str, ...]
    kept: Path | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Compacted:
    """Sizes in bytes before and after, and the content hash of every table, by its name."""

    before: int
    after: int
    hashes: dict[str, str]


def migrate(store: Path, *, migrations: tuple[Migration, ...] = MIGRATIONS) -> Migrated:
    """Bring a store to the present schema, without its shards.

    Where its version was older, the file as it was is kept beside it. One of this version whose
    views are those of other software is given this software's.

    Raises StoreError where it is no store, of a newer schema, or a migration fails; the store is
    then as it was.
    """
    version = schema_version(store)
    steps = steps_from(version, migrations)
    if version > SCHEMA_VERSION:
        open_reader(store)
    if _is_current(store):
        return Migrated(before=version, after=version, steps=(), kept=None)
    kept = store.with_name(f"{store.name}.schema-{version}") if steps else None
    with replacing(store) as fresh:
        copy_file(store, fresh)
        renew_file(fresh, migrations=migrations)
        # every table can be read whole, with the columns that this software knows
        _hashes(fresh)
        if kept is not None:
            _keep(store, kept)
    summaries = tuple(step.summary for step in steps) or (_RENEWED,)
    return Migrated(before=version, after=SCHEMA_VERSION, steps=summaries, kept=kept)


def compact(store: Path) -> Compacted:
    """Write a store anew without free blocks; what it holds is compared by hash first.

    Raises StoreError where it is no store of the present schema, cannot be read or the copy
    differs; the store is then as it was.
    """
    if schema_version(store) <= SCHEMA_VERSION and not _is_current(store):
        raise StoreError(
            f"{store}: written by other software; run python -m store migrate {store} first"
        )
    before = store.stat().st_size
    with replacing(store) as fresh:
        former = _hashes(store)
        copy_tables(store, fresh)
        found = _hashes(fresh)
        changed = sorted(name for name in former if found[name] != former[name])
        if changed:
            raise StoreError(
                f"{store}: {', '.join(changed)} came out differently; the store is as it was. Run "
                "python -m store doctor on it."
            )
    return Compacted(before=before, after=store.stat().st_size, hashes=found)


def _hashes(store: Path) -> dict[str, str]:
    with open_reader(store) as reader:
        return table_hashes(reader)


def _is_current(store: Path) -> bool:
    """Whether tables and views are as this software makes them."""
    if schema_version(store) != SCHEMA_VERSION:
        return False
    with open_reader(store) as reader:
        return reader.frame("SELECT schema_hash FROM study").item() == schema().digest


def _keep(store: Path, kept: Path) -> None:
    """Give the present file a second name, which stays when the first goes to another file."""
    if kept.exists():
        return
    with contextlib.suppress(OSError):
        os.link(store, kept)
        return
    # a file system without hard links
    part = kept.with_name(f"{kept.name}.part")
    copy_file(store, part)
    part.replace(kept)
