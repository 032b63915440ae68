import io

import numpy as np
import polars as pl
import pytest
import torch
from PIL import Image
from torch.nn.functional import interpolate

from collect.datasets import image_table, load
from store.design import Design
from store.errors import DataError


def _study(dataset: dict) -> Design:
    network = {"depth": 8, "width": 4, "strides": [1, 1, 1]}
    recipe = {"epochs": 2, "batch_size": 8, "learning_rate": 0.1}
    return Design.model_validate(
        {
            "study": "tiny",
            "title": "Tiny",
            "study_seed": 3,
            "seeds": 1,
            "dataset": dataset,
            "networks": {"teacher": network, "student": network},
            "training": {"teacher": recipe, "student": recipe},
            "design": {"strengths": [0]},
            "claims": {"H1": {"sesoi": {"attention_iou_adjusted": 0.1}}},
        }
    )


def _digits(size: int = 50, test_size: int = 897) -> Design:
    subset = {"size": size}
    return _study({"kind": "digits", "test_size": test_size, "train_subset": subset})


def _encoded(pixels: np.ndarray, kind: str = "PNG") -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format=kind)
    return stream.getvalue()


PIXELS = np.random.default_rng(0).integers(0, 256, size=(30, 8, 8, 3), dtype=np.uint8)


def _write(folder, split: str, images: list[bytes], labels: list[int], column: str = "img"):
    pl.DataFrame(
        {column: [{"bytes": content, "path": None} for content in images], "label": labels},
        schema={column: pl.Struct({"bytes": pl.Binary, "path": pl.String}), "label": pl.Int64},
    ).write_parquet(folder / f"{split}-00000-of-00001.parquet")


def _parquet(folder, **changes: object) -> Design:
    dataset = {"kind": "parquet", "path": str(folder), "image_size": 8, "classes": 3}
    return _study({**dataset, "test_size": 20, "train_subset": {"size": 10}, **changes})


@pytest.fixture
def folder(tmp_path):
    images = [_encoded(pixels) for pixels in PIXELS]
    labels = [row % 3 for row in range(30)]
    _write(tmp_path, "train", images, labels)
    _write(tmp_path, "test", images[::-1], labels[::-1])
    return tmp_path


def test_digits_are_split_without_overlap_and_without_loss():
    data = load(_digits())
    assert len(data.test.labels) == 897
    together = np.sort(np.concatenate([data.test.image_id, data.pool.image_id]))
    assert np.array_equal(together, np.arange(1797))
    assert data.pool.pixels.shape == (900, 1, 16, 16)
    assert np.bincount(data.test.labels).min() > 60


def test_digits_keep_what_they_show():
    from sklearn.datasets import load_digits

    data = load(_digits())
    original = load_digits()
    assert np.array_equal(original.target[data.test.image_id], data.test.labels)
    grey = torch.from_numpy(original.images[data.test.image_id] / 16)[:, None]
    enlarged = interpolate(grey, (16, 16), mode="bilinear", align_corners=False)
    assert np.abs(data.test.pixels / 255 - enlarged.numpy()).max() <= 0.5 / 255 + 1e-6


def test_standardization_uses_the_pools_pixels_alone():
    data = load(_digits())
    assert data.mean[0] == pytest.approx((data.pool.pixels / 255).mean(), rel=1e-5)
    assert data.std[0] == pytest.approx((data.pool.pixels / 255).std(), rel=1e-5)


def test_halves_partition_the_test_images_evenly():
    table = image_table(load(_digits()), 3)
    counts = table.group_by("half").len().sort("half", nulls_last=True)
    assert counts.rows() == [("a", 448), ("b", 449), (None, 900)]
    shown = table.filter(pl.col("split") == "test")
    assert Image.open(io.BytesIO(shown["png"][0])).size == (16, 16)


def test_parquet_images_are_read_pixel_by_pixel(folder):
    data = load(_parquet(folder))
    assert np.array_equal(data.pool.pixels, PIXELS.transpose(0, 3, 1, 2))
    assert len(data.test.labels) == 20
    rows = data.test.image_id - 30
    assert np.array_equal(data.test.pixels, PIXELS[::-1].transpose(0, 3, 1, 2)[rows])
    assert np.array_equal(data.test.labels, np.array([row % 3 for row in range(30)])[::-1][rows])


def test_grey_and_16_bit_images_become_colour(tmp_path):
    grey = PIXELS[0, :, :, 0]
    wide = (grey.astype(np.uint16) * 257).astype(np.uint16)
    images = [_encoded(grey), _encoded(wide), *(_encoded(pixels) for pixels in PIXELS[2:])]
    _write(tmp_path, "train", images, [0] * 30)
    _write(tmp_path, "test", images, [0] * 30)
    pixels = load(_parquet(tmp_path)).pool.pixels
    for channel in range(3):
        assert np.array_equal(pixels[0, channel], grey)
        assert np.abs(pixels[1, channel].astype(int) - grey).max() <= 1


def _broken(folder, fault: str) -> Design:
    images = [_encoded(pixels) for pixels in PIXELS]
    match fault:
        case "no folder":
            return _parquet(folder / "absent")
        case "no test file":
            (folder / "test-00000-of-00001.parquet").unlink()
        case "not parquet":
            (folder / "train-00000-of-00001.parquet").write_bytes(b"no parquet")
        case "label too large":
            _write(folder, "train", images, [3] * 30)
        case "corrupt image":
            _write(folder, "train", [images[0][:40], *images[1:]], [0] * 30)
        case "other column":
            _write(folder, "train", images, [0] * 30, column="image")
        case "too few images":
            return _parquet(folder, train_subset={"size": 31})
        case "too few test images":
            return _parquet(folder, test_size=31)
    return _parquet(folder)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("no folder", "absent does not hold"),
        ("no test file", r"does not hold .* test\*\.parquet"),
        ("not parquet", "cannot be read"),
        ("label too large", r"labels 3 to 3; allowed: 0 to 2"),
        ("corrupt image", "row 0 cannot be decoded"),
        ("other column", "no column 'img'; it has image, label"),
        ("too few images", "at most 30"),
        ("too few test images", "at most 30"),
    ],
)
def test_wrong_data_is_named_in_one_line(folder, fault, words):
    with pytest.raises(DataError, match=words) as caught:
        load(_broken(folder, fault))
    assert "\n" not in str(caught.value)
