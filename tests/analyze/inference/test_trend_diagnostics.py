import json
from pathlib import Path

import numpy as np
import pandas as pd
import pingouin
import pytest

from analyze.inference.diagnostics import (
    boundary_fit,
    brown_forsythe,
    curvature,
    diagnostics,
    leave_one_seed_out,
    slope_normality,
    sphericity,
)
from analyze.inference.estimate import Panel
from analyze.inference.mixed import mixed_slope
from store.errors import AnalysisError

PANELS = json.loads(
    (Path(__file__).parents[2] / "reference" / "trends.json").read_text(encoding="utf-8")
)["panels"]
NAMES = sorted(PANELS)
TESTED = sorted(name for name in NAMES if PANELS[name]["answer"]["mauchly"])


def panel_of(values, doses=None):
    array = np.asarray(values, dtype=np.float64)
    if doses is None:
        doses = np.linspace(0, 1, array.shape[1])
    return Panel(tuple(range(len(array))), tuple(float(dose) for dose in doses), array)


def reference(name):
    return panel_of(PANELS[name]["y"], PANELS[name]["doses"]), PANELS[name]["answer"]


@pytest.mark.parametrize("name", NAMES)
def test_brown_forsythe_is_r_s_analysis_of_distances_to_medians(name):
    panel, answer = reference(name)
    found, expected = brown_forsythe(panel), answer["brown_forsythe"]
    assert (found.statistic, found.p_value) == pytest.approx(
        (expected["f"], expected["p"]), rel=1e-9
    )
    assert found.flag == (expected["p"] < 0.05)


@pytest.mark.parametrize("name", NAMES)
def test_slope_normality_is_r_s_shapiro(name):
    panel, answer = reference(name)
    found, expected = slope_normality(panel), answer["shapiro"]
    # both follow Royston's AS R94, whose coefficients are given to about 6 digits
    assert found.statistic == pytest.approx(expected["w"], rel=1e-6)
    assert found.p_value == pytest.approx(expected["p"], rel=1e-4)


@pytest.mark.parametrize("name", TESTED)
def test_sphericity_is_r_s_mauchly(name):
    panel, answer = reference(name)
    found, expected = sphericity(panel), answer["mauchly"]
    assert (found.statistic, found.p_value) == pytest.approx(
        (expected["w"], expected["p"]), rel=1e-8
    )
    assert f"epsilon {answer['epsilon']:.2f}" in found.words
    assert found.flag == (expected["p"] < 0.05)


def test_mauchly_s_w_is_pingouin_s_too():
    panel, _ = reference("uneven")
    assert sphericity(panel).statistic == pytest.approx(
        pingouin.sphericity(pd.DataFrame(panel.values)).W
    )


def test_one_seed_that_carries_the_result_is_named():
    slopes = np.array([-0.1, -0.1, -0.11, -0.09, -0.1, 0.35])
    found = leave_one_seed_out(panel_of(np.outer(slopes, (0.0, 0.5, 1.0))))
    assert found.flag
    assert "seed 5" in found.words
    assert found.statistic == pytest.approx(
        abs(slopes[:5].mean() - slopes.mean()) / (slopes.std(ddof=1) / 6**0.5)
    )


def test_seeds_that_agree_carry_the_result_together():
    slopes = np.array([-0.1, -0.12, -0.11, -0.09, -0.1, -0.13])
    assert not leave_one_seed_out(panel_of(np.outer(slopes, (0.0, 0.5, 1.0)))).flag


def test_a_bend_is_flagged_and_a_line_is_not():
    generator = np.random.default_rng(3)
    doses = np.linspace(0, 1, 5)
    noise = generator.normal(0, 0.02, (10, 5))
    bent = curvature(panel_of(0.5 * (doses - 0.3) ** 2 + noise))
    straight = curvature(panel_of(0.5 * doses + noise))
    assert bent.flag
    assert "not a straight line" in bent.words
    assert not straight.flag
    assert straight.p_value > 0.05


def test_unequal_spread_is_flagged():
    generator = np.random.default_rng(4)
    values = generator.normal(size=(20, 4)) * np.array([0.1, 0.1, 0.1, 2])
    assert brown_forsythe(panel_of(values)).flag
    assert sphericity(panel_of(values)).flag


def test_slopes_with_an_outlier_are_flagged():
    slopes = np.array([0.1, 0.11, 0.12, 0.09, 0.1, 0.08, 0.11, 3.0])
    assert slope_normality(panel_of(np.outer(slopes, (0.0, 1.0)))).flag


@pytest.mark.parametrize("values", [np.full((5, 4), 0.1), np.ones((2, 4)), np.ones((1, 4))])
def test_what_cannot_be_looked_at_is_said_and_not_flagged(values):
    for one in diagnostics(panel_of(values)):
        assert not one.flag
        assert (one.statistic, one.p_value) == (None, None)
        assert one.words


def test_two_strengths_have_neither_bend_nor_sphericity():
    panel, _ = reference("two_doses")
    assert curvature(panel).p_value is None
    assert sphericity(panel).p_value is None
    assert brown_forsythe(panel).p_value is not None


def test_three_seeds_are_too_few_to_leave_one_out_or_to_test_sphericity():
    panel = panel_of(np.random.default_rng(5).normal(size=(3, 5)))
    assert "too few" in leave_one_seed_out(panel).words
    assert "too few" in sphericity(panel).words


def test_one_strength_is_refused():
    with pytest.raises(AnalysisError, match="two strengths"):
        diagnostics(panel_of(np.ones((4, 1)), (0.5,)))


@pytest.mark.parametrize("name", [name for name in NAMES if name != "two_doses"])
def test_a_boundary_fit_is_flagged_where_lme4_calls_its_fit_singular(name):
    panel, answer = reference(name)
    found = boundary_fit(mixed_slope(panel))
    assert found.flag == answer["mixed"]["slope"]["singular"]


def test_flags_of_tests_beside_the_primary_one_are_no_caveat_of_it():
    panel, _ = reference("heteroscedastic")
    bearing = {one.name: one.bears_on for one in diagnostics(panel)}
    assert bearing["leave_one_seed_out"] == bearing["curvature"] == "primary"
    assert bearing["brown_forsythe"] == "beside"
