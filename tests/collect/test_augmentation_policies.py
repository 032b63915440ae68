"""Whole policies, image by image, against Pillow and torchvision with the same parameters."""

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
from PIL import Image

from collect.augmentation.operations import Kind, levels_of
from collect.augmentation.policy import VALUES_AT_ONCE, augmented_batches, draw, policy_for
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

PUBLISHED = Published(policy="published")
IMAGENET = PublishedImageNet(policy="published_imagenet")
POLICIES: dict[str, Augmentation] = {
    "graded": Graded(horizontal_flip=True),
    "published": PUBLISHED,
    "published_imagenet": IMAGENET,
    "randaugment": RandAugment(policy="randaugment", horizontal_flip=True),
    "trivialaugment": TrivialAugment(policy="trivialaugment", horizontal_flip=True),
}


@pytest.mark.parametrize("declared", [PUBLISHED, IMAGENET])
def test_strengths_without_a_name_are_refused(declared: Augmentation):
    policy = policy_for(declared, SIDE)
    words = rf"0\.7 is no strength of the {declared.policy} policy; .* 0 \(none\), 0\.5 \(weak\), 1"
    with pytest.raises(ValueError, match=words):
        policy.choose(np.zeros((1, policy.uniforms)), 0.7)


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
    uniforms = uniforms_of(declared, len(pixels))
    ours = whole_levels(augmented(declared, pixels, uniforms, bin_ / 30))
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
    uniforms = uniforms_of(declared, len(pixels))
    ours = whole_levels(augmented(declared, pixels, uniforms, 1.0))
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
    uniforms = uniforms_of(POLICIES[name], len(pixels))
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
    uniforms = uniforms_of(POLICIES[name], len(pixels))
    plain = torch.from_numpy(pixels).float() / 255
    assert torch.allclose(augmented(POLICIES[name], pixels, uniforms, 0.0), plain, atol=1e-6)


@pytest.mark.parametrize("name", POLICIES)
def test_fractions_are_taken_as_the_pixels_that_they_come_from(name: str):
    pixels = pictures(3, SIDE)
    choices = policy_for(POLICIES[name], SIDE).choose(uniforms_of(POLICIES[name], len(pixels)), 1.0)
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
    choices = policy_for(POLICIES[name], SIDE).choose(uniforms_of(POLICIES[name], len(pixels)), 1.0)
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
    choices = policy_for(POLICIES[name], SIDE).choose(uniforms_of(POLICIES[name], 150), 1.0)
    order = np.random.default_rng(1).permutation(150)
    batches = list(augmented_batches(kept, order, choices, batch_size=batch_size, device=cpu))
    assert np.array_equal(np.concatenate([rows for rows, _ in batches]), order)
    assert [len(rows) for rows, _ in batches[:-1]] == [batch_size] * (len(batches) - 1)
    for rows, images in batches:
        assert torch.equal(images, choices.apply(pixels[torch.from_numpy(rows)], rows))
