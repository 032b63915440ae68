"""The project's own training as the benchmarks call it: the one place that knows how."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, Literal

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor

from collect.block import Block
from collect.checkpoint import weights_hash
from collect.datasets import load
from collect.engine import Runtime, make_deterministic
from collect.models import CifarResNet, build
from collect.observe import fractions
from collect.seeding import model_streams
from collect.train import TrainingSet, cross_entropy, distilled_from, train
from store.design import Augmentation, Design, Distillation, Magnitudes, Network, Recipe
from store.frames import ATTENTION, PREDICTION
from store.shard import content_hash
from store.vocabulary import Role

Precision = Literal["fp32", "bf16"]

CPU: Final = torch.device("cpu")
STRONGEST: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What is trained in one turn: one epoch of images of noise, whose speed is any images'.

    width: of the network's first stage. side: of the images, in colour. students: that share a
    view where views are shared.
    """

    depth: int = 8
    width: int = 16
    side: int = 32
    images: int = 2048
    batch: int = 128
    classes: int = 10
    epochs: int = 1
    students: int = 8

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
    """Build the trial's network, contiguous weights, drawn from a seed."""
    declared = Network(depth=trial.depth, width=trial.width, strides=(1, 2, 2))
    generator = torch.Generator().manual_seed(seed)
    return build(declared, channels=3, classes=trial.classes, generator=generator)


class Ours:
    """The project's engine on a trial's images, in one thread, as a job of a study runs it."""

    def __init__(
        self, trial: Trial, precision: Precision, *, strength: float = STRONGEST, threads: int = 1
    ) -> None:
        make_deterministic(CPU)
        torch.set_num_threads(threads)
        self._trial = trial
        self._strength = strength
        self._runtime = runtime(precision, channels=3)
        pixels = fractions(trial.pixels(), CPU)
        labels = torch.from_numpy(trial.labels())
        few = self._runtime.standardized(pixels[:2])
        self._data = TrainingSet(pixels, labels, few, labels[:2])

    def teacher(self, seed: int) -> str:
        """Train a new teacher; return the hash of its weights."""
        model = network(self._trial, seed)
        self._train(model, Role.TEACHER, seed, [])
        return weights_hash(model)

    def student(self, seed: int, teachers: Sequence[CifarResNet]) -> str:
        """Train a new student of teachers; return the hash of its weights."""
        model = network(self._trial, seed)
        self._train(model, Role.STUDENT, seed, teachers)
        return weights_hash(model)

    def _train(
        self, model: CifarResNet, role: Role, seed: int, teachers: Sequence[CifarResNet]
    ) -> None:
        trained = train(
            model,
            self._data,
            recipe=recipe(self._trial),
            policy=policy(),
            strength=self._strength,
            streams=model_streams(seed, 0, role, 0),
            loss=distilled_from(teachers, Distillation(), self._runtime)
            if teachers
            else cross_entropy,
            runtime=self._runtime,
        )
        if trained.failure:
            raise RuntimeError(trained.failure)


def recipe(trial: Trial) -> Recipe:
    """The trial's recipe: SGD with momentum, nothing evaluated before the end."""
    return Recipe(
        epochs=trial.epochs,
        batch_size=trial.batch,
        learning_rate=0.1,
        warmup_epochs=0,
        evaluate_every=trial.epochs,
    )


def policy() -> Augmentation:
    """The policy whose strongest level is called strong here: every operation, and a flip."""
    return Augmentation(maximum=Magnitudes(), horizontal_flip=True)


def runtime(precision: Precision, *, channels: int) -> Runtime:
    """The arithmetic on the processor in a precision, with the statistics of noise."""
    shape = (1, channels, 1, 1)
    return Runtime(CPU, precision, torch.full(shape, 0.5), torch.full(shape, 0.29))


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
    make_deterministic(CPU)
    design = _tiny_study()
    data = load(design)
    arithmetic = Runtime(
        CPU,
        design.engine.precision,
        torch.from_numpy(data.mean)[None, :, None, None],
        torch.from_numpy(data.std)[None, :, None, None],
        observation_batch=observation_batch,
    )

    def finished(ordinal: int) -> None:
        if stop_after is not None and ordinal + 1 == stop_after and not stopped:
            stopped.append(ordinal)
            raise _StoppedError

    stopped: list[int] = []
    with TemporaryDirectory() as folder:

        def collect() -> dict[str, pl.DataFrame]:
            return Block(
                design, data, block, runtime=arithmetic, scratch=Path(folder), finished=finished
            ).collect()

        try:
            tables = collect()
        except _StoppedError:
            tables = collect()
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
