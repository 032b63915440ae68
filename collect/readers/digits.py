"""scikit-learn's digits."""

from typing import Any

import numpy as np

from collect.pixels import InMemory
from collect.readers.decoding import resized
from collect.readers.splits import Images, Splits
from collect.seeding import Purpose, study_streams
from store.images import DigitsData


def read_digits(dataset: DigitsData, study_seed: int) -> Splits:
    """Read the digits; the study's seed draws the test images among all, the rest are the pool."""
    from sklearn.datasets import load_digits  # slow to import, and only this data set needs it

    bunch: Any = load_digits()
    grey = np.asarray(bunch.images / 16, dtype=np.float32)
    pixels = resized(grey[:, None], dataset.image_size)
    labels = np.asarray(bunch.target, dtype=np.int64)
    order = study_streams(study_seed).numpy(Purpose.TEST_SET).permutation(len(labels))
    test, pool = np.sort(order[: dataset.test_size]), np.sort(order[dataset.test_size :])
    return Splits(
        Images(pool.astype(np.int32), InMemory(pixels[pool]), labels[pool]),
        Images(test.astype(np.int32), InMemory(pixels[test]), labels[test]),
        tuple(str(digit) for digit in range(10)),
    )
