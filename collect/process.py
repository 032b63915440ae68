"""Which process works where: told apart from every other one, and whether it is gone."""

import os
import platform
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """A process, as another one on any node can know it.

    machine: boot and process namespace, in which ``pid`` means something; None where the system
    does not tell. started: clock ticks after the boot, since numbers of processes come again.
    """

    host: str
    machine: str | None
    pid: int
    started: int | None
    slurm_job: str | None = None

    @property
    def words(self) -> str:
        """Name it for a person."""
        job = f" (Slurm job {self.slurm_job})" if self.slurm_job else ""
        return f"pid {self.pid} on {self.host}{job}"

    def is_here(self) -> bool:
        """Whether it runs, or ran, where the caller can see it."""
        return self.machine is not None and (self.host, self.machine) == (
            platform.node(),
            _machine(),
        )

    def is_gone(self) -> bool:
        """Whether it has surely ended; False where this cannot be seen from here."""
        return self.is_here() and self.has_ended()

    def has_ended(self) -> bool:
        """Whether it has ended, for one of this machine."""
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except OSError:
            return False  # another user's
        state = _state(self.pid)
        if state is None:
            return False
        letter, started = state
        return letter in "ZX" or (self.started is not None and started != self.started)


def this_process() -> Process:
    """Describe the calling process."""
    state = _state(os.getpid())
    return Process(
        host=platform.node(),
        machine=_machine(),
        pid=os.getpid(),
        started=state[1] if state else None,
        slurm_job=_slurm_job(),
    )


def _machine() -> str | None:
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {(_PROC / 'self/ns/pid').readlink()}"
    except OSError:
        return None


def _state(pid: int) -> tuple[str, int] | None:
    """Return a process's state letter and start; None where the system does not show them."""
    try:
        text = (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # the second field, a name in parentheses, may hold anything
    fields = text.rpartition(")")[2].split()
    return (fields[0], int(fields[19])) if len(fields) > 19 else None


def _slurm_job() -> str | None:
    array, task = (os.environ.get(f"SLURM_ARRAY_{name}_ID") for name in ("JOB", "TASK"))
    return f"{array}_{task}" if array and task else os.environ.get("SLURM_JOB_ID")
