"""Where commands write what they were asked for: checked before they compute, written whole."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from store.atomic import write_text
from store.errors import AnalysisError

TERMINAL: Final = "-"
"""Stands for standard output where a path is asked for."""


def check_outputs(asked: Sequence[Path | None], *, read: Path | None, what: str) -> None:
    """Refuse to write over a folder, over what is read, or two outputs to one file.

    asked: of ``--json`` and ``--html``. what: is read, in words.
    """
    named = [path for path in asked if path and str(path) != TERMINAL]
    for path in named:
        same = read is not None and path.resolve() == read.resolve()
        if path.is_dir() or same:
            raise AnalysisError(f"{path}: cannot be written: it is {what if same else 'a folder'}")
    if len({path.resolve() for path in named}) < len(named):
        raise AnalysisError(f"{named[0]}: --json and --html name the same file")


def save_output(path: Path, text: str) -> None:
    """Write a text whole or not at all. Raises AnalysisError where that cannot be done."""
    try:
        write_text(path, text)
    except OSError as error:
        raise AnalysisError(f"{path}: cannot be written: {error.strerror or error}") from None
