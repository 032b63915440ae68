"""An effect as large as the SESOI is not called negligible, whatever noise its predictor has."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from analyze.decide import equivalence_interval, rule_estimate, t_interval
from analyze.inference.associations import split_half_within
from analyze.inference.estimate import Table
from analyze.resample import resample_within
from analyze.results import Verdict

SESOI = 0.3
STRENGTHS = 5


def halves(rng, *, seeds: int, noise: float, slope: float = SESOI) -> tuple[Table, Table]:
    """Draw one study: strength moves both measures, each half has noise of its own."""
    block = np.repeat(np.arange(seeds), STRENGTHS)
    dose = np.tile(np.linspace(0, 1, STRENGTHS), seeds)
    own = rng.normal(size=block.size)
    outcome = slope * own + rng.normal(size=block.size) - 4 * dose
    x = [own - 4 * dose + noise * rng.normal(size=block.size) for _ in range(2)]
    y = [outcome + 0.5 * rng.normal(size=block.size) for _ in range(2)]
    return Table(block, dose, x[0], y[1]), Table(block, dose, x[1], y[0])


def called_negligible(*, seeds: int, noise: float, studies: int, as_measured: bool = False) -> int:
    rng = np.random.default_rng(seeds)
    count = 0
    for _ in range(studies):
        found = split_half_within(*halves(rng, seeds=seeds, noise=noise))
        if as_measured:
            found = replace(found, attenuation=None)
        ruling = rule_estimate(found, alpha=0.05, sesoi=SESOI, sign=1)
        count += ruling.verdict is Verdict.NEGLIGIBLE
    return count


@pytest.mark.parametrize(("seeds", "noise"), [(8, 0.5), (12, 1.5), (30, 0.0), (30, 1.5)])
def test_an_effect_as_large_as_the_sesoi_is_seldom_called_negligible(seeds, noise):
    # a test that holds exceeds this in 1 of 1,000 runs
    studies = 200
    most = stats.binom.isf(0.001, studies, 0.05)
    assert called_negligible(seeds=seeds, noise=noise, studies=studies) <= most


def test_as_it_is_measured_it_would_be_called_negligible_nearly_always():
    assert called_negligible(seeds=30, noise=1.5, studies=40, as_measured=True) > 36


def test_no_effect_is_called_negligible_where_there_are_seeds_enough():
    rng = np.random.default_rng(3)
    found = split_half_within(*halves(rng, seeds=150, noise=0.5, slope=0.0))
    assert rule_estimate(found, alpha=0.05, sesoi=SESOI, sign=1).verdict is Verdict.NEGLIGIBLE


@pytest.mark.parametrize("level", [0.9, 0.975])
def test_a_bound_is_a_slope_that_is_just_not_rejected(level):
    """Tested as it is defined: the outcome less slope times the predictor on the other half."""
    first, second = halves(np.random.default_rng(5), seeds=40, noise=0.7)
    found = split_half_within(first, second)
    interval = equivalence_interval(found, level)
    for bound in (interval.low, interval.high):
        left = split_half_within(
            replace(first, y=first.y - bound * second.x),
            replace(second, y=second.y - bound * first.x),
        )
        assert left.df == pytest.approx(found.df, rel=1e-12)
        quantile = stats.t.isf((1 - level) / 2, found.df)
        assert abs(left.statistic) == pytest.approx(quantile, rel=1e-9)


def test_without_noise_it_is_the_interval_of_the_slope():
    first, second = halves(np.random.default_rng(6), seeds=12, noise=0.0)
    found = split_half_within(first, second)
    assert found.attenuation.share == pytest.approx(1, rel=1e-12)
    plain, without = t_interval(found, 0.9), equivalence_interval(found, 0.9)
    assert (without.low, without.high) == pytest.approx((plain.low, plain.high), rel=1e-9)


def test_a_predictor_of_noise_alone_bounds_nothing():
    rng = np.random.default_rng(7)
    first, second = halves(rng, seeds=8, noise=0.5)
    first = replace(first, x=rng.normal(size=first.x.size))
    second = replace(second, x=rng.normal(size=second.x.size))
    interval = equivalence_interval(split_half_within(first, second), 0.9)
    assert (interval.low, interval.high) == (-math.inf, math.inf)


def test_zero_is_inside_exactly_where_the_slope_is_not_significant():
    rng = np.random.default_rng(8)
    for _ in range(40):
        found = split_half_within(*halves(rng, seeds=10, noise=0.8))
        plain, without = t_interval(found, 0.9), equivalence_interval(found, 0.9)
        assert (plain.low <= 0 <= plain.high) == (without.low <= 0 <= without.high)


def test_resampled_studies_are_read_by_the_same_interval():
    rng = np.random.default_rng(9)
    agree = 0
    for _ in range(30):
        tables = halves(rng, seeds=14, noise=0.6, slope=0.0)
        found = split_half_within(*tables)
        everyone = resample_within(tables)(np.arange(14)[None])
        assert everyone.share[0] == pytest.approx(found.attenuation.share, rel=1e-9)
        assert everyone.share_error[0] == pytest.approx(found.attenuation.error, rel=1e-9)
        # each seed drawn once: the study itself, but for its residuals, which are widened
        same = replace(
            found,
            estimate=float(everyone.estimate[0]),
            standard_error=float(everyone.standard_error[0]),
            attenuation=replace(found.attenuation, covariance=float(everyone.covariance[0])),
        )
        interval = equivalence_interval(same, 0.9)
        for sesoi in (0.2, 0.5, 1.0):
            reach = stats.t.isf(0.05, everyone.df)
            inside = bool(everyone.within(sesoi, reach)[0])
            assert inside == (-sesoi < interval.low and interval.high < sesoi)
            agree += inside
    assert 0 < agree < 90
