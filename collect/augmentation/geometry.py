"""Moving images: matrices as Pillow and torchvision make them, and resampling by them.

A matrix takes an output place to the input place that it is filled from, in pixels:
x = a X + b Y + c, y = d X + e Y + f, for places that are pixel numbers plus one half.
"""

from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Floats = NDArray[np.float64]

_ONE: Final = 65536.0
_BITS: Final = 16
_AT_ONCE: Final = {"cpu": 2**17, "cuda": 2**23}
"""Values that are interpolated together, so that what lies between stays in the cache."""


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


def move(levels: Tensor, matrix: Tensor, fill: Tensor) -> Tensor:
    """Resample a batch by nearest neighbours; what lies outside becomes ``fill``.

    matrix: from ``fixed_point``, int32, shape (images, 6). fill: shape (channels, 1, 1).
    """
    images, channels, side, _ = levels.shape
    place = torch.arange(side, dtype=torch.int32, device=levels.device)
    entry = matrix[:, :, None, None].unbind(1)
    x = (entry[0] * place) + (entry[1] * place[:, None] + entry[2])
    y = (entry[3] * place) + (entry[4] * place[:, None] + entry[5])
    # one pixel of fill all around, to which every place outside is brought
    index = y.bitwise_right_shift_(_BITS).clamp_(-1, side).mul_(side + 2)
    index.add_(x.bitwise_right_shift_(_BITS).clamp_(-1, side)).add_(side + 3)
    framed = fill.to(levels.dtype).expand(images, -1, side + 2, side + 2).contiguous()
    framed[..., 1:-1, 1:-1] = levels
    flat = index.view(images, 1, -1).long().expand(-1, channels, -1)
    return framed.view(images, channels, -1).gather(2, flat).view(levels.shape)


def move_smoothly(levels: Tensor, matrix: Tensor, fill: Tensor, *, cubic: bool) -> Tensor:
    """Resample a batch by bicubic or bilinear interpolation; outside becomes ``fill``.

    matrix: float64, shape (images, 6). fill: shape (channels, 1, 1).
    """
    size = max(1, _AT_ONCE.get(levels.device.type, _AT_ONCE["cuda"]) // levels[0].numel())
    parts = zip(levels.split(size), matrix.split(size), strict=True)
    moved = [_interpolated(part, places, fill, cubic=cubic) for part, places in parts]
    return torch.cat(moved) if len(moved) > 1 else moved[0]


def _interpolated(levels: Tensor, matrix: Tensor, fill: Tensor, *, cubic: bool) -> Tensor:
    images, channels, side, _ = levels.shape
    place = torch.arange(side, device=levels.device, dtype=torch.float64) + 0.5
    entry = matrix[:, :, None, None].unbind(1)
    x = (entry[0] * place + entry[1] * place[:, None]).add_(entry[2])
    y = (entry[3] * place + entry[4] * place[:, None]).add_(entry[5])
    inside = (x >= 0).logical_and_(x < side).logical_and_(y >= 0).logical_and_(y < side)
    column, row = x.sub_(0.5).floor(), y.sub_(0.5).floor()
    across, down = x.sub_(column).view(images, 1, -1), y.sub_(row).view(images, 1, -1)
    column, row = column.long(), row.long()
    reach, between = ((-1, 0, 1, 2), _cubic) if cubic else ((0, 1), _linear)
    columns = [(column + offset).clamp_(0, side - 1) for offset in reach]
    flat = levels.view(images, channels, -1)

    def line(offset: int) -> Tensor:
        start = (row + offset).clamp_(0, side - 1).mul_(side)
        index = ((start + tap).view(images, 1, -1).expand_as(flat) for tap in columns)
        return between([flat.gather(2, places).double() for places in index], across)

    mixed = between([line(offset) for offset in reach], down).clamp_(0, 255).floor_()
    return torch.where(inside[:, None], mixed.float().view(levels.shape), fill.float())


def _linear(taps: list[Tensor], d: Tensor) -> Tensor:
    """Between two taps, in Pillow's order."""
    a, b = taps
    return (b - a).mul_(d).add_(a)


def _cubic(taps: list[Tensor], d: Tensor) -> Tensor:
    """Between the middle two of four taps, which are overwritten.

    Keys' kernel with -1, where Pillow scales by the one with -1/2; summed in Pillow's order.
    """
    a, b, c, e = taps
    cubic = (b - a).sub_(c).add_(e).mul_(d)
    square = (a - b).mul_(2).add_(c).sub_(e)
    return cubic.add_(square).mul_(d).add_(c.sub_(a)).mul_(d).add_(b)


def shear_smoothly(levels: Tensor, tangent: Tensor, fill: Tensor) -> Tensor:
    """Shear a batch vertically by bicubic interpolation; outside becomes ``fill``.

    As ``move_smoothly`` would, faster. tangent: float64, shape (images,). fill: shape
    (channels, 1, 1).
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

    mixed = _cubic([tap(offset) for offset in (-1, 0, 1, 2)], d).clamp_(0, 255).floor_()
    outside = fill.double().view(channels, 1)
    return mixed.sub_(outside).mul_(inside).add_(outside).float().view(levels.shape)
