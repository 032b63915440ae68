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

_SMALLEST_NORMAL: Final = 2.0**-14
"""Below it halves have fewer digits the smaller they are."""


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
            halves = _rounded(logits[part], floats[part])
        else:
            halves = to_halves(logits[part])
            _refuse_overflow(predictions[part], logits[part], halves)
            floats[part] = halves
        words[part] = to_words(halves.view(np.uint16))
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
    with np.errstate(over="ignore", under="ignore"):
        halves = logits.astype(np.float16)
    halves[np.isnan(halves)] = np.nan
    return halves


def _rounded(logits: NDArray[np.float32], floats: NDArray[np.float32]) -> NDArray[np.float16]:
    """Round as ``to_halves`` does what ``_all_fit``, and write into floats what the halves read as.

    On the floats' bits, all at once: NumPy casts number by number, which takes twice as long.
    """
    bits, read = logits.reshape(-1).view(np.uint32), floats.reshape(-1).view(np.uint32)
    # the last 13 bits of a float's fraction have no place in a half; what rounds up carries into
    # the exponent, and a tie does where the last bit that stays is 1
    np.right_shift(bits, 13, out=read)
    read &= 1
    read += 2**12 - 1
    read += bits
    read &= 2**32 - 2**13
    halves = (read >> 13).astype(np.uint16)
    # exponents count from -127 in floats, from -15 in halves
    halves -= (127 - 15) * 2**10 % 2**16
    halves &= 2**15 - 1
    halves |= (read >> 16).astype(np.uint16) & 2**15
    small = np.flatnonzero(np.abs(logits) < _SMALLEST_NORMAL)
    rounded = to_halves(logits.reshape(-1)[small])
    halves[small] = rounded.view(np.uint16)
    floats.reshape(-1)[small] = rounded
    return halves.view(np.float16).reshape(logits.shape)


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
