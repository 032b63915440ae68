"""Leases: who may train a block, when one that is gone loses it, and what a returned one does."""

import errno
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from collect.lease import Holder, Lease, Leases, Timing, read_holder
from collect.process import Process, this_process
from collect.stopping import LeaseLostError
from collect.turns import Task, in_turn

SLOW = Timing(beat=3600, patience=45, look=1)
"""No thread renews anything while a test lasts."""
ELSEWHERE = Process(host="elsewhere", machine=None, pid=123, started=None, slurm_job="77_3")


class _Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> _Clock:
    return _Clock()


def _leases(folder: Path, clock: _Clock, **changes) -> Leases:
    return Leases(folder, **{"timing": SLOW, "clock": clock, "running": clock, **changes})


def _watch(leases: Leases, clock: _Clock, seconds: float) -> Lease | Holder | None:
    """Look once a second until the lease is had, for so long."""
    claimed = None
    for _ in range(int(seconds)):
        claimed = leases.claim("block", block=0)
        if isinstance(claimed, Lease):
            break
        clock.now += 1
    return claimed


def test_one_of_two_gets_a_lease_and_the_other_learns_who(tmp_path, clock):
    with _leases(tmp_path, clock, process=ELSEWHERE) as first, _leases(tmp_path, clock) as second:
        assert isinstance(first.claim("block", block=4), Lease)
        found = second.claim("block", block=4)
        assert isinstance(found, Holder)
        assert (found.process, found.block) == (ELSEWHERE, 4)
        assert found.process.words == "pid 123 on elsewhere (Slurm job 77_3)"
    assert list(tmp_path.iterdir()) == []


def test_a_lease_that_changes_is_never_taken_over(tmp_path, clock):
    with _leases(tmp_path, clock, process=ELSEWHERE) as holding, _leases(tmp_path, clock) as other:
        lease = holding.claim("block", block=0)
        for _ in range(20):
            lease.renew()
            assert isinstance(_watch(other, clock, 44), Holder)
        lease.may_go_on()


def test_a_silent_lease_is_taken_over_when_its_patience_is_at_its_end(tmp_path, clock):
    usual = Timing()
    with (
        _leases(tmp_path, clock, process=ELSEWHERE, timing=usual) as holding,
        _leases(tmp_path, clock) as other,
    ):
        lost = holding.claim("block", block=0)
        assert isinstance(_watch(other, clock, 45), Holder)
        taken = _watch(other, clock, 3)
        assert isinstance(taken, Lease)
        assert clock.now - 100 < 60
        with pytest.raises(LeaseLostError, match=rf"block 0: pid {os.getpid()} on .* has taken"):
            lost.may_go_on()
        taken.may_go_on()
        holding.give_back(lost)
        taken.confirm()
        assert len(list(tmp_path.iterdir())) == 1


def test_a_watcher_that_was_suspended_itself_takes_nothing(tmp_path, clock):
    with _leases(tmp_path, clock, process=ELSEWHERE) as holding, _leases(tmp_path, clock) as other:
        holding.claim("block", block=0)
        other.claim("block", block=0)
        clock.now += 1000
        assert isinstance(other.claim("block", block=0), Holder)


def test_of_several_watchers_one_takes_over(tmp_path, clock):
    holding = _leases(tmp_path, clock, process=ELSEWHERE)
    holding.claim("block", block=0)
    others = [_leases(tmp_path, clock) for _ in range(5)]
    claims = []
    for _ in range(60):
        claims = [leases.claim("block", block=0) for leases in others]
        if any(isinstance(claim, Lease) for claim in claims):
            break
        clock.now += 1
    assert sum(isinstance(claim, Lease) for claim in claims) == 1


def test_one_who_takes_away_another_lease_than_the_silent_one_puts_it_back(tmp_path, clock):
    """Between the last look and the renaming, a faster watcher has taken the lease."""
    with _leases(tmp_path, clock, process=ELSEWHERE) as holding, _leases(tmp_path, clock) as other:
        held = holding.claim("block", block=0)
        slow = _leases(tmp_path, clock)
        assert isinstance(_watch(slow, clock, 45), Holder)
        former = (tmp_path / "block.json").read_bytes()
        holding.give_back(held)
        taken = other.claim("block", block=0)
        assert isinstance(taken, Lease)
        with pytest.MonkeyPatch.context() as patch:
            # what it saw a moment ago
            patch.setattr("collect.lease._content_of", lambda path: former)
            clock.now += 1
            assert isinstance(slow.claim("block", block=0), Holder)
        taken.confirm()
        assert [path.name for path in tmp_path.iterdir()] == ["block.json"]


def test_a_holder_whose_process_is_gone_is_known_dead_at_once(tmp_path, clock):
    gone = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True
    )
    dead = replace(this_process(), pid=int(gone.stdout), started=None)
    _leases(tmp_path, clock, process=dead).claim("block", block=0)
    with _leases(tmp_path, clock) as other:
        assert isinstance(other.claim("block", block=0), Lease)


def test_a_number_that_another_process_has_now_does_not_keep_a_lease(tmp_path, clock):
    assert this_process().started is not None
    again = replace(this_process(), started=this_process().started - 1)
    _leases(tmp_path, clock, process=again).claim("block", block=0)
    with _leases(tmp_path, clock) as other:
        assert isinstance(other.claim("block", block=0), Lease)


@pytest.mark.parametrize("process", [ELSEWHERE, replace(this_process(), machine="another boot")])
def test_nothing_is_said_of_a_process_that_cannot_be_seen(process):
    assert not process.is_gone()


def test_a_lease_is_had_where_the_file_system_has_no_links(tmp_path, clock, monkeypatch):
    def link(*_):
        raise OSError(errno.ENOTSUP, "no links")

    monkeypatch.setattr(os, "link", link)
    with _leases(tmp_path, clock, process=ELSEWHERE) as first, _leases(tmp_path, clock) as second:
        assert isinstance(first.claim("block", block=0), Lease)
        assert isinstance(second.claim("block", block=0), Holder)


def test_an_answer_that_was_lost_on_the_way_is_no_refusal(tmp_path, clock, monkeypatch):
    """A file server may do what is asked and be asked again: then it is there already."""
    link = os.link

    def done_and_refused(source, target):
        link(source, target)
        raise FileExistsError(errno.EEXIST, "there already")

    monkeypatch.setattr(os, "link", done_and_refused)
    with _leases(tmp_path, clock) as leases:
        assert isinstance(leases.claim("block", block=0), Lease)


def test_a_holder_stops_before_its_lease_can_be_anothers_when_it_cannot_renew_it(
    tmp_path, clock, monkeypatch
):
    timing = Timing(beat=5, patience=45, look=1)
    lease = Leases(tmp_path, timing=timing, clock=clock, running=clock).claim("block", block=0)

    def unreachable(*_):
        raise OSError(errno.ESTALE, "Stale file handle")

    monkeypatch.setattr(os, "open", unreachable)
    clock.now += 34
    lease.may_go_on()
    clock.now += 2
    with pytest.raises(LeaseLostError, match=r"could not be renewed for 36 s: Stale file handle"):
        lease.may_go_on()


def test_a_deleted_lease_is_noticed(tmp_path, clock):
    lease = _leases(tmp_path, clock).claim("block", block=0)
    (tmp_path / "block.json").unlink()
    lease.renew()
    with pytest.raises(LeaseLostError, match=r"block\.json is gone: deleted, or .* mounted"):
        lease.may_go_on()


def test_a_thread_renews_what_is_held(tmp_path):
    with Leases(tmp_path, timing=Timing(beat=0.02, patience=1, look=0.01)) as leases:
        leases.claim("block", block=0)
        beats = set()
        deadline = time.monotonic() + 5
        while len(beats) < 5 and time.monotonic() < deadline:
            beats.add(read_holder((tmp_path / "block.json").read_bytes()).beat)
            time.sleep(0.005)
    assert len(beats) == 5


def test_what_is_free_is_done_first_and_what_is_held_is_waited_for(tmp_path, clock, capsys):
    other, done, published = _leases(tmp_path, clock, process=ELSEWHERE), [], {}
    held = other.claim("one", block=1)
    waits = []

    class Waiting(Leases):
        def wait(self):
            waits.append(list(done))
            if len(waits) == 3:
                published["one"] = "one, by another"
                other.give_back(held)

    def task(name):
        def work(lease):
            lease.may_go_on()
            done.append(name)
            return name

        return Task(name=name, words=name, block=0, found=lambda: published.get(name), work=work)

    with Waiting(tmp_path, timing=SLOW, clock=clock, running=clock) as leases:
        results = in_turn([task("one"), task("two"), task("three")], leases)
    assert results == ["one, by another", "two", "three"]
    assert done == ["two", "three"]
    assert waits[0] == ["two", "three"]
    said = capsys.readouterr().err.splitlines()
    assert said == [
        "note: one is being trained by pid 123 on elsewhere (Slurm job 77_3); waiting (its lease "
        "ends 45 s after it stops)"
    ]


WORKER = """
import sys, time
from pathlib import Path
from collect.lease import Leases, Timing
from collect.stopping import LeaseLostError
from collect.turns import Task, in_turn

place, name, steps = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
timing = Timing(beat=0.1, patience=float(sys.argv[4]), look=0.05)

def work(lease):
    for step in range(steps):
        lease.may_go_on()
        with (place / "steps").open("a") as stream:
            stream.write(f"{name} {step}\\n")
        time.sleep(0.02)
    lease.confirm()
    (place / "published").write_text(name)
    return name

def found():
    return (place / "published").read_text() if (place / "published").exists() else None

with Leases(place / "leases", timing=timing) as leases:
    try:
        print(in_turn([Task(name="block", words="block", block=0, found=found, work=work)], leases))
    except LeaseLostError as error:
        sys.exit(f"lost: {error}")
"""


def _worker(place: Path, name: str, *, steps: int = 60, patience: float = 30) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", WORKER, str(place), name, str(steps), str(patience)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )


def _steps(place: Path, name: str) -> int:
    path = place / "steps"
    lines = path.read_text().splitlines() if path.exists() else []
    return sum(line.startswith(f"{name} ") for line in lines)


def _until(condition, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_of_two_processes_one_works_and_the_other_finds_what_it_published(tmp_path):
    workers = [_worker(tmp_path, name) for name in ("first", "second")]
    said = [worker.communicate(timeout=60)[0].strip() for worker in workers]
    (who,) = {line.split()[0] for line in (tmp_path / "steps").read_text().splitlines()}
    assert said == [f"['{who}']"] * 2
    assert _steps(tmp_path, who) == 60


def test_when_the_holder_is_killed_the_other_goes_on_at_once(tmp_path):
    holder = _worker(tmp_path, "holder", steps=10**6)
    _until(lambda: _steps(tmp_path, "holder") > 3)
    other = _worker(tmp_path, "other", steps=3)
    _until(lambda: "waiting" in other.stderr.readline())
    holder.kill()
    holder.communicate()
    began = time.monotonic()
    assert other.communicate(timeout=60)[0].strip() == "['other']"
    assert time.monotonic() - began < 10  # and not the 30 s of a silent one
    assert list((tmp_path / "leases").iterdir()) == []


def test_a_suspended_holder_stops_when_it_comes_back(tmp_path):
    holder = _worker(tmp_path, "holder", steps=10**6, patience=1)
    _until(lambda: _steps(tmp_path, "holder") > 3)
    holder.send_signal(signal.SIGSTOP)
    other = _worker(tmp_path, "other", steps=40, patience=1)
    _until(lambda: _steps(tmp_path, "other") > 3)
    before = _steps(tmp_path, "holder")
    holder.send_signal(signal.SIGCONT)
    assert "has taken its lease" in holder.communicate(timeout=60)[1]
    # it may have been about to write when it was suspended
    assert _steps(tmp_path, "holder") <= before + 1
    assert other.communicate(timeout=60)[0].strip() == "['other']"
