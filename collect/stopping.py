"""What ends a process that is itself in order: SIGTERM, as an interrupt does, or a lost lease.

Slurm sends it at the end of a job's time and for scancel, half a minute before it kills.
"""

import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType

from store.errors import UserError


class LeaseLostError(UserError):
    """The lease of what this process trains is no longer its own; it must stop."""


class TerminatedError(BaseException):
    """SIGTERM came. Not an Exception, so that nobody takes it for a failure of their own work."""


@contextmanager
def terminated_by_signal() -> Generator[None, None, None]:
    """Have SIGTERM raise TerminatedError in the main thread, once; further ones do nothing."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may say what a signal does
        return

    def end(number: int, frame: FrameType | None) -> None:
        del number, frame
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise TerminatedError(
            "stopped by SIGTERM (the end of a job's time, scancel or a shutdown); finished models "
            "are kept, and the same command goes on from there"
        )

    former = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, former)
