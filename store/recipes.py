"""The cookbook: questions that people ask of a store, each a file of ``store/cookbook``.

A file ``NN-name.sql`` starts with comments ``-- Question: ...``, ``-- Returns: ...`` and, where
there is something to vary, ``-- Change: ...``; then comes one query.
"""

import difflib
import re
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Final

from store.errors import StoreError

_FILE: Final = re.compile(r"(?P<number>\d\d)-(?P<name>[a-z0-9-]+)\.sql")
_LABEL: Final = re.compile(r"(Question|Returns|Change): (.*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """One question and its query. change: what may be varied in it, or empty."""

    number: int
    name: str
    question: str
    returns: str
    change: str
    sql: str


@cache
def recipes() -> tuple[Recipe, ...]:
    """Return the whole cookbook, by number."""
    folder = resources.files("store").joinpath("cookbook")
    found = [
        _recipe(int(match["number"]), match["name"], file.read_text(encoding="utf-8"))
        for file in folder.iterdir()
        if (match := _FILE.fullmatch(file.name))
    ]
    return tuple(sorted(found, key=lambda recipe: recipe.number))


def recipe_named(name: str) -> Recipe:
    """Return a recipe by its name or number.

    Raises StoreError where there is none, which names the nearest.
    """
    for recipe in recipes():
        if name in (recipe.name, f"{recipe.number}", f"{recipe.number:02d}"):
            return recipe
    near = difflib.get_close_matches(name, [recipe.name for recipe in recipes()], n=1)
    meant = f"did you mean {near[0]}?" if near else "python -m store cookbook lists them"
    raise StoreError(f"{name}: no such recipe; {meant}")


def _recipe(number: int, name: str, text: str) -> Recipe:
    """Take a file apart: its labelled comments, then its query."""
    words: dict[str, str] = {}
    label = ""
    lines = text.splitlines()
    comments = next(place for place, line in enumerate(lines) if not line.startswith("--"))
    for line in lines[:comments]:
        said = line.removeprefix("--").strip()
        if match := _LABEL.fullmatch(said):
            label, said = match.groups()
        words[label] = f"{words.get(label, '')} {said}".strip()
    return Recipe(
        number=number,
        name=name,
        question=words["Question"],
        returns=words["Returns"],
        change=words.get("Change", ""),
        sql="\n".join(lines[comments:]).strip(),
    )
