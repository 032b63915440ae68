"""Why a job failed: named from the line that it said last, with the next step."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """One kind of failure. words: what the job's last line has of it. next_step: what to do."""

    name: str
    words: tuple[str, ...]
    next_step: str


VANISHED: Final = Cause(
    name="holder vanished",
    words=(),
    next_step="it was killed, its node was lost, or its time was up; run the same command again, "
    "with more memory or time if it comes again",
)
OTHER: Final = Cause(
    name="error",
    words=(),
    next_step="do what the line says, then run the same command again",
)
CAUSES: Final = (
    Cause(
        name="full disk",
        words=("No space left", "Disk quota exceeded", "os error 28)", "os error 122)"),
        next_step="free some space there, then run the same command again",
    ),
    Cause(
        name="no GPU",
        words=("torch sees no GPU",),
        next_step="ask for a GPU where the job runs (nvidia-smi shows it), or declare device: auto",
    ),
    Cause(
        name="time limit",
        words=("stopped by SIGTERM",),
        next_step="run the same command again, with more time for a job or fewer blocks in a pack "
        "(pack_size): it goes on from the finished models",
    ),
    Cause(
        name="out of memory",
        words=("out of memory", "not enough memory", "Cannot allocate memory"),
        next_step="give a job more memory, or run fewer at a time, then run the same command again",
    ),
    Cause(
        name="killed",
        words=("killed by SIG",),
        next_step=VANISHED.next_step,
    ),
    Cause(
        name="crashed",
        words=("ended by SIG",),
        next_step="run the same command again; if it comes again, report the log",
    ),
    Cause(
        name="lease lost",
        words=("has taken its lease",),
        next_step="nothing, if the other process is at work; else run the same command again",
    ),
    Cause(
        name="folder unreachable",
        words=(
            "Stale file handle",
            "Input/output error",
            "Transport endpoint is not connected",
            "Connection timed out",
            "Host is down",
            "No such file or directory",
            "Permission denied",
            "Read-only file system",
            "no longer mounted",
            "could not be renewed",
            "does not exist",
            "is not there",
            "dataset.path",
            "dataset.root",
        ),
        next_step="see that the folder is mounted and open to you on that node, then run the same "
        "command again",
    ),
    Cause(
        name="interrupted",
        words=("interrupted;",),
        next_step="run the same command again: it goes on from the finished models",
    ),
)


def cause_of(line: str) -> Cause:
    """Name the cause of a failure from the line that says it."""
    return next((cause for cause in CAUSES if any(word in line for word in cause.words)), OTHER)
