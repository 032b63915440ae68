"""What is printed beside the test of a trend: other tests, Bayes factors, cells, diagnostics."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from analyze.inference.bayes import jzs_sensitivity
from analyze.inference.cells import CellContrast, equivalence_estimate, paired_contrasts
from analyze.inference.diagnostics import Diagnostic, boundary_fit, diagnostics, looked_at
from analyze.inference.estimate import Estimate, Panel, Table
from analyze.inference.mixed import mixed_slope
from analyze.inference.omnibus import friedman, games_howell, welch_anova
from analyze.inference.trends import (
    page_trend,
    per_seed_slopes,
    polynomial_contrasts,
    sign_flip,
    wilcoxon_hodges_lehmann,
)
from analyze.inference.within_diagnostics import seed_trends

_LEAST_P: Final = 1e-300
"""A smaller p has underflown."""


def trend_diagnostics(panel: Panel, rows: Table) -> tuple[Diagnostic, ...]:
    """Return what to know of a trend before trusting its tests; rows as in ``beside_trend``."""
    none = np.zeros((len(rows.y), 0))
    return (*diagnostics(panel), seed_trends(rows.block, rows.dose, rows.y, covariates=none))


def beside_trend(
    panel: Panel,
    rows: Table,
    found: Sequence[Diagnostic],
    *,
    sign: int,
    sesoi: float | None,
    rng: np.random.Generator,
    pairs: bool,
    level: float = 0.95,
) -> tuple[Estimate, ...]:
    """Return every test beside the per-seed slope t, of 3 seeds or more.

    rows: every student with the outcome; the mixed model takes incomplete blocks too. found:
    its ``trend_diagnostics``, or none where another test is the primary one. sign: that the
    claim expects. sesoi: per unit of strength; None where none was declared, and no equivalence
    is tested. pairs: compare every two strengths too. level: of the intervals.
    """
    mixed = mixed_slope(rows, level=level)
    looked = (*found, boundary_fit(mixed)) if found else ()
    return (
        page_trend(panel, sign, generator=rng),
        sign_flip(panel, level=level, generator=rng),
        wilcoxon_hodges_lehmann(panel, level=level),
        mixed,
        *polynomial_contrasts(panel, level=level),
        *jzs_sensitivity(per_seed_slopes(panel), rows=panel.values.size),
        *_cells(panel, sesoi, level),
        friedman(panel),
        welch_anova(panel),
        *(games_howell(panel, level=level) if pairs else ()),
        *(looked_at(one, n=len(panel.blocks), rows=panel.values.size) for one in looked),
    )


def _cells(panel: Panel, sesoi: float | None, level: float) -> tuple[Estimate, ...]:
    """Compare each strength with the first; the SESOI of a difference grows with its distance."""
    return tuple(
        estimate
        for index, dose in enumerate(panel.doses[1:])
        for estimate in _cell(
            paired_contrasts(panel, sesoi=_at(sesoi, dose - panel.doses[0]), level=level)[index],
            contrasts=len(panel.doses) - 1,
        )
    )


def _at(sesoi: float | None, distance: float) -> float | None:
    return None if sesoi is None else sesoi * distance


def _cell(contrast: CellContrast, *, contrasts: int) -> tuple[Estimate, ...]:
    """Turn one contrast into its difference, its equivalence test and its two effect sizes."""
    difference = contrast.difference
    if contrast.p_holm is not None:
        holm = f"= {contrast.p_holm:.3g}" if contrast.p_holm >= _LEAST_P else f"< {_LEAST_P:g}"
        text = f"p {holm} by Holm over the {contrasts} contrasts"
        difference = replace(difference, caveats=(*difference.caveats, text))
    between = f"{contrast.dose:g}_against_{contrast.reference:g}"
    sizes = (
        _size(difference, f"hedges_g_av_{between}", "hedges_g_av", contrast.hedges_g_av),
        _size(difference, f"d_z_{between}", "d_z", contrast.d_z),
    )
    return (difference, *_equivalence(contrast, between), *sizes)


def _equivalence(contrast: CellContrast, between: str) -> tuple[Estimate, ...]:
    found = contrast.equivalence
    if found is None:
        return ()
    return (equivalence_estimate(contrast.difference, found, test=f"tost_{between}"),)


def _size(difference: Estimate, test: str, name: str, value: float | None) -> Estimate:
    methods = {
        "hedges_g_av": "difference over the average SD of both strengths, Hedges' correction "
        "(Cumming 2012)",
        "d_z": "mean over SD of the seeds' differences",
    }
    return Estimate(
        test=test,
        method=methods[name],
        value_name=name,
        estimate=value,
        n=difference.n,
        rows=difference.rows,
    )
