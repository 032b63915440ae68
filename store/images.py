"""The images that a study may declare, told apart by ``kind``."""

from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import Field, model_validator

from store.declared import Declared

DIGITS_IMAGES: Final = 1797
"""Images in scikit-learn's digits."""


class TrainSubset(Declared):
    """How many training images a block trains on, and whether each draws its own."""

    size: int = Field(ge=2)
    resample: Literal["per_block", "fixed"] = "per_block"


class DigitsData(Declared):
    """scikit-learn's handwritten digits: 1,797 real 8 x 8 images, no download."""

    kind: Literal["digits"]
    image_size: int = Field(default=16, ge=8, le=64)
    test_size: int = Field(default=897, ge=20, le=1700)
    train_subset: TrainSubset

    @model_validator(mode="after")
    def _images_suffice(self) -> Self:
        pool = DIGITS_IMAGES - self.test_size
        if self.train_subset.size > pool:
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
    train_subset: TrainSubset

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
    train_subset: TrainSubset


class ImageFolderData(Declared):
    """A folder of images in torchvision's layout: ``train/CLASS/FILE`` and ``test/CLASS/FILE``.

    ImageNet's ``val`` may stand for ``test``. Each image's shorter side is scaled to 8/7 of
    ``image_size`` and its centre cut out, for training too; augmentation begins from there.
    Images are decoded as they are needed, by ``decoders`` threads of each job.
    """

    kind: Literal["imagefolder"]
    path: str = Field(min_length=1)
    image_size: int = Field(default=64, ge=8, le=512)
    classes: int = Field(ge=2, le=100_000)
    test_size: int = Field(ge=20)
    train_subset: TrainSubset
    decoders: int = Field(default=2, ge=1, le=256)


Dataset = Annotated[
    DigitsData | ParquetData | ImageFolderData | ForeignData, Field(discriminator="kind")
]


KINDS: Final[dict[str, type[Declared]]] = {
    "digits": DigitsData,
    "parquet": ParquetData,
    "imagefolder": ImageFolderData,
    "foreign": ForeignData,
}
"""Data sets by the ``kind`` that a study file gives them."""


def image_folder_test(folder: Path) -> Path | None:
    """Return the folder of the test images; None where there is none."""
    return next((folder / name for name in ("test", "val") if (folder / name).is_dir()), None)
