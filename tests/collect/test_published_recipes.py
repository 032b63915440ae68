"""The published recipes for CIFAR, image by image, against Pillow and torchvision."""

import numpy as np
import pytest
import torch
from augmentation_pictures import (
    SIDE,
    augmented,
    pictures,
    read,
    shown,
    uniforms_of,
    whole_levels,
)
from PIL import Image, ImageEnhance, ImageOps

from collect.augmentation import crop
from collect.augmentation.operations import Kind, perform
from collect.augmentation.policy import draw
from collect.augmentation.published import SUBPOLICIES, PublishedPolicy, autoaugment
from collect.torchvision_operators import import_torchvision
from store.augmentations import (
    Published,
)

import_torchvision()
from torchvision.transforms import autoaugment as torchvision_policies  # noqa: E402

PUBLISHED = Published(policy="published")


def _published_operation(
    picture: Image.Image, name: str, magnitude: int, sign: float
) -> Image.Image:
    """One operation with the ranges, kernels and grey outside of the published code."""
    share, side = magnitude / 9, picture.width
    outside = 128 if picture.mode == "L" else (128,) * 3
    affine = Image.Transform.AFFINE
    shift = sign * share * 150 / 331 * side
    enhancers = {
        "Brightness": ImageEnhance.Brightness,
        "Color": ImageEnhance.Color,
        "Contrast": ImageEnhance.Contrast,
        "Sharpness": ImageEnhance.Sharpness,
    }
    match name:
        case "ShearY":
            data, kernel = (1, 0, 0, sign * 0.3 * share, 1, 0), Image.Resampling.BICUBIC
            return picture.transform(picture.size, affine, data, kernel, fillcolor=outside)
        case "TranslateX":
            return picture.transform(
                picture.size, affine, (1, 0, shift, 0, 1, 0), fillcolor=outside
            )
        case "TranslateY":
            return picture.transform(
                picture.size, affine, (1, 0, 0, 0, 1, shift), fillcolor=outside
            )
        case "Rotate":
            return picture.rotate(30 * share, fillcolor=outside)
        case "Posterize":
            return ImageOps.posterize(picture, round(8 - 4 * share))
        case "Solarize":
            return ImageOps.solarize(picture, 256 * (1 - share))
        case "AutoContrast":
            return ImageOps.autocontrast(picture)
        case "Equalize":
            return ImageOps.equalize(picture)
        case "Invert":
            return ImageOps.invert(picture)
        case _:
            return enhancers[name](picture).enhance(1 + sign * 0.9 * share)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("side", [32, 20])
def test_every_sub_policy_is_pillows_to_the_level(channels: int, side: int):
    # every sub-policy with each of its operations on and off and either sign
    cases = [
        (number, (first, second), signs)
        for number in range(len(SUBPOLICIES))
        for first in (0.0, 0.95)
        for second in (0.0, 0.95)
        for signs in ((0.1, 0.9), (0.9, 0.1), (0.1, 0.1))
    ]
    pixels = pictures(channels, side, len(cases))
    pixels = pixels[np.random.default_rng(0).permutation(len(cases))]
    which = (np.array([number for number, _, _ in cases]) + 0.5) / len(SUBPOLICIES)
    happens, signs = (np.array([case[part] for case in cases]) for part in (1, 2))
    steps = autoaugment(which, happens, signs, side)
    rows = np.arange(len(cases))
    changed = perform(torch.from_numpy(pixels).float(), steps, rows).numpy()
    for row, (number, drawn, sign) in enumerate(cases):
        picture = shown(pixels[row])
        for step, (name, probability, magnitude) in enumerate(SUBPOLICIES[number]):
            if drawn[step] < probability:
                direction = -1 if sign[step] < 0.5 else 1
                picture = _published_operation(picture, name, magnitude, direction)
        assert np.array_equal(changed[row], read(picture)), SUBPOLICIES[number]


def test_the_sub_policies_are_those_of_torchvision():
    policy = torchvision_policies.AutoAugmentPolicy.CIFAR10
    theirs = torchvision_policies.AutoAugment(policy).policies
    ours = [
        tuple((name, share, bin_ if bin_ or name == "Color" else None) for name, share, bin_ in one)
        for one in SUBPOLICIES
    ]
    assert ours == theirs


@pytest.mark.parametrize("channels", [1, 3])
def test_the_weak_recipe_is_crop_flip_and_rotation(channels: int):
    pixels = pictures(channels, SIDE)
    uniforms = uniforms_of(PUBLISHED, len(pixels))
    ours = whole_levels(augmented(PUBLISHED, pixels, uniforms, 0.5))
    crops = crop.choose_crops(uniforms[:, :22], uniforms[:, 22] < 0.5, SIDE)
    cropped = crop.resample(torch.from_numpy(pixels), crops, np.arange(len(pixels)))
    degrees = 15 * (2 * uniforms[:, 23] - 1)
    for row, angle in enumerate(degrees):
        picture = shown(cropped[row].numpy().astype(np.uint8)).rotate(angle)
        assert np.array_equal(ours[row], read(picture)), f"{angle} degrees"


@pytest.mark.parametrize(("side", "pixels_wide"), [(32, 16), (64, 16), (16, 8), (32, 15)])
def test_the_strong_recipe_is_the_weak_ones_crop_then_autoaugment_then_cutout(
    side: int, pixels_wide: int
):
    declared = Published(policy="published", cutout_pixels=pixels_wide)
    pixels = pictures(3, side)
    uniforms = uniforms_of(declared, len(pixels), side)
    uniforms[:3, 29:] = [[0, 0], [0, 0.999], [0.5, 0.5]]
    strong = whole_levels(augmented(declared, pixels, uniforms, 1.0))
    rows = np.arange(len(pixels))
    crops = crop.choose_crops(uniforms[:, :22], uniforms[:, 22] < 0.5, side)
    cropped = crop.resample(torch.from_numpy(pixels), crops, rows)
    steps = autoaugment(uniforms[:, 24], uniforms[:, 25:27], uniforms[:, 27:29], side)
    expected = perform(cropped, steps, rows).numpy().astype(np.uint8)
    half = pixels_wide // 2
    for row, (y, x) in enumerate((uniforms[:, 29:31] * side).astype(int)):
        expected[row, :, max(y - half, 0) : y + half, max(x - half, 0) : x + half] = 0
    assert np.array_equal(strong, expected)


def test_sub_policies_operations_and_signs_come_as_often_as_published():
    images = 60_000
    uniforms = np.random.default_rng(11).random((images, 5))
    steps = autoaugment(uniforms[:, 0], uniforms[:, 1:3], uniforms[:, 3:5], SIDE)
    which = (uniforms[:, 0] * 25).astype(int)
    for number, subpolicy in enumerate(SUBPOLICIES):
        members = which == number
        # standard errors: .0008 of a share of 1/25, about .01 of a probability
        assert abs(members.mean() - 1 / 25) < 4 * 0.0008
        for step, (_, probability, _) in enumerate(subpolicy):
            share = (steps.kind[members, step] != Kind.IDENTITY).mean()
            assert abs(share - probability) < 4 * 0.0103
    blends = np.isin(steps.kind, [Kind.BRIGHTNESS, Kind.CONTRAST, Kind.COLOUR, Kind.SHARPNESS])
    # colour's magnitude is 0 in one sub-policy
    signed = blends & (steps.amount != 1)
    brighter = (steps.amount[signed] > 1).mean()
    assert abs(brighter - 0.5) < 4 * 0.5 / np.sqrt(signed.sum())


def test_weak_rotations_and_cutout_centres_fill_their_range():
    policy = PublishedPolicy(PUBLISHED, SIDE)
    uniforms = draw(policy, np.random.default_rng(12), 20_000)
    weak, strong = (policy.choose(uniforms, strength) for strength in (0.5, 1.0))
    sine = weak.steps.matrix[:, 0, 3] / 65536
    degrees = np.degrees(np.arcsin(sine))
    assert np.abs(degrees).max() <= 15.01
    assert abs(degrees.mean()) < 4 * 15 / np.sqrt(3 * 20_000)
    assert degrees.std() == pytest.approx(15 / np.sqrt(3), rel=0.02)
    assert strong.cutout is not None
    assert weak.cutout is None
    for edge in strong.cutout[:, [0, 2]].T:
        counts = np.bincount(edge + 8, minlength=SIDE)
        assert len(counts) == SIDE
        # chi-squared with 31 degrees of freedom: above 61.1 once in 1,000
        assert ((counts - 625) ** 2 / 625).sum() < 61.1
    assert np.array_equal(weak.crops.left, strong.crops.left)
    assert np.array_equal(weak.crops.mirrored, strong.crops.mirrored)
