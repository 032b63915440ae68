"""Hashes of a store's tables say what they hold, not where, when or in what order it came."""

import shutil
from pathlib import Path

import pytest
from store_file import change, hashes
from synthetic import SyntheticStudy, make_study

SMALL = {"seeds": 1, "strengths": (0,), "test_images": 20, "train_images": 20}


@pytest.fixture(scope="module")
def present(tmp_path_factory: pytest.TempPathFactory) -> SyntheticStudy:
    return make_study(tmp_path_factory.mktemp("study"), **SMALL)


def test_a_row_is_hashed_by_what_it_holds_not_by_its_place(present: SyntheticStudy, tmp_path: Path):
    store = tmp_path / "store.duckdb"
    shutil.copyfile(present.store, store)
    before = hashes(store)
    change(
        store,
        "CREATE TABLE turned AS SELECT * FROM epoch ORDER BY model_id DESC, epoch DESC",
        "DELETE FROM epoch",
        "INSERT INTO epoch SELECT * FROM turned",
        "DROP TABLE turned",
    )
    assert hashes(store) == before
    change(store, "UPDATE epoch SET train_loss = 0 WHERE model_id = 1 AND epoch = 1")
    changed = hashes(store)
    assert {name for name in before if before[name] != changed[name]} == {"epoch"}


def test_volatile_columns_are_left_out_of_the_hash(present: SyntheticStudy, tmp_path: Path):
    store = tmp_path / "store.duckdb"
    shutil.copyfile(present.store, store)
    change(store, "UPDATE model SET train_seconds = 9", "UPDATE shard SET host = 'other'")
    assert hashes(store) == hashes(present.store)
