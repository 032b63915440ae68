import numpy as np
import pytest
import torch

from collect.augmentation.graded import GradedChoices, GradedPolicy
from collect.augmentation.policy import draw
from collect.torchvision_operators import import_torchvision
from store.augmentations import Graded, Magnitudes

import_torchvision()
from torchvision.transforms import InterpolationMode  # noqa: E402
from torchvision.transforms.v2 import functional as reference  # noqa: E402

SIDE = 16
POLICY = Graded(
    maximum=Magnitudes(
        rotation_degrees=40,
        shear_degrees=20,
        translate=0.2,
        scale=0.3,
        brightness=0.5,
        contrast=0.6,
        cutout=0.5,
    )
)


def _images(channels: int = 1, images: int = 24) -> torch.Tensor:
    return torch.rand(images, channels, SIDE, SIDE, generator=torch.Generator().manual_seed(1))


def _only(**magnitudes: float) -> Graded:
    nothing = dict.fromkeys(Magnitudes.model_fields, 0.0)
    return Graded(maximum=Magnitudes(**{**nothing, **magnitudes}))


def _augmented(images: torch.Tensor, uniforms: np.ndarray, strength: float, policy: Graded):
    return _choices(uniforms, strength, policy).apply(images, np.arange(len(images)))


def _choices(uniforms: np.ndarray, strength: float, policy: Graded) -> GradedChoices:
    return GradedPolicy(policy).choose(uniforms, strength)


@pytest.fixture
def uniforms() -> np.ndarray:
    return draw(GradedPolicy(POLICY), np.random.default_rng(5), 24)


@pytest.mark.parametrize("strength", [0.3, 1.0])
def test_each_image_is_moved_as_torchvision_moves_it(uniforms, strength):
    images = _images(3)
    policy = _only(rotation_degrees=40, shear_degrees=20, translate=0.2, scale=0.3)
    moved = _augmented(images, uniforms, strength, policy)
    centred = (2 * uniforms - 1) * strength
    for row, image in enumerate(images):
        expected = reference.affine(
            image,
            angle=40 * centred[row, 0],
            shear=[20 * centred[row, 1], 0.0],
            translate=[0.2 * SIDE * centred[row, 2], 0.2 * SIDE * centred[row, 3]],
            scale=1 + 0.3 * centred[row, 4],
            interpolation=InterpolationMode.BILINEAR,
        )
        # torchvision fades at the border by a mask of its own; inside, both are the same resampling
        assert torch.allclose(moved[row, :, 4:-4, 4:-4], expected[:, 4:-4, 4:-4], atol=2e-5)


@pytest.mark.parametrize("channels", [1, 3])
def test_each_image_is_brightened_and_contrasted_as_torchvision_does_it(uniforms, channels):
    images = _images(channels)
    changed = _augmented(images, uniforms, 0.8, _only(brightness=0.5, contrast=0.6))
    centred = (2 * uniforms - 1) * 0.8
    for row, image in enumerate(images):
        bright = reference.adjust_brightness(image, 1 + 0.5 * centred[row, 5])
        expected = reference.adjust_contrast(bright, 1 + 0.6 * centred[row, 6])
        assert torch.allclose(changed[row], expected, atol=1e-5)


def test_the_cutout_square_has_the_declared_side_and_place(uniforms):
    ones = torch.ones(24, 1, SIDE, SIDE)
    cut = _augmented(ones, uniforms, 1.0, _only(cutout=0.5))
    for row in range(24):
        centre = (uniforms[row, 7:9] * SIDE) - 0.5
        for y in range(SIDE):
            for x in range(SIDE):
                inside = abs(x - centre[0]) < SIDE / 4 and abs(y - centre[1]) < SIDE / 4
                assert cut[row, 0, y, x].item() == pytest.approx(0 if inside else 1, abs=1e-6)


def test_strength_zero_leaves_every_image_as_it_is(uniforms):
    images = _images(3)
    assert torch.allclose(_augmented(images, uniforms, 0.0, POLICY), images, atol=1e-6)


def test_a_stronger_level_moves_the_same_image_the_same_way_but_further(uniforms):
    weak, strong = (_choices(uniforms, strength, POLICY) for strength in (0.25, 0.5))
    assert np.allclose(strong.brightness - 1, 2 * (weak.brightness - 1), atol=1e-6)
    assert np.allclose(strong.contrast - 1, 2 * (weak.contrast - 1), atol=1e-6)
    assert np.array_equal(strong.cutout, weak.cutout)
    assert strong.cutout_side == 2 * weak.cutout_side
    shift = _only(translate=0.2)
    weak, strong = (_choices(uniforms, strength, shift).matrix for strength in (0.25, 0.5))
    assert np.allclose(strong[:, :, 2], 2 * weak[:, :, 2], atol=1e-6)


def test_what_an_image_undergoes_does_not_depend_on_its_batch(uniforms):
    images = _images(1)
    choices = _choices(uniforms, 1.0, POLICY)
    together = choices.apply(images, np.arange(24))
    alone = torch.cat([choices.apply(images[row : row + 1], np.array([row])) for row in range(24)])
    assert torch.equal(together, alone)


def test_draws_fill_their_range_evenly():
    uniforms = draw(GradedPolicy(POLICY), np.random.default_rng(0), 20_000)
    factors = _choices(uniforms, 0.5, _only(brightness=0.4)).brightness
    # uniform on [0.8, 1.2]: mean 1, variance 0.4^2 / 12, standard error of the mean 0.0008
    assert factors.min() >= 0.8
    assert factors.max() <= 1.2
    assert abs(factors.mean() - 1) < 4 * 0.0009
    assert factors.var() == pytest.approx(0.4**2 / 12, rel=0.05)


def test_about_half_of_the_images_are_flipped_at_full_strength_and_none_at_zero():
    uniforms = draw(GradedPolicy(POLICY), np.random.default_rng(0), 10_000)
    policy = _only().model_copy(update={"horizontal_flip": True})
    share = (_choices(uniforms, 1.0, policy).matrix[:, 0, 0] < 0).mean()
    assert abs(share - 0.5) < 4 * 0.005
    assert not (_choices(uniforms, 0.0, policy).matrix[:, 0, 0] < 0).any()


def test_a_flip_mirrors_the_image(uniforms):
    images = _images(1)
    uniforms[:, 9] = 0.0
    policy = _only().model_copy(update={"horizontal_flip": True})
    assert torch.allclose(_augmented(images, uniforms, 1.0, policy), images.flip(3), atol=1e-5)


def test_pixels_give_what_their_fractions_give(uniforms):
    pixels = (_images(3) * 255).round().to(torch.uint8)
    fractions = _augmented(pixels.float() / 255, uniforms, 0.7, POLICY)
    assert torch.equal(_augmented(pixels, uniforms, 0.7, POLICY), fractions)
    assert fractions.is_contiguous()
