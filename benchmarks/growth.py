"""What it takes to grow a stored study by one seed: ``python -m benchmarks.growth --blocks 50``.

A drawn study is stored, then declared with one seed more, and its store brought up to date while
the tables of all other shards are out of reach. Beside it the store is made anew: the price that
growing saves.
"""

import argparse
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl

from store.builder import build
from store.database import open_reader
from tests.synthetic import write_shards
from tests.synthetic_study import write_study


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--blocks", type=int, default=50, help="seeds before (default: 50)")
    parser.add_argument("--test-images", type=int, default=60, help="default: 60")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        measure(Path(folder), blocks=chosen.blocks, test_images=chosen.test_images)


def measure(folder: Path, *, blocks: int, test_images: int) -> None:
    grown, _ = write_study(folder, seeds=blocks + 1, test_images=test_images)
    before, _ = write_study(folder, seeds=blocks, test_images=test_images)
    members = write_shards(grown, folder / "shards")
    store, anew = folder / "store.duckdb", folder / "anew.duckdb"
    shards = folder / "shards"
    took = _timed(store, design=before, shards=shards, members=members[:-1])
    rows = _rows(store)
    size = store.stat().st_size
    print(f"{blocks} blocks: {rows.sum()} rows, {size / 2**20:.1f} MiB, stored in {took[0]:.1f} s")
    with _hidden(members[:-1], folder / "hidden"):
        took = _timed(store, design=grown, shards=shards, members=members)
    brought = _rows(store) - rows
    print(
        f"one block more: {brought.sum()} rows touched ({', '.join(map(str, brought))}), "
        f"{took[0]:.2f} s wall, {took[1]:.2f} s processor"
    )
    took = _timed(anew, design=grown, shards=shards, members=members)
    print(f"made anew: {took[0]:.2f} s wall, {took[1]:.2f} s processor")


def _timed(store: Path, **what: object) -> tuple[float, float]:
    wall, processor = time.perf_counter(), time.process_time()
    build(store, **what)
    return time.perf_counter() - wall, time.process_time() - processor


def _rows(store: Path) -> pl.Series:
    with open_reader(store) as reader:
        counts = [
            reader.frame(f"SELECT count(*) FROM {name}").item()
            for name in ("model", "model_pair", "prediction", "attention", "epoch", "shard")
        ]
    return pl.Series(counts)


@contextmanager
def _hidden(shards: tuple[Path, ...], aside: Path) -> Iterator[None]:
    """Take the tables of shards away, so that nothing can read them; leave the manifests."""
    tables = [path for shard in shards for path in shard.glob("*.parquet")]
    aside.mkdir()
    for number, table in enumerate(tables):
        table.rename(aside / str(number))
    try:
        yield
    finally:
        for number, table in enumerate(tables):
            (aside / str(number)).rename(table)


if __name__ == "__main__":
    main()
