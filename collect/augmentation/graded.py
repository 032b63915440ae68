"""The graded augmentation policy: one strength in [0, 1] for all operations.

The same uniforms serve every strength: a stronger level moves the same image in the same
direction, further.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
import torch.nn.functional as functional
from numpy.typing import NDArray
from torch import Tensor

from store.augmentations import Graded

_GREY: Final = (0.2989, 0.587, 0.114)


@dataclass(frozen=True, slots=True)
class GradedChoices:
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

    def apply(self, images: Tensor, rows: NDArray[np.int64]) -> Tensor:
        """See ``policy.Choices``."""

        def chosen(values: NDArray[np.float32]) -> Tensor:
            return torch.from_numpy(values[rows]).to(images.device)

        if images.dtype == torch.uint8:
            images = images.float().div_(255)
        grid = functional.affine_grid(chosen(self.matrix), list(images.shape), align_corners=False)
        out = functional.grid_sample(images, grid, mode="bilinear", align_corners=False)
        out.mul_(chosen(self.brightness)[:, None, None, None]).clamp_(0, 1)
        contrast = chosen(self.contrast)[:, None, None, None]
        grey = (1 - contrast) * _mean_grey(out)
        out.mul_(contrast).add_(grey).clamp_(0, 1)
        return out.mul_(_kept(chosen(self.cutout), self.cutout_side, images.shape[-1]))


class GradedPolicy:
    """Each quantity is uniform within plus or minus strength times the policy's magnitude."""

    uniforms = 10
    """Rotation, shear, shift x and y, scale, brightness, contrast, cutout x and y, flip."""

    def __init__(self, declared: Graded) -> None:
        self._declared = declared

    def choose(self, uniforms: NDArray[np.float64], strength: float) -> GradedChoices:
        """Turn uniforms, shape (images, uniforms), into what is done at a strength."""
        top = self._declared.maximum
        centred = (2 * uniforms - 1) * strength
        mirrored = self._declared.horizontal_flip
        flip = np.where(uniforms[:, 9] < strength / 2, -1.0, 1.0) if mirrored else 1.0
        forward = _affine(
            rotation=np.radians(centred[:, 0] * top.rotation_degrees),
            shear=np.radians(centred[:, 1] * top.shear_degrees),
            # a fraction of the side is twice that in coordinates from -1 to 1
            shift=2 * top.translate * centred[:, 2:4],
            scale=1 + centred[:, 4] * top.scale,
            flip=flip,
        )
        return GradedChoices(
            matrix=np.linalg.inv(forward)[:, :2].astype(np.float32),
            brightness=(1 + centred[:, 5] * top.brightness).astype(np.float32),
            contrast=(1 + centred[:, 6] * top.contrast).astype(np.float32),
            cutout=(2 * uniforms[:, 7:9] - 1).astype(np.float32),
            cutout_side=2 * strength * top.cutout,
        )


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
