"""One number per seed, and what Student's t says of their mean.

Every test of a balanced panel begins here: a contrast over the doses turns each seed block
into one number, and the seeds are the sample.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from analyze.inference.estimate import Panel
from analyze.inference.student_t import two_sided_p, upper_quantile
from analyze.results import Interval
from store.errors import AnalysisError

FEWEST_SEEDS: Final = 3
"""Below this an analysis describes and does not test."""

TOO_FEW: Final = "fewer than 3 seeds: described, not tested"
NO_SPREAD: Final = "the seeds agree to rounding error: no variance to test against"

_SPREAD_FLOOR: Final = 1e-10


@dataclass(frozen=True, slots=True, kw_only=True)
class MeanTest:
    """Student's t of a sample's mean against 0; what cannot be had is None.

    standard_error, interval: in the sample's unit. df: n - 1. caveats: why there is no test.
    """

    mean: float
    standard_error: float | None = None
    t: float | None = None
    df: float | None = None
    p_value: float | None = None
    interval: Interval | None = None
    caveats: tuple[str, ...] = ()


def contrast_per_seed(panel: Panel, weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weigh each seed's outcomes into one number, shape (n,).

    weights: shape (k,), summing to 0. A result within rounding error of 0 is 0, so that
    exact tests see the tie that the data hold.
    """
    # differences to the first dose make a constant block exactly 0
    contrasts = (panel.values - panel.values[:, :1]) @ weights
    size = np.abs(panel.values).max(axis=1) * float(np.abs(weights).sum())
    contrasts[np.abs(contrasts) <= 16 * np.finfo(float).eps * size] = 0.0
    return contrasts


def mean_test(sample: NDArray[np.float64], *, level: float) -> MeanTest:
    """Test a sample's mean against 0, one number per seed, shape (n,).

    Fewer than 3 seeds, or seeds that agree to rounding error, give the mean and a caveat.
    Raises ValueError when the level is not in (0, 1), AnalysisError on an empty sample.
    """
    _check(sample, level)
    mean = float(sample.mean())
    if len(sample) < FEWEST_SEEDS:
        return MeanTest(mean=mean, caveats=(TOO_FEW,))
    if not has_spread(sample):
        return MeanTest(mean=mean, standard_error=0.0, caveats=(NO_SPREAD,))
    df = float(len(sample) - 1)
    standard_error = float(sample.std(ddof=1)) / len(sample) ** 0.5
    t = mean / standard_error
    return MeanTest(
        mean=mean,
        standard_error=standard_error,
        t=t,
        df=df,
        p_value=two_sided_p(t, df),
        interval=t_interval(mean, standard_error, df, level=level),
    )


def t_interval(mean: float, standard_error: float, df: float, *, level: float) -> Interval:
    """Return mean -+ the t quantile of ``df`` times the standard error.

    Raises ValueError when the level is not in (0, 1).
    """
    _check_level(level)
    reach = upper_quantile((1 - level) / 2, df) * standard_error
    return Interval(low=mean - reach, high=mean + reach, level=level)


def has_spread(sample: NDArray[np.float64]) -> bool:
    """Tell whether the sample varies by more than rounding error."""
    return float(np.ptp(sample)) > _SPREAD_FLOOR * float(np.abs(sample).max())


def _check(sample: NDArray[np.float64], level: float) -> None:
    _check_level(level)
    if len(sample) == 0:
        raise AnalysisError("no seeds to analyze; collect at least one complete seed block")


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise ValueError(f"level {level} is not in (0, 1); write .95 for 95 %")
