"""Reading a study: YAML or a store's declaration in, ``Design`` or one line of error out."""

import hashlib
import json
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import NoneType
from typing import Any, Final, get_args

import yaml
from pydantic import ValidationError

from store.atomic import write_text
from store.augmentations import POLICIES
from store.conditions import CONDITION_KINDS
from store.declared import Declared
from store.design import Design
from store.errors import DataError, StudyError
from store.image_files import missing_images
from store.images import KINDS, ForeignData
from store.networks import FAMILIES, CifarNetwork, Network
from store.training import LOSSES

DECLARATION: Final = "declaration.json"
"""Name of the file in a study's results that holds what it declares, all keys, as JSON."""

_VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")
_TOLD_APART: Final[tuple[Mapping[str, type[Declared]], ...]] = (
    KINDS,
    POLICIES,
    CONDITION_KINDS,
    FAMILIES,
    LOSSES,
)
"""Sections of a study file that come in kinds, by the names of those."""


def load_design(path: Path, *, unset: str | None = None) -> Design:
    """Read and check a study file.

    unset: stands for environment variables that it names, which are not set. Raises StudyError
    with one line that names the file, the key, the value and what is allowed.
    """
    try:
        content: object = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise StudyError(f"{path}: no such study file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise StudyError(f"{path}: cannot be read: {error}") from None
    except yaml.YAMLError as error:
        raise StudyError(f"{path}: not YAML: {_one_line(str(error))}") from None
    if not isinstance(content, dict):
        raise StudyError(
            f"{path}: not a study: the file must hold keys and values (study: ..., seeds: ...), "
            f"found {type(content).__name__}"
        )
    try:
        design = Design.model_validate(_expand(content, path, unset))
    except ValidationError as error:
        raise StudyError(_explain(path, error)) from None
    return _with_content_of_weights(design, path)


def _with_content_of_weights(design: Design, path: Path) -> Design:
    """Say which weights a study's files hold, where it names files and does not say so itself."""
    if design.networks is None:
        return design
    known: dict[str, Network] = {}
    for role, network in design.networks.by_role().items():
        if isinstance(network, CifarNetwork) or network.weights_file is None:
            continue
        if network.weights_sha256 is None:
            content = _content_hash(network.weights_file, f"{path}: networks.{role}.weights")
            known[role] = network.model_copy(update={"weights_sha256": content})
    if not known:
        return design
    return design.model_copy(update={"networks": design.networks.model_copy(update=known)})


def _content_hash(file: Path, place: str) -> str:
    try:
        with file.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise StudyError(
            f"{place}: {file} cannot be read: {error.strerror}; put the file there, declare "
            "imagenet or none, or, where nothing is trained, its weights_sha256"
        ) from None


def design_from_declaration(text: str, *, source: str) -> Design:
    """Read a study as a store keeps it: all keys, as JSON.

    source: what it is read from. Raises StudyError where it is none of this software.
    """
    try:
        return Design.model_validate_json(text)
    except ValidationError as error:
        raise StudyError(_explain(Path(source), error)) from None


def keep_declaration(design: Design, results: Path) -> None:
    """Keep in a study's results what it declares, for whoever looks at them without its file."""
    path, text = results / DECLARATION, json.dumps(design.declared(), indent=2) + "\n"
    # as bytes: a damaged file may be no text, and is written anew
    with suppress(OSError):
        if path.read_bytes() == text.encode("utf-8"):
            return
    write_text(path, text)


def kept_declaration(results: Path) -> Design | None:
    """Read what a study's results say that it declares; None where they do not.

    Raises StudyError where they were made by another version of this software.
    """
    path = results / DECLARATION
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise StudyError(f"{path}: cannot be read: {error}") from None
    return design_from_declaration(text, source=str(path))


def nothing_to_train(design: Design) -> DataError:
    """Say that a study's models were trained elsewhere, and what to do."""
    return DataError(
        f"dataset.kind foreign: the models of {design.study} were trained elsewhere; take them "
        "in first: python -m store adopt FOLDER --study THIS-FILE"
    )


def require_data(design: Design) -> None:
    """Raise DataError where the study's images are plainly not there, before anything runs."""
    if isinstance(design.dataset, ForeignData):
        raise nothing_to_train(design)
    missing = missing_images(design.dataset)
    if missing is not None:
        raise DataError(missing)


def _expand(value: Any, path: Path, unset: str | None) -> Any:
    """Replace ${NAME} in text values by an environment variable's value.

    Of ${NAME:-VALUE} the value that stands there where the variable is not set, as in a shell.
    """
    if isinstance(value, dict):
        return {key: _expand(item, path, unset) for key, item in value.items()}
    if isinstance(value, list):
        return [_expand(item, path, unset) for item in value]
    if not isinstance(value, str):
        return value

    def lookup(match: re.Match[str]) -> str:
        name: str = match.group(1)
        otherwise: str | None = match.group(2) if match.group(2) is not None else unset
        if not os.environ.get(name):
            if otherwise is not None:
                return otherwise
            raise StudyError(
                f"{path}: {value!r} needs the environment variable {name}, which is not set; "
                f"set it to the folder that holds the data, e.g. {name}=/data/images"
            )
        return os.environ[name]

    return _VARIABLE.sub(lookup, value)


def _explain(path: Path, error: ValidationError) -> str:
    """One line for the first fault, and how many more there are."""
    faults = error.errors(include_url=False)
    # a mistyped key is both unknown and missing; the unknown one tells more
    first = min(faults, key=lambda fault: fault["type"] != "extra_forbidden")
    kinds = {*(kind for kinds in _TOLD_APART for kind in kinds), "[key]"}
    named = [part for place, part in enumerate(first["loc"]) if not place or part not in kinds]
    key = ".".join(str(part) for part in named) or "study"
    if first["type"] == "extra_forbidden":
        text = f"{path}: {key}: unknown key (value {first['input']!r}){_known_keys(first['loc'])}"
    elif first["type"] == "missing":
        text = f"{path}: {key}: missing; it has no default"
    else:
        message = first["msg"].removeprefix("Value error, ")
        text = f"{path}: {key}: {_shown(first['input'])}{message[0].lower()}{message[1:]}"
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    return _one_line(text) + more


def _shown(value: object) -> str:
    return "" if isinstance(value, dict) else f"value {value!r}: "


def _known_keys(location: tuple[int | str, ...]) -> str:
    """Keys allowed where an unknown one stood."""
    model: Any = Design
    for part in location[:-1]:
        told_apart = next((kinds[str(part)] for kinds in _TOLD_APART if part in kinds), None)
        if told_apart is not None and not hasattr(model, "model_fields"):
            model = told_apart
            continue
        if not hasattr(model, "model_fields") or part not in model.model_fields:
            return ""
        model = _required(model.model_fields[part].annotation)
    if not hasattr(model, "model_fields"):
        return ""
    return "; allowed: " + ", ".join(model.model_fields)


def _required(annotation: Any) -> Any:
    """Return what a key that may be absent holds where it is there."""
    given = [kind for kind in get_args(annotation) if kind is not NoneType]
    optional = len(given) == 1 and NoneType in get_args(annotation)
    return given[0] if optional else annotation


def _one_line(text: str) -> str:
    return " ".join(text.split())
