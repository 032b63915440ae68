"""Training as the published study describes it, rebuilt from its description; no code is copied.

Every image goes through torchvision's transforms one by one in the worker processes of a
DataLoader, which make the weak and the strong view of it whether or not both are used; the
network runs in fp32 and NCHW; the teachers of a student answer anew for every student and are
left in train() mode, so that their normalization statistics drift; loss and accuracy are read
after every step. docs/measures.md has the protocol.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
import torch.nn.functional as functional
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.optim import SGD
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader, Dataset

from collect.torchvision_operators import import_torchvision

import_torchvision()
from torchvision import transforms  # noqa: E402

TEMPERATURE: Final = 3.0
ALPHA: Final = 0.6
CUTOUT: Final = 16
WARMUP_EPOCHS: Final = 8
MILESTONES: Final = (25, 40, 60)

View = Callable[[Image.Image], Tensor]


class Cutout:
    """Set a square of one image to 0, its centre anywhere (DeVries and Taylor 2017)."""

    def __init__(self, side: int) -> None:
        self._half = side // 2

    def __call__(self, image: Tensor) -> Tensor:
        height, width = image.shape[1:]
        y, x = (int(torch.randint(size, (1,))) for size in (height, width))
        top, left = max(y - self._half, 0), max(x - self._half, 0)
        image[:, top : y + self._half, left : x + self._half] = 0
        return image


def weak_view(side: int) -> View:
    """The published weak policy, then standardization."""
    return transforms.Compose(
        [
            transforms.RandomResizedCrop(side, scale=(0.2, 1.0)),
            transforms.RandomHorizontalFlip(),
            transforms.RandomRotation(15),
            *_to_tensor(),
        ]
    )


def strong_view(side: int) -> View:
    """The published strong policy, then standardization."""
    return transforms.Compose(
        [
            transforms.RandomResizedCrop(side, scale=(0.2, 1.0)),
            transforms.RandomHorizontalFlip(),
            transforms.AutoAugment(transforms.AutoAugmentPolicy.CIFAR10),
            *_to_tensor(),
            Cutout(CUTOUT),
        ]
    )


def _to_tensor() -> list[Callable[..., Tensor]]:
    return [transforms.ToTensor(), transforms.Normalize((0.5,) * 3, (0.29,) * 3)]


class TwoViews(Dataset[tuple[Tensor, Tensor, int]]):
    """Both views of every image, made when asked for.

    pixels: uint8, shape (images, 3, side, side); labels: shape (images,).
    """

    def __init__(self, pixels: NDArray[np.uint8], labels: NDArray[np.int64]) -> None:
        self._pixels = np.ascontiguousarray(pixels.transpose(0, 2, 3, 1))
        self._labels = labels
        side = pixels.shape[-1]
        self._weak, self._strong = weak_view(side), strong_view(side)

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, int]:
        image = Image.fromarray(self._pixels[index])
        return self._weak(image), self._strong(image), int(self._labels[index])


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedRecipe:
    """How one network is trained. epochs: of the schedule; ``run`` may stop earlier."""

    batch_size: int = 128
    learning_rate: float = 0.1
    epochs: int = 61
    workers: int = 2


class PublishedTraining:
    """One network, trained epoch by epoch on the strong view.

    teachers: none for a teacher's own training, else those that the student is distilled from.
    """

    def __init__(
        self,
        model: nn.Module,
        teachers: Sequence[nn.Module],
        images: TwoViews,
        recipe: PublishedRecipe,
    ) -> None:
        self._model, self._teachers = model, teachers
        self._loader = DataLoader(
            images,
            batch_size=recipe.batch_size,
            shuffle=True,
            num_workers=recipe.workers,
            # Linux's default, but not within a process that was itself spawned
            multiprocessing_context="fork" if recipe.workers else None,
        )
        self._optimizer = SGD(
            model.parameters(), lr=recipe.learning_rate, momentum=0.9, weight_decay=5e-4
        )
        self._schedule = LambdaLR(self._optimizer, _factor)

    def epoch(self) -> float:
        """Train for one epoch; return the mean loss on its augmented images, in nats."""
        self._model.train()
        for teacher in self._teachers:
            teacher.train()
        total, correct, seen = 0.0, 0, 0
        for _weak, strong, labels in self._loader:
            logits = self._model(strong)
            loss = self._loss(logits, strong, labels)
            self._optimizer.zero_grad()
            loss.backward()
            self._optimizer.step()
            total += loss.item() * len(labels)
            correct += int((logits.argmax(dim=1) == labels).sum().item())
            seen += len(labels)
        self._schedule.step()
        return total / seen

    def _loss(self, logits: Tensor, images: Tensor, labels: Tensor) -> Tensor:
        if not self._teachers:
            return functional.cross_entropy(logits, labels)
        with torch.no_grad():
            answers = [teacher(images) for teacher in self._teachers]
        return sum(
            (_distillation(logits, answer, labels) for answer in answers), logits.new_zeros(())
        ) / len(answers)


def _distillation(student: Tensor, teacher: Tensor, labels: Tensor) -> Tensor:
    """Alpha CE + (1 - alpha) T^2 KL(teacher || student) of one teacher (Hinton et al. 2015)."""
    divergence = functional.kl_div(
        functional.log_softmax(student / TEMPERATURE, dim=1),
        functional.softmax(teacher / TEMPERATURE, dim=1),
        reduction="batchmean",
    )
    hard = functional.cross_entropy(student, labels)
    return ALPHA * hard + (1 - ALPHA) * TEMPERATURE**2 * divergence


def _factor(epoch: int) -> float:
    """Share of the learning rate: linear warm-up, then a tenth after each milestone."""
    if epoch < WARMUP_EPOCHS:
        return (epoch + 1) / WARMUP_EPOCHS
    return 0.1 ** sum(epoch >= milestone for milestone in MILESTONES)
