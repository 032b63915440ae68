import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from small_study import small_study

from collect import pixels as pixels_module
from collect.augmentation.policy import draw, policy_for
from collect.datasets import Data, image_table, load
from collect.pixels import AsNeeded
from collect.readers.pickled import read_pickled
from collect.stand_in import write_stand_in
from collect.torchvision_operators import import_torchvision
from store.augmentations import POLICIES
from store.design import Design
from store.errors import DataError
from store.image_files import STAND_IN
from store.images import KINDS, PublishedData
from store.study_file import require_data

SETS = ("cifar10", "cifar100", "fashion_mnist", "svhn")


@pytest.fixture(scope="module", params=SETS)
def made(request, tmp_path_factory) -> Design:
    """A study of one published data set, whose images are made up in its layout."""
    size = 100 if request.param == "cifar100" else 20
    study = small_study({"kind": request.param, "test_size": size, "train_subset": {"size": 20}})
    return write_stand_in(study, tmp_path_factory.mktemp("sets") / "made")


@pytest.fixture
def cifar(tmp_path) -> Design:
    study = small_study({"kind": "cifar10", "test_size": 20, "train_subset": {"size": 20}})
    return write_stand_in(study, tmp_path / "made")


def _all(data: Data) -> np.ndarray:
    return data.pool.pixels.read(np.arange(len(data.pool.labels)))


def _torchvision(design: Design, train: bool, monkeypatch):
    """Read the same files with torchvision, its checksums apart."""
    import_torchvision()
    from torchvision import datasets

    dataset = design.dataset
    if dataset.kind == "svhn":
        monkeypatch.setattr(datasets.SVHN, "_check_integrity", lambda self: True)
        return datasets.SVHN(dataset.root, split="train" if train else "test")
    if dataset.kind == "fashion_mnist":
        from torchvision.datasets.utils import extract_archive

        raw = Path(dataset.root) / "FashionMNIST/raw"
        for path in raw.glob("*.gz"):
            extract_archive(str(path))
        return datasets.FashionMNIST(dataset.root, train=train)
    kind = datasets.CIFAR10 if dataset.kind == "cifar10" else datasets.CIFAR100
    monkeypatch.setattr(kind, "_check_integrity", lambda self: True)
    monkeypatch.setattr("torchvision.datasets.cifar.check_integrity", lambda *_: True)
    return kind(dataset.root, train=train)


def test_torchvision_reads_the_same_images_and_labels_from_the_same_files(made, monkeypatch):
    data = load(made)
    reference = _torchvision(made, True, monkeypatch)
    expected = np.stack([np.asarray(image) for image, _ in reference])
    expected = expected[:, None] if expected.ndim == 3 else expected.transpose(0, 3, 1, 2)
    assert np.array_equal(_all(data), expected)
    assert data.pool.labels.tolist() == [label for _, label in reference]
    tested = _torchvision(made, False, monkeypatch)
    rows = data.test.image_id - len(data.pool.labels)
    assert data.test.labels.tolist() == [tested[row][1] for row in rows]


def test_torchvision_knows_the_same_files_checksums_and_places():
    import_torchvision()
    from torchvision import datasets

    for kind, reference in (("cifar10", datasets.CIFAR10), ("cifar100", datasets.CIFAR100)):
        published = small_study({"kind": kind}).dataset.published
        listed = [*reference.train_list, *reference.test_list]
        listed.append([reference.meta["filename"], reference.meta["md5"]])
        assert [(file.name, file.md5) for file in published.files] == [
            (f"{reference.base_folder}/{name}", md5) for name, md5 in listed
        ]
        (download,) = published.downloads
        assert (download.url, download.md5) == (reference.url, reference.tgz_md5)
    fashion = small_study({"kind": "fashion_mnist"}).dataset.published
    mirror = datasets.FashionMNIST.mirrors[0]
    assert [(d.url, d.md5) for d in fashion.downloads] == [
        (mirror + name, md5) for name, md5 in datasets.FashionMNIST.resources
    ]
    assert list(fashion.class_names) == datasets.FashionMNIST.classes
    svhn = small_study({"kind": "svhn"}).dataset.published
    assert [(d.url, d.name, d.md5) for d in svhn.downloads] == [
        tuple(datasets.SVHN.split_list[split]) for split in ("train", "test")
    ]


def test_what_a_network_sees_has_the_data_sets_channels_and_size(made):
    data, side = load(made), made.dataset.image_size
    channels = 1 if made.dataset.kind == "fashion_mnist" else 3
    assert data.pool.pixels.shape[1:] == data.test.pixels.shape[1:] == (channels, side, side)
    assert data.mean.shape == data.std.shape == (channels,)
    assert len(data.class_names) == made.dataset.classes
    table = image_table(data, 5)
    assert table["image_id"].is_unique().all()
    assert table.filter(split="test").height == made.dataset.test_size


def test_images_of_another_size_are_scaled(made):
    dataset = made.dataset.model_copy(update={"image_size": 16})
    small = load(made.model_copy(update={"dataset": dataset}))
    assert small.pool.pixels.shape[2:] == (16, 16)
    whole = load(made)
    assert np.abs(_all(small).mean((1, 2, 3)) - _all(whole).mean((1, 2, 3))).max() < 1.5


def test_images_enlarged_as_they_are_needed_are_those_enlarged_at_once(made, monkeypatch):
    dataset = made.dataset.model_copy(update={"image_size": 40})
    large = made.model_copy(update={"dataset": dataset})
    at_once = load(large)
    monkeypatch.setattr(pixels_module, "MOST_BYTES_IN_MEMORY", 100)
    needed = load(large)
    assert isinstance(needed.pool.pixels, AsNeeded)
    assert needed.pool.pixels.shape == at_once.pool.pixels.shape
    assert np.array_equal(_all(at_once), _all(needed))
    assert np.array_equal(at_once.mean, needed.mean)


@pytest.mark.parametrize("kind", SETS)
def test_images_that_are_not_there_are_said_in_one_line_before_anything_runs(kind, tmp_path):
    root = tmp_path / "data"
    with pytest.raises(DataError) as caught:
        require_data(small_study({"kind": kind, "root": str(root)}))
    line = str(caught.value)
    assert "\n" not in line
    assert line.startswith(f"dataset.root: {root} does not hold ")
    published = small_study({"kind": kind}).dataset.published
    assert published.downloads[0].url in line
    for download in published.downloads[1:]:
        assert download.name.rpartition("/")[2] in line
    assert line.endswith("or set download: true")
    require_data(small_study({"kind": kind, "root": str(root), "download": True}))


@pytest.mark.parametrize("policy", POLICIES)
def test_grey_images_of_28_pixels_are_augmented_by_every_policy(policy):
    levels = np.random.default_rng(0).integers(0, 256, size=(6, 1, 28, 28), dtype=np.uint8)
    images = torch.from_numpy(levels)
    drawing = policy_for(POLICIES[policy](policy=policy), 28)
    uniforms = draw(drawing, np.random.default_rng(1), 6)
    for strength in (0.5, 1):
        found = drawing.choose(uniforms, strength).apply(images, np.arange(6))
        assert found.shape == (6, 1, 28, 28)
        assert 0 <= float(found.min()) <= float(found.max()) <= 1
        assert not torch.equal(found, images / 255)


def test_a_grid_of_attention_is_had_from_28_pixels_by_strides():
    assert small_study({"kind": "fashion_mnist"}, strides=(1, 2, 1)).grid == 14


def test_where_images_lie_and_how_they_are_fetched_is_in_no_key():
    here, there = (
        small_study({"kind": "svhn", **said}) for said in ({}, {"root": "x", "download": True})
    )
    assert here.shard_key(0) == there.shard_key(0)


def test_files_that_are_not_the_published_ones_are_refused(cifar):
    (Path(cifar.dataset.root) / STAND_IN).unlink()
    with pytest.raises(DataError, match=r"data_batch_1: is not the published file: its MD5 is"):
        load(cifar)


class _Harm:
    def __reduce__(self):
        return print, ("harm",)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (pickle.dumps({"data": _Harm()}), "it names builtins.print, which no array needs"),
        (pickle.dumps({"data": Path("x")}), "it names pathlib"),
        (pickle.dumps([1, 2]), "it holds a list"),
        (pickle.dumps({"data": np.zeros(3)})[:-9], "is no CIFAR file"),
        (b"", "is no CIFAR file"),
        (b"no pickle at all", "is no CIFAR file"),
    ],
    ids=["a call", "an object", "a list", "cut off", "empty", "text"],
)
def test_a_pickle_of_anything_but_arrays_runs_nothing(tmp_path, capsys, content, words):
    path = tmp_path / "data_batch_1"
    path.write_bytes(content)
    with pytest.raises(DataError, match=words) as caught:
        read_pickled(path)
    assert str(path) in str(caught.value)
    assert capsys.readouterr().out == ""


def test_arrays_of_every_protocol_are_read(tmp_path):
    content = {"data": np.arange(12, dtype=np.uint8).reshape(3, 4), "labels": [1, 2], "name": "a"}
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        path = tmp_path / str(protocol)
        path.write_bytes(pickle.dumps(content, protocol=protocol))
        if protocol == 5:
            # out-of-band buffers came with it; CIFAR's files are of protocol 2
            continue
        found = read_pickled(path)
        assert np.array_equal(found["data"], content["data"])
        assert found["labels"] == [1, 2]


def _broken(root: Path, fault: str) -> str:
    """Break a file of a made-up CIFAR-10; return its name."""
    batch = root / "cifar-10-batches-py/data_batch_2"
    content = pickle.loads(batch.read_bytes())
    match fault:
        case "half a file":
            batch.write_bytes(batch.read_bytes()[:200])
            return batch.name
        case "no labels":
            del content["labels"]
        case "wrong shape":
            content["data"] = content["data"][:, :100]
        case "label too large":
            content["labels"][0] = 10
            batch.with_name("data_batch_1").write_bytes(pickle.dumps(content, protocol=2))
            return "data_batch_1"
        case "label no number":
            content["labels"][0] = "cat"
    batch.write_bytes(pickle.dumps(content, protocol=2))
    return batch.name


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("half a file", "is no CIFAR file"),
        ("no labels", "data or labels missing"),
        ("wrong shape", r"shape \(\d, 100\); expected uint8 of shape"),
        ("label too large", "labels are 0 to 10; allowed: 0 to 9"),
        ("label no number", "labels are not integers"),
    ],
)
def test_a_damaged_batch_is_named_in_one_line(cifar, fault, words):
    name = _broken(Path(cifar.dataset.root), fault)
    with pytest.raises(DataError, match=words) as caught:
        load(cifar)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "name", "words"),
    [
        ("svhn", "test_32x32.mat", "is no MATLAB file"),
        ("fashion_mnist", "FashionMNIST/raw/train-images-idx3-ubyte.gz", "cannot be unpacked"),
    ],
)
def test_a_file_that_is_cut_off_is_named(tmp_path, kind, name, words):
    study = small_study({"kind": kind, "test_size": 20, "train_subset": {"size": 20}})
    made = write_stand_in(study, tmp_path / "made")
    path = tmp_path / "made" / name
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DataError, match=words) as caught:
        load(made)
    assert path.name in str(caught.value)


def test_too_few_test_images_are_said(cifar):
    more = cifar.model_copy(update={"dataset": cifar.dataset.model_copy(update={"test_size": 99})})
    with pytest.raises(DataError, match=r"test_size is 99, but the test set in .* has 20 images"):
        load(more)


@pytest.mark.parametrize(
    ("dataset", "words"),
    [
        ({"kind": "cifar10", "train_subset": {"size": 50_001}}, "50000 training images; .* 50000"),
        (
            {"kind": "cifar100", "imbalance": 100, "train_subset": {"size": 10_848}},
            "of which imbalance 100 leaves 10847; allowed: at most 10847",
        ),
        ({"kind": "cifar100", "imbalance": 501}, "leaves the last class of CIFAR-100 no image"),
        ({"kind": "svhn", "test_size": 26_033}, "less than or equal to 26032"),
        ({"kind": "cifar10", "imbalance": 0.5}, "greater than or equal to 1"),
    ],
)
def test_more_than_a_data_set_has_is_refused_in_the_study_file(dataset, words):
    with pytest.raises(ValueError, match=words):
        small_study(dataset)


def test_defaults_are_the_published_sizes():
    sizes = {
        kind: (study.dataset.image_size, study.dataset.test_size, study.dataset.classes)
        for kind in KINDS
        if issubclass(KINDS[kind], PublishedData)
        for study in [small_study({"kind": kind})]
    }
    assert sizes == {
        "cifar10": (32, 10_000, 10),
        "cifar100": (32, 10_000, 100),
        "fashion_mnist": (28, 10_000, 10),
        "svhn": (32, 26_032, 10),
    }


def test_a_folder_without_one_of_its_files_is_as_good_as_none(cifar):
    (Path(cifar.dataset.root) / "cifar-10-batches-py/batches.meta").unlink()
    with pytest.raises(
        DataError, match=r"does not hold cifar-10-batches-py/batches\.meta of CIFAR"
    ):
        load(cifar)
    shutil.rmtree(cifar.dataset.root)
    with pytest.raises(DataError, match="data_batch_1 and 6 more of CIFAR-10; download https://"):
        load(cifar)
