"""Leases: whoever trains a block holds one, and nobody else trains it meanwhile.

A lease is a small file, made where none was and renewed every few seconds by a thread. A
process that wants it looks whether it changes; one that has not changed for long enough, by the
watcher's own clock, is taken over. Nothing rests on locks, which network file systems may not
have, or on clocks of two machines that agree. A holder that was suspended finds that its lease is
another's, and stops. That two train at once for a moment costs time and no result: the first to
publish a shard wins.
"""

import errno
import json
import logging
import os
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from pydantic import TypeAdapter, ValidationError

from collect.process import Process, this_process
from collect.stopping import LeaseLostError

_log = logging.getLogger(__name__)

_NO_LINKS: Final = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}
"""What file systems without hard links say."""


def always() -> None:
    """Let work go on that no other process can begin."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Seconds. beat: between renewals. patience: unchanged for so long, a lease has ended.

    look: between two looks of one who waits.
    """

    beat: float = 5.0
    patience: float = 45.0
    look: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """Who holds a lease. token: of this one taking. since: UTC, by the holder's clock.

    beat: grows with every renewal.
    """

    token: str
    process: Process
    since: datetime
    block: int
    beat: int = 0

    def text(self) -> bytes:
        """Return the file's content, of the same length at every beat."""
        content = {**asdict(self), "since": self.since.isoformat(), "beat": f"{self.beat:010d}"}
        return json.dumps(content).encode() + b"\n"


_HOLDER = TypeAdapter(Holder)


def read_holder(content: bytes) -> Holder | None:
    """Read a lease's content; None where it is not whole."""
    try:
        return _HOLDER.validate_json(content)
    except ValidationError:
        return None


class Lease:
    """What this process holds. ``may_go_on`` costs a look at the clock.

    clock: seconds, which must go on while the process is suspended.
    """

    def __init__(
        self, path: Path, holder: Holder, *, timing: Timing, clock: Callable[[], float]
    ) -> None:
        self.holder = holder
        self._path = path
        self._timing = timing
        self._clock = clock
        self._confirmed = clock()
        self._beat = 0
        self._lost: str | None = None
        self._renewing = threading.Lock()

    def may_go_on(self) -> None:
        """Return where the lease surely holds. Raises LeaseLostError where it does not."""
        age = self._clock() - self._confirmed
        if self._lost is None and age < 4 * self._timing.beat:
            return
        self.confirm()

    def confirm(self) -> None:
        """Look at the lease itself, and renew it. Raises LeaseLostError where it is lost."""
        refusal = self.renew()
        if self._lost is None and refusal is not None:
            # nobody can have taken it over before its patience is at its end
            age = self._clock() - self._confirmed
            if age >= self._timing.patience - 2 * self._timing.beat:
                self._lost = f"its lease {self._path} could not be renewed for {age:.0f} s: " + (
                    f"{refusal.strerror or refusal}. Look whether that folder can be reached"
                )
        if self._lost is not None:
            raise LeaseLostError(
                f"block {self.holder.block}: {self._lost}. This process stops and publishes "
                "nothing; what it finished is kept, and the same command goes on from there"
            )

    def renew(self) -> OSError | None:
        """Count one beat, unless the lease is lost; return what the file system refused."""
        with self._renewing:
            if self._lost is not None:
                return None
            began = self._clock()
            try:
                self._lost = self._renewed()
            except OSError as error:
                return error
            if self._lost is None:
                self._confirmed = began
            return None

    def _renewed(self) -> str | None:
        """Write one beat into the very file; return why the lease is lost, None where it holds.

        In place, and not by a rename, which could put it over a lease that another one has taken.
        """
        for attempt in range(4):
            try:
                descriptor = os.open(self._path, os.O_RDWR | os.O_CLOEXEC)
            except FileNotFoundError:
                time.sleep(0.05 * attempt)  # one who took it by mistake puts it back
                continue
            try:
                found = read_holder(os.read(descriptor, 65536))
                if found is None or found.token != self.holder.token:
                    who = found.process.words if found else "another process"
                    return (
                        f"{who} has taken its lease, since this process was suspended or cut off "
                        f"for {self._timing.patience:.0f} s or longer"
                    )
                self._beat += 1
                os.pwrite(descriptor, self._content(), 0)
            finally:
                os.close(descriptor)
            return None
        return f"its lease {self._path} is gone: deleted, or the folder is no longer mounted"

    def _content(self) -> bytes:
        return replace(self.holder, beat=self._beat).text()

    def release(self) -> None:
        """Give the lease back; nothing where it is not this process's any more."""
        self._lost = self._lost or "its lease was given back"

        def own(content: bytes) -> bool:
            found = read_holder(content)
            return found is not None and found.token == self.holder.token

        # a renewal that hangs in a file system that does not answer must not keep the process
        idle = self._renewing.acquire(timeout=self._timing.beat)
        try:
            with suppress(OSError):
                if idle and own(self._path.read_bytes()):
                    _take_away(self._path, own)
        finally:
            if idle:
                self._renewing.release()


@dataclass(slots=True)
class _Watch:
    """What a watcher has seen of a lease. unchanged: seconds, as far as it has looked."""

    content: bytes
    looked: float
    unchanged: float = 0.0


class Leases:
    """The leases that this process holds or waits for, in one folder; a context manager.

    process, clock, running: who takes them, a monotonic clock, and one that goes on while the
    machine sleeps; for tests.
    """

    def __init__(
        self,
        folder: Path,
        *,
        timing: Timing | None = None,
        process: Process | None = None,
        clock: Callable[[], float] = time.monotonic,
        running: Callable[[], float] | None = None,
    ) -> None:
        self.timing = timing or Timing()
        self._folder = folder
        self._process = process or this_process()
        self._clock = clock
        self._running = running or _clock_of_sleep_too
        self._held: list[Lease] = []
        self._watched: dict[str, _Watch] = {}
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._ended.set()
        for lease in list(self._held):
            self.give_back(lease)

    def claim(self, name: str, *, block: int) -> Lease | Holder | None:
        """Take a lease if it is free or has ended.

        name: of the file, without its ending. Returns who holds it where it is held; None where
        its file does not say so. Raises OSError where the folder cannot be written.
        """
        path = self._folder / f"{name}.json"
        content = _content_of(path)
        if content is not None:
            holder = read_holder(content)
            if not (self._has_ended(name, content, holder) and self._taken_away(path, content)):
                return holder
            _log.info(
                "%s: took over the lease of %s, which is gone or silent",
                name,
                holder.process.words if holder else "a process unknown",
            )
        return self._made(path, block=block) or read_holder(_content_of(path) or b"")

    def give_back(self, lease: Lease) -> None:
        """Release a lease, and renew it no more."""
        lease.release()
        if lease in self._held:
            self._held.remove(lease)

    def discard(self, name: str) -> None:
        """Delete a lease that means nothing any more, whoever left it."""
        (self._folder / f"{name}.json").unlink(missing_ok=True)

    def wait(self) -> None:
        """Let some time pass until the next look."""
        time.sleep(self.timing.look)

    def _has_ended(self, name: str, content: bytes, holder: Holder | None) -> bool:
        if holder is not None and holder.process.is_gone():
            return True
        now, watch = self._clock(), self._watched.get(name)
        if watch is None or watch.content != content:
            self._watched[name] = _Watch(content, now)
            return False
        # no more than between two looks: a watcher that was suspended has seen nothing meanwhile
        watch.unchanged += min(now - watch.looked, 2 * self.timing.look)
        watch.looked = now
        return watch.unchanged >= self.timing.patience

    def _taken_away(self, path: Path, content: bytes) -> bool:
        self._watched.pop(path.stem, None)
        return _content_of(path) == content and _take_away(path, content.__eq__)

    def _made(self, path: Path, *, block: int) -> Lease | None:
        """Make the lease's file, unless there is one."""
        holder = Holder(
            token=uuid.uuid4().hex,
            process=self._process,
            since=datetime.now(UTC).replace(microsecond=0),
            block=block,
        )
        if not _create(path, holder.text()):
            return None
        lease = Lease(path, holder, timing=self.timing, clock=self._running)
        self._held.append(lease)
        if self._thread is None:
            self._thread = threading.Thread(target=self._renew, name="leases", daemon=True)
            self._thread.start()
        return lease

    def _renew(self) -> None:
        while not self._ended.wait(self.timing.beat):
            for lease in list(self._held):
                lease.renew()


def _clock_of_sleep_too() -> float:
    """Seconds of a clock that goes on while the machine sleeps, where there is one."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def _content_of(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _create(path: Path, content: bytes) -> bool:
    """Make a file with its content unless there is one; on network file systems too.

    By a link, for that is made or refused as a whole, and whether it was made is then read back:
    an answer may be lost where the deed was done.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    own = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        own.write_bytes(content)
        os.link(own, path)
    except FileExistsError:
        pass
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        with suppress(FileExistsError), path.open("xb") as stream:
            stream.write(content)
    finally:
        own.unlink(missing_ok=True)
    return _content_of(path) == content


def _take_away(path: Path, expected: Callable[[bytes], bool]) -> bool:
    """Delete a file if its content is as expected; of several who try, one does.

    It is renamed first and looked at then: what another one has put there meanwhile goes back.
    """
    aside = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        path.rename(aside)
    except FileNotFoundError:
        return False
    try:
        if expected(aside.read_bytes()):
            return True
        try:
            os.link(aside, path)
        except FileExistsError:
            pass  # a third has taken it; the holder of this one will find that
        except OSError:
            aside.replace(path)
        return False
    finally:
        aside.unlink(missing_ok=True)


def seen_afresh(folder: Path) -> None:
    """Have a network file system ask its server what a folder holds.

    It may remember for a minute that something was not there. What changes the folder makes it
    forget that, so a file is made there and deleted.
    """
    own = folder / f".seen.{uuid.uuid4().hex}"
    try:
        own.touch()
    finally:
        own.unlink(missing_ok=True)
