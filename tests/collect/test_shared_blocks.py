"""Real jobs that meet at one block: one trains it, whatever happens to the other."""

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest
from synthetic import environment

from collect import job as collecting
from collect.job import collect_pack
from collect.trained_twice import read_trained_twice
from store.frames import PREDICTION, SHARD_FRAMES
from store.shard import MANIFEST, Manifest, read_manifest, write_shard

ROOT = Path(__file__).parents[2]
STUDY = """
study: shared
title: Shared
study_seed: 5
seeds: 2
engine: {precision: fp32}
device: cpu
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
JOB = """
import functools, sys
import collect.classroom, collect.job
from collect.__main__ import main
from collect.lease import Leases, Timing

trained, patience = sys.argv[1], float(sys.argv[2])
train = collect.classroom.train

def noted(trainees, data, **named):
    with open(trained, "a") as stream:
        for trainee in trainees:
            stream.write("student\\n" if trainee.teachers else "teacher\\n")
    train(trainees, data, **named)

collect.classroom.train = noted
timing = Timing(beat=patience / 10, patience=patience, look=0.1)
collect.job.Leases = functools.partial(Leases, timing=timing)
sys.exit(main(["pack", *sys.argv[3:]]))
"""
"""A job that notes which models it trains, with leases of another patience."""


class Started:
    """A job at work on a pack."""

    def __init__(self, study: Path, results: Path, *, pack: int = 0, patience: float = 30) -> None:
        self.trained = results.with_name(f"{results.name}-trained")
        self.log = results / f"logs/collect-{pack:05d}.log"
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-c", JOB, str(self.trained), str(patience), str(study)),
                *("--pack", str(pack), "--results", str(results), "--log", str(self.log)),
            ],
            cwd=ROOT,
            stderr=subprocess.PIPE,
            text=True,
        )

    def until(self, words: str) -> None:
        deadline = time.monotonic() + 120
        while not (self.log.exists() and words in self.log.read_text()):
            assert self.process.poll() is None, self.process.communicate()[1]
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def end(self) -> tuple[int, str]:
        said = self.process.communicate(timeout=200)[1]
        return self.process.returncode, said


def _study(folder: Path, *, epochs: int = 2, more: str = "") -> Path:
    path = folder / "shared.yaml"
    path.write_text(STUDY.replace("EPOCHS", str(epochs)) + more, encoding="utf-8")
    return path


def _contents(results: Path) -> dict[str, str]:
    return {path.name: read_manifest(path).content for path in (results / "shards").glob("block-*")}


@pytest.mark.long
def test_two_jobs_of_one_pack_train_it_once(tmp_path):
    study, results = _study(tmp_path), tmp_path / "results"
    jobs = [Started(study, results) for _ in range(2)]
    ended = [job.end() for job in jobs]
    assert [code for code, _ in ended] == [0, 0]
    assert len(jobs[0].trained.read_text().splitlines()) == 8
    notes = [line for _, said in ended for line in said.splitlines() if line.startswith("note: ")]
    assert len(notes) <= 1
    assert all("is being trained by pid" in note for note in notes)
    assert len(_contents(results)) == 1
    assert list((results / "leases").iterdir()) == []
    assert read_trained_twice(results) == []


@pytest.mark.long
def test_a_holder_that_was_suspended_stops_and_the_shard_is_as_if_alone(tmp_path):
    study, results = _study(tmp_path, epochs=40), tmp_path / "results"
    holder = Started(study, results, patience=3)
    holder.until("model 2 of 8 finished")
    holder.process.send_signal(signal.SIGSTOP)
    other = Started(study, results, patience=3)
    other.until("took over the lease")
    other.until("model 6 of 8 finished")
    holder.process.send_signal(signal.SIGCONT)
    code, said = holder.end()
    assert code == 3
    assert f"block 0: pid {other.process.pid} on " in said
    assert "has taken its lease" in said
    assert other.end()[0] == 0
    assert read_trained_twice(results) == []
    collect_pack(study, 0, tmp_path / "alone")
    assert _contents(results) == _contents(tmp_path / "alone")
    assert not list((results / "scratch").iterdir())


@pytest.mark.long
def test_two_blocks_of_one_pool_train_its_teachers_once(tmp_path):
    study = _study(tmp_path, epochs=10, more="shared_teachers: {pools: 1}\n")
    jobs = [Started(study, tmp_path / "results", pack=pack) for pack in range(2)]
    assert [job.end()[0] for job in jobs] == [0, 0]
    trained = jobs[0].trained.read_text().splitlines()
    assert trained.count("teacher") == 4
    assert len(_contents(tmp_path / "results")) == 2


def _written(shards: Path, images: int, *, process: int, came_second) -> Manifest:
    """Write a shard in which one model has answered so many images."""
    empty = {frame.name: pl.DataFrame(schema=frame.schema) for frame in SHARD_FRAMES}
    rows = [(3, "clean", image, 1, [0.0, 1.0]) for image in range(images)]
    return write_shard(
        shards,
        study="shared",
        block=0,
        key="0" * 16,
        protocol=1,
        images="images.parquet",
        tables=empty | {"prediction": pl.DataFrame(rows, schema=PREDICTION.schema, orient="row")},
        environment=environment(0).model_copy(update={"process": process}),
        came_second=came_second,
    )


@pytest.mark.parametrize("equal", [True, False])
def test_a_shard_that_comes_second_is_told_of_with_both_contents(tmp_path, equal):
    seen: list[tuple[Manifest, Manifest]] = []

    def note(own: Manifest, published: Manifest) -> None:
        seen.append((own, published))

    first = _written(tmp_path, 5, process=1, came_second=note)
    assert seen == []
    found = _written(tmp_path, 5 if equal else 3, process=2, came_second=note)
    assert found == first
    ((own, published),) = seen
    assert published == first
    assert own.environment.process == 2
    assert (own.content == published.content) is equal


def test_an_answer_to_the_renaming_that_was_lost_makes_no_second(tmp_path, monkeypatch):
    rename = Path.rename

    def done_and_refused(self, target):
        rename(self, target)
        raise FileNotFoundError(2, "no such file", str(self))

    monkeypatch.setattr(Path, "rename", done_and_refused)

    def never(own: Manifest, published: Manifest) -> None:
        raise AssertionError("it came first")

    assert _written(tmp_path, 5, process=1, came_second=never)


@pytest.mark.long
@pytest.mark.parametrize("equal", [True, False])
def test_a_block_that_was_trained_twice_is_counted_and_compared(
    tmp_path, monkeypatch, capsys, equal
):
    study, results = _study(tmp_path), tmp_path / "results"
    collect_pack(study, 0, tmp_path / "other")

    def late(shards, **named):
        """Another one publishes while this job is about to."""
        (first,) = (tmp_path / "other/shards").glob("block-*")
        shutil.copytree(first, shards / first.name)
        if not equal:
            path = shards / first.name / MANIFEST
            path.write_text(json.dumps(json.loads(path.read_text()) | {"content": "0" * 64}))
        return write_shard(shards, **named)

    monkeypatch.setattr(collecting, "write_shard", late)
    collect_pack(study, 0, results)
    (record,) = read_trained_twice(results)
    assert record.block == 0
    assert record.equal is equal
    errors = [x for x in capsys.readouterr().err.splitlines() if x.startswith("error: ")]
    assert len(errors) == (0 if equal else 1)
    assert all(record.published in line and record.other in line for line in errors)
