"""The images that a study may declare, told apart by ``kind``."""

from abc import abstractmethod
from pathlib import Path, PurePath
from typing import Annotated, Any, Final, Literal, Self

from pydantic import Field, model_validator

from store.declared import Declared
from store.long_tail import long_tail
from store.published_images import CIFAR10, CIFAR100, FASHION_MNIST, SVHN, PublishedImages

DIGITS_IMAGES: Final = 1797
"""Images in scikit-learn's digits."""

_CHANGE_NO_NUMBER: Final = ("path", "root", "download", "decoders", "class_names_file")
"""Keys that say where images lie and how they are fetched: in no shard's key."""
_OUT_OF_KEYS_UNLESS_SAID: Final = ("imbalance", "train_list", "test_list", "train_observed")
"""Keys that studies have gained: a study without them keeps its shards."""


class TrainSubset(Declared):
    """How many training images a block trains on, and whether each draws its own.

    Without it, every block trains on the whole pool.
    """

    size: int = Field(ge=2)
    resample: Literal["per_block", "fixed"] = "per_block"


Imbalance = Annotated[float | None, Field(ge=1)]
"""How many times as many training images the first class has as the last.

In the published exponential profile, see ``store.long_tail``; None leaves the pool as it is.
Which of a class's images stay is drawn from the study's seed, for each block anew where
``train_subset`` is drawn so. The test images stay as they are.
"""


Observed = Annotated[int | None, Field(ge=20)]
"""How many of its training images a trained model is shown, for its accuracy on them; None: all.

The same order of the pool, drawn from the study's seed, says which for every block.
"""


class DigitsData(Declared):
    """scikit-learn's handwritten digits: 1,797 real 8 x 8 images, no download."""

    kind: Literal["digits"]
    image_size: int = Field(default=16, ge=8, le=64)
    test_size: int = Field(default=897, ge=20, le=1700)
    train_subset: TrainSubset | None = None
    imbalance: Imbalance = None
    train_observed: Observed = None

    @model_validator(mode="after")
    def _images_suffice(self) -> Self:
        pool = DIGITS_IMAGES - self.test_size
        if self.train_subset is not None and self.train_subset.size > pool:
            raise ValueError(
                f"train_subset.size is {self.train_subset.size}, but {self.test_size} of the "
                f"{DIGITS_IMAGES} digits are test images; allowed: at most {pool}"
            )
        return self


class ParquetData(Declared):
    """A folder of Parquet files in the Hugging Face image layout.

    The files ``train*.parquet`` and ``test*.parquet`` hold an image column
    (a struct with encoded ``bytes``) and an integer label column. ``path`` may
    name an environment variable as ``${NAME}``.
    """

    kind: Literal["parquet"]
    path: str = Field(min_length=1)
    image_column: str = "img"
    label_column: str = "label"
    image_size: int = Field(default=32, ge=8, le=512)
    classes: int = Field(ge=2, le=100_000)
    class_names: tuple[str, ...] = ()
    test_size: int = Field(ge=20)
    train_subset: TrainSubset | None = None
    imbalance: Imbalance = None
    train_observed: Observed = None

    @model_validator(mode="after")
    def _every_class_has_a_name(self) -> Self:
        if self.class_names and len(self.class_names) != self.classes:
            raise ValueError(f"class_names has {len(self.class_names)}, classes is {self.classes}")
        return self


class ForeignData(Declared):
    """Images that another software trained on; what they are is said in words.

    test_size: test images, the same for every block. train_subset: how many images a block's
    models were trained on, and whether each block drew its own.
    """

    kind: Literal["foreign"]
    description: str = Field(min_length=1, max_length=200)
    classes: int = Field(ge=2, le=100_000)
    test_size: int = Field(ge=20)
    train_subset: TrainSubset | None = None


class ImageFolderData(Declared):
    """A folder of images in torchvision's layout: ``train/CLASS/FILE`` and ``test/CLASS/FILE``.

    ImageNet's ``val`` may stand for ``test``. Each image's shorter side is scaled to 8/7 of
    ``image_size`` and its centre cut out, for training too; augmentation begins from there.
    Images are decoded as they are needed, by ``decoders`` threads of each job.

    train_list, test_list: text files that name the images instead, as those of ImageNet-LT do,
    in lines ``FILE LABEL``. class_names_file: a line for every class, in the labels' order, or
    ``FOLDER NAME``. The files themselves and what lists name lie below ``path``.
    """

    kind: Literal["imagefolder"]
    path: str = Field(min_length=1)
    image_size: int = Field(default=64, ge=8, le=512)
    classes: int = Field(ge=2, le=100_000)
    class_names_file: str | None = Field(default=None, min_length=1)
    train_list: str | None = Field(default=None, min_length=1)
    test_list: str | None = Field(default=None, min_length=1)
    test_size: int = Field(ge=20)
    train_subset: TrainSubset | None = None
    imbalance: Imbalance = None
    train_observed: Observed = None
    decoders: int = Field(default=2, ge=1, le=256)

    @model_validator(mode="after")
    def _lists_go_together(self) -> Self:
        if (self.train_list is None) != (self.test_list is None):
            missing = "train_list" if self.train_list is None else "test_list"
            raise ValueError(
                f"{missing} is missing; train_list and test_list go together, so that both give "
                "a class the same label"
            )
        return self


class PublishedData(Declared):
    """A published data set in the layout of ``torchvision.datasets``, below ``root``.

    ``root`` may name an environment variable as ``${NAME}``. download: whether the first job
    fetches what is missing. Images are scaled to ``image_size`` where that is not their own.
    """

    root: str = Field(default="data", min_length=1)
    download: bool = False
    train_subset: TrainSubset | None = None
    imbalance: Imbalance = None
    train_observed: Observed = None

    @property
    @abstractmethod
    def published(self) -> PublishedImages:
        """What the data set is, and which files it consists of."""

    @property
    def classes(self) -> int:
        """Number of classes."""
        return self.published.classes

    @property
    def pool_size(self) -> int | None:
        """Training images that the declared imbalance leaves; None where only the files say."""
        if self.imbalance is None:
            return self.published.train_images
        if self.published.largest_class is None:
            return None
        return sum(long_tail(self.published.largest_class, self.classes, self.imbalance))

    @model_validator(mode="after")
    def _images_suffice(self) -> Self:
        pool = self.published.train_images
        kept = self.pool_size or pool
        if self.imbalance is not None and self.published.largest_class is not None:
            tail = long_tail(self.published.largest_class, self.classes, self.imbalance)
            if not tail[-1]:
                raise ValueError(
                    f"imbalance {self.imbalance:g} leaves the last class of "
                    f"{self.published.title} no image; allowed: 1 to "
                    f"{self.published.largest_class}"
                )
        if self.train_subset is not None and self.train_subset.size > kept:
            left = "" if kept == pool else f", of which imbalance {self.imbalance:g} leaves {kept}"
            raise ValueError(
                f"train_subset.size is {self.train_subset.size}, but {self.published.title} has "
                f"{pool} training images{left}; allowed: at most {kept}"
            )
        return self


class Cifar10Data(PublishedData):
    """CIFAR-10 (Krizhevsky 2009): 60,000 colour images of 10 classes, 32 x 32."""

    kind: Literal["cifar10"]
    image_size: int = Field(default=CIFAR10.side, ge=8, le=512)
    test_size: int = Field(default=CIFAR10.test_images, ge=20, le=CIFAR10.test_images)

    @property
    def published(self) -> PublishedImages:
        """What the data set is, and which files it consists of."""
        return CIFAR10


class Cifar100Data(PublishedData):
    """CIFAR-100 (Krizhevsky 2009), its 100 fine classes: 60,000 colour images, 32 x 32."""

    kind: Literal["cifar100"]
    image_size: int = Field(default=CIFAR100.side, ge=8, le=512)
    test_size: int = Field(default=CIFAR100.test_images, ge=20, le=CIFAR100.test_images)

    @property
    def published(self) -> PublishedImages:
        """What the data set is, and which files it consists of."""
        return CIFAR100


class FashionMnistData(PublishedData):
    """Fashion-MNIST (Xiao et al. 2017): 70,000 grey images of 10 classes, 28 x 28."""

    kind: Literal["fashion_mnist"]
    image_size: int = Field(default=FASHION_MNIST.side, ge=8, le=512)
    test_size: int = Field(default=FASHION_MNIST.test_images, ge=20, le=FASHION_MNIST.test_images)

    @property
    def published(self) -> PublishedImages:
        """What the data set is, and which files it consists of."""
        return FASHION_MNIST


class SvhnData(PublishedData):
    """Street View House Numbers (Netzer et al. 2011), cropped: 99,289 colour digits, 32 x 32."""

    kind: Literal["svhn"]
    image_size: int = Field(default=SVHN.side, ge=8, le=512)
    test_size: int = Field(default=SVHN.test_images, ge=20, le=SVHN.test_images)

    @property
    def published(self) -> PublishedImages:
        """What the data set is, and which files it consists of."""
        return SVHN


Published = Cifar10Data | Cifar100Data | FashionMnistData | SvhnData
OwnImages = DigitsData | ParquetData | ImageFolderData | Published
"""Images that this software trains on."""
Dataset = Annotated[
    DigitsData | ParquetData | ImageFolderData | ForeignData | Published,
    Field(discriminator="kind"),
]

KINDS: Final[dict[str, type[Declared]]] = {
    "digits": DigitsData,
    "parquet": ParquetData,
    "imagefolder": ImageFolderData,
    "foreign": ForeignData,
    "cifar10": Cifar10Data,
    "cifar100": Cifar100Data,
    "fashion_mnist": FashionMnistData,
    "svhn": SvhnData,
}
"""Data sets by the ``kind`` that a study file gives them."""


def drawn_per_block(dataset: Dataset) -> bool:
    """Whether each block draws training images of its own from the pool."""
    return dataset.train_subset is not None and dataset.train_subset.resample == "per_block"


def declared_train_images(dataset: OwnImages) -> int | None:
    """Return how many images a block trains on; None where only the images themselves say."""
    if dataset.train_subset is not None:
        return dataset.train_subset.size
    if isinstance(dataset, PublishedData):
        return dataset.pool_size
    if isinstance(dataset, DigitsData) and dataset.imbalance is None:
        return DIGITS_IMAGES - dataset.test_size
    return None


def image_numbers(dataset: Dataset) -> dict[str, Any]:
    """Return the part of a data set's declaration that can change a shard's numbers, as JSON.

    Of lists, their names: folders differ between machines.
    """
    dumped = dataset.model_dump(mode="json", exclude=set(_CHANGE_NO_NUMBER))
    for key in _OUT_OF_KEYS_UNLESS_SAID:
        if dumped.get(key) is None:
            dumped.pop(key, None)
        elif key.endswith("_list"):
            dumped[key] = PurePath(dumped[key]).name
    return dumped


def image_folder_test(folder: Path) -> Path | None:
    """Return the folder of the test images; None where there is none."""
    return next((folder / name for name in ("test", "val") if (folder / name).is_dir()), None)
