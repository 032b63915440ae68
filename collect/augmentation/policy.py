"""What a policy is: uniforms for every image, choices made from them, choices applied.

A draw is a row of unit uniforms per image, from the stream of (seed, epoch) at the image's
place in the subset, so it depends neither on batching nor on the strength.
"""

import math
from collections.abc import Iterator
from typing import Final, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from collect.augmentation.graded import GradedPolicy
from collect.augmentation.published import PublishedPolicy
from collect.augmentation.published_imagenet import PublishedImageNetPolicy
from collect.augmentation.randomized import RandAugmentPolicy, TrivialAugmentPolicy
from collect.pixels import Pixels
from store.augmentations import Augmentation, Graded, Published, PublishedImageNet, RandAugment

VALUES_AT_ONCE: Final = {"cpu": 2**20, "cuda": 2**24}
"""Pixel values that are augmented together."""


class Choices(Protocol):
    """What each image of an epoch undergoes."""

    def apply(self, images: Tensor, rows: NDArray[np.int64]) -> Tensor:
        """Augment a batch.

        images: uint8, or fractions in [0, 1] as float32, shape (batch, 1 or 3, side, side), on
        any device; left as they are. rows: which rows of the choices they take, shape (batch,).
        Returns fractions in [0, 1], float32, contiguous, the same shape, on the same device.
        All policies but the graded one take float input to the nearest of the 256 levels, and
        return levels divided by 255.
        """
        ...


class Policy(Protocol):
    """A declared policy for images of one size."""

    @property
    def uniforms(self) -> int:
        """Number of unit uniforms that an image needs."""
        ...

    def choose(self, uniforms: NDArray[np.float64], strength: float) -> Choices:
        """Turn uniforms in [0, 1), shape (images, uniforms), into what is done at a strength."""
        ...


def policy_for(declared: Augmentation, side: int) -> Policy:
    """Return the policy that a study declares, for images of a side in pixels."""
    if isinstance(declared, Graded):
        return GradedPolicy(declared)
    if isinstance(declared, Published):
        return PublishedPolicy(declared, side)
    if isinstance(declared, PublishedImageNet):
        return PublishedImageNetPolicy(declared, side)
    if isinstance(declared, RandAugment):
        return RandAugmentPolicy(declared, side)
    return TrivialAugmentPolicy(declared, side)


def draw(policy: Policy, generator: np.random.Generator, images: int) -> NDArray[np.float64]:
    """Draw the uniforms of every image, shape (images, policy.uniforms)."""
    return generator.random((images, policy.uniforms))


def augmented_batches(
    pixels: Pixels,
    order: NDArray[np.int64],
    choices: Choices,
    *,
    batch_size: int,
    device: torch.device,
) -> Iterator[tuple[NDArray[np.int64], Tensor]]:
    """Yield an epoch's batches: rows of ``pixels`` in their order, and their augmented images.

    Several batches of small images are augmented at a time, for an operation costs much the same
    to call for few images as for many; one of large images in parts, so that what lies between
    stays in the cache. What becomes of an image does not depend on it.
    """
    limit = VALUES_AT_ONCE.get(device.type, VALUES_AT_ONCE["cuda"])
    together = max(1, limit // math.prod(pixels.shape[1:]))
    size = batch_size * max(1, together // batch_size)
    groups = [order[start : start + size] for start in range(0, len(order), size)]
    for rows, chosen in zip(groups, pixels.batches(groups, device), strict=True):
        images = _in_parts(choices, chosen, rows, together)
        for first in range(0, len(rows), batch_size):
            yield rows[first : first + batch_size], images[first : first + batch_size]


def _in_parts(choices: Choices, images: Tensor, rows: NDArray[np.int64], together: int) -> Tensor:
    if len(rows) <= together:
        return choices.apply(images, rows)
    parts = images.split(together)
    starts = range(0, len(rows), together)
    return torch.cat(
        [
            choices.apply(part, rows[start : start + together])
            for part, start in zip(parts, starts, strict=True)
        ]
    )
