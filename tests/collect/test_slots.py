import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from slot_records import Use, use_of

from collect.slots import given_by_slurm, gpu_slot, visible_gpus
from store.errors import UserError

HEAD = Path(__file__).with_name("slot_jobs.py")


def _head(folder: Path, *options: str) -> subprocess.Popen[bytes]:
    environment = os.environ | {
        "KD_SLOTS": str(folder / "locks"),
        "PYTHONPATH": str(HEAD.parents[2]),
    }
    return subprocess.Popen(
        [sys.executable, str(HEAD), str(folder / "record"), *options],
        env=environment,
    )


@pytest.mark.parametrize(("gpus", "per_gpu"), [("0,1", 1), ("GPU-a,GPU-b,GPU-c", 1), ("0,1", 2)])
def test_of_200_jobs_of_three_heads_never_more_on_a_gpu_than_declared(tmp_path, gpus, per_gpu):
    heads = [
        _head(
            tmp_path,
            *("--gpus", gpus, "--per-gpu", str(per_gpu)),
            *("--jobs", str(jobs), "--at-once", "6"),
        )
        for jobs in (67, 67, 66)
    ]
    for head in heads:
        assert head.wait(timeout=120) == 0
    assert use_of(tmp_path / "record") == Use(
        jobs=200,
        gpus=frozenset(gpus.split(",")),
        most_on_a_gpu=per_gpu,
        most_on_a_slot=1,
    )


def test_the_record_would_show_two_jobs_on_one_gpu(tmp_path):
    """Jobs that each have locks of their own stand for a mechanism that does not work."""
    heads = []
    for part in ("a", "b"):
        (tmp_path / part).mkdir()
        heads.append(_head(tmp_path / part, "--gpus", "0", "--seconds", "1"))
    for head in heads:
        assert head.wait(timeout=60) == 0
    together = tmp_path / "together"
    together.mkdir()
    for part in ("a", "b"):
        (record,) = (tmp_path / part / "record").glob("*.jsonl")
        record.rename(together / f"{part}.jsonl")
    assert use_of(together).most_on_a_gpu == 2


def test_a_killed_process_frees_its_slot(tmp_path):
    def taken() -> int:
        return sum(
            json.loads(line)["event"] == "taken"
            for path in (tmp_path / "record").glob("*.jsonl")
            for line in path.read_text().splitlines()
        )

    def wait_for(number: int) -> None:
        deadline = time.monotonic() + 30
        while taken() < number:
            assert time.monotonic() < deadline
            time.sleep(0.02)

    holder = _head(tmp_path, "--gpus", "7", "--seconds", "600")
    wait_for(1)
    waiting = _head(tmp_path, "--gpus", "7")
    with pytest.raises(subprocess.TimeoutExpired):
        waiting.wait(timeout=0.7)
    (record,) = (tmp_path / "record").glob("*.jsonl")
    job = json.loads(record.read_text().splitlines()[0])["pid"]
    os.kill(job, 9)
    assert holder.wait(timeout=30) == 1
    assert waiting.wait(timeout=30) == 0
    assert taken() == 2


def test_what_slurm_gave_is_taken_as_it_is_and_recorded(tmp_path, monkeypatch):
    monkeypatch.setenv("KD_SLOTS", str(tmp_path / "locks"))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1,3")
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    assert given_by_slurm(os.environ)
    with gpu_slot(visible_gpus(os.environ), exclusive=True, record=tmp_path / "record"):
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "1,3"
    lines = [
        json.loads(line)
        for path in (tmp_path / "record").iterdir()
        for line in path.read_text().splitlines()
    ]
    assert [(line["event"], line["gpu"], line["slurm_job"]) for line in lines] == [
        ("taken", "1,3", "17"),
        ("freed", "1,3", "17"),
    ]
    assert not (tmp_path / "locks").exists()


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("0", ("0",)),
        ("2, 0", ("2", "0")),
        ("GPU-1a2b-3c,MIG-4d/1/0", ("GPU-1a2b-3c", "MIG-4d/1/0")),
        ("", ()),
        ("-1", ()),
        ("NoDevFiles", ()),
        ("1,-1,2", ("1",)),
    ],
)
def test_gpus_are_read_as_cuda_reads_them(given, expected):
    assert visible_gpus({"CUDA_VISIBLE_DEVICES": given}) == expected


def test_a_machine_is_asked_for_its_gpus_and_their_parts(tmp_path, monkeypatch):
    tool = tmp_path / "nvidia-smi"
    tool.write_text(
        "#!/bin/sh\n"
        "echo 'GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-aa-11)'\n"
        "echo 'GPU 1: NVIDIA A100-SXM4-40GB (UUID: GPU-bb-22)'\n"
        "echo '  MIG 3g.20gb     Device  0: (UUID: MIG-cc-33)'\n"
        "echo '  MIG 3g.20gb     Device  1: (UUID: MIG-dd-44)'\n"
    )
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert visible_gpus({}) == ("GPU-aa-11", "MIG-cc-33", "MIG-dd-44")
    tool.write_text("#!/bin/sh\necho 'NVIDIA-SMI has failed' >&2\nexit 9\n")
    assert visible_gpus({}) == ()


def test_without_a_gpu_nothing_is_held_and_nothing_written(tmp_path):
    with gpu_slot((), record=tmp_path / "record") as slot:
        assert slot is None
    assert not list(tmp_path.iterdir())


def test_a_place_for_locks_that_cannot_be_had_is_named(tmp_path):
    (tmp_path / "file").touch()
    with (
        pytest.raises(UserError, match="set KD_SLOTS"),
        gpu_slot(("0",), record=tmp_path, folder=tmp_path / "file"),
    ):
        pass
