"""Text files beside images: lists of images with their labels, names of classes."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from store.errors import DataError
from store.images import ImageFolderData

_LINE = re.compile(r"(?P<file>\S.*?)\s+(?P<label>-?\d+)\s*")


@dataclass(frozen=True, slots=True)
class Sample:
    """One image file and its label."""

    file: Path
    label: int


def read_lists(dataset: ImageFolderData) -> tuple[list[Sample], list[Sample]]:
    """Read the lists of training and of test images.

    Raises DataError that names list and line: of a malformed line, a label that is no class's, a
    file that is not there, and an image that is named twice or in both lists.
    """
    assert dataset.train_list is not None
    assert dataset.test_list is not None
    root = Path(dataset.path)
    named: dict[Path, str] = {}
    train, test = (
        _read_list(root / name, root, dataset.classes, named)
        for name in (dataset.train_list, dataset.test_list)
    )
    absent = set(range(dataset.classes)) - {sample.label for sample in train}
    if absent:
        raise DataError(
            f"{root / dataset.train_list}: no image of class {min(absent)}; dataset.classes is "
            f"{dataset.classes}, so labels 0 to {dataset.classes - 1} need images"
        )
    return train, test


def read_class_names(dataset: ImageFolderData, folders: tuple[str, ...] | None) -> tuple[str, ...]:
    """Return the classes' names: of ``class_names_file``, else their folders, else numbers.

    folders: of the classes, where each has one of its own. Raises DataError where the file does
    not name every class.
    """
    plain = folders or tuple(str(label) for label in range(dataset.classes))
    if dataset.class_names_file is None:
        return plain
    path = Path(dataset.path) / dataset.class_names_file
    lines = [line.strip() for line in _text(path).splitlines() if line.strip()]
    if len(lines) != dataset.classes:
        raise DataError(
            f"{path}: {len(lines)} lines; dataset.classes is {dataset.classes}, and every class "
            "needs one"
        )
    by_folder = {line.split()[0]: " ".join(line.split()[1:]) for line in lines}
    if folders is not None and set(by_folder) == set(folders):
        return tuple(by_folder[folder] or folder for folder in folders)
    return tuple(lines)


def _read_list(path: Path, root: Path, classes: int, named: dict[Path, str]) -> list[Sample]:
    """Read one list; ``named`` says where a file has been named so far."""
    samples: list[Sample] = []
    for number, line in enumerate(_text(path).splitlines(), start=1):
        if not line.strip():
            continue
        place = f"{path}: line {number}"
        sample = _sample(line, root, classes, place)
        if sample.file in named:
            raise DataError(
                f"{place}: {sample.file} is named again; {named[sample.file]} has it already, and "
                "an image may be listed once"
            )
        named[sample.file] = place
        samples.append(sample)
    _require_files(samples, named)
    return samples


def _sample(line: str, root: Path, classes: int, place: str) -> Sample:
    found = _LINE.fullmatch(line)
    if found is None:
        raise DataError(
            f"{place}: {line.strip()[:80]!r} is not FILE LABEL; expected e.g. "
            "train/n01440764/n01440764_190.JPEG 0"
        )
    label = int(found["label"])
    if not 0 <= label < classes:
        raise DataError(
            f"{place}: label {label}, but dataset.classes is {classes}; allowed: 0 to {classes - 1}"
        )
    return Sample(root / found["file"], label)


def _require_files(samples: Sequence[Sample], named: dict[Path, str]) -> None:
    """Raise DataError for the first file that is not there."""
    # folder by folder: a look at each of a hundred thousand files would take long on a network
    present: dict[Path, set[str]] = {}
    for sample in samples:
        folder = sample.file.parent
        if folder not in present:
            present[folder] = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
        if sample.file.name not in present[folder]:
            raise DataError(f"{named[sample.file]}: {sample.file} is not there")


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read: {error}") from None
