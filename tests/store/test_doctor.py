"""Doctor names what is wrong, raises nothing on what is sound, and mends what is safe.

A part of all corruptions is tried here; ``make chaos`` tries them all, and 50 healthy stores.
"""

import fcntl
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import duckdb
import numpy as np
import polars as pl
import pytest
import trial
from corruptions import CORRUPTIONS, flip_bit
from released import conclude
from store_file import hashes
from synthetic import SyntheticStudy, copied
from synthetic_study import write_study

from store.database import open_reader
from store.doctor import examine
from store.errors import StoreError
from store.faults import Kind
from store.history import history_file, read_history
from store.mend import mend

BY_NAME = {corruption.name: corruption for corruption in CORRUPTIONS}
NAMED_HERE = (
    "a flipped bit in prediction.parquet",
    "attention.parquet cut short",
    "a manifest of another study",
    "a manifest that names another commit",
    "other images under the same name",
    "a stale ledger file",
    "rows doubled",
    "answers of a model that is not there",
    "masks of another tau",
    "a ledger row's content altered",
    "other strengths declared",
    "a NULL commit",
    "a view that says something else",
)
MENDED_HERE = ("two shards swapped", "an image altered", "a mask altered", "a stale pack")
ALIKE = ("an image altered", "a stale pack")
"""Mended in ways of which another one is tried beside it."""


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> SyntheticStudy:
    return trial.finished(tmp_path_factory.mktemp("sound"), **trial.CORRUPTED)


@pytest.fixture
def study(sound: SyntheticStudy, tmp_path: Path) -> SyntheticStudy:
    return copied(sound, tmp_path)


def test_corruptions_have_names_of_their_own_and_are_fifty_or_more():
    assert len(BY_NAME) == len(CORRUPTIONS) >= 50


def test_nothing_is_found_in_a_sound_study(sound: SyntheticStudy):
    assert examine(sound.store, sound.shards, sound.design) == []


@pytest.mark.parametrize("name", NAMED_HERE)
def test_a_corruption_is_named_with_its_repair(sound: SyntheticStudy, tmp_path: Path, name: str):
    _, faults = trial.corrupt(sound, BY_NAME[name], tmp_path, seed=1)
    assert any(re.search(BY_NAME[name].named, fault.what) for fault in faults), faults
    assert all(fault.repair and "\n" not in fault.what + fault.repair for fault in faults)


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.long) if name in ALIKE else name for name in MENDED_HERE],
)
def test_what_is_mended_is_as_it_was_and_nothing_is_trained_again(
    sound: SyntheticStudy, tmp_path: Path, name: str
):
    study, faults = trial.corrupt(sound, BY_NAME[name], tmp_path, seed=1)
    assert any(re.search(BY_NAME[name].named, fault.what) for fault in faults), faults
    assert trial.mended(study).done
    assert trial.train_what_is_missing(study, sound) == []
    assert hashes(study.store) == hashes(sound.store)
    assert examine(study.store, study.shards, study.design) == []


@pytest.mark.parametrize("seed", [0, 3])
def test_a_healthy_store_of_any_shape_is_not_suspected(tmp_path: Path, seed: int):
    study = trial.healthy(tmp_path, seed)
    assert examine(study.store, study.shards, study.design) == []


def test_a_shard_that_the_store_does_not_hold_either_is_trained_again(
    sound: SyntheticStudy, study: SyntheticStudy
):
    """Both copies of one block are damaged: the block goes to quarantine, no other does."""
    BY_NAME["a whole block taken out of the store"].apply(study, np.random.default_rng(1))
    flip_bit(study.members[1] / "epoch.parquet", np.random.default_rng(1))
    trial.mended(study)
    assert trial.train_what_is_missing(study, sound) == [1]
    assert hashes(study.store) == hashes(sound.store)
    kept = study.results / "quarantine" / study.members[1].name
    assert (kept / "epoch.parquet").is_file()


def test_a_store_without_shards_is_never_thrown_away(study: SyntheticStudy):
    """The store is the only copy, and one block of it is wrong."""
    BY_NAME["a row deleted"].apply(study, np.random.default_rng(1))
    shutil.rmtree(study.shards)
    before = study.store.read_bytes()
    left = mend(study.store, study.shards, study.design).left
    assert left
    everything = [p for p in study.results.rglob("store.duckdb*") if p.suffix != ".lock"]
    assert any(path.read_bytes() == before for path in everything)
    # the blocks whose rows have the ledger's hash are shards again
    assert sum(shard.is_dir() for shard in study.members) == 2


def test_a_store_that_cannot_be_opened_is_made_anew_from_the_study_and_its_shards(
    sound: SyntheticStudy, study: SyntheticStudy
):
    study.store.write_bytes(b"damaged")
    with pytest.raises(StoreError, match=r"--shards and the study file with --study"):
        mend(study.store, study.shards)
    mend(study.store, study.shards, study.design)
    assert hashes(study.store) == hashes(sound.store)
    assert (study.results / "quarantine" / "store.duckdb").read_bytes() == b"damaged"


def test_nothing_is_mended_while_a_workflow_is_at_work(study: SyntheticStudy):
    (study.shards / ".block-00001.unfinished").mkdir()
    with (study.results / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert examine(study.store, study.shards) == []
        with pytest.raises(StoreError, match=r"another run is working"):
            mend(study.store, study.shards)
    assert [f.kind for f in examine(study.store, study.shards)] == [Kind.LEFTOVER]


def test_a_study_file_that_changed_since_is_told_from_damage(study: SyntheticStudy, tmp_path: Path):
    (tmp_path / "other").mkdir()
    shape = {**trial.CORRUPTED, "tau": 0.7}
    other, _ = write_study(tmp_path / "other", **shape)
    faults = examine(study.store, study.shards, other)
    assert [fault.kind for fault in faults] == [Kind.SURPLUS]
    assert "changed since: attention" in faults[0].what


def test_a_study_of_other_numbers_leaves_sound_shards_where_they_are(
    study: SyntheticStudy, tmp_path: Path
):
    (tmp_path / "other").mkdir()
    other, _ = write_study(tmp_path / "other", **{**trial.CORRUPTED, "train_images": 21})
    mend(study.store, study.shards, other)
    assert all(shard.is_dir() for shard in study.members)
    assert examine(study.store, study.shards) == []


@pytest.fixture
def concluded(study: SyntheticStudy) -> SyntheticStudy:
    """A study that was analyzed: it has a history of findings, in the store and beside it."""
    conclude(study.store)
    return study


def _history(store: Path) -> pl.DataFrame:
    with open_reader(store) as reader:
        return reader.frame("SELECT * FROM finding_history")


def _cut(study: SyntheticStudy) -> None:
    path = history_file(study.store)
    path.write_bytes(path.read_bytes()[:-10])


def _alter(study: SyntheticStudy) -> None:
    """Change rows of the file such that it is Parquet all the same."""
    path = history_file(study.store)
    rows = pl.read_parquet(path).with_columns(verdict=pl.lit("refuted"))
    rows.write_parquet(path, metadata=pl.read_parquet_metadata(path))


def _sql(statement: str) -> Callable[[SyntheticStudy], None]:
    def apply(study: SyntheticStudy) -> None:
        with duckdb.connect(str(study.store)) as connection:
            connection.execute(statement)

    return apply


@pytest.mark.long
@pytest.mark.parametrize(
    ("harm", "named"),
    [
        (_cut, r"finding_history\.parquet: cannot be read"),
        (_alter, r"finding_history\.parquet: .* not those that were written"),
        (_sql("DELETE FROM finding_history"), r"not the history that the store holds"),
        (_sql("UPDATE finding_history SET verdict = 'refuted'"), r"not the history that"),
        (
            _sql("INSERT INTO finding_history SELECT * FROM finding_history"),
            r"finding_history: 1 keys .* stand more than once",
        ),
        (
            _sql("UPDATE finding_history SET study = 'other'"),
            r"finding_history\.study: 1 values are not in study\.study",
        ),
    ],
    ids=["cut", "altered beside", "deleted", "altered within", "doubled", "of another study"],
)
def test_a_harmed_history_of_findings_is_named_and_mended(
    concluded: SyntheticStudy, harm: Callable[[SyntheticStudy], None], named: str
):
    before = _history(concluded.store)
    assert before.height == 1
    assert examine(concluded.store, concluded.shards, concluded.design) == []
    harm(concluded)
    faults = examine(concluded.store, concluded.shards, concluded.design)
    assert any(re.search(named, fault.what) for fault in faults), faults
    assert trial.mended(concluded).left == ()
    assert _history(concluded.store).equals(before)
    assert read_history(concluded.store).equals(before)


def test_a_store_made_anew_goes_on_with_the_history_of_the_former(concluded: SyntheticStudy):
    before = _history(concluded.store)
    history_file(concluded.store).unlink()
    BY_NAME["a row deleted"].apply(concluded, np.random.default_rng(1))
    assert trial.mended(concluded).left == ()
    assert _history(concluded.store).equals(before)


def test_a_damaged_history_beside_a_damaged_store_hinders_no_repair(concluded: SyntheticStudy):
    concluded.store.write_bytes(b"damaged")
    history_file(concluded.store).write_bytes(b"damaged")
    assert trial.mended(concluded).left == ()
    kept = concluded.results / "quarantine" / history_file(concluded.store).name
    assert kept.read_bytes() == b"damaged"
