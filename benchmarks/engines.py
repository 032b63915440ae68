"""The project's own training as the benchmarks call it: the one place that knows how."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor

from collect.block import Block, training_subset
from collect.checkpoint import weights_hash
from collect.cifar_resnet import CifarResNet
from collect.datasets import Data, load
from collect.engine import Precision, Runtime, start
from collect.memory import Limits
from collect.models import build, frozen
from collect.pixels import InMemory
from collect.seeding import Purpose, model_streams
from collect.train import Trainee, TrainingSet, cross_entropy, distilled_from, train
from store.augmentations import Published
from store.design import Design
from store.frames import ATTENTION, PREDICTION
from store.networks import CifarNetwork
from store.sections import Engine
from store.shard import content_hash
from store.table_files import in_memory
from store.training import Distillation, Recipe
from store.vocabulary import Role

CPU: Final = torch.device("cpu")
STRONG: Final = Published(policy="published")
"""At strength 1: crop, flip, AutoAugment and cutout, drawn for every image."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What is trained in one turn: an epoch of images of noise, whose speed is any images'.

    width: of the network's first stage. side: of the images, in colour.
    """

    depth: int = 8
    width: int = 16
    side: int = 32
    images: int = 2048
    batch: int = 128
    classes: int = 10

    def pixels(self) -> NDArray[np.uint8]:
        """Images, shape (images, 3, side, side)."""
        shape = (self.images, 3, self.side, self.side)
        return np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)

    def labels(self) -> NDArray[np.int64]:
        """Labels, shape (images,)."""
        return np.random.default_rng(2).integers(0, self.classes, self.images)

    @property
    def steps(self) -> int:
        """Steps in one epoch."""
        return -(-self.images // self.batch)


def network(trial: Trial, seed: int) -> CifarResNet:
    """Build the trial's network, its weights drawn from a seed."""
    declared = CifarNetwork(depth=trial.depth, width=trial.width, strides=(1, 2, 2))
    generator = torch.Generator().manual_seed(seed)
    return build(declared, channels=3, side=32, classes=trial.classes, generator=generator)


class Ours:
    """The project's engine on a trial's images, in one thread, as a job of a study runs it."""

    def __init__(self, trial: Trial, precision: Precision, *, threads: int = 1) -> None:
        self._trial = trial
        self._runtime = runtime(precision, channels=3)
        torch.set_num_threads(threads)
        pixels, labels = InMemory(trial.pixels()), torch.from_numpy(trial.labels())
        # evaluated at the end of training, which is none of what is measured here
        self._data = TrainingSet(pixels, labels, pixels.subset(np.arange(2)), labels[:2])

    def teacher(self, seed: int) -> str:
        """Train a new teacher for an epoch; return the hash of its weights."""
        return self._train(seed, Role.TEACHER, [()], {})

    def students(self, seed: int, teams: Sequence[tuple[int, ...]]) -> str:
        """Train new students for an epoch on one view, in lockstep; return their weights' hash.

        teams: the teachers of each, by their seeds. The teachers are untrained.
        """
        asked = sorted({teacher for team in teams for teacher in team})
        answering = {teacher: frozen(network(self._trial, teacher)) for teacher in asked}
        return self._train(seed, Role.STUDENT, teams, answering)

    def _train(
        self,
        seed: int,
        role: Role,
        teams: Sequence[tuple[int, ...]],
        teachers: Mapping[int, CifarResNet],
    ) -> str:
        declared = recipe(epochs=1, batch=self._trial.batch)
        trainees = [
            Trainee(
                network(self._trial, seed).to(memory_format=torch.channels_last),
                declared,
                loss=distilled_from(team, Distillation()) if team else cross_entropy,
                teachers=team,
            )
            for team in teams
        ]
        train(
            trainees,
            self._data,
            recipe=declared,
            policy=STRONG,
            strength=1.0,
            streams=model_streams(seed, 0, role, 0),
            runtime=self._runtime,
            teachers=teachers,
        )
        failed = [trainee.failure for trainee in trainees if trainee.failure]
        if failed:
            raise RuntimeError(failed[0])
        return " ".join(weights_hash(trainee.model) for trainee in trainees)


def recipe(*, epochs: int, batch: int) -> Recipe:
    """SGD with momentum, nothing evaluated before the end."""
    return Recipe(
        epochs=epochs,
        batch_size=batch,
        learning_rate=0.1,
        warmup_epochs=0,
        evaluate_every=epochs,
    )


def runtime(precision: Precision, *, channels: int) -> Runtime:
    """The arithmetic on the processor in a precision, with the statistics of noise."""
    mean, std = np.full(channels, 0.5, np.float32), np.full(channels, 0.29, np.float32)
    return start(Engine(precision=precision), CPU, mean=mean, std=std)


def observation_batch(trial: Trial, images: int) -> Tensor:
    """Standardized images of noise in channels_last, shape (images, 3, side, side)."""
    generator = torch.Generator().manual_seed(3)
    shape = (images, 3, trial.side, trial.side)
    return torch.randn(shape, generator=generator).contiguous(memory_format=torch.channels_last)


@dataclass(frozen=True, slots=True)
class BlockBits:
    """What one block left: hashes of each model's weights, and of its logits and maps."""

    weights: tuple[str, ...]
    answers: tuple[str, ...]


def collect_tiny_block(block: int, *, observation_batch: int, stop_after: int | None) -> BlockBits:
    """Train and observe a block of a small study on digits, eight models.

    stop_after: models after which it is stopped once, to be resumed from what it kept.
    """
    design = _tiny_study()
    data = load(design)
    arithmetic = replace(
        start(design.engine, CPU, mean=data.mean, std=data.std),
        limits=Limits(observation_batch=observation_batch),
    )
    finished: list[int] = []

    def stop(ordinal: int) -> None:
        finished.append(ordinal)
        if len(finished) == stop_after:
            raise _StoppedError

    def collect(scratch: Path) -> dict[str, pl.DataFrame]:
        tables = Block(
            design, data, block, runtime=arithmetic, scratch=scratch, finished=stop
        ).collect()
        return {name: in_memory(table) for name, table in tables.items()}

    with TemporaryDirectory() as folder:
        try:
            tables = collect(Path(folder))
        except _StoppedError:
            tables = collect(Path(folder))
    models = tables["model"].sort("model_id")
    return BlockBits(
        tuple(models["weights_hash"]),
        tuple(_answers(tables, model) for model in models["model_id"]),
    )


class _StoppedError(Exception):
    """The block was stopped, as it was to be."""


def _answers(tables: dict[str, pl.DataFrame], model: int) -> str:
    """Hash one model's logits and attention maps."""
    own = pl.col("model_id") == model
    return " ".join(
        content_hash(frame, frame.check(tables[frame.name].filter(own)))
        for frame in (PREDICTION, ATTENTION)
    )


def _tiny_study() -> Design:
    network = {"depth": 8, "width": 4, "strides": [1, 2, 1]}
    recipe = {"epochs": 2, "batch_size": 40, "learning_rate": 0.05}
    return Design.model_validate(
        {
            "study": "tiny",
            "title": "Bits",
            "study_seed": 3,
            "seeds": 100,
            "dataset": {"kind": "digits", "test_size": 200, "train_subset": {"size": 120}},
            "networks": {"teacher": network, "student": network},
            "training": {"teacher": recipe, "student": recipe},
            "design": {"strengths": [0, 0.5]},
            "claims": {"H1": {"sesoi": {"attention_iou_adjusted": 0.1}}},
        }
    )


def trained_accuracy(design: Design, data: Data, block: int, *, strength: float) -> float:
    """Train one block's first teacher as a study does; return its accuracy on clean test images."""
    arithmetic = start(design.engine, CPU, mean=data.mean, std=data.std)
    rows = training_subset(design, data, block)
    streams = model_streams(design.study_seed, block, Role.TEACHER, 0)
    model = build(
        design.own_training.networks.teacher,
        channels=data.pool.pixels.shape[1],
        side=data.pool.pixels.shape[3],
        classes=len(data.class_names),
        generator=streams.torch(Purpose.INITIALIZATION),
    )
    trainee = Trainee(
        model.to(memory_format=torch.channels_last),
        design.own_training.training.teacher,
        loss=cross_entropy,
    )
    train(
        [trainee],
        TrainingSet(
            data.pool.pixels.subset(rows),
            torch.from_numpy(data.pool.labels[rows]),
            data.test.pixels,
            torch.from_numpy(data.test.labels),
        ),
        recipe=design.own_training.training.teacher,
        policy=design.augmentation,
        strength=strength,
        streams=streams,
        runtime=arithmetic,
    )
    found = trainee.epochs[-1].test_accuracy if trainee.failure is None else None
    if found is None:
        raise RuntimeError(trainee.failure or "the last epoch was not evaluated")
    return found
