import json
from pathlib import Path

import numpy as np
import pingouin
import pytest
from scipy import integrate, stats

from analyze.inference.bayes import PRIOR_WIDTHS, bayes_factor, jzs_sensitivity, jzs_t

PANELS = json.loads(
    (Path(__file__).parents[2] / "reference" / "trends.json").read_text(encoding="utf-8")
)["panels"]


@pytest.mark.parametrize("name", sorted(PANELS))
def test_the_factors_are_those_of_r_s_bayesfactor(name):
    answer = PANELS[name]["answer"]
    for r, expected in zip(answer["bayes"]["r"], answer["bayes"]["bf10"], strict=True):
        found = jzs_t(np.array(answer["slopes"]), r).estimate
        # BayesFactor states its own quadrature error as up to about 1e-6 relative
        assert found == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("t", [0.0, 0.7, -2.3, 6.0])
@pytest.mark.parametrize("n", [3, 8, 40])
@pytest.mark.parametrize("r", PRIOR_WIDTHS)
def test_the_factors_are_pingouin_s(t, n, r):
    # both integrate the same formula; quad stops at 1.5e-8
    expected = pingouin.bayesfactor_ttest(t, n, paired=True, r=r)
    assert bayes_factor(t, n, r) == pytest.approx(float(expected), rel=1e-7)


def test_the_factor_is_the_ratio_of_marginal_likelihoods_of_t():
    n, t, r = 8, 2.1, 0.707

    def weighted(effect):
        return stats.nct.pdf(t, n - 1, effect * n**0.5) * stats.cauchy.pdf(effect, scale=r)

    numerator = integrate.quad(weighted, -10, 10, points=[0, t / n**0.5], limit=200)[0]
    # the range cut off holds less than 1e-6 of the numerator
    expected = numerator / stats.t.pdf(t, n - 1)
    assert bayes_factor(t, n, r) == pytest.approx(expected, rel=1e-5)


def test_a_very_large_t_still_has_a_finite_factor():
    factors = [bayes_factor(t, 30, 0.707) for t in (1e2, 1e4, 1e11)]
    assert all(np.isfinite(factors))
    assert factors[0] < factors[1] <= factors[2]


def test_widths_that_disagree_are_said():
    near = np.array([0.5, 1.0, 1.4, 0.1, 0.9, -0.3, 1.9, 0.3])
    factors = [one.estimate for one in jzs_sensitivity(near)]
    clear = np.array([2.0, 2.2, 1.9, 2.1, 2.3, 1.8])
    assert min(factors) < 3 < max(factors)
    assert any("depends on the prior" in caveat for caveat in jzs_t(near).caveats)
    assert jzs_t(clear).caveats == ()


def test_each_width_has_its_own_name():
    found = jzs_sensitivity(np.array([0.1, 0.5, 0.2]), rows=15)
    assert len({one.test for one in found}) == len(PRIOR_WIDTHS)
    assert {one.rows for one in found} == {15}


@pytest.mark.parametrize("slopes", [[0.3], [0.1, 0.4], [0.2, 0.2, 0.2], [0.0, 0.0, 0.0]])
def test_without_a_t_there_is_no_factor(slopes):
    found = jzs_t(np.array(slopes))
    assert found.estimate is None
    assert found.caveats


def test_a_width_that_is_not_positive_is_refused():
    with pytest.raises(ValueError, match="must be positive"):
        jzs_t(np.array([1.0, 2, 3]), 0)
    with pytest.raises(ValueError, match="at least 3"):
        bayes_factor(1.0, 2, 0.707)
