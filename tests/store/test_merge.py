"""Merging: the store that all shards together give, or a refusal that names what differs."""

import json
import shutil
from pathlib import Path

import duckdb
import polars as pl
import pytest
from synthetic import (
    SyntheticStudy,
    environment,
    make_study,
    publish,
)

from store.builder import build
from store.database import open_reader
from store.design import TRAINING_PROTOCOL, Design
from store.doctor import examine
from store.errors import StoreError
from store.frames import SHARD_FRAMES
from store.job import update_store
from store.merge import merge
from store.schema import TABLES
from store.shard import content_hash, read_table, write_images, write_shard

SMALL = {
    "seeds": 4,
    "strengths": (0,),
    "arms": ("fixed",),
    "test_images": 20,
    "train_images": 20,
}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> SyntheticStudy:
    folder = tmp_path_factory.mktemp("study")
    return make_study(folder, **SMALL, failed=[(1, 0)], built=False)


@pytest.fixture(scope="module")
def first(study: SyntheticStudy) -> Path:
    """A store of block 0, not to be changed."""
    return store_of(study, study.results / "first.duckdb", [0])


@pytest.fixture(scope="module")
def second(study: SyntheticStudy) -> Path:
    """A store of block 1, not to be changed."""
    return store_of(study, study.results / "second.duckdb", [1])


def store_of(study: SyntheticStudy, place: Path, blocks: list[int]) -> Path:
    build(
        place,
        design=study.design,
        shards=study.shards,
        members=[study.members[block] for block in blocks],
    )
    return place


def contents(store: Path) -> dict[str, str]:
    """Content hash of every table, volatile columns left out."""
    with open_reader(store) as reader:
        return {
            frame.name: content_hash(frame, reader.frame(f'SELECT * FROM "{frame.name}"'))
            for frame in TABLES
        }


def test_two_halves_give_the_store_of_all_shards(study: SyntheticStudy, tmp_path: Path):
    one = store_of(study, tmp_path / "one.duckdb", [0, 2, 3])
    other = store_of(study, tmp_path / "other.duckdb", [1, 2])
    merged = merge([one, other], tmp_path / "both.duckdb")
    whole = store_of(study, tmp_path / "whole.duckdb", [0, 1, 2, 3])
    assert merged.conflicts == ()
    assert merged.missing == ()
    assert contents(tmp_path / "both.duckdb") == contents(whole)
    assert examine(tmp_path / "both.duckdb", None) == []
    with open_reader(whole) as a, open_reader(tmp_path / "both.duckdb") as b:
        # times and hosts go with their blocks
        for name in ("shard", "model", "measures"):
            sql = f"SELECT * FROM {name} ORDER BY ALL"
            assert a.frame(sql).equals(b.frame(sql))
    # the shards of all blocks find nothing to do
    before = (tmp_path / "both.duckdb").stat().st_mtime_ns
    store_of(study, tmp_path / "both.duckdb", [0, 1, 2, 3])
    assert (tmp_path / "both.duckdb").stat().st_mtime_ns == before


def test_seeds_are_declared_up_to_the_last_block_and_gaps_are_named(
    study: SyntheticStudy, first: Path, tmp_path: Path
):
    one = first
    other = store_of(study, tmp_path / "other.duckdb", [2])
    merged = merge([other, one], tmp_path / "both.duckdb")
    assert merged.missing == (1,)
    assert merged.design.seeds == 3
    with open_reader(tmp_path / "both.duckdb") as reader:
        seeds, declaration = reader.frame("SELECT seeds, declaration FROM study").row(0)
    assert seeds == json.loads(declaration)["seeds"] == 3


def other_content(study: SyntheticStudy, folder: Path, block: int) -> Path:
    """The same block as another machine had it: other predictions, another torch."""
    tables = {frame.name: read_table(study.members[block], frame) for frame in SHARD_FRAMES}
    tables["prediction"] = tables["prediction"].with_columns(
        predicted=(pl.col("predicted") + 1) % 10
    )
    shards = folder / "shards"
    shards.mkdir(parents=True)
    images = next(study.shards.glob("images-*.parquet"))
    shutil.copy(images, shards / images.name)
    write_shard(
        shards,
        study=study.design.study,
        block=block,
        key=study.design.shard_key(block),
        protocol=TRAINING_PROTOCOL,
        images=images.name,
        tables=tables,
        environment=environment(block).model_copy(update={"torch": "2.12.0", "host": "far"}),
    )
    store = folder / "store.duckdb"
    build(store, design=study.design, shards=shards, members=[shards / study.members[block].name])
    return store


def test_blocks_that_differ_are_named_and_nothing_is_written(study: SyntheticStudy, tmp_path: Path):
    here = store_of(study, tmp_path / "here.duckdb", [0, 1])
    there = other_content(study, tmp_path / "there", 1)
    merged = merge([here, there], tmp_path / "both.duckdb")
    assert merged.ledger is None
    assert [conflict.block for conflict in merged.conflicts] == [1]
    said = str(merged.conflicts[0])
    assert said == (
        f"block 1 differs between {here} and {there}: table prediction; trained with torch "
        "2.13.0 and 2.12.0"
    )
    assert not (tmp_path / "both.duckdb").exists()
    assert not list(tmp_path.glob("both.duckdb.next*"))


def test_the_preferred_store_counts_where_they_differ(study: SyntheticStudy, tmp_path: Path):
    here = store_of(study, tmp_path / "here.duckdb", [0, 1])
    there = other_content(study, tmp_path / "there", 1)
    merged = merge([here, there], tmp_path / "both.duckdb", prefer=there)
    assert merged.ledger is not None
    assert merged.ledger["block"].to_list() == [0, 1]
    with open_reader(tmp_path / "both.duckdb") as both, open_reader(there) as source:
        sql = "SELECT * FROM prediction WHERE model_id >= 1000 ORDER BY ALL"
        assert both.frame(sql).equals(source.frame(sql))
        trained = both.frame("SELECT torch FROM environment ORDER BY torch")
        assert trained["torch"].to_list() == ["2.12.0", "2.13.0"]
    assert examine(tmp_path / "both.duckdb", None) == []


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"train_images": 25}, r"dataset.train_subset.size is 20 in .* and 25 in "),
        ({"tau": 0.6}, r"attention.tau is 0.4 in .* and 0.6 in "),
    ],
    ids=["numbers", "threshold"],
)
def test_stores_of_different_studies_are_refused_with_what_differs(
    first: Path, tmp_path: Path, change: dict[str, float], named: str
):
    (tmp_path / "other").mkdir()
    foreign = make_study(tmp_path / "other", **{**SMALL, "seeds": 1, **change})
    with pytest.raises(StoreError, match=rf"^these are stores of different studies: .*{named}"):
        merge([first, foreign.store], tmp_path / "both.duckdb")
    assert not (tmp_path / "both.duckdb").exists()


def test_other_words_claims_and_images_are_another_study(
    study: SyntheticStudy, first: Path, tmp_path: Path
):
    title = "<b>x</b>; DROP TABLE model"
    declared = study.design.model_dump(mode="json") | {"title": title}
    declared["claims"]["H2a"]["sesoi"]["generalization_gap"] = 0.5
    design = Design.model_validate(declared)
    images = pl.read_parquet(next(study.shards.glob("images-*.parquet")))
    name = write_images(tmp_path / "shards", images.with_columns(class_name=pl.lit("x")))
    tables = {frame.name: read_table(study.members[1], frame) for frame in SHARD_FRAMES}
    publish(design, tmp_path / "shards", 1, name, tables)
    member = tmp_path / "shards" / study.members[1].name
    build(tmp_path / "s.duckdb", design=design, shards=tmp_path / "shards", members=[member])
    with pytest.raises(StoreError) as refused:
        merge([first, tmp_path / "s.duckdb"], tmp_path / "both.duckdb")
    message = str(refused.value)
    assert "\n" not in message
    assert f'title is "Drawn numbers" in {first} and "{title}" in ' in message
    assert "claims.H2a.sesoi.generalization_gap is 0.02 in " in message
    assert "images seen is " in message


def test_what_says_only_how_much_was_run_may_differ(
    study: SyntheticStudy, first: Path, tmp_path: Path
):
    declared = study.design.model_dump(mode="json") | {"seeds": 9, "pack_size": 3}
    design = Design.model_validate(declared)
    other = tmp_path / "other.duckdb"
    build(other, design=design, shards=study.shards, members=study.members[3:])
    merged = merge([first, other], tmp_path / "both.duckdb")
    assert merged.design == study.design


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE stored_prediction SET predicted = 9 - predicted WHERE model_id = 1",
        "UPDATE image SET label = 1",
        "UPDATE shard SET key = 'x'",
    ],
)
def test_a_damaged_store_is_not_merged(first: Path, second: Path, tmp_path: Path, damage: str):
    one = tmp_path / "one.duckdb"
    shutil.copy(first, one)
    with duckdb.connect(str(one)) as connection:
        connection.execute(damage)
    with pytest.raises(StoreError, match=r"one\.duckdb: .*; run python -m store doctor on it"):
        merge([one, second], tmp_path / "both.duckdb")
    assert not list(tmp_path.glob("both.duckdb*[!k]"))


def test_masks_are_made_of_the_maps_again(first: Path, second: Path, tmp_path: Path):
    one = tmp_path / "one.duckdb"
    shutil.copy(first, one)
    with duckdb.connect(str(one)) as connection:
        connection.execute("UPDATE stored_attention SET mask_0 = 0, mask_cells = 0")
    merge([one, second], tmp_path / "both.duckdb")
    with open_reader(first) as source, open_reader(tmp_path / "both.duckdb") as both:
        sql = "SELECT * FROM attention WHERE model_id < 1000 ORDER BY ALL"
        assert both.frame(sql).equals(source.frame(sql))


def test_wrong_arguments_are_refused(first: Path, second: Path, tmp_path: Path):
    one, other = first, second
    for stores, into, prefer, named in (
        ([one], tmp_path / "x", None, "two stores or more"),
        ([one, one], tmp_path / "x", None, "each named once"),
        ([one, other], other, None, "exists already"),
        ([one, other], tmp_path / "x", tmp_path / "y", "not among the stores"),
        ([one, tmp_path / "absent"], tmp_path / "x", None, "no such store"),
    ):
        with pytest.raises(StoreError, match=named):
            merge(stores, into, prefer=prefer)
    assert not (tmp_path / "x").exists()


def test_two_machines_build_what_their_packs_hold(tmp_path: Path):
    stores = []
    for name, pack in (("here", 0), ("there", 1)):
        (tmp_path / name).mkdir()
        study = make_study(tmp_path / name, **SMALL, built=False)
        store, ledger = study.results / "store.duckdb", study.results / "ledger.json"
        with pytest.raises(StoreError, match="2 of 4 seed blocks"):
            update_store(study.study_file, packs=[study.packs[pack]], store=store, ledger=ledger)
        update_store(
            study.study_file, packs=[study.packs[pack]], store=store, ledger=ledger, partial=True
        )
        assert len(json.loads(ledger.read_text())["shards"]) == 2
        stores.append(store)
    merged = merge(stores, tmp_path / "both.duckdb")
    assert merged.ledger is not None
    assert merged.ledger["block"].to_list() == [0, 1, 2, 3]
