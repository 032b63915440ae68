"""The same recipe written plainly, as the standard that the engine's accuracy is held against.

torchvision's transforms image by image, fp32, NCHW, one loop; nothing of the project's own
training but the network and its first weights.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as functional
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.optim import SGD
from torch.optim.lr_scheduler import LambdaLR

from collect.torchvision_operators import import_torchvision

import_torchvision()
from torchvision import transforms  # noqa: E402


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainRecipe:
    """SGD with Nesterov's momentum, linear warm-up, then cosine to 0."""

    epochs: int
    batch_size: int
    learning_rate: float
    momentum: float
    weight_decay: float
    warmup_epochs: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainAugmentation:
    """Largest changes, each drawn uniformly within plus or minus itself.

    translate, cutout: fractions of the side; brightness, contrast, scale: around 1; flip: a
    probability.
    """

    rotation_degrees: float
    shear_degrees: float
    translate: float
    scale: float
    brightness: float
    contrast: float
    cutout: float
    flip: float


@dataclass(frozen=True, slots=True)
class PlainImages:
    """uint8 pixels, shape (images, 3, side, side), and labels, shape (images,)."""

    pixels: NDArray[np.uint8]
    labels: NDArray[np.int64]


class _Cutout:
    """Set a square whose centre is anywhere to 0."""

    def __init__(self, fraction: float) -> None:
        self._fraction = fraction

    def __call__(self, image: Tensor) -> Tensor:
        side = image.shape[-1]
        half = self._fraction * side / 2
        x, y = (torch.rand(2) * side).tolist()
        top, bottom = (min(max(round(y + d), 0), side) for d in (-half, half))
        left, right = (min(max(round(x + d), 0), side) for d in (-half, half))
        image[:, top:bottom, left:right] = 0
        return image


def train_plainly(
    model: nn.Module,
    images: PlainImages,
    recipe: PlainRecipe,
    augmentation: PlainAugmentation,
    seed: int,
) -> None:
    """Train a model in place. mean and standard deviation are those of the images given."""
    torch.manual_seed(seed)
    model.train()
    transform = transforms.Compose([*_changes(augmentation), _standardization(images)])
    faces = [Image.fromarray(one) for one in images.pixels.transpose(0, 2, 3, 1)]
    labels = torch.from_numpy(images.labels)
    optimizer = SGD(
        model.parameters(),
        lr=recipe.learning_rate,
        momentum=recipe.momentum,
        nesterov=True,
        weight_decay=recipe.weight_decay,
    )
    steps = -(-len(faces) // recipe.batch_size)
    schedule = LambdaLR(optimizer, lambda step: _factor((step + 1) / steps, recipe))
    for _ in range(recipe.epochs):
        for chosen in torch.randperm(len(faces)).split(recipe.batch_size):
            batch = torch.stack([transform(faces[index]) for index in chosen.tolist()])
            loss = functional.cross_entropy(model(batch), labels[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()


def accuracy(model: nn.Module, images: PlainImages, like: PlainImages) -> float:
    """Share of clean images that a model has right; like: whose mean and deviation are taken."""
    model.eval()
    standardize = _standardization(like)
    right = 0
    with torch.inference_mode():
        for start in range(0, len(images.labels), 500):
            batch = torch.from_numpy(images.pixels[start : start + 500]).float() / 255
            predicted = model(standardize(batch)).argmax(dim=1).numpy()
            right += int((predicted == images.labels[start : start + 500]).sum())
    return right / len(images.labels)


def _changes(augmentation: PlainAugmentation) -> list[object]:
    """One image's random changes, as torchvision has them."""
    return [
        transforms.RandomHorizontalFlip(augmentation.flip),
        transforms.RandomAffine(
            augmentation.rotation_degrees,
            translate=(augmentation.translate, augmentation.translate),
            scale=(1 - augmentation.scale, 1 + augmentation.scale),
            shear=augmentation.shear_degrees,
            interpolation=transforms.InterpolationMode.BILINEAR,
        ),
        transforms.ColorJitter(augmentation.brightness, augmentation.contrast),
        transforms.ToTensor(),
        _Cutout(augmentation.cutout),
    ]


def _standardization(images: PlainImages) -> transforms.Normalize:
    scaled = images.pixels.transpose(1, 0, 2, 3).reshape(images.pixels.shape[1], -1)
    mean, std = scaled.mean(axis=1) / 255, scaled.std(axis=1) / 255
    return transforms.Normalize(mean.tolist(), std.tolist())


def _factor(progress: float, recipe: PlainRecipe) -> float:
    """Share of the learning rate after some epochs."""
    if progress <= recipe.warmup_epochs:
        return progress / recipe.warmup_epochs
    share = (progress - recipe.warmup_epochs) / (recipe.epochs - recipe.warmup_epochs)
    return 0.5 * (1 + math.cos(math.pi * min(share, 1)))
