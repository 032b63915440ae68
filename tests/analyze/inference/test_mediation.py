import json
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from analyze.inference.associations import CONSTANT_X, ONE_STRENGTH
from analyze.inference.estimate import Estimate, Table
from analyze.inference.mediation import (
    FEW_FOR_BOOTSTRAP,
    NO_TOTAL,
    SHARED_IMAGES,
    UNDETERMINED,
    acme_at,
    mediate,
)
from analyze.inference.sample import NO_SPREAD, TOO_FEW

REFERENCE = {
    name: entry
    for name, entry in json.loads(
        (Path(__file__).parents[2] / "reference" / "associations.json").read_text()
    )["data"].items()
    if entry["mediation"]
}
FIVE = np.array([0, 0.25, 0.5, 0.75, 1])

# Both sides solve the same least squares in doubles; R's answers carry 15 digits.
TOLERANCE = 1e-8


def table_of(rows, x="x", y="y"):
    return Table(
        block=np.array(rows["block"], dtype=np.int64),
        dose=np.array(rows["dose"], dtype=float),
        x=np.array(rows[x]),
        y=np.array(rows[y]),
    )


def simulate(rng, seeds, *, a=-2.0, b=0.0, direct=0.0, confounder=0.0, doses=FIVE):
    block = np.repeat(np.arange(seeds), len(doses))
    dose = np.tile(doses, seeds)
    lift = confounder * rng.normal(size=seeds)[block]
    m = lift + a * dose + rng.normal(size=dose.size)
    y = lift + direct * dose + b * m + rng.normal(size=dose.size)
    return Table(block=block, dose=dose, x=m, y=y)


def paths_of(table, swapped=None, draws=199):
    return mediate(table, swapped, rng=np.random.default_rng(0), draws=draws)


def estimates_of(paths):
    values = [getattr(paths, field.name) for field in fields(paths)]
    return [value for value in values if isinstance(value, Estimate)]


@pytest.mark.parametrize("name", REFERENCE)
@pytest.mark.parametrize("path", ["a", "b"])
def test_both_paths_agree_with_r(name, path):
    found = getattr(paths_of(table_of(REFERENCE[name]["rows"])), path)
    for field in ("estimate", "standard_error", "df", "p_value"):
        expected = REFERENCE[name]["mediation"][path][field]
        assert getattr(found, field) == pytest.approx(expected, rel=TOLERANCE), field


@pytest.mark.parametrize("name", REFERENCE)
def test_effects_and_sensitivity_agree_with_r(name):
    # R finds rho by a root search over the moments' equations, to 1e-12: no shared algebra.
    table, expected = table_of(REFERENCE[name]["rows"]), REFERENCE[name]["mediation"]
    found = paths_of(table)
    for effect in ("acme", "ade", "total", "rho"):
        value = getattr(found, effect).estimate
        assert value == pytest.approx(expected[effect], rel=TOLERANCE), effect
    curve = acme_at(table, np.array(expected["acme_at"]["rho"]))
    assert curve == pytest.approx(expected["acme_at"]["acme"], rel=TOLERANCE)


@pytest.mark.parametrize("name", REFERENCE)
def test_halves_fitted_together_agree_with_clubsandwich_on_the_stacked_rows(name):
    rows, expected = REFERENCE[name]["rows"], REFERENCE[name]["mediation_split"]
    found = paths_of(table_of(rows, "x_a", "y_b"), table_of(rows, "x_b", "y_a"))
    for field in ("estimate", "standard_error", "df", "p_value"):
        assert getattr(found.b, field) == pytest.approx(expected["b"][field], rel=TOLERANCE), field
    assert found.ade.estimate == pytest.approx(expected["ade"], rel=TOLERANCE)
    assert found.caveats == ()


def test_effects_add_up_to_the_total():
    found = paths_of(table_of(REFERENCE["unbalanced"]["rows"]))
    whole = found.acme.estimate + found.ade.estimate
    assert whole == pytest.approx(found.total.estimate, rel=1e-12)
    share = found.acme.estimate / found.total.estimate
    assert found.proportion.estimate == pytest.approx(share, rel=1e-12)


def test_joint_significance_has_the_larger_p_of_the_two_paths():
    found = paths_of(table_of(REFERENCE["balanced"]["rows"]))
    assert found.joint.p_value == max(found.a.p_value, found.b.p_value)
    assert found.joint.estimate == found.acme.estimate


def test_the_effect_vanishes_at_rho_and_is_itself_at_zero():
    table = table_of(REFERENCE["unbalanced"]["rows"])
    found = paths_of(table)
    at = acme_at(table, np.array([0.0, found.rho.estimate]))
    assert at == pytest.approx([found.acme.estimate, 0], abs=1e-12)


def test_a_seed_confounder_is_not_mediation():
    # 300 studies in which seeds lift mediator and outcome both, and b is 0: standard error at
    # .05 is .0126, three of them above. Without seed terms the paths correlate strongly.
    rng = np.random.default_rng(70)
    tables = [simulate(rng, 8, confounder=2) for _ in range(300)]
    claimed = np.mean([paths_of(table, draws=1).joint.p_value < 0.05 for table in tables])
    naive = np.mean([np.corrcoef(t.x + 2 * t.dose, t.y)[0, 1] for t in tables])
    assert claimed < 0.088
    assert naive > 0.6


def test_a_planted_mediation_is_found_and_its_interval_covers():
    # ACME = -2 x .8 at 24 seeds. Nominal .95; the percentile interval is known to run a little
    # below. 200 studies: standard error .018 at .93, three of them below.
    rng = np.random.default_rng(71)
    found = [paths_of(simulate(rng, 24, b=0.8, direct=0.5), draws=400) for _ in range(200)]
    covered = np.mean([one.acme.interval.low < -1.6 < one.acme.interval.high for one in found])
    assert np.mean([one.joint.p_value < 0.05 for one in found]) > 0.95
    assert np.mean([one.acme.estimate for one in found]) == pytest.approx(-1.6, abs=0.06)
    assert np.mean([one.ade.estimate for one in found]) == pytest.approx(0.5, abs=0.06)
    assert covered > 0.93 - 3 * 0.018


def test_direct_effect_alone_is_not_mediation():
    rng = np.random.default_rng(72)
    tables = [simulate(rng, 8, direct=3) for _ in range(300)]
    claimed = np.mean([paths_of(table, draws=1).joint.p_value < 0.05 for table in tables])
    assert claimed < 0.088


def test_shared_test_images_bias_b_and_swapped_halves_do_not():
    # Unrelated mediator and outcome; images move both. Planted b of the unsplit measures is
    # .5 / 1.5 = 1/3. 100 studies: the mean's standard error is about .02.
    rng = np.random.default_rng(73)
    plain, split = [], []
    for _ in range(100):
        truth = simulate(rng, 8)
        on_a, on_b = rng.normal(size=(2, truth.x.size))
        keys = {"block": truth.block, "dose": truth.dose}
        mean = (on_a + on_b) / 2
        plain.append(paths_of(Table(**keys, x=truth.x + mean, y=truth.y + mean), draws=1))
        ab = Table(**keys, x=truth.x + on_a, y=truth.y + on_b)
        split.append(paths_of(ab, Table(**keys, x=truth.x + on_b, y=truth.y + on_a), draws=1))
    assert np.mean([one.b.estimate for one in plain]) == pytest.approx(1 / 3, abs=0.06)
    assert np.mean([one.b.estimate for one in split]) == pytest.approx(0, abs=0.06)
    assert plain[0].caveats == (SHARED_IMAGES,)


def test_the_bootstrap_resamples_seeds_and_not_rows():
    # Per-seed slopes differ, so the interval of the total effect must be as wide as the t
    # interval over seeds (here within a quarter), not as narrow as rows would make it.
    rng = np.random.default_rng(74)
    table = simulate(rng, 30)
    tilted = Table(
        block=table.block,
        dose=table.dose,
        x=table.x,
        y=0.1 * table.y + 3 * rng.normal(size=30)[table.block] * table.dose,
    )
    found = paths_of(tilted, draws=2000).total.interval
    slopes = [np.polyfit(FIVE, y, 1)[0] for y in tilted.y.reshape(30, 5)]
    expected = 2 * 1.96 * np.std(slopes, ddof=1) / np.sqrt(30)
    assert found.high - found.low == pytest.approx(expected, rel=0.25)


def test_the_same_generator_gives_the_same_intervals():
    table = table_of(REFERENCE["balanced"]["rows"])
    assert paths_of(table) == paths_of(table)


def test_few_seeds_say_that_the_percentile_interval_undercovers():
    rng = np.random.default_rng(75)
    assert FEW_FOR_BOOTSTRAP in paths_of(simulate(rng, 8, b=1)).acme.caveats
    assert FEW_FOR_BOOTSTRAP not in paths_of(simulate(rng, 24, b=1)).acme.caveats


def test_a_share_of_a_total_that_may_be_zero_has_no_interval():
    found = paths_of(simulate(np.random.default_rng(76), 10))
    assert found.total.interval.low < 0 < found.total.interval.high
    assert found.proportion.interval is None
    assert found.proportion.caveats == (NO_TOTAL,)


def test_two_seeds_are_described_and_not_tested():
    found = paths_of(simulate(np.random.default_rng(77), 2, b=1))
    for one in estimates_of(found):
        assert one.estimate is not None
        assert one.p_value is None
        assert one.interval is None
        assert one.caveats
    assert found.acme.caveats == found.a.caveats == found.b.caveats == (TOO_FEW,)


def test_one_seed_has_slopes_and_no_second_path():
    # at fixed seed and strength its mediator does not vary
    found = paths_of(simulate(np.random.default_rng(77), 1, b=1))
    assert found.a.caveats == found.total.caveats == (TOO_FEW,)
    assert found.b.caveats == (CONSTANT_X,)
    assert found.acme.caveats == (UNDETERMINED,)
    assert all(one.p_value is None and one.interval is None for one in estimates_of(found))


def test_a_bend_that_strength_gives_both_measures_is_no_second_path():
    # 300 studies in which both follow strength squared and nothing else: standard error at .05
    # is .0126, three of them above. With strength as a line in path b, .12 reject at 8 seeds.
    rng = np.random.default_rng(83)
    flat = [simulate(rng, 8, a=0) for _ in range(300)]
    bent = [
        Table(block=t.block, dose=t.dose, x=t.x - 4 * t.dose**2, y=t.y - 4 * t.dose**2)
        for t in flat
    ]
    claimed = np.mean([paths_of(table, draws=1).joint.p_value < 0.05 for table in bent])
    assert claimed < 0.088


def test_one_strength_gives_no_path():
    found = paths_of(simulate(np.random.default_rng(78), 6, doses=np.array([0.3])))
    for one in estimates_of(found):
        assert one.estimate is None
        assert one.p_value is None
        assert one.caveats
    assert found.a.caveats == found.b.caveats == found.acme.caveats == (ONE_STRENGTH,)


def test_no_rows_give_no_path():
    empty = np.array([])
    found = paths_of(Table(block=empty.astype(np.int64), dose=empty, x=empty, y=empty))
    assert all(one.estimate is None for one in estimates_of(found))


def test_seeds_with_one_strength_carry_no_slope_and_leave_the_others_alone():
    table = simulate(np.random.default_rng(79), 6, b=1)
    lone = np.array([6, 6, 7])
    wider = Table(
        block=np.append(table.block, lone),
        dose=np.append(table.dose, [0.3, 0.3, 0.7]),
        x=np.append(table.x, [0.1, 0.1, 5.0]),
        y=np.append(table.y, [0.2, 0.2, 9.0]),
    )
    plain, found = paths_of(table), paths_of(wider)
    assert found.a.n == 6
    assert found.a.estimate == pytest.approx(plain.a.estimate, rel=1e-12)
    assert found.acme.estimate == pytest.approx(plain.acme.estimate, rel=1e-9)
    assert found.b.standard_error == pytest.approx(plain.b.standard_error, rel=1e-9)


def test_a_constant_mediator_leaves_the_total_effect_alone():
    table = simulate(np.random.default_rng(80), 6, direct=2)
    flat = Table(block=table.block, dose=table.dose, x=np.full(30, 0.1), y=table.y)
    found = paths_of(flat)
    assert found.a.estimate == pytest.approx(0, abs=1e-12)
    assert found.a.caveats == (NO_SPREAD,)
    assert found.b.caveats == (CONSTANT_X,)
    assert found.acme.caveats == (UNDETERMINED,)
    assert found.joint.p_value is None
    assert found.total.interval is not None


def test_halves_that_list_different_students_are_refused():
    rng = np.random.default_rng(81)
    with pytest.raises(ValueError, match="different students"):
        paths_of(simulate(rng, 4), simulate(rng, 5))


def test_impossible_settings_are_refused():
    table = simulate(np.random.default_rng(82), 4)
    with pytest.raises(ValueError, match="at least one"):
        paths_of(table, draws=0)
    with pytest.raises(ValueError, match="not in"):
        mediate(table, rng=np.random.default_rng(0), level=95, draws=1)
    with pytest.raises(ValueError, match="between -1 and 1"):
        acme_at(table, np.array([1.0]))
