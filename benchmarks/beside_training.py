"""What a study costs beside its training: ``python -m benchmarks.beside_training --blocks 200``.

The workflow tests' tiny study, with short training and so many seed blocks, is run by Snakemake
from nothing to its report, and all processor time of all processes is counted. What training took
is what the models' records say: seconds from the first to the last step of a group, its looks at
the test images included, on a clock that goes on while others have the processor. So what is left
is told rather too small where the machine does something else meanwhile; run it alone. Then the
steps after training are made anew, each by itself, and a seed is added.
"""

import argparse
import tempfile
from pathlib import Path

from benchmarks.pages import machine, table, write_between
from benchmarks.workflow import declare, snakemake
from store.database import open_reader


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
    declare(folder, seeds=blocks, pack_size=pack_size, epochs=2)
    cores_words = ("--cores", str(cores))
    whole = snakemake(folder, *cores_words)
    trained, models = training_seconds(folder)
    rows = [
        _row("the whole run", whole.wall, whole.processor, blocks),
        _row("of it beside training", None, whole.processor - trained, blocks),
    ]
    for rule in ("store", "analyze", "report"):
        ran = snakemake(folder, *cores_words, "--forcerun", rule, "--until", rule)
        rows.append(_row(f"again, alone: {rule}", ran.wall, ran.processor, blocks))
    declare(folder, seeds=blocks + 1, pack_size=pack_size, epochs=2)
    grown = snakemake(folder, *cores_words)
    rows.append(_row("one seed more, to the report", grown.wall, grown.processor, 1))
    more, _ = training_seconds(folder)
    head = (
        f"{blocks} blocks of {models // blocks} models in packs of {pack_size}, {cores} jobs at a "
        f"time: {models:,} models, trained in {trained:.0f} s; the seed more in "
        f"{more - trained:.1f} s.\n\n"
    )
    return head + table(("what", "wall, s", "processor, s", "processor, s per block"), rows)


def _row(what: str, wall: float | None, processor: float, blocks: int) -> tuple[str, ...]:
    seconds = "" if wall is None else f"{wall:.1f}"
    return (what, seconds, f"{processor:.1f}", f"{processor / blocks:.2f}")


def training_seconds(folder: Path) -> tuple[float, int]:
    """Return what all models together took to train, and how many there are."""
    with open_reader(folder / "results/tiny/store.duckdb") as reader:
        found = reader.frame("SELECT sum(train_seconds) AS seconds, count(*) AS models FROM model")
    return found["seconds"].item(), found["models"].item()


if __name__ == "__main__":
    main()
