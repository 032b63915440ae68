"""What every reader of images returns, and how test images are drawn."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from collect.pixels import Pixels
from collect.seeding import Purpose, study_streams
from store.errors import DataError


@dataclass(frozen=True, slots=True)
class Images:
    """One split.

    image_id: int32, shape (images,). pixels: uint8, shape (images, channels, side, side), in
    memory or in files. labels: int64, shape (images,).
    """

    image_id: NDArray[np.int32]
    pixels: Pixels
    labels: NDArray[np.int64]

    def taken(self, rows: NDArray[np.int64]) -> "Images":
        """Return these images alone, in this order; each keeps its id."""
        return Images(self.image_id[rows], self.pixels.subset(rows), self.labels[rows])


@dataclass(frozen=True, slots=True)
class Splits:
    """The training pool, the chosen test images, and the classes' names in the labels' order."""

    pool: Images
    test: Images
    class_names: tuple[str, ...]


def drawn_test_rows(
    images: int, test_size: int, *, study_seed: int, place: str
) -> NDArray[np.int64]:
    """Draw a study's test images among those that there are; rows ascending.

    place: where they lie. Raises DataError where they are too few.
    """
    if test_size > images:
        raise DataError(
            f"dataset.test_size is {test_size}, but {place} has {images} images; allowed: "
            f"at most {images}"
        )
    order = study_streams(study_seed).numpy(Purpose.TEST_SET).permutation(images)
    return np.sort(order[:test_size])
