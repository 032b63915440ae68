"""The workflow on a real Slurm of one node with two GPUs that are none: make test-slurm."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import on_slurm
import pytest
from polars.testing import assert_frame_equal

from collect.trained_twice import read_trained_twice
from tests.collect.slot_records import Use, use_of
from tests.workflow import running

pytestmark = [pytest.mark.slurm, pytest.mark.xdist_group("slurm"), pytest.mark.timeout(1200)]

TRAINING_ONLY = ("--until", "collect")
SLOT_JOBS = running.ROOT / "tests/collect/slot_jobs.py"


@pytest.fixture(scope="module", autouse=True)
def _slurm():
    """Fail where there is none: who asks for these tests wants to know."""
    missing = on_slurm.missing()
    if missing:
        pytest.fail(missing)


@pytest.fixture(scope="module")
def local(tmp_path_factory) -> Path:
    """Train and store the study on this machine, without Slurm."""
    folder = on_slurm.prepare(tmp_path_factory.mktemp("local"))
    on_slurm.finish(on_slurm.start(folder, *running.command(folder, until="store")), seconds=500)
    return folder


def _every_block_is_there_once(folder: Path, local: Path) -> None:
    assert on_slurm.shards(folder) == on_slurm.shards(local)
    assert not list((folder / "results/tiny/shards").glob(".*"))
    packs = sorted((folder / "results/tiny/packs").iterdir())
    blocks = [entry["block"] for pack in packs for entry in json.loads(pack.read_text())["blocks"]]
    assert blocks == [0, 1, 2]


def _the_store_is_the_same(folder: Path, local: Path) -> None:
    expected, found = running.content(local), running.content(folder)
    # the local one was not analyzed: what the analysis writes is empty there, and measures lack it
    filled = [name for name, table in expected.items() if table.height and name != "measures"]
    assert {"model", "stored_attention", "stored_prediction"} <= set(filled)
    for name in filled:
        assert_frame_equal(found[name], expected[name], check_exact=True)


def test_200_short_jobs_are_never_two_on_a_gpu(tmp_path):
    record = tmp_path / "record"
    words = " ".join([sys.executable, str(SLOT_JOBS), str(record), "--seconds", "0.4"])
    subprocess.run(
        [
            *("sbatch", "--array=1-200", "--gpus=1", "--time=5", f"--output={tmp_path}/%a.txt"),
            f"--wrap=PYTHONPATH={running.ROOT} {words}",
        ],
        check=True,
        capture_output=True,
    )
    on_slurm.wait_until_idle(seconds=300)
    assert use_of(record) == Use(
        jobs=200, gpus=frozenset({"0", "1"}), most_on_a_gpu=1, most_on_a_slot=1
    )


def test_a_study_is_the_same_as_on_one_machine_though_two_heads_were_started(local, tmp_path):
    folder = on_slurm.prepare(tmp_path / "study")
    home = tmp_path / "home"
    home.mkdir(mode=0o500)
    heads = [on_slurm.start(folder, *on_slurm.command(folder, gpus=1), home=home) for _ in range(2)]
    for head in heads:
        head.wait(timeout=500)
    assert sorted(bool(head.returncode) for head in heads) == [False, True], [
        on_slurm.said(head) for head in heads
    ]
    (worked,) = (head for head in heads if head.returncode == 0)
    (refused,) = (head for head in heads if head.returncode != 0)
    assert "report: results/tiny/report.html" in on_slurm.said(worked)
    last = on_slurm.said(refused).splitlines()[-1]
    assert re.match(r"error: another run .*is working on results/tiny.* ended", last), last
    _every_block_is_there_once(folder, local)
    _the_store_is_the_same(folder, local)
    assert all(len(times) == 1 for times in on_slurm.published(folder).values())
    use = use_of(folder / "results/tiny/slots")
    assert (use.jobs, use.most_on_a_gpu) == (3, 1)
    assert not list(home.iterdir())


def test_failed_cancelled_and_overdue_jobs_are_recovered(local, tmp_path):
    folder = on_slurm.prepare(tmp_path / "study")
    faults = tmp_path / "faults"
    faults.mkdir()
    for pack, how in {"00000": "exit", "00001": "stop", "00002": "stop"}.items():
        (faults / pack).write_text(how)
    # the first attempt has one minute, the shortest that Slurm gives; later ones have more
    words = on_slurm.command(
        folder,
        "scratch=$KD_FAULTS/node",
        resources="mem_mb=100 runtime=attempt slurm_partition=main",
        options=TRAINING_ONLY,
    )
    head = on_slurm.start(folder, *words, faults=faults)
    cancelled = faults / "00001.met"
    on_slurm.wait_for(cancelled.exists, head, seconds=200)
    subprocess.run(["scancel", cancelled.read_text()], check=True)
    on_slurm.finish(head, seconds=400)
    met = {path.name: path.read_text() for path in faults.glob("*.met")}
    assert set(met) == {"00000.met", "00001.met", "00002.met"}
    states = {job: on_slurm.state(job) for job in met.values()}
    assert states[met["00000.met"]] == "FAILED"
    assert states[met["00001.met"]] == "CANCELLED"
    assert states[met["00002.met"]] == "TIMEOUT"
    _every_block_is_there_once(folder, local)
    # where each job was told to keep its unfinished models
    assert [path.name[:5] for path in (faults / "node").iterdir()] == ["tiny-"]
    assert not (folder / "results/tiny/scratch").exists()


def test_a_head_that_is_killed_and_started_again_loses_and_doubles_nothing(local, tmp_path, capsys):
    folder = on_slurm.prepare(tmp_path / "study")
    words = on_slurm.command(folder, options=TRAINING_ONLY)
    head = on_slurm.start(folder, *words)
    on_slurm.wait_for(lambda: on_slurm.finished_models(folder) >= 3, head)
    os.killpg(head.pid, signal.SIGKILL)
    head.wait(timeout=30)
    assert on_slurm.jobs("--states=running"), "no job outlived the head"
    on_slurm.finish(on_slurm.start(folder, *words))
    on_slurm.wait_until_idle()
    _every_block_is_there_once(folder, local)
    # a job's log goes when the job is started again, so one of two may have left no word
    expected = on_slurm.shards(local)
    published = on_slurm.published(folder)
    assert all(contents == [expected[name]] for name, contents in published.items())
    twice = read_trained_twice(folder / "results/tiny")
    with capsys.disabled():
        sys.stdout.write(f"\nblocks trained twice: {len(twice)}\n")
    assert not twice


def test_packs_of_minutes_are_decided_once(local, tmp_path):
    folder = on_slurm.prepare(tmp_path / "study")
    words = on_slurm.command(folder, "pack_minutes=30", options=TRAINING_ONLY)
    on_slurm.finish(on_slurm.start(folder, *words))
    assert [path.name for path in (folder / "results/tiny/packs").iterdir()] == ["00000.json"]
    assert on_slurm.shards(folder) == on_slurm.shards(local)
    decided = (folder / "results/tiny/packing.json").read_bytes()
    on_slurm.finish(on_slurm.start(folder, *words))
    assert (folder / "results/tiny/packing.json").read_bytes() == decided
    assert all(len(times) == 1 for times in on_slurm.published(folder).values())


@pytest.mark.parametrize(
    ("resources", "words"),
    [
        ("slurm_partition=none runtime=5", ["partition=none", "one of: main"]),
        ("slurm_partition=main mem_mb=900000000 runtime=5", ["mem=900000000"]),
    ],
)
def test_what_slurm_would_refuse_is_said_once_before_anything_is_submitted(
    tmp_path, resources, words
):
    folder = on_slurm.prepare(tmp_path / "study")
    head = on_slurm.start(folder, *on_slurm.command(folder, resources=resources))
    assert head.wait(timeout=60) != 0
    errors = [line for line in on_slurm.said(head).splitlines() if "error" in line.lower()]
    assert len(errors) == 1, on_slurm.said(head)
    for word in (*words, "profiles/slurm/config.yaml"):
        assert word in errors[0]
    assert "Traceback" not in on_slurm.said(head)
    assert not on_slurm.jobs()
