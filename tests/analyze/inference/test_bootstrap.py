import json
from pathlib import Path

import numpy as np
import pytest

from analyze.inference.associations import (
    CONSTANT_X,
    NO_ERROR,
    ONE_STRENGTH,
    split_halves,
    two_way,
    two_way_within,
)
from analyze.inference.bootstrap import LIBERAL, WEBB, wild_cluster
from analyze.inference.estimate import Table
from analyze.inference.sample import TOO_FEW

REFERENCE = json.loads((Path(__file__).parents[2] / "reference" / "associations.json").read_text())[
    "data"
]
FIVE = np.array([0, 0.25, 0.5, 0.75, 1])


def table_of(rows, x="x", y="y"):
    return Table(
        block=np.array(rows["block"], dtype=np.int64),
        dose=np.array(rows["dose"], dtype=float),
        x=np.array(rows[x]),
        y=np.array(rows[y]),
    )


def simulate(rng, seeds, *, slope=0.0, tilt=0.0, doses=FIVE):
    block = np.repeat(np.arange(seeds), len(doses))
    dose = np.tile(doses, seeds)
    lean = tilt * rng.normal(size=(2, seeds))[:, block] * (dose - doses.mean())
    x = rng.normal(size=seeds)[block] - dose + lean[0] + rng.normal(size=dose.size)
    y = rng.normal(size=seeds)[block] - dose + lean[1] + rng.normal(size=dose.size)
    return Table(block=block, dose=dose, x=x, y=y + slope * x)


@pytest.mark.parametrize("name", ["balanced", "unbalanced"])
def test_the_enumerated_bootstrap_agrees_with_refitting_every_sign_vector_in_r(name):
    # p is a count of 2^seeds sign vectors: it agrees exactly. t to rounding.
    found = wild_cluster(two_way(table_of(REFERENCE[name]["rows"])), np.random.default_rng(0))
    expected = REFERENCE[name]["wild_cluster"]
    assert found.p_value == expected["p_value"]
    assert found.statistic == pytest.approx(expected["statistic"], rel=1e-10)
    assert found.smallest_p == 2 / 2**found.n


def test_drawn_weights_agree_with_refitting_the_regression():
    table = table_of(REFERENCE["three_seeds"]["rows"])
    regression, draws = two_way(table), 200
    weights = np.random.default_rng(60).choice(WEBB, size=(draws, 3))
    seeds = table.block[:, None] == np.unique(table.block)
    strengths = table.dose[:, None] == np.unique(table.dose)[1:]
    design = np.column_stack([regression.x, seeds, strengths])

    def squared_t(y):
        beta = np.linalg.lstsq(design, y, rcond=None)[0]
        score = regression.x_within * (y - design @ beta)
        return beta[0] ** 2 / sum(score[table.block == seed].sum() ** 2 for seed in (1, 2, 3))

    fitted = regression.y - regression.y_within
    drawn = [squared_t(fitted + regression.y_within * w[table.block - 1]) for w in weights]
    reached = np.sum(np.array(drawn) >= squared_t(regression.y) * (1 - 1e-9))
    found = wild_cluster(regression, np.random.default_rng(60), draws=draws)
    assert found.p_value == (1 + reached) / (1 + draws)


def test_webbs_weights_have_mean_zero_and_variance_one():
    assert WEBB.mean() == pytest.approx(0, abs=1e-15)
    assert np.mean(WEBB**2) == pytest.approx(1, rel=1e-15)


@pytest.mark.parametrize(("seeds", "level"), [(5, 0.08), (9, 0.05)])
def test_the_bootstrap_holds_the_level_that_it_says_where_slopes_differ(seeds, level):
    # 300 null studies: standard error .0126 at .05, .0157 at the .08 that its caveat admits.
    rng = np.random.default_rng(61)
    studies = [two_way(simulate(rng, seeds, tilt=2)) for _ in range(300)]
    found = [wild_cluster(one, rng, draws=599) for one in studies]
    rejected = np.mean([one.p_value <= 0.05 for one in found])
    assert rejected < level + 3 * np.sqrt(level * (1 - level) / 300)
    assert found[0].caveats == ((LIBERAL,) if seeds < 8 else ())


def test_the_bootstrap_finds_a_strong_association():
    rng = np.random.default_rng(62)
    studies = (two_way(simulate(rng, 8, slope=1.5)) for _ in range(40))
    assert np.mean([wild_cluster(one, rng).p_value < 0.05 for one in studies]) > 0.9


def test_the_same_generator_gives_the_same_p():
    regression = two_way(simulate(np.random.default_rng(63), 5))
    one, other = (wild_cluster(regression, np.random.default_rng(1)).p_value for _ in range(2))
    assert one == other


def test_enumeration_does_not_use_the_generator():
    regression = two_way(simulate(np.random.default_rng(64), 8))
    one, other = (wild_cluster(regression, np.random.default_rng(s)).p_value for s in (1, 2))
    assert one == other


def test_few_seeds_say_how_small_p_can_get():
    found = wild_cluster(two_way(simulate(np.random.default_rng(65), 3)), np.random.default_rng(1))
    assert found.smallest_p == 6 / 6**3
    assert found.p_value >= 6 / 6**3 * 0.5


def test_halves_are_resampled_together_by_seed():
    rows = REFERENCE["balanced"]["rows"]
    halves = split_halves(table_of(rows, "x_a", "y_b"), table_of(rows, "x_b", "y_a"))
    found = wild_cluster(halves, np.random.default_rng(0))
    assert found.n == 8
    assert found.smallest_p == 2 / 2**8
    assert found.rows == 80


def test_the_bootstrap_has_the_slope_of_the_cr2_test_and_no_interval():
    table = table_of(REFERENCE["unbalanced"]["rows"])
    found = wild_cluster(two_way(table), np.random.default_rng(0))
    assert found.estimate == pytest.approx(two_way_within(table).estimate, rel=1e-12)
    assert found.interval is None


def test_degenerate_tables_have_a_reason_and_no_p():
    rng = np.random.default_rng(66)
    table = simulate(rng, 6)
    columns = {"block": table.block, "dose": table.dose}
    cases = {
        TOO_FEW: simulate(rng, 2),
        ONE_STRENGTH: simulate(rng, 6, doses=np.array([0.5])),
        CONSTANT_X: Table(**columns, x=table.dose + table.block, y=table.y),
        NO_ERROR: Table(**columns, x=table.x, y=2 * table.x),
    }
    for reason, case in cases.items():
        found = wild_cluster(two_way(case), rng)
        assert found.caveats == (reason,)
        assert found.p_value is None
        assert (found.estimate is None) == (reason in (ONE_STRENGTH, CONSTANT_X))


def test_no_draws_are_refused():
    with pytest.raises(ValueError, match="at least one"):
        wild_cluster(
            two_way(simulate(np.random.default_rng(67), 4)), np.random.default_rng(), draws=0
        )
