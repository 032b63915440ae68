"""Files of the published data sets' layouts, written from arrays."""

import gzip
import io
import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray
from PIL import Image

from store.images import (
    Cifar10Data,
    Cifar100Data,
    FashionMnistData,
    ImageFolderData,
    ParquetData,
)

_PICKLE_OF_CIFAR: Final = 2
_CLASSES_OF_A_COARSE_ONE: Final = 5
_TEN: Final = 10


@dataclass(frozen=True, slots=True)
class Drawn:
    """One split. pixels: uint8, shape (images, channels, height, width). labels: (images,)."""

    pixels: NDArray[np.uint8]
    labels: NDArray[np.int64]


def write_cifar(
    dataset: Cifar10Data | Cifar100Data, train: Drawn, test: Drawn, place: Path
) -> None:
    """Write CIFAR's batches and its file of names."""
    *batches, test_batch, meta = (place / file.name for file in dataset.published.files)
    rows = np.array_split(np.arange(len(train.labels)), len(batches))
    for path, part in zip(batches, rows, strict=True):
        _pickle(path, _batch(dataset, Drawn(train.pixels[part], train.labels[part]), path.name))
    _pickle(test_batch, _batch(dataset, test, test_batch.name))
    names = [name_of(label) for label in range(dataset.classes)]
    if isinstance(dataset, Cifar100Data):
        coarse = [f"stand-in group {group}" for group in range(dataset.classes // 5)]
        _pickle(meta, {"fine_label_names": names, "coarse_label_names": coarse})
    else:
        _pickle(meta, {"label_names": names, "num_vis": 3072})


def write_idx(dataset: FashionMnistData, train: Drawn, test: Drawn, place: Path) -> None:
    """Write MNIST's four packed files: images and labels of both splits."""
    paths = [place / file.name for file in dataset.published.files]
    arrays = (train.pixels[:, 0], train.labels, test.pixels[:, 0], test.labels)
    for path, array in zip(paths, arrays, strict=True):
        header = bytes((0, 0, 8, array.ndim)) + np.array(array.shape, dtype=">i4").tobytes()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(header + array.astype(np.uint8).tobytes(), mtime=0))


def write_mat(train: Drawn, test: Drawn, place: Path) -> None:
    """Write SVHN's two MATLAB files, in which the digit 0 has the label 10."""
    from scipy.io import savemat

    for name, split in (("train", train), ("test", test)):
        labels = np.where(split.labels == 0, _TEN, split.labels).astype(np.uint8)
        content = {"X": split.pixels.transpose(2, 3, 1, 0), "y": labels[:, None]}
        savemat(place / f"{name}_32x32.mat", content)


def write_parquet(dataset: ParquetData, train: Drawn, test: Drawn, place: Path) -> None:
    """Write both splits as the Hugging Face layout has them, images as PNG."""
    for name, split in (("train", train), ("test", test)):
        encoded = [{"bytes": _encoded(pixels, "PNG"), "path": None} for pixels in split.pixels]
        pl.DataFrame(
            {dataset.image_column: encoded, dataset.label_column: split.labels},
            schema={
                dataset.image_column: pl.Struct({"bytes": pl.Binary, "path": pl.String}),
                dataset.label_column: pl.Int64,
            },
        ).write_parquet(place / f"{name}-00000-of-00001.parquet")


def write_folders(dataset: ImageFolderData, train: Drawn, test: Drawn, place: Path) -> None:
    """Write JPEG files in folders named as ImageNet's, and the lists that the study names."""
    splits = (("train", dataset.train_list, train), ("val", dataset.test_list, test))
    for folder, listed, split in splits:
        lines = _write_images(place, folder, split)
        if listed is not None:
            (place / listed).write_text("".join(lines), encoding="utf-8")
    if dataset.class_names_file is not None:
        names = [f"{_wnid(label)} {name_of(label)}\n" for label in range(dataset.classes)]
        (place / dataset.class_names_file).write_text("".join(names), encoding="utf-8")


def name_of(label: int) -> str:
    """Return a class's name, which says that it is none."""
    return f"stand-in {label}"


def _write_images(place: Path, folder: str, split: Drawn) -> Sequence[str]:
    """Write one split's images; return the lines that list them."""
    lines: list[str] = []
    for number, (pixels, label) in enumerate(zip(split.pixels, split.labels.tolist(), strict=True)):
        name = f"{folder}/{_wnid(label)}/{_wnid(label)}_{number}.JPEG"
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(_encoded(pixels, "JPEG"))
        lines.append(f"{name} {label}\n")
    return lines


def _wnid(label: int) -> str:
    return f"n{label:08d}"


def _encoded(pixels: NDArray[np.uint8], kind: str) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels.transpose(1, 2, 0)).save(stream, format=kind)
    return stream.getvalue()


def _batch(dataset: Cifar10Data | Cifar100Data, split: Drawn, name: str) -> dict[str, Any]:
    """Return a batch as CIFAR has it: one image a row, its red values first."""
    labels = split.labels.tolist()
    files = [f"stand_in_{number:06d}.png" for number in range(len(labels))]
    batch = {
        "batch_label": name,
        "data": split.pixels.reshape(len(labels), -1),
        "filenames": files,
    }
    if isinstance(dataset, Cifar100Data):
        coarse = [label // _CLASSES_OF_A_COARSE_ONE for label in labels]
        return {**batch, "fine_labels": labels, "coarse_labels": coarse}
    return {**batch, "labels": labels}


def _pickle(path: Path, content: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(content, protocol=_PICKLE_OF_CIFAR))
