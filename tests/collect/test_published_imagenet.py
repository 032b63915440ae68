"""The published recipes for ImageNet, image by image, against Pillow's own operations."""

import numpy as np
import pytest
import torch
from augmentation_pictures import (
    SIDE,
    Pixels,
    augmented,
    pictures,
    read,
    shown,
    uniforms_of,
    whole_levels,
)
from PIL import Image, ImageEnhance, ImageOps

from collect.augmentation import crop
from collect.augmentation.operations import Kind
from collect.augmentation.policy import draw, policy_for
from collect.augmentation.published_imagenet import (
    OPERATIONS,
    PublishedImageNetPolicy,
    magnitudes,
)
from collect.torchvision_operators import import_torchvision
from store.augmentations import (
    PublishedImageNet,
)

import_torchvision()

IMAGENET = PublishedImageNet(policy="published_imagenet")


# places of the uniforms of the recipes for ImageNet
ORDER, FACTORS, RAND = 23, slice(24, 27), 27
ENHANCERS = {
    Kind.BRIGHTNESS: ImageEnhance.Brightness,
    Kind.CONTRAST: ImageEnhance.Contrast,
    Kind.COLOUR: ImageEnhance.Color,
}


def _cropped(pixels: Pixels, uniforms: np.ndarray) -> Pixels:
    """The images after the crop and flip that both recipes for ImageNet begin with."""
    crops = crop.choose_crops(
        uniforms[:, :22],
        uniforms[:, 22] < 0.5,
        pixels.shape[-1],
        smallest=0.08,
        kernel=crop.Kernel.BILINEAR,
    )
    levels = crop.resample(torch.from_numpy(pixels), crops, np.arange(len(pixels)))
    return levels.numpy().astype(np.uint8)


@pytest.mark.parametrize("channels", [1, 3])
def test_the_weak_recipe_is_crop_flip_and_pillows_jitter_in_any_order(channels: int):
    pixels = pictures(channels, SIDE, 60)
    uniforms = uniforms_of(IMAGENET, len(pixels))
    ours = whole_levels(augmented(IMAGENET, pixels, uniforms, 0.5))
    kinds = policy_for(IMAGENET, SIDE).choose(uniforms, 0.5).steps.kind
    assert len(np.unique(kinds, axis=0)) == 6
    for row, cropped in enumerate(_cropped(pixels, uniforms)):
        picture = shown(cropped)
        for kind, share in zip(kinds[row], uniforms[row, FACTORS], strict=True):
            picture = ENHANCERS[Kind(kind)](picture).enhance(0.6 + 0.8 * share)
        assert np.array_equal(ours[row], read(picture)), f"image {row}"


def _timm_operation(
    picture: Image.Image, name: str, magnitude: float, sign: float, kernel: Image.Resampling
) -> Image.Image:
    """One operation of timm's RandAugment, its ranges rising and falling as there."""
    share, side = magnitude / 10, picture.width
    mean = Image.new("RGB", (1, 1), (124, 116, 104)).convert(picture.mode).getpixel((0, 0))
    enhancers = {
        "Brightness": ImageEnhance.Brightness,
        "Color": ImageEnhance.Color,
        "Contrast": ImageEnhance.Contrast,
        "Sharpness": ImageEnhance.Sharpness,
    }
    matrices = {
        "ShearX": (1, sign * 0.3 * share, 0, 0, 1, 0),
        "ShearY": (1, 0, 0, sign * 0.3 * share, 1, 0),
        "TranslateX": (1, 0, sign * 0.45 * share * side, 0, 1, 0),
        "TranslateY": (1, 0, 0, 0, 1, sign * 0.45 * share * side),
    }
    match name:
        case "AutoContrast":
            return ImageOps.autocontrast(picture)
        case "Equalize":
            return ImageOps.equalize(picture)
        case "Invert":
            return ImageOps.invert(picture)
        case "Rotate":
            return picture.rotate(sign * 30 * share, resample=kernel, fillcolor=mean)
        case "Posterize":
            return ImageOps.posterize(picture, int(share * 4))
        case "Solarize":
            return ImageOps.solarize(picture, int(share * 256))
        case "SolarizeAdd":
            added = int(share * 110)
            table = [min(255, level + added) if level < 128 else level for level in range(256)]
            return picture.point(table * len(picture.getbands()))
        case _ if name in enhancers:
            return enhancers[name](picture).enhance(share * 1.8 + 0.1)
        case _:
            affine = Image.Transform.AFFINE
            return picture.transform(picture.size, affine, matrices[name], kernel, fillcolor=mean)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("side", [32, 20])
def test_the_strong_recipe_is_the_weak_one_then_timms_randaugment(channels: int, side: int):
    images = 400
    pixels = np.tile(pictures(channels, side), (10, 1, 1, 1))
    uniforms = uniforms_of(IMAGENET, images, side)
    # magnitudes of 7 to 10, half of them 10
    weak, strong = (
        whole_levels(augmented(IMAGENET, pixels, uniforms, strength)) for strength in (0.5, 1.0)
    )
    names, happens, normal, sign, kernel = np.split(uniforms[:, RAND:], 5, axis=1)
    drawn, magnitude = (names * len(OPERATIONS)).astype(int), magnitudes(normal)
    kernels = [Image.Resampling.BILINEAR, Image.Resampling.BICUBIC]
    for row in range(images):
        picture = shown(weak[row])
        for step in range(2):
            if happens[row, step] < 0.5:
                picture = _timm_operation(
                    picture,
                    OPERATIONS[drawn[row, step]],
                    magnitude[row, step],
                    -1 if sign[row, step] < 0.5 else 1,
                    kernels[int(kernel[row, step] >= 0.5)],
                )
        what = [OPERATIONS[one] for one in drawn[row]]
        assert np.array_equal(strong[row], read(picture)), f"{what} at {magnitude[row]}"


def test_the_strong_recipe_contains_the_weak_one():
    policy = PublishedImageNetPolicy(IMAGENET, SIDE)
    uniforms = draw(policy, np.random.default_rng(15), 1_000)
    weak, strong = (policy.choose(uniforms, strength) for strength in (0.5, 1.0))
    assert weak.crops is not None
    assert strong.crops is not None
    for part in ("top", "left", "height", "width", "mirrored"):
        assert np.array_equal(getattr(weak.crops, part), getattr(strong.crops, part))
    assert np.array_equal(weak.steps.kind, strong.steps.kind[:, :3])
    assert np.array_equal(weak.steps.amount, strong.steps.amount[:, :3])


def test_orders_operations_signs_and_kernels_come_as_often_as_published():
    policy = PublishedImageNetPolicy(IMAGENET, SIDE)
    images = 60_000
    steps = policy.choose(draw(policy, np.random.default_rng(16), images), 1.0).steps
    orders, counts = np.unique(steps.kind[:, :3], axis=0, return_counts=True)
    assert len(orders) == 6
    assert np.abs(counts / images - 1 / 6).max() < 4 * 0.0016
    factors = steps.amount[:, :3]
    assert (factors.min(), factors.max()) == pytest.approx((0.6, 1.4), abs=1e-4)
    assert factors.mean(axis=0) == pytest.approx([1, 1, 1], abs=4 * 0.8 / np.sqrt(12 * images))
    kinds = steps.kind[:, 3:]
    # standard error of a share of 1/30: .0005
    moves = [Kind.MOVE_BILINEAR, Kind.MOVE_BICUBIC]
    share = {Kind.IDENTITY: 1 / 2, **dict.fromkeys(moves, 5 / 60)}
    assert len(np.unique(kinds)) == 13
    for kind in np.unique(kinds):
        expected = share.get(kind, 1 / 30)
        error = np.sqrt(expected * (1 - expected) / kinds.size)
        assert abs((kinds == kind).mean() - expected) < 4 * error
    matrices = steps.smooth[:, 3:][np.isin(kinds, moves)]
    for entry in (1, 3):  # what shears and rotates
        forth, back = (matrices[:, entry] > 0).sum(), (matrices[:, entry] < 0).sum()
        assert abs(forth - back) < 4 * np.sqrt(forth + back)
    shifts = matrices[(matrices[:, [0, 1, 3, 4]] == [1, 0, 0, 1]).all(axis=1)][:, [2, 5]]
    assert len(shifts) == pytest.approx(images * 2 / 15, rel=0.05)
    assert (np.abs(shifts).max(), np.abs(shifts.sum(axis=1)).min() > 8) == (0.45 * SIDE, True)
    assert abs((shifts > 0).sum() - (shifts < 0).sum()) < 4 * np.sqrt(len(shifts))


def test_half_of_the_magnitudes_are_10_and_the_others_normal_below_it():
    from scipy import stats

    drawn = magnitudes(np.random.default_rng(17).random(20_000))
    assert drawn.max() == 10
    assert abs((drawn == 10).mean() - 0.5) < 4 * 0.5 / np.sqrt(20_000)
    below = (10 - drawn[drawn < 10]) / 0.5
    assert stats.kstest(below, stats.halfnorm.cdf).pvalue > 1e-3
    assert magnitudes(np.zeros(1)) == 0


def test_the_least_uniforms_are_no_fault():
    # a magnitude of 0, at which posterize keeps no bit
    pixels = pictures(3, SIDE, 15)
    uniforms = np.zeros((15, PublishedImageNetPolicy.uniforms))
    uniforms[:, RAND] = (np.arange(15) + 0.5) / 15
    changed = whole_levels(augmented(IMAGENET, pixels, uniforms, 1.0))
    assert (changed[OPERATIONS.index("Posterize")] == 0).all()
