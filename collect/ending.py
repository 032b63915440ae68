"""What a job that was killed could not say itself: said for it by the shell that ran it."""

import signal
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Final

_CGROUPS: Final = Path("/sys/fs/cgroup")


def ending_words(status: int, *, memory_kills: int) -> str | None:
    """Say in one line which signal ended a job, and what to do; None where none did.

    status: exit status as a shell has it. memory_kills: processes that the kernel has killed for
    want of memory in the job's control group.
    """
    if status <= 128 or status == 128 + signal.SIGTERM or status == 128 + signal.SIGINT:
        return None  # these two the job says itself
    try:
        name = signal.Signals(status - 128).name
    except ValueError:
        return None
    if status == 128 + signal.SIGKILL:
        if memory_kills:
            return (
                f"killed by {name}, most likely out of memory: the kernel counts {memory_kills} "
                "such kills here. Give the job more memory, or run fewer at a time, then run the "
                "same again: finished models are kept"
            )
        return (
            f"killed by {name}: by the kernel for want of memory, by the cluster at the end of the "
            "job's time, or by hand. Give the job more memory or time, then run the same again: "
            "finished models are kept"
        )
    return (
        f"ended by {name}, which is a fault in a library or in the machine. Run the same again; "
        "if it comes again, run it under python -X faulthandler and report what that says"
    )


def note_ending(status: int, log: Path) -> str | None:
    """Add to a job's log how it was killed, where a signal did it; return those words."""
    words = ending_words(status, memory_kills=memory_kills())
    if words is not None:
        now = datetime.now().astimezone()
        with suppress(OSError), log.open("a", encoding="utf-8") as stream:
            stream.write(f"{now:%Y-%m-%d %H:%M:%S},{now.microsecond // 1000:03d} error: {words}\n")
    return words


def memory_kills(groups: Path = _CGROUPS, own: Path = Path("/proc/self/cgroup")) -> int:
    """Count what the kernel has killed for want of memory in this process's control group.

    0 where the system does not tell.
    """
    try:
        lines = own.read_text(encoding="utf-8").splitlines()
    except OSError:
        return 0
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers in ("", "memory"):
            folder = groups / controllers / path.lstrip("/")
            for name in ("memory.events", "memory.oom_control"):
                with suppress(OSError, ValueError):
                    return _counted((folder / name).read_text(encoding="utf-8"))
    return 0


def _counted(text: str) -> int:
    """Read the count out of a control group's file. Raises ValueError where there is none."""
    for line in text.splitlines():
        if line.startswith("oom_kill "):
            return int(line.split()[1])
    raise ValueError("no count of kills")
