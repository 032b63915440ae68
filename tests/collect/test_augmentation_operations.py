"""Every operation against Pillow, which the published code used, or torchvision's call of it."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from augmentation_pictures import Pixels, pictures, read, shown
from PIL import Image, ImageOps

from collect.augmentation import crop, geometry
from collect.augmentation.operations import Kind, Steps, no_steps, perform
from collect.torchvision_operators import import_torchvision

import_torchvision()
from torchvision.transforms.v2 import functional as reference  # noqa: E402

SIDES = (16, 32, 45)
IMAGES = 40


def performed(pixels: Pixels, steps: Steps) -> Pixels:
    levels = perform(torch.from_numpy(pixels).float(), steps, np.arange(len(pixels)))
    assert torch.equal(levels, levels.round())
    return levels.numpy().astype(np.uint8)


def _steps(kind: Kind, amount: np.ndarray) -> Steps:
    steps = no_steps(len(amount), 1, 0)
    steps.kind[:, 0] = kind
    steps.amount[:, 0] = amount
    return steps


def _factors(rng: np.random.Generator) -> np.ndarray:
    return np.append(rng.uniform(0.1, 1.9, IMAGES - 2), [0.1, 1.9])


def _whole(low: int, high: int) -> Callable[[np.random.Generator], np.ndarray]:
    return lambda rng: rng.integers(low, high, IMAGES).astype(float)


COLOUR = {
    Kind.BRIGHTNESS: (_factors, reference.adjust_brightness),
    Kind.CONTRAST: (_factors, reference.adjust_contrast),
    Kind.COLOUR: (_factors, reference.adjust_saturation),
    Kind.SHARPNESS: (_factors, reference.adjust_sharpness),
    Kind.POSTERIZE: (_whole(1, 9), lambda image, bits: reference.posterize(image, int(bits))),
    Kind.SOLARIZE: (lambda rng: rng.uniform(0, 256, IMAGES), reference.solarize),
    Kind.AUTOCONTRAST: (_whole(0, 1), lambda image, _: reference.autocontrast(image)),
    Kind.EQUALIZE: (_whole(0, 1), lambda image, _: reference.equalize(image)),
    Kind.INVERT: (_whole(0, 1), lambda image, _: reference.invert(image)),
}


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kind", COLOUR)
def test_colour_is_pillows_to_the_level(kind: Kind, channels: int, side: int):
    draw, expected = COLOUR[kind]
    amount = draw(np.random.default_rng(1))
    pixels = pictures(channels, side)
    changed = performed(pixels, _steps(kind, amount))
    for row, value in enumerate(amount):
        wanted = read(expected(shown(pixels[row]), value))
        assert np.array_equal(changed[row], wanted), f"image {row}, amount {value}"


@pytest.mark.parametrize("kind", [k for k in COLOUR if k is not Kind.EQUALIZE])
def test_colour_is_within_a_level_of_torchvisions_on_tensors(kind: Kind):
    # torchvision on tensors takes its luminance and its means without rounding
    draw, expected = COLOUR[kind]
    amount = draw(np.random.default_rng(1))
    pixels = pictures(3, 32)
    changed = performed(pixels, _steps(kind, amount))
    for row, value in enumerate(amount):
        wanted = expected(torch.from_numpy(pixels[row]), value).numpy()
        assert np.abs(changed[row].astype(int) - wanted).max() <= 1


def _moved(pixels: Pixels, matrices: np.ndarray, fill: float = 0) -> Pixels:
    steps = no_steps(len(pixels), 1, fill)
    steps.kind[:] = Kind.MOVE
    steps.matrix[:, 0] = geometry.fixed_point(matrices)
    return performed(pixels, steps)


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("fill", [0, 128])
def test_rotation_is_pillows_to_the_pixel(channels: int, side: int, fill: int):
    degrees = np.append(np.random.default_rng(2).uniform(-135, 135, IMAGES - 3), [0, 90, -45])
    pixels = pictures(channels, side)
    moved = _moved(pixels, geometry.rotation(degrees, side), fill)
    for row, angle in enumerate(degrees):
        wanted = reference.rotate(shown(pixels[row]), angle, fill=[fill] * channels)
        assert np.array_equal(moved[row], read(wanted)), f"{angle} degrees"


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("axis", [0, 1])
def test_shear_is_torchvisions_on_pictures_to_the_pixel(side: int, axis: int):
    tangents = np.random.default_rng(3).uniform(-0.99, 0.99, IMAGES)
    pixels = pictures(3, side)
    both = [np.zeros(IMAGES), np.zeros(IMAGES)]
    both[axis] = tangents
    moved = _moved(pixels, geometry.shear(both[0], both[1]))
    for row, tangent in enumerate(tangents):
        angles = [0.0, 0.0]
        angles[axis] = float(np.degrees(np.arctan(tangent)))
        wanted = reference.affine(
            shown(pixels[row]), angle=0, translate=[0, 0], scale=1, shear=angles, center=[0, 0]
        )
        assert np.array_equal(moved[row], read(wanted)), f"tangent {tangent}"


@pytest.mark.parametrize("fill", [0, 128])
def test_a_shift_by_parts_of_a_pixel_is_pillows(fill: int):
    shifts = np.random.default_rng(4).uniform(-20, 20, (IMAGES, 2))
    pixels = pictures(3, 32)
    moved = _moved(pixels, geometry.shift(shifts[:, 0], shifts[:, 1]), fill)
    for row, (x, y) in enumerate(shifts):
        wanted = shown(pixels[row]).transform(
            (32, 32), Image.Transform.AFFINE, (1, 0, x, 0, 1, y), fillcolor=(fill,) * 3
        )
        assert np.array_equal(moved[row], read(wanted)), f"shift {x}, {y}"


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("channels", [1, 3])
def test_the_bicubic_shear_is_pillows_to_the_level(channels: int, side: int):
    tangents = np.random.default_rng(5).uniform(-0.4, 0.4, IMAGES)
    pixels = pictures(channels, side)
    steps = _steps(Kind.SHEAR_Y_SMOOTHLY, tangents)
    sheared = performed(pixels, replace(steps, fill=128))
    fill = 128 if channels == 1 else (128,) * 3
    for row, tangent in enumerate(tangents):
        wanted = shown(pixels[row]).transform(
            (side, side),
            Image.Transform.AFFINE,
            (1, 0, 0, tangent, 1, 0),
            Image.Resampling.BICUBIC,
            fillcolor=fill,
        )
        assert np.array_equal(sheared[row], read(wanted)), f"tangent {tangent}"


def test_images_of_one_batch_undergo_what_each_undergoes_alone():
    rng = np.random.default_rng(6)
    pixels = pictures(3, 32)
    steps = no_steps(IMAGES, 2, 128)
    steps.kind[:] = rng.permutation(np.tile(np.arange(len(Kind)), 7))[: 2 * IMAGES].reshape(-1, 2)
    steps.amount[:] = rng.uniform(0.1, 0.4, (IMAGES, 2))
    steps.amount[steps.kind == Kind.POSTERIZE] = 3
    steps.amount[steps.kind == Kind.SOLARIZE_ADD] = 90
    steps.smooth[:] = geometry.rotation(rng.uniform(-30, 30, IMAGES), 32)[:, None]
    steps.matrix[:] = geometry.fixed_point(steps.smooth)
    together = performed(pixels, steps)
    for row in range(IMAGES):
        levels = torch.from_numpy(pixels[row : row + 1]).float()
        alone = perform(levels, steps, np.array([row])).numpy()
        assert np.array_equal(together[row : row + 1], alone)


@pytest.mark.parametrize("channels", [1, 3])
def test_solarize_add_is_pillows_by_a_table_to_the_level(channels: int):
    added = np.append(np.random.default_rng(9).integers(0, 129, IMAGES - 2), [0, 110])
    pixels = pictures(channels, 32)
    changed = performed(pixels, _steps(Kind.SOLARIZE_ADD, added.astype(float)))
    for row, amount in enumerate(added):
        table = [min(255, level + int(amount)) if level < 128 else level for level in range(256)]
        wanted = read(shown(pixels[row]).point(table * channels))
        assert np.array_equal(changed[row], wanted), f"{amount} added"


def test_posterized_to_no_bits_an_image_is_black():
    # Pillow refuses it now; it masked every bit away before
    changed = performed(pictures(3, 32), _steps(Kind.POSTERIZE, np.zeros(IMAGES)))
    assert (changed == 0).all()


FILL = (124.0, 116.0, 104.0)
KERNELS = {
    Kind.MOVE: Image.Resampling.NEAREST,
    Kind.MOVE_BILINEAR: Image.Resampling.BILINEAR,
    Kind.MOVE_BICUBIC: Image.Resampling.BICUBIC,
}


def _matrices(side: int) -> np.ndarray:
    """Rotations, shears, shifts by whole pixels and parts of them, and all of these together."""
    rng = np.random.default_rng(10)
    still = np.zeros(8)
    made = [
        geometry.rotation(np.append(rng.uniform(0, 360, 6), [0, 45]), side),
        geometry.shear(rng.uniform(-0.5, 0.5, 8), still),
        geometry.shear(still, rng.uniform(-0.5, 0.5, 8)),
        geometry.shift(rng.uniform(-side, side, 8), rng.integers(-9, 9, 8) / 2),
        rng.uniform(-1, 1, (8, 6)) * [1, 1, side, 1, 1, side],
    ]
    return rng.permutation(np.concatenate(made))


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kind", KERNELS)
def test_a_move_by_any_kernel_is_pillows_to_the_level(kind: Kind, channels: int, side: int):
    matrices, pixels = _matrices(side), pictures(channels, side)
    steps = replace(_steps(kind, np.zeros(IMAGES)), fill=FILL)
    steps.smooth[:, 0] = matrices
    steps.matrix[:, 0] = geometry.fixed_point(matrices)
    moved = performed(pixels, steps)
    colour = Image.new("RGB", (1, 1), tuple(int(level) for level in FILL))
    outside = (colour if channels == 3 else colour.convert("L")).getpixel((0, 0))
    for row, matrix in enumerate(matrices):
        wanted = shown(pixels[row]).transform(
            (side, side),
            Image.Transform.AFFINE,
            tuple(matrix),
            KERNELS[kind],
            fillcolor=outside,
        )
        assert np.array_equal(moved[row], read(wanted)), matrix


def test_the_bicubic_shear_is_the_bicubic_move_by_a_shear():
    tangents = np.random.default_rng(5).uniform(-0.4, 0.4, IMAGES)
    steps = _steps(Kind.MOVE_BICUBIC, np.zeros(IMAGES))
    steps.smooth[:, 0] = geometry.shear(np.zeros(IMAGES), tangents)
    pixels = pictures(3, 32)
    moved = performed(pixels, replace(steps, fill=FILL))
    sheared = performed(pixels, replace(_steps(Kind.SHEAR_Y_SMOOTHLY, tangents), fill=FILL))
    assert np.array_equal(moved, sheared)


SMALLEST = {crop.Kernel.BICUBIC: 0.2, crop.Kernel.BILINEAR: 0.08}


def _crops(images: int, side: int, kernel: crop.Kernel = crop.Kernel.BICUBIC) -> crop.Crops:
    rng = np.random.default_rng(7)
    mirrored = rng.random(images) < 0.5
    uniforms = rng.random((images, crop.UNIFORMS))
    return crop.choose_crops(uniforms, mirrored, side, smallest=SMALLEST[kernel], kernel=kernel)


@pytest.mark.parametrize("side", [*SIDES, 64])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kernel", SMALLEST)
def test_crops_are_pillows_but_for_the_15_places_of_their_weights(
    kernel: crop.Kernel, channels: int, side: int
):
    images = 300
    pixels = np.tile(pictures(channels, side, 60), (5, 1, 1, 1))
    chosen = _crops(images, side, kernel)
    scaled = crop.resample(torch.from_numpy(pixels), chosen, np.arange(images)).numpy()
    wanted = np.empty_like(pixels)
    for row in range(images):
        top, left = chosen.top[row], chosen.left[row]
        box = (left, top, left + chosen.width[row], top + chosen.height[row])
        by = Image.Resampling[kernel.name]
        picture = shown(pixels[row]).crop(box).resize((side, side), by)
        wanted[row] = read(ImageOps.mirror(picture) if chosen.mirrored[row] else picture)
    # Pillow's weights have 22 places: a sum near a half is rounded to the other side
    away = np.abs(scaled - wanted.astype(np.float32))
    assert away.max() <= 2
    assert (away > 1).mean() < 1e-4
    # of 90 bilinear sums on a side of 45 one is a half, which the weights' last place tips
    halves = 2 / 90 if (kernel, side) == (crop.Kernel.BILINEAR, 45) else 0
    assert (away > 0).mean() < 5e-3 + halves * 1.2


@pytest.mark.parametrize("kernel", SMALLEST)
def test_a_crop_of_the_whole_image_is_the_image_and_a_plain_one_stays_plain(kernel: crop.Kernel):
    pixels = torch.from_numpy(pictures(3, 32))
    whole = np.full(IMAGES, 32)
    none = np.zeros(IMAGES, np.int64)
    chosen = crop.Crops(none, none, whole, whole, np.arange(IMAGES) % 2 == 1, kernel)
    scaled = crop.resample(pixels, chosen, np.arange(IMAGES))
    assert torch.equal(scaled[::2], pixels[::2].float())
    assert torch.equal(scaled[1::2], pixels[1::2].float().flip(3))
    plain = torch.full((IMAGES, 3, 32, 32), 201, dtype=torch.uint8)
    assert (crop.resample(plain, _crops(IMAGES, 32, kernel), np.arange(IMAGES)) == 201).all()


@pytest.mark.parametrize("smallest", [0.2, 0.08])
def test_crops_have_torchvisions_area_ratio_and_place(smallest: float):
    from scipy import stats
    from torchvision.transforms.v2 import RandomResizedCrop

    images, side = 20_000, 224
    uniforms = np.random.default_rng(8).random((images, crop.UNIFORMS))
    ours = crop.choose_crops(uniforms, np.zeros(images, np.bool_), side, smallest=smallest)
    transform = RandomResizedCrop(side, scale=(smallest, 1.0))
    blank = torch.empty(1, side, side, dtype=torch.uint8)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        drawn = [transform.make_params([blank]) for _ in range(2_000)]
    theirs = {key: np.array([one[key] for one in drawn]) for key in ("height", "width", "top")}
    for mine, other in (
        (ours.height * ours.width, theirs["height"] * theirs["width"]),
        (ours.width / ours.height, theirs["width"] / theirs["height"]),
        (ours.top / side, theirs["top"] / side),
    ):
        # seeds are fixed: this passes or fails for good, 1 in 1,000 if the laws are equal
        assert stats.ks_2samp(mine, other).pvalue > 1e-3
    assert ((ours.left >= 0) & (ours.left + ours.width <= side)).all()
    assert ((ours.top >= 0) & (ours.top + ours.height <= side)).all()
    share = ours.left / np.maximum(side - ours.width, 1)
    assert abs(share[ours.width < side - 20].mean() - 0.5) < 0.01


@pytest.mark.parametrize(
    ("area", "ratio", "height", "width"),
    [(0, 0.5, 100, 100), (1, 0.5, 224, 224), (0.375, 0, 183, 137), (0.375, 1, 137, 183)],
)
def test_a_box_spans_the_published_areas_and_ratios(area, ratio, height, width):
    # 224^2 x 0.2 is 100.2^2; half the area at 3/4 is 137.2 x 182.9
    uniforms = np.zeros((2, crop.UNIFORMS))
    uniforms[0, :2] = area, ratio
    # the second one's first box is too wide: its second attempt is taken
    uniforms[1, :4] = 1, 1, area, ratio
    chosen = crop.choose_crops(uniforms, np.zeros(2, np.bool_), 224)
    assert chosen.height.tolist() == [height, height]
    assert chosen.width.tolist() == [width, width]


def test_a_box_that_never_fits_is_the_whole_image():
    # all area and a ratio of 4/3 is wider than the image
    uniforms = np.ones((1, crop.UNIFORMS)) * 0.999
    chosen = crop.choose_crops(uniforms, np.zeros(1, np.bool_), 32)
    assert (chosen.height[0], chosen.width[0], chosen.top[0], chosen.left[0]) == (32, 32, 0, 0)
