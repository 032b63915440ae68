"""Numbers that figures and tables draw beside the findings: series over strength, information."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from analyze.hypotheses import STRENGTH
from analyze.inference.sample import mean_test
from analyze.metrics.information import Estimator, choose_estimator, entropy
from analyze.questions import Question
from analyze.results import Interval, MutualInformation, Series
from analyze.shared_teachers import pool_means
from store.measures import BY_NAME
from store.vocabulary import Half

ALWAYS: Final = ("test_accuracy", "train_accuracy", "mask_area", "affinity", "diversity")
"""Measures that every report draws, whatever the study claims."""

_INFORMATION: Final = "mutual_information_bits"


def measures_to_draw(
    questions: Sequence[Question], contrasted: Sequence[str] = ()
) -> tuple[str, ...]:
    """Return every measure that a claim names, in both forms, then those always drawn.

    contrasted: measures that contrasts are taken of.
    """
    named = [
        name
        for question in questions
        for part in question.parts
        for name in (part.outcome, part.predictor, *part.coupled)
        if name != STRENGTH
    ]
    published = [BY_NAME[name].published for name in ALWAYS]
    return tuple(
        dict.fromkeys([*named, *contrasted, *ALWAYS, *(name for name in published if name)])
    )


def series_of(
    students: pl.DataFrame, measures: Sequence[str], pools: int | None = None
) -> tuple[Series, ...]:
    """Mean over seeds of each measure in each condition, with its 95 % t interval.

    students: rows of ``measures``. A measure without any value in a condition has no series
    there. pools: of teachers that blocks share; mean and interval are then of the pools' means.
    """
    found: list[Series] = []
    for condition, rows in _conditions(students):
        for measure in measures:
            known = rows.filter(pl.col(measure).cast(pl.Float64).is_finite())
            if known.height:
                values = known[measure].to_numpy().astype(np.float64)
                own = pool_means(values, known["block"].to_numpy(), pools)
                found.append(
                    Series(
                        measure=measure,
                        arm=condition.arm,
                        condition_id=condition.id,
                        strength=condition.strength,
                        teacher_strengths=condition.teacher_strengths,
                        blocks=tuple(known["block"].to_list()),
                        values=tuple(values.tolist()),
                        mean=float(own.mean()),
                        interval=mean_interval(own),
                    )
                )
    return tuple(found)


def mean_interval(values: np.ndarray) -> Interval | None:
    """Return the 95 % t interval over seeds of their mean; None below 3 seeds.

    Of seeds that agree exactly it is the one point.
    """
    test = mean_test(values, level=0.95)
    if test.interval is None and test.standard_error is not None:
        return Interval(low=test.mean, high=test.mean, level=0.95)
    return test.interval


def information_of(
    students: pl.DataFrame,
    estimates: pl.DataFrame,
    contingency: pl.DataFrame,
    *,
    images: int,
    classes: int,
    pools: int | None = None,
) -> tuple[MutualInformation, ...]:
    """Return mutual information per condition with what a reader needs to judge it.

    students: rows of ``measures``. estimates: the table ``estimate``, which says the estimator
    and its bias. contingency: of all test images. images: of the test split.
    pools: of teachers that blocks share; the interval is then over the pools' means.
    """
    entropies = label_entropies(contingency, classes=classes)
    detail = estimates.filter(
        (pl.col("measure") == _INFORMATION)
        & (pl.col("half") == Half.ALL)
        & pl.col("value").is_not_null()
    ).select("student_id", "value", "bias", "estimator")
    rows = students.join(detail, on="student_id").join(entropies, on="student_id")
    return tuple(
        MutualInformation(
            arm=condition.arm,
            condition_id=condition.id,
            strength=condition.strength,
            teacher_strengths=condition.teacher_strengths,
            estimate=_mean(cell, "value"),
            interval=mean_interval(
                pool_means(cell["value"].to_numpy(), cell["block"].to_numpy(), pools)
            ),
            ceiling=math.log2(classes),
            teacher_entropy=_mean(cell, "ensemble_bits"),
            student_entropy=_mean(cell, "student_bits"),
            estimator=", ".join(cell["estimator"].unique().sort().to_list()),
            images=images,
            classes=classes,
            bias=_mean(cell, "bias"),
        )
        for condition, cell in _conditions(rows)
    )


def label_entropies(contingency: pl.DataFrame, *, classes: int) -> pl.DataFrame:
    """Entropy of the labels that each student and its ensemble give, in bits.

    contingency: columns student_id, ensemble_class, student_class, images. Returns student_id,
    ensemble_bits and student_bits, by the estimator that mutual information uses.
    """
    estimator = choose_estimator(classes)
    columns = [
        _label_entropy(contingency, labels, estimator).rename({"bits": name})
        for labels, name in (("ensemble_class", "ensemble_bits"), ("student_class", "student_bits"))
    ]
    return columns[0].join(columns[1], on="student_id", how="left", maintain_order="left")


def _label_entropy(contingency: pl.DataFrame, labels: str, estimator: Estimator) -> pl.DataFrame:
    """Entropy of one kind of labels, in bits, by student_id ascending."""
    counts = (
        contingency.group_by("student_id", labels)
        .agg(pl.col("images").sum())
        .sort("student_id", "images")
        .group_by("student_id", maintain_order=True)
        .agg("images")
    )
    bits = [entropy(images.to_numpy(), estimator).estimate_bits for images in counts["images"]]
    return counts.select("student_id", pl.Series("bits", bits, dtype=pl.Float64))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Condition:
    id: int
    arm: str
    strength: float
    teacher_strengths: tuple[float, ...]


def _conditions(students: pl.DataFrame) -> Iterator[tuple[_Condition, pl.DataFrame]]:
    """Each condition with its students by block; by arm, then strength."""
    ordered = students.sort("arm", "teacher_strength", "condition_id", "block")
    for rows in ordered.partition_by("condition_id", maintain_order=True):
        first = rows.row(0, named=True)
        yield (
            _Condition(
                id=first["condition_id"],
                arm=first["arm"],
                strength=first["teacher_strength"],
                teacher_strengths=tuple(first["teacher_strengths"]),
            ),
            rows,
        )


def _mean(rows: pl.DataFrame, column: str) -> float:
    return float(rows[column].fill_null(0.0).to_numpy().mean())
