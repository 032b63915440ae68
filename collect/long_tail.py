"""The long-tailed part of a training pool."""

import math

import numpy as np
from numpy.typing import NDArray

from store.errors import DataError
from store.long_tail import long_tail


def long_tailed_rows(
    labels: NDArray[np.int64], classes: int, imbalance: float, generator: np.random.Generator
) -> NDArray[np.int64]:
    """Draw the images that stay; rows of the pool, ascending.

    labels: of the pool, shape (images,). The draw is the same for every imbalance: what a longer
    tail keeps, a shorter one of the same stream keeps too. Raises DataError where a class has too
    few images.
    """
    kept = kept_per_class(np.bincount(labels, minlength=classes), imbalance)
    rows = [
        generator.permutation(np.flatnonzero(labels == label))[:count]
        for label, count in enumerate(kept)
    ]
    return np.sort(np.concatenate(rows)).astype(np.int64)


def kept_per_class(held: NDArray[np.int64], imbalance: float) -> tuple[int, ...]:
    """How many images each class keeps of those it has, shape (classes,); class 0 keeps all.

    Raises DataError where a class has fewer than the profile asks for, or would keep none.
    """
    largest, classes = int(held[0]), len(held)
    wanted = long_tail(largest, classes, imbalance)
    if not wanted[-1]:
        raise DataError(
            f"dataset.imbalance is {imbalance:g}, but class 0 has {largest} training images, so "
            f"that class {wanted.index(0)} would keep none; allowed: at most {largest}"
        )
    short = next((label for label in range(classes) if held[label] < wanted[label]), None)
    if short is not None:
        raise DataError(
            f"dataset.imbalance is {imbalance:g}: of class {short} it keeps {wanted[short]} "
            f"training images, as class 0 has {largest}, but there are {held[short]}; "
            f"{_allowed(held)}"
        )
    return wanted


def _allowed(held: NDArray[np.int64]) -> str:
    """Say from which imbalance on every class has enough, where there is such a one."""
    largest, last = int(held[0]), len(held) - 1
    if held.min() > 0:
        least = max((largest / int(held[label])) ** (last / label) for label in range(1, last + 1))
        if least <= largest:
            # what is shown is rounded up
            return f"allowed: {math.ceil(least * 100) / 100:g} to {largest}"
    return f"class {int(held[1:].argmin()) + 1} is too small for any imbalance; leave it out"
