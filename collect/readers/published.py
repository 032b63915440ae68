"""The published data sets: CIFAR-10 and -100, Fashion-MNIST, SVHN, as torchvision lays them out."""

import gzip
import hashlib
import logging
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from collect.pixels import THREADS, AsNeeded, InMemory, Pixels, fit_in_memory
from collect.readers.decoding import of_side
from collect.readers.pickled import read_pickled
from collect.readers.splits import Images, Splits, drawn_test_rows
from store.errors import DataError, one_line
from store.image_files import STAND_IN, is_stand_in, present
from store.images import Cifar10Data, Cifar100Data, FashionMnistData, Published, SvhnData

_log = logging.getLogger(__name__)

_TEN: Final = 10


@dataclass(frozen=True, slots=True)
class _Labelled:
    """One file's images, uint8, shape (images, channels, side, side), and labels, as found."""

    pixels: NDArray[np.uint8]
    labels: NDArray[np.int64]


def read_published(dataset: Published, study_seed: int) -> Splits:
    """Read a published data set, whose files must be those published, or marked as made up.

    Raises DataError that names the file.
    """
    paths = _verified(dataset)
    names = dataset.published.class_names
    if isinstance(dataset, FashionMnistData):
        train, test = _idx(*paths[:2]), _idx(*paths[2:])
    elif isinstance(dataset, SvhnData):
        train, test = (_mat(path) for path in paths)
    else:
        *batches, test_batch, meta = paths
        train, test = (
            _joined([_cifar(path, dataset) for path in batches]),
            _cifar(test_batch, dataset),
        )
        names = _cifar_names(meta, dataset)
    for path, split in ((paths[0], train), (paths[-1], test)):
        _check_labels(path, split.labels, dataset.classes)
    return _splits(dataset, train, test, names, study_seed)


def _splits(
    dataset: Published, train: _Labelled, test: _Labelled, names: tuple[str, ...], study_seed: int
) -> Splits:
    pool_size = len(train.labels)
    chosen = drawn_test_rows(
        len(test.labels),
        dataset.test_size,
        study_seed=study_seed,
        place=f"the test set in {dataset.root}",
    )
    return Splits(
        Images(
            np.arange(pool_size, dtype=np.int32),
            _scaled(train.pixels, dataset.image_size),
            train.labels,
        ),
        Images(
            (chosen + pool_size).astype(np.int32),
            _scaled(test.pixels[chosen], dataset.image_size),
            test.labels[chosen],
        ),
        names,
    )


def _scaled(images: NDArray[np.uint8], side: int) -> Pixels:
    """Scale images to a study's size: at once, or each as it is needed where they are many."""
    count, channels, _, _ = images.shape
    if fit_in_memory(count, channels, side):
        return InMemory(of_side(images, side))
    return AsNeeded(
        range(count),
        lambda row: of_side(images[row : row + 1], side)[0],
        channels=channels,
        side=side,
        threads=THREADS,
    )


def _verified(dataset: Published) -> tuple[Path, ...]:
    """Return the files, in the declared order, each with the published checksum.

    Checksums are of files as published: one unpacked by hand has none, and stand-in images
    have others.
    """
    root = Path(dataset.root)
    made_up = is_stand_in(dataset)
    if made_up:
        _log.warning("%s holds stand-in images, as %s says", root, root / STAND_IN)
    paths: list[Path] = []
    for file in dataset.published.files:
        path = present(root, file.name)
        if path is None:
            raise DataError(f"dataset.root: {root} does not hold {file.name}")
        if not made_up and path == root / file.name:
            with path.open("rb") as stream:
                found = hashlib.file_digest(stream, _md5).hexdigest()
            if found != file.md5:
                raise DataError(
                    f"{path}: is not the published file: its MD5 is {found}, that of "
                    f"{dataset.published.title} is {file.md5}; delete it and download it again"
                )
        paths.append(path)
    return tuple(paths)


def _md5() -> Any:
    return hashlib.md5(usedforsecurity=False)


def _cifar(path: Path, dataset: Cifar10Data | Cifar100Data) -> _Labelled:
    """Read one batch: data, shape (images, 3 * 32 * 32), and labels."""
    side = dataset.published.side
    found = read_pickled(path)
    data = found.get("data")
    labels = found.get("fine_labels" if isinstance(dataset, Cifar100Data) else "labels")
    if not isinstance(data, np.ndarray) or not isinstance(labels, list):
        raise DataError(f"{path}: is no batch of {dataset.published.title}: data or labels missing")
    if data.dtype != np.uint8 or data.shape != (len(labels), 3 * side * side):
        raise DataError(
            f"{path}: data is {data.dtype} of shape {data.shape}; expected uint8 of shape "
            f"({len(labels)}, {3 * side * side})"
        )
    if not all(isinstance(label, int) for label in labels):
        raise DataError(f"{path}: labels are not integers")
    return _Labelled(data.reshape(-1, 3, side, side), np.array(labels, dtype=np.int64))


def _cifar_names(path: Path, dataset: Cifar10Data | Cifar100Data) -> tuple[str, ...]:
    key = "fine_label_names" if isinstance(dataset, Cifar100Data) else "label_names"
    names = read_pickled(path).get(key)
    if not isinstance(names, list) or len(names) != dataset.classes:
        raise DataError(f"{path}: {key} does not name {dataset.classes} classes")
    return tuple(str(name) for name in names)


def _joined(parts: list[_Labelled]) -> _Labelled:
    return _Labelled(
        np.concatenate([part.pixels for part in parts]),
        np.concatenate([part.labels for part in parts]),
    )


def _idx(images: Path, labels: Path) -> _Labelled:
    """Read a pair of MNIST's files: images, shape (images, 1, side, side), and labels."""
    pixels, numbers = _idx_array(images, 3), _idx_array(labels, 1)
    if len(pixels) != len(numbers) or pixels.shape[1] != pixels.shape[2]:
        raise DataError(
            f"{images}: images of shape {pixels.shape}, but {len(numbers)} labels in {labels}"
        )
    return _Labelled(pixels[:, None], numbers.astype(np.int64))


def _idx_array(path: Path, dimensions: int) -> NDArray[np.uint8]:
    """Read an IDX file of bytes: magic number, sizes, values (LeCun's format)."""
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path}: cannot be unpacked: {one_line(str(error))}") from None
    header = 4 + 4 * dimensions
    sizes = np.frombuffer(content[4:header], dtype=">i4") if len(content) >= header else ()
    expected = bytes((0, 0, 8, dimensions))
    if content[:4] != expected or len(content) - header != np.prod(sizes, dtype=np.int64):
        raise DataError(f"{path}: is no IDX file of bytes with {dimensions} dimensions, or cut off")
    # copied: torch takes no array over bytes that are not to be written
    return np.frombuffer(content, dtype=np.uint8, offset=header).reshape(sizes).copy()


def _mat(path: Path) -> _Labelled:
    """Read one split of SVHN: X, shape (side, side, 3, images), and y, where 10 means digit 0."""
    from scipy.io import loadmat  # only this data set needs it

    try:
        found: dict[str, Any] = loadmat(path)
    except Exception as error:  # what damaged bytes can lead to is open
        if isinstance(error, OSError) and error.errno is not None:
            # the disk's fault; scipy's own has no number
            raise
        raise DataError(f"{path}: is no MATLAB file, or cut off: {one_line(str(error))}") from None
    data, labels = found.get("X"), found.get("y")
    if not isinstance(data, np.ndarray) or not isinstance(labels, np.ndarray):
        raise DataError(f"{path}: is no file of SVHN: X or y is missing")
    if data.dtype != np.uint8 or data.ndim != 4 or data.shape[3] != labels.size:
        raise DataError(
            f"{path}: X is {data.dtype} of shape {data.shape} for {labels.size} labels; expected "
            "uint8 of shape (32, 32, 3, images)"
        )
    numbers = labels.reshape(-1).astype(np.int64)
    numbers[numbers == _TEN] = 0
    return _Labelled(np.ascontiguousarray(data.transpose(3, 2, 0, 1)), numbers)


def _check_labels(path: Path, labels: NDArray[np.int64], classes: int) -> None:
    if not len(labels) or labels.min() < 0 or labels.max() >= classes:
        found = f"{labels.min()} to {labels.max()}" if len(labels) else "none"
        raise DataError(f"{path}: labels are {found}; allowed: 0 to {classes - 1}")
