"""Measures under other choices than the study's: what the tables of this package's variants hold.

A variant is a measure of ``measures`` with one or more choices changed. Its name is the measure's,
then the choices in brackets.
"""

from typing import Final

import polars as pl

VARIANT: Final = pl.Schema(
    {"student_id": pl.Int32, "half": pl.String, "variant": pl.String, "value": pl.Float64}
)
"""One row per student, half of the test images (all | a | b) and variant; NULL: undefined."""


def variant_name(measure: str, *choices: str) -> str:
    """Name a measure under other choices, e.g. ``attention_iou[cam_sum, tau_0.3]``."""
    return f"{measure}[{', '.join(choices)}]"
