"""Levels of group-sequential looks against R, tables, multivariate normals and simulation."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from analyze.inference.sequential import look_levels, spending, spent_levels

REFERENCE = json.loads(
    (Path(__file__).parents[2] / "reference" / "sequential.json").read_text(encoding="utf-8")
)
THIRDS = (1 / 3, 2 / 3, 1.0)


def crossing(levels, information) -> float:
    """Chance under the null that some |z| is beyond its bound: a multivariate normal's."""
    bounds = stats.norm.isf(np.asarray(levels) / 2)
    times = np.asarray(information, dtype=float)
    correlation = np.sqrt(np.minimum.outer(times, times) / np.maximum.outer(times, times))
    inside = stats.multivariate_normal.cdf(
        bounds,
        lower_limit=-bounds,
        cov=correlation,
        abseps=1e-7,
        releps=1e-7,
        maxpts=500_000,
        rng=1,
    )
    return 1 - float(inside)


# rpact integrates on a coarser grid: where two looks are close together it is off by 3e-8
@pytest.mark.parametrize("case", REFERENCE["cases"], ids=lambda case: str(len(case["fractions"])))
def test_levels_are_those_of_r(case):
    found = look_levels(case["alpha"], case["fractions"])
    assert found == pytest.approx(case["levels"], abs=1e-7)
    spent = [spending(case["alpha"], fraction) for fraction in case["fractions"]]
    assert spent == pytest.approx(case["spent"], abs=2e-8)


@pytest.mark.parametrize(
    ("looks", "bounds"),
    [
        (2, (2.9626, 1.9686)),
        (3, (3.7103, 2.5114, 1.9930)),
        (4, (4.3326, 2.9631, 2.3590, 2.0141)),
        (5, (4.8769, 3.3570, 2.6803, 2.2898, 2.0310)),
    ],
)
def test_equal_looks_at_five_percent_have_the_bounds_of_published_tables(looks, bounds):
    """Reboussin, DeMets, Kim and Lan (2000), two-sided O'Brien-Fleming-type spending."""
    found = look_levels(0.05, [(look + 1) / looks for look in range(looks)])
    assert stats.norm.isf(np.asarray(found) / 2) == pytest.approx(bounds, abs=6e-5)


def test_three_equal_looks_have_the_levels_of_the_analysis_plan():
    assert [f"{level:.2g}" for level in look_levels(0.05, THIRDS)] == ["0.00021", "0.012", "0.046"]
    assert look_levels(0.05, THIRDS)[2] == pytest.approx(0.0463, abs=5e-5)


@pytest.mark.parametrize("alpha", [0.05, 0.0125])
@pytest.mark.parametrize("fractions", [THIRDS, (0.2, 0.4, 0.6, 0.8, 1.0), (0.3, 0.35, 1.0)])
def test_what_is_spent_by_each_look_is_the_chance_to_cross_by_then(alpha, fractions):
    levels = look_levels(alpha, fractions)
    for reached in range(2, len(fractions) + 1):
        chance = crossing(levels[:reached], fractions[:reached])
        assert chance == pytest.approx(spending(alpha, fractions[reached - 1]), abs=2e-6)


def test_thirty_looks_reject_a_true_null_as_often_as_they_may():
    studies, looks = 40_000, 30
    rng = np.random.default_rng(3)
    scores = rng.normal(size=(studies, looks)).cumsum(axis=1) / np.sqrt(np.arange(1, looks + 1))
    p_values = 2 * stats.norm.sf(np.abs(scores))
    levels = look_levels(0.05, np.arange(1, looks + 1) / looks)
    rejected = (p_values <= levels).any(axis=1).mean()
    assert rejected == pytest.approx(0.05, abs=3 * math.sqrt(0.05 * 0.95 / studies))
    assert (p_values <= 0.05).any(axis=1).mean() > 0.25


def test_one_look_at_the_end_has_the_whole_level():
    assert look_levels(0.05, [1.0]) == pytest.approx((0.05,), rel=1e-12)


def test_levels_of_looks_so_far_do_not_depend_on_those_to_come():
    early = look_levels(0.05, [0.2, 0.5])
    assert early == pytest.approx(look_levels(0.05, [0.2, 0.5, 0.7, 1.0])[:2], rel=1e-12)
    assert early == pytest.approx(look_levels(0.05, [0.2, 0.5, 1.0])[:2], rel=1e-12)


def test_levels_rise_with_the_error_rate_and_over_the_looks():
    rates = [look_levels(alpha, THIRDS) for alpha in (0.001, 0.01, 0.05, 0.2)]
    assert all(np.all(np.diff(levels) > 0) for levels in rates)
    assert np.all(np.diff(rates, axis=0) > 0)


def test_a_look_too_early_to_spend_anything_has_level_zero_and_costs_nothing():
    levels = look_levels(0.05, [0.001, 0.5, 1.0])
    assert levels[0] == 0
    assert levels[1:] == pytest.approx(look_levels(0.05, [0.5, 1.0]), rel=1e-12)


def test_looks_one_seed_apart_in_a_hundred_thousand_are_still_integrated():
    levels = look_levels(0.05, [0.5, 0.99999, 1.0])
    assert crossing(levels, [0.5, 0.99999, 1.0]) == pytest.approx(0.05, abs=1e-5)


def test_any_spending_over_any_unit_of_information_is_spent():
    spent, seeds = (0.01, 0.01, 0.03, 0.05), (4, 6, 9, 20)
    levels = spent_levels(spent, seeds)
    assert levels[0] == pytest.approx(0.01, rel=1e-12)
    assert levels[1] == 0
    assert levels == pytest.approx(spent_levels(spent, [seed / 77 for seed in seeds]), rel=1e-9)
    kept = [0, 2, 3]
    assert crossing(np.array(levels)[kept], np.array(seeds)[kept]) == pytest.approx(0.05, abs=2e-6)


@pytest.mark.parametrize(
    ("alpha", "fractions"),
    [
        (0.0, [1.0]),
        (1.0, [1.0]),
        (math.nan, [1.0]),
        (0.05, []),
        (0.05, [0.0, 1.0]),
        (0.05, [0.5, 1.1]),
        (0.05, [0.5, 0.5]),
        (0.05, [1.0, 0.5]),
        (0.05, [math.nan]),
    ],
)
def test_impossible_looks_are_refused(alpha, fractions):
    with pytest.raises(ValueError, match=r"alpha|fractions|information|spent"):
        look_levels(alpha, fractions)


def test_spending_that_falls_or_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="must not fall"):
        spent_levels([0.02, 0.01], [1, 2])
    with pytest.raises(ValueError, match="1 amounts spent for 2 looks"):
        spent_levels([0.02], [1, 2])
