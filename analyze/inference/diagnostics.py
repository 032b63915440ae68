"""What to know of a panel before trusting its primary test.

A diagnostic sets a flag and words. It never chooses the test: a test chosen by a pretest has
neither test's error rate.
"""

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from analyze.decide import holm
from analyze.inference.estimate import Estimate, Panel
from analyze.inference.mixed import BOUNDARY
from analyze.inference.sample import (
    FEWEST_SEEDS,
    NO_SPREAD,
    TOO_FEW,
    MeanTest,
    has_spread,
    mean_test,
)
from analyze.inference.trends import orthonormal_polynomials, per_seed_slopes, polynomial_contrasts

Bearing = Literal["primary", "beside"]

FLAG_BELOW: Final = 0.05
MOST_SHAPIRO: Final = 5000
"""Above this many values the approximation of Shapiro and Wilk's p is not known to hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnostic:
    """One thing looked at. flag: the reader should know; words: what, in a sentence.

    statistic and p_value are None where they are undefined, as ``words`` then says. bears_on:
    whether a flag is a reason to look twice at the primary test, or only at tests beside it.
    """

    name: str
    flag: bool
    words: str
    statistic_name: str
    statistic: float | None = None
    p_value: float | None = None
    bears_on: Bearing = "primary"


def diagnostics(panel: Panel) -> tuple[Diagnostic, ...]:
    """Return every diagnostic of one panel. Raises AnalysisError on one dose only."""
    return (
        slope_normality(panel),
        leave_one_seed_out(panel),
        curvature(panel),
        brown_forsythe(panel),
        sphericity(panel),
    )


def boundary_fit(mixed: Estimate) -> Diagnostic:
    """Tell whether a mixed model's fit lies on the boundary of its parameters."""
    flag = BOUNDARY in mixed.caveats
    return Diagnostic(
        name="boundary_fit",
        flag=flag,
        words=(
            "the mixed model estimates a variance of 0: it takes seeds as alike there, and its p "
            "is too small if they are not"
            if flag
            else "the mixed model's variances are positive"
            if mixed.p_value is not None
            else "no mixed model was tested"
        ),
        statistic_name="",
        bears_on="beside",
    )


def looked_at(diagnostic: Diagnostic, *, n: int, rows: int) -> Estimate:
    """Turn a diagnostic into a line of evidence, of n seeds: it never chooses a test."""
    return Estimate(
        test=f"diagnostic_{diagnostic.name}",
        method="diagnostic; chooses nothing",
        value_name="diagnostic",
        estimate=None,
        n=n,
        rows=rows,
        statistic_name=diagnostic.statistic_name or None,
        statistic=diagnostic.statistic,
        p_value=diagnostic.p_value,
        caveats=(diagnostic.words,),
    )


def brown_forsythe(panel: Panel) -> Diagnostic:
    """Test whether the spread over seeds differs between strengths.

    One-way analysis of variance of distances to each strength's median. Source: Brown and
    Forsythe (1974).
    """
    cells = panel.values.T
    words = _undefined(panel, spread=any(has_spread(cell) for cell in cells))
    if words is None and len(cells) < 2:
        words = "one strength: nothing to compare"
    if words is not None:
        return Diagnostic(name="brown_forsythe", flag=False, words=words, statistic_name="F")
    found = stats.levene(*cells, center="median")
    return tested(
        name="brown_forsythe",
        statistic_name="F",
        statistic=float(found.statistic),
        p_value=float(found.pvalue),
        seen="the spread over seeds differs between strengths",
        unseen="no sign that the spread over seeds differs between strengths",
        bears_on="beside",
    )


def slope_normality(panel: Panel) -> Diagnostic:
    """Test the seeds' slopes, the sample of the primary test, for normality.

    Source: Shapiro and Wilk (1965).
    """
    slopes = per_seed_slopes(panel)
    words = _undefined(panel, spread=has_spread(slopes))
    if words is None and len(slopes) > MOST_SHAPIRO:
        words = f"more than {MOST_SHAPIRO} seeds: not tested, as their mean is normal enough"
    if words is not None:
        return Diagnostic(name="slope_normality", flag=False, words=words, statistic_name="W")
    found = stats.shapiro(slopes)
    return tested(
        name="slope_normality",
        statistic_name="W",
        statistic=float(found.statistic),
        p_value=float(found.pvalue),
        seen="the seeds' slopes are not normal: read the sign-flip test beside the t",
        unseen="no sign against normal slopes (which few seeds could hardly show)",
    )


def leave_one_seed_out(panel: Panel) -> Diagnostic:
    """Leave each seed out in turn, to see whether one decides the primary test.

    The statistic is the largest change of the mean slope, in its standard errors. Flagged
    where p crosses .05 when one seed is left out, or a significant slope changes its sign.
    """
    name, statistic_name = "leave_one_seed_out", "change in standard errors"
    slopes = per_seed_slopes(panel)
    words = _undefined(panel, spread=has_spread(slopes))
    if words is None and len(slopes) == FEWEST_SEEDS:
        words = "3 seeds: leaving one out leaves too few to test"
    if words is not None:
        return Diagnostic(name=name, flag=False, words=words, statistic_name=statistic_name)
    rest = [mean_test(np.delete(slopes, seed), level=0.95) for seed in range(len(slopes))]
    moved = max(abs(one.mean - float(slopes.mean())) for one in rest)
    turned = _turned(panel, rest, mean_test(slopes, level=0.95))
    return Diagnostic(
        name=name,
        flag=bool(turned),
        words=(
            f"without seed {turned[0]} p would cross .05, or a significant slope would turn"
            f" ({len(turned)} such of {len(slopes)} seeds)"
            if turned
            else "no single seed decides whether p < .05"
        ),
        statistic_name=statistic_name,
        statistic=moved / (float(slopes.std(ddof=1)) / len(slopes) ** 0.5),
    )


def _turned(panel: Panel, rest: list[MeanTest], whole: MeanTest) -> list[int | str]:
    """Name the seeds without which p would be on the other side of .05, or a sure sign another."""
    decided = _below(whole)
    return [
        block
        for block, one in zip(panel.blocks, rest, strict=True)
        if _below(one) != decided or (decided and one.mean * whole.mean < 0)
    ]


def _below(test: MeanTest) -> bool:
    # without a p the seeds agree to rounding error: decided, unless on no slope at all
    return test.mean != 0 if test.p_value is None else test.p_value < FLAG_BELOW


def curvature(panel: Panel) -> Diagnostic:
    """Tell whether the trend bends: quadratic and cubic contrasts, Holm over the two.

    The statistic is the larger of their absolute t.
    """
    bends = polynomial_contrasts(panel)[1:]
    found = [(one.statistic, one.p_value) for one in bends]
    known = [(abs(t), p) for t, p in found if t is not None and p is not None]
    if not known:
        words = bends[0].caveats[0] if bends else "two strengths: a bend cannot be seen"
        return Diagnostic(name="curvature", flag=False, words=words, statistic_name="largest |t|")
    adjusted = [one.p_adjusted for one in holm([p for _, p in known])]
    return tested(
        name="curvature",
        statistic_name="largest |t|",
        statistic=max(t for t, _ in known),
        p_value=min(p for p in adjusted if p is not None),
        seen="the trend is not a straight line: the slope is an average over its bends",
        unseen="no sign that the trend bends",
    )


def sphericity(panel: Panel) -> Diagnostic:
    """Test whether all differences between strengths vary alike over seeds (Mauchly's W).

    p by the chi-square expansion to second order of -rho (n - 1) log W. The words give
    Greenhouse and Geisser's epsilon. Source: Mauchly (1940); Anderson (2003), sec. 10.7.
    """
    n, p = len(panel.blocks), len(panel.doses) - 1
    words = _undefined(panel, spread=True)
    if words is None and p < 2:
        words = "fewer than three strengths: no differences to compare"
    if words is None and n <= p:
        words = f"{n} seeds are too few to test sphericity over {p + 1} strengths"
    roots = None if words is not None else _difference_variances(panel)
    if roots is None:
        words = words or "a difference between strengths without variance: not tested"
        return Diagnostic(name="sphericity", flag=False, words=words, statistic_name="W")
    epsilon = float(roots.sum() ** 2 / (p * (roots**2).sum()))
    w = float(np.prod(roots / roots.mean()))
    return tested(
        name="sphericity",
        statistic_name="W",
        statistic=w,
        p_value=_mauchly_p(w, n, p),
        seen=f"differences between strengths vary unequally over seeds (epsilon {epsilon:.2f}): "
        "a random intercept alone does not fit",
        unseen=f"no sign against sphericity (epsilon {epsilon:.2f})",
        bears_on="beside",
    )


def _difference_variances(panel: Panel) -> NDArray[np.float64] | None:
    """Return the eigenvalues of k - 1 orthonormal contrasts' covariance; None where one is 0."""
    k = len(panel.doses)
    contrasts = orthonormal_polynomials(np.arange(float(k)), k - 1)
    scores = (panel.values - panel.values[:, :1]) @ contrasts.T
    roots = np.asarray(np.linalg.eigvalsh(np.cov(scores, rowvar=False)), dtype=np.float64)
    floor = 1e-12 * max(float(roots[-1]), float(np.abs(scores).max()) ** 2)
    return roots if roots[0] > floor else None


def _mauchly_p(w: float, n: int, p: int) -> float:
    """Return the upper tail of -rho (n - 1) log W, with the correction of second order."""
    df = n - 1
    rho = 1 - (2 * p**2 + p + 2) / (6 * p * df)
    second = (p + 2) * (p - 1) * (p - 2) * (2 * p**3 + 6 * p**2 + 3 * p + 2)
    omega = second / (288 * (df * p * rho) ** 2)
    z = -df * rho * float(np.log(w))
    f = p * (p + 1) / 2 - 1
    first = float(stats.chi2.sf(z, f))
    return min(1.0, max(0.0, first + omega * (float(stats.chi2.sf(z, f + 4)) - first)))


def tested(
    *,
    name: str,
    statistic_name: str,
    statistic: float,
    p_value: float,
    seen: str,
    unseen: str,
    bears_on: Bearing = "primary",
) -> Diagnostic:
    """Flag what a test of level .05 sees; ``seen`` and ``unseen`` are the words for either."""
    flag = p_value < FLAG_BELOW
    return Diagnostic(
        name=name,
        flag=flag,
        words=seen if flag else unseen,
        statistic_name=statistic_name,
        statistic=statistic,
        p_value=p_value,
        bears_on=bears_on,
    )


def _undefined(panel: Panel, *, spread: bool) -> str | None:
    if len(panel.blocks) < FEWEST_SEEDS:
        return TOO_FEW
    return None if spread else NO_SPREAD
