"""Does an outcome move with augmentation strength? Tests over seeds of one complete panel.

The primary test is Student's t over the seeds' own slopes. The others stand beside it: they
assume less (sign-flip, signed ranks, Page) or ask more (is the trend a straight line?).
"""

from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from analyze.inference.estimate import Estimate, Panel
from analyze.inference.permutation import (
    page_null,
    sampled_page_null,
    signed_rank_null,
    smallest_two_sided,
    two_sided,
)
from analyze.inference.sample import FEWEST_SEEDS, TOO_FEW, contrast_per_seed, mean_test
from analyze.results import Interval
from store.errors import AnalysisError

EXACT_FLIP_SEEDS: Final = 20
"""Up to here the sign-flip test counts all 2^n ways (a million)."""
EXACT_PAGE_DOSES: Final = 10
EXACT_PAGE_SEEDS: Final = 200
"""Up to here Page's null distribution is exact, in well under a second."""
DRAWS: Final = 99_999
FEWEST_DRAWS: Final = 999
_DRAWN: Final = 20_000_000
"""Numbers that one sampled test draws at most: of thousands of seeds, fewer samples."""
_PORTION: Final = 4_000_000
MOST_RANKED_SEEDS: Final = 1000
"""Above this the exact signed-rank distribution and all pairwise means take minutes."""
MANY_RANKED: Final = f"more than {MOST_RANKED_SEEDS} seeds: not ranked; see the sign-flip test"
_POLYNOMIALS: Final = ("linear", "quadratic", "cubic")


def per_seed_slopes(panel: Panel) -> NDArray[np.float64]:
    """Fit one least-squares slope of outcome on dose to each seed, shape (n,).

    Outcome units per unit of strength. Raises AnalysisError when there is one dose only.
    """
    doses = _doses(panel)
    centred = doses - doses.mean()
    return contrast_per_seed(panel, centred / float(centred @ centred))


def slope_t(panel: Panel, *, level: float = 0.95) -> Estimate:
    """Test the mean of the seeds' slopes by Student's t, df = n - 1: the primary test.

    Balanced, this is also the Kenward-Roger answer of the mixed model with random slopes.
    """
    slopes = per_seed_slopes(panel)
    test = mean_test(slopes, level=level)
    return Estimate(
        test="per_seed_slope_t",
        method="one least-squares slope on strength per seed, one-sample t over seeds",
        value_name="slope",
        estimate=test.mean,
        n=len(slopes),
        rows=panel.values.size,
        standard_error=test.standard_error,
        statistic_name="t",
        statistic=test.t,
        df=test.df,
        p_value=test.p_value,
        interval=test.interval,
        caveats=test.caveats,
    )


def interval_at(slopes: NDArray[np.float64], level: float) -> Interval | None:
    """Return the t interval of the mean slope at any level, as ``slope_t`` would.

    slopes: one per seed, shape (n,). None where ``slope_t`` gives none.
    """
    return mean_test(slopes, level=level).interval


def polynomial_contrasts(panel: Panel, *, level: float = 0.95) -> tuple[Estimate, ...]:
    """Test linear, quadratic and cubic trend, each by a t over seeds.

    The contrasts are orthonormal on the given doses, equally spaced or not, so the linear
    one has ``slope_t``'s t. As many as k - 1 doses allow. Unit of each: the outcome's.
    """
    doses = _doses(panel)
    weights = orthonormal_polynomials(doses, min(len(_POLYNOMIALS), len(doses) - 1))
    found: list[Estimate] = []
    for name, row in zip(_POLYNOMIALS, weights, strict=False):
        contrasts = contrast_per_seed(panel, row)
        test = mean_test(contrasts, level=level)
        found.append(
            Estimate(
                test=f"polynomial_{name}",
                method=f"{name} contrast, orthonormal on the doses, one-sample t over seeds",
                value_name=f"{name}_contrast",
                estimate=test.mean,
                n=len(contrasts),
                rows=panel.values.size,
                standard_error=test.standard_error,
                statistic_name="t",
                statistic=test.t,
                df=test.df,
                p_value=test.p_value,
                interval=test.interval,
                caveats=test.caveats,
            )
        )
    return tuple(found)


def orthonormal_polynomials(doses: NDArray[np.float64], degree: int) -> NDArray[np.float64]:
    """Return contrasts of degree 1 to ``degree`` on these doses, shape (degree, k).

    Rows have length 1, are orthogonal to each other and to a constant; each rises at the
    largest dose, as R's ``contr.poly(k, scores = doses)``.
    """
    span = float(np.ptp(doses))
    powers = np.vander((doses - doses.mean()) / span, degree + 1, increasing=True)
    basis, triangle = np.linalg.qr(powers)
    return (basis * np.sign(np.diag(triangle))).T[1:]


def page_trend(
    panel: Panel, expected_sign: int, *, generator: np.random.Generator | None = None
) -> Estimate:
    """Test an ordered alternative by Page's L, two-sided: the smaller tail doubled.

    expected_sign: -1 where the outcome is expected to fall, else 1; it sets the predicted
    ranks. The estimate is the mean over seeds of the rank correlation with strength, positive
    where the outcome rises. Exact, given the ties, up to 10 doses and 200 seeds; beyond, a
    sample of permutations (``generator``, by default seeded with 0), which a caveat states.
    Source: Page (1963).
    """
    _doses(panel)
    n, k = panel.values.shape
    ranks = np.asarray(stats.rankdata(expected_sign * panel.values, axis=1), dtype=np.float64)
    page_l = float((ranks @ np.arange(1, k + 1)).sum())
    correlation = expected_sign * (12 * page_l / (n * k * (k**2 - 1)) - 3 * (k + 1) / (k - 1))
    tied = bool((ranks != np.round(ranks)).any() or _any_ties(ranks))
    p_value, smallest, caveats = None, None, (TOO_FEW,)
    if n >= FEWEST_SEEDS:
        p_value, smallest, caveats = _page_p(np.rint(2 * ranks).astype(np.int64), generator)
        if tied:
            caveats = (*caveats, "tied outcomes share a rank; p is conditional on the ties")
    return Estimate(
        test="page_trend",
        method="Page's trend test over seeds, two-sided by doubling",
        value_name="mean_rank_correlation",
        estimate=correlation,
        n=n,
        rows=panel.values.size,
        statistic_name="L",
        statistic=page_l,
        p_value=p_value,
        smallest_p=smallest,
        caveats=caveats,
    )


def _page_p(
    doubled: NDArray[np.int64], generator: np.random.Generator | None
) -> tuple[float, float, tuple[str, ...]]:
    """Return p, the smallest p and caveats, from doubled ranks in the predicted order."""
    n, k = doubled.shape
    # without ties all scores are even: halve them, or the arrays are twice as long for nothing
    scores = doubled // 2 if not (doubled % 2).any() else doubled
    observed = int((scores @ np.arange(1, k + 1)).sum())
    if k <= EXACT_PAGE_DOSES and n <= EXACT_PAGE_SEEDS:
        null = page_null(scores)
        return two_sided(null, observed), smallest_two_sided(null), ()
    draws = draws_of(scores.size)
    drawn = sampled_page_null(scores, draws, generator or np.random.default_rng(0))
    tail = min(int((drawn >= observed).sum()), int((drawn <= observed).sum()))
    p_value = min(1.0, 2 * (tail + 1) / (draws + 1))
    return p_value, 2 / (draws + 1), (f"p from {draws} sampled permutations, not exact",)


def draws_of(size: int) -> int:
    """Return how many samples, of ``size`` numbers each, a sampled test draws."""
    return max(FEWEST_DRAWS, min(DRAWS, _DRAWN // size))


def _any_ties(ranks: NDArray[np.float64]) -> bool:
    return any(len(np.unique(block)) < len(block) for block in ranks)


def sign_flip(
    panel: Panel, *, level: float = 0.95, generator: np.random.Generator | None = None
) -> Estimate:
    """Test the mean slope by flipping the signs of the seeds' slopes.

    Exact over all 2^n ways up to 20 seeds; above, sampled with ``generator`` (by default
    seeded with 0), which a caveat states. Assumes slopes symmetric about their mean, no
    normality. The interval inverts the test: the order statistics of subset means; it is
    infinite where the smallest p exceeds 1 - level. Source: Fisher (1935); Hartigan (1969).
    """
    slopes = per_seed_slopes(panel)
    n = len(slopes)
    p_value, smallest, interval, caveats = None, None, None, (TOO_FEW,)
    if n >= FEWEST_SEEDS:
        caveats = ()
        if n > EXACT_FLIP_SEEDS:
            caveats = (f"p from {draws_of(n)} sampled sign flips, not exact",)
        sums, sizes = _subsets(slopes, generator)
        p_value, smallest = _flip_p(sums, slopes)
        interval = _flip_interval(sums / sizes, level)
    return Estimate(
        test="sign_flip",
        method="sign-flip permutation of the seeds' slopes, mean slope, two-sided",
        value_name="slope",
        estimate=float(slopes.mean()),
        n=n,
        rows=panel.values.size,
        statistic_name="mean slope",
        statistic=float(slopes.mean()),
        p_value=p_value,
        smallest_p=smallest,
        interval=interval,
        caveats=caveats,
    )


def _subsets(
    slopes: NDArray[np.float64], generator: np.random.Generator | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return sums and sizes of the non-empty subsets of slopes, all or a sample of them.

    Flipping a subset lowers the mean exactly when its sum is positive, so these sums hold
    both the test and its interval. The empty subset is the data as observed.
    """
    if len(slopes) > EXACT_FLIP_SEEDS:
        return _sampled_subsets(slopes, generator or np.random.default_rng(0))
    sums, sizes = np.zeros(1), np.zeros(1)
    for slope in slopes:
        sums, sizes = np.append(sums, sums + slope), np.append(sizes, sizes + 1)
    return sums[1:], sizes[1:]


def _sampled_subsets(
    slopes: NDArray[np.float64], generator: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Draw subsets in portions that fit into memory."""
    draws, portion = draws_of(len(slopes)), 4 * max(1, _PORTION // (4 * len(slopes)))
    sums: list[NDArray[np.float64]] = []
    sizes: list[NDArray[np.float64]] = []
    for start in range(0, draws, portion):
        shape = (min(portion, draws - start), len(slopes))
        chosen = generator.integers(0, 2, size=shape, dtype=np.int8)
        chosen = chosen[chosen.any(axis=1)]
        sums.append(chosen @ slopes)
        sizes.append(chosen.sum(axis=1).astype(np.float64))
    return np.concatenate(sums), np.concatenate(sizes)


def _flip_p(sums: NDArray[np.float64], slopes: NDArray[np.float64]) -> tuple[float, float]:
    """Double the smaller tail; flips that leave the mean where it is count in both tails."""
    noise = 1e-12 * float(np.abs(slopes).sum())
    tail = min(int((sums <= noise).sum()), int((sums >= -noise).sum()))
    ways = len(sums) + 1
    zeros = int((slopes == 0).sum())
    return min(1.0, 2 * (tail + 1) / ways), min(
        1.0, max(2 / ways, 2.0 ** (1 + zeros - len(slopes)))
    )


def _flip_interval(means: NDArray[np.float64], level: float) -> Interval:
    """Invert the test: drop as many subset means on each side as the level allows."""
    dropped = int(np.floor((1 - level) / 2 * (len(means) + 1) * (1 + 1e-12)))
    return _ordered_interval(means, dropped, level)


def _ordered_interval(points: NDArray[np.float64], rank: int, level: float) -> Interval:
    """Return the ``rank``-th smallest and largest point; without end where rank is 0."""
    if rank == 0:
        return Interval(low=-np.inf, high=np.inf, level=level)
    ordered = np.sort(points)
    return Interval(low=float(ordered[rank - 1]), high=float(ordered[-rank]), level=level)


def wilcoxon_hodges_lehmann(panel: Panel, *, level: float = 0.95) -> Estimate:
    """Test the seeds' slopes by signed ranks; estimate their centre by Hodges and Lehmann.

    Exact given the ties; slopes of 0 leave the test (Wilcoxon's rule), which a caveat
    states, but not the estimate. The estimate is the median of all pairwise (Walsh) means;
    the interval is made of their order statistics, conservative with ties, infinite where the
    seeds are too few for the level. Not computed above 1,000 seeds, which a caveat states.
    Source: Hollander, Wolfe and Chicken (2014), ch. 3.
    """
    slopes = per_seed_slopes(panel)
    n = len(slopes)
    unranked = Estimate(
        test="wilcoxon_hodges_lehmann",
        method="exact signed ranks of the seeds' slopes; Hodges-Lehmann centre",
        value_name="slope",
        estimate=None,
        n=n,
        rows=panel.values.size,
        caveats=(MANY_RANKED,),
    )
    if n > MOST_RANKED_SEEDS:
        return unranked
    first, second = np.triu_indices(n)
    walsh = (slopes[first] + slopes[second]) / 2
    kept = slopes[slopes != 0]
    ranks = np.asarray(stats.rankdata(np.abs(kept)), dtype=np.float64)
    p_value, smallest, interval, caveats = None, None, None, (TOO_FEW,)
    if n >= FEWEST_SEEDS:
        doubled = np.rint(2 * ranks).astype(np.int64)
        null = signed_rank_null(doubled)
        p_value = two_sided(null, int(doubled[kept > 0].sum()))
        smallest = smallest_two_sided(null)
        interval = _ordered_interval(walsh, _walsh_rank(n, level), level)
        caveats = _rank_caveats(n - len(kept), tied=_any_ties(ranks[np.newaxis]))
    return replace(
        unranked,
        estimate=float(np.median(walsh)),
        statistic_name="V",
        statistic=float(ranks[kept > 0].sum()),
        p_value=p_value,
        smallest_p=smallest,
        interval=interval,
        caveats=caveats,
    )


def _walsh_rank(n: int, level: float) -> int:
    """Return how far in from each end of the Walsh means the exact interval begins."""
    null = np.cumsum(signed_rank_null(np.arange(1, n + 1)))
    return int((null <= (1 - level) / 2 * (1 + 1e-12)).sum())


def _rank_caveats(zeros: int, *, tied: bool) -> tuple[str, ...]:
    caveats: tuple[str, ...] = ()
    if zeros:
        caveats = (f"{zeros} slopes of exactly 0 leave the signed-rank test",)
    if tied:
        caveats = (*caveats, "tied slopes share a rank; p is conditional on the ties")
    return caveats


def _doses(panel: Panel) -> NDArray[np.float64]:
    if len(panel.blocks) == 0:
        raise AnalysisError("no complete seed block to analyze; collect at least one")
    if len(panel.doses) < 2:
        raise AnalysisError(
            f"a trend needs at least two strengths; these replicates have {list(panel.doses)}"
        )
    return np.asarray(panel.doses, dtype=np.float64)
