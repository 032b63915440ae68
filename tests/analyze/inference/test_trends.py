import itertools
import json
from math import factorial
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from analyze.inference.estimate import Panel
from analyze.inference.permutation import page_null
from analyze.inference.trends import (
    interval_at,
    orthonormal_polynomials,
    page_trend,
    per_seed_slopes,
    polynomial_contrasts,
    sign_flip,
    slope_t,
    wilcoxon_hodges_lehmann,
)
from store.errors import AnalysisError

REFERENCE = json.loads(
    (Path(__file__).parents[2] / "reference" / "trends.json").read_text(encoding="utf-8")
)
PANELS = sorted(REFERENCE["panels"])
# least squares and Student's t: R and we differ by the rounding of a few sums only
CLOSED_FORM = 1e-10


def panel_of(values, doses=None) -> Panel:
    array = np.asarray(values, dtype=np.float64)
    if doses is None:
        doses = np.linspace(0, 1, array.shape[1])
    return Panel(tuple(range(len(array))), tuple(float(dose) for dose in doses), array)


def reference(name):
    panel = REFERENCE["panels"][name]
    return panel_of(panel["y"], panel["doses"]), panel["answer"]


def random_panel(seed, n=6, k=5):
    return panel_of(np.random.default_rng(seed).normal(size=(n, k)))


@pytest.mark.parametrize("name", PANELS)
def test_the_slopes_and_their_t_are_r_s(name):
    panel, answer = reference(name)
    found, expected = slope_t(panel), answer["t"]
    assert per_seed_slopes(panel) == pytest.approx(answer["slopes"], rel=1e-9, abs=1e-14)
    assert found.interval is not None
    assert (found.estimate, found.standard_error, found.statistic, found.df) == pytest.approx(
        tuple(expected[key] for key in ("estimate", "se", "t", "df")), rel=CLOSED_FORM
    )
    assert found.p_value == pytest.approx(expected["p"], rel=1e-9)
    assert (found.interval.low, found.interval.high) == pytest.approx(
        (expected["low"], expected["high"]), rel=CLOSED_FORM
    )


@pytest.mark.parametrize("name", PANELS)
def test_the_interval_can_be_read_at_another_level(name):
    panel, answer = reference(name)
    at99 = interval_at(per_seed_slopes(panel), 0.99)
    assert at99 is not None
    assert (at99.low, at99.high) == pytest.approx(
        (answer["t"]["low99"], answer["t"]["high99"]), rel=CLOSED_FORM
    )
    assert slope_t(panel, level=0.99).interval == at99


@pytest.mark.parametrize("name", PANELS)
def test_the_polynomial_contrasts_are_r_s(name):
    panel, answer = reference(name)
    found = polynomial_contrasts(panel)
    assert len(found) == min(3, len(panel.doses) - 1)
    for one, (estimate, t, p) in zip(found, answer["polynomial"], strict=True):
        # R's contr.poly itself rounds: a contrast near 0 loses digits relative to the outcome
        assert one.estimate == pytest.approx(estimate, rel=1e-9, abs=1e-14)
        assert one.statistic == pytest.approx(t, rel=1e-9)
        assert one.p_value == pytest.approx(p, rel=1e-8)


def test_the_linear_contrast_has_the_t_of_the_slopes():
    panel = panel_of(random_panel(3).values[:, :4], (0, 0.1, 0.3, 1))
    assert polynomial_contrasts(panel)[0].statistic == pytest.approx(slope_t(panel).statistic)


def test_a_parabola_shows_in_the_quadratic_contrast_alone():
    doses = np.array([0.0, 0.1, 0.4, 0.7, 1.0])
    _linear, quadratic, cubic = orthonormal_polynomials(doses, 3)
    assert abs(cubic @ doses**2) < 1e-14
    assert quadratic @ doses**2 > 0.1


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("sign", [-1, 1])
def test_page_s_exact_p_is_scipy_s_doubled(seed, sign):
    panel = random_panel(seed, n=4, k=4)
    ranked = np.arange(4) + 1 if sign > 0 else 4 - np.arange(4)
    upper = stats.page_trend_test(panel.values, predicted_ranks=ranked, method="exact")
    lower = stats.page_trend_test(-panel.values, predicted_ranks=ranked, method="exact")
    found = page_trend(panel, sign)
    assert found.statistic == upper.statistic
    assert found.p_value == pytest.approx(min(1, 2 * min(upper.pvalue, lower.pvalue)), rel=1e-12)


def test_page_s_critical_values_are_those_of_the_table():
    # Page (1963), table 2, one-sided .05: the least L whose upper tail is at most .05
    for n, k, critical in [(3, 3, 41), (10, 3, 128), (5, 4, 137), (4, 5, 197), (12, 3, 153)]:
        tail = _upper_tail(n, k)
        assert tail[critical] <= 0.05 < tail[critical - 1]


def _upper_tail(n, k):
    return np.cumsum(page_null(np.tile(np.arange(1, k + 1), (n, 1)))[::-1])[::-1]


def test_page_with_ties_is_the_count_over_all_orders():
    values = np.array([[1, 1, 2.0], [3, 1, 1], [2, 5, 5], [1, 2, 3]])
    found = page_trend(panel_of(values), 1)
    ranks = stats.rankdata(values, axis=1)
    orders = [list(itertools.permutations(row)) for row in ranks]
    all_l = np.array([np.sum(pick @ np.arange(1, 4)) for pick in map(np.array, _picks(orders))])
    observed = float(np.sum(ranks @ np.arange(1, 4)))
    tails = (np.mean(all_l >= observed - 1e-9), np.mean(all_l <= observed + 1e-9))
    assert found.statistic == observed
    assert found.p_value == pytest.approx(min(1, 2 * min(tails)), rel=1e-12)
    assert found.smallest_p == pytest.approx(
        min(1.0, 2 * min(np.mean(all_l == all_l.max()), np.mean(all_l == all_l.min())))
    )
    assert any("tied" in caveat for caveat in found.caveats)


def _picks(orders):
    return itertools.product(*orders)


def test_a_perfect_order_has_page_s_smallest_p():
    panel = panel_of(np.arange(12.0).reshape(3, 4))
    for sign in (-1, 1):
        found = page_trend(panel, sign)
        assert found.p_value == found.smallest_p == pytest.approx(2 / factorial(4) ** 3)
        assert found.estimate == pytest.approx(1)


def test_page_s_estimate_is_the_mean_rank_correlation():
    panel = random_panel(8)
    each = [stats.spearmanr(panel.doses, row).statistic for row in panel.values]
    assert page_trend(panel, -1).estimate == pytest.approx(np.mean(each))
    assert page_trend(panel, 1).estimate == pytest.approx(np.mean(each))


def test_beyond_the_exact_range_page_is_sampled_and_says_so():
    generator = np.random.default_rng(5)
    panel = panel_of(generator.normal(size=(4, 11)))
    found = page_trend(panel, 1)
    assert any("sampled" in caveat for caveat in found.caveats)
    assert page_trend(panel, 1).p_value == found.p_value
    normal = stats.page_trend_test(panel.values, method="asymptotic").pvalue
    # Monte Carlo error at 99,999 draws is .003; the normal approximation adds about .01
    assert found.p_value == pytest.approx(2 * min(normal, 1 - normal), abs=0.02)


def test_sampling_page_s_null_finds_the_exact_p(monkeypatch):
    panel = random_panel(11, n=5, k=4)
    exact = page_trend(panel, 1).p_value
    monkeypatch.setattr("analyze.inference.trends.EXACT_PAGE_DOSES", 1)
    sampled = page_trend(panel, 1).p_value
    # twice a binomial proportion of 99,999: standard error at most .0032
    assert sampled != exact
    assert sampled == pytest.approx(exact, abs=0.013)


@pytest.mark.parametrize("seed", range(4))
def test_sign_flip_is_the_count_over_all_signs(seed):
    panel = random_panel(seed)
    slopes = per_seed_slopes(panel)
    signs = np.array(list(itertools.product((-1, 1), repeat=len(slopes))))
    flipped = np.abs(signs @ slopes)
    expected = np.mean(flipped >= abs(slopes.sum()) - 1e-12)
    found = sign_flip(panel)
    assert found.p_value == pytest.approx(expected)
    assert found.smallest_p == 2 / 2 ** len(slopes)


def test_sign_flip_counts_ties_and_zeros():
    slopes = np.array([0.0, 1, 1, -1, 2, 2])
    panel = panel_of(np.outer(slopes, (0.0, 1.0)))
    signs = np.array(list(itertools.product((-1, 1), repeat=6)))
    found = sign_flip(panel)
    assert found.p_value == np.mean(np.abs(signs @ slopes) >= 5)
    assert found.smallest_p == 4 / 64


@pytest.mark.parametrize(("n", "level"), [(8, 0.95), (7, 0.9), (6, 0.95)])
def test_the_sign_flip_interval_holds_what_the_test_keeps(n, level):
    panel = random_panel(n, n=n, k=3)
    interval = sign_flip(panel, level=level).interval
    assert interval is not None

    def p_at(centre):
        shifted = panel.values - centre * np.asarray(panel.doses)
        return sign_flip(panel_of(shifted, panel.doses)).p_value

    for inside, bound in ((1, interval.low), (-1, interval.high)):
        assert p_at(bound + inside * 1e-6) > 1 - level
        assert p_at(bound - inside * 1e-6) <= 1 - level + 1e-12


def test_with_too_few_seeds_for_the_level_exact_intervals_have_no_end():
    panel = random_panel(2, n=5)
    for found in (sign_flip(panel), wilcoxon_hodges_lehmann(panel)):
        assert found.interval is not None
        assert (found.interval.low, found.interval.high) == (-np.inf, np.inf)
        assert found.smallest_p == 2 / 32


def test_sampled_sign_flips_find_the_exact_p_and_interval(monkeypatch):
    panel = random_panel(21, n=12)
    exact = sign_flip(panel)
    monkeypatch.setattr("analyze.inference.trends.EXACT_FLIP_SEEDS", 4)
    sampled = sign_flip(panel)
    assert any("sampled" in caveat for caveat in sampled.caveats)
    # twice a binomial proportion of 99,999: standard error at most .0032
    assert sampled.p_value == pytest.approx(exact.p_value, abs=0.013)
    assert sampled.interval.low == pytest.approx(exact.interval.low, abs=0.02)
    assert sampled.interval.high == pytest.approx(exact.interval.high, abs=0.02)


def test_many_seeds_are_sampled_reproducibly():
    panel, _ = reference("many")
    found = sign_flip(panel)
    assert found == sign_flip(panel)
    assert found.p_value == pytest.approx(slope_t(panel).p_value, abs=0.02)
    assert found != sign_flip(panel, generator=np.random.default_rng(1))


@pytest.mark.parametrize("name", [name for name in PANELS if name != "tied"])
def test_signed_ranks_and_their_centre_are_r_s(name):
    panel, answer = reference(name)
    expected = answer["wilcoxon"]
    assert expected["exact"]
    found = wilcoxon_hodges_lehmann(panel)
    assert found.statistic == expected["v"]
    assert found.p_value == pytest.approx(expected["p"], rel=1e-12)
    assert found.estimate == pytest.approx(expected["centre"], rel=1e-9)
    assert (found.interval.low, found.interval.high) == pytest.approx(
        (expected["low"], expected["high"]), rel=1e-9
    )


def test_signed_ranks_with_ties_and_zeros_count_all_signs():
    slopes = np.array([0.0, 1, 1, -1, 2, 3, 3])
    found = wilcoxon_hodges_lehmann(panel_of(np.outer(slopes, (0.0, 1.0))))
    ranks = stats.rankdata(np.abs(slopes[1:]))
    signs = np.array(list(itertools.product((0, 1), repeat=6)))
    sums, observed = signs @ ranks, ranks[slopes[1:] > 0].sum()
    assert found.statistic == observed
    assert found.p_value == pytest.approx(
        2 * min(np.mean(sums >= observed), np.mean(sums <= observed))
    )
    assert found.smallest_p == 2 / 64
    assert len(found.caveats) == 2


@pytest.mark.parametrize("n", [1, 2])
def test_fewer_than_three_seeds_are_described_not_tested(n):
    panel = random_panel(1, n=n)
    found = [
        slope_t(panel),
        page_trend(panel, 1),
        sign_flip(panel),
        wilcoxon_hodges_lehmann(panel),
        *polynomial_contrasts(panel),
    ]
    for one in found:
        assert one.estimate is not None
        assert (one.p_value, one.interval, one.smallest_p) == (None, None, None)
        assert any("fewer than 3 seeds" in caveat for caveat in one.caveats)


@pytest.mark.parametrize("constant", [0.0, 0.1, 1 / 3, 1e6])
def test_a_constant_outcome_gives_no_t_and_p_1_where_counting_can(constant):
    panel = panel_of(np.full((5, 4), constant))
    found = slope_t(panel)
    assert (found.estimate, found.p_value, found.interval) == (0, None, None)
    assert any("rounding error" in caveat for caveat in found.caveats)
    assert page_trend(panel, 1).p_value == 1
    assert sign_flip(panel).p_value == 1
    assert wilcoxon_hodges_lehmann(panel).p_value == 1
    assert interval_at(per_seed_slopes(panel), 0.95) is None


def test_the_same_line_in_every_seed_has_no_spread_to_test():
    levels = np.random.default_rng(4).uniform(size=(6, 1))
    panel = panel_of(levels - 0.3 * np.linspace(0, 1, 5))
    found = slope_t(panel)
    assert found.estimate == pytest.approx(-0.3)
    assert found.p_value is None
    assert sign_flip(panel).p_value == 2 / 64


def test_a_symmetric_bump_has_slope_exactly_zero():
    levels = np.random.default_rng(4).uniform(size=(6, 1))
    panel = panel_of(levels + np.array([0, 0.1, 0.2, 0.1, 0]))
    assert (per_seed_slopes(panel) == 0).all()
    assert sign_flip(panel).p_value == 1


@pytest.mark.parametrize(
    "test",
    [slope_t, lambda p: page_trend(p, 1), sign_flip, wilcoxon_hodges_lehmann, polynomial_contrasts],
)
def test_one_dose_is_refused_with_words(test):
    with pytest.raises(AnalysisError, match="two strengths"):
        test(panel_of(np.ones((4, 1)), (0.5,)))


def test_a_level_out_of_range_is_refused():
    with pytest.raises(ValueError, match="level 95"):
        slope_t(random_panel(0), level=95)


@pytest.mark.parametrize(
    "test",
    [slope_t, lambda p: page_trend(p, 1), sign_flip, wilcoxon_hodges_lehmann],
)
def test_turning_the_outcome_round_turns_the_estimate_and_keeps_p(test):
    panel = random_panel(9)
    turned = test(panel_of(-panel.values, panel.doses))
    found = test(panel)
    assert turned.estimate == pytest.approx(-found.estimate)
    assert turned.p_value == pytest.approx(found.p_value)


def test_adding_a_seed_s_own_level_changes_nothing():
    panel = random_panel(10)
    levels = np.random.default_rng(1).normal(size=(6, 1))
    moved = slope_t(panel_of(panel.values + levels))
    assert moved.p_value == pytest.approx(slope_t(panel).p_value)


def test_the_primary_test_keeps_its_level_where_slopes_differ_between_seeds():
    generator = np.random.default_rng(20240601)
    studies, n, doses = 20_000, 8, np.linspace(0, 1, 5)
    tilt = generator.normal(0, 1, (studies, n, 1))
    values = tilt * doses + generator.normal(0, 1, (studies, n, 5))
    centred = doses - doses.mean()
    slopes = values @ centred / (centred @ centred)
    t = slopes.mean(1) / (slopes.std(1, ddof=1) / n**0.5)
    # the vectorised t is slope_t's, so the rate below is slope_t's rate
    for study in range(20):
        assert slope_t(panel_of(values[study])).statistic == pytest.approx(t[study])
    rate = np.mean(np.abs(t) > stats.t.isf(0.025, n - 1))
    # 4 standard errors of a binomial proportion of .05 in 20,000
    assert abs(rate - 0.05) < 4 * (0.05 * 0.95 / studies) ** 0.5
