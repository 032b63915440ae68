"""One predictor's slopes within seeds, between seeds and between strengths.

Strength moves every seed's predictor, and seeds differ: the three slopes answer three
questions, and one number over all students mixes them.
"""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from analyze.inference.associations import (
    ONE_STRENGTH,
    WithinRegression,
    two_way,
    varies,
    with_robust_t,
)
from analyze.inference.cluster_robust import cr2
from analyze.inference.estimate import Estimate, Table
from analyze.inference.factors import sums_by, two_way_factors, without_means
from analyze.inference.sample import TOO_FEW

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

DISCONNECTED: Final = "seeds share too few strengths to tell seed from strength"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mundlak:
    """One predictor's three slopes. Units: outcome per unit of predictor.

    within: at fixed seed and strength. between_seed: along the seeds' adjusted means.
    between_strength: along the strengths' adjusted means. context: between_seed - within.
    """

    within: Estimate
    between_seed: Estimate
    between_strength: Estimate
    context: Estimate


def mundlak(table: Table, *, level: float = 0.95) -> Mundlak:
    """Within, between-seed and between-strength slopes in one regression, CR2 by seed.

    x is split into its residual on seed and strength and the additive fit's seed and strength
    effects; the within slope equals ``two_way_within``'s. Tests ``mundlak_within``,
    ``mundlak_between_seed``, ``mundlak_between_strength``, ``mundlak_context``.
    Source: Mundlak (1978), Econometrica 46(1); Wooldridge (2021), two-way Mundlak regression.
    """
    regression = two_way(table)
    parts = additive_parts(table.block, table.cell, table.x)
    names = ("within", "between_seed", "between_strength", "context")
    blank = [_blank(regression, name) for name in names]
    if parts is None or np.unique(table.cell).size < 2:
        reason = ONE_STRENGTH if np.unique(table.cell).size < 2 else DISCONNECTED
        found = [replace(one, caveats=(reason,)) for one in blank]
    else:
        design = np.column_stack([np.ones(len(table.y)), *parts])
        contrasts = np.array([[0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1], [0, -1, 1, 0]], float)
        found = [
            _fit_contrast(one, design, table, contrast, level)
            for one, contrast in zip(blank, contrasts, strict=True)
        ]
    return Mundlak(
        within=found[0], between_seed=found[1], between_strength=found[2], context=found[3]
    )


def additive_parts(
    block: Ints, dose: Floats, values: Floats
) -> tuple[Floats, Floats, Floats] | None:
    """Split values into residual, seed effect and strength effect, each of shape (rows,).

    Effects are those of the additive least squares fit, centred over the rows: means where
    every cell is filled, means adjusted for the missing cells elsewhere. A part that is rounding
    is 0. None where the seeds do not share enough strengths to tell the two apart.
    """
    factors = two_way_factors(block, dose)
    groups, others = factors.groups, factors.others
    if values.size == 0 or factors.basis.shape[1] < others.shape[1]:
        return None
    centred = without_means(groups, others), without_means(groups, values)
    strength_part = others @ np.linalg.lstsq(*centred, rcond=None)[0]
    means = sums_by(groups, values - strength_part) / np.bincount(groups)
    seed_part = means[groups]
    parts = (
        factors.residual(values),
        seed_part - seed_part.mean(),
        strength_part - strength_part.mean(),
    )
    within, seed, strength = (
        part if varies(part, values) else np.zeros_like(part) for part in parts
    )
    return within, seed, strength


def _blank(regression: WithinRegression, part: str) -> Estimate:
    return Estimate(
        test=f"mundlak_{part}",
        method="within/between regression (Mundlak 1978), CR2 variance clustered by seed",
        value_name="slope_difference" if part == "context" else "slope",
        estimate=None,
        n=regression.seeds,
        rows=len(regression.y),
    )


def _fit_contrast(
    blank: Estimate, design: Floats, table: Table, contrast: Floats, level: float
) -> Estimate:
    """One slope of the Mundlak regression."""
    if blank.n < 2:
        return replace(blank, caveats=(TOO_FEW,))
    robust = cr2(design, table.y, table.block, contrast)
    if robust is None:
        return replace(blank, caveats=("the predictor does not vary along this part",))
    return with_robust_t(blank, robust, level)
