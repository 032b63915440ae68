import json
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import t

from analyze.inference.meta_analysis import meta_analysis

ANSWERS = json.loads(
    (Path(__file__).parents[2] / "reference" / "meta_analysis.json").read_text(encoding="utf-8")
)
SETS = [name for name in ANSWERS if name != "made_by"]
ESTIMATES = (-0.021, -0.034, 0.012, -0.05, -0.027)
ERRORS = (0.004, 0.006, 0.011, 0.02, 0.008)


# R's REML stops near its root, and at 1e-15 of tau^2 where the root is 0
@pytest.mark.parametrize("name", SETS)
def test_the_summary_is_r_s(name):
    theirs = ANSWERS[name]
    ours = meta_analysis(theirs["y"], theirs["se"])
    size = theirs["adhoc"]["se"]
    for found, expected, unit in (
        (ours.estimate, theirs["estimate"], size),
        (ours.standard_error, size, size),
        (ours.interval.low, theirs["adhoc"]["low"], size),
        (ours.interval.high, theirs["adhoc"]["high"], size),
        (ours.tau2, theirs["tau2"], max(theirs["tau2"], size**2)),
        (ours.tau2_interval.low, theirs["tau2_low"], max(theirs["tau2_low"], size**2)),
        (ours.tau2_interval.high, theirs["tau2_high"], max(theirs["tau2_high"], size**2)),
        (ours.i2, theirs["i2"], 1),
        (ours.q, theirs["q"], theirs["q"]),
        (ours.q_p, theirs["q_p"], theirs["q_p"]),
    ):
        assert abs(found - expected) < 1e-6 * unit
    assert ours.weights == pytest.approx(theirs["weights"], abs=1e-6)


@pytest.mark.parametrize("name", SETS)
def test_without_the_ad_hoc_rule_the_interval_would_be_r_s_knha(name):
    theirs = ANSWERS[name]
    ours = meta_analysis(theirs["y"], theirs["se"])
    plain = ours.standard_error * np.sqrt(ours.factor / max(ours.factor, 1))
    reach = t.ppf(0.975, ours.df) * plain
    assert plain == pytest.approx(theirs["knha"]["se"], rel=1e-6)
    assert ours.estimate - reach == pytest.approx(theirs["knha"]["low"], rel=1e-6)
    assert ours.estimate + reach == pytest.approx(theirs["knha"]["high"], rel=1e-6)


def test_the_reference_has_sets_on_both_sides_of_the_ad_hoc_rule():
    factors = [meta_analysis(ANSWERS[name]["y"], ANSWERS[name]["se"]).factor for name in SETS]
    assert min(factors) < 1 < max(factors)


@pytest.mark.parametrize("name", SETS)
def test_a_new_study_is_predicted_as_r_does_and_never_from_two(name):
    theirs = ANSWERS[name]
    ours = meta_analysis(theirs["y"], theirs["se"]).prediction
    if theirs["k"] == 2:
        assert ours is None
        return
    width = theirs["prediction"]["high"] - theirs["prediction"]["low"]
    assert ours.low == pytest.approx(theirs["prediction"]["low"], abs=1e-6 * width)
    assert ours.high == pytest.approx(theirs["prediction"]["high"], abs=1e-6 * width)


def test_the_order_of_studies_does_not_matter():
    one = meta_analysis(ESTIMATES, ERRORS)
    order = [3, 0, 4, 1, 2]
    other = meta_analysis([ESTIMATES[i] for i in order], [ERRORS[i] for i in order])
    assert other.estimate == pytest.approx(one.estimate, rel=1e-10)
    assert other.tau2 == pytest.approx(one.tau2, rel=1e-8)
    assert other.weights == pytest.approx([one.weights[i] for i in order], rel=1e-8)


def test_equal_studies_do_not_differ():
    found = meta_analysis([0.03] * 4, [0.01, 0.02, 0.01, 0.05])
    assert found.estimate == pytest.approx(0.03, rel=1e-12)
    assert (found.tau2, found.i2, found.q) == (0, 0, 0)
    assert (found.tau2_interval.low, found.tau2_interval.high) == (0, 0)
    assert found.q_p == 1


def test_a_study_that_is_known_all_but_exactly_breaks_nothing():
    found = meta_analysis((0.1, 0.2), (1e-17, 0.05))
    assert 0 <= found.i2 <= 1
    assert 0.1 <= found.estimate <= 0.2


@pytest.mark.parametrize("unit", [1e-8, -3.0, 1e9])
def test_another_unit_changes_nothing_but_the_unit(unit):
    one = meta_analysis(ESTIMATES, ERRORS)
    other = meta_analysis([unit * y for y in ESTIMATES], [abs(unit) * s for s in ERRORS])
    assert other.estimate == pytest.approx(unit * one.estimate, rel=1e-9)
    assert other.tau2 == pytest.approx(unit**2 * one.tau2, rel=1e-8)
    assert other.tau2_interval.high == pytest.approx(unit**2 * one.tau2_interval.high, rel=1e-8)
    assert (other.i2, other.q, other.q_p) == pytest.approx((one.i2, one.q, one.q_p), rel=1e-8)
    ends = sorted(unit * bound for bound in (one.interval.low, one.interval.high))
    assert [other.interval.low, other.interval.high] == pytest.approx(ends, rel=1e-8)


def test_moving_all_studies_moves_the_summary_as_far():
    one = meta_analysis(ESTIMATES, ERRORS)
    other = meta_analysis([y + 5 for y in ESTIMATES], ERRORS)
    assert other.estimate == pytest.approx(one.estimate + 5, rel=1e-12)
    assert other.tau2 == pytest.approx(one.tau2, rel=1e-7)


def test_the_variance_is_never_below_that_of_the_fixed_effect():
    rng = np.random.default_rng(3)
    for _ in range(50):
        k = int(rng.integers(2, 8))
        errors = rng.uniform(0.5, 2, k)
        found = meta_analysis(rng.normal(0, errors / 3), errors)
        assert found.standard_error**2 >= 1 / (1 / errors**2).sum() * (1 - 1e-12)


def test_the_interval_covers_the_mean_and_tau2_as_often_as_it_says():
    """Eight studies, tau of a typical standard error; 800 draws, +- 3 standard errors."""
    rng = np.random.default_rng(11)
    errors, draws, tau = np.array([0.5, 0.7, 0.8, 1.0, 1.0, 1.2, 1.4, 2.0]), 800, 1.0
    mean, variance = 0, 0
    for _ in range(draws):
        truth = rng.normal(0.4, tau, len(errors))
        found = meta_analysis(rng.normal(truth, errors), errors)
        mean += found.interval.low <= 0.4 <= found.interval.high
        variance += found.tau2_interval.low <= tau**2 <= found.tau2_interval.high
    slack = 3 * np.sqrt(0.95 * 0.05 / draws)
    # the ad hoc rule errs to the wide side
    assert 0.95 - slack < mean / draws <= 0.95 + slack + 0.02
    assert abs(variance / draws - 0.95) < slack


def test_the_prediction_covers_a_new_study_where_studies_differ_more_than_they_err():
    rng = np.random.default_rng(12)
    errors, draws, new = np.full(8, 0.3), 800, 0
    for _ in range(draws):
        truth = rng.normal(0.4, 1, len(errors) + 1)
        found = meta_analysis(rng.normal(truth[:-1], errors), errors).prediction
        new += found.low <= truth[-1] <= found.high
    slack = 3 * np.sqrt(0.95 * 0.05 / draws)
    # k - 2 degrees of freedom are one fewer than the spread of the studies has
    assert 0.95 - slack < new / draws <= 0.95 + slack + 0.01


@pytest.mark.parametrize(
    ("estimates", "errors", "said"),
    [
        ([0.1], [0.1], "fewer than 2"),
        ([0.1, 0.2], [0.1, 0.0], "positive"),
        ([0.1, 0.2], [0.1, float("inf")], "positive"),
        ([0.1, float("nan")], [0.1, 0.1], "finite"),
        ([0.1, 0.2], [0.1], "one a study"),
    ],
)
def test_what_is_no_study_is_refused(estimates, errors, said):
    with pytest.raises(ValueError, match=said):
        meta_analysis(estimates, errors)
