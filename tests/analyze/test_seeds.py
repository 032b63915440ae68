"""Single-seed shares against brute force; seeds to decide against a power computation."""

import itertools

import numpy as np
import pytest
from scipy import stats

from analyze.decide import DECIDED, rule_estimate
from analyze.inference.estimate import Estimate
from analyze.seeds import (
    SAMPLED_PICKS,
    seeds_to_decide,
    single_seed_association,
    single_seed_slope,
)

DOSES = (0.0, 0.25, 1.0)


def rng() -> np.random.Generator:
    return np.random.default_rng(7)


def runs(shift: float, counts=(4, 3, 5)) -> list[np.ndarray]:
    generator = np.random.default_rng(3)
    return [generator.normal(shift * dose, 1, n) for dose, n in zip(DOSES, counts, strict=True)]


def test_the_slope_shares_are_those_of_counting_every_pick():
    values = runs(-0.5)
    slopes = [np.polyfit(DOSES, pick, 1)[0] for pick in itertools.product(*values)]
    found = single_seed_slope(DOSES, [values], sign=-1, rng=rng())
    assert found.exact
    assert found.picks == 60
    assert found.claimed == pytest.approx(np.mean(np.array(slopes) < 0))
    assert found.opposite == pytest.approx(np.mean(np.array(slopes) > 0))


def test_two_outcomes_must_both_show_the_direction_in_the_same_runs():
    first = runs(-0.5)
    second = [values**2 - 2 * dose for values, dose in zip(first, DOSES, strict=True)]
    falls = rises = 0
    indices = itertools.product(*(range(len(values)) for values in first))
    for pick in indices:
        slopes = [
            np.polyfit(DOSES, [values[at] for values, at in zip(outcome, pick, strict=True)], 1)[0]
            for outcome in (first, second)
        ]
        falls += all(slope < 0 for slope in slopes)
        rises += all(slope > 0 for slope in slopes)
    found = single_seed_slope(DOSES, [first, second], sign=-1, rng=rng())
    assert (found.claimed, found.opposite) == pytest.approx((falls / 60, rises / 60))


def test_the_association_shares_are_those_of_counting_every_pick():
    x = runs(1.0)
    generator = np.random.default_rng(4)
    y = [0.5 * values + generator.normal(size=len(values)) for values in x]
    signs = []
    for pick in itertools.product(*(range(len(values)) for values in x)):
        picked_x = [values[at] for values, at in zip(x, pick, strict=True)]
        picked_y = [values[at] for values, at in zip(y, pick, strict=True)]
        signs.append(np.sign(np.polyfit(picked_x, picked_y, 1)[0]))
    found = single_seed_association(x, y, sign=1, rng=rng())
    assert found.claimed == pytest.approx(np.mean(np.array(signs) > 0))
    assert found.opposite == pytest.approx(np.mean(np.array(signs) < 0))


def test_runs_that_do_not_differ_show_no_direction():
    flat = [np.full(3, 0.1), np.full(3, 0.1), np.full(3, 0.1)]
    slope = single_seed_slope(DOSES, [flat], sign=1, rng=rng())
    association = single_seed_association(flat, runs(1.0, (3, 3, 3)), sign=1, rng=rng())
    assert (slope.claimed, slope.opposite) == (0, 0)
    assert (association.claimed, association.opposite) == (0, 0)


def test_too_many_picks_are_sampled_close_to_the_truth():
    generator = np.random.default_rng(8)
    doses = (0.0, 0.5, 1.0)
    values = [generator.normal(-0.5 * dose, 1, 120) for dose in doses]
    found = single_seed_slope(doses, [values], sign=-1, rng=rng())
    exact = np.mean(values[2][:, None] < values[0][None, :])
    assert not found.exact
    assert found.picks == SAMPLED_PICKS
    assert found.claimed == pytest.approx(exact, abs=4 * np.sqrt(0.25 / SAMPLED_PICKS))


def test_a_condition_without_a_run_is_refused():
    with pytest.raises(ValueError, match="two conditions"):
        single_seed_slope((0.0, 1.0), [[np.ones(2), np.array([])]], sign=1, rng=rng())
    with pytest.raises(ValueError, match="two conditions"):
        single_seed_association([np.ones(2)], [np.ones(2)], sign=1, rng=rng())


def decides_by_t(values: np.ndarray, sesoi: float):
    def decides(picks: np.ndarray) -> bool:
        sample = values[picks]
        estimate = Estimate(
            test="t",
            method="t",
            value_name="slope",
            estimate=float(sample.mean()),
            standard_error=float(stats.sem(sample)),
            df=len(sample) - 1,
            n=len(sample),
            rows=len(sample),
        )
        return rule_estimate(estimate, alpha=0.05, sesoi=sesoi, sign=1).verdict in DECIDED

    return decides


def noncentral_power(effect: float, n: int) -> float:
    edge = stats.t.ppf(0.975, n - 1)
    return float(stats.nct.sf(edge, n - 1, effect * np.sqrt(n)))


def test_the_number_of_seeds_is_that_of_a_power_computation():
    # quantiles of the normal, so that resampling draws from nearly the normal itself
    values = stats.norm.ppf((np.arange(40) + 0.5) / 40) + 0.35
    effect = values.mean() / values.std()
    needed = next(n for n in range(3, 200) if noncentral_power(effect, n) >= 0.8)
    found = seeds_to_decide(40, decides_by_t(values, sesoi=0.01), seed=1, draws=800)
    assert needed > 41
    assert found == pytest.approx(needed, abs=8)


def test_more_seeds_than_the_cap_is_no_number():
    values = np.array([-1.0, 1.0, -1.0, 1.0, 0.05])
    assert seeds_to_decide(5, decides_by_t(values, sesoi=1e-6), seed=1, cap=50) is None


def test_a_null_effect_is_decided_by_enough_seeds_as_negligible():
    values = stats.norm.ppf((np.arange(8) + 0.5) / 8)
    found = seeds_to_decide(8, decides_by_t(values, sesoi=0.6), seed=1)
    assert found is not None
    assert 9 <= found <= 50


def test_the_same_seed_gives_the_same_number():
    values = np.array([-0.2, 0.4, 0.9, 0.1, 0.6])
    answers = {seeds_to_decide(5, decides_by_t(values, sesoi=0.1), seed=3) for _ in range(2)}
    assert len(answers) == 1
