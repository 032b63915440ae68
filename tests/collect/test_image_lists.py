from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small_study import small_study

from collect.datasets import load
from collect.stand_in import write_stand_in
from store.design import Design
from store.errors import DataError
from store.study_file import require_data

LISTED = {"train_list": "ImageNet_LT_train.txt", "test_list": "ImageNet_LT_test.txt"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """20 training and 20 test images of 3 classes, as ImageNet lies for torchvision, with lists."""
    dataset = {"kind": "imagefolder", "path": "none", "image_size": 16, "classes": 3}
    subset = {"test_size": 20, "train_subset": {"size": 20}, **LISTED}
    write_stand_in(small_study({**dataset, **subset}), tmp_path / "images")
    return tmp_path / "images"


def _study(folder: Path, **changes: object) -> Design:
    dataset = {"kind": "imagefolder", "path": str(folder), "image_size": 16, "classes": 3}
    return small_study({**dataset, "test_size": 20, **LISTED, **changes})


def _lines(folder: Path, split: str = "train") -> list[str]:
    return (folder / f"ImageNet_LT_{split}.txt").read_text().splitlines()


def _rewrite(folder: Path, lines: list[str], split: str = "train") -> None:
    (folder / f"ImageNet_LT_{split}.txt").write_text("\n".join(lines) + "\n")


def test_listed_images_are_read_in_the_lists_order_with_its_labels(folder: Path):
    data = load(_study(folder))
    lines = [line.rsplit(" ", 1) for line in _lines(folder)]
    assert data.pool.labels.tolist() == [int(label) for _, label in lines]
    assert data.pool.image_id.tolist() == list(range(len(lines)))
    assert data.class_names == ("n00000000", "n00000001", "n00000002")
    by_folder = load(_study(folder, train_list=None, test_list=None))
    place = {
        f"{path.parent.parent.name}/{path.parent.name}/{path.name}": row
        for row, path in enumerate(sorted((folder / "train").glob("*/*")))
    }
    rows = np.array([place[file] for file, _ in lines])
    everything = np.arange(len(rows))
    assert np.array_equal(by_folder.pool.pixels.read(rows), data.pool.pixels.read(everything))


def test_labels_are_the_lists_whatever_the_folders_order(folder: Path):
    for split in ("train", "test"):
        swapped = [f"{line[:-1]}{(int(line[-1]) + 1) % 3}" for line in _lines(folder, split)]
        _rewrite(folder, swapped, split)
    data = load(_study(folder))
    assert data.class_names == ("n00000002", "n00000000", "n00000001")


def test_a_part_of_the_images_may_be_listed_and_names_may_hold_spaces(folder: Path):
    first = _lines(folder)[0].rsplit(" ", 1)[0]
    (folder / first).rename(folder / "train" / "a photo.JPEG")
    kept = {line[-1]: line for line in _lines(folder)[1:]}
    _rewrite(folder, ["", f"train/a photo.JPEG\t{_lines(folder)[0][-1]}  ", *kept.values()])
    assert len(load(_study(folder)).pool.labels) == 4


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("train/n00000000/x.JPEG 0", r"line 3: .*n00000000/x\.JPEG is not there"),
        ("train/n00000009/x.JPEG 0", r"line 3: .*n00000009/x\.JPEG is not there"),
        ("train/n00000000/x.JPEG 3", r"line 3: label 3, but dataset.classes is 3; allowed: 0 to 2"),
        ("train/n00000000/x.JPEG -1", r"line 3: label -1, but dataset.classes is 3"),
        ("train/n00000000/x.JPEG", r"line 3: 'train/n00000000/x.JPEG' is not FILE LABEL"),
        ("train/n00000000/x.JPEG zero", r"line 3: .* is not FILE LABEL; expected e.g. train/n"),
        ("7", "line 3: '7' is not FILE LABEL"),
    ],
)
def test_a_wrong_line_is_named_by_file_and_number(folder: Path, line: str, words: str):
    lines = _lines(folder)
    _rewrite(folder, [*lines[:2], line, *lines[2:]])
    with pytest.raises(DataError, match=rf"ImageNet_LT_train\.txt: {words}") as caught:
        load(_study(folder))
    assert "\n" not in str(caught.value)


def test_an_image_that_is_listed_twice_is_named(folder: Path):
    lines = _lines(folder)
    _rewrite(folder, [*lines, lines[4]])
    with pytest.raises(DataError, match=r"train\.txt: line \d+: .* again; .*train\.txt: line 5 ha"):
        load(_study(folder))


def test_a_training_image_among_the_test_images_is_named(folder: Path):
    _rewrite(folder, [*_lines(folder, "test"), _lines(folder)[0]], "test")
    with pytest.raises(DataError, match=r"test\.txt: line 22: .* again; .*train\.txt: line 1 has"):
        load(_study(folder))


def test_a_class_without_training_images_is_named(folder: Path):
    _rewrite(folder, [line for line in _lines(folder) if not line.endswith(" 1")])
    with pytest.raises(DataError, match=r"train\.txt: no image of class 1; dataset.classes is 3"):
        load(_study(folder))


def test_lists_and_names_that_are_not_there_are_said_before_anything_runs(folder: Path):
    for key in ("train_list", "test_list", "class_names_file"):
        with pytest.raises(DataError, match=rf"dataset.{key}: .*absent.txt: no such file"):
            require_data(_study(folder, **{key: "absent.txt"}))
    with pytest.raises(DataError, match=r"dataset.path: .*absent is no folder"):
        require_data(_study(folder / "absent"))
    with pytest.raises(ValueError, match="test_list is missing; train_list and test_list go toget"):
        _study(folder, test_list=None)


def test_a_lists_name_is_in_the_key_and_its_folder_is_not(folder: Path):
    plain = _study(folder)
    moved = _study(folder, train_list=str(folder / LISTED["train_list"]))
    other = _study(folder, train_list="other.txt")
    assert plain.shard_key(0) == moved.shard_key(0) != other.shard_key(0)
    assert "train_list" not in _study(folder, train_list=None, test_list=None).numbers()["dataset"]


@pytest.mark.parametrize("listed", [True, False])
def test_classes_have_the_names_that_a_file_gives_their_folders(folder: Path, listed: bool):
    names = folder / "names.txt"
    names.write_text("n00000002 tench, Tinca tinca\nn00000000 goldfish\n\nn00000001 great shark\n")
    lists = {} if listed else {"train_list": None, "test_list": None}
    study = _study(folder, class_names_file="names.txt", **lists)
    assert load(study).class_names == ("goldfish", "great shark", "tench, Tinca tinca")
    names.write_text("red fish\nblue fish\nold fish\n")
    assert load(study).class_names == ("red fish", "blue fish", "old fish")
    names.write_text("red fish\nblue fish\n")
    with pytest.raises(DataError, match=r"names\.txt: 2 lines; dataset.classes is 3"):
        load(study)


def test_a_class_folder_without_images_is_named(folder: Path):
    (folder / "train/n00000003").mkdir()
    (folder / "val/n00000003").mkdir()
    study = _study(folder, classes=4, train_list=None, test_list=None)
    with pytest.raises(DataError, match="cannot be read: Found no valid file for the classes n"):
        load(study)


def test_too_few_listed_test_images_are_said(folder: Path):
    with pytest.raises(DataError, match=r"40, but ImageNet_LT_test\.txt has 21 images"):
        load(_study(folder, test_size=40))


def test_grey_images_stand_among_those_of_colour(folder: Path):
    file = folder / _lines(folder)[0].rsplit(" ", 1)[0]
    Image.open(file).convert("L").save(file)
    pixels = load(_study(folder)).pool.pixels.read(np.arange(2))
    assert np.array_equal(pixels[0, 0], pixels[0, 2])
    assert not np.array_equal(pixels[1, 0], pixels[1, 2])
