"""A store's file and those beside it: whole or absent, one writer at a time."""

import fcntl
import os
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from store.errors import StoreError


@contextmanager
def lock(store: Path) -> Generator[None, None, None]:
    """Keep other writers out; readers need nothing."""
    store.parent.mkdir(parents=True, exist_ok=True)
    with store.with_name(f"{store.name}.lock").open("w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StoreError(f"{store}: another process is writing it; try again later") from None
        yield


def publish(finished: Path, store: Path) -> None:
    """Put a finished file in the store's place."""
    with finished.open("rb") as stream:
        os.fsync(stream.fileno())
    # a log left beside the former file is no part of this one
    log_of(store).unlink(missing_ok=True)
    finished.replace(store)


def copy_database(source: Path, target: Path) -> None:
    """Copy a database so that the target is whole or absent."""
    part = target.with_name(f"{target.name}.part")
    try:
        copy_file(source, part)
        log_of(target).unlink(missing_ok=True)
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


def remove_database(database: Path) -> None:
    """Delete a database and the log beside it."""
    database.unlink(missing_ok=True)
    log_of(database).unlink(missing_ok=True)


def log_of(database: Path) -> Path:
    """Return the name of the log that DuckDB writes beside a database."""
    return database.with_name(f"{database.name}.wal")
