"""Images as arrays: the training pool and the fixed test set of a study."""

import io
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
import torch
import torch.nn.functional as functional
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from collect.pixels import InFiles, InMemory, Pixels
from collect.seeding import Purpose, study_streams
from collect.torchvision_operators import import_torchvision
from store.design import Design
from store.errors import DataError
from store.frames import IMAGE
from store.images import DigitsData, ImageFolderData, ParquetData, image_folder_test
from store.study_file import require_data
from store.vocabulary import Half, Split

_FILES_FOR_STATISTICS: Final = 4096


@dataclass(frozen=True, slots=True)
class Images:
    """One split.

    image_id: int32, shape (images,). pixels: uint8, shape (images, channels, side, side), in
    memory or in files. labels: int64, shape (images,).
    """

    image_id: NDArray[np.int32]
    pixels: Pixels
    labels: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Data:
    """A study's images: the pool that blocks draw their training subsets from, and the test set.

    mean, std: of the pool's pixels per channel, as fractions of 255, for standardization; of
    4,096 images, evenly spaced, where they are in files.
    """

    pool: Images
    test: Images
    class_names: tuple[str, ...]
    mean: NDArray[np.float32]
    std: NDArray[np.float32]


def load(design: Design) -> Data:
    """Read a study's images as its ``dataset`` declares.

    Raises DataError that names what is missing or wrong and what to do.
    """
    dataset = design.dataset
    require_data(design)
    if isinstance(dataset, DigitsData):
        pool, test, names = _digits(dataset, design.study_seed)
    elif isinstance(dataset, ParquetData):
        pool, test, names = _parquet(dataset, design.study_seed)
    else:
        assert isinstance(dataset, ImageFolderData)
        pool, test, names = _image_folder(dataset, design.study_seed)
    size = dataset.train_subset.size
    if size > len(pool.labels):
        raise DataError(
            f"dataset.train_subset.size is {size}, but the training pool has "
            f"{len(pool.labels)} images; allowed: at most {len(pool.labels)}"
        )
    images = pool.pixels.shape[0]
    # of files, some thousands, evenly spaced: each would have to be decoded
    read = min(images, _FILES_FOR_STATISTICS if isinstance(pool.pixels, InFiles) else images)
    sample = pool.pixels.read(np.linspace(0, images - 1, read).round().astype(np.int64))
    scaled = sample.transpose(1, 0, 2, 3).reshape(sample.shape[1], -1)
    mean = scaled.mean(axis=1, dtype=np.float64) / 255
    std = np.maximum(scaled.std(axis=1, dtype=np.float64) / 255, 1e-3)
    return Data(pool, test, names, mean.astype(np.float32), std.astype(np.float32))


def image_table(data: Data, study_seed: int) -> pl.DataFrame:
    """Return the study's images as the table IMAGE, the test images split into halves."""
    generator = study_streams(study_seed).numpy(Purpose.HALVES)
    halves = np.full(len(data.test.labels), str(Half.B), dtype=object)
    halves[generator.permutation(len(halves))[: len(halves) // 2]] = str(Half.A)
    names = np.array(data.class_names, dtype=object)
    test = pl.DataFrame(
        {
            "image_id": data.test.image_id,
            "split": [str(Split.TEST)] * len(halves),
            "label": data.test.labels.astype(np.int32),
            "class_name": names[data.test.labels].tolist(),
            "half": halves.tolist(),
            "png": [
                _png(pixels)
                for rows in np.array_split(np.arange(len(halves)), -(-len(halves) // 500))
                for pixels in data.test.pixels.read(rows)
            ],
        },
        schema=IMAGE.schema,
    )
    pool = pl.DataFrame(
        {
            "image_id": data.pool.image_id,
            "split": [str(Split.TRAIN)] * len(data.pool.labels),
            "label": data.pool.labels.astype(np.int32),
            "class_name": names[data.pool.labels].tolist(),
            "half": [None] * len(data.pool.labels),
            "png": [None] * len(data.pool.labels),
        },
        schema=IMAGE.schema,
    )
    return pl.concat([pool, test])


def _digits(dataset: DigitsData, study_seed: int) -> tuple[Images, Images, tuple[str, ...]]:
    from sklearn.datasets import load_digits  # slow to import, and only this data set needs it

    bunch: Any = load_digits()
    grey = np.asarray(bunch.images / 16, dtype=np.float32)
    pixels = _resized(grey[:, None], dataset.image_size)
    labels = np.asarray(bunch.target, dtype=np.int64)
    order = study_streams(study_seed).numpy(Purpose.TEST_SET).permutation(len(labels))
    test, pool = np.sort(order[: dataset.test_size]), np.sort(order[dataset.test_size :])
    return (
        Images(pool.astype(np.int32), InMemory(pixels[pool]), labels[pool]),
        Images(test.astype(np.int32), InMemory(pixels[test]), labels[test]),
        tuple(str(digit) for digit in range(10)),
    )


def _resized(images: NDArray[np.float32], side: int) -> NDArray[np.uint8]:
    """Scale fractions of shape (images, channels, h, w) to side x side, as uint8."""
    # what torchvision's resize does, without the second that it takes to import
    scaled = functional.interpolate(
        torch.from_numpy(images), (side, side), mode="bilinear", antialias=True
    )
    return (scaled.clamp(0, 1) * 255).round().to(torch.uint8).numpy()


def _parquet(dataset: ParquetData, study_seed: int) -> tuple[Images, Images, tuple[str, ...]]:
    folder = Path(dataset.path)
    train = _read_split(folder, "train", dataset)
    test = _read_split(folder, "test", dataset)
    if dataset.test_size > test.height:
        raise DataError(
            f"dataset.test_size is {dataset.test_size}, but {folder} has {test.height} test "
            f"images; allowed: at most {test.height}"
        )
    order = study_streams(study_seed).numpy(Purpose.TEST_SET).permutation(test.height)
    chosen = np.sort(order[: dataset.test_size])
    names = dataset.class_names or tuple(str(label) for label in range(dataset.classes))
    pool = _decoded(train, np.arange(train.height), 0, dataset)
    return pool, _decoded(test, chosen, train.height, dataset), names


def _image_folder(
    dataset: ImageFolderData, study_seed: int
) -> tuple[Images, Images, tuple[str, ...]]:
    import_torchvision()
    from torchvision.datasets import ImageFolder

    folder = Path(dataset.path)
    test_folder = image_folder_test(folder) or folder / "test"
    try:
        train, test = (ImageFolder(str(place)) for place in (folder / "train", test_folder))
    except (OSError, ValueError) as error:
        raise DataError(f"{folder}: cannot be read: {' '.join(str(error).split())}") from None
    if train.classes != test.classes:
        odd = sorted(set(train.classes) ^ set(test.classes))
        raise DataError(
            f"{folder}: train and {test_folder.name} differ in their classes, the first being "
            f"{odd[0]!r}; both need the same folders"
        )
    if len(train.classes) != dataset.classes:
        raise DataError(
            f"dataset.classes is {dataset.classes}, but {folder} has {len(train.classes)} folders"
        )
    if dataset.test_size > len(test.samples):
        raise DataError(
            f"dataset.test_size is {dataset.test_size}, but {test_folder} has {len(test.samples)} "
            f"images; allowed: at most {len(test.samples)}"
        )
    order = study_streams(study_seed).numpy(Purpose.TEST_SET).permutation(len(test.samples))
    chosen = np.sort(order[: dataset.test_size])
    pool = _files(train.samples, np.arange(len(train.samples)), 0, dataset)
    return pool, _files(test.samples, chosen, len(train.samples), dataset), tuple(train.classes)


def _files(
    samples: list[tuple[str, int]],
    rows: NDArray[np.int64],
    first_id: int,
    dataset: ImageFolderData,
) -> Images:
    pixels = InFiles(
        [Path(samples[row][0]) for row in rows],
        partial(_centre, side=dataset.image_size),
        channels=3,
        side=dataset.image_size,
        threads=dataset.decoders,
    )
    labels = np.array([samples[row][1] for row in rows], dtype=np.int64)
    return Images((rows + first_id).astype(np.int32), pixels, labels)


def _centre(file: Path, side: int) -> NDArray[np.uint8]:
    """Decode a file; its centre, shape (3, side, side), at 8/7 of the size that fits."""
    try:
        with Image.open(file) as opened:
            image = _colour(opened)
    except (UnidentifiedImageError, OSError) as error:
        raise DataError(f"{file}: cannot be decoded: {error}") from None
    # lengths and places are rounded as torchvision's resize and center_crop do
    target, shorter = round(side * 8 / 7), min(image.size)
    width, height = (int(target * length / shorter) for length in image.size)
    left, top = round((width - side) / 2), round((height - side) / 2)
    scaled = image.resize((width, height), Image.Resampling.BILINEAR)
    centre = scaled.crop((left, top, left + side, top + side))
    return np.asarray(centre, dtype=np.uint8).transpose(2, 0, 1)


def _read_split(folder: Path, split: str, dataset: ParquetData) -> pl.DataFrame:
    files = sorted(folder.glob(f"{split}*.parquet"))
    try:
        table = pl.concat([pl.read_parquet(file) for file in files])
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError(f"{folder}: {split} cannot be read: {error}") from None
    for key, column in (
        ("image_column", dataset.image_column),
        ("label_column", dataset.label_column),
    ):
        if column not in table.columns:
            raise DataError(
                f"dataset.{key}: {files[0]} has no column {column!r}; it has "
                f"{', '.join(table.columns)}"
            )
    image_type = table.schema[dataset.image_column]
    if not isinstance(image_type, pl.Struct) or "bytes" not in {f.name for f in image_type.fields}:
        raise DataError(
            f"{files[0]}: column {dataset.image_column!r} is {image_type}; it must be a struct "
            "with a field 'bytes' that holds the encoded image"
        )
    labels = table[dataset.label_column]
    if not labels.dtype.is_integer():
        raise DataError(
            f"{files[0]}: column {dataset.label_column!r} is {labels.dtype}, not integer"
        )
    low, high = labels.min(), labels.max()
    if labels.null_count() or not (isinstance(low, int) and isinstance(high, int)):
        raise DataError(f"{files[0]}: column {dataset.label_column!r} has missing labels")
    if low < 0 or high >= dataset.classes:
        raise DataError(
            f"dataset.classes is {dataset.classes}, but {files[0]} has labels {low} to {high}; "
            f"allowed: 0 to {dataset.classes - 1}"
        )
    return table.select(
        image=pl.col(dataset.image_column).struct.field("bytes"),
        label=pl.col(dataset.label_column).cast(pl.Int64),
    )


def _decoded(
    table: pl.DataFrame, rows: NDArray[np.int64], first_id: int, dataset: ParquetData
) -> Images:
    side = dataset.image_size
    pixels = np.empty((len(rows), 3, side, side), dtype=np.uint8)
    encoded = table["image"]
    for position, row in enumerate(rows):
        pixels[position] = _decode(encoded[int(row)], int(row), side)
    return Images(
        (rows + first_id).astype(np.int32),
        InMemory(pixels),
        table["label"].to_numpy()[rows].copy(),
    )


def _decode(content: bytes | None, row: int, side: int) -> NDArray[np.uint8]:
    try:
        image = _colour(Image.open(io.BytesIO(content or b"")))
    except (UnidentifiedImageError, OSError) as error:
        raise DataError(f"dataset: image in row {row} cannot be decoded: {error}") from None
    if image.size != (side, side):
        image = image.resize((side, side), Image.Resampling.BILINEAR)
    return np.asarray(image, dtype=np.uint8).transpose(2, 0, 1)


def _colour(image: Image.Image) -> Image.Image:
    """Turn any image into 8-bit colour; 16-bit grey is scaled, which Pillow would clip."""
    if image.mode.startswith("I"):
        image = Image.fromarray(
            (np.asarray(image).astype(np.float64) / 257).round().astype(np.uint8)
        )
    return image.convert("RGB")


def _png(pixels: NDArray[np.uint8]) -> bytes:
    array = pixels[0] if pixels.shape[0] == 1 else pixels.transpose(1, 2, 0)
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, format="PNG")
    return stream.getvalue()
