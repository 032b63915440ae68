"""Tables on training: against the published way, against the bare step, by precision and format."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from typing import Final

import numpy as np
import torch

from benchmarks.bare_step import Arithmetic, BareStep, Format
from benchmarks.engines import Ours, Trial, network, observation_batch
from benchmarks.pages import table
from benchmarks.published_way import PublishedRecipe, PublishedTraining, TwoViews
from benchmarks.rounds import Done, Turn, Way, take_turns
from collect.engine import Precision

TEACHERS: Final = 3
TEAMS: Final = tuple(
    tuple(100 + 2 * slot + strong for slot, strong in enumerate(kinds))
    for kinds in product((0, 1), repeat=TEACHERS)
)
"""The published design's eight ensembles: each of three teachers weak or strong, six in all."""
REPLICATE_IMAGES: Final = 50_000
REPLICATE_EPOCHS: Final = 61
FORMATS: Final[tuple[tuple[Precision, Format], ...]] = (
    ("fp32", "NCHW"),
    ("fp32", "channels_last"),
    ("bf16", "channels_last"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How much is measured.

    trial: what training is measured on. rounds: turns of each way. depths: of the networks that
    are set against the bare step.
    """

    trial: Trial
    rounds: int
    cores: int
    depths: tuple[int, ...] = (8, 20)


def _published(trial: Trial, teachers: int, threads: int, workers: int, number: int) -> Turn:
    torch.set_num_threads(threads)
    torch.manual_seed(number)
    images = TwoViews(trial.pixels(), trial.labels())
    recipe = PublishedRecipe(batch_size=trial.batch, workers=workers)
    ensemble = [network(trial, 100 + slot) for slot in range(teachers)]
    training = PublishedTraining(network(trial, number), ensemble, images, recipe)

    def turn() -> Done:
        loss = training.epoch()
        if not np.isfinite(loss):
            raise RuntimeError(f"the published way's loss became {loss}")
        return Done(trial.images)

    return turn


def _teacher(trial: Trial, precision: Precision, number: int) -> Turn:
    ours = Ours(trial, precision)
    return lambda: Done(trial.images, ours.teacher(number))


def _students(
    trial: Trial, teams: Sequence[tuple[int, ...]], precision: Precision, number: int
) -> Turn:
    ours = Ours(trial, precision)
    return lambda: Done(trial.images * len(teams), ours.students(number, teams))


def _bare(trial: Trial, arithmetic: Arithmetic, number: int) -> Turn:
    torch.set_num_threads(1)
    images = observation_batch(trial, trial.batch)
    labels = torch.from_numpy(trial.labels()[: trial.batch])
    bare = BareStep(network(trial, number), images, labels, arithmetic)

    def turn() -> Done:
        bare.run(trial.steps)
        return Done(trial.steps * trial.batch)

    return turn


def against_the_published_way(sizes: Sizes) -> str:
    """Teachers and students of three teachers: replicates per hour and per CPU-second.

    The published way runs as it comes, one process with a thread and a worker for every core, and
    as one process for every core with a thread and a worker each; its faster one is the base.
    """
    trial, cores = sizes.trial, sizes.cores
    rows: list[list[str]] = []
    alone_learning, sharing = partial(_students, trial, TEAMS[:1]), partial(_students, trial, TEAMS)
    for role, teachers, kinds in (
        ("teacher", 0, {"": partial(_teacher, trial)}),
        (
            f"student of {TEACHERS} teachers",
            TEACHERS,
            {", online": alone_learning, f", {len(TEAMS)} share a view": sharing},
        ),
    ):
        alone = Way(
            name=f"published way, 1 job of {cores} threads",
            prepare=partial(_published, trial, teachers, cores, cores),
        )
        apart = Way(
            name=f"published way, {cores} jobs of 1 thread",
            prepare=partial(_published, trial, teachers, 1, 1),
            processes=cores,
        )
        own = [
            Way(
                name=f"this project{kind}, {precision}, {cores} jobs of 1 thread",
                prepare=partial(ours, precision),
                processes=cores,
            )
            for kind, ours in kinds.items()
            for precision in ("fp32", "bf16")
        ]
        timed = take_turns([alone, apart, *own], rounds=sizes.rounds)
        fastest = max((alone.name, apart.name), key=timed.per_second)
        leanest = max((alone.name, apart.name), key=timed.per_cpu_second)
        rows += [
            [
                role,
                way.name,
                f"{timed.per_second(way.name):,.0f}",
                f"{3600 * timed.per_second(way.name) / (REPLICATE_IMAGES * REPLICATE_EPOCHS):.2f}",
                f"{timed.ratio(way.name, fastest):.1f}",
                f"{timed.cpu_ratio(way.name, leanest):.1f}",
            ]
            for way in (alone, apart, *own)
        ]
    columns = ["replicate", "way", "images/s", "replicates/hour", "times", "times per CPU-second"]
    return table(columns, rows)


def share_of_the_bare_step(sizes: Sizes) -> str:
    """Training with the strongest augmentation as a share of the bare step's speed."""
    rows: list[list[str]] = []
    for depth in sizes.depths:
        trial = replace(sizes.trial, depth=depth)
        for precision in ("fp32", "bf16"):
            arithmetic = Arithmetic(precision=precision, memory_format="channels_last")
            ways = [
                Way(name="bare", prepare=partial(_bare, trial, arithmetic)),
                Way(name="ours", prepare=partial(_teacher, trial, precision)),
            ]
            timed = take_turns(ways, rounds=sizes.rounds)
            speeds = timed.per_cpu_second("bare"), timed.per_cpu_second("ours")
            share = timed.cpu_ratio("ours", "bare")
            rows.append(
                [f"ResNet-{depth}, {precision}", *(f"{s:,.0f}" for s in speeds), f"{share:.2f}"]
            )
    columns = ["network", "bare step, images per CPU-s", "training, images per CPU-s", "share"]
    return table(columns, rows)


def precisions_and_formats(sizes: Sizes, *, compiled: bool) -> str:
    """The bare step in each precision and memory format, one thread."""
    rows: list[list[str]] = []
    for depth in sizes.depths:
        trial = replace(sizes.trial, depth=depth)
        kinds = [Arithmetic(precision=p, memory_format=f) for p, f in FORMATS]
        if compiled:
            kinds.append(replace(kinds[-1], compiled=True))
        ways = [Way(name=kind.name, prepare=partial(_bare, trial, kind)) for kind in kinds]
        timed = take_turns(ways, rounds=sizes.rounds)
        base = kinds[0].name
        rows += [
            [
                f"ResNet-{depth}, {kind.name}",
                f"{timed.per_cpu_second(kind.name):,.0f}",
                f"{timed.cpu_ratio(kind.name, base):.2f}",
            ]
            for kind in kinds
        ]
    return table(["bare step", "images per CPU-s", "times"], rows)
