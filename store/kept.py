"""What the store keeps of its own views: small tables that reading the images takes long to make.

Every row is of one block, so it is made when the block comes in, and never again. The views
named ``..._again`` make the same rows from the images; ``doctor`` compares the two.
"""

from typing import Final

import polars as pl

from store.frame import Column, Frame
from store.measures import MEASURES, Engine, Measure
from store.vocabulary import Half

_STUDENT_ID: Final = Column(name="student_id", dtype=pl.Int32(), meaning="model_id of the student.")
_HALF: Final = Column(
    name="half", dtype=pl.String(), meaning=f"Test images used: {' | '.join(Half)}."
)


def _measure(measure: Measure) -> Column:
    whole = "" if measure.by_half else "; or half is not all, as it needs every image"
    return Column(
        name=measure.name,
        dtype=pl.Float64(),
        meaning=measure.definition,
        unit=f"{measure.unit}; {measure.range}",
        null=measure.null + whole,
    )


MEASURED: Final = Frame(
    "measured",
    "what SQL measures of one student on part of the test images; every student, failed ones too",
    (_STUDENT_ID, _HALF, *(_measure(m) for m in MEASURES if m.engine is Engine.SQL)),
    ("student_id", "half"),
)

CONTINGENCY: Final = Frame(
    "contingency",
    "how often a student and its teachers' ensemble say which classes, per true class, on clean "
    "test images; cells that never occur are absent, and so is a student where it or a teacher "
    "failed, or, from a half, where any logits are not finite",
    (
        _STUDENT_ID,
        _HALF,
        Column(name="label", dtype=pl.Int32(), meaning="The images' class, from 0."),
        Column(
            name="ensemble_class",
            dtype=pl.Int32(),
            meaning="The class that the mean of the teachers' logits is largest for.",
        ),
        Column(
            name="student_class", dtype=pl.Int32(), meaning="The class that the student predicts."
        ),
        Column(
            name="images", dtype=pl.Int64(), meaning="How many images: 1 or more.", unit="count"
        ),
    ),
    ("student_id", "half", "label", "ensemble_class", "student_class"),
)

KEPT: Final = (MEASURED, CONTINGENCY)

MAKING: Final = 2
"""Raised when the same block's rows come out in other last bits than before: the same numbers added
up in another order. Stores made before are brought up to date as after a change of a view."""

AGAIN: Final = "_again"
"""Follows a kept table's name in the name of the view that makes it."""
