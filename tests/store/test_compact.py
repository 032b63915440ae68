"""Compacting frees what a store's file does not use, and keeps what it holds."""

import shutil
from pathlib import Path

import pytest
from store_file import answered, change, hashes
from synthetic import SyntheticStudy, make_study

from store.doctor import examine
from store.schema import TABLES
from store.upkeep import compact

SMALL = {"seeds": 1, "strengths": (0,), "test_images": 20, "train_images": 20}


@pytest.fixture(scope="module")
def present(tmp_path_factory: pytest.TempPathFactory) -> SyntheticStudy:
    return make_study(tmp_path_factory.mktemp("study"), **SMALL)


def test_compact_frees_room_and_keeps_the_content(present: SyntheticStudy, tmp_path: Path):
    store = tmp_path / "store.duckdb"
    shutil.copyfile(present.store, store)
    change(
        store,
        "CREATE TABLE filler AS SELECT hash(range) AS x FROM range(1000000)",
        "CHECKPOINT",
        # written anew behind the filler: free room at the end of a file is given back as it is
        "UPDATE stored_attention SET map_words = map_words",
        "CHECKPOINT",
        "DROP TABLE filler",
        "CHECKPOINT",
    )
    before, size = hashes(store), store.stat().st_size
    done = compact(store)
    assert (done.before, done.after) == (size, store.stat().st_size)
    assert done.after < done.before - 4_000_000
    assert done.hashes == before == hashes(store)
    assert examine(store, present.shards) == []
    assert {path.name for path in tmp_path.iterdir()} == {store.name, f"{store.name}.lock"}


def test_the_command_says_what_it_did(present: SyntheticStudy, tmp_path: Path):
    store = tmp_path / "store.duckdb"
    shutil.copyfile(present.store, store)
    shown = answered("compact", store)
    assert f"{store}: " in shown
    assert "MiB before" in shown
    assert shown.count(", as before\n") == len(TABLES)
