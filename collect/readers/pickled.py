"""CIFAR's own files are pickles: read without running anything that they may hold.

A pickle can name any function of any module and have it called. This reader knows the four
names that an array of numbers needs, and refuses every other.
"""

import codecs
import pickle
from pathlib import Path
from typing import Any, Final, NoReturn

import numpy as np

from store.errors import DataError, one_line

_RECONSTRUCT: Final = np.zeros(0).__reduce__()[0]
_ALLOWED: Final = {
    ("numpy.core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy._core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("_codecs", "encode"): codecs.encode,
}
"""Names that arrays in pickles use, of old and new versions of numpy, and bytes in old ones."""


class _ArraysOnly(pickle.Unpickler):
    """Unpickles numbers, text, bytes, lists, dictionaries and arrays, nothing else."""

    def find_class(self, module: str, name: str, /) -> Any:
        """Return what a pickle names, where that is allowed."""
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which no array needs")
        return _ALLOWED[module, name]

    def persistent_load(self, pid: Any, /) -> NoReturn:
        """Refuse: arrays need no object from elsewhere."""
        raise pickle.UnpicklingError(f"it names an object from elsewhere, {pid!r}")


def read_pickled(path: Path) -> dict[str, Any]:
    """Read a pickled dictionary of arrays, lists, text and numbers.

    Raises DataError where the file is damaged, or holds or names anything else.
    """
    try:
        with path.open("rb") as stream:
            found = _ArraysOnly(stream, encoding="latin1").load()
    except OSError:
        raise
    except Exception as error:  # what damaged bytes can lead to is open
        raise DataError(f"{path}: is no CIFAR file: {one_line(str(error))}") from None
    if not isinstance(found, dict):
        raise DataError(f"{path}: is no CIFAR file: it holds a {type(found).__name__}")
    return found
