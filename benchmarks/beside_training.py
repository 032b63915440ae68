"""What a study costs beside its training: ``python -m benchmarks.beside_training --blocks 200``.

The workflow tests' tiny study, with short training and so many seed blocks, is run by Snakemake
from nothing to its report, and all processor time of all processes is counted. What training took
is what the models' records say: seconds from the first to the last step of a group, its looks at
the test images included, on a clock that goes on while others have the processor. So what is left
is told rather too small where the machine does something else meanwhile; run it alone. Then the
steps after training are made anew, each by itself, and a seed is added.
"""

import argparse
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.pages import machine, table, write_between
from store.database import open_reader

ROOT: Final = Path(__file__).resolve().parents[1]
TINY: Final = ROOT / "tests/workflow/tiny.yaml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Took:
    """Seconds of one command. wall, processor: with all processes that it started."""

    wall: float
    processor: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--blocks", type=int, default=200)
    parser.add_argument("--pack-size", type=int, default=50, help="blocks of a job (default: 50)")
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--folder", type=Path, help="where to work (default: a temporary folder)")
    parser.add_argument("--write", type=Path, help="page whose part is written anew")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = chosen.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        text = measure(folder, chosen.blocks, chosen.pack_size, chosen.cores)
    print(text)
    if chosen.write:
        write_between(chosen.write, "beside training", f"{machine()}\n\n{text}\n")


def measure(folder: Path, blocks: int, pack_size: int, cores: int) -> str:
    """Run the study, then its later steps alone, then one seed more; lay out what each took."""
    declare(folder, blocks=blocks, pack_size=pack_size)
    whole = timed(*snakemake(folder, cores), folder=folder)
    trained, models = training_seconds(folder)
    rest = whole.processor - trained
    rows = [
        ("the whole run", whole, blocks),
        ("of it beside training", Took(wall=float("nan"), processor=rest), blocks),
    ]
    rows += [
        (f"again, alone: {rule}", timed(*snakemake(folder, cores, rule), folder=folder), blocks)
        for rule in ("store", "analyze", "report")
    ]
    declare(folder, blocks=blocks + 1, pack_size=pack_size)
    rows.append(
        ("one seed more, to the report", timed(*snakemake(folder, cores), folder=folder), 1)
    )
    more, _ = training_seconds(folder)
    head = (
        f"{blocks} blocks of {models // blocks} models in packs of {pack_size}, {cores} jobs at a "
        f"time: {models:,} models, trained in {trained:.0f} s; the seed more in "
        f"{more - trained:.1f} s.\n\n"
    )
    return head + table(
        ("what", "wall, s", "processor, s", "processor, s per block"),
        [
            (
                what,
                "" if took.wall != took.wall else f"{took.wall:.1f}",
                f"{took.processor:.1f}",
                f"{took.processor / number:.2f}",
            )
            for what, took, number in rows
        ],
    )


def declare(folder: Path, *, blocks: int, pack_size: int) -> None:
    """Write the tiny study with two epochs in place of six, and so many blocks."""
    text = re.sub(r"^seeds: .*$", f"seeds: {blocks}", TINY.read_text("utf-8"), flags=re.MULTILINE)
    text = re.sub(r"epochs: \d+", "epochs: 2", text)
    (folder / "tiny.yaml").write_text(f"{text}pack_size: {pack_size}\n", encoding="utf-8")


def snakemake(folder: Path, cores: int, rule: str | None = None) -> list[str]:
    """Return the command that runs the study, or one rule of it once more."""
    return [
        *(sys.executable, "-m", "snakemake", "--cores", str(cores)),
        *(("--forcerun", rule, "--until", rule) if rule else ()),
        *("--snakefile", str(ROOT / "Snakefile"), "--directory", str(folder)),
        *("--workflow-profile", str(ROOT / "profiles/default")),
        *("--config", f"study={folder / 'tiny.yaml'}"),
    ]


def timed(*words: str, folder: Path) -> Took:
    """Run a command to its end. Raises SystemExit where it fails, with what it said."""
    before, began = _processor(), time.perf_counter()
    done = subprocess.run(
        words,
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"error: {' '.join(words)} failed:\n{done.stdout[-4000:]}")
    return Took(wall=time.perf_counter() - began, processor=_processor() - before)


def training_seconds(folder: Path) -> tuple[float, int]:
    """Return what all models together took to train, and how many there are."""
    with open_reader(folder / "results/tiny/store.duckdb") as reader:
        found = reader.frame("SELECT sum(train_seconds) AS seconds, count(*) AS models FROM model")
    return found["seconds"].item(), found["models"].item()


def _processor() -> float:
    """Seconds of processor time of all processes that were waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
