"""Tables on the process: allocators, jobs and threads, and what a job's start costs."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from pathlib import Path
from statistics import median
from typing import Final

from benchmarks.collection_training import Sizes
from benchmarks.engines import Ours, Trial
from benchmarks.pages import table
from benchmarks.rounds import Done, Turn, Way, cpu_seconds, take_turns
from store.memory import GLIBC

MIMALLOC: Final = "cmeel-mimalloc"
ROOT: Final = Path(__file__).resolve().parents[1]


def mimalloc() -> Path | None:
    """Find Microsoft's mimalloc as a package of PyPI brings it; None where it is not installed."""
    try:
        files = metadata.files(MIMALLOC) or []
    except metadata.PackageNotFoundError:
        return None
    found = [Path(file.locate()) for file in files if file.name == "libmimalloc.so"]
    return found[0].resolve() if found else None


def _teacher(trial: Trial, threads: int, seed: int | None, number: int) -> Turn:
    """A teacher in bf16; seed: the same for every process, or the process's number."""
    ours = Ours(trial, "bf16", threads=threads)
    return lambda: Done(trial.images, ours.teacher(number if seed is None else seed))


def allocators(sizes: Sizes) -> str:
    """Training under each allocator, and whether the weights are the same bits."""
    train = partial(_teacher, sizes.trial, 1, 0)
    ways = [
        Way(name="glibc, as it comes", prepare=train),
        Way(name="glibc, freed memory kept", prepare=train, environment=GLIBC),
    ]
    library = mimalloc()
    if library:
        preloaded = {"LD_PRELOAD": str(library)}
        ways.append(Way(name="mimalloc, preloaded", prepare=train, environment=preloaded))
    timed = take_turns(ways, rounds=sizes.rounds)
    base = ways[0].name
    rows = [
        [
            way.name,
            f"{timed.per_cpu_second(way.name):,.0f}",
            f"{timed.cpu_ratio(way.name, base):.2f}",
            "yes" if timed.marks(way.name) == timed.marks(base) else "**no**",
        ]
        for way in ways
    ]
    return table(["allocator", "images per CPU-s", "times", "same weights"], rows)


def jobs_and_threads(sizes: Sizes) -> str:
    """One job, as many jobs as cores, and one job of as many threads; wall time counts."""
    trial, cores = sizes.trial, sizes.cores
    ways = [
        Way(name="1 job, 1 thread", prepare=partial(_teacher, trial, 1, None)),
        Way(
            name=f"{cores} jobs, 1 thread each",
            prepare=partial(_teacher, trial, 1, None),
            processes=cores,
        ),
        Way(name=f"1 job, {cores} threads", prepare=partial(_teacher, trial, cores, None)),
    ]
    timed = take_turns(ways, rounds=sizes.rounds)
    base = ways[0].name
    rows = [
        [way.name, f"{timed.per_second(way.name):,.0f}", f"{timed.ratio(way.name, base):.2f}"]
        for way in ways
    ]
    return table(["bf16", "images/s", "times"], rows)


@dataclass(frozen=True, slots=True)
class _Cost:
    seconds: float
    cpu_seconds: float


def starts(*, rounds: int, study: Path | None) -> str:
    """What imports and scheduling cost, beside a whole job of a study where one is given."""
    python = sys.executable
    parts = {
        "python alone": [python, "-c", "pass"],
        "import torch": [python, "-c", "import torch"],
        "import torch, torchvision": [
            python,
            "-c",
            "from collect.torchvision_operators import import_torchvision; import_torchvision()",
        ],
        "imports of a job (collect.job)": [python, "-c", "import collect.job"],
        "scheduling: snakemake plans the default study": [
            *(python, "-m", "snakemake", "--cores", "1", "--dry-run", "--quiet", "all"),
        ],
    }
    costs = {name: _repeated(command, rounds) for name, command in parts.items()}
    whole = "one job of the default study"
    if study:
        with tempfile.TemporaryDirectory() as folder:
            command = [
                python,
                "-m",
                "collect",
                "pack",
                str(study),
                "--pack",
                "0",
                "--results",
                folder,
            ]
            costs[whole] = _repeated(command, 1)
    job = costs.get(whole)
    rows = [
        [
            name,
            f"{cost.seconds:.2f}",
            f"{cost.cpu_seconds:.2f}",
            f"{100 * cost.cpu_seconds / job.cpu_seconds:.1f}" if job else "-",
        ]
        for name, cost in costs.items()
    ]
    return table(["start", "wall s", "CPU s", "% of a job's CPU"], rows)


def _repeated(command: Sequence[str], rounds: int) -> _Cost:
    taken = [_run(command) for _ in range(rounds)]
    return _Cost(median(one.seconds for one in taken), median(one.cpu_seconds for one in taken))


def _run(command: Sequence[str]) -> _Cost:
    """Run a command from the project's root. Raises RuntimeError with what it said if it fails."""
    began, clock = time.perf_counter(), cpu_seconds()
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed: {done.stderr.strip()[-500:]}")
    return _Cost(time.perf_counter() - began, cpu_seconds() - clock)
