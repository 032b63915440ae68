"""Numbers that figures and tables draw beside the findings: series over strength, information."""

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
import polars as pl

from analyze.hypotheses import STRENGTH
from analyze.inference.sample import mean_test
from analyze.metrics.information import choose_estimator, entropy
from analyze.questions import Question
from analyze.results import Interval, MutualInformation, Series
from analyze.shared_teachers import pool_means
from store.measures import BY_NAME
from store.vocabulary import Half

ALWAYS: Final = ("test_accuracy", "train_accuracy", "mask_area", "affinity", "diversity")
"""Measures that every report draws, whatever the study claims."""

_INFORMATION: Final = "mutual_information_bits"


def measures_to_draw(questions: Sequence[Question]) -> tuple[str, ...]:
    """Return every measure that a claim names, in both forms, then those always drawn."""
    named = [
        name
        for question in questions
        for part in question.parts
        for name in (part.outcome, part.predictor, *part.coupled)
        if name != STRENGTH
    ]
    published = [BY_NAME[name].published for name in ALWAYS]
    return tuple(dict.fromkeys([*named, *ALWAYS, *(name for name in published if name)]))


def series_of(
    students: pl.DataFrame, measures: Sequence[str], pools: int | None = None
) -> tuple[Series, ...]:
    """Mean over seeds of each measure at each strength of each arm, with its 95 % t interval.

    students: rows of ``measures``. A measure without any value at a strength has no series
    there. pools: of teachers that blocks share; mean and interval are then of the pools' means.
    """
    found: list[Series] = []
    cells = students.sort("arm", "teacher_strength", "block").group_by(
        "arm", "teacher_strength", maintain_order=True
    )
    for (arm, strength), rows in cells:
        for measure in measures:
            known = rows.filter(pl.col(measure).cast(pl.Float64).is_finite())
            if known.height:
                values = known[measure].to_numpy().astype(np.float64)
                own = pool_means(values, known["block"].to_numpy(), pools)
                found.append(
                    Series(
                        measure=measure,
                        arm=str(arm),
                        strength=_float(strength),
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
    """Return mutual information per arm and strength with what a reader needs to judge it.

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
    rows = rows.sort("arm", "teacher_strength", "block")
    cells = rows.group_by("arm", "teacher_strength", maintain_order=True)
    return tuple(
        MutualInformation(
            arm=str(arm),
            strength=_float(strength),
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
        for (arm, strength), cell in cells
    )


def label_entropies(contingency: pl.DataFrame, *, classes: int) -> pl.DataFrame:
    """Entropy of the labels that each student and its ensemble give, in bits.

    contingency: columns student_id, ensemble_class, student_class, images. Returns student_id,
    ensemble_bits and student_bits, by the estimator that mutual information uses.
    """
    estimator = choose_estimator(classes)
    rows: list[dict[str, float]] = []
    for (student,), cells in contingency.group_by("student_id", maintain_order=True):
        bits = [
            entropy(
                cells.group_by(column).agg(pl.col("images").sum())["images"].sort().to_numpy(),
                estimator,
            ).estimate_bits
            for column in ("ensemble_class", "student_class")
        ]
        rows.append(
            {"student_id": _float(student), "ensemble_bits": bits[0], "student_bits": bits[1]}
        )
    schema = {"student_id": pl.Float64, "ensemble_bits": pl.Float64, "student_bits": pl.Float64}
    return pl.DataFrame(rows, schema=schema).with_columns(pl.col("student_id").cast(pl.Int32))


def _mean(rows: pl.DataFrame, column: str) -> float:
    return float(rows[column].fill_null(0.0).to_numpy().mean())


def _float(value: object) -> float:
    return float(str(value))
