"""RandAugment and TrivialAugment: operations drawn alike, magnitudes on torchvision's 31 bins."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from collect.augmentation import geometry
from collect.augmentation.operations import TOP, Kind, Steps, levels_of, no_steps, perform
from store.augmentations import RandAugment, TrivialAugment

Floats = NDArray[np.float64]

OPERATIONS: Final = (
    "Identity",
    "ShearX",
    "ShearY",
    "TranslateX",
    "TranslateY",
    "Rotate",
    "Brightness",
    "Color",
    "Contrast",
    "Sharpness",
    "Posterize",
    "Solarize",
    "AutoContrast",
    "Equalize",
)
BINS: Final = 31
_KINDS: Final = {
    "Brightness": Kind.BRIGHTNESS,
    "Color": Kind.COLOUR,
    "Contrast": Kind.CONTRAST,
    "Sharpness": Kind.SHARPNESS,
    "Posterize": Kind.POSTERIZE,
    "Solarize": Kind.SOLARIZE,
    "AutoContrast": Kind.AUTOCONTRAST,
    "Equalize": Kind.EQUALIZE,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranges:
    """What the last bin stands for; the first is no change.

    shear: a tangent. translate: pixels. rotate: degrees. blend: change of the factor 1. bits:
    how many posterize takes away.
    """

    shear: float
    translate: float
    rotate: float
    blend: float
    bits: int


def randaugment_ranges(side: int) -> Ranges:
    """Ranges of RandAugment, for images of a side in pixels."""
    return Ranges(shear=0.3, translate=150 / 331 * side, rotate=30, blend=0.9, bits=4)


TRIVIAL_RANGES: Final = Ranges(shear=0.99, translate=32, rotate=135, blend=0.99, bits=6)
"""Ranges of TrivialAugment, wide. The translation is 32 pixels whatever the image's size."""


@dataclass(frozen=True, slots=True)
class RandomizedChoices:
    """What each image undergoes. mirrored: bool, shape (images,), or None where none is."""

    mirrored: NDArray[np.bool_] | None
    steps: Steps

    def apply(self, images: Tensor, rows: NDArray[np.int64]) -> Tensor:
        """See ``policy.Choices``."""
        levels = levels_of(images)
        if self.mirrored is not None:
            mirrored = torch.from_numpy(self.mirrored[rows]).to(images.device)
            levels = torch.where(mirrored[:, None, None, None], levels.flip(3), levels)
        return perform(levels, self.steps, rows).div_(TOP).contiguous()


class RandAugmentPolicy:
    """``num_ops`` operations, drawn with replacement, at magnitude 30 x strength."""

    def __init__(self, declared: RandAugment, side: int) -> None:
        self._declared = declared
        self._side = side

    @property
    def uniforms(self) -> int:
        """Of every operation its name and sign, then the flip."""
        return 2 * self._declared.num_ops + 1

    def choose(self, uniforms: Floats, strength: float) -> RandomizedChoices:
        """Turn uniforms, shape (images, uniforms), into what is done at a strength."""
        names, signs = uniforms[:, 0:-1:2], uniforms[:, 1:-1:2]
        bins = np.full_like(names, (BINS - 1) * strength)
        ranges = randaugment_ranges(self._side)
        return RandomizedChoices(
            _mirrored(uniforms[:, -1], strength, flips=self._declared.horizontal_flip),
            _steps(names, signs, bins, ranges, self._side, strength),
        )


class TrivialAugmentPolicy:
    """One operation at a magnitude drawn from the first ``strength`` of its range."""

    uniforms = 4
    """The operation's name, sign and bin, then the flip."""

    def __init__(self, declared: TrivialAugment, side: int) -> None:
        self._declared = declared
        self._side = side

    def choose(self, uniforms: Floats, strength: float) -> RandomizedChoices:
        """Turn uniforms, shape (images, uniforms), into what is done at a strength."""
        bins = np.floor(BINS * uniforms[:, 2:3]) * strength
        return RandomizedChoices(
            _mirrored(uniforms[:, -1], strength, flips=self._declared.horizontal_flip),
            _steps(uniforms[:, :1], uniforms[:, 1:2], bins, TRIVIAL_RANGES, self._side, strength),
        )


def _mirrored(uniforms: Floats, strength: float, *, flips: bool) -> NDArray[np.bool_] | None:
    return uniforms < strength / 2 if flips and strength > 0 else None


def _steps(
    names: Floats, signs: Floats, bins: Floats, ranges: Ranges, side: int, strength: float
) -> Steps:
    """Turn uniforms and bins, shape (images, steps), into steps; none at strength 0.

    bins: from 0 to 30; between two whole ones magnitudes are interpolated.
    """
    steps = no_steps(*names.shape, fill=0)
    if strength == 0:
        return steps
    drawn = (names * len(OPERATIONS)).astype(np.int64)
    negative = signs < 0.5
    for number, name in enumerate(OPERATIONS):
        members = drawn == number
        bin_, sign = bins[members], np.where(negative[members], -1.0, 1.0)
        if name in _KINDS:
            steps.kind[members] = _KINDS[name]
            steps.amount[members] = _amount(name, bin_, sign, ranges)
        elif name != "Identity":
            steps.kind[members] = Kind.MOVE
            matrix = _matrix(name, bin_, sign, ranges, side)
            steps.matrix[members] = geometry.fixed_point(matrix)
    return steps


def _amount(name: str, bins: Floats, sign: Floats, ranges: Ranges) -> Floats:
    match name:
        case "Posterize":
            return 8 - np.rint(bins / ((BINS - 1) / ranges.bits))
        case "Solarize":
            return TOP - _at(bins, TOP)
        case "AutoContrast" | "Equalize":
            return np.zeros_like(bins)
        case _:
            return 1 + sign * _at(bins, ranges.blend)


def _matrix(name: str, bins: Floats, sign: Floats, ranges: Ranges, side: int) -> Floats:
    still = np.zeros_like(bins)
    # torchvision drops the fraction of a pixel, and names the direction that the image moves in
    pixels = -np.trunc(sign * _at(bins, ranges.translate))
    matrices: Mapping[str, Floats] = {
        "ShearX": geometry.shear(sign * _at(bins, ranges.shear), still),
        "ShearY": geometry.shear(still, sign * _at(bins, ranges.shear)),
        "TranslateX": geometry.shift(pixels, still),
        "TranslateY": geometry.shift(still, pixels),
        "Rotate": geometry.rotation(sign * _at(bins, ranges.rotate), side),
    }
    return matrices[name]


def _at(bins: Floats, top: float) -> Floats:
    """Magnitudes of bins: torchvision's, in float32 as there, and on the line between them."""
    magnitudes = torch.linspace(0, top, BINS).numpy().astype(np.float64)
    return np.interp(bins, np.arange(BINS), magnitudes)
