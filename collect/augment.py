"""The graded augmentation policy: batched, one draw per image, one strength in [0, 1].

Choices are drawn first and applied afterwards. A draw is a row of unit uniforms per
image, from the stream of (seed, epoch) at the image's place in the subset, so it depends
neither on batching nor on the strength: a stronger level moves the same image in the
same direction, further.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
import torch.nn.functional as functional
from numpy.typing import NDArray
from torch import Tensor

if TYPE_CHECKING:
    from store.design import Augmentation

DRAWS: Final = 10
"""Uniforms per image: rotation, shear, shift x and y, scale, brightness, contrast, cutout x
and y, flip."""

_GREY: Final = (0.2989, 0.587, 0.114)


@dataclass(frozen=True, slots=True)
class Choices:
    """What each image undergoes.

    matrix: output to input coordinates in [-1, 1], float32, shape (images, 2, 3). brightness,
    contrast: factors, shape (images,). cutout: centre x and y in [-1, 1], shape (images, 2).
    cutout_side: of the square, in units of the image's half side.
    """

    matrix: NDArray[np.float32]
    brightness: NDArray[np.float32]
    contrast: NDArray[np.float32]
    cutout: NDArray[np.float32]
    cutout_side: float


def draw(generator: np.random.Generator, images: int) -> NDArray[np.float64]:
    """Draw the uniforms of every image, shape (images, DRAWS), in [0, 1)."""
    return generator.random((images, DRAWS))


def choose(uniforms: NDArray[np.float64], strength: float, policy: Augmentation) -> Choices:
    """Turn uniforms into what a policy does at a strength.

    uniforms: shape (images, DRAWS). Each quantity is uniform within plus or minus strength
    times the policy's magnitude.
    """
    top = policy.maximum
    centred = (2 * uniforms - 1) * strength
    flip = np.where(uniforms[:, 9] < strength / 2, -1.0, 1.0) if policy.horizontal_flip else 1.0
    forward = _affine(
        rotation=np.radians(centred[:, 0] * top.rotation_degrees),
        shear=np.radians(centred[:, 1] * top.shear_degrees),
        # a fraction of the side is twice that in coordinates from -1 to 1
        shift=2 * top.translate * centred[:, 2:4],
        scale=1 + centred[:, 4] * top.scale,
        flip=flip,
    )
    return Choices(
        matrix=np.linalg.inv(forward)[:, :2].astype(np.float32),
        brightness=(1 + centred[:, 5] * top.brightness).astype(np.float32),
        contrast=(1 + centred[:, 6] * top.contrast).astype(np.float32),
        cutout=(2 * uniforms[:, 7:9] - 1).astype(np.float32),
        cutout_side=2 * strength * top.cutout,
    )


def apply(images: Tensor, choices: Choices, rows: NDArray[np.int64]) -> Tensor:
    """Augment a batch.

    images: fractions in [0, 1], float, shape (batch, channels, side, side). rows: which
    rows of ``choices`` they take, shape (batch,). Returns the same shape, in [0, 1].
    """

    def chosen(values: NDArray[np.float32]) -> Tensor:
        return torch.from_numpy(values[rows]).to(images.device)

    grid = functional.affine_grid(chosen(choices.matrix), list(images.shape), align_corners=False)
    out = functional.grid_sample(images, grid, mode="bilinear", align_corners=False)
    out = (out * chosen(choices.brightness)[:, None, None, None]).clamp(0, 1)
    contrast = chosen(choices.contrast)[:, None, None, None]
    out = (contrast * out + (1 - contrast) * _mean_grey(out)).clamp(0, 1)
    return out * _kept(chosen(choices.cutout), choices.cutout_side, images.shape[-1])


def _affine(
    *,
    rotation: NDArray[np.float64],
    shear: NDArray[np.float64],
    shift: NDArray[np.float64],
    scale: NDArray[np.float64],
    flip: NDArray[np.float64] | float,
) -> NDArray[np.float64]:
    """Input to output coordinates, shape (images, 3, 3): flip, scale, shear, rotate, shift."""
    cos, sin, tan = np.cos(rotation), np.sin(rotation), np.tan(shear)
    matrix = np.zeros((len(rotation), 3, 3))
    matrix[:, 0, 0] = scale * cos * flip
    matrix[:, 0, 1] = scale * (-cos * tan - sin)
    matrix[:, 1, 0] = scale * sin * flip
    matrix[:, 1, 1] = scale * (-sin * tan + cos)
    matrix[:, :2, 2] = shift
    matrix[:, 2, 2] = 1
    return matrix


def _mean_grey(images: Tensor) -> Tensor:
    """Each image's mean luminance, shape (batch, 1, 1, 1)."""
    if images.shape[1] == 3:
        weights = images.new_tensor(_GREY)[None, :, None, None]
        return (images * weights).sum(dim=1, keepdim=True).mean(dim=(2, 3), keepdim=True)
    return images.mean(dim=(1, 2, 3), keepdim=True)


def _kept(centre: Tensor, side: float, pixels: int) -> Tensor:
    """1 outside each image's cutout square, 0 inside, shape (batch, 1, pixels, pixels)."""
    place = (2 * torch.arange(pixels, device=centre.device) + 1) / pixels - 1
    inside = (place[None, None, :] - centre[:, :, None]).abs() < side / 2
    return (~(inside[:, 1, :, None] & inside[:, 0, None, :]))[:, None].to(torch.float32)
