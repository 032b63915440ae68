"""A student's and its teachers' attention: overlap above chance and rank correlation."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from analyze.metrics.answers import HALVES, MODEL_FAILED, NO_IMAGES, ONE_TEACHER, Answer
from analyze.metrics.attention import (
    Bools,
    Correlation,
    Masks,
    Overlap,
    Ranks,
    masks_from_words,
    overlaps,
    rank_correlations,
    rank_maps,
)
from store.vocabulary import MASK_WORD_BITS, MASK_WORDS, Half

IOU_ESTIMATOR: Final = "IoU0 exact, over all ordered pairs of different images"
RANK_ESTIMATOR: Final = "mean over images of Spearman's rho, ties averaged"
NO_MAPS: Final = "no attention maps are stored"

_TEACHER_STUDENT: Final = "_teacher_student"


@dataclass(frozen=True, slots=True, kw_only=True)
class TestImages:
    """The test images, ascending by image_id, and which subset they are in.

    ids: shape (images,). subsets: shape (3, images): all, half a, half b.
    """

    __test__ = False

    ids: NDArray[np.int64]
    subsets: Bools

    @classmethod
    def from_frame(cls, images: pl.DataFrame) -> "TestImages":
        """Take image_id and half of the test images."""
        ordered = images.sort("image_id")
        half = ordered["half"].to_numpy()
        return cls(
            ids=ordered["image_id"].cast(pl.Int64).to_numpy(),
            subsets=np.stack([np.ones(len(half), np.bool_), half == Half.A, half == Half.B]),
        )

    def count(self, half: Half) -> int:
        """Test images in a half, or in all."""
        return int(self.subsets[HALVES.index(half)].sum())


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelAttention:
    """One model's masks and ranked maps, in the order of the test images."""

    masks: Masks
    ranks: Ranks


@dataclass(frozen=True, slots=True, kw_only=True)
class PairAttention:
    """Two models compared, once per half; or the reason why they cannot be."""

    overlaps: tuple[Overlap, ...] = ()
    correlations: tuple[Correlation, ...] = ()
    reason: str | None = None


class BlockAttention:
    """The pairs of one block's models: each model read once, each pair compared once."""

    def __init__(
        self,
        attention: Mapping[int, pl.DataFrame],
        images: TestImages,
        *,
        recorded: frozenset[tuple[int, int]],
        failed: frozenset[int],
    ) -> None:
        self._attention = attention
        self._images = images
        self._recorded = recorded
        self._failed = failed
        self._models: dict[int, ModelAttention | None] = {}
        self._pairs: dict[tuple[int, int], PairAttention] = {}

    def answers(self, student: int, teachers: Sequence[int]) -> tuple[Answer, ...]:
        """Answer the attention measures of one student, teachers' pairs first."""
        between = [self.pair(one, other) for one, other in combinations(teachers, 2)]
        across = [self.pair(teacher, student) for teacher in teachers]
        return tuple(
            answer
            for number, half in enumerate(HALVES)
            for pairs, suffix in ((between, ""), (across, _TEACHER_STUDENT))
            for answer in (
                _overlap_answer(pairs, suffix, half, number, self._images.count(half)),
                _rank_answer(pairs, suffix, half, number, self._images.count(half)),
            )
        )

    def pair(self, one: int, other: int) -> PairAttention:
        """Compare two models on all test images and on each half."""
        key = (min(one, other), max(one, other))
        if key not in self._pairs:
            self._pairs[key] = self._compare(*key)
        return self._pairs[key]

    def _compare(self, one: int, other: int) -> PairAttention:
        if {one, other} & self._failed:
            return PairAttention(reason=MODEL_FAILED)
        if (one, other) not in self._recorded:
            return PairAttention(reason="the two models are not a recorded pair")
        first, second = self._model(one), self._model(other)
        if first is None or second is None:
            return PairAttention(reason=NO_MAPS)
        if first.masks.cells.shape != second.masks.cells.shape:
            return PairAttention(reason="the models' maps have different sizes")
        subsets = self._images.subsets
        return PairAttention(
            overlaps=overlaps(first.masks, second.masks, subsets),
            correlations=rank_correlations(first.ranks, second.ranks, subsets),
        )

    def _model(self, model: int) -> ModelAttention | None:
        if model not in self._models:
            frame = self._attention.get(model)
            self._models[model] = None if frame is None else read_model(frame, self._images.ids)
        return self._models[model]


def read_model(frame: pl.DataFrame, ids: NDArray[np.int64]) -> ModelAttention | None:
    """Arrange one model's attention in the order of ``ids``; an absent image is undefined.

    Returns None when no test image has a map. Raises ValueError when an image repeats (more
    than one method or view was given) or the maps differ in size.
    """
    stored = _stored(frame, ids)
    if stored is None:
        return None
    masks = _arranged(stored, len(ids))
    maps = np.zeros(masks.cells.shape, np.uint8)
    maps[stored.at] = stored.rows["map"].explode().to_numpy().reshape(-1, stored.cells)
    return ModelAttention(masks=masks, ranks=rank_maps(maps, masks.defined))


def read_masks(frame: pl.DataFrame, ids: NDArray[np.int64]) -> Masks | None:
    """Return the masks of ``read_model`` alone."""
    stored = _stored(frame, ids)
    return None if stored is None else _arranged(stored, len(ids))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stored:
    """The rows of one model that have a map, and each one's place among the test images."""

    rows: pl.DataFrame
    at: NDArray[np.intp]
    cells: int


def _stored(frame: pl.DataFrame, ids: NDArray[np.int64]) -> _Stored | None:
    image = frame["image_id"].cast(pl.Int64).to_numpy()
    if len(np.unique(image)) < len(image):
        raise ValueError("attention repeats an image: give one method and the clean view")
    mapped = frame["map"].is_not_null() & frame["mask_0"].is_not_null()
    there = np.isin(image, ids) & mapped.to_numpy()
    if not there.any():
        return None
    rows = frame if there.all() else frame.filter(pl.Series(there))
    sizes = rows["map"].list.len().unique().to_list()
    if len(sizes) > 1:
        raise ValueError(f"the maps of one model have different sizes: {sorted(sizes)} cells")
    return _Stored(rows=rows, at=np.searchsorted(ids, image[there]), cells=int(sizes[0]))


def _arranged(stored: _Stored, images: int) -> Masks:
    defined = np.zeros(images, np.bool_)
    defined[stored.at] = True
    used = min(max(1, -(-stored.cells // MASK_WORD_BITS)), MASK_WORDS)
    words = [stored.rows[f"mask_{word}"].fill_null(0).to_numpy() for word in range(used)]
    cells = np.zeros((images, stored.cells), np.bool_)
    cells[stored.at] = masks_from_words(np.stack(words, axis=1), cells=stored.cells)
    return Masks(cells=cells, defined=defined)


def _overlap_answer(
    pairs: Sequence[PairAttention], suffix: str, half: Half, number: int, images: int
) -> Answer:
    reason = _why_not(pairs, images)
    found = [] if reason else [pair.overlaps[number] for pair in pairs]
    left_out = sum(overlap.without_mask + overlap.undefined_images for overlap in found)
    return _mean_answer(
        f"attention_iou_adjusted{suffix}",
        half,
        IOU_ESTIMATOR + _left_out(left_out, images * len(pairs)),
        [overlap.adjusted for overlap in found],
        reason or next(filter(None, map(_why_no_overlap, found)), None),
    )


def _rank_answer(
    pairs: Sequence[PairAttention], suffix: str, half: Half, number: int, images: int
) -> Answer:
    reason = _why_not(pairs, images)
    found = [] if reason else [pair.correlations[number] for pair in pairs]
    constant = "every map of a pair of models is constant or undefined"
    return _mean_answer(
        f"attention_rank_correlation{suffix}",
        half,
        RANK_ESTIMATOR + _left_out(sum(one.left_out for one in found), images * len(pairs)),
        [one.rho for one in found],
        reason or (constant if any(one.rho is None for one in found) else None),
    )


def _why_not(pairs: Sequence[PairAttention], images: int) -> str | None:
    if not pairs:
        return ONE_TEACHER
    if images == 0:
        return NO_IMAGES
    return next((pair.reason for pair in pairs if pair.reason), None)


def _why_no_overlap(overlap: Overlap) -> str | None:
    if not overlap.images:
        return "no image where both models have a mask"
    if overlap.iou is None:
        return "no image where either attends anywhere (0/0)"
    if overlap.chance is None:
        return "no two different images where either attends anywhere (0/0)"
    if overlap.adjusted is None:
        return "IoU0 = 1: all masks are the same"
    return None


def _left_out(images: int, of: int) -> str:
    return f"; left out as undefined: {images} of {of} images, over all pairs" if images else ""


def _mean_answer(
    measure: str, half: Half, estimator: str, values: Sequence[float | None], reason: str | None
) -> Answer:
    """Mean over pairs of models; one undefined pair leaves the mean undefined, not partial."""
    defined = [value for value in values if value is not None]
    return Answer(
        measure=measure,
        half=half,
        estimator=estimator,
        value=None if reason else sum(defined) / len(defined),
        reason=reason,
    )
