"""How far a study is: read from its results, on any node, while it runs; nothing is written."""

import json
import os
import re
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from collect.failures import VANISHED, cause_of
from collect.lease import Holder, Timing, read_holder
from collect.process import Process
from collect.progress import Finished, rate_of
from collect.trained_twice import TrainedTwice, read_trained_twice
from store.design import Design
from store.errors import UserError
from store.packing import packing_of
from store.shard import shard_name
from store.study_file import kept_declaration, load_design

_TAIL: Final = 64 * 1024
"""Bytes of a log that are read: its end."""
_LINES: Final = 3
"""Lines of a failed job's log that are shown."""
_STARTING: Final = 600.0
"""Seconds for which a job that cannot be seen from here is taken to be starting."""
_FULL: Final = 64 * 2**20
"""Bytes; with fewer a disk counts as full."""
_BEGUN = re.compile(r"pack \d+: begun by pid (\d+) on (\S+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """One process at work. block: None while it starts, or waits for another's block.

    models: finished in the block, of ``of``. heartbeat: seconds since its lease last changed, by
    this machine's clock.
    """

    pack: int
    block: int | None
    process: str
    since: datetime | None
    models: int
    of: int
    heartbeat: float | None
    doing: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """One pack that no process works on any more, and why. lines: the last ones of its log."""

    pack: int
    cause: str
    reason: str
    next_step: str
    log: str
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """How far a study is. rate: models per second lately; None where nothing says it.

    free: bytes on the disk of the results.
    """

    study: str
    results: str
    packs: int
    done: int
    waiting: int
    running: tuple[Running, ...]
    failed: tuple[Failed, ...]
    models: int
    finished: int
    rate: float | None
    trained_twice: tuple[TrainedTwice, ...]
    free: int

    @property
    def full(self) -> bool:
        """Whether the disk of the results has no room left."""
        return self.free < _FULL

    @property
    def seconds_left(self) -> float | None:
        """How long the rest takes at the present rate; None where nothing says it."""
        left = self.models - self.finished
        return left / self.rate if self.rate and left and self.running else None


def look(
    results: Path,
    *,
    study: Path | None = None,
    timing: Timing | None = None,
    pause: Callable[[float], None] = time.sleep,
    now: Callable[[], float] = time.time,
) -> Status:
    """Read how far a study is.

    study: its file; by default what the results themselves say. A lease that seems silent is
    looked at again after a pause, since clocks of two machines may differ. Raises UserError where
    the results, or what the study declares, cannot be read.
    """
    if not results.is_dir():
        raise UserError(
            f"{results}: no such folder of results; see that it is mounted here, or name another"
        )
    design = _declared(results, study)
    return _Look(results, design, timing or Timing(), pause, now).status()


def _declared(results: Path, study: Path | None) -> Design:
    if study is not None:
        return load_design(study, unset="not-said")
    kept = kept_declaration(results)
    if kept is not None:
        return kept
    for file in (results / "study.yaml", Path("config") / f"{results.name}.yaml"):
        if file.exists():
            return load_design(file, unset="not-said")
    raise UserError(
        f"{results}: nothing there says what the study declares; name its file: --study FILE"
    )


@dataclass(frozen=True, slots=True)
class _Glance:
    """One look at a lease. age: seconds since its file changed, by this machine's clock."""

    content: bytes
    holder: Holder
    age: float


@dataclass(frozen=True, slots=True)
class _Seen:
    """A lease after as many looks as it needed. silent: its holder is gone."""

    holder: Holder
    age: float
    silent: bool


class _Look:
    """One reading of a study's results."""

    def __init__(
        self,
        results: Path,
        design: Design,
        timing: Timing,
        pause: Callable[[float], None],
        now: Callable[[], float],
    ) -> None:
        self._results = results
        self._design = design
        self._packing = packing_of(design, results)
        self._timing = timing
        self._pause = pause
        self._now = now
        self._size = design.plan().size
        self._keys = {block: design.shard_key(block) for block in range(design.seeds)}
        self._published = set(_names(results / "shards"))
        self._finished = Finished(results / "progress", keys=set(self._keys.values()))
        self._counts = self._finished.by_key()

    def status(self) -> Status:
        design = self._design
        seen = self._leases()
        done = [pack for pack in range(self._packing.packs) if self._is_done(pack)]
        running: list[Running] = []
        failed: list[Failed] = []
        for pack in sorted(set(range(self._packing.packs)) - set(done)):
            found = self._of_pack(pack, seen)
            if isinstance(found, Failed):
                failed.append(found)
            else:
                running.extend(found)
        return Status(
            study=design.study,
            results=str(self._results),
            packs=self._packing.packs,
            done=len(done),
            waiting=self._packing.packs - len(done) - len(failed) - len({r.pack for r in running}),
            running=tuple(running),
            failed=tuple(failed),
            models=design.seeds * self._size,
            finished=sum(self._models(block) for block in self._keys),
            rate=rate_of(self._finished.times(), self._now()),
            trained_twice=tuple(read_trained_twice(self._results)),
            free=shutil.disk_usage(self._results).free,
        )

    def _name(self, block: int) -> str:
        return shard_name(block, self._keys[block])

    def _models(self, block: int) -> int:
        if self._name(block) in self._published:
            return self._size
        return min(self._counts.get(self._keys[block], 0), self._size)

    def _is_done(self, pack: int) -> bool:
        """Whether a pack's manifest stands for the blocks as they are declared now."""
        path = self._results / "packs" / f"{pack:05d}.json"
        try:
            content: Any = json.loads(path.read_text(encoding="utf-8"))
            shards = [block["shard"] for block in content["blocks"]]
        except (OSError, ValueError, KeyError, TypeError):
            return False
        return shards == [self._name(block) for block in self._packing.blocks_of(pack)]

    def _leases(self) -> dict[int, _Seen]:
        """Read who trains which block; whoever seems silent is looked at twice."""
        names = [f"{self._name(block)}.json" for block in self._keys]
        there = set(_names(self._results / "leases"))
        first = {name: self._lease(name) for name in names if name in there}
        seen = {name: glance for name, glance in first.items() if glance is not None}
        doubtful = {
            name
            for name, glance in seen.items()
            if abs(glance.age) > 3 * self._timing.beat and not glance.holder.process.is_gone()
        }
        if doubtful:
            self._pause(1.5 * self._timing.beat)
        found: dict[int, _Seen] = {}
        for name, glance in seen.items():
            again = self._lease(name) if name in doubtful else glance
            if again is None:
                continue  # given back meanwhile
            # one that has changed beats, whatever the clocks of two machines say
            beats = name in doubtful and again.content != glance.content
            silent = not beats and name in doubtful and glance.age > self._timing.patience
            found[glance.holder.block] = _Seen(
                holder=again.holder,
                age=0.0 if beats else max(again.age, 0.0),
                silent=silent or again.holder.process.is_gone(),
            )
        return found

    def _lease(self, name: str) -> _Glance | None:
        path = self._results / "leases" / name
        try:
            content, changed = path.read_bytes(), path.stat().st_mtime
        except OSError:
            return None
        holder = read_holder(content)
        return None if holder is None else _Glance(content, holder, self._now() - changed)

    def _of_pack(self, pack: int, seen: Mapping[int, _Seen]) -> list[Running] | Failed:
        """Say who works on a pack that is not done; an empty list where nobody has yet."""
        blocks = self._packing.blocks_of(pack)
        held = [seen[block] for block in blocks if block in seen]
        alive = [lease for lease in held if not lease.silent]
        if alive:
            return [self._running(pack, lease) for lease in alive]
        log = self._results / "logs" / f"collect-{pack:05d}.log"
        lines = _last_attempt(log)
        ending = next((line for line in reversed(lines) if _is_ending(_message(line))), None)
        if ending is not None:
            message = _message(ending)
            cause = cause_of(message)
            return _failed(pack, cause.name, message, cause.next_step, log, lines)
        if held:
            lease = held[0]
            since = f"{lease.holder.since:%Y-%m-%d %H:%M} UTC"
            reason = (
                f"{lease.holder.process.words} trained block {lease.holder.block} since {since}, "
                f"then left no word and no heartbeat for {lease.age:.0f} s"
            )
            return _failed(pack, VANISHED.name, reason, VANISHED.next_step, log, lines)
        return self._begun(pack, log, lines)

    def _running(self, pack: int, lease: _Seen) -> Running:
        return Running(
            pack=pack,
            block=lease.holder.block,
            process=lease.holder.process.words,
            since=lease.holder.since,
            models=self._models(lease.holder.block),
            of=self._size,
            heartbeat=lease.age,
            doing="trains",
        )

    def _begun(self, pack: int, log: Path, lines: list[str]) -> list[Running] | Failed:
        """Tell of a job that holds no lease whether it starts, waits, or is gone."""
        begun = _BEGUN.search(lines[0]) if lines else None
        if begun is None or _message(lines[-1]) == f"pack {pack}: done":
            return []
        pid, host = int(begun[1]), begun[2]
        age = self._now() - log.stat().st_mtime
        waits = "; waiting (its lease" in lines[-1]
        here = host == os.uname().nodename
        if (here and not _runs(pid)) or (not here and not waits and age > _STARTING):
            reason = f"pid {pid} on {host} began and left no word"
            return _failed(pack, VANISHED.name, reason, VANISHED.next_step, log, lines)
        return [
            Running(
                pack=pack,
                block=None,
                process=f"pid {pid} on {host}",
                since=None,
                models=sum(self._models(block) for block in self._packing.blocks_of(pack)),
                of=self._size * len(self._packing.blocks_of(pack)),
                heartbeat=None,
                doing="waits for another process" if waits else "starts",
            )
        ]


def _failed(
    pack: int, cause: str, reason: str, next_step: str, log: Path, lines: list[str]
) -> Failed:
    return Failed(
        pack=pack,
        cause=cause,
        reason=reason.removeprefix("error: "),
        next_step=next_step,
        log=str(log),
        lines=tuple(lines[-_LINES:]),
    )


def _names(folder: Path) -> list[str]:
    try:
        return sorted(os.listdir(folder))  # noqa: PTH208, names alone, of thousands
    except FileNotFoundError:
        return []


def _last_attempt(log: Path) -> list[str]:
    """Read a job's log from where it was last begun, as far as its end reaches back."""
    try:
        with log.open("rb") as stream:
            size = stream.seek(0, os.SEEK_END)
            stream.seek(max(0, size - _TAIL))
            text = stream.read().decode("utf-8", errors="replace")
    except OSError:
        return []
    lines = [line for line in text.splitlines() if line.strip()]
    starts = [number for number, line in enumerate(lines) if _BEGUN.search(line)]
    return lines[starts[-1] :] if starts else lines


def _message(line: str) -> str:
    """Return a log's line without the time before it."""
    return re.sub(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} ", "", line)


def _is_ending(message: str) -> bool:
    return message.startswith(("error: ", "stopped by SIGTERM", "interrupted;"))


def _runs(pid: int) -> bool:
    """Whether a process of that number runs on this machine."""
    return not Process(host="", machine=None, pid=pid, started=None).has_ended()
