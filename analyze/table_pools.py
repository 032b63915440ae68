"""What a table with shared teachers gives to tests that know no pools.

Tests of complete seeds, and those of associations by seed, take one row per seed and dose and
every seed's teachers as its own. They are printed beside the crossed models, on rows that are
averaged over a seed's pools, and say so.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import polars as pl

from analyze.inference.estimate import Estimate

FRESH: Final = "takes teachers as fresh in every seed: finds too much where pools differ"


@dataclass(frozen=True, slots=True, kw_only=True)
class OneRowADose:
    """Rows of which each seed and dose is one.

    averaged: over the pools of a seed that have every dose; the others are left out, for else
    one dose would have other pools than the next. False: no seed has two pools.
    """

    rows: pl.DataFrame
    averaged: bool


def one_row_a_dose(rows: pl.DataFrame, measures: Sequence[str]) -> OneRowADose:
    """Average measures over each seed's pools, where seeds have several.

    rows: columns ``block``, ``dose`` and measures, without nulls; with a column ``pool`` each
    block, dose and pool once, else each block and dose.
    """
    if "pool" not in rows.columns or rows["pool"].n_unique() == 0:
        return OneRowADose(rows=rows, averaged=False)
    pools = rows.group_by("block").agg(pl.col("pool").n_unique())["pool"]
    if pools.max() == 1:
        return OneRowADose(rows=rows, averaged=False)
    whole = rows.filter(pl.len().over("block", "pool") == rows["dose"].n_unique())
    averaged = whole.group_by("block", "dose", maintain_order=True).agg(pl.col(measures).mean())
    return OneRowADose(rows=averaged.sort("block", "dose"), averaged=True)


def taken_as_fresh(estimates: Sequence[Estimate]) -> tuple[Estimate, ...]:
    """Say of every test with a p, an interval or a Bayes factor that it knows no pools."""
    return tuple(
        replace(one, caveats=(FRESH, *one.caveats)) if _infers(one) else one for one in estimates
    )


def _infers(estimate: Estimate) -> bool:
    weighed = estimate.value_name.startswith("bayes_factor")
    return weighed or estimate.p_value is not None or estimate.interval is not None
