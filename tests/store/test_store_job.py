"""The store's job: which blocks it takes, and which packs it will not have."""

from pathlib import Path

import pytest
from synthetic import make_study, write_packs
from synthetic_study import write_study

from store.database import open_reader
from store.errors import StaleShardError, StoreError
from store.job import update_store

SMALL = {"seeds": 4, "strengths": (0, 1), "test_images": 30, "train_images": 20}


def test_the_job_takes_the_declared_blocks_alone(tmp_path: Path):
    study = make_study(tmp_path, **SMALL, built=False)
    ledger = tmp_path / "ledger.json"
    design, path = write_study(tmp_path, **{**SMALL, "seeds": 3})
    update_store(path, packs=study.packs, store=study.store, ledger=ledger)
    with open_reader(study.store) as reader:
        assert reader.frame("SELECT block FROM shard ORDER BY block")["block"].to_list() == [
            0,
            1,
            2,
        ]
    assert design.study_hash() in ledger.read_text()


def test_the_job_names_blocks_that_no_pack_holds(tmp_path: Path):
    study = make_study(tmp_path, **SMALL, built=False)
    with pytest.raises(StoreError, match=r"2 of 4 seed blocks .* 2, 3"):
        update_store(
            study.study_file,
            packs=study.packs[:1],
            store=study.store,
            ledger=tmp_path / "ledger.json",
        )
    assert not (tmp_path / "ledger.json").exists()


def test_the_job_finds_the_studys_packs_in_their_folder(tmp_path: Path):
    study = make_study(tmp_path, **SMALL, built=False)
    packs = study.results / "packs"
    # of a time when the study had more packs
    (packs / "00099.json").write_text("{}")
    job = {"store": study.store, "ledger": tmp_path / "ledger.json"}
    update_store(study.study_file, packs=[packs], **job)
    with open_reader(study.store) as reader:
        assert reader.frame("SELECT count(*) AS blocks FROM shard").item() == study.design.seeds
    study.packs[0].unlink()
    with pytest.raises(StoreError, match=r"seed blocks .* are in no pack"):
        update_store(study.study_file, packs=[packs], **job)
    with pytest.raises(StoreError, match=r"no pack of .* is there"):
        update_store(study.study_file, packs=[tmp_path], **job)


def test_a_pack_that_is_not_there_and_one_that_is_none_are_told_apart(tmp_path: Path):
    study = make_study(tmp_path, **SMALL, built=False)
    job = {"store": study.store, "ledger": tmp_path / "ledger.json"}
    study.packs[0].write_text("{}")
    with pytest.raises(StaleShardError, match=r"not a pack's manifest .* Delete it"):
        update_store(study.study_file, packs=study.packs, **job)
    study.packs[0].unlink()
    with pytest.raises(StaleShardError, match=r"00000\.json: no such file\. Run snakemake"):
        update_store(study.study_file, packs=study.packs, **job)


def test_the_job_notices_a_shard_that_is_not_its_packs(tmp_path: Path):
    study = make_study(tmp_path, **SMALL, built=False)
    pack = next(write_packs(study.design, study.results))
    pack.write_text(pack.read_text().replace('"content": "', '"content": "0'))
    with pytest.raises(StaleShardError, match=r"has content .* its pack"):
        update_store(
            study.study_file,
            packs=study.packs,
            store=study.store,
            ledger=tmp_path / "ledger.json",
        )
