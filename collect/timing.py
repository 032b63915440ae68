"""How fast this machine does each kind of a study's work, by doing a little of it."""

import time
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from collect.augmentation.policy import augmented_batches, draw, policy_for
from collect.classifier import ChannelAffine, Classifier
from collect.datasets import Data
from collect.engine import Runtime
from collect.models import build, frozen
from collect.observe import Views, observe
from collect.pretrained import CHANNELS
from collect.seeding import Purpose, Streams
from collect.spool import Spool
from collect.train import Trainee, cross_entropy, distilled_from
from store.design import Design
from store.frames import ATTENTION, PREDICTION
from store.networks import NO_WEIGHTS, CifarNetwork, Network
from store.training import Recipe
from store.vocabulary import CLEAN_VIEW, Split

_LONGEST_STEP_SECONDS: Final = 2.0
_SMALLEST_BATCH: Final = 8
_FEWEST_REPEATS: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """Seconds per image of each kind of work, as ``Workload`` counts it."""

    teacher_training: float
    student_training: float
    answers: float
    augmented: float
    teacher_evaluated: float
    student_evaluated: float
    teacher_observed: float
    student_observed: float


def design_to_measure(design: Design) -> Design:
    """Cut a study's images to as many as ``measure`` uses: two batches, and few to observe."""
    declared = design.declared()
    recipes = design.own_training.training
    batch = max(recipes.teacher.batch_size, recipes.student.batch_size)
    dataset = declared["dataset"] | {
        "test_size": min(design.dataset.test_size, 2 * batch),
        "train_subset": {"size": 2 * batch},
        "imbalance": None,
    }
    return Design.model_validate(declared | {"dataset": dataset})


def measure(design: Design, data: Data, runtime: Runtime, *, seconds: float) -> Rates:
    """Time each kind of a study's work on some of its images, for about ``seconds`` in all.

    The networks, losses, views and files are those of the study; what is trained is thrown away.
    """
    bench = _Bench(design, data, runtime, seconds=seconds / len(fields(Rates)))
    networks, recipes = design.own_training.networks, design.own_training.training
    teacher, student = bench.model(networks.teacher), bench.model(networks.student)
    return Rates(
        teacher_training=bench.training(teacher, recipes.teacher),
        student_training=bench.distilling(student, recipes.student),
        answers=bench.answering(teacher, recipes.student),
        augmented=bench.augmenting(recipes.student),
        teacher_evaluated=bench.evaluating(teacher),
        student_evaluated=bench.evaluating(student),
        teacher_observed=bench.observing(teacher),
        student_observed=bench.observing(student),
    )


class _Bench:
    """Times one kind of work at a time, each for ``seconds`` or a few repeats."""

    def __init__(self, design: Design, data: Data, runtime: Runtime, *, seconds: float) -> None:
        self._design = design
        self._data = data
        self._runtime = runtime
        self._seconds = seconds
        self._streams = Streams(design.study_seed, (0, 0, 0))

    def model(self, network: Network) -> Classifier:
        """Build a network that is trained for no result, from drawn weights in any case."""
        given = not isinstance(network, CifarNetwork) and network.weights != NO_WEIGHTS
        _, channels, side, _ = self._data.pool.pixels.shape
        model = build(
            network,
            channels=CHANNELS if given else channels,
            side=side,
            classes=len(self._data.class_names),
            generator=self._streams.torch(Purpose.INITIALIZATION),
        )
        if given:
            model.input = ChannelAffine(torch.ones(CHANNELS), torch.zeros(CHANNELS))
        model = model.to(self._runtime.device)
        return model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]

    def training(self, model: Classifier, recipe: Recipe) -> float:
        """Seconds per image of a teacher's step."""
        trainee = Trainee(model, recipe, loss=cross_entropy)
        return self._per_image(recipe.batch_size, lambda rows: self._step(trainee, rows))

    def distilling(self, model: Classifier, recipe: Recipe) -> float:
        """Seconds per image of a student's step, its teachers' answers at hand."""
        teachers = max(self._design.plan().students, key=lambda s: len(s.teachers)).teachers
        loss = distilled_from(teachers, self._design.distillation)
        trainee = Trainee(model, recipe, loss=loss, teachers=teachers)
        return self._per_image(recipe.batch_size, lambda rows: self._step(trainee, rows))

    def answering(self, model: Classifier, recipe: Recipe) -> float:
        """Seconds per image of a teacher's pass for students."""
        teacher = frozen(model)

        def answer(rows: NDArray[np.int64]) -> None:
            with torch.no_grad():
                self._runtime.training_logits(teacher, self._images(rows))

        return self._per_image(recipe.batch_size, answer)

    def evaluating(self, model: Classifier) -> float:
        """Seconds per image of a pass in fp32, as for learning curves."""
        model.eval()

        def evaluate(rows: NDArray[np.int64]) -> None:
            with torch.inference_mode():
                self._runtime.logits(model, self._images(rows))

        return self._per_image(self._runtime.limits.observation_batch, evaluate)

    def augmenting(self, recipe: Recipe) -> float:
        """Seconds per image of drawing and augmenting, decoding included where there is any."""
        strength = max(self._design.views().values())
        pixels = self._data.pool.pixels
        policy = policy_for(self._design.augmentation, pixels.shape[3])

        def augment(rows: NDArray[np.int64]) -> None:
            uniforms = draw(policy, self._streams.numpy(Purpose.AUGMENTATION), len(rows))
            choices = policy.choose(uniforms, strength)
            for _ in augmented_batches(
                pixels, rows, choices, batch_size=len(rows), device=self._runtime.device
            ):
                pass

        return self._per_image(recipe.batch_size, augment)

    def observing(self, model: Classifier) -> float:
        """Seconds per image of a pass whose logits and maps are written down."""
        few = np.arange(min(len(self._data.pool.labels), self._runtime.limits.observation_batch))
        views = Views(self._design, self._data, few, self._runtime)
        # the view that has attention maps too
        view = views.view(CLEAN_VIEW, Split.TEST)
        images = len(view.labels)
        with TemporaryDirectory() as folder:

            def write(rows: NDArray[np.int64]) -> None:
                observe(
                    model,
                    0,
                    [
                        replace(
                            view,
                            image_id=view.image_id[: len(rows)],
                            labels=view.labels[: len(rows)],
                        )
                    ],
                    methods=self._design.attention.kept,
                    published=self._design.attention.published,
                    runtime=self._runtime,
                    prediction=Spool(Path(folder) / PREDICTION.name, PREDICTION, held_bytes=0),
                    attention=Spool(Path(folder) / ATTENTION.name, ATTENTION, held_bytes=0),
                )

            return self._per_image(min(images, self._runtime.limits.observation_batch), write)

    def _step(self, trainee: Trainee, rows: NDArray[np.int64]) -> None:
        trainee.model.train()
        labels = torch.from_numpy(self._data.pool.labels[rows]).to(self._runtime.device)
        images = self._images(rows)
        classes = len(self._data.class_names)
        answers = {
            ordinal: torch.zeros(len(rows), classes, device=self._runtime.device)
            for ordinal in trainee.teachers
        }
        loss, _ = trainee.step(images, labels, answers, 0.0, self._runtime)
        loss.item()  # waits for a GPU

    def _images(self, rows: NDArray[np.int64]) -> torch.Tensor:
        (batch,) = self._data.pool.pixels.batches([rows], self._runtime.device)
        return self._runtime.standardized(batch)

    def _per_image(self, batch: int, work: Callable[[NDArray[np.int64]], None]) -> float:
        """Median seconds per image of some work on batches as large as a short trial allows."""
        pool = len(self._data.pool.labels)
        rows = np.arange(min(batch, pool, _SMALLEST_BATCH))
        work(rows)  # the first pass allocates and chooses algorithms
        once = self._timed(work, rows)
        while len(rows) < min(batch, pool) and once * 2 <= _LONGEST_STEP_SECONDS:
            rows = np.arange(min(2 * len(rows), batch, pool))
            once = self._timed(work, rows)
        taken = [once]
        while len(taken) < _FEWEST_REPEATS or sum(taken) < self._seconds:
            taken.append(self._timed(work, rows))
        return float(np.median(taken)) / len(rows)

    def _timed(self, work: Callable[[NDArray[np.int64]], None], rows: NDArray[np.int64]) -> float:
        self._wait()
        started = time.perf_counter()
        work(rows)
        self._wait()
        return time.perf_counter() - started

    def _wait(self) -> None:
        if self._runtime.device.type == "cuda":
            torch.cuda.synchronize()
