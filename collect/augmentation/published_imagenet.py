"""The recipes of Guo et al. 2024 for ImageNet and its long-tailed version: strong contains weak.

Strong adds RandAugment in the form of Ross Wightman's timm (``rand-n2-m10-mstd0.5``).
"""

from itertools import permutations
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from collect.augmentation import crop, geometry
from collect.augmentation.operations import Kind, Steps, no_steps
from collect.augmentation.published import PublishedChoices, recipe_name
from store.augmentations import PublishedImageNet

Floats = NDArray[np.float64]

SMALLEST_AREA: Final = 0.08
JITTER: Final = 0.4
OUTSIDE: Final = (124.0, 116.0, 104.0)
"""The mean colour of ImageNet."""

OPERATIONS: Final = (
    "AutoContrast",
    "Equalize",
    "Invert",
    "Rotate",
    "Posterize",
    "Solarize",
    "SolarizeAdd",
    "Color",
    "Contrast",
    "Brightness",
    "Sharpness",
    "ShearX",
    "ShearY",
    "TranslateX",
    "TranslateY",
)
"""Equally likely, drawn with replacement."""

DRAWN: Final = 2
PROBABILITY: Final = 0.5
MAGNITUDE: Final = 10.0
"""Mean of the magnitudes and the largest: what is drawn above it is cut down to it."""
DEVIATION: Final = 0.5

_ORDERS: Final = np.array(
    list(permutations((Kind.BRIGHTNESS, Kind.CONTRAST, Kind.COLOUR))), np.uint8
)
_KINDS: Final = {
    "AutoContrast": Kind.AUTOCONTRAST,
    "Equalize": Kind.EQUALIZE,
    "Invert": Kind.INVERT,
    "Posterize": Kind.POSTERIZE,
    "Solarize": Kind.SOLARIZE,
    "SolarizeAdd": Kind.SOLARIZE_ADD,
    "Color": Kind.COLOUR,
    "Contrast": Kind.CONTRAST,
    "Brightness": Kind.BRIGHTNESS,
    "Sharpness": Kind.SHARPNESS,
}
_JITTERS: Final = _ORDERS.shape[1]
_CROP: Final = slice(0, crop.UNIFORMS)
(_FLIP, _ORDER, *_REST) = range(crop.UNIFORMS, crop.UNIFORMS + 2 + _JITTERS + 5 * DRAWN)
_FACTORS: Final = _REST[:_JITTERS]
_RANDAUGMENT: Final = _REST[_JITTERS:]


class PublishedImageNetPolicy:
    """Weak: crop, flip, colour jitter. Strong: the same three, then RandAugment."""

    uniforms = crop.UNIFORMS + 2 + _JITTERS + 5 * DRAWN
    """The crop, flip, order and factors of the jitter; see ``randaugment``."""

    def __init__(self, declared: PublishedImageNet, side: int) -> None:
        self._declared = declared
        self._side = side

    def choose(self, uniforms: Floats, strength: float) -> PublishedChoices:
        """Turn uniforms, shape (images, uniforms), into one of the recipes.

        Raises ValueError for a strength that has no name.
        """
        name = recipe_name(self._declared, strength)
        if name == "none":
            return PublishedChoices(None, no_steps(len(uniforms), 0, OUTSIDE), None)
        crops = crop.choose_crops(
            uniforms[:, _CROP],
            uniforms[:, _FLIP] < 0.5,
            self._side,
            smallest=SMALLEST_AREA,
            kernel=crop.Kernel.BILINEAR,
        )
        steps = no_steps(len(uniforms), _JITTERS + (DRAWN if name == "strong" else 0), OUTSIDE)
        _jitter(steps, uniforms[:, _ORDER], uniforms[:, _FACTORS])
        if name == "strong":
            _randaugment(steps, uniforms[:, _RANDAUGMENT], self._side)
        return PublishedChoices(crops, steps, None)


def _jitter(steps: Steps, order: Floats, factors: Floats) -> None:
    """Let the first steps be brightness, contrast and colour in one of their six orders.

    order: shape (images,). factors: in the order in which they are applied, shape (images, 3).
    """
    steps.kind[:, :_JITTERS] = _ORDERS[(order * len(_ORDERS)).astype(np.int64)]
    steps.amount[:, :_JITTERS] = 1 - JITTER + 2 * JITTER * factors


def _randaugment(steps: Steps, uniforms: Floats, side: int) -> None:
    """Let the last steps be operations drawn alike, each with its probability.

    uniforms: name, whether it happens, magnitude, sign and kernel of each, of shape
    (images, 5 DRAWN).
    """
    names, happens, normal, sign, kernel = (
        uniforms[:, part * DRAWN : (part + 1) * DRAWN] for part in range(5)
    )
    drawn = (names * len(OPERATIONS)).astype(np.int64)
    signs = np.where(sign < 0.5, -1.0, 1.0)
    kinds = np.where(kernel < 0.5, Kind.MOVE_BILINEAR, Kind.MOVE_BICUBIC)
    shares = magnitudes(normal) / MAGNITUDE
    for number, name in enumerate(OPERATIONS):
        image, step = np.nonzero((drawn == number) & (happens < PROBABILITY))
        share, last = shares[image, step], step + _JITTERS
        if name in _KINDS:
            steps.kind[image, last] = _KINDS[name]
            steps.amount[image, last] = _amount(name, share)
        else:
            steps.kind[image, last] = kinds[image, step]
            steps.smooth[image, last] = _matrix(name, share, signs[image, step], side)


def magnitudes(uniforms: Floats) -> Floats:
    """Turn uniforms into magnitudes: normal, cut off to 0 to 10, so that half of them are 10."""
    normal = torch.special.ndtri(torch.from_numpy(np.ascontiguousarray(uniforms))).numpy()
    return np.clip(MAGNITUDE + DEVIATION * normal, 0, MAGNITUDE)


def _amount(name: str, share: Floats) -> Floats:
    """Amounts of an operation at a share of the largest magnitude: no sign is drawn."""
    match name:
        case "Posterize":
            return np.floor(share * 4)
        case "Solarize":
            return np.floor(share * 256)
        case "SolarizeAdd":
            return np.floor(share * 110)
        case "AutoContrast" | "Equalize" | "Invert":
            return np.zeros_like(share)
        case _:
            return share * 1.8 + 0.1


def _matrix(name: str, share: Floats, signs: Floats, side: int) -> Floats:
    """Matrices of a move at a share of the largest magnitude, shape (images, 6)."""
    still = np.zeros_like(share)
    match name:
        case "Rotate":
            # Pillow turns by what is left of whole turns
            return geometry.rotation(np.mod(share * 30 * signs, 360), side)
        case "ShearX":
            return geometry.shear(share * 0.3 * signs, still)
        case "ShearY":
            return geometry.shear(still, share * 0.3 * signs)
        case "TranslateX":
            return geometry.shift(share * 0.45 * signs * side, still)
        case "TranslateY":
            return geometry.shift(still, share * 0.45 * signs * side)
        case _:
            raise ValueError(f"{name} is no move")
