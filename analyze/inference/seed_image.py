"""How sure an estimate is where the test images are a sample too, as the seeds are.

Every seed is measured on the same images, so what the images have in common moves all seeds
together and shows in no spread between them: the primary test cannot see it. Here seeds and
images are resampled both, and what the draws of the images move alike in different seeds is
added to the primary test's variance.

A bootstrap of two crossed factors counts their interaction three times (Owen 2007), and
none is exact (McCullagh 2000). Both are mended by taking variances apart. Resampling the seeds
gives, in the limit of many draws and corrected by n / (n - 1), the primary test's own
variance, which holds the interaction once; of what the images move, only the covariance between
different seeds is new. Tests hold the sum of the parts equal to the bootstrap drawn in full.

Source: Owen (2007), Annals of Applied Statistics 1(2); McCullagh (2000), Bernoulli 6(2); the
covariance of readers that share cases: Obuchowski & Rockette (1995), Communications in
Statistics 24(2); its df: Hillis (2007), Statistics in Medicine 26(3).
"""

import math
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from analyze.inference.associations import WithinRegression
from analyze.inference.estimate import Estimate, Panel
from analyze.inference.factors import codes_of, sums_by
from analyze.inference.sample import t_interval

Floats = NDArray[np.float64]

METHOD: Final = (
    "seed blocks and test images resampled together (pigeonhole bootstrap, Owen 2007), their "
    "interaction counted once; t, df by Satterthwaite"
)
NOT_DRAWN: Final = "a measure is undefined without one of the test images: not resampled"
INSIDE: Final = (
    "the interval is the primary test's: that of these degrees of freedom would lie inside it"
)
NO_TEST: Final = "the primary test gives no standard error to widen"


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedDraws:
    """What each seed adds to an estimate's change when the test images are drawn again.

    moved: shape (draws, seeds), in the estimate's unit; a draw's sum is the estimate's change, to
    first order. shares: each seed's weight in the estimate, summing to 1, shape (seeds,).
    """

    moved: Floats
    shares: Floats


def slope_draws(panel: Panel, moved: Floats) -> SeedDraws:
    """Take the mean of the seeds' slopes. moved: of each outcome, shape (seeds, doses, draws)."""
    doses = np.asarray(panel.doses)
    centred = doses - doses.mean()
    seeds = len(panel.blocks)
    slopes = np.einsum("sdr,d->rs", moved, centred / float(centred @ centred))
    return SeedDraws(moved=slopes / seeds, shares=np.full(seeds, 1 / seeds))


def within_draws(
    regression: WithinRegression, slope: float, x_moved: Floats, y_moved: Floats
) -> SeedDraws:
    """Take the slope of a within association.

    x_moved, y_moved: of each row of the regression, shape (rows, draws). To first order the slope
    moves by sum(x~ dy + (residual - slope x~) dx) / sum(x~^2), ~ deviations from the factors, so
    each row's change counts by itself and seeds do not meet.
    """
    x, y = regression.x_within, regression.y_within
    spread = float(x @ x)
    of_x = (y - 2 * slope * x) / spread
    change = of_x[:, None] * x_moved + (x / spread)[:, None] * y_moved
    seeds = codes_of(regression.block)
    return SeedDraws(moved=sums_by(seeds, change).T, shares=sums_by(seeds, x**2) / spread)


def image_variance(drawn: SeedDraws) -> float:
    """Variance that images add to an estimate because all seeds share them; may be negative.

    The covariance between different seeds, summed, and widened to the pairs of a seed with
    itself, where the interaction hides it.
    """
    together = float(drawn.moved.sum(axis=1).var(ddof=1))
    apart = float(drawn.moved.var(axis=0, ddof=1).sum())
    return (together - apart) / (1 - float(drawn.shares @ drawn.shares))


def seed_image_bootstrap(
    primary: Estimate, drawn: SeedDraws, *, images: int, level: float = 0.95
) -> Estimate:
    """Widen a primary test's interval to new test images. Test ``seed_image_bootstrap``.

    primary: with standard error and df, of 3 seeds or more. images: test images drawn from. A
    negative variance of the images counts as 0. The interval is never inside the primary
    test's: few seeds have so wide a t that more degrees of freedom, from the images, could
    make it so.
    """
    beside = described(primary)
    if primary.estimate is None or not primary.standard_error or primary.df is None:
        return replace(beside, caveats=(NO_TEST,))
    seeds = primary.standard_error**2
    added = max(image_variance(drawn), 0.0)
    error = math.sqrt(seeds + added)
    df = (seeds + added) ** 2 / (seeds**2 / primary.df + added**2 / (images - 1))
    widened = t_interval(primary.estimate, error, df, level=level)
    own = t_interval(primary.estimate, primary.standard_error, primary.df, level=level)
    inside = widened.high < own.high
    return replace(
        beside,
        standard_error=error,
        df=df,
        interval=own if inside else widened,
        caveats=(_words(error / primary.standard_error), *((INSIDE,) if inside else ())),
    )


def described(primary: Estimate) -> Estimate:
    """Return the primary test's estimate under this test's name, without any error."""
    return Estimate(
        test="seed_image_bootstrap",
        method=METHOD,
        value_name=primary.value_name,
        estimate=primary.estimate,
        n=primary.n,
        rows=primary.rows,
    )


def _words(ratio: float) -> str:
    speaks = "speaks of new seeds and of new test images of the same kind"
    if ratio == 1:
        return f"{speaks}; the images add no variance that the seeds do not show already"
    return f"{speaks}; standard error {ratio:.2f} times the primary test's"
