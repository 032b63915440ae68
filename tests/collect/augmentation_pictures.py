"""Images to augment, and the way to Pillow's pictures and back."""

import numpy as np
import torch
from PIL import Image

from collect.augmentation.policy import draw, policy_for
from store.augmentations import Augmentation

Pixels = np.ndarray

SIDE = 32


def pictures(channels: int, side: int, images: int = 40, seed: int = 0) -> Pixels:
    """Smooth patterns, pure noise, plain surfaces and narrow ranges, uint8."""
    rng = np.random.default_rng(seed)
    coarse = torch.from_numpy(rng.random((images, channels, 5, 5)) * 330 - 40)
    made = torch.nn.functional.interpolate(coarse, (side, side), mode="bicubic").clamp(0, 255)
    pixels = made.numpy().astype(np.uint8)
    pixels[0] = rng.integers(0, 256, pixels[0].shape)
    pixels[1] = 77
    pixels[2] = rng.integers(100, 104, pixels[2].shape)
    pixels[3] = rng.integers(0, 2, pixels[3].shape) * 255
    pixels[4, :, 1:] = 255
    return pixels


def shown(pixels: Pixels) -> Image.Image:
    """One image of shape (channels, side, side) as a picture."""
    return Image.fromarray(pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0))


def read(picture: Image.Image) -> Pixels:
    """The pixels of a picture, shape (channels, side, side)."""
    pixels = np.asarray(picture)
    return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)


def augmented(
    declared: Augmentation, pixels: Pixels, uniforms: np.ndarray, strength: float
) -> torch.Tensor:
    choices = policy_for(declared, pixels.shape[-1]).choose(uniforms, strength)
    return choices.apply(torch.from_numpy(pixels), np.arange(len(pixels)))


def uniforms_of(declared: Augmentation, images: int, side: int = SIDE) -> np.ndarray:
    return draw(policy_for(declared, side), np.random.default_rng(3), images)


def whole_levels(fractions: torch.Tensor) -> Pixels:
    levels = fractions * 255
    assert (levels - levels.round()).abs().max() < 1e-4
    return levels.round().numpy().astype(np.uint8)
