"""What the store keeps of its views, and what it leaves out for small maps, changes no answer."""

import hashlib
from pathlib import Path

import duckdb
import numpy as np
import polars as pl
import pytest
from synthetic import SyntheticStudy, make_study

from store import builder, keeping
from store.builder import build
from store.contents import rows_of_block
from store.database import open_reader
from store.doctor import examine
from store.errors import StaleShardError, StoreError
from store.frames import EPOCH, IMAGE, STORED_PREDICTION
from store.keeping import BROUGHT, BlockMeasures
from store.kept import AGAIN, KEPT, MAKING
from store.ledger import STUDY
from store.schema import schema
from store.vocabulary import AttentionMethod

SMALL = {"seeds": 3, "strengths": (0, 1), "test_images": 40, "train_images": 20}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> SyntheticStudy:
    return make_study(tmp_path_factory.mktemp("study"), **SMALL, failed=[(1, 5)])


def test_what_is_kept_is_what_the_views_make_of_all_images(study: SyntheticStudy):
    with open_reader(study.store) as reader:
        for frame in KEPT:
            order = f"ORDER BY {', '.join(frame.key)}"
            kept = reader.frame(f"SELECT * FROM {frame.name} {order}")
            again = reader.frame(f"SELECT * FROM {frame.name}{AGAIN} {order}")
            assert kept.height == again.height > 0
            for name in kept.columns:
                one, other = kept[name], again[name]
                assert (one.is_null() == other.is_null()).all(), name
                if one.dtype == pl.Float64():
                    # whole tables may be summed in another order than a block's
                    one, other = one.drop_nulls(), other.drop_nulls()
                    np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-14, err_msg=name)
                else:
                    assert one.equals(other), name


def test_a_failed_student_has_rows_of_what_is_known_of_its_teachers(study: SyntheticStudy):
    with open_reader(study.store) as reader:
        rows = reader.frame("SELECT * FROM measured WHERE student_id = 1005")
        cells = reader.frame("SELECT * FROM contingency WHERE student_id = 1005")
    assert rows["half"].sort().to_list() == ["a", "all", "b"]
    assert rows["test_accuracy"].null_count() == 3
    assert rows["test_accuracy_teachers"].null_count() == 0
    assert cells.height == 0


def test_a_block_that_cannot_be_measured_does_not_hold_up_the_next(study: SyntheticStudy):
    with open_reader(study.store) as reader:
        rows = {frame: reader.frame(f"SELECT * FROM {frame.name}") for frame in (STUDY, IMAGE)}
        one = {frame: rows_of_block(reader, frame, 0) for frame in (*BROUGHT, *KEPT)}
    broken = {**one, EPOCH: one[EPOCH].rename({"epoch": "spoch"})}
    with BlockMeasures(study=rows[STUDY], images=rows[IMAGE]) as measures:
        with pytest.raises(StoreError, match="measures of a block cannot be made"):
            measures.of(broken)
        made = measures.of(one)
    assert all(made[frame].equals(one[frame]) for frame in KEPT)


def test_rows_come_out_in_the_bits_that_stores_have(tmp_path: Path):
    # of whole numbers and quotients alone, which are the same on every machine; where this
    # changes, MAKING has to be raised, or doctor takes stores made before for damaged
    shape = {"seeds": 1, "teachers": 3, "strengths": (0, 0.5, 1), "test_images": 500}
    made = make_study(tmp_path, **shape)
    names = ("attention_iou", "attention_iou_published", "agreement_teacher_teacher")
    with open_reader(made.store) as reader:
        rows = reader.frame(f"SELECT {', '.join(names)} FROM measured ORDER BY student_id, half")
    digest = hashlib.sha256(rows.fill_null(-1).to_numpy().tobytes()).hexdigest()
    assert (MAKING, digest[:16]) == (2, "8bfeba7b1e46ff3f")


def tables(store: Path) -> dict[str, pl.DataFrame]:
    names = ("stored_prediction", "stored_attention", "model", "shard", "environment", "measured")
    with open_reader(store) as reader:
        return {name: reader.frame(f"SELECT * FROM {name}") for name in names}


@pytest.mark.parametrize("at_once", [1, 10**9])
def test_how_many_blocks_come_in_at_once_leaves_no_trace(
    study: SyntheticStudy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_once: int
):
    monkeypatch.setattr(builder, "_ROWS_AT_ONCE", at_once)
    store = tmp_path / "s.duckdb"
    build(store, design=study.design, shards=study.shards, members=study.members)
    for name, rows in tables(study.store).items():
        assert tables(store)[name].equals(rows), name


def test_rows_lie_in_the_order_of_their_key_so_that_one_model_is_found_at_once(
    study: SyntheticStudy,
):
    rows = tables(study.store)["stored_prediction"].select(STORED_PREDICTION.key)
    assert rows.equals(rows.sort(STORED_PREDICTION.key))


def test_a_block_that_cannot_be_read_does_not_hold_up_those_before_it(
    study: SyntheticStudy, tmp_path: Path
):
    store = tmp_path / "s.duckdb"
    table = study.members[2] / "epoch.parquet"
    whole = table.read_bytes()
    table.write_bytes(whole[:-1])
    with pytest.raises(StaleShardError, match=r"epoch.parquet is damaged"):
        build(store, design=study.design, shards=study.shards, members=study.members)
    table.write_bytes(whole)
    with duckdb.connect(str(store.with_name("s.duckdb.next")), read_only=True) as connection:
        held = connection.execute("SELECT block FROM shard ORDER BY block").fetchall()
    assert held == [(0,), (1,)]


def test_ctrl_c_while_a_block_is_measured_ends_the_work(
    study: SyntheticStudy, monkeypatch: pytest.MonkeyPatch
):
    def interrupted(*_: object) -> pl.DataFrame:
        # what DuckDB makes of a KeyboardInterrupt
        raise RuntimeError("Query interrupted")

    monkeypatch.setattr(keeping, "answer", interrupted)
    with pytest.raises(KeyboardInterrupt):
        examine(study.store, study.shards, study.design)


def test_another_attention_method_makes_the_measures_anew(study: SyntheticStudy, tmp_path: Path):
    store = tmp_path / "s.duckdb"
    attention = study.design.attention.model_copy(update={"primary": AttentionMethod.CAM_PREDICTED})
    design = study.design.model_copy(update={"attention": attention})
    found = []
    for each in (study.design, design):
        build(store, design=each, shards=study.shards, members=study.members)
        with open_reader(store) as reader:
            found.append(reader.frame("SELECT attention_iou FROM measures ORDER BY student_id"))
    assert not found[0].equals(found[1])


@pytest.mark.parametrize("side", [8, 16])
def test_cells_of_two_masks_are_counted_in_every_word_that_can_hold_one(side: int):
    generator = np.random.default_rng(1)
    bits = np.zeros((2, 50, 256), dtype=np.bool_)
    bits[:, :, : side * side] = generator.random((2, 50, side * side)) < 0.6
    bits[:, 0, : side * side] = True
    words = np.packbits(bits, axis=2, bitorder="little").view("<i8")
    with duckdb.connect() as connection:
        for statement in schema(side).statements:
            connection.execute(statement)
        call = ", ".join(f"{m}[{word}]" for m in "ab" for word in range(1, 5))
        rows = list(zip(words[0].tolist(), words[1].tolist(), strict=True))
        found = [
            connection.execute(
                f"SELECT shared_cells({call}) FROM (SELECT ?::BIGINT[] AS a, ?::BIGINT[] AS b)",
                list(row),
            ).fetchall()[0][0]
            for row in rows
        ]
    assert found == (bits[0] & bits[1]).sum(axis=1).tolist()
    assert found[0] == side * side
