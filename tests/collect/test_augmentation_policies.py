"""Whole policies, image by image, against Pillow and torchvision with the same parameters."""

import numpy as np
import pytest
import torch
from augmentation_pictures import Pixels, pictures, read, shown
from PIL import Image, ImageEnhance, ImageOps

from collect.augmentation import crop
from collect.augmentation.operations import Kind, levels_of, perform
from collect.augmentation.policy import VALUES_AT_ONCE, augmented_batches, draw, policy_for
from collect.augmentation.published import SUBPOLICIES, PublishedPolicy, autoaugment
from collect.augmentation.published_imagenet import OPERATIONS as IMAGENET_OPERATIONS
from collect.augmentation.published_imagenet import PublishedImageNetPolicy, magnitudes
from collect.augmentation.randomized import OPERATIONS, RandAugmentPolicy, TrivialAugmentPolicy
from collect.pixels import InMemory
from collect.torchvision_operators import import_torchvision
from store.augmentations import (
    Augmentation,
    Graded,
    Published,
    PublishedImageNet,
    RandAugment,
    TrivialAugment,
)

import_torchvision()
from torchvision.transforms import autoaugment as torchvision_policies  # noqa: E402

SIDE = 32
PUBLISHED = Published(policy="published")
IMAGENET = PublishedImageNet(policy="published_imagenet")
POLICIES: dict[str, Augmentation] = {
    "graded": Graded(horizontal_flip=True),
    "published": PUBLISHED,
    "published_imagenet": IMAGENET,
    "randaugment": RandAugment(policy="randaugment", horizontal_flip=True),
    "trivialaugment": TrivialAugment(policy="trivialaugment", horizontal_flip=True),
}


def _augmented(
    declared: Augmentation, pixels: Pixels, uniforms: np.ndarray, strength: float
) -> torch.Tensor:
    choices = policy_for(declared, pixels.shape[-1]).choose(uniforms, strength)
    return choices.apply(torch.from_numpy(pixels), np.arange(len(pixels)))


def _uniforms(declared: Augmentation, images: int, side: int = SIDE) -> np.ndarray:
    return draw(policy_for(declared, side), np.random.default_rng(3), images)


def _levels(fractions: torch.Tensor) -> Pixels:
    levels = fractions * 255
    assert (levels - levels.round()).abs().max() < 1e-4
    return levels.round().numpy().astype(np.uint8)


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
    uniforms = _uniforms(PUBLISHED, len(pixels))
    ours = _levels(_augmented(PUBLISHED, pixels, uniforms, 0.5))
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
    uniforms = _uniforms(declared, len(pixels), side)
    uniforms[:3, 29:] = [[0, 0], [0, 0.999], [0.5, 0.5]]
    strong = _levels(_augmented(declared, pixels, uniforms, 1.0))
    rows = np.arange(len(pixels))
    crops = crop.choose_crops(uniforms[:, :22], uniforms[:, 22] < 0.5, side)
    cropped = crop.resample(torch.from_numpy(pixels), crops, rows)
    steps = autoaugment(uniforms[:, 24], uniforms[:, 25:27], uniforms[:, 27:29], side)
    expected = perform(cropped, steps, rows).numpy().astype(np.uint8)
    half = pixels_wide // 2
    for row, (y, x) in enumerate((uniforms[:, 29:31] * side).astype(int)):
        expected[row, :, max(y - half, 0) : y + half, max(x - half, 0) : x + half] = 0
    assert np.array_equal(strong, expected)


@pytest.mark.parametrize("declared", [PUBLISHED, IMAGENET])
def test_strengths_without_a_name_are_refused(declared: Augmentation):
    policy = policy_for(declared, SIDE)
    words = rf"0\.7 is no strength of the {declared.policy} policy; .* 0 \(none\), 0\.5 \(weak\), 1"
    with pytest.raises(ValueError, match=words):
        policy.choose(np.zeros((1, policy.uniforms)), 0.7)


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
def test_the_weak_recipe_for_imagenet_is_crop_flip_and_pillows_jitter_in_any_order(channels: int):
    pixels = pictures(channels, SIDE, 60)
    uniforms = _uniforms(IMAGENET, len(pixels))
    ours = _levels(_augmented(IMAGENET, pixels, uniforms, 0.5))
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
def test_the_strong_recipe_for_imagenet_is_the_weak_one_then_timms_randaugment(
    channels: int, side: int
):
    images = 400
    pixels = np.tile(pictures(channels, side), (10, 1, 1, 1))
    uniforms = _uniforms(IMAGENET, images, side)
    # magnitudes of 7 to 10, half of them 10
    weak, strong = (
        _levels(_augmented(IMAGENET, pixels, uniforms, strength)) for strength in (0.5, 1.0)
    )
    names, happens, normal, sign, kernel = np.split(uniforms[:, RAND:], 5, axis=1)
    drawn, magnitude = (names * len(IMAGENET_OPERATIONS)).astype(int), magnitudes(normal)
    kernels = [Image.Resampling.BILINEAR, Image.Resampling.BICUBIC]
    for row in range(images):
        picture = shown(weak[row])
        for step in range(2):
            if happens[row, step] < 0.5:
                picture = _timm_operation(
                    picture,
                    IMAGENET_OPERATIONS[drawn[row, step]],
                    magnitude[row, step],
                    -1 if sign[row, step] < 0.5 else 1,
                    kernels[int(kernel[row, step] >= 0.5)],
                )
        what = [IMAGENET_OPERATIONS[one] for one in drawn[row]]
        assert np.array_equal(strong[row], read(picture)), f"{what} at {magnitude[row]}"


def test_the_strong_recipe_for_imagenet_contains_the_weak_one():
    policy = PublishedImageNetPolicy(IMAGENET, SIDE)
    uniforms = draw(policy, np.random.default_rng(15), 1_000)
    weak, strong = (policy.choose(uniforms, strength) for strength in (0.5, 1.0))
    assert weak.crops is not None
    assert strong.crops is not None
    for part in ("top", "left", "height", "width", "mirrored"):
        assert np.array_equal(getattr(weak.crops, part), getattr(strong.crops, part))
    assert np.array_equal(weak.steps.kind, strong.steps.kind[:, :3])
    assert np.array_equal(weak.steps.amount, strong.steps.amount[:, :3])


def test_imagenets_orders_operations_signs_and_kernels_come_as_often_as_published():
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
    changed = _levels(_augmented(IMAGENET, pixels, uniforms, 1.0))
    assert (changed[IMAGENET_OPERATIONS.index("Posterize")] == 0).all()


SPACES = {
    "randaugment": torchvision_policies.RandAugment()._augmentation_space(31, (SIDE, SIDE)),
    "trivialaugment": torchvision_policies.TrivialAugmentWide()._augmentation_space(31),
}


def _torchvisions(
    picture: Image.Image, space: str, drawn: int, sign: float, bin_: int
) -> Image.Image:
    name = list(SPACES[space])[drawn]
    magnitudes, signed = SPACES[space][name]
    magnitude = float(magnitudes[bin_]) if magnitudes.ndim else 0.0
    if signed and sign < 0.5:
        magnitude = -magnitude
    return torchvision_policies._apply_op(
        picture, name, magnitude, torchvision_policies.InterpolationMode.NEAREST, fill=None
    )


def test_the_operations_drawn_are_torchvisions():
    for space in SPACES.values():
        assert tuple(space) == OPERATIONS


@pytest.mark.parametrize("bin_", [1, 9, 20, 30])
@pytest.mark.parametrize("channels", [1, 3])
def test_randaugment_is_torchvisions_on_pictures_to_the_level(channels: int, bin_: int):
    declared = RandAugment(policy="randaugment", num_ops=3)
    pixels = pictures(channels, SIDE, 150)
    uniforms = _uniforms(declared, len(pixels))
    ours = _levels(_augmented(declared, pixels, uniforms, bin_ / 30))
    for row, drawn in enumerate(uniforms):
        picture = shown(pixels[row])
        for step in range(3):
            number = int(drawn[2 * step] * len(OPERATIONS))
            picture = _torchvisions(picture, "randaugment", number, drawn[2 * step + 1], bin_)
        assert np.array_equal(ours[row], read(picture)), f"image {row}"


@pytest.mark.parametrize("channels", [1, 3])
def test_trivialaugment_at_strength_1_is_torchvisions_on_pictures_to_the_level(channels: int):
    declared = POLICIES["trivialaugment"].model_copy(update={"horizontal_flip": False})
    pixels = pictures(channels, SIDE, 600)
    uniforms = _uniforms(declared, len(pixels))
    ours = _levels(_augmented(declared, pixels, uniforms, 1.0))
    for row, (name, sign, bin_, _) in enumerate(uniforms):
        number = int(name * len(OPERATIONS))
        picture = _torchvisions(shown(pixels[row]), "trivialaugment", number, sign, int(bin_ * 31))
        assert np.array_equal(ours[row], read(picture)), f"{OPERATIONS[number]}, bin {bin_}"


def test_operations_bins_and_signs_are_equally_likely():
    policy = TrivialAugmentPolicy(POLICIES["trivialaugment"], SIDE)
    images = 62_000
    uniforms = draw(policy, np.random.default_rng(13), images)
    steps = policy.choose(uniforms, 1.0).steps
    codes = {Kind.IDENTITY: 1, Kind.MOVE: 5}
    for kind in np.unique(steps.kind):
        share = codes.get(kind, 1) / len(OPERATIONS)
        found = (steps.kind == kind).mean()
        assert abs(found - share) < 4 * np.sqrt(share * (1 - share) / images)
    factors = steps.amount[steps.kind == Kind.BRIGHTNESS]
    bins = np.rint((factors - 1) / 0.99 * 30).astype(int)
    counts = np.bincount(bins + 30, minlength=61)
    expected = np.full(61, len(factors) / 62)
    expected[30] *= 2
    # chi-squared with 60 degrees of freedom: above 99.6 once in 1,000
    assert ((counts - expected) ** 2 / expected).sum() < 99.6


@pytest.mark.parametrize("declared", ["randaugment", "trivialaugment"])
def test_a_stronger_level_does_the_same_to_the_same_image_but_more(declared: str):
    policy = policy_for(POLICIES[declared], SIDE)
    assert isinstance(policy, RandAugmentPolicy | TrivialAugmentPolicy)
    uniforms = draw(policy, np.random.default_rng(14), 3_000)
    weak, strong = (policy.choose(uniforms, strength) for strength in (0.4, 0.8))
    assert np.array_equal(weak.steps.kind, strong.steps.kind)
    assert weak.mirrored is not None
    assert (weak.mirrored <= strong.mirrored).all()
    assert strong.mirrored.mean() == pytest.approx(0.4, abs=0.04)
    blends = np.isin(weak.steps.kind, [Kind.BRIGHTNESS, Kind.CONTRAST, Kind.COLOUR, Kind.SHARPNESS])
    assert np.allclose(
        strong.steps.amount[blends] - 1, 2 * (weak.steps.amount[blends] - 1), atol=1e-6
    )
    for kind in (Kind.POSTERIZE, Kind.SOLARIZE):
        members = weak.steps.kind == kind
        assert (strong.steps.amount[members] <= weak.steps.amount[members]).all()
    change = np.array([65536, 0, 32768, 0, 65536, 32768])
    moved = weak.steps.kind == Kind.MOVE
    less, more = (choices.steps.matrix[moved] - change for choices in (weak, strong))
    off = [1, 3]  # what shears and rotates
    # the direction stays, and the matrix goes further; sines of up to 108 degrees grow all along
    assert (less[:, off] * more[:, off] >= 0).all()
    grown = np.abs(less[:, off]) <= np.abs(more[:, off]) + 1
    assert grown.mean() > 0.98


@pytest.mark.parametrize("name", POLICIES)
@pytest.mark.parametrize("channels", [1, 3])
def test_an_image_is_augmented_alike_in_every_batch(name: str, channels: int):
    pixels = pictures(channels, SIDE, 150)
    uniforms = _uniforms(POLICIES[name], len(pixels))
    choices = policy_for(POLICIES[name], SIDE).choose(uniforms, 1.0)
    images = torch.from_numpy(pixels)
    together = choices.apply(images, np.arange(150))
    order = np.random.default_rng(0).permutation(150)
    apart = torch.empty_like(together)
    for start in range(0, 150, 7):
        rows = order[start : start + 7]
        apart[torch.from_numpy(rows)] = choices.apply(images[torch.from_numpy(rows)], rows)
    assert torch.equal(together, apart)
    assert together.is_contiguous()
    assert together.dtype == torch.float32
    assert 0 <= together.min() <= together.max() <= 1
    assert np.array_equal(images.numpy(), pixels)


@pytest.mark.parametrize("name", POLICIES)
def test_strength_zero_leaves_every_image_as_it_is(name: str):
    pixels = pictures(3, SIDE)
    uniforms = _uniforms(POLICIES[name], len(pixels))
    plain = torch.from_numpy(pixels).float() / 255
    assert torch.allclose(_augmented(POLICIES[name], pixels, uniforms, 0.0), plain, atol=1e-6)


@pytest.mark.parametrize("name", POLICIES)
def test_fractions_are_taken_as_the_pixels_that_they_come_from(name: str):
    pixels = pictures(3, SIDE)
    choices = policy_for(POLICIES[name], SIDE).choose(_uniforms(POLICIES[name], len(pixels)), 1.0)
    rows = np.arange(len(pixels))
    images = torch.from_numpy(pixels)
    fractions = images.float() / 255
    kept = fractions.clone()
    assert torch.equal(choices.apply(fractions, rows), choices.apply(images, rows))
    assert torch.equal(fractions, kept)
    assert torch.equal(levels_of(fractions), images.float())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU")
@pytest.mark.parametrize(
    "name", ["published", "published_imagenet", "randaugment", "trivialaugment"]
)
def test_a_gpu_gives_the_processors_bits(name: str):
    pixels = torch.from_numpy(pictures(3, SIDE))
    choices = policy_for(POLICIES[name], SIDE).choose(_uniforms(POLICIES[name], len(pixels)), 1.0)
    rows = np.arange(len(pixels))
    assert torch.equal(choices.apply(pixels.cuda(), rows).cpu(), choices.apply(pixels, rows))


@pytest.mark.parametrize("name", POLICIES)
@pytest.mark.parametrize("batch_size", [7, 40, 400])
def test_an_epochs_batches_are_those_that_are_augmented_one_by_one(
    name: str, batch_size: int, monkeypatch: pytest.MonkeyPatch
):
    # 150 images: several goes, the last one smaller
    monkeypatch.setitem(VALUES_AT_ONCE, "cpu", 60 * 3 * SIDE * SIDE)
    drawn = pictures(3, SIDE, 150)
    pixels, kept, cpu = torch.from_numpy(drawn), InMemory(drawn), torch.device("cpu")
    choices = policy_for(POLICIES[name], SIDE).choose(_uniforms(POLICIES[name], 150), 1.0)
    order = np.random.default_rng(1).permutation(150)
    batches = list(augmented_batches(kept, order, choices, batch_size=batch_size, device=cpu))
    assert np.array_equal(np.concatenate([rows for rows, _ in batches]), order)
    assert [len(rows) for rows, _ in batches[:-1]] == [batch_size] * (len(batches) - 1)
    for rows, images in batches:
        assert torch.equal(images, choices.apply(pixels[torch.from_numpy(rows)], rows))
