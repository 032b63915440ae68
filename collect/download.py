"""Fetching a published data set: once, whole or not at all."""

import fcntl
import http.client
import logging
import shutil
import socket
import tarfile
import tempfile
import urllib.error
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from collect.torchvision_operators import import_torchvision
from store.errors import DataError, one_line
from store.image_files import absent_files, how_to_get
from store.images import Published
from store.published_images import Download, PublishedImages

_log = logging.getLogger(__name__)

_UNFINISHED: Final = ".download-"
_SECONDS: Final = 60.0
"""A server that is silent for so long is given up."""


def fetch(dataset: Published) -> None:
    """Fetch the files of a published data set that are not there.

    Of several processes one fetches, the others wait and find them. Raises DataError where that
    fails; what is half fetched is never in a file's place.
    """
    if not absent_files(dataset):
        return
    root = Path(dataset.root)
    root.mkdir(parents=True, exist_ok=True)
    with _alone(root):
        absent = absent_files(dataset)
        needed = [
            download
            for download in dataset.published.downloads
            if absent and (download.archive or download.name in absent)
        ]
        for download in needed:
            try:
                _fetch_one(download, dataset.published, root)
            except (
                urllib.error.URLError,
                http.client.HTTPException,
                ConnectionError,
                TimeoutError,
                RuntimeError,  # torchvision's, of a checksum that is another
                tarfile.TarError,
                EOFError,
            ) as error:
                if isinstance(error, urllib.error.HTTPError):
                    error.close()
                raise DataError(
                    f"dataset.download: {dataset.published.title} cannot be fetched from "
                    f"{download.url}: {one_line(str(error))}; {how_to_get(dataset)}"
                ) from None


@contextmanager
def _alone(root: Path) -> Generator[None, None, None]:
    """Wait until no other process fetches into a folder; remove what a killed one left."""
    with (root / ".download.lock").open("w") as stream:
        # the system frees it when a process ends, however it ends
        fcntl.flock(stream, fcntl.LOCK_EX)
        for left in root.glob(f"{_UNFINISHED}*"):
            shutil.rmtree(left, ignore_errors=True)
        yield


def _fetch_one(download: Download, published: PublishedImages, root: Path) -> None:
    """Fetch a file, check it, unpack it if it is an archive; then put every file in its place."""
    import_torchvision()
    from torchvision.datasets.utils import download_url

    _log.info("fetching %s", download.url)
    folder = Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=root))
    try:
        target = folder / download.name
        target.parent.mkdir(parents=True, exist_ok=True)
        if (root / download.name).is_file():
            # fetched by hand and left packed; torchvision fetches it where its checksum is wrong
            shutil.copyfile(root / download.name, target)
        with _impatient():
            download_url(download.url, str(target.parent), target.name, download.md5)
        if download.archive:
            with tarfile.open(target) as archive:
                archive.extractall(folder, filter="data")
        for name in [file.name for file in published.files if (folder / file.name).is_file()]:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).replace(root / name)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _impatient() -> Generator[None, None, None]:
    """Let no connection of this process wait for ever; torchvision sets no limit."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_SECONDS)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
