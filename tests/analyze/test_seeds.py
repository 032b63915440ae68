"""Single-seed shares against brute force; seeds to decide against a power computation."""

import itertools

import numpy as np
import pytest
from scipy import stats

from analyze.decide import DECIDED, rule_estimate
from analyze.inference.associations import split_half_within, two_way_within
from analyze.inference.estimate import Estimate, Panel, Table
from analyze.inference.trends import slope_t
from analyze.resample import Resample, Resampled, decided, resample_slopes, resample_within
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


def panel_with_slopes(slopes: np.ndarray) -> Panel:
    return Panel(tuple(range(len(slopes))), (0.0, 1.0), np.outer(slopes, [0.0, 1.0]))


def needed(slopes: np.ndarray, sesoi: float, **settings) -> int | None:
    resample = resample_slopes(panel_with_slopes(slopes))
    return seeds_to_decide(len(slopes), resample, alpha=0.05, sesoi=sesoi, seed=1, **settings)


def noncentral_power(effect: float, n: int) -> float:
    edge = stats.t.ppf(0.975, n - 1)
    return float(stats.nct.sf(edge, n - 1, effect * np.sqrt(n)))


def test_the_number_of_seeds_is_that_of_a_power_computation():
    # quantiles of the normal, so that resampling draws from nearly the normal itself
    slopes = stats.norm.ppf((np.arange(40) + 0.5) / 40) + 0.35
    effect = slopes.mean() / slopes.std(ddof=1)
    expected = next(n for n in range(3, 200) if noncentral_power(effect, n) >= 0.8)
    assert expected > 41
    assert needed(slopes, sesoi=0.01) == pytest.approx(expected, abs=8)


def test_more_seeds_than_the_cap_is_no_number():
    slopes = np.array([-1.0, 1.0, -1.0, 1.0, 0.05])
    assert needed(slopes, sesoi=1e-6, cap=50) is None
    assert needed(slopes, sesoi=1e-6, cap=5) is None


def test_a_null_effect_is_decided_by_enough_seeds_as_negligible():
    slopes = stats.norm.ppf((np.arange(8) + 0.5) / 8)
    found = needed(slopes, sesoi=0.6)
    assert found is not None
    assert 9 <= found <= 50


def test_the_same_seed_gives_the_same_number():
    slopes = np.array([-0.2, 0.4, 0.9, 0.1, 0.6])
    assert needed(slopes, sesoi=0.1) == needed(slopes, sesoi=0.1)


def within_tables(seeds: int) -> tuple[Table, Table]:
    generator = np.random.default_rng(seeds)
    block = np.repeat(np.arange(seeds), 4)
    dose = np.tile([0.0, 0.25, 0.5, 1.0], seeds)
    x, y = generator.normal(size=(2, 4 * seeds)) + 2 * dose
    y = y + 0.4 * x
    noisy = generator.normal(size=(2, 4 * seeds)) / 4
    return Table(block, dose, x, y), Table(block, dose, x + noisy[0], y + noisy[1])


def drawn(table: Table, pick: np.ndarray) -> Table:
    rows = np.concatenate([np.flatnonzero(table.block == block) for block in pick])
    return Table(np.repeat(np.arange(len(pick)), 4), table.dose[rows], table.x[rows], table.y[rows])


def unwidened(tables: tuple[Table, ...], monkeypatch) -> Resample:
    monkeypatch.setattr("analyze.resample._widening", lambda _: 1.0)
    resample = resample_within(tables)
    assert resample is not None
    return resample


@pytest.mark.parametrize("halves", [1, 2])
def test_resampled_associations_are_those_of_the_test_itself(halves, monkeypatch):
    tables = within_tables(6)[:halves]
    picks = rng().integers(6, size=(20, 9))
    found = unwidened(tables, monkeypatch)(picks)
    for draw, pick in enumerate(picks):
        again = [drawn(table, pick) for table in tables]
        test = two_way_within(*again) if halves == 1 else split_half_within(*again)
        assert found.estimate[draw] == pytest.approx(test.estimate, rel=1e-9)
        assert found.standard_error[draw] == pytest.approx(test.standard_error, rel=1e-9)
        assert found.df[draw] == pytest.approx(test.df, rel=1e-9)


def test_resampled_slopes_are_those_of_the_test_itself_on_widened_deviations():
    panel = panel_with_slopes(np.array([0.3, -0.2, 0.9, 0.5]))
    widened = np.mean(panel.values, axis=0) + np.sqrt(4 / 3) * (
        panel.values - np.mean(panel.values, axis=0)
    )
    picks = rng().integers(4, size=(10, 7))
    found = resample_slopes(panel)(picks)
    for draw, pick in enumerate(picks):
        test = slope_t(Panel(tuple(range(7)), panel.doses, widened[pick]))
        assert found.estimate[draw] == pytest.approx(test.estimate)
        assert found.standard_error[draw] == pytest.approx(test.standard_error)
        assert found.df[draw] == test.df


def test_the_share_decided_follows_the_rule_of_verdicts():
    generator = np.random.default_rng(2)
    estimate, error = generator.normal(0, 1, 300), generator.uniform(0.05, 1, 300)
    found = decided(Resampled(estimate, error, np.full(300, 6.5)), alpha=0.02, sesoi=0.8)
    for value, se, answer in zip(estimate, error, found, strict=True):
        one = Estimate(
            test="t",
            method="t",
            value_name="slope",
            estimate=float(value),
            standard_error=float(se),
            df=6.5,
            n=8,
            rows=8,
        )
        verdict = rule_estimate(one, alpha=0.02, sesoi=0.8, sign=1).verdict
        assert answer == (verdict in DECIDED)


def test_a_study_without_spread_or_complete_blocks_is_not_resampled_into_a_verdict():
    flat = resample_slopes(panel_with_slopes(np.full(4, 0.5)))(rng().integers(4, size=(3, 6)))
    assert not decided(flat, alpha=0.05, sesoi=0.1).any()
    first, _ = within_tables(3)
    short = Table(first.block[:-1], first.dose[:-1], first.x[:-1], first.y[:-1])
    assert resample_within((short,)) is None
