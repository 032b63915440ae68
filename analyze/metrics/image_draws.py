"""How the measures of every student move when the test images are drawn again.

All students see the same draw of the images, so that what the images have in common moves them
together. Each half of the test images is drawn from by itself: the split stays. Training
accuracy does not move: its images are each block's own, and new with every seed.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import combinations, product
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from analyze.metrics.answers import HALVES
from analyze.metrics.attention import Masks
from analyze.metrics.attention_answers import TestImages, read_masks
from analyze.metrics.contingency import UndefinedError
from analyze.metrics.image_influence import (
    Influence,
    information_influence,
    mean_influence,
    mean_of,
    overlap_influences,
)
from store.vocabulary import Half

Floats = NDArray[np.float64]

DRAWN_MEASURES: Final = frozenset(
    {
        "generalization_gap",
        "agreement",
        "conditional_mutual_information_bits",
        "attention_iou_adjusted",
    }
)
"""The measures that can be taken on resampled images: those of the claims' plain forms."""

_KEY: Final = {
    "block": pl.Int64,
    "arm": pl.String,
    "condition_id": pl.Int64,
    "teacher_strength": pl.Float64,
    "half": pl.String,
    "measure": pl.String,
    "value": pl.Float64,
}

_STUDENT: Final = ("block", "arm", "condition_id", "teacher_strength")
_NO_ANSWER: Final = -1
_MOST_DRAWS: Final = 1000
_FEWEST_DRAWS: Final = 200
_STEPS: Final = (_MOST_DRAWS, 500, _FEWEST_DRAWS)
_NUMBERS: Final = 20_000_000
"""Numbers held at once, 160 MB: of many students or images, fewer draws are made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnCells:
    """Some students' measure. value: as measured, shape (rows,). moved: shape (rows, draws)."""

    value: Floats
    moved: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageDraws:
    """One measure of one student on one subset of the test images a row.

    rows: block, arm, condition_id, teacher_strength, half, measure, value (as measured), moved
    (its change in each draw of the images, of one length). images: test images drawn from.
    """

    rows: pl.DataFrame
    images: int

    def cells(
        self,
        *,
        arm: str,
        half: Half,
        measure: str,
        blocks: Sequence[int | str],
        strengths: Sequence[float],
        conditions: Sequence[int] | None = None,
    ) -> DrawnCells | None:
        """Return the measure of students given by block and strength, both of length (rows,).

        conditions: of the students, which tell them apart where strengths do not; without them,
        students of one block and strength are averaged. None where one of them was not measured
        on resampled images.
        """
        wanted = self.rows.filter(
            (pl.col("arm") == arm) & (pl.col("half") == half) & (pl.col("measure") == measure)
        )
        told_apart = "teacher_strength" if conditions is None else "condition_id"
        places: dict[tuple[int | str, float], list[int]] = {}
        for place, key in enumerate(zip(wanted["block"], wanted[told_apart], strict=True)):
            places.setdefault(key, []).append(place)
        asked = strengths if conditions is None else conditions
        try:
            at = [places[key] for key in zip(blocks, asked, strict=True)]
        except KeyError:
            return None
        return DrawnCells(
            value=_averaged(wanted["value"].to_numpy(), at),
            moved=_averaged(wanted["moved"].to_numpy(), at),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """The test images and how often each was drawn.

    label: shape (images,). excess: times drawn less 1, times sqrt(n / (n - 1)) of its half's n
    images, for draws with replacement understate a variance by that; shape (draws, images).
    """

    images: TestImages
    label: NDArray[np.int64]
    excess: Floats

    def moved(self, influences: Sequence[Influence], sizes: Sequence[int]) -> Floats:
        """Change of measures in each draw, shape (influences, draws).

        sizes: of the images that each is measured on, how many.
        """
        if not influences:
            return np.empty((0, len(self.excess)))
        each = np.array([influence.images for influence in influences])
        return each @ self.excess.T / np.array(sizes)[:, None]


def _averaged(values: Floats, places: Sequence[Sequence[int]]) -> Floats:
    """Average the rows of values at each list of places."""
    if all(len(some) == 1 for some in places):
        return values[[some[0] for some in places]]
    return np.stack([values[some].mean(axis=0) for some in map(list, places)])


def draws_affordable(*, images: int, rows: int) -> int:
    """Draws that can be held at once, of so many images and rows of ``ImageDraws``.

    Rows, of which a growing study has ever more, change it in steps, so that what is remembered
    of its blocks seldom has another number of draws.
    """
    of_images = int(np.clip(_NUMBERS // max(images, 1), _FEWEST_DRAWS, _MOST_DRAWS))
    of_rows = next((draws for draws in _STEPS if draws * rows <= _NUMBERS), _FEWEST_DRAWS)
    return min(of_images, of_rows)


def drawn_schema(draws: int) -> pl.Schema:
    """Return the columns of the rows of ``ImageDraws`` with so many draws."""
    return pl.Schema({**_KEY, "moved": pl.Array(pl.Float64, draws)})


def draw_images(images: pl.DataFrame, *, draws: int, rng: np.random.Generator) -> Drawing:
    """Draw the test images with replacement, each half by itself.

    images: image_id, half and label of the test images.
    """
    ordered = images.sort("image_id")
    test_images = TestImages.from_frame(ordered)
    excess = np.zeros((draws, len(test_images.ids)))
    for half in test_images.subsets[1:]:
        size = int(half.sum())
        if size > 1:
            drawn = rng.multinomial(size, np.full(size, 1 / size), size=draws)
            excess[:, half] = (drawn - 1) * np.sqrt(size / (size - 1))
    return Drawing(
        images=test_images, label=ordered["label"].to_numpy().astype(np.int64), excess=excess
    )


def block_draws(
    students: pl.DataFrame,
    answers: pl.DataFrame,
    attention: pl.DataFrame,
    drawing: Drawing,
    *,
    measures: Sequence[str],
) -> pl.DataFrame:
    """Rows of ``ImageDraws`` of some students, of each measure and subset of the images.

    students: student_id, block, arm, condition_id, teacher_strength, train_accuracy, teacher_ids.
    answers: student_id, image_id, ensemble_class, student_class on clean test images. attention:
    rows of MASKED_ATTENTION of one method and the clean view. A measure that is undefined, or
    would be without one of the images, has no row.
    """
    said = {int(frame["student_id"][0]): frame for frame in answers.partition_by("student_id")}
    maps = {int(frame["model_id"][0]): frame for frame in attention.partition_by("model_id")}
    overlaps = _TeacherOverlaps(maps, drawing.images)
    draws = len(drawing.excess)
    keys: list[dict[str, object]] = []
    found: list[Influence] = []
    sizes: list[int] = []
    for student in students.iter_rows(named=True):
        answered = _Answered.of(said.get(student["student_id"]), student, drawing, overlaps)
        for measure, number in product(measures, range(len(HALVES))):
            with suppress(UndefinedError):
                influence = answered.influence(measure, number)
                keys.append(_key(student, HALVES[number], measure, influence.value))
                found.append(influence)
                sizes.append(int(drawing.images.subsets[number].sum()))
    column = pl.Series("moved", drawing.moved(found, sizes), dtype=pl.Array(pl.Float64, draws))
    return pl.DataFrame(keys, schema=_KEY).with_columns(column)


def _key(
    student: Mapping[str, object], half: Half, measure: str, value: float
) -> dict[str, object]:
    named = {name: student[name] for name in _STUDENT}
    return named | {"half": str(half), "measure": measure, "value": value}


class _TeacherOverlaps:
    """Overlap of a student's teachers, mean over their pairs: each team is compared once."""

    def __init__(self, maps: Mapping[int, pl.DataFrame], images: TestImages) -> None:
        self._maps = maps
        self._images = images
        self._teams: dict[tuple[int, ...], list[tuple[Influence | None, ...]]] = {}

    def of(self, teachers: tuple[int, ...], number: int) -> Influence:
        """Return the influence on one subset. Raises UndefinedError where there is none."""
        if teachers not in self._teams:
            self._teams[teachers] = self._compare(teachers)
        return mean_of([pair[number] for pair in self._teams[teachers]])

    def _compare(self, teachers: tuple[int, ...]) -> list[tuple[Influence | None, ...]]:
        """Return nothing where a teacher has no maps or another's are of another size."""
        read = {model: self._masks(model) for model in teachers}
        masks = {model: one for model, one in read.items() if one is not None}
        if len(masks) < len(teachers) or len({one.cells.shape for one in masks.values()}) > 1:
            return []
        return [
            overlap_influences(masks[min(pair)], masks[max(pair)], self._images.subsets)
            for pair in combinations(teachers, 2)
        ]

    def _masks(self, model: int) -> Masks | None:
        frame = self._maps.get(model)
        return None if frame is None else read_masks(frame, self._images.ids)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answered:
    """What one student and its teachers' ensemble say of each test image.

    ensemble, student: classes, -1 where nothing, shape (images,).
    """

    ensemble: NDArray[np.int64]
    student: NDArray[np.int64]
    train_accuracy: float | None
    teachers: tuple[int, ...]
    drawing: Drawing
    overlaps: _TeacherOverlaps

    @classmethod
    def of(
        cls,
        answers: pl.DataFrame | None,
        student: Mapping[str, Any],
        drawing: Drawing,
        overlaps: _TeacherOverlaps,
    ) -> "_Answered":
        ids = drawing.images.ids
        classes = np.full((2, len(ids)), _NO_ANSWER)
        if answers is not None:
            at = np.searchsorted(ids, answers["image_id"].cast(pl.Int64).to_numpy())
            for row, name in zip(classes, ("ensemble_class", "student_class"), strict=True):
                row[at] = answers[name].cast(pl.Int64).fill_null(_NO_ANSWER).to_numpy()
        return cls(
            ensemble=classes[0],
            student=classes[1],
            train_accuracy=student["train_accuracy"],
            teachers=tuple(student["teacher_ids"]),
            drawing=drawing,
            overlaps=overlaps,
        )

    def influence(self, measure: str, number: int) -> Influence:
        """Return one measure's influence on one subset.

        As in the store, one image without an answer leaves a measure of predictions undefined.
        Raises UndefinedError for that, ValueError for a measure that is not taken here.
        """
        subset, label = self.drawing.images.subsets[number], self.drawing.label
        match measure:
            case "attention_iou_adjusted":
                return self.overlaps.of(self.teachers, number)
            case "generalization_gap":
                return self._gap(self._whole(self.student, subset) == label, subset)
            case "agreement":
                same = self._whole(self.student, subset) == self._whole(self.ensemble, subset)
                return mean_influence(same.astype(np.float64), subset)
            case "conditional_mutual_information_bits":
                first, second = (self._whole(one, subset) for one in (self.ensemble, self.student))
                return information_influence(label, first, second, subset)
            case _:
                raise ValueError(f"{measure} is not taken on resampled images")

    def _gap(self, right: NDArray[np.bool_], subset: NDArray[np.bool_]) -> Influence:
        if self.train_accuracy is None:
            raise UndefinedError("the training accuracy is missing")
        accuracy = mean_influence(right.astype(np.float64), subset)
        return Influence(value=self.train_accuracy - accuracy.value, images=-accuracy.images)

    @staticmethod
    def _whole(classes: NDArray[np.int64], subset: NDArray[np.bool_]) -> NDArray[np.int64]:
        if (classes[subset] == _NO_ANSWER).any():
            raise UndefinedError("predictions of test images are missing")
        return classes
