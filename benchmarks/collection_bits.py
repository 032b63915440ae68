"""Counted comparisons of bits: the same blocks trained again, and under other circumstances."""

import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.synchronize import Event
from typing import Final

from benchmarks.engines import BlockBits, collect_tiny_block
from benchmarks.pages import table


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstance:
    """How the blocks are run, other than the first time.

    loaded: beside one busy process more than there are cores. stopped: after some models, then
    resumed.
    """

    name: str
    backwards: bool = False
    observation_batch: int = 512
    loaded: bool = False
    stopped: bool = False


ORDINARY: Final = Circumstance(name="first run")
CIRCUMSTANCES: Final = (
    Circumstance(name="run again"),
    Circumstance(name="blocks in reverse order", backwards=True),
    Circumstance(name="under load", loaded=True),
    Circumstance(name="observed 37 images at a time", observation_batch=37),
    Circumstance(name="stopped and resumed", stopped=True),
)
QUICK: Final = CIRCUMSTANCES[-2:]
"""For a quick run."""


def bits(*, blocks: int, circumstances: Sequence[Circumstance] = CIRCUMSTANCES) -> str:
    """Compare every model's weights and answers with those of the first run, bit for bit."""
    first = _in_a_process(ORDINARY, blocks)
    found = {one.name: _in_a_process(one, blocks) for one in circumstances}
    rows = [
        [
            name,
            str(sum(len(block.weights) for block in first)),
            str(_differing(first, again, "weights")),
            str(sum(len(block.answers) for block in first)),
            str(_differing(first, again, "answers")),
        ]
        for name, again in found.items()
    ]
    columns = ["circumstance", "models", "other weights", "models' answers", "other answers"]
    return table(columns, rows)


def _differing(first: list[BlockBits], again: list[BlockBits], kind: str) -> int:
    return sum(
        a != b
        for before, after in zip(first, again, strict=True)
        for a, b in zip(getattr(before, kind), getattr(after, kind), strict=True)
    )


def _in_a_process(circumstance: Circumstance, blocks: int) -> list[BlockBits]:
    """Run all blocks in one fresh process; return their bits in the blocks' own order."""
    with (
        _load(circumstance.loaded),
        ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn")) as pool,
    ):
        return pool.submit(_blocks, circumstance, blocks).result()


def _blocks(circumstance: Circumstance, blocks: int) -> list[BlockBits]:
    order = reversed(range(blocks)) if circumstance.backwards else range(blocks)
    found = {
        block: collect_tiny_block(
            block,
            observation_batch=circumstance.observation_batch,
            # another model each time, so that blocks are stopped at different places
            stop_after=1 + block if circumstance.stopped else None,
        )
        for block in order
    }
    return [found[block] for block in range(blocks)]


@contextmanager
def _load(asked: bool) -> Iterator[None]:  # noqa: FBT001 - as declared by a circumstance
    """Keep every core busy, and one process more, while the block runs."""
    context = get_context("spawn")
    enough = context.Event()
    busy = [
        context.Process(target=_work_until, args=(enough,), daemon=True)
        for _ in range((os.cpu_count() or 1) + 1 if asked else 0)
    ]
    for process in busy:
        process.start()
    try:
        yield
    finally:
        enough.set()
        for process in busy:
            process.join()


def _work_until(enough: Event) -> None:
    while not enough.is_set():
        until = time.process_time() + 0.1
        while time.process_time() < until:
            pass
