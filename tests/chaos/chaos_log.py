"""What chaos did, written line by line as it happens: a run that is cut off still says something.

One JSON object a line. ``fault``: one was injected. ``life``: one study came to its end and was
compared, with all that was counted in it. ``cut``: a life that ended before it could be compared.
A life is known by its part, seed and number, so a later run of the same code with the same seed
goes on with the lives that are not there yet, and the counts add up.
"""

import json
import os
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from chaos_words import Words

ROOT = Path(__file__).resolve().parents[2]


@dataclass(slots=True)
class Tally:
    """What was injected, what was not and why, and what went wrong.

    noted: called with kind and job of every fault once it is injected.
    """

    injected: Counter[str] = field(default_factory=Counter)
    missed: Counter[str] = field(default_factory=Counter)
    by_job: Counter[str] = field(default_factory=Counter)
    lives: int = 0
    wrong: list[str] = field(default_factory=list)
    words: Words = field(default_factory=Words)
    noted: Callable[[str, str], None] = lambda kind, job: None

    def count(self, kind: str, job: str) -> None:
        self.injected[kind] += 1
        self.by_job[job] += 1
        self.noted(kind, job)

    @property
    def total(self) -> int:
        return self.injected.total()

    def add(self, other: "Tally") -> None:
        for name in ("injected", "missed", "by_job"):
            getattr(self, name).update(getattr(other, name))
        self.words.seen.update(other.words.seen)
        self.words.faults += other.words.faults
        self.wrong += other.wrong
        self.lives += other.lives


class Log:
    """The lines of one part of chaos. path: of a file that several processes may add to."""

    def __init__(self, path: Path, *, part: str, seed: int) -> None:
        self._path = path
        self._of = {"part": part, "seed": seed, "code": code_version()}
        path.parent.mkdir(parents=True, exist_ok=True)

    def life(self, number: int) -> Tally:
        """Begin to count what happens in a life."""

        def noted(kind: str, job: str) -> None:
            self._write({"event": "fault", "life": number, "kind": kind, "job": job})

        return Tally(lives=1, noted=noted)

    def ended(self, number: int, tally: Tally, *, compared: bool) -> None:
        """Write what was counted in a life. compared: whether it came to its end."""
        self._write(
            {
                "event": "life" if compared else "cut",
                "life": number,
                "injected": tally.injected,
                "missed": tally.missed,
                "by_job": tally.by_job,
                "wrong": tally.wrong,
                "unclear": tally.words.faults,
                "seen": tally.words.seen,
            }
        )

    def _write(self, record: dict[str, Any]) -> None:
        line = json.dumps(self._of | record) + "\n"
        # one write to a file opened for appending: lines of several processes do not mix
        opened = os.open(self._path, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o644)
        try:
            os.write(opened, line.encode())
        finally:
            os.close(opened)


@dataclass(frozen=True, slots=True)
class Account:
    """All that a log holds of one seed and of this code.

    compared: counted in lives that came to their end. cut: injected in lives that did not. done:
    numbers of the former lives, by part and seed.
    """

    compared: Tally
    cut: Counter[str]
    done: dict[tuple[str, int], set[int]]
    by_part: Counter[tuple[str, int]]


def account(path: Path, seeds: set[int]) -> Account:
    """Add up the lines of a log that are of these seeds and of the code as it is."""
    compared, done, by_part = Tally(), {}, Counter[tuple[str, int]]()
    lines = [r for r in _records(path) if r["seed"] in seeds and r["code"] == code_version()]
    for record in lines:
        if record["event"] != "life":
            continue
        key = record["part"], record["seed"]
        if record["life"] in done.setdefault(key, set()):
            continue
        done[key].add(record["life"])
        one = Tally(
            **{name: Counter(record[name]) for name in ("injected", "missed", "by_job")},
            lives=1,
            wrong=record["wrong"],
        )
        one.words.seen.update(record["seen"])
        one.words.faults += record["unclear"]
        compared.add(one)
        by_part[key] += one.total
    cut = Counter(
        record["kind"]
        for record in lines
        if record["event"] == "fault"
        and record["life"] not in done.get((record["part"], record["seed"]), set())
    )
    return Account(compared=compared, cut=cut, done=done, by_part=by_part)


def _records(path: Path) -> Iterator[dict[str, Any]]:
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                yield json.loads(line)
            except ValueError:
                # the last line of a run that was killed
                continue


@cache
def code_version() -> str:
    """Return the commit, -dirty where files differ: lives of other code do not count."""
    head = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=40"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return head.stdout.strip() or "unknown"
