"""Each strength against the first: paired differences over seeds, their size, equivalence."""

from dataclasses import dataclass, replace
from math import exp, lgamma, sqrt

import numpy as np
from numpy.typing import NDArray

from analyze.decide import holm
from analyze.inference.estimate import Estimate, Panel
from analyze.inference.sample import (
    FEWEST_SEEDS,
    MeanTest,
    contrast_per_seed,
    has_spread,
    mean_test,
    t_interval,
)
from analyze.inference.student_t import upper_tail
from analyze.results import Interval
from store.errors import AnalysisError


@dataclass(frozen=True, slots=True, kw_only=True)
class Equivalence:
    """Two one-sided tests of a difference against -sesoi and sesoi.

    p_value: the larger of the two. interval: at 1 - 2 alpha; it lies inside (-sesoi, sesoi)
    exactly where ``equivalent``.
    """

    sesoi: float
    p_value: float
    interval: Interval
    equivalent: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CellContrast:
    """One strength against the reference strength, paired by seed.

    difference: outcome at ``dose`` minus outcome at ``reference``, outcome units. p_holm: over
    the contrasts of one panel. d_z: mean over SD of the differences. hedges_g_av: mean
    over the average SD of the two cells, corrected for few seeds. None where undefined.
    """

    dose: float
    reference: float
    difference: Estimate
    p_holm: float | None
    d_z: float | None
    hedges_g_av: float | None
    equivalence: Equivalence | None


def paired_contrasts(
    panel: Panel, *, sesoi: float | None = None, level: float = 0.95
) -> tuple[CellContrast, ...]:
    """Test each strength against the first by a paired t; shape (k - 1,).

    sesoi: smallest difference of interest in outcome units; without it no equivalence is
    tested. Equivalence is tested at alpha = 1 - level. Source: Schuirmann (1987); Cumming
    (2012) for g_av. Raises AnalysisError when there is one dose only.
    """
    if sesoi is not None and sesoi <= 0:
        raise ValueError(f"sesoi {sesoi} must be positive; give it in outcome units")
    if sesoi is not None and level <= 0.5:
        raise ValueError(f"level {level} leaves no equivalence test; it must exceed .5")
    if len(panel.doses) < 2 or len(panel.blocks) == 0:
        raise AnalysisError(
            "contrasts need at least two strengths in one complete seed block; "
            f"these replicates have {list(panel.doses)} in {len(panel.blocks)}"
        )
    samples = [_differences(panel, index) for index in range(1, len(panel.doses))]
    tests = [mean_test(sample, level=level) for sample in samples]
    adjusted = holm([test.p_value for test in tests])
    return tuple(
        CellContrast(
            dose=panel.doses[index],
            reference=panel.doses[0],
            difference=_estimate(panel, index, test),
            p_holm=one.p_adjusted,
            d_z=_d_z(sample),
            hedges_g_av=_hedges_g_av(panel.values[:, 0], panel.values[:, index], sample),
            equivalence=None if sesoi is None else _equivalence(test, sesoi, level),
        )
        for index, (sample, test, one) in enumerate(
            zip(samples, tests, adjusted, strict=True), start=1
        )
    )


def _differences(panel: Panel, index: int) -> NDArray[np.float64]:
    weights = np.zeros(len(panel.doses))
    weights[[0, index]] = -1.0, 1.0
    return contrast_per_seed(panel, weights)


def _estimate(panel: Panel, index: int, test: MeanTest) -> Estimate:
    low, high = panel.doses[0], panel.doses[index]
    return Estimate(
        test=f"paired_t_{high:g}_against_{low:g}",
        method=f"paired t over seeds, strength {high:g} against {low:g}",
        value_name="difference",
        estimate=test.mean,
        n=len(panel.blocks),
        rows=2 * len(panel.blocks),
        standard_error=test.standard_error,
        statistic_name="t",
        statistic=test.t,
        df=test.df,
        p_value=test.p_value,
        interval=test.interval,
        caveats=test.caveats,
    )


def _d_z(sample: NDArray[np.float64]) -> float | None:
    if len(sample) < FEWEST_SEEDS or not has_spread(sample):
        return None
    return float(sample.mean() / sample.std(ddof=1))


def _hedges_g_av(
    first: NDArray[np.float64], second: NDArray[np.float64], sample: NDArray[np.float64]
) -> float | None:
    """Return the mean difference over the root mean variance, times Hedges' exact J."""
    if len(sample) < FEWEST_SEEDS or not (has_spread(first) or has_spread(second)):
        return None
    average = sqrt((float(first.var(ddof=1)) + float(second.var(ddof=1))) / 2)
    return small_sample_factor(len(sample) - 1) * float(sample.mean()) / average


def small_sample_factor(df: float) -> float:
    """Return Hedges' J, which takes the small-sample bias from a standardized difference.

    Exact, by gamma functions; needs df > 1. Source: Hedges (1981).
    """
    return exp(lgamma(df / 2) - lgamma((df - 1) / 2)) / sqrt(df / 2)


def _equivalence(test: MeanTest, sesoi: float, level: float) -> Equivalence | None:
    if test.standard_error is None or test.df is None:
        return None
    above = upper_tail((test.mean + sesoi) / test.standard_error, test.df)
    below = upper_tail((sesoi - test.mean) / test.standard_error, test.df)
    p_value = float(max(above, below))
    return Equivalence(
        sesoi=sesoi,
        p_value=p_value,
        interval=t_interval(test.mean, test.standard_error, test.df, level=1 - 2 * (1 - level)),
        equivalent=p_value < 1 - level,
    )


def equivalence_estimate(difference: Estimate, found: Equivalence, *, test: str) -> Estimate:
    """Return the row that a table of tests has of an equivalence test of a difference."""
    return replace(
        difference,
        test=test,
        method="two one-sided t tests over seeds (Schuirmann 1987), against plus or minus "
        f"{found.sesoi:.3g}",
        statistic_name=None,
        statistic=None,
        p_value=found.p_value,
        interval=found.interval,
        caveats=(),
    )
