import json
from pathlib import Path

import numpy as np
import pytest

from analyze.inference.associations import (
    CONSTANT_X,
    FEW_DF,
    NO_ERROR,
    ONE_STRENGTH,
    fit_points,
    split_half_reliability,
    split_half_within,
    split_halves,
    two_way,
    two_way_within,
    two_way_within_ols,
)
from analyze.inference.estimate import Table
from analyze.inference.mundlak import DISCONNECTED, mundlak
from analyze.inference.sample import TOO_FEW, t_interval

REFERENCE = json.loads((Path(__file__).parents[2] / "reference" / "associations.json").read_text())[
    "data"
]
FIVE = np.array([0, 0.25, 0.5, 0.75, 1])

# Both sides solve the same well-conditioned least squares in doubles, and R's answers carry 15
# digits: what differs is rounding. p falls like exp(-t^2 / 2), which magnifies it: still 1e-8.
TOLERANCE = 1e-8


def table_of(rows, x="x", y="y"):
    return Table(
        block=np.array(rows["block"], dtype=np.int64),
        dose=np.array(rows["dose"], dtype=float),
        x=np.array(rows[x]),
        y=np.array(rows[y]),
    )


def halves_of(rows):
    return table_of(rows, "x_a", "y_b"), table_of(rows, "x_b", "y_a")


def simulate(rng, seeds=10, *, trend=(-2.0, -3.0), slope=0.0, tilt=0.0, doses=FIVE):
    block = np.repeat(np.arange(seeds), len(doses))
    dose = np.tile(doses, seeds)
    lean = tilt * rng.normal(size=(2, seeds))[:, block] * (dose - doses.mean())
    x = rng.normal(size=seeds)[block] + trend[0] * dose + lean[0] + rng.normal(size=dose.size)
    y = rng.normal(size=seeds)[block] + trend[1] * dose + lean[1] + rng.normal(size=dose.size)
    return Table(block=block, dose=dose, x=x, y=y + slope * x)


def agree(estimate, reference):
    for field in ("estimate", "standard_error", "statistic", "df", "p_value"):
        assert getattr(estimate, field) == pytest.approx(reference[field], rel=TOLERANCE), field


@pytest.mark.parametrize("name", REFERENCE)
def test_the_two_way_association_agrees_with_clubsandwich(name):
    agree(two_way_within(table_of(REFERENCE[name]["rows"])), REFERENCE[name]["two_way_within_cr2"])


@pytest.mark.parametrize("name", REFERENCE)
def test_the_split_half_association_agrees_with_clubsandwich_on_the_stacked_halves(name):
    found = split_half_within(*halves_of(REFERENCE[name]["rows"]))
    agree(found, REFERENCE[name]["split_half_within_cr2"])


@pytest.mark.parametrize("name", REFERENCE)
def test_the_ordinary_two_way_t_agrees_with_lm(name):
    found = two_way_within_ols(table_of(REFERENCE[name]["rows"]))
    agree(found, REFERENCE[name]["two_way_within_ols"])


@pytest.mark.parametrize("name", [key for key in REFERENCE if REFERENCE[key]["mundlak"]])
@pytest.mark.parametrize("part", ["within", "between_seed", "between_strength", "context"])
def test_the_mundlak_slopes_agree_with_clubsandwich(name, part):
    found = mundlak(table_of(REFERENCE[name]["rows"]))
    agree(getattr(found, part), REFERENCE[name]["mundlak"][part])


def test_the_stacked_regression_gives_the_slope_of_the_analysis_plan():
    ab, ba = halves_of(REFERENCE["balanced"]["rows"])

    def demean(values):
        cells = values.reshape(8, 5)
        return (cells - cells.mean(0) - cells.mean(1, keepdims=True) + cells.mean()).ravel()

    x_a, y_b, x_b, y_a = (demean(column) for column in (ab.x, ab.y, ba.x, ba.y))
    planned = (x_a @ y_b + x_b @ y_a) / (x_a @ x_a + x_b @ x_b)
    assert split_half_within(ab, ba).estimate == pytest.approx(planned, rel=1e-12)


def test_the_mundlak_within_slope_is_the_two_way_slope_even_with_missing_cells():
    table = table_of(REFERENCE["unbalanced"]["rows"])
    assert mundlak(table).within.estimate == pytest.approx(
        two_way_within(table).estimate, rel=1e-10
    )


def test_swapping_the_halves_changes_nothing():
    ab, ba = halves_of(REFERENCE["unbalanced"]["rows"])
    one, other = split_half_within(ab, ba), split_half_within(ba, ab)
    assert one.estimate == pytest.approx(other.estimate, rel=1e-12)
    assert one.standard_error == pytest.approx(other.standard_error, rel=1e-12)


def test_seed_and_strength_effects_of_any_size_leave_the_slope_alone():
    table = table_of(REFERENCE["unbalanced"]["rows"])
    moved = Table(
        block=table.block,
        dose=table.dose,
        x=table.x + 50 * table.block - 30 * table.dose**2,
        y=table.y - 40 * table.block + 90 * np.sqrt(table.dose),
    )
    one, other = two_way_within(table), two_way_within(moved)
    assert one.estimate == pytest.approx(other.estimate, rel=1e-9)
    assert one.standard_error == pytest.approx(other.standard_error, rel=1e-9)


def test_a_predictor_that_hardly_varies_is_measured_as_well():
    # 1e-5 of variation on top of 5 costs 5 to 6 of 16 digits, and must not cost twice that.
    table = table_of(REFERENCE["unbalanced"]["rows"])
    tiny = Table(block=table.block, dose=table.dose, x=5 + 1e-5 * table.x, y=table.y)
    one, other = two_way_within(table), two_way_within(tiny)
    assert other.estimate * 1e-5 == pytest.approx(one.estimate, rel=1e-8)
    assert other.standard_error * 1e-5 == pytest.approx(one.standard_error, rel=1e-8)
    assert other.df == pytest.approx(one.df, rel=1e-8)


def test_an_estimate_gives_its_interval_at_any_level():
    found = two_way_within(table_of(REFERENCE["balanced"]["rows"]), level=0.99)
    again = t_interval(found.estimate, found.standard_error, found.df, level=0.99)
    assert found.interval == again


def test_a_common_cause_whose_strength_varies_by_seed_does_not_make_an_association():
    # 400 studies at .05 with the null true: standard error .011, so .083 is three of them. The
    # ordinary t is known to fail where slopes differ between seeds; CR2 must not.
    rng = np.random.default_rng(20)
    tables = [simulate(rng, 8, tilt=3.0) for _ in range(400)]
    robust = np.mean([two_way_within(table).p_value < 0.05 for table in tables])
    ordinary = np.mean([two_way_within_ols(table).p_value < 0.05 for table in tables])
    assert robust < 0.083
    assert ordinary > 0.15


def test_the_interval_covers_a_planted_slope_as_often_as_it_says():
    # 400 studies: standard error .011; three of them below .95.
    rng = np.random.default_rng(21)
    intervals = [two_way_within(simulate(rng, 6, slope=0.7)).interval for _ in range(400)]
    assert np.mean([one.low < 0.7 < one.high for one in intervals]) > 0.95 - 0.033


def shared_noise_halves(rng, seeds=10, noise=1.0):
    """Truly unrelated x and y, each measured on halves whose images move both."""
    truth = simulate(rng, seeds)
    on_a, on_b = noise * rng.normal(size=(2, truth.x.size))
    both = Table(
        block=truth.block,
        dose=truth.dose,
        x=truth.x + (on_a + on_b) / 2,
        y=truth.y + (on_a + on_b) / 2,
    )
    ab = Table(block=truth.block, dose=truth.dose, x=truth.x + on_a, y=truth.y + on_b)
    ba = Table(block=truth.block, dose=truth.dose, x=truth.x + on_b, y=truth.y + on_a)
    return both, ab, ba


def test_shared_test_images_bias_the_plain_slope_and_not_the_split_one():
    # Planted: noise variance 1/2 in both of the unsplit measures, total x variance 3/2, so the
    # unsplit slope is 1/3. 200 studies: the mean's standard error is about .013.
    rng = np.random.default_rng(22)
    studies = [shared_noise_halves(rng) for _ in range(200)]
    plain = np.array([two_way_within(both).estimate for both, _, _ in studies])
    split = [split_half_within(ab, ba) for _, ab, ba in studies]
    assert plain.mean() == pytest.approx(1 / 3, abs=0.04)
    assert np.mean([one.estimate for one in split]) == pytest.approx(0, abs=0.04)
    assert np.mean([one.p_value < 0.05 for one in split]) < 0.05 + 3 * 0.0155
    assert np.mean([two_way_within(both).p_value < 0.05 for both, _, _ in studies]) > 0.2


def test_reliability_is_the_factor_by_which_noise_shrinks_the_slope():
    # Planted: x variance 1, noise variance 1 on each half: reliability 1/2, slope .8 read as .4.
    rng = np.random.default_rng(23)
    slopes, shares = [], []
    for _ in range(200):
        truth = simulate(rng, slope=0.8)
        on_a, on_b = rng.normal(size=(2, truth.x.size))
        ab = Table(block=truth.block, dose=truth.dose, x=truth.x + on_a, y=truth.y)
        ba = Table(block=truth.block, dose=truth.dose, x=truth.x + on_b, y=truth.y)
        slopes.append(split_half_within(ab, ba).estimate)
        shares.append(split_half_reliability(ab, ba).estimate)
    assert np.mean(shares) == pytest.approx(0.5, abs=0.04)
    assert np.mean(slopes) == pytest.approx(0.4, abs=0.05)


def test_halves_that_list_different_students_are_refused():
    ab, ba = halves_of(REFERENCE["balanced"]["rows"])
    reversed_ba = Table(block=ba.block[::-1], dose=ba.dose[::-1], x=ba.x[::-1], y=ba.y[::-1])
    with pytest.raises(ValueError, match="different students"):
        split_half_within(ab, reversed_ba)


@pytest.mark.parametrize("seeds", [1, 2])
def test_fewer_than_three_seeds_are_described_and_not_tested(seeds):
    table = simulate(np.random.default_rng(24), seeds)
    for found in (
        two_way_within(table),
        two_way_within_ols(table),
        split_half_within(table, table),
        *(mundlak(table).within, mundlak(table).between_seed),
    ):
        assert found.p_value is None
        assert found.interval is None
        assert found.standard_error is None
        assert found.caveats
    expected = TOO_FEW if seeds == 2 else CONSTANT_X
    assert two_way_within(table).caveats == (expected,)
    assert (two_way_within(table).estimate is None) == (seeds == 1)


def test_one_strength_gives_no_estimate_and_says_so():
    table = simulate(np.random.default_rng(25), 6, doses=np.array([0.5]))
    for found in (two_way_within(table), two_way_within_ols(table), mundlak(table).context):
        assert found.estimate is None
        assert found.p_value is None
        assert found.caveats == (ONE_STRENGTH,)


def test_no_rows_give_no_estimate():
    empty = np.array([])
    table = Table(block=empty.astype(np.int64), dose=empty, x=empty, y=empty)
    assert two_way_within(table).estimate is None
    assert split_half_within(table, table).estimate is None
    assert mundlak(table).within.estimate is None
    assert fit_points(two_way(table), two_way_within(table)).points == ()


def test_a_predictor_that_seed_and_strength_explain_gives_no_estimate():
    table = simulate(np.random.default_rng(26), 6)
    flat = Table(block=table.block, dose=table.dose, x=0.1 * table.block + table.dose, y=table.y)
    for found in (two_way_within(flat), two_way_within_ols(flat), mundlak(flat).within):
        assert found.estimate is None
        assert found.caveats
    assert two_way_within(flat).caveats == (CONSTANT_X,)


def test_an_outcome_without_residual_variation_is_not_tested():
    table = simulate(np.random.default_rng(27), 6)
    exact = Table(block=table.block, dose=table.dose, x=table.x, y=1 + 2 * table.x)
    for found in (two_way_within(exact), two_way_within_ols(exact)):
        assert found.estimate == pytest.approx(2, rel=1e-9)
        assert found.p_value is None
        assert found.caveats == (NO_ERROR,)


def test_a_constant_outcome_has_slope_zero_and_no_p_value():
    table = simulate(np.random.default_rng(28), 6)
    flat = Table(block=table.block, dose=table.dose, x=table.x, y=np.full(table.y.size, 0.3))
    assert two_way_within(flat).estimate == pytest.approx(0, abs=1e-12)
    assert two_way_within(flat).p_value is None


def test_few_degrees_of_freedom_are_said():
    rows = REFERENCE["three_seeds"]["rows"]
    assert two_way_within(table_of(rows)).caveats == (FEW_DF,)
    assert two_way_within(table_of(REFERENCE["balanced"]["rows"])).caveats == ()


def test_seeds_that_share_no_strength_cannot_be_split_into_parts():
    rng = np.random.default_rng(29)
    block = np.repeat(np.arange(4), 2)
    dose = np.array([0, 0.25, 0, 0.25, 0.5, 1, 0.5, 1])
    table = Table(block=block, dose=dose, x=rng.normal(size=8), y=rng.normal(size=8))
    assert mundlak(table).between_seed.caveats == (DISCONNECTED,)
    assert two_way_within(table).estimate is not None


def test_the_figure_draws_the_slope_through_the_residual_points():
    table = table_of(REFERENCE["unbalanced"]["rows"])
    regression, found = two_way(table), two_way_within(table)
    fit = fit_points(regression, found)
    x = np.array([point.x for point in fit.points])
    y = np.array([point.y for point in fit.points])
    assert np.polyfit(x, y, 1)[0] == pytest.approx(found.estimate, rel=1e-9)
    assert fit.x == (x.min(), 0, x.max())
    assert fit.y == pytest.approx([found.estimate * at for at in fit.x])
    assert fit.high[2] == pytest.approx(found.interval.high * fit.x[2])
    assert fit.low[2] == pytest.approx(found.interval.low * fit.x[2])
    assert all(low <= y <= high for low, y, high in zip(fit.low, fit.y, fit.high, strict=True))
    assert [point.block for point in fit.points] == table.block.tolist()


def test_the_figure_of_halves_has_each_student_twice():
    ab, ba = halves_of(REFERENCE["balanced"]["rows"])
    fit = fit_points(split_halves(ab, ba), split_half_within(ab, ba))
    assert len(fit.points) == 2 * len(ab.x)


def test_a_figure_without_a_test_has_no_band():
    table = simulate(np.random.default_rng(30), 2)
    fit = fit_points(two_way(table), two_way_within(table))
    assert len(fit.x) == len(fit.y) == 3
    assert fit.low is None
    assert fit.high is None
