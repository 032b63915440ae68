from pathlib import Path

import numpy as np
import pytest
from small_study import small_study

from collect.__main__ import main
from collect.block import training_subset
from collect.datasets import Data, load
from collect.stand_in import counts_for, write_stand_in
from store.design import Design
from store.errors import UserError
from store.image_files import is_stand_in
from store.long_tail import long_tail
from store.study_file import require_data

FOLDER = {"kind": "imagefolder", "path": "none", "image_size": 24}
LISTS = {"train_list": "/elsewhere/train.txt", "test_list": "lists/test.txt"}
SETS = {
    "cifar10": {"kind": "cifar10", "test_size": 40, "train_subset": {"size": 60}},
    "cifar100, long tail": {"kind": "cifar100", "test_size": 100, "imbalance": 10},
    "svhn, long tail": {
        **{"kind": "svhn", "test_size": 20, "imbalance": 5, "train_subset": {"size": 40}},
    },
    "fashion_mnist": {"kind": "fashion_mnist", "test_size": 40, "train_subset": {"size": 60}},
    "parquet": {"kind": "parquet", "path": "none", "classes": 4, "test_size": 40},
    "folders": {**FOLDER, "classes": 5, "test_size": 20, "train_subset": {"size": 33}},
    "folders, long tail": {**FOLDER, "classes": 5, "test_size": 20, "imbalance": 4},
    "lists": {**FOLDER, **LISTS, "classes": 5, "test_size": 20, "class_names_file": "names.txt"},
    "a thousand classes": {**FOLDER, "classes": 1000, "test_size": 20},
}


def _made(name: str, folder: Path) -> Design:
    return write_stand_in(small_study(SETS[name]), folder / "made")


def _pixels(data: Data, split: str) -> tuple[np.ndarray, np.ndarray]:
    images = getattr(data, split)
    rows = np.arange(len(images.labels))
    return images.pixels.read(rows).reshape(len(rows), -1).astype(float), images.labels


@pytest.mark.parametrize("name", [name for name in SETS if "thousand" not in name])
def test_a_study_runs_on_made_up_images_as_on_its_own(tmp_path: Path, name: str):
    study = small_study(SETS[name])
    made = _made(name, tmp_path)
    require_data(made)
    assert made.shard_key(0) == study.shard_key(0)
    assert is_stand_in(made.dataset)
    data = load(made)
    assert len(data.test.labels) == study.dataset.test_size
    rows = training_subset(made, data, 0)
    subset = study.dataset.train_subset
    assert subset is None or len(rows) == subset.size
    if study.dataset.imbalance is not None:
        kept = np.bincount(data.pool.labels)
        expected = long_tail(int(kept[0]), len(kept), study.dataset.imbalance)
        assert kept.tolist() == list(expected)


@pytest.mark.parametrize("name", ["cifar10", "fashion_mnist", "parquet", "folders"])
def test_classes_can_be_told_apart(tmp_path: Path, name: str):
    data = load(_made(name, tmp_path))
    train, labels = _pixels(data, "pool")
    test, truth = _pixels(data, "test")
    means = np.stack([train[labels == label].mean(axis=0) for label in np.unique(labels)])
    nearest = ((test[:, None] - means[None]) ** 2).sum(axis=2).argmin(axis=1)
    assert (nearest == truth).mean() > 3 / len(means) * 0.9
    assert len(np.unique(train, axis=0)) == len(train)


def test_the_same_seed_makes_the_same_files(tmp_path: Path):
    for name in ("fashion_mnist", "cifar10", "lists"):
        first, second = (tmp_path / f"{name}{copy}" for copy in "ab")
        for folder in (first, second):
            write_stand_in(small_study(SETS[name]), folder)
        files = sorted(path.relative_to(first) for path in first.rglob("*") if path.is_file())
        assert files
        assert all((first / file).read_bytes() == (second / file).read_bytes() for file in files)


def test_few_images_are_made_where_there_are_many_classes():
    counts = counts_for(small_study(SETS["a thousand classes"]).dataset)
    assert (sum(counts.train), sum(counts.test)) == (2000, 1000)


def test_no_image_of_ones_own_is_ever_overwritten(tmp_path: Path):
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "image.png").write_bytes(b"mine")
    with pytest.raises(UserError, match="mine: exists already; delete it, or name another folder"):
        write_stand_in(small_study(SETS["cifar10"]), mine)
    assert [path.name for path in mine.iterdir()] == ["image.png"]


def test_a_study_that_reads_no_images_from_disk_needs_none():
    with pytest.raises(UserError, match=r"dataset.kind digits needs no images from disk"):
        write_stand_in(small_study({"kind": "digits"}), Path("unused"))


def test_the_command_makes_what_the_study_then_reads(tmp_path: Path, monkeypatch, capsys):
    study = tmp_path / "study.yaml"
    declared = small_study({**SETS["fashion_mnist"], "root": "${KD_DATA}"})
    study.write_text(declared.model_dump_json(exclude={"foreign"}))
    monkeypatch.delenv("KD_DATA", raising=False)
    out = tmp_path / "made"
    monkeypatch.setattr("sys.argv", ["collect", "stand-in", str(study), "--out", str(out)])
    assert main() == 0
    assert (out / "FashionMNIST/raw/t10k-labels-idx1-ubyte.gz").is_file()
    assert str(out) in capsys.readouterr().out
    assert main() == 2
    assert capsys.readouterr().err.startswith(f"error: {out}: exists already")


def test_only_published_images_can_be_downloaded(tmp_path: Path, monkeypatch, capsys):
    study = tmp_path / "study.yaml"
    study.write_text(small_study({"kind": "digits"}).model_dump_json(exclude={"foreign"}))
    monkeypatch.setattr("sys.argv", ["collect", "download", str(study)])
    assert main() == 2
    assert "dataset.kind digits: nothing of it can be downloaded" in capsys.readouterr().err
