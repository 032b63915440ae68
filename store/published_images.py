"""The published data sets: their sizes, their files, where those come from.

Checksums and places are those of ``torchvision.datasets``, whose layout on disk this is.
"""

from dataclasses import dataclass
from typing import Final

_CIFAR: Final = "https://www.cs.toronto.edu/~kriz/"
_FASHION: Final = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"
_SVHN: Final = "http://ufldl.stanford.edu/housenumbers/"


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedFile:
    """One file that is read. name: below the root. md5: of the published file."""

    name: str
    md5: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Download:
    """One file to be fetched. name: below the root; an archive is unpacked in its folder."""

    url: str
    name: str
    md5: str

    @property
    def archive(self) -> bool:
        """Whether it has to be unpacked."""
        return self.name.endswith(".tar.gz")


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedImages:
    """One published data set.

    side: of an image, in pixels. train_images, test_images: how many it has. balanced: whether
    all classes have equally many training images. class_names: empty where a file holds them.
    files: what is read; downloads: what has to be fetched for it.
    """

    title: str
    classes: int
    side: int
    train_images: int
    test_images: int
    balanced: bool
    class_names: tuple[str, ...]
    files: tuple[PublishedFile, ...]
    downloads: tuple[Download, ...]

    @property
    def largest_class(self) -> int | None:
        """Training images of every class; None where classes differ."""
        return self.train_images // self.classes if self.balanced else None


def _files(*pairs: tuple[str, str], folder: str = "") -> tuple[PublishedFile, ...]:
    return tuple(PublishedFile(name=f"{folder}{name}", md5=md5) for name, md5 in pairs)


def _each(place: str, files: tuple[PublishedFile, ...]) -> tuple[Download, ...]:
    """Files that are published one by one."""
    return tuple(
        Download(url=place + file.name.rpartition("/")[2], name=file.name, md5=file.md5)
        for file in files
    )


_FASHION_FILES: Final = _files(
    ("train-images-idx3-ubyte.gz", "8d4fb7e6c68d591d4c3dfef9ec88bf0d"),
    ("train-labels-idx1-ubyte.gz", "25c81989df183df01b3e8a0aad5dffbe"),
    ("t10k-images-idx3-ubyte.gz", "bef4ecab320f06d8554ea6380940ec79"),
    ("t10k-labels-idx1-ubyte.gz", "bb300cfdad3c16e7a12a480ee83cd310"),
    folder="FashionMNIST/raw/",
)
_SVHN_FILES: Final = _files(
    ("train_32x32.mat", "e26dedcc434d2e4c54c9b2d4a06d8373"),
    ("test_32x32.mat", "eb5a983be6a315427106f1b164d9cef3"),
)

CIFAR10: Final = PublishedImages(
    title="CIFAR-10",
    classes=10,
    side=32,
    train_images=50_000,
    test_images=10_000,
    balanced=True,
    class_names=(),
    files=_files(
        ("data_batch_1", "c99cafc152244af753f735de768cd75f"),
        ("data_batch_2", "d4bba439e000b95fd0a9bffe97cbabec"),
        ("data_batch_3", "54ebc095f3ab1f0389bbae665268c751"),
        ("data_batch_4", "634d18415352ddfa80567beed471001a"),
        ("data_batch_5", "482c414d41f54cd18b22e5b47cb7c3cb"),
        ("test_batch", "40351d587109b95175f43aff81a1287e"),
        ("batches.meta", "5ff9c542aee3614f3951f8cda6e48888"),
        folder="cifar-10-batches-py/",
    ),
    downloads=(
        Download(
            url=f"{_CIFAR}cifar-10-python.tar.gz",
            name="cifar-10-python.tar.gz",
            md5="c58f30108f718f92721af3b95e74349a",
        ),
    ),
)
CIFAR100: Final = PublishedImages(
    title="CIFAR-100",
    classes=100,
    side=32,
    train_images=50_000,
    test_images=10_000,
    balanced=True,
    class_names=(),
    files=_files(
        ("train", "16019d7e3df5f24257cddd939b257f8d"),
        ("test", "f0ef6b0ae62326f3e7ffdfab6717acfc"),
        ("meta", "7973b15100ade9c7d40fb424638fde48"),
        folder="cifar-100-python/",
    ),
    downloads=(
        Download(
            url=f"{_CIFAR}cifar-100-python.tar.gz",
            name="cifar-100-python.tar.gz",
            md5="eb9058c3a382ffc7106e4002c42a8d85",
        ),
    ),
)
FASHION_MNIST: Final = PublishedImages(
    title="Fashion-MNIST",
    classes=10,
    side=28,
    train_images=60_000,
    test_images=10_000,
    balanced=True,
    class_names=(
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    ),
    files=_FASHION_FILES,
    downloads=_each(_FASHION, _FASHION_FILES),
)
SVHN: Final = PublishedImages(
    title="SVHN",
    classes=10,
    side=32,
    train_images=73_257,
    test_images=26_032,
    balanced=False,
    class_names=tuple(str(digit) for digit in range(10)),
    files=_SVHN_FILES,
    downloads=_each(_SVHN, _SVHN_FILES),
)
