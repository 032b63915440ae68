"""The verdict rule, at its boundaries, and Holm's levels against an independent computation."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from analyze.decide import claim_p, combine, holm, rule, rule_estimate, t_interval
from analyze.inference.estimate import Estimate
from analyze.results import Interval, Verdict

SESOI = 1.0
UP = math.inf


def between(low: float, high: float) -> Interval:
    return Interval(low=low, high=high, level=0.95)


def estimated(value: float | None, se: float | None, df: float | None) -> Estimate:
    return Estimate(
        test="t",
        method="t",
        value_name="slope",
        estimate=value,
        standard_error=se,
        df=df,
        n=8,
        rows=40,
    )


@pytest.mark.parametrize(
    ("outer", "inner", "verdict", "uncertain"),
    [
        ((1.5, 2.5), (1.6, 2.4), Verdict.SUPPORTED, False),
        ((1.0, 2.5), (1.1, 2.4), Verdict.SUPPORTED, False),
        ((0.5, 2.5), (0.6, 2.4), Verdict.SUPPORTED, True),
        ((0.5, 1.0), (0.6, 1.0), Verdict.SUPPORTED, True),
        ((0.0, 2.5), (0.1, 2.4), Verdict.UNDECIDED, False),
        ((0.2, 1.1), (0.3, 0.99), Verdict.NEGLIGIBLE, False),
        ((-0.5, 0.5), (-0.4, 0.4), Verdict.NEGLIGIBLE, False),
        ((-1.2, 0.5), (-1.0, 0.4), Verdict.UNDECIDED, False),
        ((-0.5, 1.2), (-0.4, 1.0), Verdict.UNDECIDED, False),
        ((-2.5, 0.0), (-2.4, -0.1), Verdict.UNDECIDED, False),
        ((-2.5, -0.5), (-2.4, -0.6), Verdict.CONTRADICTED, True),
        ((-2.5, -1.0), (-2.4, -1.1), Verdict.CONTRADICTED, False),
        ((-2.5, 2.5), (-2.4, 2.4), Verdict.UNDECIDED, False),
        ((-UP, UP), (-UP, UP), Verdict.UNDECIDED, False),
        ((0.5, UP), (0.6, UP), Verdict.SUPPORTED, True),
        ((-UP, -2.0), (-UP, -2.1), Verdict.CONTRADICTED, False),
        ((math.nan, 2.0), (1.0, 2.0), Verdict.UNDECIDED, False),
        ((1.0, 2.0), (1.0, math.nan), Verdict.UNDECIDED, False),
        ((0.5, 0.5), (0.5, 0.5), Verdict.NEGLIGIBLE, False),
        ((1.5, 1.5), (1.5, 1.5), Verdict.SUPPORTED, False),
        ((0.0, 0.0), (0.0, 0.0), Verdict.NEGLIGIBLE, False),
    ],
)
def test_the_rule_judges_every_position_of_the_interval(outer, inner, verdict, uncertain):
    rising = rule(between(*outer), between(*inner), sesoi=SESOI, sign=1)
    assert (rising.verdict, rising.size_uncertain) == (verdict, uncertain)


def test_a_claim_that_expects_a_fall_is_the_mirror_image_of_one_that_expects_a_rise():
    grid = [-UP, -1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5, UP]
    for low, high in itertools.combinations_with_replacement(grid, 2):
        rising = rule(between(low, high), between(low, high), sesoi=SESOI, sign=1)
        falling = rule(between(-high, -low), between(-high, -low), sesoi=SESOI, sign=-1)
        assert rising == falling


def test_without_an_interval_nothing_is_decided():
    assert rule(None, between(1, 2), sesoi=SESOI, sign=1).verdict is Verdict.UNDECIDED
    assert rule(between(1, 2), None, sesoi=SESOI, sign=1).verdict is Verdict.UNDECIDED


@pytest.mark.parametrize("sesoi", [0.0, -1.0, math.nan])
def test_a_sesoi_that_is_not_positive_is_refused(sesoi):
    with pytest.raises(ValueError, match="positive"):
        rule(between(1, 2), between(1, 2), sesoi=sesoi, sign=1)


def test_a_sign_that_is_no_direction_is_refused():
    with pytest.raises(ValueError, match="sign 0"):
        rule(between(1, 2), between(1, 2), sesoi=1, sign=0)


def test_the_interval_of_a_mean_is_scipys():
    sample = np.array([0.3, 0.9, 1.4, -0.2, 0.8])
    mean, se = sample.mean(), stats.sem(sample)
    expected = stats.ttest_1samp(sample, 0).confidence_interval(0.9)
    found = t_interval(estimated(float(mean), float(se), 4), 0.9)
    assert found is not None
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), rel=1e-12)


@pytest.mark.parametrize(
    ("value", "se", "df"),
    [
        (None, 1.0, 4),
        (1.0, None, 4),
        (1.0, 1.0, None),
        (math.nan, 1.0, 4),
        (1.0, math.nan, 4),
        (1.0, 1.0, math.nan),
        (1.0, 1.0, 0),
    ],
)
def test_what_lacks_a_part_has_no_interval_and_is_undecided(value, se, df):
    assert t_interval(estimated(value, se, df), 0.95) is None
    found = rule_estimate(estimated(value, se, df), alpha=0.05, sesoi=1, sign=1)
    assert found.verdict is Verdict.UNDECIDED


def test_negligible_is_two_one_sided_tests_at_alpha():
    rng = np.random.default_rng(5)
    alpha = 0.0125
    for _ in range(200):
        sample = rng.normal(rng.uniform(-1.5, 1.5), 1.0, size=9)
        mean, se = float(sample.mean()), float(stats.sem(sample))
        below = stats.ttest_1samp(sample, SESOI, alternative="less").pvalue
        above = stats.ttest_1samp(sample, -SESOI, alternative="greater").pvalue
        two_sided = stats.ttest_1samp(sample, 0).pvalue
        verdict = rule_estimate(estimated(mean, se, 8), alpha=alpha, sesoi=SESOI, sign=1).verdict
        assert (verdict is Verdict.NEGLIGIBLE) == (max(below, above) < alpha)
        if verdict is not Verdict.NEGLIGIBLE:
            assert (verdict is Verdict.UNDECIDED) == (two_sided > alpha)


def test_a_claim_of_two_outcomes_holds_only_where_both_do():
    decided = (Verdict.SUPPORTED, Verdict.CONTRADICTED, Verdict.NEGLIGIBLE, Verdict.UNDECIDED)
    for first, second in itertools.product(decided, repeat=2):
        expected = first if first is second else Verdict.UNDECIDED
        assert combine([first, second]) is expected
    for other in Verdict:
        assert combine([other, Verdict.NO_DATA]) is Verdict.NO_DATA
    assert combine([Verdict.SUPPORTED, Verdict.DESCRIPTIVE]) is Verdict.DESCRIPTIVE
    with pytest.raises(ValueError, match="at least one"):
        combine([])


def test_a_claim_enters_with_its_larger_p_and_with_none_where_one_is_unknown():
    assert claim_p([0.01, 0.2]) == 0.2
    assert claim_p([0.01]) == 0.01
    assert claim_p([0.01, None]) is None
    assert claim_p([0.01, math.nan]) is None
    assert claim_p([]) is None


def test_holms_adjusted_p_and_decisions_are_those_of_statsmodels():
    rng = np.random.default_rng(11)
    for family in (1, 2, 4, 5):
        for _ in range(4):
            p_values = (rng.uniform(size=family) ** 4).tolist()
            rejected, adjusted, _, _ = multipletests(p_values, alpha=0.05, method="holm")
            found = holm(p_values)
            assert [level.p_adjusted for level in found] == pytest.approx(adjusted.tolist())
            passed = [p <= level.alpha for p, level in zip(p_values, found, strict=True)]
            assert passed == rejected.tolist()


def test_holms_levels_rise_until_a_claim_fails_and_stay_there():
    assert [level.alpha for level in holm([0.001, 0.01, 0.02, 0.03])] == pytest.approx(
        [0.05 / 4, 0.05 / 3, 0.05 / 2, 0.05]
    )
    stopped = holm([0.4, 0.001, 0.03, 0.9])
    assert [level.alpha for level in stopped] == pytest.approx(
        [0.05 / 3, 0.05 / 4, 0.05 / 3, 0.05 / 3]
    )
    assert [level.alpha for level in holm([0.05 / 2, 0.05])] == pytest.approx([0.025, 0.05])


def test_a_claim_without_a_p_stays_in_the_family():
    found = holm([0.02, None, math.nan])
    assert found[0].alpha == pytest.approx(0.05 / 3)
    assert found[0].p_adjusted == pytest.approx(0.06)
    assert found[1].p_adjusted is None
    assert found[2].p_adjusted is None
    assert found[1].alpha == pytest.approx(0.05 / 3)
    assert holm([]) == ()


def test_holm_refuses_what_is_no_p():
    with pytest.raises(ValueError, match="must lie in"):
        holm([0.2, 1.2])
