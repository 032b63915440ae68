import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pingouin
import pytest

from analyze.inference.associations import (
    NO_ERROR,
    ONE_STRENGTH,
    two_way_within,
    two_way_within_ols,
)
from analyze.inference.correlations import (
    COMMON_CAUSE,
    NO_VARIATION,
    NOT_INDEPENDENT,
    ON_A_LINE,
    correlate,
    fisher_interval,
)
from analyze.inference.estimate import Table
from analyze.inference.mundlak import DISCONNECTED
from analyze.inference.sample import TOO_FEW

REFERENCE = json.loads((Path(__file__).parents[2] / "reference" / "associations.json").read_text())[
    "data"
]
FIVE = np.array([0, 0.25, 0.5, 0.75, 1])

# Both sides do the same arithmetic in doubles, R's answers carry 15 digits.
TOLERANCE = 1e-10


def table_of(rows):
    return Table(
        block=np.array(rows["block"], dtype=np.int64),
        dose=np.array(rows["dose"], dtype=float),
        x=np.array(rows["x"]),
        y=np.array(rows["y"]),
    )


def simulate(rng, seeds=8, *, trend=(0.0, 0.0), slope=0.0, seed_link=0.0, doses=FIVE):
    block = np.repeat(np.arange(seeds), len(doses))
    dose = np.tile(doses, seeds)
    seed_x = rng.normal(size=seeds)
    seed_y = seed_link * seed_x + rng.normal(size=seeds)
    x = trend[0] * dose + rng.normal(size=dose.size)
    y = trend[1] * dose + slope * x + rng.normal(size=dose.size)
    return Table(block=block, dose=dose, x=seed_x[block] + x, y=seed_y[block] + y)


@pytest.mark.parametrize("name", REFERENCE)
@pytest.mark.parametrize("kind", ["between_seed", "within_seed", "two_way_within"])
def test_tested_correlations_agree_with_r(name, kind):
    found = getattr(correlate(table_of(REFERENCE[name]["rows"])), kind)
    expected = REFERENCE[name]["correlations"][kind]
    assert found.estimate == pytest.approx(expected["estimate"], rel=TOLERANCE)
    assert found.df == expected["df"]
    assert found.p_value == pytest.approx(expected["p_value"], rel=1e-8)
    if expected["df"] > 1:
        bounds = (found.interval.low, found.interval.high)
        assert bounds == pytest.approx(expected["interval"], rel=TOLERANCE)
    else:
        assert found.interval is None


@pytest.mark.parametrize("name", [name for name in REFERENCE if name != "two_strengths"])
@pytest.mark.parametrize("kind", ["pooled", "between_condition"])
def test_described_correlations_agree_with_r_and_have_no_p_value(name, kind):
    found = getattr(correlate(table_of(REFERENCE[name]["rows"])), kind)
    expected = REFERENCE[name]["correlations"][kind]
    assert found.estimate == pytest.approx(expected, rel=TOLERANCE)
    assert found.p_value is None
    assert found.interval is None
    assert COMMON_CAUSE in found.caveats


@pytest.mark.filterwarnings("ignore:The inplace keyword")  # pingouin calls pandas so
def test_the_within_seed_correlation_agrees_with_pingouin():
    table = table_of(REFERENCE["unbalanced"]["rows"])
    frame = pd.DataFrame({"x": table.x, "y": table.y, "seed": table.block})
    theirs = pingouin.rm_corr(frame, x="x", y="y", subject="seed").iloc[0]
    ours = correlate(table).within_seed
    assert ours.estimate == pytest.approx(theirs["r"], rel=TOLERANCE)
    assert ours.df == theirs["dof"]


def test_the_two_way_correlation_has_the_p_value_of_the_ordinary_two_way_slope():
    table = table_of(REFERENCE["unbalanced"]["rows"])
    slope, correlation = two_way_within_ols(table), correlate(table).two_way_within
    assert correlation.p_value == pytest.approx(slope.p_value, rel=1e-9)
    assert correlation.statistic == pytest.approx(slope.statistic, rel=1e-9)


def test_means_of_complete_cells_are_plain_means():
    table = table_of(REFERENCE["balanced"]["rows"])
    x, y = table.x.reshape(8, 5), table.y.reshape(8, 5)
    found = correlate(table)
    per_seed = np.corrcoef(x.mean(1), y.mean(1))[0, 1]
    per_strength = np.corrcoef(x.mean(0), y.mean(0))[0, 1]
    assert found.between_seed.estimate == pytest.approx(per_seed, rel=1e-10)
    assert found.between_condition.estimate == pytest.approx(per_strength, rel=1e-10)


def test_a_missing_cell_does_not_turn_strength_into_a_difference_between_seeds():
    # Without noise or seed effects: a plain mean of the remaining strengths would correlate 1.
    table = simulate(np.random.default_rng(40), 6, trend=(-50, -50))
    kept = np.ones(30, dtype=bool)
    kept[[0, 1, 14, 13]] = False
    part = Table(block=table.block[kept], dose=table.dose[kept], x=table.x[kept], y=table.y[kept])
    naive = [
        [column[part.block == seed].mean() for seed in range(6)] for column in (part.x, part.y)
    ]
    assert np.corrcoef(naive)[0, 1] > 0.95
    assert abs(correlate(part).between_seed.estimate) < 0.9


def test_a_common_cause_fools_rm_corr_and_not_the_two_way_association():
    # 300 studies in which x and y share strength and nothing else; rates' standard error at
    # .05 is .0126, so .088 is three of them.
    rng = np.random.default_rng(41)
    tables = [simulate(rng, trend=(-2.5, -2.5)) for _ in range(300)]
    within = np.mean([correlate(table).within_seed.p_value < 0.05 for table in tables])
    two_way = np.mean([two_way_within(table).p_value < 0.05 for table in tables])
    means = np.mean([correlate(table).between_condition.estimate for table in tables])
    assert within > 0.8
    assert means > 0.75
    assert two_way < 0.088


def test_simpson_data_raise_the_flag_with_words():
    conflict = correlate(table_of(REFERENCE["simpson"]["rows"])).conflict
    assert conflict.clear
    assert "positive pooled" in conflict.words
    assert "Simpson" in conflict.words


def test_simpson_data_raise_the_flag_nearly_always():
    rng = np.random.default_rng(42)
    found = [correlate(simulate(rng, 10, slope=-1.5, seed_link=8)).conflict for _ in range(100)]
    assert sum(one is not None and one.clear for one in found) > 90


def test_signs_that_chance_can_give_are_not_called_clear():
    # Under the null each of three intervals excludes 0 in 5 % of studies: two that do so with
    # opposite signs are rarer than 1 in 100.
    rng = np.random.default_rng(43)
    found = [correlate(simulate(rng)).conflict for _ in range(200)]
    assert any(one is not None and not one.clear for one in found)
    assert sum(one is not None and one.clear for one in found) <= 4


def test_agreeing_signs_raise_no_flag():
    table = simulate(np.random.default_rng(44), trend=(5, 5), slope=3, seed_link=5)
    assert correlate(table).conflict is None


def test_fishers_interval_covers_as_often_as_it_says():
    # 1,000 samples of 10 pairs, true correlation .6: standard error .0069, three of them.
    rng = np.random.default_rng(45)
    covered = 0
    for _ in range(1000):
        x, e = rng.normal(size=(2, 10))
        r = np.corrcoef(x, 0.6 * x + 0.8 * e)[0, 1]
        interval = fisher_interval(float(r), 8, 0.95)
        covered += interval.low < 0.6 < interval.high
    assert abs(covered / 1000 - 0.95) < 0.021


def test_fishers_interval_needs_more_than_one_degree_of_freedom():
    with pytest.raises(ValueError, match="no interval"):
        fisher_interval(0.5, 1, 0.95)


def test_few_seeds_are_described_and_not_tested():
    found = correlate(simulate(np.random.default_rng(46), 2))
    for one in (found.within_seed, found.two_way_within):
        assert one.estimate is not None
        assert one.p_value is None
        assert one.interval is None
        assert TOO_FEW in one.caveats
    assert found.between_seed.estimate is None
    assert found.between_seed.caveats == (ON_A_LINE,)


def test_one_strength_leaves_only_the_seeds():
    found = correlate(simulate(np.random.default_rng(47), 6, doses=np.array([0.5])))
    assert found.between_seed.p_value is not None
    assert found.pooled.caveats == (NOT_INDEPENDENT, COMMON_CAUSE)
    for one in (found.between_condition, found.within_seed, found.two_way_within):
        assert one.estimate is None
        assert one.caveats == (ONE_STRENGTH,)


def test_two_strengths_have_no_correlation_of_their_means():
    found = correlate(table_of(REFERENCE["two_strengths"]["rows"])).between_condition
    assert found.estimate is None
    assert found.caveats == (ON_A_LINE,)


def test_a_constant_measure_has_no_correlation():
    table = simulate(np.random.default_rng(48))
    flat = Table(block=table.block, dose=table.dose, x=np.full(table.x.size, 0.7), y=table.y)
    found = correlate(flat)
    for one in (found.pooled, found.between_seed, found.within_seed, found.two_way_within):
        assert one.estimate is None
        assert one.caveats == (NO_VARIATION,)
    assert found.conflict is None


def test_a_perfect_correlation_is_not_tested():
    table = simulate(np.random.default_rng(49))
    same = Table(block=table.block, dose=table.dose, x=table.x, y=2 * table.x)
    found = correlate(same).two_way_within
    assert found.estimate == pytest.approx(1)
    assert found.p_value is None
    assert NO_ERROR in found.caveats


def test_no_rows_give_no_correlation():
    empty = np.array([])
    found = correlate(Table(block=empty.astype(np.int64), dose=empty, x=empty, y=empty))
    assert found.pooled.estimate is None
    assert found.between_seed.estimate is None
    assert found.within_seed.estimate is None


def test_seeds_that_share_no_strength_have_no_means_to_correlate():
    rng = np.random.default_rng(50)
    table = Table(
        block=np.repeat(np.arange(4), 2),
        dose=np.array([0, 0.25, 0, 0.25, 0.5, 1, 0.5, 1]),
        x=rng.normal(size=8),
        y=rng.normal(size=8),
    )
    assert correlate(table).between_seed.caveats == (DISCONNECTED,)


def test_every_correlation_lies_in_its_range():
    rng = np.random.default_rng(51)
    for _ in range(20):
        found = correlate(simulate(rng, trend=(3, -3), seed_link=2))
        for one in (found.pooled, found.between_seed, found.within_seed, found.two_way_within):
            assert -1 <= one.estimate <= 1
            assert one.interval is None or -1 < one.interval.low < one.estimate
            assert one.p_value is None or math.isfinite(one.p_value)
