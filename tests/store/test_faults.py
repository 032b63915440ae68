"""Faults at named calls, the same at every run: a process killed there, a disk full there.

``make chaos`` has them at random moments, many more, and in training and the workflow too.
"""

import errno
import importlib
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from store_file import hashes
from synthetic import SyntheticStudy, copied, make_study

from store.builder import build
from store.database import open_reader
from store.doctor import examine
from store.errors import STOPPING, explained
from store.job import update_store
from store.mend import mend
from store.upkeep import compact

ROOT = Path(__file__).parents[2]
SMALL = {"seeds": 2, "strengths": (0,), "test_images": 20, "train_images": 20}

CHILD = """
import importlib, os, signal, sys
point, number, when, module, *words = sys.argv[1:]
home = importlib.import_module(point.rpartition(".")[0])
name, left = point.rpartition(".")[2], int(number)
called = getattr(home, name)

def counted(*given, **named):
    global left
    left -= 1
    if left == 0 and when == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    answer = called(*given, **named)
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return answer

setattr(home, name, counted)
sys.argv = [module, *words]
sys.exit(importlib.import_module(module).main())
"""
"""Runs a module's main function; is killed at the so-many-th call of one that it makes."""


@dataclass(frozen=True, slots=True)
class Point:
    """A call of a function, by its name and number; what is killed or refused there."""

    name: str
    call: int = 1
    after: bool = False

    def __str__(self) -> str:
        return f"{'after' if self.after else 'at'} call {self.call} of {self.name}"


BUILDING = (
    Point("store.builder.insert", 1, after=True),
    Point("store.builder.insert", 10),
    Point("store.builder.publish"),
    Point("store.job.write_text"),
)
REFUSING = (
    Point("store.builder.publish"),
    Point("store.job.write_text"),
    Point("store.files.copy_file"),
)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> SyntheticStudy:
    return make_study(tmp_path_factory.mktemp("undisturbed"), **SMALL)


@pytest.fixture
def study(undisturbed: SyntheticStudy, tmp_path: Path) -> SyntheticStudy:
    """A copy of the study, whose store is not built yet."""
    study = copied(undisturbed, tmp_path)
    study.store.unlink()
    return study


def take_in(study: SyntheticStudy) -> None:
    update_store(
        study.study_file,
        packs=study.packs,
        store=study.store,
        ledger=study.results / "ledger.json",
    )


def killed(point: Point, module: str, *words: object) -> None:
    """Run a command and have it killed; it must come to that point."""
    when = "after" if point.after else "before"
    done = subprocess.run(
        [
            *(sys.executable, "-c", CHILD, point.name, str(point.call), when, module),
            *map(str, words),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (-signal.SIGKILL, ""), f"did not come {point}"


@pytest.mark.parametrize("point", BUILDING, ids=str)
def test_a_build_that_is_killed_goes_on_to_the_same_store(
    study: SyntheticStudy, undisturbed: SyntheticStudy, point: Point
):
    words = ("--packs", *study.packs, "--store", study.store)
    killed(point, "store.job", study.study_file, *words, "--ledger", study.results / "ledger.json")
    take_in(study)
    assert hashes(study.store) == hashes(undisturbed.store)


def test_a_store_that_was_being_made_smaller_by_a_killed_process_is_as_it_was(
    study: SyntheticStudy, undisturbed: SyntheticStudy
):
    shutil.copyfile(undisturbed.store, study.store)
    before = study.store.read_bytes()
    killed(Point("store.upkeep.copy_tables", after=True), "store.__main__", "compact", study.store)
    assert study.store.read_bytes() == before
    left = examine(study.store, study.shards, study.design)
    assert [fault.path.name for fault in left if fault.path] == ["store.duckdb.fresh"]
    assert mend(study.store, study.shards, study.design).left == ()


def refusing(monkeypatch: pytest.MonkeyPatch, point: Point, number: int) -> list[str]:
    """Have a call raise as a disk does; the list holds its name once it has."""
    home = importlib.import_module(point.name.rpartition(".")[0])
    name = point.name.rpartition(".")[2]
    called: Callable[..., object] = getattr(home, name)
    raised: list[str] = []
    calls = 0

    def counted(*given: object, **named: object) -> object:
        nonlocal calls
        calls += 1
        if calls == point.call:
            raised.append(point.name)
            raise OSError(number, "No space left on device", str(given[0]))
        return called(*given, **named)

    monkeypatch.setattr(home, name, counted)
    return raised


@pytest.mark.parametrize("point", REFUSING, ids=str)
def test_a_full_disk_is_one_line_and_the_store_is_as_it_was(
    study: SyntheticStudy,
    undisturbed: SyntheticStudy,
    monkeypatch: pytest.MonkeyPatch,
    point: Point,
):
    half = study.design.model_copy(update={"seeds": 1})
    build(study.store, design=half, shards=study.shards, members=study.members[:1])
    before = hashes(study.store)
    with monkeypatch.context() as patched:
        raised = refusing(patched, point, errno.ENOSPC)
        with pytest.raises(STOPPING) as stopped:
            take_in(study)
    assert raised == [point.name]
    said = explained(stopped.value)
    assert "No space left" in said
    assert "Free some space" in said
    assert "\n" not in said
    assert hashes(study.store) in (before, hashes(undisturbed.store))
    take_in(study)
    assert hashes(study.store) == hashes(undisturbed.store)


def test_a_disk_that_is_full_while_a_store_is_made_smaller_leaves_it(
    study: SyntheticStudy, undisturbed: SyntheticStudy, monkeypatch: pytest.MonkeyPatch
):
    shutil.copyfile(undisturbed.store, study.store)
    with monkeypatch.context() as patched:
        raised = refusing(patched, Point("store.builder.publish"), errno.ENOSPC)
        with pytest.raises(OSError, match="No space left"):
            compact(study.store)
    assert raised
    assert hashes(study.store) == hashes(undisturbed.store)


def test_an_interrupt_while_a_store_is_opened_is_passed_on(undisturbed, monkeypatch):
    def interrupted(connection):
        raise RuntimeError("Query interrupted")

    monkeypatch.setattr("store.database._lock_up", interrupted)
    with pytest.raises(KeyboardInterrupt):
        open_reader(undisturbed.store)
