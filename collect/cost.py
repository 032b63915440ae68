"""What a study will cost here, before it is trained: models, passes, time and disk."""

import math
from dataclasses import dataclass
from typing import Final

from collect.timing import Rates
from collect.workload import Workload
from store.design import Design
from store.packing import declared_packing, pack_size

_BYTES_PER_LOGIT: Final = 3.7
_BYTES_PER_CELL: Final = 1.1
_STORE_PER_SHARD: Final = 1.2
_BYTES_PER_PIXEL: Final = 0.75
"""Measured on the default study: Parquet files with zstd, and the DuckDB file made of them; a value
of a pixel on CIFAR-10, as PNG: large smooth images take less."""

_UNITS: Final = ((86_400, "d"), (3_600, "h"), (60, "min"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """An estimate for a whole study.

    taught: how often a block's teachers are trained: once for each seed, or for each pool that
    seeds share. block_seconds: of one process, by kind of work, a mean where teachers are shared.
    start_seconds: of a job, until it trains. seconds: wall time with ``jobs`` at a time, as many
    as there are packs at most. shard_bytes, store_bytes: on disk at the end.
    """

    workload: Workload
    seeds: int
    taught: int
    packs: int
    jobs: int
    block_seconds: dict[str, float]
    start_seconds: float
    seconds: float
    shard_bytes: float
    store_bytes: float


def cost(
    design: Design,
    work: Workload,
    rates: Rates,
    *,
    classes: int,
    start_seconds: float,
    jobs: int,
) -> Cost:
    """Multiply what is asked for by what it takes here.

    start_seconds: that a job needs before it trains. jobs: at a time.
    """
    shared = design.shared_teachers
    taught = design.seeds if shared is None else min(shared.pools, design.seeds)
    share = taught / design.seeds
    seconds = {
        "teachers": share * work.teacher_training * rates.teacher_training,
        "students": work.student_training * rates.student_training,
        "teachers' answers": work.answers * rates.answers,
        "augmentation": (share * work.teachers_augmented + work.students_augmented)
        * rates.augmented,
        "learning curves": share * work.teacher_evaluated * rates.teacher_evaluated
        + work.student_evaluated * rates.student_evaluated,
        "observation": work.teacher_observed * rates.teacher_observed
        + work.student_observed * rates.student_observed,
    }
    packs = declared_packing(design).packs
    rounds = math.ceil(packs / jobs)
    pack = start_seconds + min(design.pack_size, design.seeds) * sum(seconds.values())
    # each test image, for the report's gallery, once for all seeds
    images = design.dataset.test_size * 3 * design.own_training.image_size**2 * _BYTES_PER_PIXEL
    shards = images + design.seeds * (
        (work.teacher_observed + work.student_observed) * classes * _BYTES_PER_LOGIT
        + work.maps * design.grid**2 * _BYTES_PER_CELL
    )
    return Cost(
        workload=work,
        seeds=design.seeds,
        taught=taught,
        packs=packs,
        jobs=min(jobs, packs),
        block_seconds=seconds,
        start_seconds=start_seconds,
        seconds=rounds * pack,
        shard_bytes=shards,
        store_bytes=shards * _STORE_PER_SHARD,
    )


def cost_text(found: Cost, *, where: str, pack_minutes: float | None = None) -> str:
    """Say it in a few lines for a terminal.

    where: the device, in words. pack_minutes: how long a job should take; adds how many blocks
    that makes.
    """
    work = found.workload
    block = sum(found.block_seconds.values())
    passes = found.taught * work.teacher_training + found.seeds * work.student_training
    answers = found.taught * work.teacher_evaluated + found.seeds * (
        work.answers + work.student_evaluated
    )
    models = found.taught * work.teachers + found.seeds * work.students
    made_of = (
        f"{found.seeds} seeds x ({work.teachers} teachers + {work.students} students)"
        if found.taught == found.seeds
        else f"{found.taught} pools x {work.teachers} teachers + {found.seeds} seeds x "
        f"{work.students} students"
    )
    lines = [
        f"models   {models:,}: {made_of}, in {found.packs} jobs",
        f"passes   {_count(passes)} images forward and back; "
        f"{_count(answers)} forward while training; "
        f"{_count(found.seeds * (work.teacher_observed + work.student_observed))} observed",
        f"time     about {duration(found.seconds)} with {found.jobs} at a time on {where}; "
        f"one seed takes about {duration(block)}:",
        *(
            f"         {share / block:5.0%}  {name}"
            for name, share in sorted(found.block_seconds.items(), key=lambda item: -item[1])
        ),
        f"disk     about {_size(found.shard_bytes)} of shards and {_size(found.store_bytes)} for "
        f"the store; {_count(found.seeds * work.maps)} attention maps",
    ]
    if pack_minutes is not None:
        size = pack_size(pack_minutes, block)
        jobs = math.ceil(found.seeds / size)
        lines.append(
            f"packs    pack_size: {size} makes {jobs} jobs of about "
            f"{duration(found.start_seconds + min(size, found.seeds) * block)}, for "
            f"pack_minutes={pack_minutes:g}"
        )
    return "\n".join(lines)


def duration(seconds: float) -> str:
    """Return a time in the largest unit that it is two of, or in seconds."""
    for size, unit in _UNITS:
        if seconds >= 2 * size:
            return (
                f"{seconds / size:.1f} {unit}"
                if seconds < 20 * size
                else (f"{seconds / size:.0f} {unit}")
            )
    return f"{seconds:.0f} s"


def _count(number: float) -> str:
    for size, word in ((1e9, "billion"), (1e6, "million")):
        if number >= size:
            return f"{_digits(number / size)} {word}"
    return f"{number:,.0f}"


def _size(number: float) -> str:
    for size, unit in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB")):
        if number >= size:
            return f"{_digits(number / size)} {unit}"
    return f"{number / 1e3:.0f} kB"


def _digits(number: float) -> str:
    """Two digits, more where the number has more before its point: an estimate has no others."""
    return f"{number:.1f}" if number < 10 else f"{number:,.0f}"
