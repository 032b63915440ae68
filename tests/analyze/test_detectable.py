from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from analyze.decide import ALPHA
from analyze.detectable import POWER, detectable, detectable_text
from analyze.hypotheses import Estimand
from store.design import Design
from store.study_file import load_design

DIGITS = load_design(Path(__file__).parents[2] / "config/digits.yaml")


def _with(seeds: int, **changed: object) -> Design:
    return Design.model_validate({**DIGITS.declared(), "seeds": seeds, **changed})


@pytest.fixture(scope="module")
def twelve():
    return detectable(DIGITS)


def test_a_trend_of_the_size_named_is_found_by_the_noncentral_t(twelve):
    (trend,) = (one for one in twelve if one.estimand is Estimand.SLOPE_ON_STRENGTH)
    doses, seeds = np.array(DIGITS.design.strengths), DIGITS.seeds
    error = np.sqrt(1 / (seeds * np.sum((doses - doses.mean()) ** 2)))
    critical = stats.t.isf(trend.level / 2, seeds - 1)
    power = stats.nct.sf(critical, seeds - 1, trend.effect / error)
    # three Monte Carlo standard errors of a share of .8 in 400 studies
    assert power == pytest.approx(POWER, abs=3 * 0.02)


def test_the_level_is_holms_first_over_the_primary_claims(twelve):
    # H4 is secondary, and is in no family
    assert {one.level for one in twelve} == {ALPHA / 5}
    assert sorted(claim for one in twelve for claim in one.claims) == [
        *("H1", "H2a", "H2b", "H3a", "H3b"),
    ]


def test_more_seeds_find_less_and_the_same_seeds_the_same(twelve):
    more = detectable(_with(24))
    assert all(b.effect < a.effect and b.bound < a.bound for a, b in zip(twelve, more, strict=True))
    assert detectable(DIGITS) == twelve


def test_two_seeds_are_promised_nothing():
    two = _with(2)
    assert detectable(two) == ()
    assert "a test needs 3 seeds" in detectable_text(two, detectable(two))


def test_looks_are_said_to_cost_power():
    looks = _with(12, adding_seeds={"rule": "group_sequential", "looks": [8, 12]})
    assert "a little more at each of its looks" in detectable_text(looks, detectable(looks))
    assert "looks" not in detectable_text(DIGITS, detectable(DIGITS))
