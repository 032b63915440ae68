"""What of a study's images must lie on disk before anything runs."""

from pathlib import Path
from typing import Final

from store.images import (
    Dataset,
    ImageFolderData,
    ParquetData,
    PublishedData,
    image_folder_test,
)
from store.vocabulary import Split

STAND_IN: Final = "stand-in.txt"
"""A file with this name says that the images beside it were made, not photographed."""


def missing_images(dataset: Dataset) -> str | None:
    """Say in one line what is not there and what to do; None where nothing is missing."""
    if isinstance(dataset, ParquetData):
        return _missing_parquet(dataset)
    if isinstance(dataset, ImageFolderData):
        return _missing_folders(dataset) if dataset.train_list is None else _missing_list(dataset)
    if isinstance(dataset, PublishedData) and not dataset.download:
        return _missing_published(dataset)
    return None


def image_root(dataset: Dataset) -> Path | None:
    """Return the folder that a data set's files lie in; None where it has none."""
    if isinstance(dataset, ParquetData | ImageFolderData):
        return Path(dataset.path)
    if isinstance(dataset, PublishedData):
        return Path(dataset.root)
    return None


def is_stand_in(dataset: Dataset) -> bool:
    """Whether the images on disk were made by ``python -m collect stand-in``."""
    root = image_root(dataset)
    return root is not None and (root / STAND_IN).is_file()


def present(root: Path, name: str) -> Path | None:
    """Return a published file below ``root``, packed as published or unpacked; None if absent."""
    path = root / name
    candidates = (path, path.with_suffix("")) if path.suffix == ".gz" else (path,)
    return next((candidate for candidate in candidates if candidate.is_file()), None)


def absent_files(dataset: PublishedData) -> list[str]:
    """List the published files that are not there, by their names below the root."""
    root = Path(dataset.root)
    return [file.name for file in dataset.published.files if present(root, file.name) is None]


def to_be_fetched(dataset: Dataset) -> bool:
    """Whether the study wants images downloaded that are not there yet."""
    return isinstance(dataset, PublishedData) and dataset.download and bool(absent_files(dataset))


def how_to_get(dataset: PublishedData) -> str:
    """Say what to download and where it goes."""
    first, *others = dataset.published.downloads
    if first.archive:
        return f"download {first.url} and unpack it in {dataset.root}"
    # they are published in one place and lie in one folder
    names = [first.url, *(other.url.rpartition("/")[2] for other in others)]
    folder = (Path(dataset.root) / first.name).parent
    return f"download {', '.join(names[:-1])} and {names[-1]} from there to {folder}"


def _missing_parquet(dataset: ParquetData) -> str | None:
    folder = Path(dataset.path)
    if all(any(folder.glob(f"{split}*.parquet")) for split in Split):
        return None
    return (
        f"dataset.path: {folder} does not hold train*.parquet and test*.parquet; it must "
        "be a folder of images in the Hugging Face Parquet layout"
    )


def _missing_folders(dataset: ImageFolderData) -> str | None:
    folder = Path(dataset.path)
    if not (folder / "train").is_dir() or image_folder_test(folder) is None:
        return (
            f"dataset.path: {folder} does not hold the folders train and test (or val); it "
            "must be a folder of images in torchvision's layout: train/CLASS/FILE"
        )
    return _missing_text(dataset, "class_names_file")


def _missing_list(dataset: ImageFolderData) -> str | None:
    if not Path(dataset.path).is_dir():
        return f"dataset.path: {dataset.path} is no folder; it must hold the images of the lists"
    lines = (_missing_text(dataset, key) for key in ("train_list", "test_list", "class_names_file"))
    return next((line for line in lines if line is not None), None)


def _missing_text(dataset: ImageFolderData, key: str) -> str | None:
    name: str | None = getattr(dataset, key)
    if name is None or (Path(dataset.path) / name).is_file():
        return None
    return f"dataset.{key}: {Path(dataset.path) / name}: no such file; its place is below path"


def _missing_published(dataset: PublishedData) -> str | None:
    absent = absent_files(dataset)
    if not absent:
        return None
    more = f" and {len(absent) - 1} more" if len(absent) > 1 else ""
    return (
        f"dataset.root: {dataset.root} does not hold {absent[0]}{more} of "
        f"{dataset.published.title}; {how_to_get(dataset)}; or set download: true"
    )
