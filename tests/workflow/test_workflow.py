import fcntl
import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest
import running
from polars.testing import assert_frame_equal

from store.database import open_reader
from store.measures import BY_NAME, MEASURES
from store.shard import read_manifest

pytestmark = pytest.mark.xdist_group("workflow")


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory) -> Path:
    """Run the tiny study once, from nothing to the report."""
    folder = running.prepare(tmp_path_factory.mktemp("undisturbed"))
    done = running.run(folder)
    assert done.returncode == 0, done.stdout
    (folder / "terminal.txt").write_text(done.stdout, encoding="utf-8")
    return folder


@pytest.fixture
def finished(undisturbed: Path, tmp_path: Path) -> Path:
    """Copy the finished study, times included, to do something to it."""
    folder = tmp_path / "study"
    shutil.copytree(undisturbed, folder)
    return folder


def _shards(folder: Path) -> dict[str, str]:
    shards = (folder / "results/tiny/shards").glob("block-*")
    return {shard.name: read_manifest(shard).content for shard in shards}


def _same_store(folder: Path, undisturbed: Path) -> None:
    expected, found = running.content(undisturbed), running.content(folder)
    assert list(found) == list(expected)
    for name in expected:
        assert_frame_equal(found[name], expected[name], check_exact=True)


def test_one_worker_runs_this_file_so_that_one_study_serves_all_its_tests(request):
    if "PYTEST_XDIST_WORKER" in os.environ:
        assert request.node.nodeid.endswith("@workflow")


def test_a_study_goes_the_whole_way_and_says_so(undisturbed):
    results = undisturbed / "results/tiny"
    assert (results / "report.html").stat().st_size > 10_000
    terminal = (undisturbed / "terminal.txt").read_text()
    assert "report.html" in terminal
    for claim in ("H1", "H2a", "H2b", "H3a", "H3b"):
        assert re.search(rf"\b{claim}\b", terminal)
    assert "Traceback" not in terminal


@pytest.mark.long
def test_a_plan_says_what_a_study_costs_and_leaves_nothing_behind(tmp_path):
    folder = running.prepare(tmp_path)
    planned = running.run(folder, target="plan")
    assert planned.returncode == 0, planned.stdout
    assert "models   33: 3 seeds x (6 teachers + 5 students), in 3 jobs" in planned.stdout
    assert "H1, H2a, H3a: a true change of" in planned.stdout
    assert not (folder / "results").exists()


def test_results_and_store_hold_the_same_findings(undisturbed):
    results = json.loads((undisturbed / "results/tiny/results.json").read_text())
    with open_reader(undisturbed / "results/tiny/store.duckdb") as reader:
        stored = reader.frame(
            "SELECT hypothesis, arm, form, outcome, estimate, p_value FROM finding"
        )
    written = [
        (f["hypothesis"], f["arm"], f["form"], o["outcome"], o["estimate"], o["p_value"])
        for f in results["findings"]
        for o in f["outcomes"]
    ]
    key = [str(row[:4]) for row in written]
    assert len(set(key)) == len(key)
    assert sorted(written, key=str) == sorted(stored.rows(), key=str)


def test_the_tiny_study_has_something_to_compare(undisturbed):
    """Networks that all answer alike would make equal stores of unequal runs."""
    with open_reader(undisturbed / "results/tiny/store.duckdb") as reader:
        measures = reader.frame("SELECT agreement, generalization_gap FROM measures")
    assert measures["agreement"].n_unique() > 5
    assert measures["generalization_gap"].n_unique() > 5


@pytest.mark.parametrize("name", [m.name for m in MEASURES if m.published])
def test_no_published_measure_is_its_sound_one_under_another_name(undisturbed, name):
    published = BY_NAME[name].published
    with open_reader(undisturbed / "results/tiny/store.duckdb") as reader:
        rows = reader.frame(f"SELECT {name} AS sound, {published} AS published FROM measures")
    rows = rows.drop_nulls()
    assert rows.height >= 9
    nats_to_bits = "nats" in published and "bits" in name
    values = rows["published"] / (math.log(2) if nats_to_bits else 1)
    apart = ((rows["sound"] - values).abs() > 1e-6).mean()
    # the last epoch may be the best, and a student without augmentation may see clean images
    assert apart > 0.2, f"{published} equals {name} in {1 - apart:.0%} of students"


def test_running_again_does_nothing(finished):
    before = {path: path.stat().st_mtime_ns for path in finished.rglob("results/tiny/*")}
    started = time.monotonic()
    again = running.run(finished)
    assert again.returncode == 0, again.stdout
    assert time.monotonic() - started < 30
    after = {path: path.stat().st_mtime_ns for path in finished.rglob("results/tiny/*")}
    assert after == before


def test_one_more_seed_trains_one_more_block_and_nothing_else(finished):
    shards = _shards(finished)
    packs = finished / "results/tiny/packs"
    before = {path.name: path.stat().st_mtime_ns for path in packs.iterdir()}
    running.prepare(finished, seeds="4")
    grown = running.run(finished)
    assert grown.returncode == 0, grown.stdout
    after = {path.name: path.stat().st_mtime_ns for path in packs.iterdir()}
    assert set(after) - set(before) == {"00003.json"}
    assert {name: after[name] for name in before} == before
    found = _shards(finished)
    assert len(found) == 4
    assert {name: found[name] for name in shards} == shards
    with open_reader(finished / "results/tiny/store.duckdb") as reader:
        blocks = reader.frame("SELECT DISTINCT block FROM model ORDER BY block")
    assert blocks["block"].to_list() == [0, 1, 2, 3]
    results = json.loads((finished / "results/tiny/results.json").read_text())
    assert results["counts"]["seeds_analyzed"] == 4


@pytest.mark.long
def test_another_claim_trains_nothing(finished):
    packs = finished / "results/tiny/packs"
    before = {path.name: path.stat().st_mtime_ns for path in packs.iterdir()}
    study = finished / "tiny.yaml"
    study.write_text(
        study.read_text().replace("generalization_gap: 0.01", "generalization_gap: 0.9")
    )
    changed = running.run(finished)
    assert changed.returncode == 0, changed.stdout
    assert {path.name: path.stat().st_mtime_ns for path in packs.iterdir()} == before
    results = json.loads((finished / "results/tiny/results.json").read_text())
    sesoi = {
        outcome["sesoi"]
        for finding in results["findings"]
        if finding["hypothesis"] == "H2a"
        for outcome in finding["outcomes"]
    }
    assert sesoi == {0.9}


@pytest.mark.long
def test_results_without_snakemakes_notes_are_brought_up_to_date_all_the_same(finished):
    shutil.rmtree(finished / ".snakemake")
    running.prepare(finished, seeds="4", title="Another title")
    assert _planned(finished) == {"collect": 1, "store": 1, "analyze": 1, "report": 1, "all": 1}
    study = finished / "tiny.yaml"
    study.write_text(study.read_text().replace("learning_rate: 0.1", "learning_rate: 0.2"))
    assert _planned(finished)["collect"] == 4
    os.utime(study, (0, 0))
    refused = running.run(finished)
    assert refused.returncode != 0
    assert f"touch {study.name}" in refused.stdout


def _planned(folder: Path) -> dict[str, int]:
    """Count the jobs of a dry run, by rule."""
    said = running.run(folder, "--dry-run").stdout
    stated = said.split("Reasons:")[0]
    jobs = dict(re.findall(r"^(collect|store|analyze|report|all) +(\d+)$", stated, re.MULTILINE))
    return {rule: int(number) for rule, number in jobs.items()}


@pytest.mark.long
@pytest.mark.parametrize(
    "head_only",
    [pytest.param(False, id="all processes"), pytest.param(True, id="the head alone")],
)
def test_a_study_killed_while_training_ends_as_if_undisturbed(undisturbed, tmp_path, head_only):
    folder = running.prepare(tmp_path)
    done = running.stop_while_training(folder, signal.SIGKILL, models=5, head_only=head_only)
    assert 5 <= done < 36
    again = running.run(folder)
    assert again.returncode == 0, again.stdout
    assert _shards(folder) == _shards(undisturbed)
    assert not list((folder / "results/tiny/shards").glob(".*"))
    _same_store(folder, undisturbed)
    assert not (folder / "results/tiny/trained-twice").exists()
    assert list((folder / "results/tiny/leases").iterdir()) == []
    for log in (folder / "results/tiny/logs").glob("collect-*.log"):
        # a job of the second run that met one of the first waited, and trained nothing
        text = log.read_text()
        assert not (head_only and ": found block-" in text and re.search(r"model \d+ of", text))


@pytest.mark.long
def test_a_second_run_ends_with_one_line_and_a_status_can_be_asked(tmp_path):
    folder = running.prepare(tmp_path)
    results = folder / "results/tiny"
    results.mkdir(parents=True)
    with (results / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        print("pid 7 on node1", file=lock, flush=True)
        second = running.run(folder)
    assert second.returncode != 0
    lines = [line for line in second.stdout.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    assert "another run (pid 7 on node1) is working on results/tiny" in lines[0]
    assert "has changed nothing" in lines[0]
    assert lines[0].endswith("python -m collect status results/tiny")
    assert (results / ".lock").read_text() == "pid 7 on node1\n"
    assert "Traceback" not in second.stdout


@pytest.mark.long
def test_an_interrupted_study_goes_on(undisturbed, tmp_path):
    folder = running.prepare(tmp_path)
    running.stop_while_training(folder, signal.SIGINT, models=14)
    again = running.run(folder, until="collect")
    assert again.returncode == 0, again.stdout
    assert _shards(folder) == _shards(undisturbed)


def test_a_run_interrupted_while_it_tells_its_verdicts_shows_no_traceback(finished):
    (finished / "results/tiny/report.html").unlink()
    status, said = running.interrupt_while(finished, "analyze verdicts")
    assert status == 130
    assert "Traceback" not in said
    assert (finished / "results/tiny/report.html").exists()


@pytest.mark.long
def test_a_block_alone_gives_the_shard_that_the_workflow_gave(undisturbed, tmp_path):
    subprocess.run(
        [
            *(sys.executable, "-m", "collect", "pack", str(undisturbed / "tiny.yaml")),
            *("--pack", "1", "--results", str(tmp_path / "results/tiny")),
        ],
        check=True,
        cwd=running.ROOT,
        capture_output=True,
    )
    alone = _shards(tmp_path)
    assert len(alone) == 1
    assert alone.items() <= _shards(undisturbed).items()


@pytest.mark.long
def test_packed_blocks_are_the_same_blocks(undisturbed, tmp_path):
    folder = running.prepare(tmp_path)
    with (folder / "tiny.yaml").open("a") as stream:
        stream.write("pack_size: 3\n")
    subprocess.run(
        [
            *(sys.executable, "-m", "collect", "pack", str(folder / "tiny.yaml")),
            *("--pack", "0", "--results", str(folder / "results/tiny")),
        ],
        check=True,
        cwd=running.ROOT,
        capture_output=True,
    )
    assert _shards(folder) == _shards(undisturbed)


@pytest.mark.long
def test_one_seed_is_described_without_p_values(tmp_path):
    folder = running.prepare(tmp_path, seeds="1")
    done = running.run(folder)
    assert done.returncode == 0, done.stdout
    results = json.loads((folder / "results/tiny/results.json").read_text())
    assert results["kind"] == "descriptive"
    evidence = [e for finding in results["findings"] for e in finding["evidence"]]
    assert {e["p_value"] for e in evidence} <= {None}
    assert {o["p_value"] for f in results["findings"] for o in f["outcomes"]} <= {None}
    assert {finding["verdict"] for finding in results["findings"]} <= {"descriptive", "no data"}
    with open_reader(folder / "results/tiny/store.duckdb") as reader:
        stored = reader.frame("SELECT p_value FROM evidence")
    assert stored.select(pl.col("p_value").is_null().all()).item()
    assert not re.search(r"\bp\s*[=<]", _shown(folder / "results/tiny/report.html"))


def _shown(report: Path) -> str:
    """Return the text of a page without scripts, styles and tags."""
    text = re.sub(r"<(script|style)\b.*?</\1>", " ", report.read_text(), flags=re.DOTALL)
    return re.sub(r"<[^>]+>", " ", text).replace("&lt;", "<")
