"""A folder of runs of other software, opened, and checked against the study that declares them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import polars as pl

from store.design import Design
from store.errors import DataError
from store.foreign import (
    EPOCHS,
    IMAGES,
    MAPS,
    MODELS,
    PAIRS,
    PREDICTIONS,
    collected,
    file_of,
    keyed,
    scan,
)
from store.frame import Frame
from store.images import ForeignData
from store.plan import Student, Teacher
from store.sections import Foreign
from store.vocabulary import (
    Role,
    Split,
)

_ON_ATTENTION: Final = ("H1", "H2b", "H4")
"""Claims whose measures are made of attention maps."""


_TOLERANCE: Final = 1e-9
"""Between a strength in a file and the same one in the study file."""


@dataclass(frozen=True, slots=True)
class ForeignRuns:
    """A folder of runs, opened. train, test: image_id of every image of a split."""

    folder: Path
    design: Design
    foreign: Foreign
    data: ForeignData
    images: pl.DataFrame
    models: pl.DataFrame
    train: pl.Series
    test: pl.Series

    def path(self, frame: Frame) -> Path:
        """Return the file of a table of the contract."""
        return file_of(self.folder, frame)

    def has(self, frame: Frame) -> bool:
        """Whether that file is there."""
        return self.path(frame).exists()


def opened(folder: Path, design: Design) -> ForeignRuns:
    """Open a folder of runs.

    Raises DataError where images, models or names are not of the contract or not as declared.
    """
    if design.foreign is None or not isinstance(design.dataset, ForeignData):
        raise DataError(
            f"{design.study}: its models are trained here; a study of models that were trained "
            "elsewhere has dataset: {kind: foreign, ...} and a section foreign (docs/foreign.md)"
        )
    images = collected(scan(folder, IMAGES), file_of(folder, IMAGES), IMAGES)
    models = collected(scan(folder, MODELS), file_of(folder, MODELS), MODELS)
    split = images.partition_by("split", as_dict=True)
    none = images.clear()
    runs = ForeignRuns(
        folder=folder,
        design=design,
        foreign=design.foreign,
        data=design.dataset,
        images=images,
        models=models,
        train=split.get((str(Split.TRAIN),), none)["image_id"],
        test=split.get((str(Split.TEST),), none)["image_id"],
    )
    _check_images(runs)
    _check_models(runs)
    _check_claims(runs)
    _check_names(runs)
    return runs


def _check_images(runs: ForeignRuns) -> None:
    path, images, data = runs.path(IMAGES), runs.images, runs.data
    for column, allowed in (
        ("split", pl.col("split").is_in([str(word) for word in Split])),
        ("label", pl.col("label").is_between(0, data.classes - 1)),
    ):
        wrong = images.filter(~allowed)
        if wrong.height:
            words = " | ".join(Split) if column == "split" else f"0 to {data.classes - 1}"
            raise DataError(
                f"{path}: column {column} is {wrong[column][0]} with {keyed(wrong, IMAGES)}; "
                f"allowed: {words}"
            )
    if len(runs.test) != data.test_size:
        raise DataError(
            f"{path}: {len(runs.test)} test images; the study declares dataset.test_size "
            f"{data.test_size}"
        )


def _check_models(runs: ForeignRuns) -> None:
    """Every block must have the models of the study's plan, each once."""
    path, models, design = runs.path(MODELS), runs.models, runs.design
    unknown = models.filter(~pl.col("role").is_in([str(role) for role in Role]))
    if unknown.height:
        raise DataError(
            f"{path}: role is {unknown['role'][0]!r} of {keyed(unknown, MODELS)}; allowed: "
            f"{' | '.join(Role)}"
        )
    beyond = models.filter(~pl.col("seed").is_between(0, design.seeds - 1))
    if beyond.height:
        raise DataError(
            f"{path}: seed is {beyond['seed'][0]} of {keyed(beyond, MODELS)}; the study declares "
            f"seeds: {design.seeds}, so 0 to {design.seeds - 1}"
        )
    for block in range(design.seeds):
        members_of(runs, block)


def members_of(runs: ForeignRuns, block: int) -> dict[int, dict[str, Any]]:
    """Return the rows of a block's models by their place in the study's plan."""
    path = runs.path(MODELS)
    left = runs.models.filter(pl.col("seed") == block).to_dicts()
    plan = runs.design.plan()
    members: dict[int, dict[str, Any]] = {}
    for wanted in (*plan.teachers, *plan.students):
        fitting = [row for row in left if _is(row, wanted)]
        if len(fitting) != 1:
            found = "none" if not fitting else ", ".join(str(row["model"]) for row in fitting[:3])
            raise DataError(f"{path}: seed {block} needs one {_described(wanted)}; found: {found}")
        left.remove(fitting[0])
        members[wanted.ordinal] = fitting[0]
    if left:
        raise DataError(
            f"{path}: model {left[0]['model']} of seed {block} is none that the study declares: "
            f"{left[0]['role']}, strength {left[0]['strength']}"
        )
    for row in members.values():
        if (row["weights_hash"] is None) != (row["failure"] is not None):
            raise DataError(
                f"{path}: model {row['model']} needs a weights_hash, or the failure that left it "
                "without weights, and not both"
            )
    return members


def _is(row: dict[str, Any], wanted: Teacher | Student) -> bool:
    if abs(row["strength"] - wanted.strength) > _TOLERANCE:
        return False
    if isinstance(wanted, Teacher):
        return row["role"] == Role.TEACHER and row["slot"] == wanted.slot
    found, asked = row["teacher_strength"], wanted.teacher_strength
    same = found is asked or (
        found is not None and asked is not None and abs(found - asked) <= _TOLERANCE
    )
    return row["role"] == Role.STUDENT and row["arm"] == wanted.arm and same


def _described(wanted: Teacher | Student) -> str:
    if isinstance(wanted, Teacher):
        return f"teacher of slot {wanted.slot} and strength {wanted.strength:g}"
    if wanted.teacher_strength is None:
        return (
            f"student of arm {wanted.arm} and strength {wanted.strength:g}, without a "
            "teacher_strength"
        )
    return (
        f"student of arm {wanted.arm}, teacher_strength {wanted.teacher_strength:g} and strength "
        f"{wanted.strength:g}"
    )


def _check_claims(runs: ForeignRuns) -> None:
    asked = [claim for claim in _ON_ATTENTION if claim in runs.design.claims]
    if asked and not runs.has(MAPS):
        raise DataError(
            f"{runs.path(MAPS)}: missing, and {', '.join(asked)} cannot be tested without maps; "
            "give them, or take these claims out of the study file"
        )


def _check_names(runs: ForeignRuns) -> None:
    """Every model that a file names must be in the file of models."""
    known = runs.models["model"].implode()
    for frame in (PREDICTIONS, MAPS, EPOCHS, PAIRS):
        if not runs.has(frame):
            if frame is PREDICTIONS:
                scan(runs.folder, frame)
            continue
        for column in [name for name in frame.key if name.startswith("model")]:
            rows = scan(runs.folder, frame).select(pl.col(column).unique().drop_nulls()).collect()
            lost = rows.filter(~pl.col(column).is_in(known)).sort(column)
            if lost.height:
                raise DataError(
                    f"{runs.path(frame)}: {column} {lost[column][0]} is no model of "
                    f"{runs.path(MODELS).name}"
                )
