"""What ``python -m collect status`` says of studies at work and of jobs that failed."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from collect import trained_twice
from collect.ending import ending_words, memory_kills
from collect.failures import cause_of
from collect.lease import Holder, Leases, Timing
from collect.process import Process, this_process
from collect.progress import Progress
from collect.status import Status, look
from collect.status_text import status_json, status_text
from store.design import Design
from store.errors import UserError
from store.shard import shard_name
from store.study_file import keep_declaration, load_design

ROOT = Path(__file__).parents[2]
STUDY = """
study: watched
title: Watched
study_seed: 5
seeds: 4
pack_size: 2
device: DEVICE
dataset: {kind: digits, image_size: 16, test_size: 40, train_subset: {size: 40}}
networks:
  teacher: {depth: 8, width: 4, strides: [1, 2, 1]}
  student: {depth: 8, width: 4, strides: [1, 2, 1]}
training:
  teacher: {epochs: EPOCHS, batch_size: 20, learning_rate: 0.05}
  student: {epochs: EPOCHS, batch_size: 20, learning_rate: 0.05}
design: {strengths: [0, 1]}
claims:
  H1: {sesoi: {attention_iou_adjusted: 0.1}}
"""
ELSEWHERE = Process(host="node7", machine=None, pid=123, started=None, slurm_job="99")


def _study(folder: Path, *, epochs: int = 2, device: str = "cpu") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "watched.yaml"
    text = STUDY.replace("EPOCHS", str(epochs)).replace("DEVICE", device)
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A study's results, of which only what it declares is there."""
    results = tmp_path / "results/watched"
    (results / "logs").mkdir(parents=True)
    keep_declaration(_design(tmp_path), results)
    return results


def _design(folder: Path) -> Design:
    return load_design(_study(folder))


def _look(results: Path, **changes) -> Status:
    return look(results, **{"pause": lambda seconds: None, **changes})


def _hold(results: Path, design: Design, block: int, process: Process) -> Path:
    name = shard_name(block, design.shard_key(block))
    path = results / "leases" / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    since = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
    path.write_bytes(Holder(token="a", process=process, since=since, block=block).text())
    return path


def _log(results: Path, pack: int, *messages: str) -> None:
    lines = "".join(f"2026-01-02 03:04:05,678 {message}\n" for message in messages)
    (results / f"logs/collect-{pack:05d}.log").write_text(lines, encoding="utf-8")


def test_a_study_that_has_not_begun_waits(results):
    found = _look(results)
    assert (found.packs, found.waiting, found.models, found.finished) == (2, 2, 32, 0)
    assert status_text(found) == (
        "watched: 0 of 32 models; nothing runs now\n"
        "packs: 0 of 2 done, 0 running, 2 waiting, 0 failed"
    )


def test_who_trains_what_is_said_with_its_job_and_how_far_it_is(results, tmp_path):
    design = _design(tmp_path)
    _hold(results, design, 2, ELSEWHERE)
    progress = Progress(results / "progress", 32, pack=1)
    for ordinal in range(3):
        progress.finished(design.shard_key(2), ordinal)
    progress.finished("a key that the study had before", 0)
    found = _look(results)
    (running,) = found.running
    assert (running.pack, running.block, running.models, running.of) == (1, 2, 3, 8)
    assert (found.finished, found.waiting, found.done) == (3, 1, 0)
    lines = status_text(found).splitlines()
    assert lines[-2].split() == [
        "pack",
        "block",
        "models",
        "since",
        "(UTC)",
        "heartbeat",
        "process",
    ]
    assert lines[-1].startswith("1     2      3/8     2026-01-02 03:04  0 s ago")
    assert lines[-1].endswith("pid 123 on node7 (Slurm job 99)")
    assert json.loads(status_json(found))["running"][0]["process"].startswith("pid 123 on node7")


def test_a_lease_of_a_clock_that_is_behind_is_not_taken_for_silent(results, tmp_path):
    lease = _hold(results, _design(tmp_path), 0, ELSEWHERE)
    os.utime(lease, (0, 0))

    def beat(seconds: float) -> None:
        assert 5 < seconds < 10
        lease.write_bytes(lease.read_bytes().replace(b'"0000000000"', b'"0000000001"'))

    found = _look(results, pause=beat)
    assert [process.block for process in found.running] == [0]
    assert found.failed == ()


def test_a_silent_lease_is_a_holder_that_vanished(results, tmp_path):
    lease = _hold(results, _design(tmp_path), 0, ELSEWHERE)
    os.utime(lease, (time.time() - 300,) * 2)
    (failed,) = _look(results).failed
    assert (failed.pack, failed.cause) == (0, "holder vanished")
    assert "pid 123 on node7 (Slurm job 99) trained block 0" in failed.reason
    assert "time was up" in failed.next_step


def test_a_lease_of_a_study_that_was_declared_otherwise_says_nothing(results, tmp_path):
    design = _design(tmp_path)
    lease = _hold(results, design, 0, ELSEWHERE)
    lease.rename(lease.with_name("block-00000-0123456789abcdef.json"))
    assert _look(results).waiting == 2


def test_only_the_last_attempt_of_a_job_counts(results):
    here = this_process()
    begun = f"pack 0: begun by {here.words}"
    _log(results, 0, begun, "error: x: No space left on device. Free some", begun)
    found = _look(results)
    assert found.failed == ()
    assert [process.doing for process in found.running] == ["starts"]
    waits = "block 0 is being trained by pid 5 on x; waiting (its lease ends 45 s after it stops)"
    _log(results, 0, begun, waits)
    assert [process.doing for process in _look(results).running] == ["waits for another process"]
    _log(results, 0, begun.replace(str(here.pid), "999999999"))
    assert [failed.cause for failed in _look(results).failed] == ["holder vanished"]


CAUSES = {
    "error: /r: No space left on device. Free some space on that disk": "full disk",
    "error: /r/a.parquet: cannot be written: (os error 28). Free some": "full disk",
    "error: /r: Stale file handle. Mount that shared folder again": "folder unreachable",
    "error: /r: Input/output error. See why that disk does not answer": "folder unreachable",
    "error: device: cuda is declared, but torch sees no GPU; use device: auto": "no GPU",
    "stopped by SIGTERM (the end of a job's time, scancel or a shutdown)": "time limit",
    "error: not enough memory; free some, then run the same command again": "out of memory",
    "error: killed by SIGKILL, most likely out of memory: the kernel counts 1": "out of memory",
    "error: killed by SIGKILL: by the kernel for want of memory, by the cluster": "killed",
    "error: ended by SIGSEGV, which is a fault in a library": "crashed",
    "error: block 1: pid 3 on x has taken its lease, since": "lease lost",
    "error: block 1: its lease /r is gone: deleted, or the folder is no longer mounted. This": (
        "folder unreachable"
    ),
    "interrupted; finished models are kept": "interrupted",
    "error: seeds: many is no number": "error",
}


@pytest.mark.parametrize("line", CAUSES)
def test_a_cause_is_named_from_the_line_that_a_job_ends_with(line, results):
    _log(results, 1, "pack 1: begun by pid 999999999 on node7", line, "a later word of a thread")
    (failed,) = _look(results).failed
    assert (failed.pack, failed.cause) == (1, CAUSES[line])
    assert failed.reason == line.removeprefix("error: ")
    assert failed.next_step == cause_of(line).next_step
    assert failed.lines[-1].endswith("a later word of a thread")
    assert failed.log.endswith("logs/collect-00001.log")


def test_blocks_that_were_trained_twice_are_counted(results, monkeypatch):
    records = [("a", "a"), ("b", "c")]
    folder = results / trained_twice._FOLDER
    folder.mkdir()
    for block, (published, other) in enumerate(records):
        record = {"block": block, "shard": f"s{block}", "published": published, "other": other}
        (folder / f"block-{block}.json").write_text(json.dumps(record))
    (folder / "block-9.json").write_text('{"block": 9, "sh')
    found = _look(results)
    assert [record.equal for record in found.trained_twice] == [True, False]
    text = status_text(found)
    assert "trained twice: 2 blocks, 1 of them with unequal content" in text
    assert "block 1: b stays, c was the other" in text


def test_a_full_disk_is_said(results, monkeypatch):
    usage = shutil.disk_usage(results)._replace(free=2**20)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    assert "disk full: 1 MiB free" in status_text(_look(results))


def test_the_study_is_named_where_results_do_not_say_it(tmp_path, results, monkeypatch):
    (results / "declaration.json").unlink()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"name its file: --study FILE"):
        _look(results)
    assert _look(results, study=tmp_path / "watched.yaml").packs == 2
    (tmp_path / "config").mkdir()
    shutil.copy(tmp_path / "watched.yaml", tmp_path / "config")
    assert _look(results).packs == 2


def test_to_look_writes_nothing(results, tmp_path):
    _hold(results, _design(tmp_path), 0, ELSEWHERE)
    before = {path: path.stat().st_mtime_ns for path in results.rglob("*")}
    _look(results)
    assert {path: path.stat().st_mtime_ns for path in results.rglob("*")} == before


@pytest.mark.parametrize("status", [0, 1, 2, 3, 127, 130, 143, 255])
def test_nothing_is_added_for_a_job_that_spoke_for_itself(status):
    assert ending_words(status, memory_kills=3) is None


def test_kills_for_want_of_memory_are_read_from_the_control_group(tmp_path):
    own = tmp_path / "own"
    for line, file, text in (
        ("0::/a/b\n", "a/b/memory.events", "low 0\noom 4\noom_kill 2\n"),
        ("4:memory:/c\n", "memory/c/memory.oom_control", "under_oom 0\noom_kill 5\n"),
    ):
        own.write_text(line)
        (tmp_path / file).parent.mkdir(parents=True)
        (tmp_path / file).write_text(text)
        assert memory_kills(tmp_path, own) == int(text.split()[-1])
    own.write_text("0::/elsewhere\n")
    assert memory_kills(tmp_path, own) == 0


# from here on: jobs that really fail


def _command(study: Path, results: Path, log: Path) -> list[str]:
    return [
        *(sys.executable, "-m", "collect", "pack", str(study), "--pack", "0"),
        *("--results", str(results), "--log", str(log)),
    ]


def _job(study: Path, results: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        _command(study, results, results / "logs/collect-00000.log"),
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def _when(log: Path, words: str, job: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while not (log.exists() and words in log.read_text()):
        assert job.poll() is None, job.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _said(results: Path) -> tuple[str, str]:
    """Ask the command itself; return what failed and the whole."""
    done = subprocess.run(
        [sys.executable, "-m", "collect", "status", str(results), "--json"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(done.stdout)
    assert found["done"] == 0
    assert found["waiting"] == 1
    (failed,) = found["failed"]
    return failed["cause"], failed["reason"]


def test_a_missing_gpu_is_named(tmp_path):
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    results = tmp_path / "results"
    job = _job(_study(tmp_path, device="cuda"), results)
    said = job.communicate(timeout=120)[1]
    assert (job.returncode, said.count("\n")) == (2, 1)
    assert _said(results)[0] == "no GPU"


@pytest.mark.long
def test_a_job_that_is_terminated_keeps_its_models_and_names_its_time_limit(tmp_path):
    results = tmp_path / "results"
    job = _job(_study(tmp_path, epochs=60), results)
    _when(results / "logs/collect-00000.log", "model 1 of 8 finished", job)
    job.terminate()
    said = job.communicate(timeout=60)[1]
    assert job.returncode == 143
    assert said.splitlines()[-1].startswith("stopped by SIGTERM")
    assert "Traceback" not in said
    assert list((results / "leases").iterdir()) == []
    assert list((results / "scratch").rglob("model-000.safetensors"))
    assert _said(results)[0] == "time limit"


@pytest.mark.long
def test_a_job_that_is_killed_has_vanished_until_its_shell_says_more(tmp_path):
    results = tmp_path / "results"
    log = results / "logs/collect-00000.log"
    job = _job(_study(tmp_path, epochs=60), results)
    _when(log, "model 1 of 8 finished", job)
    job.kill()
    job.communicate(timeout=60)
    assert job.returncode == -signal.SIGKILL
    cause, reason = _said(results)
    assert cause == "holder vanished"
    assert f"pid {job.pid} on" in reason
    # as the workflow's rule has it
    told = subprocess.run(
        [sys.executable, "-m", "collect", "ended", "--status", "137", "--log", str(log)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 137
    assert told.stderr.startswith("error: killed by SIGKILL")
    assert _said(results)[0] in ("killed", "out of memory")


def test_the_rule_says_what_killed_a_job_and_fails_as_it_did(tmp_path):
    rule = (ROOT / "collect/rules.smk").read_text()
    ending = next(line for line in rule.splitlines() if "collect ended" in line).strip().strip('"')
    log = tmp_path / "log"
    ending = ending.replace("{sys.executable:q}", sys.executable).replace("{log:q}", str(log))
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", f"bash -c 'kill -9 $$' {ending}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 137
    assert "error: killed by SIGKILL" in done.stderr
    assert "error: killed by SIGKILL" in log.read_text()


@pytest.mark.long
def test_a_full_disk_is_named(tmp_path):
    place = tmp_path / "disk"
    place.mkdir()
    mount = shutil.which("mount")
    if os.geteuid() or not mount:
        pytest.skip("a disk of its own takes the right to mount")
    words = [mount, "-t", "tmpfs", "-o", "size=300k", "small", str(place)]
    if subprocess.run(words, capture_output=True, check=False).returncode:
        pytest.skip("a disk of its own cannot be mounted here")
    try:
        job = _job(_study(tmp_path), place / "results")
        said = job.communicate(timeout=120)[1]
        assert job.returncode == 2
        last = said.splitlines()[-1]
        assert last.startswith("error: ")
        assert "Free some space" in last
        assert "Traceback" not in said
        assert "Logging error" not in said
        assert look(place / "results").full
        assert "disk full" in status_text(look(place / "results"))
    finally:
        subprocess.run(["umount", str(place)], check=False)


@pytest.mark.long
def test_a_folder_that_goes_away_is_named(tmp_path):
    """As a shared folder that is unmounted while a job is at work: nothing is made in its place."""
    results = tmp_path / "shared/results"
    job = _job(_study(tmp_path, epochs=60), results)
    _when(results / "logs/collect-00000.log", "model 1 of 8 finished", job)
    (tmp_path / "shared").rename(tmp_path / "elsewhere")
    said = job.communicate(timeout=120)[1]
    assert job.returncode in (2, 3)
    last = said.splitlines()[-1]
    assert last.startswith("error: ")
    assert "Traceback" not in said
    # the log was open, and went with the folder
    assert _said(tmp_path / "elsewhere/results")[0] == "folder unreachable"


@pytest.mark.long
def test_a_job_without_memory_says_so(tmp_path):
    results = tmp_path / "results"
    log = results / "logs/collect-00000.log"
    script = (
        "import resource, sys\n"
        "import collect.job\n"
        "from collect.__main__ import main\n"
        "def refuse(design):\n"
        "    resource.setrlimit(resource.RLIMIT_AS, (2**28, 2**28))\n"
        "    return bytearray(2**30)\n"
        "collect.job.load = refuse\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    words = _command(_study(tmp_path), results, log)[3:]
    done = subprocess.run(
        [sys.executable, "-c", script, *words], cwd=ROOT, capture_output=True, check=False
    )
    assert done.returncode == 2
    assert _said(results)[0] == "out of memory"


def test_a_timing_is_the_same_for_who_holds_and_who_looks():
    assert Timing().beat * 3 < Timing().patience < 60


def test_a_real_lease_is_seen(results, tmp_path):
    design = _design(tmp_path)
    with Leases(results / "leases") as leases:
        leases.claim(shard_name(3, design.shard_key(3)), block=3)
        (running,) = _look(results).running
        assert running.process == this_process().words
    gone = replace(this_process(), pid=999999999)
    _hold(results, design, 3, gone)
    assert [failed.cause for failed in _look(results).failed] == ["holder vanished"]
