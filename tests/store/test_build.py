"""Building: growing, shrinking, changing, being killed; what may not enter."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import duckdb
import numpy as np
import polars as pl
import pytest
from synthetic import SyntheticStudy, draw_images, make_study, publish, write_shards
from synthetic_study import write_study

from store.builder import build, record_analysis, record_estimates
from store.database import open_reader
from store.errors import StaleShardError, StoreError
from store.frames import ATTENTION, ESTIMATE, EVIDENCE, FINDING, PREDICTION, SHARD_FRAMES
from store.ledger import SCHEMA_VERSION
from store.schema import TABLES, VIEWS
from store.shard import MANIFEST, file_hash, read_table, write_images

SMALL = {"seeds": 4, "strengths": (0, 1), "test_images": 30, "train_images": 20}


@pytest.fixture
def study(tmp_path: Path) -> SyntheticStudy:
    return make_study(tmp_path, **SMALL)


def built(study: SyntheticStudy, store: Path, members=None) -> pl.DataFrame:
    return build(
        store,
        design=study.design,
        shards=study.shards,
        members=study.members if members is None else members,
    )


def everything(store: Path) -> dict[str, pl.DataFrame]:
    """All rows of all tables and views, in the order of their columns."""
    with open_reader(store) as reader:
        names = [frame.name for frame in TABLES] + list(VIEWS)
        return {name: reader.frame(f'SELECT * FROM "{name}" ORDER BY ALL') for name in names}


def assert_same(one: Path, other: Path) -> None:
    a, b = everything(one), everything(other)
    for name in a:
        assert a[name].equals(b[name]), name


def test_a_store_holds_the_shards_rows_and_nothing_else(study: SyntheticStudy):
    stored = everything(study.store)
    for frame in SHARD_FRAMES:
        rows = pl.concat([read_table(shard, frame) for shard in study.members])
        found = stored[frame.name].select(frame.schema.names())
        assert found.sort(frame.key).equals(rows.sort(frame.key)), frame.name
    assert stored["shard"]["shard"].to_list() == [shard.name for shard in study.members]
    assert stored["condition"].height == 4
    assert stored["study"]["classes"].item() == 10


def test_blocks_of_one_environment_share_its_row(study: SyntheticStudy):
    stored = everything(study.store)
    assert stored["environment"].height == 1
    assert stored["shard"]["host"].to_list() == ["node-0", "node-1", "node-0", "node-1"]


def test_building_again_leaves_the_file_alone(study: SyntheticStudy):
    before = study.store.stat()
    ledger = built(study, study.store)
    after = study.store.stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
    assert ledger["block"].to_list() == [0, 1, 2, 3]


def test_order_and_steps_of_ingest_leave_no_trace(study: SyntheticStudy, tmp_path: Path):
    stepwise = tmp_path / "stepwise.duckdb"
    for members in ([2], [2, 0], [3, 0, 2], [1, 3, 2, 0]):
        built(study, stepwise, [study.members[block] for block in members])
    assert_same(stepwise, study.store)


def test_growing_by_a_seed_reads_no_other_shard(study: SyntheticStudy, tmp_path: Path):
    store = tmp_path / "grown.duckdb"
    built(study, store, study.members[:3])
    for shard in study.members[:3]:
        for table in shard.glob("*.parquet"):
            table.unlink()
    built(study, store)
    assert_same(store, study.store)


def _as_format_1(shard: Path) -> None:
    """Write a shard's files anew, with lists of numbers, as software before format 2 did."""
    manifest = json.loads((shard / MANIFEST).read_text())
    for frame in (PREDICTION, ATTENTION):
        path = shard / f"{frame.name}.parquet"
        assert pl.read_parquet(path).schema != frame.schema
        read_table(shard, frame).write_parquet(path, compression="zstd")
        assert pl.read_parquet(path).schema == frame.schema
        manifest["files"][frame.name]["sha256"] = file_hash(path)
    (shard / MANIFEST).write_text(json.dumps({**manifest, "format": 1}))


def test_a_store_of_shards_of_format_1_is_the_same(study: SyntheticStudy, tmp_path: Path):
    for shard in study.members[:2]:
        _as_format_1(shard)
    built(study, tmp_path / "both.duckdb")
    assert_same(tmp_path / "both.duckdb", study.store)


def test_a_shard_of_a_later_format_is_refused(study: SyntheticStudy, tmp_path: Path):
    path = study.members[1] / MANIFEST
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 3}))
    with pytest.raises(StaleShardError, match="not a manifest of a shard of format 1 to 2"):
        built(study, tmp_path / "s.duckdb")


def test_a_block_that_left_the_study_leaves_the_store(study: SyntheticStudy, tmp_path: Path):
    built(study, study.store, study.members[:3])
    fresh = tmp_path / "fresh.duckdb"
    built(study, fresh, study.members[:3])
    assert_same(study.store, fresh)
    with open_reader(study.store) as reader:
        assert reader.frame("SELECT max(block) AS block FROM model").item() == 2


def test_another_threshold_makes_all_masks_anew(study: SyntheticStudy, tmp_path: Path):
    design, _ = write_study(tmp_path, **SMALL, tau=0.7)
    build(study.store, design=design, shards=study.shards, members=study.members)
    fresh = tmp_path / "fresh.duckdb"
    build(fresh, design=design, shards=study.shards, members=study.members)
    assert_same(study.store, fresh)
    with open_reader(study.store) as reader:
        rows = reader.frame("SELECT map, mask_cells FROM attention WHERE map IS NOT NULL LIMIT 50")
    for cells, on in rows.iter_rows():
        assert on == sum(cell > 255 * 0.7 for cell in cells)


def test_a_changed_title_changes_the_study_and_drops_what_was_concluded(study: SyntheticStudy):
    record_estimates(study.store, estimates())
    design = study.design.model_copy(update={"title": "Another"})
    build(study.store, design=design, shards=study.shards, members=study.members)
    with open_reader(study.store) as reader:
        assert reader.frame("SELECT title FROM study").item() == "Another"
        assert reader.frame("SELECT study_hash FROM study").item() == design.study_hash()
        assert reader.frame("SELECT * FROM estimate").height == 0


def test_a_killed_build_goes_on_to_the_same_store(study: SyntheticStudy, tmp_path: Path):
    """Kill builds at many moments; what is built at last is as if nothing had happened."""
    store = tmp_path / "killed.duckdb"
    unfinished = store.with_name(f"{store.name}.next")
    begun = 0
    for number in range(6):
        job = subprocess.Popen(
            [sys.executable, "-m", "store.job", str(study.study_file), "--packs"]
            + [str(pack) for pack in study.packs]
            + ["--store", str(store), "--ledger", str(tmp_path / "ledger.json")],
            cwd=Path(__file__).parents[2],
        )
        deadline = time.monotonic() + 60
        while not unfinished.exists() and job.poll() is None and time.monotonic() < deadline:
            time.sleep(0.001)
        time.sleep(0.03 * number)
        job.send_signal(signal.SIGKILL)
        job.wait()
        begun += unfinished.exists()
        if store.exists():
            break
    assert begun, "no build was killed midway"
    built(study, store)
    assert_same(store, study.store)
    assert not unfinished.exists()


def test_a_build_that_failed_midway_goes_on_from_there(study: SyntheticStudy, tmp_path: Path):
    store = tmp_path / "later.duckdb"
    table = study.members[2] / "prediction.parquet"
    whole = table.read_bytes()
    table.write_bytes(whole[:-1])
    with pytest.raises(StaleShardError, match=r"prediction.parquet is damaged"):
        built(study, store)
    assert not store.exists()
    table.write_bytes(whole)
    # blocks 0 and 1 stand in the unfinished file: they are not read again
    (study.members[0] / "prediction.parquet").write_bytes(b"")
    built(study, store)
    assert_same(store, study.store)


def test_a_reader_keeps_what_it_opened(study: SyntheticStudy):
    with open_reader(study.store) as reader:
        record_estimates(study.store, estimates())
        assert reader.frame("SELECT * FROM estimate").height == 0


def test_estimates_come_into_the_measures_and_replace_former_ones(study: SyntheticStudy):
    record_estimates(study.store, estimates())
    record_estimates(study.store, estimates().with_columns(value=pl.lit(2.5)))
    with open_reader(study.store) as reader:
        found = reader.frame("SELECT * FROM measures WHERE student_id = 4")
        half = reader.frame("SELECT * FROM measures_by_half WHERE student_id = 4 AND half = 'a'")
    assert found["attention_iou_adjusted"].item() == 2.5
    assert found["mutual_information_bits"].item() is None
    assert half["attention_iou_adjusted"].item() is None


def test_what_was_concluded_stands_in_the_store(study: SyntheticStudy):
    evidence = pl.DataFrame([evidence_row()], schema=EVIDENCE.schema)
    findings = pl.DataFrame([finding_row()], schema=FINDING.schema)
    record_analysis(study.store, evidence=evidence, findings=findings)
    with open_reader(study.store) as reader:
        assert reader.frame("SELECT * FROM evidence").equals(evidence)
        assert reader.frame("SELECT * FROM finding").equals(findings)


def test_estimates_of_another_form_are_refused_and_nothing_changes(study: SyntheticStudy):
    before = study.store.read_bytes()
    with pytest.raises(ValueError, match=r"estimate: column value is missing"):
        record_estimates(study.store, estimates().drop("value"))
    assert study.store.read_bytes() == before


def test_shards_that_saw_different_images_are_refused(study: SyntheticStudy, tmp_path: Path):
    other = tmp_path / "other"
    images = draw_images(study.design).with_columns(png=pl.lit(b"x", dtype=pl.Binary))
    name = write_images(other, images)
    block = study.members[1]
    tables = {frame.name: read_table(block, frame) for frame in SHARD_FRAMES}
    publish(study.design, other, 1, name, tables)
    members = [study.members[0], other / block.name]
    with pytest.raises(StoreError, match=rf"saw the images .*{name}|{name}.* saw "):
        built(study, tmp_path / "s.duckdb", members)
    assert not (tmp_path / "s.duckdb").exists()


def test_images_cut_short_are_named_with_the_way_out(study: SyntheticStudy, tmp_path: Path):
    images = next(study.shards.glob("images-*.parquet"))
    images.write_bytes(images.read_bytes()[:-20])
    with pytest.raises(StoreError, match=rf"{images.name}: cannot be read.*Delete it, one shard"):
        built(study, tmp_path / "s.duckdb")
    assert not (tmp_path / "s.duckdb").exists()


@pytest.mark.parametrize("name", [frame.name for frame in SHARD_FRAMES])
def test_a_flipped_bit_names_its_file_and_the_way_out(
    study: SyntheticStudy, tmp_path: Path, name: str
):
    path = study.members[1] / f"{name}.parquet"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(StaleShardError, match=rf"{name}\.parquet is damaged.*Delete .*00000\.json"):
        built(study, tmp_path / "s.duckdb")


def test_a_shard_of_another_study_is_refused(study: SyntheticStudy, tmp_path: Path):
    (tmp_path / "other").mkdir()
    design, _ = write_study(tmp_path / "other", **{**SMALL, "train_images": 21})
    shards = write_shards(design, tmp_path / "other" / "shards")
    with pytest.raises(StaleShardError, match=r"block 0 with key .* that block's key is"):
        build(
            tmp_path / "s.duckdb",
            design=study.design,
            shards=tmp_path / "other" / "shards",
            members=shards,
        )


def test_a_shard_without_a_manifest_is_refused(study: SyntheticStudy, tmp_path: Path):
    (study.members[0] / "manifest.json").unlink()
    with pytest.raises(StaleShardError, match=r"manifest.json: not a manifest"):
        built(study, tmp_path / "s.duckdb")


def test_two_writers_at_once_are_one_too_many(study: SyntheticStudy):
    import fcntl

    with study.store.with_name("store.duckdb.lock").open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        with pytest.raises(StoreError, match=r"another process is writing"):
            record_estimates(study.store, estimates())


def test_what_is_no_store_is_refused_in_one_line(tmp_path: Path):
    with pytest.raises(StoreError, match=r"no such store"):
        open_reader(tmp_path / "absent.duckdb")
    (tmp_path / "text.duckdb").write_text("no database")
    with pytest.raises(StoreError, match=r"cannot be opened"):
        open_reader(tmp_path / "text.duckdb")
    duckdb.connect(str(tmp_path / "empty.duckdb")).close()
    with pytest.raises(StoreError, match=r"has no table study"):
        open_reader(tmp_path / "empty.duckdb")


def test_a_store_of_a_newer_version_is_refused(study: SyntheticStudy):
    with duckdb.connect(str(study.store)) as connection:
        connection.execute("UPDATE study SET schema_version = 99")
    message = rf"schema version 99; this software reads up to {SCHEMA_VERSION}\."
    with pytest.raises(StoreError, match=message):
        open_reader(study.store)


def test_a_damaged_store_is_made_anew_from_the_shards(study: SyntheticStudy, tmp_path: Path):
    fresh = tmp_path / "fresh.duckdb"
    built(study, fresh)
    study.store.write_bytes(b"damaged")
    built(study, study.store)
    assert_same(study.store, fresh)


def test_the_file_can_be_opened_by_duckdb_1_4(study: SyntheticStudy):
    with duckdb.connect(str(study.store), read_only=True) as connection:
        tags = connection.execute(
            "SELECT tags FROM duckdb_databases() WHERE database_name = 'store'"
        ).fetchone()
    assert tags is not None
    assert tags[0]["storage_version"].startswith("v1.4.0")


def test_masks_hold_cell_i_at_bit_i_of_their_words(study: SyntheticStudy):
    with open_reader(study.store) as reader:
        rows = reader.frame("SELECT * FROM attention LIMIT 200")
    for row in rows.iter_rows(named=True):
        words = [row[f"mask_{word}"] for word in range(4)]
        if row["map"] is None:
            assert words == [None] * 4
            assert row["mask_cells"] is None
            continue
        for cell, value in enumerate(row["map"]):
            bit = (words[cell // 64] >> (cell % 64)) & 1
            assert bit == (value > 255 * 0.4)
        assert row["mask_cells"] == int(np.sum(np.array(row["map"]) > 102))


def estimates() -> pl.DataFrame:
    return pl.DataFrame(
        {
            "student_id": [4],
            "half": ["all"],
            "measure": ["attention_iou_adjusted"],
            "value": [0.25],
            "bias": [None],
            "estimator": ["drawn"],
            "reason": [None],
        },
        schema=ESTIMATE.schema,
    )


def claim() -> dict[str, object]:
    return {
        "hypothesis": "H1",
        "arm": "fixed",
        "form": "plain",
        "outcome": "attention_iou_adjusted",
        "predictor": "teacher_strength",
    }


def evidence_row() -> dict[str, object]:
    values = {
        "test": "per_seed_slope_t",
        "rank": "primary",
        "method": "one slope per seed",
        "value_name": "slope",
        "estimate": -0.2,
        "unit": "index per unit of strength",
        "interval_low": float("-inf"),
        "n": 4,
        "rows": 8,
        "caveats": ["a", "b"],
    }
    return {name: None for name in EVIDENCE.schema} | claim() | values


def finding_row() -> dict[str, object]:
    values = {
        "deciding": True,
        "as_published": False,
        "verdict": "supported",
        "sentence": "It falls.",
        "n": 4,
        "outcome_verdict": "supported",
        "unit": "index",
        "size_uncertain": False,
        "caveats": [],
    }
    return {name: None for name in FINDING.schema} | claim() | values
