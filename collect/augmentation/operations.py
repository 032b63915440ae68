"""The operations of AutoAugment and its kin, on batches, each image with its own amount.

Levels are whole numbers from 0 to 255 held in float32, shape (images, channels, side, side),
with one or three channels. Every operation gives the levels that Pillow gives for the same
image and amount, since the policies' published code is Pillow's: the arithmetic below keeps
its order, its precision and its cutting off of fractions.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from functools import partial
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from collect.augmentation.geometry import move, move_smoothly, shear_smoothly

TOP: Final = 255.0

Fill = float | tuple[float, float, float]
"""A level, or a colour as levels of red, green and blue."""


class Kind(IntEnum):
    """What an operation does, and what its amount means."""

    IDENTITY = 0
    BRIGHTNESS = 1
    """Amount: the factor, 1 changes nothing. So of contrast, colour and sharpness."""
    INVERT = 2
    CONTRAST = 3
    COLOUR = 4
    SHARPNESS = 5
    POSTERIZE = 6
    """Amount: the bits kept."""
    SOLARIZE = 7
    """Amount: the level from which levels are inverted."""
    AUTOCONTRAST = 8
    EQUALIZE = 9
    MOVE = 10
    """Nearest neighbours, by a matrix."""
    SHEAR_Y_SMOOTHLY = 11
    """Bicubic; amount: the tangent."""
    SOLARIZE_ADD = 12
    """Amount: what is added to the darker half of the levels, a whole number."""
    MOVE_BILINEAR = 13
    """Bilinear, by a smooth matrix."""
    MOVE_BICUBIC = 14
    """Bicubic, by a smooth matrix."""


_MIDDLE: Final = 128
_BLENDS: Final = slice(Kind.BRIGHTNESS, Kind.SHARPNESS + 1)
_APART: Final = tuple(kind for kind in Kind if kind > Kind.SHARPNESS)


@dataclass(frozen=True, slots=True)
class Steps:
    """What each image undergoes, step after step.

    kind: values of ``Kind``, uint8, shape (images, steps). amount: float64, the same shape.
    matrix: of the steps that move to the nearest pixel, as ``geometry.fixed_point`` gives it,
    int32, shape (images, steps, 6). smooth: of the steps that move between pixels, as
    ``geometry`` gives it, float64, the same shape. fill: what comes in from outside the image, a
    level or a colour, of which an image of one channel gets the luminance.
    """

    kind: NDArray[np.uint8]
    amount: NDArray[np.float64]
    matrix: NDArray[np.int32]
    smooth: NDArray[np.float64]
    fill: Fill


def no_steps(images: int, steps: int, fill: Fill) -> Steps:
    """Return steps that change nothing, to be filled in."""
    return Steps(
        np.zeros((images, steps), np.uint8),
        np.zeros((images, steps)),
        # a system gives pages of zeros no memory before they are written to
        np.zeros((images, steps, 6), np.int32),
        np.zeros((images, steps, 6)),
        fill,
    )


def levels_of(images: Tensor) -> Tensor:
    """Turn uint8 pixels, or fractions in [0, 1] to the nearest level, into levels: a new tensor."""
    if images.dtype == torch.uint8:
        return images.float()
    return (images * TOP).round_()


def perform(levels: Tensor, steps: Steps, rows: NDArray[np.int64]) -> Tensor:
    """Apply the steps of some rows to a batch, which is overwritten; return the result."""
    for step in range(steps.kind.shape[1]):
        kinds = steps.kind[rows, step]
        # images that undergo the same are taken together; all blends are one piece of work
        order = np.argsort(kinds, kind="stable")
        counts = np.bincount(kinds, minlength=len(Kind))
        ends = np.cumsum(counts)
        blends = order[ends[Kind.IDENTITY] : ends[Kind.SHARPNESS]]
        if len(blends):
            factor = _amounts(steps, rows[blends], step, levels.device)
            blend = partial(_blend, factor=factor, counts=counts[_BLENDS])
            levels = _replaced(levels, blends, blend)
        for kind in _APART:
            if counts[kind]:
                members = order[ends[kind] - counts[kind] : ends[kind]]
                change = _change(kind, steps, rows[members], step, levels.device)
                levels = _replaced(levels, members, change)
    return levels


def _replaced(
    levels: Tensor, members: NDArray[np.int64], change: Callable[[Tensor], Tensor]
) -> Tensor:
    """Put the changed images in the places of those that they come from."""
    index = torch.from_numpy(members).to(levels.device)
    changed = change(levels.index_select(0, index))
    if len(members) == len(levels) and (members[:-1] < members[1:]).all():
        return changed
    return levels.index_copy_(0, index, changed)


def _amounts(steps: Steps, rows: NDArray[np.int64], step: int, device: torch.device) -> Tensor:
    """Amounts in float32, as Pillow blends with, shape (images, 1, 1, 1)."""
    amount = steps.amount[rows, step].astype(np.float32)
    return torch.from_numpy(amount).to(device)[:, None, None, None]


def _change(
    kind: Kind, steps: Steps, rows: NDArray[np.int64], step: int, device: torch.device
) -> Callable[[Tensor], Tensor]:
    """Return what an operation that is no blend does to the images of these rows."""
    match kind:
        case Kind.POSTERIZE:
            unit = torch.exp2(8 - _amounts(steps, rows, step, device))
            return lambda levels: levels.div_(unit).floor_().mul_(unit)
        case Kind.SOLARIZE:
            bound = _amounts(steps, rows, step, device).ceil_()
            return lambda levels: _solarized(levels, bound)
        case Kind.AUTOCONTRAST:
            return _stretched
        case Kind.EQUALIZE:
            return _equalized
        case Kind.MOVE:
            matrix = torch.from_numpy(steps.matrix[rows, step]).to(device)
            return lambda levels: move(levels, matrix, _outside(steps.fill, levels))
        case Kind.SHEAR_Y_SMOOTHLY:
            tangent = torch.from_numpy(steps.amount[rows, step]).to(device)
            return lambda levels: shear_smoothly(levels, tangent, _outside(steps.fill, levels))
        case Kind.SOLARIZE_ADD:
            added = _amounts(steps, rows, step, device)
            return lambda levels: _solarized_add(levels, added)
        case Kind.MOVE_BILINEAR | Kind.MOVE_BICUBIC:
            smooth = torch.from_numpy(steps.smooth[rows, step]).to(device)
            cubic = kind is Kind.MOVE_BICUBIC
            return lambda levels: move_smoothly(
                levels, smooth, _outside(steps.fill, levels), cubic=cubic
            )
        case _:
            raise ValueError(f"{kind.name} is a blend")


def _outside(fill: Fill, levels: Tensor) -> Tensor:
    """Return what comes in from outside images of so many channels, shape (channels, 1, 1)."""
    colour = fill if isinstance(fill, tuple) else (fill,) * 3
    outside = levels.new_tensor(colour)[:, None, None]
    return outside if levels.shape[1] == 3 else grey(outside[None])[0]


def _blend(levels: Tensor, factor: Tensor, counts: NDArray[np.int64]) -> Tensor:
    """From a degenerate version (factor 0) over the image itself (factor 1) and beyond.

    levels: images sorted by kind; counts: how many of each kind of ``_BLENDS``.
    """
    plain = torch.empty_like(levels)
    brightness, invert, contrast, colour, _ = (int(end) for end in np.cumsum(counts))
    plain[:brightness] = 0
    if invert > brightness:
        # reflected about the middle
        plain[brightness:invert] = TOP / 2
        factor[brightness:invert] = -1
    if colour > invert:
        luminance = grey(levels[invert:colour])
        means = luminance[: contrast - invert].mean(dim=(2, 3), keepdim=True, dtype=torch.float64)
        plain[invert:contrast] = means.add_(0.5).floor_().float()
        plain[contrast:colour] = luminance[contrast - invert :]
    if len(levels) > colour:
        _smooth(levels[colour:], out=plain[colour:])
    return _cut(levels.sub_(plain).mul_(factor).add_(plain))


def grey(levels: Tensor) -> Tensor:
    """Luminance, shape (images, 1, side, side): ITU-R 601-2 in 16 bits, as Pillow's mode L."""
    if levels.shape[1] == 1:
        return levels
    red, green, blue = levels.unbind(1)
    # below 2^24, so exact
    weighted = red.mul(19595).add_(green, alpha=38470).add_(blue, alpha=7471).add_(32768)
    return weighted.mul_(1 / 65536).floor_()[:, None]


def _cut(levels: Tensor) -> Tensor:
    # floor is as good as trunc here and many times as fast
    return levels.clamp_(0, TOP).floor_()


def _smooth(levels: Tensor, *, out: Tensor) -> None:
    """Mean of the neighbours and 5 times the pixel itself, rounded; the border stays."""
    side = levels.shape[-1]
    flat = levels.view(*levels.shape[:2], side * side)
    # sums in one line of pixels run over the edges, but only where the border comes back
    wide = (flat[..., :-2] + flat[..., 1:-1]).add_(flat[..., 2:])
    total = (wide[..., : -2 * side] + wide[..., side:-side]).add_(wide[..., 2 * side :])
    total.add_(flat[..., side + 1 : -side - 1], alpha=4)
    out.copy_(levels)
    # thirteenths are never halves, so that no rounding error can tip one
    out.view(flat.shape)[..., side + 1 : -side - 1] = total.mul_(1 / 13).round_()
    out[..., 0], out[..., -1] = levels[..., 0], levels[..., -1]


def _solarized(levels: Tensor, bound: Tensor) -> Tensor:
    """Invert the levels from ``bound``, a whole number, on."""
    inverted = (levels - (bound - 1)).clamp_(0, 1)
    return levels.add_(inverted.mul_(TOP - 2 * levels))


def _solarized_add(levels: Tensor, added: Tensor) -> Tensor:
    """Make the levels below the middle lighter, to white at most."""
    return torch.where(levels < _MIDDLE, (levels + added).clamp_(max=TOP), levels)


def _stretched(levels: Tensor) -> Tensor:
    """Each channel's darkest level to 0, its lightest to 255; a flat channel stays."""
    low = levels.amin(dim=(2, 3), keepdim=True).double()
    high = levels.amax(dim=(2, 3), keepdim=True).double()
    flat = high <= low
    # a number over a tensor would be its reciprocal, rounded, times the number
    scale = torch.where(flat, 1.0, torch.full_like(low, TOP) / (high - low))
    shift = torch.where(flat, 0.0, -low * scale)
    return _cut((levels * scale).add_(shift)).float()


def _equalized(levels: Tensor) -> Tensor:
    """Each channel's levels spread so that they are about equally common."""
    images, channels, side, _ = levels.shape
    planes = images * channels
    first = torch.arange(planes, dtype=torch.int32, device=levels.device).mul_(256)
    index = levels.view(planes, side * side).int().add_(first[:, None]).view(-1)
    counts = torch.bincount(index, minlength=planes * 256).view(planes, 256)
    # of the lightest level that is there: all others are counted before it
    last = counts.gather(1, levels.view(planes, -1).amax(dim=1, keepdim=True).long())
    step = (side * side - last) // 255
    before = counts.cumsum(1).sub_(counts).add_(step // 2).double()
    spread = before.div_(step.clamp(min=1)).floor_().clamp_(max=TOP)
    same = torch.arange(256, device=levels.device)
    table = torch.where(step > 0, spread, same).float().view(-1)
    return table.index_select(0, index).view(levels.shape)
