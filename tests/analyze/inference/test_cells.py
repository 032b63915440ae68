import json
from pathlib import Path

import numpy as np
import pandas as pd
import pingouin as pg
import pytest
from scipy import stats

from analyze.inference.cells import paired_contrasts, small_sample_factor
from analyze.inference.estimate import Panel
from analyze.inference.omnibus import (
    RESOLVED,
    UNRESOLVED,
    friedman,
    games_howell,
    welch_anova,
)
from store.errors import AnalysisError

PANELS = json.loads(
    (Path(__file__).parents[2] / "reference" / "trends.json").read_text(encoding="utf-8")
)["panels"]
NAMES = sorted(PANELS)


def panel_of(values, doses=None):
    array = np.asarray(values, dtype=np.float64)
    if doses is None:
        doses = np.linspace(0, 1, array.shape[1])
    return Panel(tuple(range(len(array))), tuple(float(dose) for dose in doses), array)


def reference(name):
    return panel_of(PANELS[name]["y"], PANELS[name]["doses"]), PANELS[name]["answer"]


# closed forms: R and we differ by rounding only; tails of t lose a digit or two more
@pytest.mark.parametrize("name", NAMES)
def test_paired_contrasts_are_r_s(name):
    panel, answer = reference(name)
    found = paired_contrasts(panel, sesoi=0.03)
    assert [one.dose for one in found] == list(panel.doses[1:])
    for one, expected in zip(found, answer["paired"], strict=True):
        difference = one.difference
        for ours, theirs in (
            (difference.estimate, "estimate"),
            (difference.standard_error, "se"),
            (difference.statistic, "t"),
            (difference.p_value, "p"),
            (difference.interval.low, "low"),
            (difference.interval.high, "high"),
            (one.d_z, "d_z"),
            (one.equivalence.p_value, "tost"),
        ):
            assert ours == pytest.approx(expected[theirs], rel=1e-8, abs=1e-13)
        shrunk = expected["d_av"] * small_sample_factor(len(panel.blocks) - 1)
        assert one.hedges_g_av == pytest.approx(shrunk, rel=1e-9, abs=1e-13)
    assert [one.p_holm for one in found] == pytest.approx(np.atleast_1d(answer["holm"]), rel=1e-8)


def test_hedges_factor_is_near_its_well_known_approximation():
    for df in (4, 9, 40):
        # Hedges (1981): the approximation is good to .007, and better from 3 df on
        assert small_sample_factor(df) == pytest.approx(1 - 3 / (4 * df - 1), abs=0.003)


@pytest.mark.parametrize("sesoi", [0.01, 0.02, 0.04, 0.08, 0.3])
def test_equivalence_is_the_interval_inside_the_bounds(sesoi):
    panel, _ = reference("uneven")
    for one in paired_contrasts(panel, sesoi=sesoi):
        inside = -sesoi < one.equivalence.interval.low <= one.equivalence.interval.high < sesoi
        assert one.equivalence.equivalent == inside
        assert one.equivalence.interval.level == pytest.approx(0.9)


def test_without_a_sesoi_nothing_is_called_equivalent():
    assert {one.equivalence for one in paired_contrasts(reference("null")[0])} == {None}


@pytest.mark.parametrize("name", [name for name in NAMES if name != "two_doses"])
def test_friedman_is_r_s(name):
    panel, answer = reference(name)
    found, expected = friedman(panel), answer["friedman"]
    assert (found.statistic, found.df, found.p_value) == pytest.approx(
        (expected["chi2"], expected["df"], expected["p"]), rel=1e-10
    )
    assert found.estimate == pytest.approx(
        expected["chi2"] / (len(panel.blocks) * (len(panel.doses) - 1))
    )


@pytest.mark.parametrize("name", NAMES)
def test_welch_s_analysis_of_variance_is_r_s(name):
    panel, answer = reference(name)
    found, expected = welch_anova(panel), answer["welch"]
    assert (found.statistic, found.df, found.p_value) == pytest.approx(
        (expected["f"], expected["df2"], expected["p"]), rel=1e-9
    )


@pytest.mark.parametrize("name", ["two_doses", "uneven"])
def test_games_howell_is_r_s(name):
    panel, answer = reference(name)
    found = games_howell(panel)
    assert len(found) == len(answer["games_howell"])
    for one, expected in zip(found, answer["games_howell"], strict=True):
        ours = (one.estimate, one.standard_error, one.df, one.p_value)
        # R's ptukey claims about eps 1 in its inner sum: 1e-6 is what both keep
        assert ours == pytest.approx(expected[:4], rel=1e-6)
        assert (one.interval.low, one.interval.high) == pytest.approx(expected[4:], rel=1e-4)


@pytest.mark.parametrize("k", [2, 4])
def test_games_howell_is_pingouin_s(k):
    panel = panel_of(np.random.default_rng(k).normal(size=(9, k)) * np.arange(1, k + 1))
    long = pd.DataFrame({"dose": np.tile(panel.doses, 9), "y": panel.values.ravel()})
    table = pg.pairwise_gameshowell(long, dv="y", between="dose")
    found = games_howell(panel)
    assert len(found) == len(table)
    for one, row in zip(found, table.itertuples(), strict=True):
        ours = (-one.estimate, one.standard_error, one.df, one.p_value)
        assert ours == pytest.approx((row.diff, row.se, row.df, row.pval), rel=1e-8)


@pytest.mark.parametrize("n", [1, 2])
def test_fewer_than_three_seeds_are_described(n):
    panel = panel_of(np.random.default_rng(1).normal(size=(n, 4)))
    for one in paired_contrasts(panel, sesoi=1):
        assert one.difference.estimate is not None
        assert one.difference.p_value is None
        assert (one.p_holm, one.d_z, one.hedges_g_av, one.equivalence) == (None,) * 4
    for omnibus in (friedman(panel), welch_anova(panel)):
        assert omnibus.p_value is None
        assert omnibus.caveats
    assert games_howell(panel) == ()


def test_constant_outcomes_have_no_p_and_no_effect_size():
    panel = panel_of(np.full((5, 3), 0.1))
    for one in paired_contrasts(panel, sesoi=1):
        assert (one.difference.estimate, one.difference.p_value, one.d_z) == (0, None, None)
        assert (one.hedges_g_av, one.equivalence) == (None, None)
    assert friedman(panel).p_value is None
    assert welch_anova(panel).p_value is None
    assert games_howell(panel) == ()


def test_the_same_step_in_every_seed_has_a_size_but_no_p():
    levels = np.array([[0.1], [0.5], [0.9], [0.3]])
    one = paired_contrasts(panel_of(levels + np.array([0, 0.2])))[0]
    assert one.difference.estimate == pytest.approx(0.2)
    assert one.difference.p_value is None
    expected = 0.2 / np.std(levels, ddof=1) * small_sample_factor(3)
    assert one.hedges_g_av == pytest.approx(expected)


def test_friedman_of_two_strengths_is_the_sign_test_s_chi_square():
    panel, _ = reference("two_doses")
    signs = np.sign(panel.values[:, 1] - panel.values[:, 0])
    expected = signs.sum() ** 2 / len(signs)
    assert friedman(panel).statistic == pytest.approx(expected)
    assert friedman(panel).p_value == pytest.approx(stats.chi2.sf(expected, 1))


@pytest.mark.parametrize("test", [paired_contrasts, friedman, welch_anova, games_howell])
def test_one_strength_is_refused(test):
    with pytest.raises(AnalysisError, match="two strengths"):
        test(panel_of(np.ones((4, 1)), (0.5,)))


def test_a_sesoi_or_level_that_makes_no_test_is_refused():
    panel, _ = reference("null")
    with pytest.raises(ValueError, match="sesoi"):
        paired_contrasts(panel, sesoi=-0.1)
    with pytest.raises(ValueError, match=r"exceed \.5"):
        paired_contrasts(panel, sesoi=0.1, level=0.4)


def test_a_p_that_the_studentized_range_cannot_resolve_is_no_smaller_than_what_it_can():
    rng = np.random.default_rng(9)
    panel = panel_of(rng.normal(size=(30, 3)) + np.array([0, 20, 20.1]))
    far, _, near = games_howell(panel)
    assert far.p_value == RESOLVED
    assert UNRESOLVED in far.caveats
    assert near.p_value > RESOLVED
    assert UNRESOLVED not in near.caveats
