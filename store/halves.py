"""Logits as half-precision floats (IEEE 754 binary16), kept as 16-bit words."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from store.errors import StoreError
from store.frames import PREDICTION, STORED_PREDICTION
from store.vocabulary import LogitsType
from store.words import listed, to_words, words_of

LARGEST_HALF: Final = 65504.0
"""What lies farther out than halfway to the next power of two has no half but infinity."""

RELATIVE_ERROR: Final = 2.0**-11
"""Of a half to the float that it was rounded from, down to 2**-14 in absolute value."""

SMALLEST_ERROR: Final = 2.0**-25
"""Below 2**-14 halves are evenly spaced: the error is at most this, in absolute value."""

_ROWS_AT_ONCE: Final = 1024
"""So few that what is made of them on the way stays in the processor's cache."""

_VALUES: Final = np.arange(2**16, dtype=np.uint16).view(np.float16).astype(np.float32)
"""The number that every half is, by its bits."""


@dataclass(frozen=True, slots=True)
class Predictions:
    """One block's predictions as they are stored, and as they read from then on.

    stored: STORED_PREDICTION. read: PREDICTION, logits as the stored ones decode to.
    """

    stored: pl.DataFrame
    read: pl.DataFrame


def stored_as(kind: LogitsType, predictions: pl.DataFrame) -> Predictions:
    """Give predictions the form in which a store keeps them.

    predictions: PREDICTION. Halves are the nearest ones, ties to even; what is not finite stays
    what it is. ``predicted`` is untouched: it is of the logits before they were rounded, and as
    rounding keeps their order it is a largest one still.

    Raises StoreError where a finite logit is too large for a half, ValueError where rows have
    different numbers of classes.
    """
    if kind is LogitsType.FLOAT32:
        return Predictions(
            stored=predictions.with_columns(
                halves=pl.lit(None, STORED_PREDICTION.schema["halves"]),
                classes=pl.lit(None, STORED_PREDICTION.schema["classes"]),
            ),
            read=predictions,
        )
    logits = _stacked(predictions["logits"])
    words = np.empty((len(logits), words_of(logits.shape[1], bits=16)), dtype=np.uint64)
    floats = np.empty_like(logits)
    for first in range(0, len(logits), _ROWS_AT_ONCE):
        part = slice(first, first + _ROWS_AT_ONCE)
        if _all_fit(logits[part]):
            halves = _nearest(logits[part])
        else:
            halves = to_halves(logits[part])
            _refuse_overflow(predictions[part], logits[part], halves)
        words[part] = to_words(halves.view(np.uint16))
        _VALUES.take(halves.view(np.uint16), out=floats[part], mode="clip")
    return Predictions(
        stored=predictions.with_columns(
            logits=pl.lit(None, PREDICTION.schema["logits"]),
            halves=listed(words, STORED_PREDICTION.schema["halves"]),
            classes=pl.lit(logits.shape[1], STORED_PREDICTION.schema["classes"]),
        ),
        read=predictions.with_columns(logits=listed(floats, PREDICTION.schema["logits"])),
    )


def to_halves(logits: NDArray[np.float32]) -> NDArray[np.float16]:
    """Round to the nearest half, ties to even; beyond ``LARGEST_HALF`` to infinity.

    Every NaN becomes the one that SQL decodes it to.
    """
    halves = _nearest(logits)
    halves[np.isnan(halves)] = np.nan
    return halves


def _nearest(logits: NDArray[np.float32]) -> NDArray[np.float16]:
    with np.errstate(over="ignore", under="ignore"):
        return logits.astype(np.float16)


def _all_fit(logits: NDArray[np.float32]) -> bool:
    """Whether all are finite and so are their halves, which two passes tell."""
    return not logits.size or bool(logits.min() >= -LARGEST_HALF and logits.max() <= LARGEST_HALF)


def _refuse_overflow(
    predictions: pl.DataFrame, logits: NDArray[np.float32], halves: NDArray[np.float16]
) -> None:
    beyond = np.isinf(halves) & np.isfinite(logits)
    if beyond.any():
        row, place = np.argwhere(beyond)[0]
        model, view, image = predictions.select(PREDICTION.key).row(int(row))
        raise StoreError(
            f"model {model} has a logit of {logits[row, place]:g} on image {image} ({view}), and "
            f"halves end at {LARGEST_HALF:g}; write store: {{logits: float32}} in the study file"
        )


def _stacked(logits: pl.Series) -> NDArray[np.float32]:
    """Put logits into one array, shape (rows, classes)."""
    if not len(logits):
        return np.zeros((0, 0), dtype=np.float32)
    lengths = logits.list.len()
    if lengths.n_unique() != 1:
        raise ValueError(f"prediction.logits: rows of {lengths.min()} to {lengths.max()} classes")
    return logits.explode().to_numpy().reshape(len(logits), -1)
