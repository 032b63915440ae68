"""Images made up in a data set's own layout, so that a study can be tried where its images are not.

Every class has a pattern of its own, a coloured grating and a blob, in noise: networks learn
it. The files are those of the real data set, and the same readers read them.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from collect.stand_in_files import Drawn, write_cifar, write_folders, write_idx, write_mat
from collect.stand_in_files import write_parquet as write_parquet_files
from store.atomic import whole_folder, write_text
from store.design import Design
from store.errors import UserError
from store.image_files import STAND_IN
from store.images import (
    Cifar10Data,
    Cifar100Data,
    DigitsData,
    FashionMnistData,
    ForeignData,
    ImageFolderData,
    OwnImages,
    ParquetData,
)
from store.long_tail import long_tail
from store.smoke import design_with_images_in

_FEWEST: Final = 100
"""Training images where the study does not say how many."""
_GOLDEN: Final = (math.sqrt(5) - 1) / 2
_LARGEST_SIDE: Final = 64
_NOISE: Final = 28.0
"""Standard deviation of the noise, in grey levels."""
_TEXT: Final = (
    "The images beside this file were made by python -m collect stand-in, to try a study out. "
    "They show nothing real: what a study finds with them says nothing of the data set.\n"
)


@dataclass(frozen=True, slots=True)
class Counts:
    """How many images are made of each class."""

    train: tuple[int, ...]
    test: tuple[int, ...]


def write_stand_in(design: Design, folder: Path) -> Design:
    """Make a study's images in a new folder; return the study that reads them there.

    As many as the study needs: ``test_size``, ``train_subset.size`` (without it two of a class,
    100 at least), and a long tail's first class as large as ``imbalance`` asks for. The folder is
    whole or absent. Raises UserError where the study needs no images or the folder holds something.
    """
    dataset = design.dataset
    if isinstance(dataset, ForeignData | DigitsData):
        raise UserError(
            f"{design.study}: dataset.kind {dataset.kind} needs no images from disk; run it so"
        )
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder}: exists already; delete it, or name another folder")
    counts = counts_for(dataset)
    moved = design_with_images_in(folder, design)
    with whole_folder(folder) as place:
        _write(moved.dataset, counts, place, design.study_seed)
        write_text(place / STAND_IN, _TEXT)
    return moved


def counts_for(dataset: OwnImages) -> Counts:
    """How many images of each class a study needs, so that none is short of one."""
    classes = _classes(dataset)
    subset = dataset.train_subset
    needed = max(2 * classes, _FEWEST) if subset is None else subset.size
    if dataset.imbalance is None:
        train = (max(2, -(-needed // classes)),) * classes
    else:
        largest = math.ceil(dataset.imbalance)
        while sum(train := long_tail(largest, classes, dataset.imbalance)) < needed:
            largest += 1
    return Counts(train, (-(-dataset.test_size // classes),) * classes)


def draw_class(
    label: int,
    classes: int,
    count: int,
    *,
    shape: tuple[int, int, int],
    generator: np.random.Generator,
) -> NDArray[np.uint8]:
    """Make images of one class, shape (count, channels, height, width).

    shape: of one image. The class sets the grating's direction and frequency, its colours and
    the blob's place; the generator phases, small turns, contrast and noise.
    """
    channels, height, width = shape
    place, share = (label * _GOLDEN) % 1, label / classes
    rows, columns = np.meshgrid(np.linspace(0, 1, height), np.linspace(0, 1, width), indexing="ij")

    def each(low: float, high: float) -> NDArray[np.float64]:
        return generator.uniform(low, high, size=(count, 1, 1))

    angle = np.pi * place + each(-0.1, 0.1)
    cycles = 2 + 3 * ((label * _GOLDEN**2) % 1)
    wave = np.sin(
        2 * np.pi * (cycles * (np.cos(angle) * columns + np.sin(angle) * rows) + each(0, 1))
    )
    distance = (columns - 0.2 - 0.6 * share - each(-0.05, 0.05)) ** 2 + (
        rows - 0.2 - 0.6 * place - each(-0.05, 0.05)
    ) ** 2
    figure = each(30, 55) * wave + each(60, 90) * np.exp(-distance / 0.015)
    tint = np.cos(2 * np.pi * (share + np.arange(3) / 3))[:channels, None, None]
    images = 118 + 40 * tint * (channels > 1) + figure[:, None] * (1 + 0.4 * tint)
    images = images + generator.normal(0, _NOISE, size=images.shape)
    return images.clip(0, 255).round().astype(np.uint8)


def _write(dataset: Any, counts: Counts, place: Path, seed: int) -> None:
    if isinstance(dataset, ImageFolderData):
        # small, for there may be a thousand classes, and wider than high: readers enlarge them and
        # cut out the centre
        side = min(round(dataset.image_size * 8 / 7), _LARGEST_SIDE)
        shape = (3, side, side + side // 4)
        train, test = _drawn(counts, shape, seed)
        write_folders(dataset, train, test, place)
    elif isinstance(dataset, ParquetData):
        train, test = _drawn(counts, (3, dataset.image_size, dataset.image_size), seed)
        write_parquet_files(dataset, train, test, place)
    else:
        side = dataset.published.side
        channels = 1 if isinstance(dataset, FashionMnistData) else 3
        train, test = _drawn(counts, (channels, side, side), seed)
        if isinstance(dataset, Cifar10Data | Cifar100Data):
            write_cifar(dataset, train, test, place)
        elif isinstance(dataset, FashionMnistData):
            write_idx(dataset, train, test, place)
        else:
            write_mat(train, test, place)


def _drawn(counts: Counts, shape: tuple[int, int, int], seed: int) -> tuple[Drawn, Drawn]:
    """Make both splits' images, each in a drawn order."""
    return _drawn_split(counts.train, shape, seed, 0), _drawn_split(counts.test, shape, seed, 1)


def _drawn_split(
    counts: tuple[int, ...], shape: tuple[int, int, int], seed: int, split: int
) -> Drawn:
    labels = np.repeat(np.arange(len(counts)), counts)
    pixels = np.empty((len(labels), *shape), dtype=np.uint8)
    for label, count in enumerate(counts):
        pixels[labels == label] = draw_class(
            label,
            len(counts),
            count,
            shape=shape,
            generator=np.random.default_rng([seed, split, label]),
        )
    order = np.random.default_rng([seed, split]).permutation(len(labels))
    return Drawn(pixels[order], labels[order])


def _classes(dataset: OwnImages) -> int:
    assert not isinstance(dataset, DigitsData)
    return dataset.classes
