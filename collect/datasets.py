"""Images as arrays: the training pool and the fixed test set of a study."""

import io
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from PIL import Image

from collect.download import fetch
from collect.long_tail import kept_per_class, long_tailed_rows
from collect.pixels import AsNeeded, Pixels
from collect.readers.digits import read_digits
from collect.readers.folders import read_folders
from collect.readers.parquet import read_parquet
from collect.readers.published import read_published
from collect.readers.splits import Images, Splits
from collect.seeding import Purpose, study_streams
from store.design import Design
from store.errors import DataError
from store.frames import IMAGE
from store.images import (
    DigitsData,
    ForeignData,
    ImageFolderData,
    OwnImages,
    ParquetData,
    drawn_per_block,
)
from store.study_file import require_data
from store.vocabulary import Half, Split

_IMAGES_FOR_STATISTICS: Final = 4096
_VALUES_AT_ONCE: Final = 2**22


@dataclass(frozen=True, slots=True)
class Data:
    """A study's images: the pool that blocks draw their training subsets from, and the test set.

    pool: without the images that no block can use, where all blocks share one long tail. mean,
    std: of the pool's pixels per channel, as fractions of 255, for standardization; of
    4,096 images, evenly spaced, where they are made as needed.
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
    assert not isinstance(dataset, ForeignData)
    splits = _read(dataset, design.study_seed)
    pool, usable = splits.pool, len(splits.pool.labels)
    if dataset.imbalance is not None:
        classes = len(splits.class_names)
        usable = sum(kept_per_class(np.bincount(pool.labels, minlength=classes), dataset.imbalance))
        if not drawn_per_block(dataset):
            generator = study_streams(design.study_seed).numpy(Purpose.LONG_TAIL)
            pool = pool.taken(long_tailed_rows(pool.labels, classes, dataset.imbalance, generator))
    _check_subset(dataset, usable)
    mean, std = _statistics(pool.pixels)
    return Data(pool, splits.test, splits.class_names, mean, std)


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


def _read(dataset: OwnImages, study_seed: int) -> Splits:
    if isinstance(dataset, DigitsData):
        return read_digits(dataset, study_seed)
    if isinstance(dataset, ParquetData):
        return read_parquet(dataset, study_seed)
    if isinstance(dataset, ImageFolderData):
        return read_folders(dataset, study_seed)
    if dataset.download:
        fetch(dataset)
    return read_published(dataset, study_seed)


def _check_subset(dataset: OwnImages, usable: int) -> None:
    if dataset.train_subset is None or dataset.train_subset.size <= usable:
        return
    tail = "" if dataset.imbalance is None else f" at imbalance {dataset.imbalance:g}"
    raise DataError(
        f"dataset.train_subset.size is {dataset.train_subset.size}, but the training pool has "
        f"{usable} images{tail}; allowed: at most {usable}"
    )


def _statistics(pixels: Pixels) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean and standard deviation of the pool's pixels per channel, shape (channels,)."""
    images, channels, side, _ = pixels.shape
    # of images made as needed, some thousands, evenly spaced
    read = min(images, _IMAGES_FOR_STATISTICS if isinstance(pixels, AsNeeded) else images)
    rows = np.linspace(0, images - 1, read).round().astype(np.int64)
    parts = -(-read * channels * side * side // _VALUES_AT_ONCE)
    # how often each of the 256 levels occurs: exact, and no image has to stay in memory
    counts = np.zeros((channels, 256), dtype=np.int64)
    groups = np.array_split(rows, min(parts, read))
    for batch in pixels.batches(groups, torch.device("cpu")):
        for channel in range(channels):
            counts[channel] += np.bincount(batch[:, channel].numpy().reshape(-1), minlength=256)
    levels, total = np.arange(256), counts.sum(axis=1)
    mean = (counts @ levels) / total
    squares = (counts * (levels - mean[:, None]) ** 2).sum(axis=1) / total
    std = np.maximum(np.sqrt(squares) / 255, 1e-3)
    return (mean / 255).astype(np.float32), std.astype(np.float32)


def _png(pixels: NDArray[np.uint8]) -> bytes:
    array = pixels[0] if pixels.shape[0] == 1 else pixels.transpose(1, 2, 0)
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, format="PNG")
    return stream.getvalue()
