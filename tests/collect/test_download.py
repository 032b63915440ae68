import hashlib
import tarfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from small_study import small_study

from collect.datasets import load
from collect.download import fetch
from collect.stand_in import write_stand_in
from collect.torchvision_operators import import_torchvision
from store.errors import DataError
from store.published_images import Download

FOLDER = "cifar-10-batches-py"


def _md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


class _Silent(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        del format, args


@pytest.fixture
def address(tmp_path, monkeypatch) -> Iterator[str]:
    """The address of a server of this machine's that hands out the folder ``tmp_path``."""
    monkeypatch.setenv("no_proxy", "*")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Silent, directory=str(tmp_path)))
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def server(tmp_path, address, monkeypatch) -> Path:
    """A place that CIFAR-10, made up, is fetched from by its URL; returns its archive."""
    dataset = {"kind": "cifar10", "test_size": 20, "train_subset": {"size": 20}}
    made = write_stand_in(small_study(dataset), tmp_path / "made")
    published = made.dataset.published
    archive = tmp_path / "server.tar.gz"
    with tarfile.open(archive, "w:gz") as packed:
        packed.add(tmp_path / "made" / FOLDER, FOLDER)
    download = Download(
        url=f"{address}/{archive.name}", name="cifar-10-python.tar.gz", md5=_md5(archive)
    )
    files = tuple(
        replace(file, md5=_md5(tmp_path / "made" / file.name)) for file in published.files
    )
    monkeypatch.setattr(
        "store.images.CIFAR10", replace(published, files=files, downloads=(download,))
    )
    return archive


def _study(root: Path):
    dataset = {"kind": "cifar10", "root": str(root), "download": True}
    return small_study({**dataset, "test_size": 20, "train_subset": {"size": 20}})


def _names(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def test_what_is_not_there_is_fetched_checked_unpacked_and_read(server, tmp_path):
    study = _study(tmp_path / "data")
    data = load(study)
    assert len(data.pool.labels) == 20
    names = [file.name for file in study.dataset.published.files]
    assert _names(tmp_path / "data") == sorted([".download.lock", *names])
    server.unlink()
    assert len(load(study).pool.labels) == 20


def test_of_jobs_that_start_together_one_fetches(server, tmp_path, monkeypatch):
    import_torchvision()
    from torchvision.datasets import utils

    fetched: list[str] = []
    original = utils.download_url

    def counted(url: str, *rest: str) -> None:
        fetched.append(url)
        original(url, *rest)

    monkeypatch.setattr(utils, "download_url", counted)
    dataset = _study(tmp_path / "data").dataset
    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(fetch, dataset) for _ in range(4)]:
            done.result()
    assert [url.rpartition("/")[2] for url in fetched] == [server.name]


def test_an_archive_that_was_put_there_by_hand_is_unpacked(server, tmp_path):
    root = tmp_path / "data"
    root.mkdir()
    server.rename(root / "cifar-10-python.tar.gz")
    assert len(load(_study(root)).pool.labels) == 20


@pytest.mark.parametrize("fault", ["another file", "no server", "no archive"])
def test_a_fetch_that_fails_is_one_line_and_leaves_nothing_half_done(
    server, tmp_path, monkeypatch, fault
):
    if fault == "no server":
        server.unlink()
    else:
        server.write_bytes(server.read_bytes()[:1000])
    study = _study(tmp_path / "data")
    if fault == "no archive":
        published = study.dataset.published
        wrong = (replace(published.downloads[0], md5=_md5(server)),)
        monkeypatch.setattr("store.images.CIFAR10", replace(published, downloads=wrong))
    with pytest.raises(DataError, match=r"dataset.download: CIFAR-10 cannot be fetched") as caught:
        load(study)
    assert "\n" not in str(caught.value)
    assert f"and unpack it in {tmp_path / 'data'}" in str(caught.value)
    assert _names(tmp_path / "data") == [".download.lock"]


def test_what_a_killed_fetch_left_is_removed(server, tmp_path):
    left = tmp_path / "data" / ".download-abc"
    left.mkdir(parents=True)
    (left / "half").write_bytes(b"half")
    fetch(_study(tmp_path / "data").dataset)
    assert not left.exists()
