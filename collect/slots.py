"""A GPU of its own for each process of a machine, and a record of who had which, and when.

Snakemake counts GPUs and hands none out. A slot is a lock on a file that all processes of a
machine reach; the system frees it when its holder ends, however it ends. Where Slurm has given a
job its GPUs, these are taken as they are. Nothing here imports torch, which reads
CUDA_VISIBLE_DEVICES when it first looks for GPUs.
"""

import fcntl
import json
import logging
import os
import platform
import random
import re
import subprocess
import tempfile
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Final, Literal

from store.errors import UserError

_log = logging.getLogger(__name__)

VISIBLE: Final = "CUDA_VISIBLE_DEVICES"
_LISTED: Final = re.compile(r"^\s*(GPU|MIG) .*\(UUID: ([^)\s]+)\)", re.MULTILINE)
_NAME: Final = re.compile(r"\d+|(GPU|MIG)-[\w/-]+")
_LONGEST_PAUSE: Final = 1.0
"""Seconds between two looks for a free slot."""


@dataclass(frozen=True, slots=True)
class Slot:
    """A place for one process on a GPU. gpu: as CUDA names it. share: which of its places."""

    gpu: str
    share: int


def visible_gpus(environment: Mapping[str, str]) -> tuple[str, ...]:
    """Name the GPUs that a process may use: those it was given, else those of the machine.

    Returns names that CUDA_VISIBLE_DEVICES understands; none where there is no GPU.
    """
    given = environment.get(VISIBLE)
    if given is None:
        return _machines_gpus()
    names = (name.strip() for name in given.split(","))
    # as CUDA reads it: what follows a name that is none does not count
    return tuple(takewhile(lambda name: _NAME.fullmatch(name), names))


def given_by_slurm(environment: Mapping[str, str]) -> bool:
    """Tell whether Slurm has chosen this job's GPUs, so that nobody else has them."""
    return "SLURM_JOB_ID" in environment and VISIBLE in environment


@contextmanager
def gpu_slot(
    gpus: Sequence[str],
    *,
    record: Path,
    per_gpu: int = 1,
    exclusive: bool = False,
    folder: Path | None = None,
) -> Generator[Slot | None, None, None]:
    """Hold a place on one GPU, waiting until one is free; set CUDA_VISIBLE_DEVICES to that GPU.

    gpus: to choose from; without any, nothing is held. record: folder that gets one file of
    lines per machine, for what was held when. per_gpu: processes that may share a GPU.
    exclusive: nobody else has been given these GPUs, so they are only recorded. folder: where
    the locks are; it has to be the same for all processes of the machine.

    Raises UserError where the folder for the locks cannot be had.
    """
    if not gpus:
        yield None
        return
    if exclusive:
        with _recorded(record, Slot(",".join(gpus), 0)) as slot:
            yield slot
        return
    slot, lock = _wait_for_one(gpus, per_gpu=per_gpu, folder=folder or slots_folder())
    before = os.environ.get(VISIBLE)
    os.environ[VISIBLE] = slot.gpu
    try:
        with _recorded(record, slot):
            yield slot
    finally:
        os.close(lock)
        if before is None:
            del os.environ[VISIBLE]
        else:
            os.environ[VISIBLE] = before


def slots_folder() -> Path:
    """Return the folder of this machine's locks: KD_SLOTS, else one in shared memory.

    Not in TMPDIR, which may be another for every session.
    """
    declared = os.environ.get("KD_SLOTS")
    if declared:
        return Path(declared)
    memory = Path("/dev/shm")
    return (memory if memory.is_dir() else Path(tempfile.gettempdir())) / "kd-evidence-gpus"


def _machines_gpus() -> tuple[str, ...]:
    """Ask the driver for the GPUs of this machine, or for their parts where they are divided."""
    try:
        listed = subprocess.run(
            ["nvidia-smi", "-L"], capture_output=True, text=True, timeout=60, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return ()
    names: list[str] = []
    for kind, name in _LISTED.findall(listed):
        if kind == "MIG" and names and names[-1].startswith("GPU-"):
            names.pop()  # the whole is not to be had beside its parts
        names.append(name)
    return tuple(names)


def _wait_for_one(gpus: Sequence[str], *, per_gpu: int, folder: Path) -> tuple[Slot, int]:
    """Return a free slot and the open file that holds it."""
    _make(folder)
    pause = 0.02
    waited = False
    while True:
        for share in range(per_gpu):
            # at random, so that processes that start together look in different places first
            for gpu in random.sample(gpus, len(gpus)):
                lock = _locked(folder / f"{gpu.replace('/', '_')}.{share}.lock")
                if lock is not None:
                    return Slot(gpu, share), lock
        if not waited:
            waited = True
            _log.info(
                "waiting for a GPU: all %d slots of %d GPUs are taken",
                per_gpu * len(gpus),
                len(gpus),
            )
        time.sleep(pause * random.uniform(0.5, 1))
        pause = min(2 * pause, _LONGEST_PAUSE)


def _make(folder: Path) -> None:
    """Make a folder in which every user of the machine can lock files."""
    try:
        folder.mkdir(parents=True)
        folder.chmod(0o1777)
    except FileExistsError:
        if not folder.is_dir():
            raise UserError(f"{folder}: not a folder; set KD_SLOTS to one for locks") from None
    except OSError as error:
        raise UserError(
            f"{folder}: {error.strerror}; set KD_SLOTS to a folder of this machine for locks"
        ) from None


def _locked(path: Path) -> int | None:
    """Return an open file with an exclusive lock; None where another process has it."""
    file = _opened(path)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(file)
        return None
    return file


def _opened(path: Path) -> int:
    """Open a file that another user may have made, for a lock; reading is right enough for that."""
    while True:
        try:
            return os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        except FileNotFoundError:
            pass
        try:
            return os.open(path, os.O_RDONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644)
        except FileExistsError:
            continue


@contextmanager
def _recorded(record: Path, slot: Slot) -> Generator[Slot, None, None]:
    """Write when a slot is taken and when it is free again, both while it is held."""
    _log.info("on GPU %s, slot %d", slot.gpu, slot.share)
    _note(record, slot, "taken")
    try:
        yield slot
    finally:
        _note(record, slot, "freed")


def _note(record: Path, slot: Slot, event: Literal["taken", "freed"]) -> None:
    record.mkdir(parents=True, exist_ok=True)
    line = {
        "event": event,
        "at": time.time(),
        "host": platform.node(),
        "gpu": slot.gpu,
        "share": slot.share,
        "pid": os.getpid(),
        "slurm_job": os.environ.get("SLURM_JOB_ID"),
    }
    # one file per machine: lines that several machines append to a shared file overwrite each other
    with (record / f"{platform.node()}.jsonl").open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(line) + "\n")
