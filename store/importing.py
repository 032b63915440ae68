"""Commands import for a second or more: Ctrl-C meanwhile has nothing to explain."""

import os
import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def importing() -> Generator[None, None, None]:
    """Let Ctrl-C end the process at once, with status 130 and no word, until the block's end.

    Otherwise it would be raised somewhere in a library that is being imported, and shown as that
    library's failure. Where Ctrl-C is ignored, as in a shell's background, it stays so.
    """
    if (
        threading.current_thread() is not threading.main_thread()
        or signal.getsignal(signal.SIGINT) is not signal.default_int_handler
    ):
        yield
        return
    imported = threading.Event()

    def interrupted(number: int, frame: FrameType | None) -> None:
        if not imported.is_set():
            os._exit(128 + number)
        signal.default_int_handler(number, frame)

    # never put back: libraries that listen to Ctrl-C, as polars does from its import on, call
    # what was there before them, and to say anew what is there would turn their listening off
    signal.signal(signal.SIGINT, interrupted)
    try:
        yield
    finally:
        imported.set()
