"""Lets a pack's first attempt end badly, in the middle of its training; Python imports this first.

KD_FAULTS: a folder with one file for each such pack, named by its number, whose word says how:
``exit`` (the process fails), ``stop`` (it stands still, until Slurm or somebody ends it).
"""

import os
import signal
import sys
import threading
import time
from pathlib import Path

MODELS = 2
"""Finished models before the fault: there is something to go on from."""


def _meet_fault(order: Path, log: Path) -> None:
    while not log.exists() or log.read_text().count(" finished\n") < MODELS:
        time.sleep(0.02)
    (order.parent / f"{order.name}.met").write_text(os.environ.get("SLURM_JOB_ID", ""))
    if order.read_text() == "exit":
        os._exit(7)
    os.kill(os.getpid(), signal.SIGSTOP)


def _plan_fault(words: list[str]) -> None:
    pack = words[words.index("--pack") + 1]
    log = Path(words[words.index("--log") + 1])
    order = Path(os.environ["KD_FAULTS"]) / pack
    try:
        # made by the first attempt alone
        (order.parent / f"{pack}.begun").touch(exist_ok=False)
    except FileExistsError:
        return
    if order.exists():
        threading.Thread(target=_meet_fault, args=(order, log), daemon=True).start()


if "KD_FAULTS" in os.environ and "collect" in sys.orig_argv and "--pack" in sys.orig_argv:
    _plan_fault(sys.orig_argv)
