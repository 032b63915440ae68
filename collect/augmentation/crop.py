"""Random resized crops, mirrored or not: chosen as torchvision does, resampled as Pillow does."""

from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

ATTEMPTS: Final = 10
UNIFORMS: Final = 2 * ATTEMPTS + 2
"""Area and ratio of every attempt, then the place, top and left."""

_LOG_RATIO: Final = (float(np.log(3 / 4)), float(np.log(4 / 3)))
_TAPS: Final = 5
_PART: Final = 64
_WEIGHT_BITS: Final = 15
"""Weights are so many binary places long: then every sum of weighted levels is exact in
float32, so that it depends on no order of summation, no batch and no device."""


class Kernel(StrEnum):
    """What weighs the pixels that a scaled one is made of."""

    BILINEAR = "bilinear"
    BICUBIC = "bicubic"


@dataclass(frozen=True, slots=True)
class Crops:
    """Boxes in pixels, int64, and whether each is mirrored, bool; all of shape (images,).

    kernel: by which they are scaled.
    """

    top: NDArray[np.int64]
    left: NDArray[np.int64]
    height: NDArray[np.int64]
    width: NDArray[np.int64]
    mirrored: NDArray[np.bool_]
    kernel: Kernel = Kernel.BICUBIC


@dataclass(frozen=True, slots=True)
class _Kernels:
    """Taps by length of the line, unmirrored then mirrored.

    weights: float32; first: int64; both of shape (2 (side + 1), side, _TAPS).
    """

    weights: Tensor
    first: Tensor


def choose_crops(
    uniforms: NDArray[np.float64],
    mirrored: NDArray[np.bool_],
    side: int,
    *,
    smallest: float = 0.2,
    kernel: Kernel = Kernel.BICUBIC,
) -> Crops:
    """Turn uniforms into boxes as torchvision's RandomResizedCrop does.

    uniforms: shape (images, UNIFORMS). The area is uniform on ``smallest`` to 1, the ratio of
    width to height log-uniform on 3/4 to 4/3; a box that does not fit is drawn again, ten times
    at most, after which it is the whole image.
    """
    height = np.full(len(uniforms), side, np.int64)
    width = height.copy()
    pending = np.arange(len(uniforms))
    for attempt in range(ATTEMPTS):
        area, ratio = uniforms[pending, 2 * attempt], uniforms[pending, 2 * attempt + 1]
        area = side * side * (smallest + area * (1 - smallest))
        ratio = np.exp(_LOG_RATIO[0] + ratio * (_LOG_RATIO[1] - _LOG_RATIO[0]))
        wide, high = np.rint(np.sqrt(area * ratio)), np.rint(np.sqrt(area / ratio))
        fits = (wide >= 1) & (wide <= side) & (high >= 1) & (high <= side)
        width[pending[fits]], height[pending[fits]] = wide[fits], high[fits]
        pending = pending[~fits]
        if not len(pending):
            break
    place = uniforms[:, -2:]
    return Crops(
        top=(place[:, 0] * (side - height + 1)).astype(np.int64),
        left=(place[:, 1] * (side - width + 1)).astype(np.int64),
        height=height,
        width=width,
        mirrored=mirrored,
        kernel=kernel,
    )


def resample(images: Tensor, crops: Crops, rows: NDArray[np.int64]) -> Tensor:
    """Cut out each image's box and scale it to the image's side, by the crops' kernel.

    images: levels, uint8 or float32, shape (batch, channels, side, side). Columns first, then
    rows, rounded and clipped to levels after each, as Pillow does. Returns a new float32 tensor.
    """
    batch, channels, side, _ = images.shape
    table = _kernels(side, crops.kernel)
    scaled = images.new_empty((batch * channels, side, side), dtype=torch.float32)
    # a part at a time in the same memory, so that what lies between stays in the cache
    size = min(_PART, batch)
    lines, wide, tall = (scaled.new_empty((size, channels, side, side)) for _ in range(3))
    for start in range(0, batch, size):
        part = slice(start, min(start + size, batch))
        count = part.stop - part.start
        across, down = _weights(table, crops, rows[part], images.device)
        seen = lines[:count].copy_(images[part]).view(count, -1, side)
        between = wide[:count].view(count, -1, side)
        _rounded(torch.bmm(seen, across.mT, out=between))
        each = tall[:count].copy_(down[:, None].expand(-1, channels, -1, -1))
        out = scaled[part.start * channels : part.stop * channels]
        _rounded(torch.bmm(each.view(out.shape), between.view(out.shape), out=out))
    return scaled.view(images.shape)


def _rounded(values: Tensor) -> Tensor:
    return values.clamp_(0, 255).add_(0.5).floor_()


def _weights(
    table: _Kernels, crops: Crops, rows: NDArray[np.int64], device: torch.device
) -> tuple[Tensor, Tensor]:
    """Matrices from lines of the image to scaled lines, across and down.

    Both of shape (batch, side, side).
    """
    side = table.weights.shape[1]
    mirrored = crops.mirrored[rows] * (side + 1)
    length = np.concatenate([crops.width[rows] + mirrored, crops.height[rows]])
    start = torch.from_numpy(np.concatenate([crops.left[rows], crops.top[rows]]))
    row = torch.from_numpy(length)
    first = table.first.index_select(0, row).add_(start[:, None, None]).to(device)
    weights = table.weights.index_select(0, row).to(device)
    # taps beyond the image have no weight; they fall into the margin
    matrix = weights.new_zeros(len(start), side, side + _TAPS)
    matrix = matrix.scatter_(2, first, weights)[..., :side]
    return matrix[: len(rows)], matrix[len(rows) :]


@cache
def _kernels(side: int, kernel: Kernel) -> _Kernels:
    """Tabulate how lines of 1 to ``side`` pixels are scaled to ``side`` pixels."""
    weights = np.zeros((2, side + 1, side, _TAPS))
    first = np.zeros((2, side + 1, side, 1), np.int64)
    for length in range(1, side + 1):
        one, start = _taps(length, side, kernel)
        weights[0, length], first[0, length, :, 0] = one, start
        weights[1, length], first[1, length, :, 0] = one[::-1], start[::-1]
    return _Kernels(
        torch.from_numpy(weights.reshape(-1, side, _TAPS).astype(np.float32)),
        torch.from_numpy((first + np.arange(_TAPS)).reshape(-1, side, _TAPS)),
    )


def _taps(length: int, side: int, kernel: Kernel) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Weights, shape (side, _TAPS), and first taps of a line that is made longer."""
    weigh, reach = (_keys, 2) if kernel is Kernel.BICUBIC else (_triangle, 1)
    centre = (np.arange(side) + 0.5) * length / side
    start = np.maximum((centre - reach + 0.5).astype(np.int64), 0)
    end = np.minimum((centre + reach + 0.5).astype(np.int64), length)
    taps = start[:, None] + np.arange(_TAPS)
    weights = weigh(taps - centre[:, None] + 0.5) * (taps < end[:, None])
    weights /= weights.sum(axis=1, keepdims=True)
    whole = np.rint(weights * 2**_WEIGHT_BITS)
    # they add up to 1, so that a plain surface stays as it is
    largest = whole.argmax(axis=1)
    whole[np.arange(side), largest] += 2**_WEIGHT_BITS - whole.sum(axis=1)
    return whole / 2**_WEIGHT_BITS, start


def _keys(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Keys' cubic kernel with a = -1/2, of reach 2. Source: Keys (1981)."""
    x = np.abs(distance)
    near = (1.5 * x - 2.5) * x * x + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return np.where(x < 1, near, np.where(x < 2, far, 0.0))


def _triangle(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Linear interpolation, of reach 1."""
    return np.maximum(1 - np.abs(distance), 0.0)
