import json
from pathlib import Path

import numpy as np
import pytest

from analyze.inference.associations import two_way_within
from analyze.inference.estimate import Table
from analyze.inference.within_diagnostics import (
    MOST_LEFT_OUT,
    leave_one_seed_out_within,
    residual_normality,
    residual_spread,
    seed_trends,
    within_diagnostics,
)

REFERENCE = {
    name: entry
    for name, entry in json.loads(
        (Path(__file__).parents[2] / "reference" / "associations.json").read_text()
    )["data"].items()
    if entry["diagnostics"]
}
FIVE = np.linspace(0, 1, 5)


def table_of(rows):
    return Table(
        block=np.array(rows["block"], dtype=np.int64),
        dose=np.array(rows["dose"], dtype=float),
        x=np.array(rows["x"]),
        y=np.array(rows["y"]),
    )


def simulate(rng, seeds, *, slope_sd=0.0, noise=None):
    block, dose = np.repeat(np.arange(seeds), 5), np.tile(FIVE, seeds)
    x = rng.normal(size=dose.size)
    own = slope_sd * rng.normal(size=seeds)[block] * dose
    noise = rng.normal(size=dose.size) if noise is None else noise
    return Table(block=block, dose=dose, x=x, y=0.5 * x - dose + own + noise)


def test_of(tables):
    return two_way_within(*tables)


test_of.__test__ = False


def trends_of(table):
    return seed_trends(table.block, table.dose, table.y, covariates=table.x[:, None])


def left_out(table):
    names = np.unique(table.block).tolist()
    return leave_one_seed_out_within((table,), two_way_within(table), test_of, names=names)


@pytest.mark.parametrize("name", REFERENCE)
def test_differing_slopes_are_r_s_comparison_of_two_models(name):
    found, expected = trends_of(table_of(REFERENCE[name]["rows"])), REFERENCE[name]["diagnostics"]
    if expected["seed_trends"] is None:
        assert found.statistic is None
        return
    # both solve the same least squares in doubles
    assert (found.statistic, found.p_value) == pytest.approx(
        (expected["seed_trends"]["statistic"], expected["seed_trends"]["p_value"]), rel=1e-8
    )


@pytest.mark.parametrize("name", REFERENCE)
def test_spread_of_residuals_is_r_s(name):
    found = residual_spread(table_of(REFERENCE[name]["rows"]))
    expected = REFERENCE[name]["diagnostics"]["residual_spread"]
    assert (found.statistic, found.p_value) == pytest.approx(tuple(expected.values()), rel=1e-8)


@pytest.mark.parametrize("name", REFERENCE)
def test_normality_of_residuals_is_r_s_shapiro(name):
    found = residual_normality(table_of(REFERENCE[name]["rows"]))
    expected = REFERENCE[name]["diagnostics"]["residual_normality"]
    # both follow Royston's AS R94, whose coefficients are given to about 6 digits
    assert found.statistic == pytest.approx(expected["statistic"], rel=1e-6)
    assert found.p_value == pytest.approx(expected["p_value"], rel=1e-4)


def test_differing_slopes_are_flagged_as_often_as_the_level_says_where_there_are_none():
    # 400 studies: the standard error at .05 is .011, three of them either way
    rng = np.random.default_rng(1)
    alike = np.mean([trends_of(simulate(rng, 8)).flag for _ in range(400)])
    assert 0.017 < alike < 0.083
    assert np.mean([trends_of(simulate(rng, 12, slope_sd=4)).flag for _ in range(50)]) > 0.9


def test_a_seed_that_carries_the_association_is_named():
    rng = np.random.default_rng(2)
    table = simulate(rng, 8)
    flat = table.y - 0.5 * table.x
    x = table.x * 0.1
    x[table.block == 5] *= 40
    y = flat + np.where(table.block == 5, 3 * x, 0)
    found = left_out(Table(table.block, table.dose, x, y))
    assert found.flag
    assert "seed 5" in found.words
    assert found.statistic > 0.5


def test_an_association_that_every_seed_shows_hangs_on_none():
    rng = np.random.default_rng(3)
    table = simulate(rng, 10, noise=0.05 * rng.normal(size=50))
    assert not left_out(table).flag
    assert "no single seed" in left_out(table).words


def test_leaving_out_is_the_test_without_that_seed():
    rng = np.random.default_rng(4)
    table = simulate(rng, 6)
    whole = two_way_within(table)
    moves = []
    for seed in range(6):
        kept = table.block != seed
        rest = Table(table.block[kept], table.dose[kept], table.x[kept], table.y[kept])
        moves.append(abs(two_way_within(rest).estimate - whole.estimate))
    assert left_out(table).statistic == pytest.approx(max(moves) / whole.standard_error)


@pytest.mark.parametrize("seeds", [1, 2, 3])
def test_too_few_seeds_are_said_and_not_tested(seeds):
    table = simulate(np.random.default_rng(5), seeds)
    names = list(range(seeds))
    found = within_diagnostics(table, (table,), two_way_within(table), test_of, names=names)
    assert not any(one.flag for one in found[2:])
    assert all(one.words for one in found)
    if seeds < 3:
        assert all(one.p_value is None for one in found)


def test_many_seeds_are_not_left_out_in_turn():
    found = left_out(simulate(np.random.default_rng(6), MOST_LEFT_OUT + 1))
    assert not found.flag
    assert str(MOST_LEFT_OUT) in found.words


def test_a_constant_outcome_has_no_diagnostics_and_no_flag():
    table = simulate(np.random.default_rng(7), 6)
    flat = Table(table.block, table.dose, table.x, np.full(30, 0.3))
    found = within_diagnostics(flat, (flat,), two_way_within(flat), test_of, names=list(range(6)))
    assert not any(one.flag for one in found)
    assert all(one.p_value is None for one in found)


def test_two_strengths_leave_no_slope_to_tell_from_noise():
    table = simulate(np.random.default_rng(8), 6)
    kept = np.isin(table.dose, [0, 1])
    two = Table(table.block[kept], table.dose[kept], table.x[kept], table.y[kept])
    found = trends_of(two)
    assert found.statistic is None
    assert "too few strengths" in found.words
