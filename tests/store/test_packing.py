import pytest
import synthetic

from store.doctor import examine
from store.errors import UserError
from store.packing import Packing, decide, declared_packing, packing_of, read_decision


def _never():
    raise AssertionError("measured though it is known")


def test_without_a_decision_packs_are_as_declared(tmp_path):
    study = synthetic.make_study(tmp_path, seeds=5)
    assert read_decision(tmp_path) is None
    assert packing_of(study.design, tmp_path) == declared_packing(study.design) == Packing(5, 2)


@pytest.mark.parametrize(
    ("minutes", "seconds", "size"), [(30, 60, 30), (30, 61, 29), (1, 600, 1), (0.5, 10, 3)]
)
def test_a_pack_has_as_many_blocks_as_fit_into_its_minutes(tmp_path, minutes, seconds, size):
    decided = decide(tmp_path, pack_minutes=minutes, block_seconds=lambda: (seconds, "a trial"))
    assert decided.pack_size == size
    assert read_decision(tmp_path) == decided


def test_a_decision_stays_and_is_not_measured_again(tmp_path):
    first = decide(tmp_path, pack_minutes=30, block_seconds=lambda: (60, "a trial"))
    written = (tmp_path / "packing.json").stat().st_mtime_ns
    assert decide(tmp_path, pack_minutes=30, block_seconds=_never) == first
    assert (tmp_path / "packing.json").stat().st_mtime_ns == written
    other = decide(tmp_path, pack_minutes=10, block_seconds=_never)
    assert (other.pack_size, other.block_seconds, other.measured) == (10, 60, "a trial")


def test_a_decision_changes_no_key_and_no_hash(tmp_path):
    study = synthetic.make_study(tmp_path, seeds=5)
    before = [study.design.shard_key(block) for block in range(5)], study.design.study_hash()
    decide(tmp_path, pack_minutes=30, block_seconds=lambda: (600, "a trial"))
    assert packing_of(study.design, tmp_path) == Packing(5, 3)
    assert before == (
        [study.design.shard_key(block) for block in range(5)],
        study.design.study_hash(),
    )


def test_every_block_is_in_one_pack():
    packing = Packing(seeds=10, size=4)
    dealt = [list(packing.blocks_of(pack)) for pack in range(packing.packs)]
    assert dealt == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert [packing.pack_of(block) for block in range(10)] == [0, 0, 0, 0, 1, 1, 1, 1, 2, 2]


def test_a_damaged_decision_is_named(tmp_path):
    (tmp_path / "packing.json").write_text('{"pack_size": 0}')
    with pytest.raises(UserError, match=r"packing\.json: not a packing; delete it"):
        read_decision(tmp_path)


def test_doctor_looks_for_the_packs_that_were_decided(tmp_path):
    study = synthetic.make_study(tmp_path, seeds=4)
    assert not examine(study.store, study.shards, study.design)
    decide(study.results, pack_minutes=30, block_seconds=lambda: (1800, "a trial"))
    packs = study.results / "packs"
    named = {fault.path for fault in examine(study.store, study.shards, study.design)}
    assert named == {packs / f"{pack:05d}.json" for pack in range(4)}
    decide(study.results, pack_minutes=60, block_seconds=_never)
    assert not examine(study.store, study.shards, study.design)
