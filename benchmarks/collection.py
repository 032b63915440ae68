"""How fast a study is collected, beside the limit, the published way and other libraries.

    python -m benchmarks.collection --write docs/benchmarks.md

Every table comes from rounds in which its ways take turns; figures are medians over rounds.
Images are noise: speed does not depend on what they show.
"""

import argparse
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks import augmentation
from benchmarks.collection_attention import attention
from benchmarks.collection_bits import QUICK as QUICK_BITS
from benchmarks.collection_bits import bits
from benchmarks.collection_process import ROOT, allocators, jobs_and_threads, starts
from benchmarks.collection_training import (
    Sizes,
    against_the_published_way,
    precisions_and_formats,
    share_of_the_bare_step,
)
from benchmarks.engines import Trial
from benchmarks.pages import machine, write_between
from benchmarks.rounds import preload

MARKER: Final = "collection"
ROUNDS: Final = 5
QUICK: Final = Trial(width=4, side=8, images=32, batch=16)


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One table: its heading, and what makes it."""

    name: str
    title: str
    make: Callable[[], str]


def parts(sizes: Sizes, *, quick: bool, compiled: bool) -> list[Part]:
    """Every table of the collection, in the order of the page."""
    return [
        Part(
            name="published",
            title="Replicates, against the published way",
            make=lambda: against_the_published_way(sizes),
        ),
        Part(
            name="bare",
            title="Training with the strongest augmentation, against the bare step",
            make=lambda: share_of_the_bare_step(sizes),
        ),
        Part(
            name="precision",
            title="Precision and memory format",
            make=lambda: precisions_and_formats(sizes, compiled=compiled),
        ),
        Part(name="allocator", title="Allocator", make=lambda: allocators(sizes)),
        Part(name="jobs", title="Jobs and threads", make=lambda: jobs_and_threads(sizes)),
        Part(name="attention", title="Attention with the logits", make=lambda: attention(sizes)),
        Part(
            name="starts",
            title="What a job's start costs",
            make=lambda: starts(
                rounds=1 if quick else 3, study=None if quick else ROOT / "config/digits.yaml"
            ),
        ),
        *(
            # it has no sizes of its own for a quick run, and its own tests
            []
            if quick
            else [Part(name="augmentation", title="Augmentation", make=augmentation.report)]
        ),
        Part(
            name="bits",
            title="Bits",
            make=lambda: bits(blocks=1, circumstances=QUICK_BITS) if quick else bits(blocks=13),
        ),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.collection",
        description="Speed of collecting a study on this machine, as tables.",
        epilog="example: python -m benchmarks.collection --only attention jobs",
    )
    parser.add_argument("--quick", action="store_true", help="tiny sizes: does it run at all?")
    parser.add_argument("--compile", action="store_true", help="torch.compile too (a minute more)")
    parser.add_argument("--only", nargs="+", metavar="TABLE", help="these tables alone")
    parser.add_argument("--write", type=Path, help="page with the markers to write between")
    chosen = parser.parse_args()
    preload("benchmarks.collection_training")
    sizes = Sizes(
        trial=QUICK if chosen.quick else Trial(),
        rounds=1 if chosen.quick else ROUNDS,
        cores=2 if chosen.quick else os.cpu_count() or 1,
    )
    tables = parts(sizes, quick=chosen.quick, compiled=chosen.compile)
    unknown = set(chosen.only or ()) - {part.name for part in tables}
    if unknown:
        parser.error(f"no table {', '.join(sorted(unknown))}: {', '.join(p.name for p in tables)}")
    texts = [f"{machine()}; medians of {sizes.rounds} rounds in turns."]
    print(texts[0], flush=True)
    for part in tables:
        if chosen.only and part.name not in chosen.only:
            continue
        began = time.perf_counter()
        texts.append(f"### {part.title}\n\n{part.make()}")
        print(f"\n{texts[-1]}\n\n({time.perf_counter() - began:.0f} s)", flush=True)
    if chosen.write:
        write_between(chosen.write, MARKER, "\n\n".join(texts))


if __name__ == "__main__":
    main()
