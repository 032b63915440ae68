"""Training of one network: no paths, no global random state."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as functional
from numpy.typing import NDArray
from torch import Tensor
from torch.optim import SGD

from collect.augmentation.policy import augmented_batches, draw, policy_for
from collect.engine import Runtime
from collect.losses import distillation_loss
from collect.models import CifarResNet, frozen
from collect.seeding import Purpose, Streams
from store.augmentations import Augmentation
from store.design import Distillation, Recipe

BatchLoss = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(student logits, standardized images, labels) -> loss."""


@dataclass(frozen=True, slots=True)
class TrainingSet:
    """What a model is trained on and evaluated on during training, on the device.

    pixels: fractions in [0, 1], float, shape (images, channels, side, side), in the order of
    the subset; labels: shape (images,). test_pixels, test_labels: the clean test images,
    standardized.
    """

    pixels: Tensor
    labels: Tensor
    test_pixels: Tensor
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


@dataclass(slots=True)
class Trained:
    """How a training ended: its curve, and why it failed if it did."""

    epochs: list[EpochRow] = field(default_factory=list[EpochRow])
    failure: str | None = None


def learning_rate(recipe: Recipe, step: int, steps_per_epoch: int) -> float:
    """Learning rate of a step, from 0: linear warm-up, then cosine to 0 or steps of 1/10."""
    progress = (step + 1) / steps_per_epoch
    if progress <= recipe.warmup_epochs:
        return recipe.learning_rate * progress / recipe.warmup_epochs
    if recipe.schedule == "step":
        passed = sum(progress > milestone for milestone in recipe.milestones)
        return recipe.learning_rate * 0.1**passed
    share = (progress - recipe.warmup_epochs) / (recipe.epochs - recipe.warmup_epochs)
    return recipe.learning_rate * 0.5 * (1 + math.cos(math.pi * min(share, 1)))


def train(
    model: CifarResNet,
    data: TrainingSet,
    *,
    recipe: Recipe,
    policy: Augmentation,
    strength: float,
    streams: Streams,
    loss: BatchLoss,
    runtime: Runtime,
) -> Trained:
    """Train a model in place by SGD; stop at the first loss that is not finite.

    loss: takes the model's logits, the standardized images that it saw, and their labels.
    """
    result = Trained()
    optimizer = SGD(
        model.parameters(),
        lr=recipe.learning_rate,
        momentum=recipe.momentum,
        nesterov=recipe.nesterov and recipe.momentum > 0,
        weight_decay=recipe.weight_decay,
    )
    steps = -(-len(data.labels) // recipe.batch_size)
    for epoch in range(recipe.epochs):
        model.train()
        order = streams.numpy(Purpose.DATA_ORDER, epoch).permutation(len(data.labels))
        views = _views(data.pixels, order, recipe, policy, strength, streams, epoch)
        total, correct, rate = 0.0, 0, 0.0
        for step, (rows, batch) in enumerate(views):
            rate = learning_rate(recipe, epoch * steps + step, steps)
            for group in optimizer.param_groups:
                group["lr"] = rate
            images = runtime.standardized(batch)
            labels = data.labels[torch.from_numpy(rows).to(data.labels.device)]
            logits = runtime.logits(model, images)
            value = loss(logits, images, labels)
            number = value.item()
            if not math.isfinite(number):
                result.failure = (
                    f"the training loss became {number} in epoch {epoch + 1}, step {step + 1}"
                )
                return result
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
            total += number * len(rows)
            correct += int((logits.argmax(dim=1) == labels).sum())
        last = epoch + 1 == recipe.epochs
        test: tuple[float | None, float | None] = (None, None)
        if last or (epoch + 1) % recipe.evaluate_every == 0:
            test = evaluate(model, data.test_pixels, data.test_labels, runtime)
        result.epochs.append(
            EpochRow(
                epoch=epoch + 1,
                learning_rate=rate,
                train_loss=total / len(order),
                train_accuracy=correct / len(order),
                test_loss=test[0],
                test_accuracy=test[1],
            )
        )
    return result


def _views(
    pixels: Tensor,
    order: NDArray[np.int64],
    recipe: Recipe,
    policy: Augmentation,
    strength: float,
    streams: Streams,
    epoch: int,
) -> Iterator[tuple[NDArray[np.int64], Tensor]]:
    """One epoch's batches: rows of the subset and their augmented images."""
    if strength == 0:
        for start in range(0, len(order), recipe.batch_size):
            rows = order[start : start + recipe.batch_size]
            yield rows, pixels[torch.from_numpy(rows).to(pixels.device)]
        return
    drawing = policy_for(policy, pixels.shape[-1])
    uniforms = draw(drawing, streams.numpy(Purpose.AUGMENTATION, epoch), len(order))
    choices = drawing.choose(uniforms, strength)
    yield from augmented_batches(pixels, order, choices, batch_size=recipe.batch_size)


def evaluate(
    model: CifarResNet, images: Tensor, labels: Tensor, runtime: Runtime
) -> tuple[float, float]:
    """Cross-entropy in nats and accuracy in eval mode. images: standardized."""
    model.eval()
    loss, correct = 0.0, 0
    with torch.inference_mode():
        for start in range(0, len(labels), runtime.observation_batch):
            chosen = slice(start, start + runtime.observation_batch)
            logits = runtime.logits(model, images[chosen])
            loss += float(functional.cross_entropy(logits, labels[chosen], reduction="sum"))
            correct += int((logits.argmax(dim=1) == labels[chosen]).sum())
    return loss / len(labels), correct / len(labels)


def cross_entropy(logits: Tensor, images: Tensor, labels: Tensor) -> Tensor:
    """Loss of a teacher: cross-entropy with the labels, in nats."""
    del images
    return functional.cross_entropy(logits, labels)


def distilled_from(
    teachers: Sequence[CifarResNet], distillation: Distillation, runtime: Runtime
) -> BatchLoss:
    """Loss of a student whose teachers, in eval mode, see the very images that it sees."""
    answering = [frozen(teacher) for teacher in teachers]

    def loss(logits: Tensor, images: Tensor, labels: Tensor) -> Tensor:
        with torch.no_grad():
            answers = [runtime.logits(teacher, images) for teacher in answering]
        return distillation_loss(logits, answers, labels, distillation)

    return loss
