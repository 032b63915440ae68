"""What Snakemake needs to plan a study of thousands of seeds: ``python -m benchmarks.planning``.

For each size: a dry run of a study that has nothing yet, a run of one that is finished, and a
dry run of that one with a seed more. The finished one's files are empty and were marked as made
by ``snakemake --touch``: planning looks at names, times and what was noted of them, not inside.
"""

import argparse
import re
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.pages import machine, table, write_between
from benchmarks.workflow import declare, snakemake
from store.packing import declared_packing
from store.study_file import load_design

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
    snakemake(folder, "--touch", "--forceall", "--until", "report")


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
    ran = snakemake(folder, *words)
    jobs = re.search(r"^total\s+(\d+)", ran.said, re.MULTILINE)
    if jobs is None and "Nothing to be done" not in ran.said:
        raise SystemExit(f"error: snakemake did not say what is to be done:\n{ran.said}")
    return Planned(
        seeds=seeds,
        what=what,
        wall=ran.wall,
        processor=ran.processor,
        jobs=int(jobs[1]) if jobs else 0,
    )


if __name__ == "__main__":
    main()
