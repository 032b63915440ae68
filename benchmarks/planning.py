"""What Snakemake needs to plan a study of thousands of seeds: ``python -m benchmarks.planning``.

For each size: a dry run of a study that has nothing yet, a run of one that is finished, and a
dry run of that one with a seed more. The finished one's files are empty and were marked as made
by ``snakemake --touch``: planning looks at names, times and what was noted of them, not inside.
"""

import argparse
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.pages import machine, table, write_between
from store.packing import declared_packing
from store.study_file import load_design

ROOT: Final = Path(__file__).resolve().parents[1]
TINY: Final = ROOT / "tests/workflow/tiny.yaml"
JOBS: Final = 600
"""Packs of a study at most: their size follows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """One way of starting Snakemake: its seconds, and the jobs that it would run.

    wall, processor: seconds, of Snakemake and what it started.
    """

    seeds: int
    what: str
    wall: float
    processor: float
    jobs: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[200, 1000, 10_000])
    parser.add_argument("--write", type=Path, help="page whose part is written anew")
    chosen = parser.parse_args()
    found: list[Planned] = []
    for seeds in chosen.seeds:
        with tempfile.TemporaryDirectory() as folder:
            for planned in measure(Path(folder), seeds):
                print(planned, flush=True)
                found.append(planned)
    if chosen.write:
        write_between(chosen.write, "planning", f"{machine()}\n\n{laid_out(found)}\n")


def measure(folder: Path, seeds: int) -> Iterator[Planned]:
    """Plan a study in an empty folder, as it grows from nothing to one seed more."""
    declare(folder, seeds=seeds, pack_size=-(-seeds // JOBS))
    yield _planned(folder, seeds, "dry run, nothing there yet", "--dry-run")
    pretend(folder)
    yield _planned(folder, seeds, "run, nothing to do")
    declare(folder, seeds=seeds + 1, pack_size=-(-seeds // JOBS))
    yield _planned(folder, seeds, "dry run, one seed more", "--dry-run")


def declare(folder: Path, *, seeds: int, pack_size: int) -> None:
    """Write the study file: the workflow tests' tiny study, of so many seeds."""
    text = re.sub(r"^seeds: .*$", f"seeds: {seeds}", TINY.read_text("utf-8"), flags=re.MULTILINE)
    (folder / "tiny.yaml").write_text(f"{text}pack_size: {pack_size}\n", encoding="utf-8")


def pretend(folder: Path) -> None:
    """Put an empty file in the place of everything that the workflow makes, and let it note so.

    Up to the report: the run's end would read the verdicts.
    """
    design = load_design(folder / "tiny.yaml")
    results = folder / "results/tiny"
    (results / "packs").mkdir(parents=True)
    made = [results / f"packs/{pack:05d}.json" for pack in range(declared_packing(design).packs)]
    made += [results / name for name in ("ledger.json", "results.json", "report.html", "report.md")]
    for path in made:
        path.touch()
    _snakemake(folder, "--touch", "--forceall", "--until", "report")


def laid_out(found: Sequence[Planned]) -> str:
    """Lay out what was measured, as a Markdown table."""
    return table(
        ("start of Snakemake", "seeds", "jobs", "wall, s", "processor, s"),
        [
            (x.what, f"{x.seeds:,}", f"{x.jobs:,}", f"{x.wall:.1f}", f"{x.processor:.1f}")
            for x in found
        ],
    )


def _planned(folder: Path, seeds: int, what: str, *words: str) -> Planned:
    before, began = _processor(), time.perf_counter()
    said = _snakemake(folder, *words)
    wall, processor = time.perf_counter() - began, _processor() - before
    jobs = re.search(r"^total\s+(\d+)", said, re.MULTILINE)
    if jobs is None and "Nothing to be done" not in said:
        raise SystemExit(
            f"error: snakemake said neither what to do nor that there is none:\n{said}"
        )
    return Planned(
        seeds=seeds, what=what, wall=wall, processor=processor, jobs=int(jobs[1]) if jobs else 0
    )


def _processor() -> float:
    """Seconds of processor time of all processes that were waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _snakemake(folder: Path, *words: str) -> str:
    """Start Snakemake as a user would, in the study's folder; return what it said."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")),
            *("--workflow-profile", str(ROOT / "profiles/default"), "--directory", str(folder)),
            *words,
            *("--config", f"study={folder / 'tiny.yaml'}"),
        ],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"error: snakemake {' '.join(words)} failed:\n{done.stdout}")
    return done.stdout


if __name__ == "__main__":
    main()
