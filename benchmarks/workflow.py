"""The workflow on the tests' tiny study, of so many seeds, as a command whose time is taken."""

import os
import re
import resource
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
TINY: Final = ROOT / "tests/workflow/tiny.yaml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """One command. wall, processor: seconds, with all processes that it started. said: by it."""

    wall: float
    processor: float
    said: str


def declare(folder: Path, *, seeds: int, pack_size: int, epochs: int | None = None) -> Path:
    """Write the study file: the tiny study, of so many seeds; epochs: in place of its own."""
    text = re.sub(r"^seeds: .*$", f"seeds: {seeds}", TINY.read_text("utf-8"), flags=re.MULTILINE)
    if epochs is not None:
        text = re.sub(r"epochs: \d+", f"epochs: {epochs}", text)
    path = folder / "tiny.yaml"
    path.write_text(f"{text}pack_size: {pack_size}\n", encoding="utf-8")
    return path


def snakemake(folder: Path, *words: str) -> Ran:
    """Start Snakemake on the study in a folder, as a user would there.

    Raises SystemExit where it fails, with what it said.
    """
    command = [
        *(sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")),
        *("--workflow-profile", str(ROOT / "profiles/default"), "--directory", str(folder)),
        *words,
        *("--config", f"study={folder / 'tiny.yaml'}"),
    ]
    before, began = _processor(), time.perf_counter()
    done = subprocess.run(
        command,
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    wall, processor = time.perf_counter() - began, _processor() - before
    if done.returncode:
        raise SystemExit(f"error: snakemake {' '.join(words)} failed:\n{done.stdout[-4000:]}")
    return Ran(wall=wall, processor=processor, said=done.stdout)


def _processor() -> float:
    """Seconds of processor time of all processes that were waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
