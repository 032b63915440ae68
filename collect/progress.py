"""One line for all jobs of a study: models done of how many, rate, time left.

Each process appends a short line to a file of its own when a model is finished, since appends of
several nodes to one file of a network file system overwrite each other. When its pack is done the
file takes the pack's name, which says that it grows no more: so a study keeps one small file for
each pack, and whoever shows the sum reads only what has been added since it last looked.
"""

import os
import platform
import sys
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, TextIO

from store.atomic import write_text

_WINDOW: Final = 120.0
"""Seconds over which the rate is taken; at least the last ten models are."""
_QUIET: Final = 10.0
"""Seconds between lines where the terminal cannot redraw one."""


class Finished:
    """When each model of a study was first finished, read from its folder ``progress``.

    keys: of the shards that count; by default all that are there.
    """

    def __init__(self, folder: Path, *, keys: Collection[str] | None = None) -> None:
        self._folder = folder
        self._keys = keys
        self._read: dict[str, tuple[int, int]] = {}
        self._first: dict[str, float] = {}
        self._times: list[float] | None = None

    def times(self) -> Sequence[float]:
        """When models were finished, in seconds since the epoch, ascending."""
        self._look()
        if self._times is None:
            self._times = list(self._first.values())
        self._times.sort()  # fast, for most of them are in order
        return self._times

    def by_key(self) -> dict[str, int]:
        """Count the finished models of each shard key."""
        self._look()
        return dict(Counter(model.partition(" ")[0] for model in self._first))

    def first(self) -> dict[str, float]:
        """When each model was first finished, by its shard key and ordinal."""
        self._look()
        return self._first

    def _look(self) -> None:
        """Read what was added since the last look."""
        try:
            with os.scandir(self._folder) as entries:
                found = {entry.name: entry.inode() for entry in entries}
        except (FileNotFoundError, NotADirectoryError):
            return
        for name, inode in sorted(found.items()):
            known, start = self._read.get(name, (inode, 0))
            if known != inode:
                start = 0
            elif name in self._read and _is_whole(name):
                continue
            with suppress(FileNotFoundError):  # its pack is done, and has a file for all
                self._read[name] = (inode, self._read_on(name, start))

    def _read_on(self, name: str, start: int) -> int:
        """Count what a file holds from a byte on; return where the next look begins."""
        with (self._folder / name).open("rb") as stream:
            stream.seek(start)
            text = stream.read()
        # a line that is being written counts when it is whole
        whole = text[: text.rfind(b"\n") + 1]
        for line in whole.decode("utf-8", errors="replace").splitlines():
            self._count(line)
        return start + len(whole)

    def _count(self, line: str) -> None:
        """Count a line; one that was torn says nothing."""
        parts = line.split()
        if len(parts) != 3 or not parts[1].isdecimal():
            return
        try:
            moment = float(parts[2])
        except ValueError:
            return
        if self._keys is not None and parts[0] not in self._keys:
            return
        model = f"{parts[0]} {parts[1]}"
        known = self._first.get(model)
        if known is None or moment < known:
            self._first[model] = moment
            if known is None and self._times is not None:
                self._times.append(moment)
            else:
                self._times = None


def _is_whole(name: str) -> bool:
    """Whether a file is one that nobody adds to: of a finished pack, or of an older release."""
    return "." not in name


class Progress:
    """Counts finished models of all blocks through files in ``folder``.

    total: models of the whole study. pack: that this process trains. clock: seconds since the
    epoch.
    """

    def __init__(
        self,
        folder: Path,
        total: int,
        *,
        pack: int,
        stream: TextIO = sys.stderr,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._folder = folder
        self._pack = f"{pack:05d}"
        self._file = folder / f"{self._pack}.{platform.node()}.{os.getpid()}"
        self._total = total
        self._stream = stream
        self._clock = clock
        self._shown = 0.0
        self._finished = Finished(folder)
        _make(folder)

    def finished(self, key: str, ordinal: int) -> None:
        """Count one model of the block with this shard key; counting it twice is harmless."""
        try:
            with self._file.open("a", encoding="utf-8") as stream:
                stream.write(f"{key} {ordinal} {self._clock():.3f}\n")
        except OSError as error:
            error.filename = error.filename or str(self._file)
            raise
        self._show()

    def close(self, keys: Collection[str]) -> None:
        """Put what processes counted for this pack in one file: it is done.

        keys: of its blocks' shards; another study's, which the pack had before, are forgotten.
        """
        lines = "".join(
            f"{model} {moment:.3f}\n"
            for model, moment in self._finished.first().items()
            if model.partition(" ")[0] in keys
        )
        write_text(self._folder / self._pack, lines)
        for path in self._folder.glob(f"{self._pack}.*"):
            path.unlink(missing_ok=True)

    def line(self) -> str:
        """Return the line as it stands now."""
        return progress_line(self._finished.times(), self._total, self._clock())

    def _show(self) -> None:
        if self._stream.isatty():
            line = self.line()
            end = "\n" if f"{self._total}/{self._total}" in line else ""
            self._stream.write(f"\r\x1b[K{line}{end}")
        elif self._clock() - self._shown >= _QUIET:
            self._shown = self._clock()
            self._stream.write(self.line() + "\n")
        self._stream.flush()


def progress_line(times: Sequence[float], total: int, now: float) -> str:
    """Say how many models are done, how fast, and how long the rest takes.

    times: when models were finished, ascending; now: both in seconds since the epoch.
    """
    done = min(len(times), total)
    text = f"training: {done}/{total} models"
    rate = rate_of(times, now)
    if rate is None or done == total:
        return text
    return f"{text}, {60 * rate:.0f} per minute, {duration((total - done) / rate)} left"


def rate_of(times: Sequence[float], now: float) -> float | None:
    """Models per second lately; None before there are two to measure between."""
    start = bisect_left(times, now - _WINDOW)
    chosen = times[min(start, max(len(times) - 10, 0)) :]
    span = now - chosen[0] if chosen else 0.0
    return (len(chosen) - 1) / span if len(chosen) > 1 and span > 0 else None


def duration(seconds: float) -> str:
    """Say a duration in words."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def _make(folder: Path) -> None:
    """Make the folder; the file that older releases kept in its place becomes its first."""
    aside = folder.with_name(f"{folder.name}-before")
    with suppress(FileNotFoundError, NotADirectoryError):
        if folder.is_file():
            folder.replace(aside)
    folder.mkdir(parents=True, exist_ok=True)
    with suppress(FileNotFoundError):
        aside.replace(folder / "before")
