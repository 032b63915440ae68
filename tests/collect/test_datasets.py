import io

import numpy as np
import polars as pl
import pytest
import torch
from PIL import Image
from torch.nn.functional import interpolate

from collect import pixels as pixels_module
from collect.datasets import Images, image_table, load
from collect.pixels import AsNeeded, InMemory
from collect.torchvision_operators import import_torchvision
from store.design import Design
from store.errors import DataError
from store.study_file import require_data


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


def _all(images: Images) -> np.ndarray:
    return images.pixels.read(np.arange(len(images.labels)))


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
    assert np.abs(_all(data.test) / 255 - enlarged.numpy()).max() <= 0.5 / 255 + 1e-6


def test_standardization_uses_the_pools_pixels_alone():
    data = load(_digits())
    assert data.mean[0] == pytest.approx((_all(data.pool) / 255).mean(), rel=1e-5)
    assert data.std[0] == pytest.approx((_all(data.pool) / 255).std(), rel=1e-5)


def test_halves_partition_the_test_images_evenly():
    table = image_table(load(_digits()), 3)
    counts = table.group_by("half").len().sort("half", nulls_last=True)
    assert counts.rows() == [("a", 448), ("b", 449), (None, 900)]
    shown = table.filter(pl.col("split") == "test")
    assert Image.open(io.BytesIO(shown["png"][0])).size == (16, 16)


def test_parquet_images_are_read_pixel_by_pixel(folder):
    data = load(_parquet(folder))
    assert np.array_equal(_all(data.pool), PIXELS.transpose(0, 3, 1, 2))
    assert len(data.test.labels) == 20
    rows = data.test.image_id - 30
    assert np.array_equal(_all(data.test), PIXELS[::-1].transpose(0, 3, 1, 2)[rows])
    assert np.array_equal(data.test.labels, np.array([row % 3 for row in range(30)])[::-1][rows])


def test_images_too_many_for_memory_are_decoded_as_needed_to_the_same_pixels(folder, monkeypatch):
    kept = load(_parquet(folder))
    monkeypatch.setattr(pixels_module, "MOST_BYTES_IN_MEMORY", 100)
    needed = load(_parquet(folder))
    assert isinstance(needed.pool.pixels, AsNeeded)
    for ours, theirs in ((kept.pool, needed.pool), (kept.test, needed.test)):
        assert np.array_equal(_all(ours), _all(theirs))
        assert np.array_equal(ours.labels, theirs.labels)


def test_grey_and_16_bit_images_become_colour(tmp_path):
    grey = PIXELS[0, :, :, 0]
    wide = (grey.astype(np.uint16) * 257).astype(np.uint16)
    images = [_encoded(grey), _encoded(wide), *(_encoded(pixels) for pixels in PIXELS[2:])]
    _write(tmp_path, "train", images, [0] * 30)
    _write(tmp_path, "test", images, [0] * 30)
    pixels = _all(load(_parquet(tmp_path)).pool)
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


@pytest.fixture
def image_folder(tmp_path):
    """30 training and 24 test images of three classes, of sizes that differ."""
    generator = np.random.default_rng(1)
    for split, images in (("train", 30), ("val", 24)):
        for index in range(images):
            place = tmp_path / split / "abc"[index % 3]
            place.mkdir(parents=True, exist_ok=True)
            size = (20 + index, 40 - index, 3)
            pixels = generator.integers(0, 256, size=size, dtype=np.uint8)
            Image.fromarray(pixels).save(place / f"{index:02d}.png")
    return tmp_path


def _image_folder(folder, **changes: object) -> Design:
    dataset = {"kind": "imagefolder", "path": str(folder), "image_size": 8, "classes": 3}
    return _study({**dataset, "test_size": 20, "train_subset": {"size": 10}, **changes})


def test_images_of_a_folder_are_the_centres_that_torchvision_cuts_out(image_folder):
    import_torchvision()
    from torchvision.transforms import functional as transforms

    data = load(_image_folder(image_folder))
    assert data.class_names == ("a", "b", "c")
    assert data.pool.labels.tolist() == [0] * 10 + [1] * 10 + [2] * 10
    assert data.test.image_id.min() >= 30
    files = sorted((image_folder / "train").glob("*/*.png"))
    for file, found in zip(files, _all(data.pool), strict=True):
        with Image.open(file) as image:
            centre = transforms.center_crop(transforms.resize(image, 9), [8, 8])
        assert np.array_equal(np.asarray(centre).transpose(2, 0, 1), found)


def test_how_many_threads_decode_changes_no_pixel_and_no_key(image_folder):
    first, second = (_image_folder(image_folder, decoders=threads) for threads in (1, 7))
    assert np.array_equal(_all(load(first).pool), _all(load(second).pool))
    assert first.shard_key(0) == second.shard_key(0)


def test_files_are_handed_out_batch_by_batch_as_from_memory(image_folder):
    pool = load(_image_folder(image_folder)).pool
    kept = InMemory(_all(pool))
    rows = np.random.default_rng(0).permutation(30)
    groups = [rows[start : start + 7] for start in range(0, 30, 7)]
    cpu = torch.device("cpu")
    pairs = list(zip(pool.pixels.batches(groups, cpu), kept.batches(groups, cpu), strict=True))
    assert [len(batch) for batch, _ in pairs] == [7, 7, 7, 7, 2]
    assert all(torch.equal(a, b) for a, b in pairs)
    part = np.array([4, 1])
    assert np.array_equal(pool.pixels.subset(part).read(np.arange(2)), kept.read(part))


def test_a_broken_file_is_named_and_the_reader_does_not_wait_for_the_rest(image_folder):
    (image_folder / "train/b/04.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"04\.png: cannot be decoded"):
        load(_image_folder(image_folder))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"classes": 4}, "dataset.classes is 4, but .* has 3 folders"),
        ({"test_size": 25}, "dataset.test_size is 25, but .*val has 24 images"),
        ({"train_subset": {"size": 31}}, "train_subset.size is 31"),
    ],
)
def test_what_a_folder_does_not_hold_is_named(image_folder, changes, words):
    with pytest.raises(DataError, match=words):
        load(_image_folder(image_folder, **changes))


def test_classes_that_only_one_split_has_are_named(image_folder):
    (image_folder / "val/b").rename(image_folder / "val/d")
    with pytest.raises(DataError, match="differ in their classes, the first being 'b'"):
        load(_image_folder(image_folder))


def test_a_folder_without_its_splits_is_said_before_anything_runs(tmp_path):
    with pytest.raises(DataError, match="does not hold the folders train and test"):
        require_data(_image_folder(tmp_path))
