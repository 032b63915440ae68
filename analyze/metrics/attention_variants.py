"""Overlap of teachers' attention by every map and every threshold that the store can give."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Final

import numpy as np
import polars as pl

from analyze.metrics.answers import HALVES
from analyze.metrics.attention import Bools, Masks, overlaps
from analyze.metrics.attention_answers import TestImages
from analyze.metrics.masking import Maps, Threshold, masks_at
from analyze.metrics.variants import VARIANT, variant_name
from store.vocabulary import Role, Status

PLAIN: Final = "attention_iou"
ADJUSTED: Final = "attention_iou_adjusted"

Mapped = tuple[Maps, Bools]
"""A model's maps by one method, shape (images, cells), and which images have one."""


def attention_variants(
    attention: pl.DataFrame,
    models: pl.DataFrame,
    pairs: pl.DataFrame,
    images: pl.DataFrame,
    *,
    thresholds: Sequence[Threshold],
) -> pl.DataFrame:
    """Teachers' IoU, plain and above chance, by method and threshold, on all images and each half.

    attention: model_id, image_id, method and map of the teachers on the clean view. models: rows
    of MODEL. pairs: rows of MODEL_PAIR. images: image_id and half of the test images.

    Returns rows of VARIANT for every student, its teachers' pairs averaged; NULL where a teacher
    failed, one pair is undefined or not recorded, or there is one teacher only. Each measure is
    ``analyze.metrics.attention.overlaps``', of masks made from the stored maps.
    Raises ValueError where a model's maps of one method differ in size or repeat an image.
    """
    test_images = TestImages.from_frame(images)
    failed = set(models.filter(pl.col("status") == Status.FAILED)["model_id"].to_list())
    recorded = {frozenset(pair) for pair in pairs.select("model_a", "model_b").iter_rows()}
    students = models.filter(pl.col("role") == Role.STUDENT).select("model_id", "teacher_ids")
    teams = {tuple(teachers) for teachers in students["teacher_ids"].to_list()}
    rows: list[tuple[int, str, str, float | None]] = []
    for method in attention["method"].unique().sort().to_list():
        maps = _maps(attention.filter(pl.col("method") == method), test_images)
        found = {
            team: list(_team(team, maps, test_images, thresholds, method))
            for team in teams
            if _comparable(team, recorded) and not failed.intersection(team)
        }
        rows += [
            (student, half, variant, value)
            for student, team in students.iter_rows()
            for half, variant, value in found.get(tuple(team), ())
        ]
    return pl.DataFrame(rows, schema=VARIANT, orient="row")


def _comparable(team: tuple[int, ...], recorded: set[frozenset[int]]) -> bool:
    return len(team) > 1 and all(frozenset(pair) in recorded for pair in combinations(team, 2))


def _maps(attention: pl.DataFrame, images: TestImages) -> dict[int, Mapped]:
    """Arrange every model's maps in the order of the test images; an absent one is undefined."""
    return {
        int(frame["model_id"][0]): _mapped(frame, images)
        for frame in attention.filter(pl.col("map").is_not_null()).partition_by("model_id")
    }


def _mapped(frame: pl.DataFrame, images: TestImages) -> Mapped:
    known = frame.filter(pl.col("image_id").cast(pl.Int64).is_in(images.ids.tolist()))
    if known["image_id"].is_duplicated().any():
        raise ValueError("attention repeats an image: give the clean view alone")
    sizes = known["map"].list.len().unique().to_list()
    if len(sizes) > 1:
        raise ValueError(f"the maps of one model have different sizes: {sorted(sizes)} cells")
    cells = int(sizes[0]) if sizes else 0
    at = np.searchsorted(images.ids, known["image_id"].cast(pl.Int64).to_numpy())
    defined = np.zeros(len(images.ids), np.bool_)
    defined[at] = True
    maps = np.zeros((len(images.ids), cells), np.uint8)
    if cells:
        maps[at] = known["map"].explode().to_numpy().reshape(-1, cells)
    return maps, defined


def _team(
    team: tuple[int, ...],
    maps: Mapping[int, Mapped],
    images: TestImages,
    thresholds: Sequence[Threshold],
    method: str,
) -> Iterator[tuple[str, str, float | None]]:
    """Half, variant and value of one team of teachers at every threshold."""
    if any(teacher not in maps for teacher in team):
        return
    if len({maps[teacher][0].shape for teacher in team}) > 1:
        return
    for threshold in thresholds:
        masks = {
            teacher: Masks(cells=masks_at(maps[teacher][0], threshold), defined=maps[teacher][1])
            for teacher in team
        }
        pairs = [
            overlaps(masks[one], masks[other], images.subsets)
            for one, other in combinations(team, 2)
        ]
        for number, half in enumerate(HALVES):
            found = [pair[number] for pair in pairs]
            yield half, variant_name(PLAIN, method, threshold.name), _mean([o.iou for o in found])
            yield (
                half,
                variant_name(ADJUSTED, method, threshold.name),
                _mean([o.adjusted for o in found]),
            )


def _mean(values: Sequence[float | None]) -> float | None:
    """Mean over pairs; one undefined pair leaves it undefined, not partial."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known and len(known) == len(values) else None
