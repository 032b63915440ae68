"""Images in files: folders in torchvision's layout, or lists that name them."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from collect.pixels import AsNeeded
from collect.readers.decoding import centre
from collect.readers.lists import Sample, read_class_names, read_lists
from collect.readers.splits import Images, Splits, drawn_test_rows
from collect.torchvision_operators import import_torchvision
from store.errors import DataError, one_line
from store.images import ImageFolderData, image_folder_test


def read_folders(dataset: ImageFolderData, study_seed: int) -> Splits:
    """Find the images of a folder; they are decoded when asked for.

    Raises DataError that names folder, list, line or file.
    """
    if dataset.train_list is None:
        train, test, folders = _listed_by_folder(dataset)
        place = str(image_folder_test(Path(dataset.path)))
    else:
        train, test = read_lists(dataset)
        folders, place = _folders_of(train, dataset.classes), str(dataset.test_list)
    names = read_class_names(dataset, folders)
    chosen = drawn_test_rows(len(test), dataset.test_size, study_seed=study_seed, place=place)
    pool = _files(train, np.arange(len(train)), 0, dataset)
    return Splits(pool, _files(test, chosen, len(train), dataset), names)


def _listed_by_folder(
    dataset: ImageFolderData,
) -> tuple[list[Sample], list[Sample], tuple[str, ...]]:
    """List both splits' images, and the classes' folders, which must be the same in both."""
    import_torchvision()
    from torchvision.datasets import ImageFolder

    folder = Path(dataset.path)
    test_folder = image_folder_test(folder) or folder / "test"
    try:
        train, test = (ImageFolder(str(place)) for place in (folder / "train", test_folder))
    except (OSError, ValueError) as error:
        raise DataError(f"{folder}: cannot be read: {one_line(str(error))}") from None
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
    samples = (
        [Sample(Path(file), label) for file, label in split.samples] for split in (train, test)
    )
    return next(samples), next(samples), tuple(train.classes)


def _folders_of(samples: Sequence[Sample], classes: int) -> tuple[str, ...] | None:
    """Return each class's folder, where every class has one of its own; else None."""
    found: dict[int, set[str]] = {}
    for sample in samples:
        found.setdefault(sample.label, set()).add(sample.file.parent.name)
    folders = [next(iter(found[label])) for label in range(classes)]
    alone = all(len(names) == 1 for names in found.values()) and len(set(folders)) == classes
    return tuple(folders) if alone else None


def _files(
    samples: Sequence[Sample],
    rows: NDArray[np.int64],
    first_id: int,
    dataset: ImageFolderData,
) -> Images:
    pixels = AsNeeded(
        [samples[row].file for row in rows.tolist()],
        partial(centre, side=dataset.image_size),
        channels=3,
        side=dataset.image_size,
        threads=dataset.decoders,
    )
    labels = np.array([samples[row].label for row in rows.tolist()], dtype=np.int64)
    return Images((rows + first_id).astype(np.int32), pixels, labels)
