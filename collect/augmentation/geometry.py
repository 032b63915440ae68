"""Moving images: matrices as Pillow and torchvision make them, and resampling by them.

A matrix takes an output place to the input place that it is filled from, in pixels:
x = a X + b Y + c, y = d X + e Y + f, for places that are pixel numbers plus one half.
"""

from typing import Final

import numpy as np
import torch
import torch.nn.functional as functional
from numpy.typing import NDArray
from torch import Tensor

Floats = NDArray[np.float64]

_ONE: Final = 65536.0
_BITS: Final = 16


def rotation(degrees: Floats, side: int) -> Floats:
    """Matrices that rotate about the centre, counter-clockwise, shape (images, 6)."""
    angle = -np.radians(degrees)
    cos, sin = np.cos(angle).round(15), np.sin(angle).round(15)
    centre = side / 2
    return _matrices(
        cos,
        sin,
        cos * -centre + sin * -centre + centre,
        -sin,
        cos,
        -sin * -centre + cos * -centre + centre,
    )


def shear(tangent_x: Floats, tangent_y: Floats) -> Floats:
    """Matrices that shear, the upper left corner staying, shape (images, 6)."""
    one, zero = np.ones_like(tangent_x), np.zeros_like(tangent_x)
    return _matrices(one, tangent_x, zero, tangent_y, one, zero)


def shift(x: Floats, y: Floats) -> Floats:
    """Matrices that take each pixel from ``x`` pixels to its right and ``y`` below it."""
    one, zero = np.ones_like(x), np.zeros_like(x)
    return _matrices(one, zero, x, zero, one, y)


def _matrices(*entries: Floats) -> Floats:
    return np.stack(entries, axis=-1)


def fixed_point(matrices: Floats) -> NDArray[np.int32]:
    """Turn matrices into 65536ths that start at the first pixel's centre, as Pillow does."""
    ready = matrices.copy()
    ready[..., 2] += 0.5 * (matrices[..., 0] + matrices[..., 1])
    ready[..., 5] += 0.5 * (matrices[..., 3] + matrices[..., 4])
    return np.floor(ready * _ONE + 0.5).astype(np.int32)


def move(levels: Tensor, matrix: Tensor, fill: float) -> Tensor:
    """Resample a batch by nearest neighbours; what lies outside becomes ``fill``.

    matrix: from ``fixed_point``, int32, shape (images, 6).
    """
    images, channels, side, _ = levels.shape
    place = torch.arange(side, dtype=torch.int32, device=levels.device)
    entry = matrix[:, :, None, None].unbind(1)
    x = (entry[0] * place) + (entry[1] * place[:, None] + entry[2])
    y = (entry[3] * place) + (entry[4] * place[:, None] + entry[5])
    # one pixel of fill all around, to which every place outside is brought
    index = y.bitwise_right_shift_(_BITS).clamp_(-1, side).mul_(side + 2)
    index.add_(x.bitwise_right_shift_(_BITS).clamp_(-1, side)).add_(side + 3)
    framed = functional.pad(levels, (1, 1, 1, 1), value=fill).view(images, channels, -1)
    flat = index.view(images, 1, -1).long().expand(-1, channels, -1)
    return framed.gather(2, flat).view(levels.shape)


def shear_smoothly(levels: Tensor, tangent: Tensor, fill: float) -> Tensor:
    """Shear a batch vertically by bicubic interpolation; outside becomes ``fill``.

    tangent: float64, shape (images,).
    """
    images, channels, side, _ = levels.shape
    place = torch.arange(side, device=levels.device, dtype=torch.float64) + 0.5
    y = tangent[:, None, None] * place + place[:, None]
    inside = ((y >= 0) & (y < side)).double().view(images, 1, -1)
    floor = (y - 0.5).floor_()
    d = (y - 0.5).sub_(floor).view(images, 1, -1)
    column = torch.arange(side, device=levels.device)
    flat = levels.view(images, channels, -1)

    def tap(offset: int) -> Tensor:
        index = (floor + offset).clamp_(0, side - 1).mul_(side).add_(column).long()
        return flat.gather(2, index.view(images, 1, -1).expand_as(flat)).double()

    a, b, c, e = (tap(offset) for offset in (-1, 0, 1, 2))
    # Keys' kernel with -1/2, summed in Pillow's order, which cuts fractions off
    cubic = (b - a).sub_(c).add_(e).mul_(d)
    square = (a - b).mul_(2).add_(c).sub_(e)
    mixed = cubic.add_(square).mul_(d).add_(c.sub_(a)).mul_(d).add_(b).clamp_(0, 255).floor_()
    return mixed.sub_(fill).mul_(inside).add_(fill).float().view(levels.shape)
