"""How large is a store, how fast is it made and read? One study per size, in a folder of its own.

    python -m benchmarks.store --folder /var/tmp/scale --real results/digits/shards \\
        --rows 1000000 6000000 --write docs/benchmarks.md

A row is a model's answer to an image (one view of it): 100 logits, and beside it one attention
map of 8 x 8 cells with its mask. A block has the default study's 20 models, which are shown the
views that a trained block's are: 2,500 test images, and 1,250 of the training images.

Compression depends on what numbers look like, so these are a real study's: logits and maps are
resampled from the shards that ``--real`` names. A logit is the sum of one drawn for the image, the
same for every model, and one drawn for the model, over the square root of two; the label's is
raised by 9, so that answers are mostly right. Low bits of logits and maps are as random as real
ones are; what is lost is how neighbouring maps of one image resemble each other, which no column
of the store makes use of.

Every step runs in a process of its own, so that its peak of memory is its own. CPU seconds are of
all its threads. A store is built twice, and the cheaper time counts: virtual machines take several
times as long to give memory that they have not given before, to the program and to its files.
"""

import argparse
import multiprocessing
import os
import platform
import re
import resource
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from benchmarks.drawn_shards import (
    TEST_IMAGES,
    TRAIN_IMAGES,
    Drawn,
    images_of,
    read_real,
    study,
    write_shards,
)
from benchmarks.pages import processor
from store.builder import build
from store.database import open_reader
from store.design import Design
from store.files import remove_database
from store.frames import EPOCH, MODEL, MODEL_PAIR, PREDICTION
from store.keeping import BlockMeasures
from store.memory import DUCKDB, GLIBC, POLARS
from store.shard import shard_name, write_images
from store.vocabulary import CLEAN_VIEW
from tests.synthetic import publish

IOU_STRENGTHS = 13
IOU_IMAGES = 9_150
"""13 strengths are 65 models: 2,080 pairs on 9,150 images, 19 million IoUs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What one step took. peak: bytes resident at most."""

    wall: float
    cpu: float
    peak: int
    answer: tuple[float, ...] = ()


def build_store(folder: Path, blocks: int, of: int, logits: str) -> tuple[float, ...]:
    """Build the store of so many blocks, anew.

    Returns rows, attention rows, bytes, CPU of measures, and CPU of all else: the program's and
    the system's.
    """
    remove_database(folder / f"{logits}.duckdb")
    return grow_store(folder, blocks, of, logits)


def grow_store(folder: Path, blocks: int, of: int, logits: str) -> tuple[float, ...]:
    """Grow the store to so many blocks; see ``build_store``."""
    design, store = study(of, logits=logits), folder / f"{logits}.duckdb"
    members = [folder / "shards" / shard_name(b, design.shard_key(b)) for b in range(blocks)]
    spent = np.zeros(2)
    make = BlockMeasures.of

    def timed(*given: object, **named: object) -> object:
        nonlocal spent
        started = program_and_system()
        made = make(*given, **named)  # type: ignore[arg-type]
        spent += program_and_system() - started
        return made

    BlockMeasures.of = timed  # type: ignore[assignment]
    started = program_and_system()
    ledger = build(store, design=design, shards=folder / "shards", members=members)
    beside = program_and_system() - started - spent
    return (
        ledger["prediction_rows"].sum(),
        ledger["attention_rows"].sum(),
        store.stat().st_size,
        spent.sum(),
        *beside,
    )


def program_and_system() -> NDArray[np.float64]:
    """CPU seconds of this process so far, outside the system and in it."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return np.array([usage.ru_utime, usage.ru_stime])


def ask(store: Path, sql: str) -> tuple[float, ...]:
    with open_reader(store) as reader:
        return tuple(float(value) for value in reader.frame(sql).row(-1) if value is not None)


def write_masks(folder: Path, real: Path) -> tuple[float, ...]:
    """Build a store of attention alone, every two models of one block a pair."""
    design = study(1, logits="float16")
    strengths = [step / (IOU_STRENGTHS - 1) for step in range(IOU_STRENGTHS)]
    design = Design.model_validate(
        {
            **design.model_dump(mode="json"),
            "design": {"strengths": strengths, "teachers": 3},
            "dataset": {**design.dataset.model_dump(mode="json"), "test_size": IOU_IMAGES},
        }
    )
    images = images_of(IOU_IMAGES, 2 * TRAIN_IMAGES)
    drawn = Drawn(design, 0, images, read_real(real))
    plan = design.plan()
    models = [*plan.teachers, *plan.students]
    tables = {
        "model": pl.DataFrame([drawn._row(model) for model in models], MODEL.schema),
        "model_pair": pl.DataFrame(
            [(a, b, "teacher_teacher", None) for a, b in combinations(range(len(models)), 2)],
            schema=MODEL_PAIR.schema,
            orient="row",
        ),
        "prediction": pl.DataFrame(schema=PREDICTION.schema),
        "attention": pl.concat(drawn._attention(m, CLEAN_VIEW, "cam_label") for m in models),
        "epoch": pl.DataFrame(schema=EPOCH.schema),
    }
    shards = folder / "masks"
    publish(design, shards, 0, write_images(shards, images), tables)
    members = [shards / shard_name(0, design.shard_key(0))]
    build(folder / "masks.duckdb", design=design, shards=shards, members=members)
    return (float(len(models) * (len(models) - 1) // 2 * IOU_IMAGES),)


def compare_masks(folder: Path) -> tuple[float, ...]:
    """Largest difference of the view's IoUs from NumPy's, and NumPy's seconds of CPU."""
    with open_reader(folder / "masks.duckdb") as reader:
        masks = reader.frame("SELECT mask_0 FROM attention ORDER BY model_id, image_id")
        found = reader.frame("SELECT iou FROM attention_iou ORDER BY model_a, model_b, image_id")
    # NumPy counts the bits of a signed number's absolute value
    words = masks["mask_0"].to_numpy().view(np.uint64).reshape(-1, IOU_IMAGES)
    started = time.process_time()
    a, b = (np.array(side) for side in zip(*combinations(range(len(words)), 2), strict=True))
    expected = np.empty((len(a), IOU_IMAGES))
    for row, (one, other) in enumerate(zip(words[a], words[b], strict=True)):
        shared = np.bitwise_count(one & other)
        np.divide(shared, np.bitwise_count(one | other), out=expected[row], dtype=np.float64)
    taken = time.process_time() - started
    return float(np.abs(found["iou"].to_numpy() - expected.ravel()).max()), taken


def measured(step: Callable[[], tuple[float, ...]], *, repeats: int = 1) -> Cost:
    """Run a step in a fresh process; of several runs the one that took the least CPU."""
    return min((_once(step) for _ in range(repeats)), key=lambda cost: cost.cpu)


def _once(step: Callable[[], tuple[float, ...]]) -> Cost:
    context = multiprocessing.get_context("spawn")
    mine, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_run, args=(step, theirs))
    process.start()
    theirs.close()
    try:
        return mine.recv()
    except EOFError:
        raise SystemExit("a step of the benchmark failed; see above") from None
    finally:
        process.join()


def _run(step: Callable[[], tuple[float, ...]], out: object) -> None:
    wall, cpu = time.perf_counter(), time.process_time()
    answer = step()
    cost = Cost(
        wall=time.perf_counter() - wall,
        cpu=time.process_time() - cpu,
        peak=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        answer=answer,
    )
    out.send(cost)  # type: ignore[attr-defined]


MEASURES = "SELECT count(agreement) FROM measures"
MEASURES_AGAIN = "SELECT count(agreement) FROM measured_again"
ONE_MODEL = "SELECT count(*), sum(list_sum(logits)) FROM prediction WHERE model_id = 1003"
EVERY_LOGIT = "SELECT sum(confidence), sum(entropy_nats) FROM image_answer"
IOU = "SELECT avg(iou) FROM attention_iou"


def one_size(rows: int, folder: Path, real: Path, logits: str) -> list[str]:
    """Measure one size; the lines of its column."""
    per_block = 69.5 * TEST_IMAGES
    blocks = max(2, round(rows / per_block))
    folder = folder / f"{rows}"
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "shards").exists():
        written = measured(partial(write_shards, folder, real, blocks + 1))
        print(f"{rows:,}: shards in {written.cpu:.0f} CPU s, entropies {written.answer}")
    built = measured(partial(build_store, folder, blocks, blocks + 1, logits), repeats=2)
    predictions, maps, size, measures, program, system = built.answer
    store = folder / f"{logits}.duckdb"
    grown = measured(partial(grow_store, folder, blocks + 1, blocks + 1, logits))
    asked = {sql: measured(partial(ask, store, sql)) for sql in (MEASURES, ONE_MODEL, EVERY_LOGIT)}
    store.unlink()
    ingest = program + system
    peak = max(cost.peak for cost in (built, grown, *asked.values()))
    return [
        f"{predictions:,.0f}",
        f"{maps:,.0f}",
        f"{blocks}",
        logits,
        f"{size / 1e9:.2f} GB",
        f"{size / predictions:.0f}",
        f"{(predictions + maps) / ingest / 1e3:,.0f},000",
        f"{predictions / ingest / 1e3:,.0f},000",
        f"{program / predictions * 1e6:.1f} + {system / predictions * 1e6:.1f} µs",
        f"{measures:.1f} s",
        f"{built.wall:.0f} s",
        f"{grown.cpu:.1f} s",
        f"{asked[MEASURES].cpu:.2f} s",
        f"{asked[ONE_MODEL].cpu:.2f} s",
        f"{asked[EVERY_LOGIT].cpu:.1f} s",
        f"{peak / 1e9:.1f} GB",
    ]


HEADS = (
    "rows: a model's answers to images, 100 logits each",
    "attention maps with masks",
    "seed blocks of 20 models",
    "logits",
    "file",
    "bytes a row, its map and mask included",
    "rows and maps taken in per CPU second",
    "rows taken in per CPU second, each with its map",
    "CPU for such a row: the program's, and the system's",
    "CPU for the measures, made as blocks come in",
    "wall time of the build",
    "CPU to grow by one block",
    "CPU of the view `measures`, whole",
    "CPU to read one model's logits",
    "CPU to read every logit (`image_answer`)",
    "most memory, of building, growing and reading",
)


def table(columns: list[list[str]]) -> list[str]:
    lines = ["| | " + " | ".join(column[0] for column in columns) + " |"]
    lines[0] = lines[0].replace("| |", f"| {HEADS[0]} |", 1)
    lines.append("| --- |" + " ---: |" * len(columns))
    for place, head in enumerate(HEADS[1:], start=1):
        lines.append(f"| {head} | " + " | ".join(column[place] for column in columns) + " |")
    return lines


def overlaps(folder: Path, real: Path) -> list[str]:
    if not (folder / "masks.duckdb").exists():
        measured(partial(write_masks, folder, real))
    asked = measured(partial(ask, folder / "masks.duckdb", IOU), repeats=7)
    difference, taken = measured(partial(compare_masks, folder)).answer
    return [
        f"19 million IoUs of 8 x 8 masks (2,080 pairs of 65 models on {IOU_IMAGES:,} images) "
        f"through `attention_iou`: {asked.cpu:.2f} s of CPU, one thread, the least of 7 runs; "
        f"NumPy on the same words {taken:.2f} s; largest difference {difference:.1g}."
    ]


def machine() -> str:
    load = os.getloadavg()[2] if hasattr(os, "getloadavg") else float("nan")
    return (
        f"{processor()}, {os.cpu_count()} cores; Python {platform.python_version()}; mean load "
        f"over the last 15 minutes {load:.0f}."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Size and speed of a store of many rows.")
    parser.add_argument("--folder", type=Path, required=True, help="where the stores are made")
    parser.add_argument("--real", type=Path, default=Path("results/digits/shards"))
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000_000])
    parser.add_argument("--logits", nargs="+", default=["float16"], help="float16, float32")
    parser.add_argument("--write", type=Path, help="file with the markers to write between")
    parser.add_argument("--keep", action="store_true", help="leave shards for another run")
    chosen = parser.parse_args()
    # as the rule does
    os.environ.update({**GLIBC, **POLARS, **DUCKDB})
    columns: list[list[str]] = []
    for rows in chosen.rows:
        columns += [one_size(rows, chosen.folder, chosen.real, logits) for logits in chosen.logits]
        print("\n".join(table(columns)), flush=True)
        if not chosen.keep:
            shutil.rmtree(chosen.folder / f"{rows}")
    text = "\n".join([machine(), "", *table(columns), "", *overlaps(chosen.folder, chosen.real)])
    print(text)
    if chosen.write:
        between = re.compile(r"(<!-- store -->\n).*(\n<!-- end store -->)", flags=re.DOTALL)
        page = chosen.write.read_text(encoding="utf-8")
        chosen.write.write_text(
            between.sub(lambda marks: marks[1] + text + marks[2], page), encoding="utf-8"
        )


if __name__ == "__main__":
    main()
