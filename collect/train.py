"""Training of networks, alone or in lockstep: no paths, no global random state."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as functional
from numpy.typing import NDArray
from torch import Tensor
from torch.optim import SGD, AdamW, Optimizer

from collect.augmentation.policy import augmented_batches, draw, policy_for
from collect.classifier import Classifier
from collect.engine import Runtime
from collect.losses import distillation_loss
from collect.memory import in_batches
from collect.pixels import Pixels
from collect.seeding import Purpose, Streams
from store.augmentations import Augmentation
from store.training import AnyDistillation, Recipe

Answers = Mapping[int, Tensor]
"""Teachers' logits on one batch, shape (batch, classes), by the teacher's ordinal."""

BatchLoss = Callable[[Tensor, Tensor, Answers], Tensor]
"""(logits, labels, teachers' answers) -> loss."""


@dataclass(frozen=True, slots=True)
class TrainingSet:
    """What a model is trained on and evaluated on during training.

    pixels: in the order of the subset. labels, test_labels: on the device, shape (images,).
    """

    pixels: Pixels
    labels: Tensor
    test_pixels: Pixels
    test_labels: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochRow:
    """One epoch's curve; names and units as in ``store.frames.EPOCH``."""

    epoch: int
    learning_rate: float
    train_loss: float
    train_accuracy: float
    test_loss: float | None
    test_accuracy: float | None


class Trainee:
    """A model in training: its optimizer, its loss, how far it has come.

    teachers: ordinals of those whose answers its loss takes. epochs: the rows of those done.
    failure: why it ended early; None while it goes well.
    """

    def __init__(
        self,
        model: Classifier,
        recipe: Recipe,
        *,
        loss: BatchLoss,
        teachers: Sequence[int] = (),
    ) -> None:
        self.model = model
        self.loss = loss
        self.teachers = tuple(teachers)
        self.epochs: list[EpochRow] = []
        self.failure: str | None = None
        self.optimizer = _optimizer(model, recipe)

    def step(
        self, images: Tensor, labels: Tensor, answers: Answers, rate: float, runtime: Runtime
    ) -> tuple[Tensor, Tensor]:
        """Take one step; return the loss and the number of right answers, on the device."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        logits = runtime.training_logits(self.model, images)
        value = self.loss(logits, labels, answers)
        self.optimizer.zero_grad()
        value.backward()
        self.optimizer.step()
        return value.detach(), (logits.detach().argmax(dim=1) == labels).sum()


def _optimizer(model: Classifier, recipe: Recipe) -> Optimizer:
    """Make the declared optimizer of a model's weights."""
    if recipe.optimizer == "adamw":
        return AdamW(
            model.parameters(),
            lr=recipe.learning_rate,
            betas=recipe.betas,
            eps=recipe.epsilon,
            weight_decay=recipe.weight_decay,
            fused=True,
        )
    return SGD(
        model.parameters(),
        lr=recipe.learning_rate,
        momentum=recipe.momentum,
        nesterov=recipe.nesterov and recipe.momentum > 0,
        weight_decay=recipe.weight_decay,
        fused=True,
    )


def learning_rate(recipe: Recipe, step: int, steps_per_epoch: int) -> float:
    """Learning rate of a step, from 0: linear warm-up, then cosine to 0 or steps of ``gamma``.

    The warm-up ends with its last epoch at the full rate, and rises from step to step or from
    epoch to epoch, as declared. A milestone counts epochs done: at 25 the rate falls with the
    first step of the 26th epoch, as torch's MultiStepLR has it.
    """
    progress = (step + 1) / steps_per_epoch
    if progress <= recipe.warmup_epochs:
        risen = math.ceil(progress) if recipe.warmup_by == "epoch" else progress
        return recipe.learning_rate * risen / recipe.warmup_epochs
    if recipe.schedule == "step":
        passed = sum(progress > milestone for milestone in recipe.milestones)
        return recipe.learning_rate * recipe.gamma**passed
    share = (progress - recipe.warmup_epochs) / (recipe.epochs - recipe.warmup_epochs)
    return recipe.learning_rate * 0.5 * (1 + math.cos(math.pi * min(share, 1)))


def train(
    trainees: Sequence[Trainee],
    data: TrainingSet,
    *,
    recipe: Recipe,
    policy: Augmentation,
    strength: float,
    streams: Streams,
    runtime: Runtime,
    teachers: Mapping[int, Classifier] | None = None,
    before_step: Callable[[], None] | None = None,
    after_epoch: Callable[[], None] | None = None,
) -> None:
    """Train models in lockstep, in place; one whose loss is not finite ends there.

    All see the same images in the same order, and every teacher answers a batch once, whoever
    asks. Nothing else is shared: each ends with the bits it would have had alone. Models that
    have done some epochs already, all the same number, go on from there.

    teachers: by ordinal, frozen or in train mode; the latter's statistics move with every batch
    that they answer. before_step: called before every step; what it raises ends the training.
    after_epoch: called when all have done one more epoch.
    """
    first = max(len(trainee.epochs) for trainee in trainees)
    for epoch in range(first, recipe.epochs):
        active = [trainee for trainee in trainees if trainee.failure is None]
        if not active:
            return
        for trainee in active:
            trainee.model.train()
        asked = sorted({ordinal for trainee in active for ordinal in trainee.teachers})
        answering = {ordinal: (teachers or {})[ordinal] for ordinal in asked}
        order = streams.numpy(Purpose.DATA_ORDER, epoch).permutation(len(data.labels))
        views = _views(data.pixels, order, recipe, policy, strength, streams, epoch, runtime.device)
        curves = [_Curve() for _ in active]
        steps, rate = -(-len(order) // recipe.batch_size), 0.0
        for step, (rows, batch) in enumerate(views):
            if before_step is not None:
                before_step()
            rate = learning_rate(recipe, epoch * steps + step, steps)
            images = runtime.standardized(batch)
            labels = data.labels[torch.from_numpy(rows).to(data.labels.device)]
            with torch.no_grad():
                answers = {
                    ordinal: runtime.training_logits(teacher, images)
                    for ordinal, teacher in answering.items()
                }
            for trainee, curve in zip(active, curves, strict=True):
                curve.add(len(rows), *trainee.step(images, labels, answers, rate, runtime))
        for trainee, curve in zip(active, curves, strict=True):
            _close_epoch(trainee, curve, data, recipe, epoch, rate, runtime)
        if after_epoch is not None:
            after_epoch()


class _Curve:
    """One epoch's losses and right answers, kept on the device until the epoch ends.

    Asking a GPU for a number at every step would make it wait for the processor.
    """

    def __init__(self) -> None:
        self._sizes: list[int] = []
        self._losses: list[Tensor] = []
        self._correct: list[Tensor] = []

    def add(self, images: int, loss: Tensor, correct: Tensor) -> None:
        self._sizes.append(images)
        self._losses.append(loss)
        self._correct.append(correct)

    def failure(self) -> tuple[int, float] | None:
        """Return the first step whose loss is not finite, from 0, and that loss."""
        losses = torch.stack(self._losses).tolist()
        return next(
            ((step, value) for step, value in enumerate(losses) if not math.isfinite(value)), None
        )

    def means(self) -> tuple[float, float]:
        """Return the mean loss and the accuracy over the epoch's images."""
        total = sum(
            size * value
            for size, value in zip(self._sizes, torch.stack(self._losses).tolist(), strict=True)
        )
        images = sum(self._sizes)
        return total / images, int(torch.stack(self._correct).sum()) / images


def _close_epoch(
    trainee: Trainee,
    curve: _Curve,
    data: TrainingSet,
    recipe: Recipe,
    epoch: int,
    rate: float,
    runtime: Runtime,
) -> None:
    """Add an epoch's row to a trainee's curve, or the reason why it has failed."""
    failure = curve.failure()
    if failure is not None:
        step, number = failure
        trainee.failure = f"the training loss became {number} in epoch {epoch + 1}, step {step + 1}"
        return
    test: tuple[float | None, float | None] = (None, None)
    if epoch + 1 == recipe.epochs or (epoch + 1) % recipe.evaluate_every == 0:
        test = evaluate(trainee.model, data.test_pixels, data.test_labels, runtime)
    loss, accuracy = curve.means()
    trainee.epochs.append(
        EpochRow(
            epoch=epoch + 1,
            learning_rate=rate,
            train_loss=loss,
            train_accuracy=accuracy,
            test_loss=test[0],
            test_accuracy=test[1],
        )
    )


def _views(
    pixels: Pixels,
    order: NDArray[np.int64],
    recipe: Recipe,
    policy: Augmentation,
    strength: float,
    streams: Streams,
    epoch: int,
    device: torch.device,
) -> Iterator[tuple[NDArray[np.int64], Tensor]]:
    """One epoch's batches: rows of the subset and their augmented images."""
    if strength == 0:
        starts = range(0, len(order), recipe.batch_size)
        groups = [order[start : start + recipe.batch_size] for start in starts]
        yield from zip(groups, pixels.batches(groups, device), strict=True)
        return
    drawing = policy_for(policy, pixels.shape[3])
    uniforms = draw(drawing, streams.numpy(Purpose.AUGMENTATION, epoch), len(order))
    choices = drawing.choose(uniforms, strength)
    yield from augmented_batches(
        pixels, order, choices, batch_size=recipe.batch_size, device=device
    )


def evaluate(
    model: Classifier, pixels: Pixels, labels: Tensor, runtime: Runtime
) -> tuple[float, float]:
    """Cross-entropy in nats and accuracy in eval mode, in which the model is left."""
    model.eval()

    def answer(chosen: slice) -> tuple[Tensor, Tensor]:
        rows = np.arange(chosen.start, chosen.stop)
        with torch.inference_mode():
            (images,) = pixels.batches([rows], runtime.device)
            logits = runtime.logits(model, runtime.standardized(images))
            losses = functional.cross_entropy(logits, labels[chosen], reduction="none")
            return losses, logits.argmax(dim=1) == labels[chosen]

    parts = list(in_batches(len(labels), runtime.limits, runtime.device, answer))
    # put together first: a sum of sums would depend on the batch
    losses, correct = (torch.cat(values) for values in zip(*parts, strict=True))
    return float(losses.double().mean()), float(correct.double().mean())


def cross_entropy(logits: Tensor, labels: Tensor, answers: Answers) -> Tensor:
    """Loss of a teacher: cross-entropy with the labels, in nats."""
    del answers
    return functional.cross_entropy(logits, labels)


def distilled_from(ordinals: Sequence[int], distillation: AnyDistillation) -> BatchLoss:
    """Loss of a student of these teachers, which see the very images that it sees."""

    def loss(logits: Tensor, labels: Tensor, answers: Answers) -> Tensor:
        return distillation_loss(
            logits, [answers[ordinal] for ordinal in ordinals], labels, distillation
        )

    return loss
