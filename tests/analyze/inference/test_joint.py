"""The joint test: its t are the primary tests' own, and it holds its level under a common cause."""

import numpy as np
import pytest
from scipy import stats

from analyze.inference.associations import split_half_within
from analyze.inference.complete import complete_within, predictor_of, without_means
from analyze.inference.estimate import Panel, Table
from analyze.inference.joint import (
    DRAWS,
    FEWEST_DRAWS,
    joint_median,
    joint_significant,
    signs_of,
    slope_statistics,
    within_statistics,
)
from analyze.inference.trends import per_seed_slopes, slope_t

LEVELS = 5
DOSES = np.linspace(0, 1, LEVELS)


def all_pairs(predictors, outcomes):
    return np.array([(x, y) for x in range(predictors) for y in range(outcomes)])


def measures(rng, *, count, seeds, slope_sd, shared=0.5):
    """Measures that strength moves, with slopes and noise that seeds have in common."""
    level = np.arange(LEVELS)
    slopes = 1.0 + slope_sd * rng.normal(size=(1, 1, seeds, 1))
    common = np.sqrt(shared) * rng.normal(size=(1, 1, seeds, LEVELS))
    own = np.sqrt(1 - shared) * rng.normal(size=(count, 1, seeds, LEVELS))
    sampling = 0.5 * rng.normal(size=(count, 2, seeds, LEVELS))
    return slopes * level + common + own + sampling


def associations(predictors, outcomes, pairs, signs):
    """T of predictors and outcomes on opposite halves, shape (variants, 2, seeds, levels)."""
    known = [predictor_of(one) for one in predictors]
    return within_statistics(known, without_means(outcomes), pairs, signs)


def test_with_the_signs_as_observed_a_trends_t_is_the_primary_tests():
    rng = np.random.default_rng(0)
    panels = [
        Panel(tuple(range(8)), tuple(DOSES), rng.normal(size=(8, LEVELS)) + shift * DOSES)
        for shift in (0, 0.5, -2)
    ]
    slopes = np.stack([per_seed_slopes(panel) for panel in panels])
    found = slope_statistics(slopes, signs_of(8, 1, rng))
    assert found.t.shape == (2**8, 3)
    assert found.t[0] == pytest.approx([slope_t(panel).statistic for panel in panels], rel=1e-9)
    assert found.critical == pytest.approx(stats.t.ppf(0.975, 7))


def test_turning_a_seeds_strengths_round_is_what_a_sign_does_to_its_slope():
    rng = np.random.default_rng(1)
    values = rng.normal(size=(4, LEVELS)) + 2 * DOSES
    slopes = per_seed_slopes(Panel(tuple(range(4)), tuple(DOSES), values))
    signs = signs_of(4, 1, rng)
    found = slope_statistics(slopes[None], signs).t[:, 0]
    for draw, turned in zip(found, signs.values < 0, strict=True):
        reversed_ = np.where(turned[:, None], values[:, ::-1], values)
        panel = Panel(tuple(range(4)), tuple(DOSES), reversed_)
        assert draw == pytest.approx(slope_t(panel).statistic, rel=1e-9)


@pytest.mark.parametrize("seeds", [3, 7])
def test_with_the_signs_as_observed_an_associations_t_and_df_are_the_primary_tests(seeds):
    rng = np.random.default_rng(2)
    x = measures(rng, count=3, seeds=seeds, slope_sd=0.5)
    y = measures(rng, count=2, seeds=seeds, slope_sd=0.5)
    block, dose = np.repeat(np.arange(seeds), LEVELS), np.tile(DOSES, seeds)
    pairs = all_pairs(3, 2)
    found = associations(x, y[:, ::-1], pairs, signs_of(seeds, 1, rng))
    for place, (one, other) in enumerate(pairs):
        primary = split_half_within(
            Table(block, dose, x[one, 0].ravel(), y[other, 1].ravel()),
            Table(block, dose, x[one, 1].ravel(), y[other, 0].ravel()),
        )
        closed = complete_within(predictor_of(x[one]), y[other, ::-1])
        for name in ("estimate", "standard_error", "statistic", "df", "p_value", "n", "rows"):
            assert getattr(closed, name) == pytest.approx(getattr(primary, name), rel=1e-9)
        assert closed.interval.high == pytest.approx(primary.interval.high, rel=1e-9)
        assert found.t[0, place] == pytest.approx(primary.statistic, rel=1e-9)
        assert found.critical[place] == pytest.approx(stats.t.ppf(0.975, primary.df), rel=1e-9)


def test_what_the_closed_form_cannot_test_is_left_to_the_general_way():
    rng = np.random.default_rng(8)
    x = measures(rng, count=1, seeds=4, slope_sd=0.5)[0]
    constant = np.broadcast_to(np.arange(LEVELS) + np.arange(4)[:, None], x.shape).astype(float)
    assert predictor_of(constant) is None
    assert predictor_of(x[:, :2]) is None
    # one seed carries the whole predictor, and CR2 has nothing to scale it by
    alone = constant.copy()
    alone[:, 0, 1] += 1
    assert predictor_of(alone) is None
    assert complete_within(predictor_of(x), 3 * x + constant) is None


def test_turned_outcomes_are_tested_as_if_they_had_been_observed():
    rng = np.random.default_rng(3)
    x, y = (measures(rng, count=1, seeds=5, slope_sd=0.3) for _ in range(2))
    signs = signs_of(5, 1, rng)
    left = y - y.mean(axis=3, keepdims=True)
    left = left - left.mean(axis=2, keepdims=True)
    found = associations(x, y, np.array([[0, 0]]), signs).t[:, 0]
    again = [
        associations(x, left * row[:, None], np.array([[0, 0]]), signs).t[0, 0]
        for row in signs.values
    ]
    assert found == pytest.approx(again, rel=1e-9)


def test_all_signs_are_counted_up_to_twelve_seeds_and_drawn_beyond():
    rng = np.random.default_rng(4)
    exact, drawn = signs_of(12, 1, rng), signs_of(13, 1, rng)
    assert exact.exact
    assert len(np.unique(exact.values, axis=0)) == 2**12
    assert (exact.values[0] == 1).all()
    assert (drawn.values[0] == 1).all()
    assert not drawn.exact
    assert len(drawn.values) == DRAWS
    assert len(signs_of(1000, 10**9, rng).values) == FEWEST_DRAWS


def test_an_effect_in_every_seed_and_specification_gives_the_least_p():
    rng = np.random.default_rng(5)
    # so strong that all stay significant with one seed turned: the median tells such draws apart
    slopes = 5 + rng.normal(size=(10, 7))
    signs = signs_of(7, 1, rng)
    found = slope_statistics(slopes, signs)
    median, count = joint_median(found, 7, signs=signs), joint_significant(found)
    assert median.p_value == median.smallest_p == 2 / 2**7
    assert count.p_value == count.smallest_p == 1 / 2**7
    assert count.observed == 10
    opposite = joint_significant(slope_statistics(-slopes, signs))
    assert (opposite.observed, opposite.p_value) == (0, 1)


def rejections(draw, *, studies):
    """Shares of p at or below .05 and at or below .5, of the median and of the count."""
    found = np.array([[test.p_value for test in draw()] for _ in range(studies)])
    return (found <= 0.05).mean(axis=0), (found <= 0.5).mean(axis=0)


@pytest.mark.parametrize("slope_sd", [0.0, 1.0])
def test_a_common_cause_alone_is_not_found_whether_slopes_vary_or_not(slope_sd):
    rng = np.random.default_rng(6)
    studies, seeds, pairs = 200, 8, all_pairs(4, 2)

    def draw():
        x = measures(rng, count=4, seeds=seeds, slope_sd=slope_sd)
        y = measures(rng, count=2, seeds=seeds, slope_sd=slope_sd)
        signs = signs_of(seeds, 1, rng)
        found = associations(x, y[:, ::-1], pairs, signs)
        return joint_median(found, seeds, signs=signs), joint_significant(found)

    often, half = rejections(draw, studies=studies)
    assert (often <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / studies)).all()
    assert half[0] == pytest.approx(0.5, abs=3 * np.sqrt(0.25 / studies))


@pytest.mark.parametrize("slope_sd", [0.0, 1.0])
def test_slopes_about_zero_are_not_found_whether_they_vary_or_not(slope_sd):
    rng = np.random.default_rng(7)
    studies, seeds = 300, 8

    def draw():
        values = measures(rng, count=12, seeds=seeds, slope_sd=slope_sd)[:, 0]
        values = values - np.arange(LEVELS)
        signs = signs_of(seeds, 1, rng)
        weights = (DOSES - DOSES.mean()) / ((DOSES - DOSES.mean()) ** 2).sum()
        found = slope_statistics(values @ weights, signs)
        return joint_median(found, seeds, signs=signs), joint_significant(found)

    often, half = rejections(draw, studies=studies)
    assert (often <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / studies)).all()
    assert often[0] >= 0.05 - 3 * np.sqrt(0.05 * 0.95 / studies)
    assert half[0] == pytest.approx(0.5, abs=3 * np.sqrt(0.25 / studies))
