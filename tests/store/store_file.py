"""What tests do with the file of a store: change it, hash what it holds, run a command on it."""

import subprocess
import sys
from pathlib import Path

import duckdb

from store.contents import table_hashes
from store.database import open_reader

ROOT = Path(__file__).parents[2]


def change(store: Path, *statements: str) -> None:
    with duckdb.connect(str(store)) as connection:
        for statement in statements:
            connection.execute(statement)


def hashes(store: Path) -> dict[str, str]:
    with open_reader(store) as reader:
        return table_hashes(reader)


def answered(*arguments: object) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "store", *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout
