"""The recipes of Guo et al. 2024 for CIFAR, weak and strong, as their published code has them."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from collect.augmentation import crop, geometry
from collect.augmentation.crop import Crops
from collect.augmentation.operations import TOP, Kind, Steps, levels_of, no_steps, perform
from store.augmentations import PUBLISHED_NAMES, Published, PublishedImageNet, refused_strength

Floats = NDArray[np.float64]

ROTATION_DEGREES: Final = 15.0
OUTSIDE_WEAK: Final = 0.0
OUTSIDE_STRONG: Final = 128.0

SUBPOLICIES: Final = (
    (("Invert", 0.1, 0), ("Contrast", 0.2, 6)),
    (("Rotate", 0.7, 2), ("TranslateX", 0.3, 9)),
    (("Sharpness", 0.8, 1), ("Sharpness", 0.9, 3)),
    (("ShearY", 0.5, 8), ("TranslateY", 0.7, 9)),
    (("AutoContrast", 0.5, 0), ("Equalize", 0.9, 0)),
    (("ShearY", 0.2, 7), ("Posterize", 0.3, 7)),
    (("Color", 0.4, 3), ("Brightness", 0.6, 7)),
    (("Sharpness", 0.3, 9), ("Brightness", 0.7, 9)),
    (("Equalize", 0.6, 0), ("Equalize", 0.5, 0)),
    (("Contrast", 0.6, 7), ("Sharpness", 0.6, 5)),
    (("Color", 0.7, 7), ("TranslateX", 0.5, 8)),
    (("Equalize", 0.3, 0), ("AutoContrast", 0.4, 0)),
    (("TranslateY", 0.4, 3), ("Sharpness", 0.2, 6)),
    (("Brightness", 0.9, 6), ("Color", 0.2, 8)),
    (("Solarize", 0.5, 2), ("Invert", 0.0, 0)),
    (("Equalize", 0.2, 0), ("AutoContrast", 0.6, 0)),
    (("Equalize", 0.2, 0), ("Equalize", 0.6, 0)),
    (("Color", 0.9, 9), ("Equalize", 0.6, 0)),
    (("AutoContrast", 0.8, 0), ("Solarize", 0.2, 8)),
    (("Brightness", 0.1, 3), ("Color", 0.7, 0)),
    (("Solarize", 0.4, 5), ("AutoContrast", 0.9, 0)),
    (("TranslateY", 0.9, 9), ("TranslateY", 0.7, 9)),
    (("AutoContrast", 0.9, 0), ("Solarize", 0.8, 3)),
    (("Equalize", 0.8, 0), ("Invert", 0.1, 0)),
    (("TranslateY", 0.7, 9), ("AutoContrast", 0.9, 0)),
)
"""Operation, probability and magnitude of 0 to 9. Source: Cubuk et al. (2019), table 7."""

_BLENDS: Final = {
    "Brightness": Kind.BRIGHTNESS,
    "Color": Kind.COLOUR,
    "Contrast": Kind.CONTRAST,
    "Sharpness": Kind.SHARPNESS,
}
_WITHOUT_MAGNITUDE: Final = {
    "AutoContrast": Kind.AUTOCONTRAST,
    "Equalize": Kind.EQUALIZE,
    "Invert": Kind.INVERT,
}
_CROP: Final = slice(0, crop.UNIFORMS)
(_FLIP, _ROTATION, _SUBPOLICY, *_REST) = range(crop.UNIFORMS, crop.UNIFORMS + 9)
_HAPPENS: Final = _REST[0:2]
_SIGN: Final = _REST[2:4]
_CUTOUT: Final = _REST[4:6]


@dataclass(frozen=True, slots=True)
class PublishedChoices:
    """What each image undergoes, in this order; None where a recipe has no such part.

    cutout: rows from and to, columns from and to, int64, shape (images, 4).
    """

    crops: Crops | None
    steps: Steps
    cutout: NDArray[np.int64] | None

    def apply(self, images: Tensor, rows: NDArray[np.int64]) -> Tensor:
        """See ``policy.Choices``."""
        if self.crops is None:
            levels = levels_of(images)
        else:
            whole = images if images.dtype == torch.uint8 else levels_of(images)
            levels = crop.resample(whole, self.crops, rows)
        levels = perform(levels, self.steps, rows)
        if self.cutout is not None:
            levels.mul_(_kept(self.cutout[rows], levels.shape[-1], levels.device))
        return levels.div_(TOP)


class PublishedPolicy:
    """Weak: crop, flip, rotation. Strong: the same crop and flip, AutoAugment, cutout."""

    uniforms = crop.UNIFORMS + 9

    def __init__(self, declared: Published, side: int) -> None:
        self._declared = declared
        self._side = side

    def choose(self, uniforms: Floats, strength: float) -> PublishedChoices:
        """Turn uniforms, shape (images, uniforms), into one of the recipes.

        Raises ValueError for a strength that has no name.
        """
        name = recipe_name(self._declared, strength)
        if name == "none":
            return PublishedChoices(None, no_steps(len(uniforms), 0, OUTSIDE_WEAK), None)
        crops = crop.choose_crops(uniforms[:, _CROP], uniforms[:, _FLIP] < 0.5, self._side)
        if name == "weak":
            return PublishedChoices(crops, _rotations(uniforms[:, _ROTATION], self._side), None)
        steps = autoaugment(
            uniforms[:, _SUBPOLICY], uniforms[:, _HAPPENS], uniforms[:, _SIGN], self._side
        )
        half = self._declared.cutout_pixels // 2
        centre = (uniforms[:, _CUTOUT] * self._side).astype(np.int64)
        square = np.stack([centre - half, centre + half], axis=-1).reshape(-1, 4)
        return PublishedChoices(crops, steps, square)


def recipe_name(declared: Published | PublishedImageNet, strength: float) -> str:
    """Return the name that a strength stands for. Raises ValueError where it has none."""
    refused = refused_strength(declared, strength)
    if refused:
        raise ValueError(refused)
    return PUBLISHED_NAMES[strength]


def _rotations(uniforms: Floats, side: int) -> Steps:
    steps = no_steps(len(uniforms), 1, OUTSIDE_WEAK)
    degrees = ROTATION_DEGREES * (2 * uniforms - 1)
    steps.kind[:] = Kind.MOVE
    steps.matrix[:, 0] = geometry.fixed_point(geometry.rotation(degrees, side))
    return steps


def autoaugment(which: Floats, happens: Floats, sign: Floats, side: int) -> Steps:
    """Turn uniforms into operations of the AutoAugment policy learned on CIFAR-10.

    which: shape (images,), one of 25 sub-policies, equally likely. happens, sign: of its two
    operations, shape (images, 2).
    """
    steps = no_steps(len(which), 2, OUTSIDE_STRONG)
    chosen = (which * len(SUBPOLICIES)).astype(np.int64)
    for number, subpolicy in enumerate(SUBPOLICIES):
        of_it = chosen == number
        for step, (name, probability, magnitude) in enumerate(subpolicy):
            members = np.flatnonzero(of_it & (happens[:, step] < probability))
            signs = np.where(sign[members, step] < 0.5, -1.0, 1.0)
            _set(steps, members, step, name, magnitude / 9, signs, side)
    return steps


def _set(
    steps: Steps,
    members: NDArray[np.int64],
    step: int,
    name: str,
    share: float,
    signs: Floats,
    side: int,
) -> None:
    """Let an operation be a step of some images. share: of its largest magnitude."""
    still = np.zeros_like(signs)
    amount, matrix = still, None
    match name:
        case "ShearY":
            kind, amount = Kind.SHEAR_Y_SMOOTHLY, 0.3 * share * signs
        case "TranslateX":
            kind, matrix = Kind.MOVE, geometry.shift(150 / 331 * share * side * signs, still)
        case "TranslateY":
            kind, matrix = Kind.MOVE, geometry.shift(still, 150 / 331 * share * side * signs)
        case "Rotate":
            # always counter-clockwise: the published code draws no sign here
            kind, matrix = Kind.MOVE, geometry.rotation(np.full_like(signs, 30 * share), side)
        case "Posterize":
            kind, amount = Kind.POSTERIZE, np.full_like(signs, np.rint(8 - 4 * share))
        case "Solarize":
            kind, amount = Kind.SOLARIZE, np.full_like(signs, 256 * (1 - share))
        case _ if name in _BLENDS:
            kind, amount = _BLENDS[name], 1 + 0.9 * share * signs
        case _:
            kind = _WITHOUT_MAGNITUDE[name]
    steps.kind[members, step] = kind
    steps.amount[members, step] = amount
    if matrix is not None:
        steps.matrix[members, step] = geometry.fixed_point(matrix)


def _kept(edges: NDArray[np.int64], side: int, device: torch.device) -> Tensor:
    """Return 0 inside each image's square, 1 outside, float32, shape (batch, 1, side, side)."""
    place = np.arange(side)
    inside = (place >= edges[:, 0::2, None]) & (place < edges[:, 1::2, None])
    down, across = torch.from_numpy(inside.astype(np.float32)).to(device).unbind(1)
    return (1 - down[:, :, None] * across[:, None, :])[:, None]
