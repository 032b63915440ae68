import json
from pathlib import Path

import numpy as np
import pytest
from scipy import optimize

from analyze.inference.estimate import Panel, Table
from analyze.inference.mixed import BOUNDARY, SLOPES_ALIKE, fit_mixed, mixed_slope
from analyze.inference.trends import slope_t
from store.errors import AnalysisError

REFERENCE = json.loads(
    (Path(__file__).parents[2] / "reference" / "trends.json").read_text(encoding="utf-8")
)
CASES = [
    (kind, name, random)
    for kind in ("panels", "tables")
    for name, one in sorted(REFERENCE[kind].items())
    for random in sorted((one["answer"] if kind == "panels" else one)["mixed"])
]


def reference(kind, name, random):
    one = REFERENCE[kind][name]
    if kind == "panels":
        values = np.array(one["y"])
        return panel_of(values, one["doses"]), one["answer"]["mixed"][random]
    return table_of(one["block"], one["dose"], one["y"]), one["mixed"][random]


def panel_of(values, doses=(0.0, 0.25, 0.5, 0.75, 1.0)):
    return Panel(tuple(range(len(values))), tuple(doses), np.asarray(values, dtype=np.float64))


def table_of(block, dose, outcome):
    strengths = np.asarray(dose, dtype=np.float64)
    return Table(np.asarray(block), strengths, strengths, np.asarray(outcome, dtype=np.float64))


def simulated(generator, *, n=8, slope_sd=1.0, gaps=0.0, slope=0.0):
    doses = np.linspace(0, 1, 5)
    values = (
        generator.normal(0, 1, (n, 1))
        + generator.normal(slope, slope_sd, (n, 1)) * doses
        + generator.normal(0, 1, (n, 5))
    )
    if not gaps:
        return panel_of(values, doses)
    kept = generator.uniform(size=values.shape) >= gaps
    return table_of(np.nonzero(kept)[0], doses[np.nonzero(kept)[1]], values[kept])


# lme4 stops within about 1e-7 of its optimum; where the slope is near 0 its standard error is
# the scale on which that shows
@pytest.mark.parametrize(("kind", "name", "random"), CASES)
def test_estimates_and_kenward_roger_are_those_of_lme4_and_pbkrtest(kind, name, random):
    data, expected = reference(kind, name, random)
    fit = fit_mixed(data, random=random)
    assert fit.converged
    assert fit.random == random
    assert fit.slope == pytest.approx(expected["estimate"], abs=1e-5 * expected["se"])
    assert fit.intercept == pytest.approx(expected["intercept"], rel=1e-5)
    assert fit.plain_standard_error == pytest.approx(expected["plain_se"], rel=1e-6)
    assert fit.standard_error == pytest.approx(expected["se"], rel=1e-6)
    assert fit.df == pytest.approx(expected["df"], rel=1e-6)
    assert fit.residual_variance == pytest.approx(expected["residual_variance"], rel=1e-6)
    assert np.diag(fit.random_covariance) == pytest.approx(
        np.atleast_1d(expected["random_variances"]),
        rel=1e-5,
        abs=1e-6 * expected["residual_variance"],
    )


@pytest.mark.parametrize(("kind", "name", "random"), CASES)
def test_boundary_fits_are_flagged_where_lme4_calls_them_singular(kind, name, random):
    data, expected = reference(kind, name, random)
    fit = mixed_slope(data, random=random)
    assert (BOUNDARY in fit.caveats) == expected["singular"]


@pytest.mark.parametrize("gaps", [0.0, 0.3])
@pytest.mark.parametrize("seed", range(3))
def test_no_other_variances_are_more_likely(seed, gaps):
    generator = np.random.default_rng([77, seed])
    data = simulated(generator, gaps=gaps, slope_sd=0.5)
    found = fit_mixed(data, random="correlated_slope")
    best = _restricted_likelihood(data, found.random_covariance, found.residual_variance)
    for _ in range(300):
        root = np.tril(generator.normal(0, 1, (2, 2)))
        other = _restricted_likelihood(data, root @ root.T, generator.uniform(0.3, 2))
        assert other <= best


def test_the_higher_of_two_optima_is_found():
    # two rows beyond the seeds' own lines: one optimum has slope variance 0, a higher one a
    # large slope variance and hardly any residual
    table = table_of(
        [0, 0, 1, 2, 2, 3, 3, 3, 3],
        [0.25, 0.75, 0.75, 0.25, 0.5, 0.0, 0.5, 0.75, 1.0],
        [0.704, 0.585, 0.154, 1.267, -1.202, -1.482, -1.559, -1.32, -1.746],
    )

    def depth(logs):
        intercept, slope, residual = np.exp(logs)
        return -_restricted_likelihood(table, np.diag([intercept, slope]), residual)

    bounds = [(-20, 12)] * 3
    lower, higher = (
        -optimize.minimize(depth, start, method="Nelder-Mead", bounds=bounds).fun
        for start in ([0, -12, 0], [0, 3, -3])
    )
    found = fit_mixed(table, random="slope")
    reached = _restricted_likelihood(table, found.random_covariance, found.residual_variance)
    assert higher > lower + 0.5
    # the simplex search stops within 1e-4 of its optimum, never above the true one
    assert reached == pytest.approx(higher, abs=1e-3)
    assert reached >= higher - 1e-9


def _restricted_likelihood(data, random_covariance, residual_variance):
    """Written out with one dense covariance over all rows, as a textbook does."""
    if isinstance(data, Panel):
        block = np.repeat(np.arange(len(data.blocks)), len(data.doses))
        dose, outcome = np.tile(data.doses, len(data.blocks)), data.values.ravel()
    else:
        block, dose, outcome = data.block, data.dose, data.y
    design = np.column_stack([np.ones(len(dose)), dose - dose.mean()])
    same = block[:, None] == block[None, :]
    covariance = same * (design @ random_covariance @ design.T) + residual_variance * np.eye(
        len(dose)
    )
    inverse = np.linalg.inv(covariance)
    normal = design.T @ inverse @ design
    residuals = outcome - design @ np.linalg.solve(normal, design.T @ inverse @ outcome)
    return -0.5 * (
        np.linalg.slogdet(covariance)[1]
        + np.linalg.slogdet(normal)[1]
        + residuals @ inverse @ residuals
    )


@pytest.mark.parametrize("random", ["slope", "correlated_slope"])
def test_balanced_random_slopes_give_the_t_over_the_seeds_slopes(random):
    panel = simulated(np.random.default_rng(6), slope_sd=3)
    mixed, plain = mixed_slope(panel, random=random), slope_t(panel)
    assert mixed.caveats == ()
    for field in ("estimate", "standard_error", "df", "p_value"):
        assert getattr(mixed, field) == pytest.approx(getattr(plain, field), rel=1e-7)
    assert mixed.interval.high == pytest.approx(plain.interval.high)


def test_a_table_of_a_complete_panel_gives_the_panel_s_answer_in_any_row_order():
    panel = simulated(np.random.default_rng(7))
    shuffled = np.random.default_rng(8).permutation(40)
    table = table_of(
        np.repeat(np.arange(8), 5)[shuffled],
        np.tile(panel.doses, 8)[shuffled],
        panel.values.ravel()[shuffled],
    )
    assert mixed_slope(table) == mixed_slope(panel)


def test_units_of_outcome_and_dose_only_rescale_the_slope():
    table = simulated(np.random.default_rng(9), gaps=0.25)
    scaled = table_of(table.block, 30 * table.dose, 100 * table.y + 5)
    found, rescaled = mixed_slope(table), mixed_slope(scaled)
    assert rescaled.estimate == pytest.approx(found.estimate * 100 / 30, rel=1e-6)
    assert rescaled.p_value == pytest.approx(found.p_value, rel=1e-6)


def test_a_random_intercept_alone_carries_its_warning():
    panel = simulated(np.random.default_rng(1))
    assert SLOPES_ALIKE in mixed_slope(panel, random="intercept").caveats
    assert SLOPES_ALIKE not in mixed_slope(panel).caveats


def test_two_doses_fall_back_to_the_paired_t_and_say_so():
    panel = panel_of(simulated(np.random.default_rng(2)).values[:, :2], (0.0, 1.0))
    found = mixed_slope(panel)
    assert found.test == "mixed_model_intercept"
    assert any("random intercept only" in caveat for caveat in found.caveats)
    assert found.df == pytest.approx(7)


@pytest.mark.parametrize("n", [1, 2])
def test_fewer_than_three_seeds_are_described(n):
    panel = simulated(np.random.default_rng(3), n=n)
    found = mixed_slope(panel)
    assert found.estimate == pytest.approx(slope_t(panel).estimate)
    assert (found.p_value, found.interval, found.standard_error) == (None, None, None)
    assert any("fewer than 3 seeds" in caveat for caveat in found.caveats)
    with pytest.raises(AnalysisError, match="fewer than 3 seeds"):
        fit_mixed(panel)


@pytest.mark.parametrize("random", ["intercept", "slope", "correlated_slope"])
@pytest.mark.parametrize("slope", [0.0, -0.4])
def test_outcomes_without_residual_are_described(random, slope):
    levels = np.random.default_rng(4).uniform(size=(6, 1))
    found = mixed_slope(panel_of(levels + slope * np.linspace(0, 1, 5)), random=random)
    assert found.estimate == pytest.approx(slope, abs=1e-12)
    assert found.p_value is None
    assert len(found.caveats) == 1


def test_a_constant_outcome_is_described():
    found = mixed_slope(panel_of(np.full((6, 5), 0.1)))
    assert (found.estimate, found.p_value) == (0, None)


def test_one_dose_and_no_rows_are_refused():
    with pytest.raises(AnalysisError, match="two strengths"):
        mixed_slope(table_of([1, 2, 3], [0.5, 0.5, 0.5], [1, 2, 4]))
    with pytest.raises(AnalysisError, match="no replicates"):
        mixed_slope(table_of([], [], []))


def test_seeds_at_one_dose_each_have_no_slope_within():
    found = mixed_slope(table_of([1, 2, 3, 4], [0, 0, 1, 1], [1, 2, 4, 3]), random="intercept")
    assert (found.estimate, found.p_value) == (None, None)


@pytest.mark.long
def test_kenward_roger_keeps_its_level_at_eight_seeds_with_missing_cells():
    generator = np.random.default_rng(20240602)
    studies = 250
    tests = [simulated(generator, gaps=0.2) for _ in range(studies)]
    rejected = [mixed_slope(table).p_value < 0.05 for table in tests]
    # 4 standard errors of a binomial proportion of .05 in 250
    assert np.mean(rejected) < 0.05 + 4 * (0.05 * 0.95 / studies) ** 0.5
    assert np.mean(rejected) > 0


def test_a_random_intercept_alone_rejects_too_often_where_slopes_differ():
    generator = np.random.default_rng(20240603)
    tests = [simulated(generator, slope_sd=2) for _ in range(150)]
    rejected = [mixed_slope(panel, random="intercept").p_value < 0.05 for panel in tests]
    # above .05 by more than 3 standard errors in 150
    assert np.mean(rejected) > 0.05 + 3 * (0.05 * 0.95 / 150) ** 0.5
