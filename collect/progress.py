"""One line for all jobs of a study: models done of how many, rate, time left.

Each process appends one short line to a shared file when a model is finished; whoever
does so reads the file and shows the sum. Appends of a line are atomic, so no lock is needed.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, TextIO

_WINDOW: Final = 120.0
"""Seconds over which the rate is taken; at least the last ten models are."""
_QUIET: Final = 10.0
"""Seconds between lines where the terminal cannot redraw one."""


class Progress:
    """Counts finished models of all blocks through ``file``.

    total: models of the whole study. clock: seconds since the epoch.
    """

    def __init__(
        self,
        file: Path,
        total: int,
        *,
        stream: TextIO = sys.stderr,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._file = file
        self._total = total
        self._stream = stream
        self._clock = clock
        self._shown = 0.0

    def finished(self, key: str, ordinal: int) -> None:
        """Count one model of the block with this shard key; counting it twice is harmless."""
        try:
            with self._file.open("a", encoding="utf-8") as stream:
                stream.write(f"{key} {ordinal} {self._clock():.3f}\n")
        except OSError as error:
            error.filename = error.filename or str(self._file)
            raise
        self._show()

    def line(self) -> str:
        """Return the line as it stands now."""
        times = self._times()
        done = min(len(times), self._total)
        text = f"training: {done}/{self._total} models"
        rate = _rate(times, self._clock())
        if rate is None or done == self._total:
            return text
        return f"{text}, {60 * rate:.0f} per minute, {_duration((self._total - done) / rate)} left"

    def _times(self) -> list[float]:
        """When each model was first finished, ascending."""
        first: dict[tuple[str, str], float] = {}
        for line in self._file.read_text(encoding="utf-8").splitlines():
            parts = line.split()
            if len(parts) == 3:
                first.setdefault((parts[0], parts[1]), float(parts[2]))
        return sorted(first.values())

    def _show(self) -> None:
        line = self.line()
        if self._stream.isatty():
            end = "\n" if f"{self._total}/{self._total}" in line else ""
            self._stream.write(f"\r\x1b[K{line}{end}")
        elif self._clock() - self._shown >= _QUIET:
            self._shown = self._clock()
            self._stream.write(line + "\n")
        self._stream.flush()


def _rate(times: list[float], now: float) -> float | None:
    """Models per second lately; None before there are two to measure between."""
    recent = [moment for moment in times if now - moment <= _WINDOW]
    chosen = recent if len(recent) >= 10 else times[-10:]
    span = now - chosen[0] if chosen else 0.0
    return (len(chosen) - 1) / span if len(chosen) > 1 and span > 0 else None


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
