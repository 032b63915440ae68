import json
from pathlib import Path

import numpy as np
import pytest

from analyze.inference.cells import paired_contrasts
from analyze.inference.contrasts import CONTRAST_T, cells, contrast_tests, two_sides, weighings

ANSWERS = json.loads(
    (Path(__file__).parents[2] / "reference" / "contrasts.json").read_text(encoding="utf-8")
)
SIZES = {"one": 1, "two": 2, "three": 3}


def answers(values, weighing, *, sesoi=None):
    rng = np.random.default_rng(0)
    values = np.asarray(values, dtype=np.float64)
    found = contrast_tests(range(len(values)), values, weighing, sesoi=sesoi, rng=rng)
    return {one.test: one for one in found}


def named(teachers, name):
    return next(one for one in weighings(teachers) if one.name == name)


# closed forms: R and we differ by rounding only; tails of t lose a digit or two more
@pytest.mark.parametrize("size", SIZES)
def test_every_contrast_is_that_of_a_within_subjects_analysis_of_variance_in_r(size):
    answer, teachers = ANSWERS[size], SIZES[size]
    expected = {one["name"]: one for one in answer["contrasts"]}
    assert [one.name for one in weighings(teachers)] == list(expected)
    for weighing in weighings(teachers):
        found, theirs = answers(answer["y"], weighing)[CONTRAST_T], expected[weighing.name]
        for ours, name in (
            (found.estimate, "estimate"),
            (found.standard_error, "se"),
            (found.df, "df"),
            (found.statistic, "t"),
            (found.p_value, "p"),
            (found.interval.low, "low"),
            (found.interval.high, "high"),
        ):
            assert ours == pytest.approx(theirs[name], rel=1e-8, abs=1e-13)


@pytest.mark.parametrize("size", SIZES)
def test_squared_t_is_r_s_f_of_the_effect(size):
    answer, teachers = ANSWERS[size], SIZES[size]
    for name, effect in (("t1", "T1"), ("student", "S"), ("t1_by_student", "T1_S")):
        found = answers(answer["y"], named(teachers, name))[CONTRAST_T]
        assert found.statistic**2 == pytest.approx(answer["anova"][effect], rel=1e-8)


@pytest.mark.parametrize("teachers", [1, 2, 3])
def test_a_contrast_recovers_what_was_planted_and_sees_nothing_else(teachers):
    """Effects of T1 .1, of any mixture .03, of the student .2, of T1 on a strong student .05."""
    levels = np.array(cells(teachers), dtype=np.float64)
    t1, student = levels[:, 0], levels[:, -1]
    mixed = np.array([len(set(cell[:-1])) > 1 for cell in cells(teachers)])
    values = 0.1 * t1 + 0.03 * mixed + 0.2 * student + 0.05 * t1 * student
    planted = np.tile(values, (4, 1)) + np.arange(4.0)[:, None]
    found = {one.name: answers(planted, one)[CONTRAST_T].estimate for one in weighings(teachers)}
    assert found["t1_by_student"] == pytest.approx(0.05)
    assert found["student"] == pytest.approx(0.2 + 0.05 / 2)
    # in a factorial T1 is balanced over mixtures but for its own part in them, which cancels
    assert found["t1"] == pytest.approx(0.1 + 0.05 / 2)
    if teachers > 1:
        assert found["teachers"] == pytest.approx(0.1 + 0.05 / 2)
        assert found["mixed"] == pytest.approx(0.03)
        assert found["mixed_by_student"] == pytest.approx(0, abs=1e-12)
        assert found["t2"] == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("teachers", [1, 2, 3])
def test_weights_sum_to_zero_and_each_mean_to_one(teachers):
    for one in weighings(teachers):
        weights = np.array(one.weights)
        assert len(weights) == 2 ** (teachers + 1)
        assert weights.sum() == pytest.approx(0, abs=1e-15)
        assert weights[weights > 0].sum() == pytest.approx(2 if one.interaction else 1)


def test_main_effects_of_teachers_and_student_are_orthogonal():
    rows = [np.array(named(3, name).weights) for name in ("t1", "t2", "t3", "student", "mixed")]
    gram = np.array([[one @ other for other in rows] for one in rows])
    assert np.abs(gram - np.diag(np.diag(gram))).max() < 1e-15


def test_a_teacher_of_three_moves_their_mean_strength_by_a_third_of_the_step():
    assert named(3, "t2").step == pytest.approx(1 / 3)
    assert named(3, "t1_by_student").step == pytest.approx(1 / 3)
    assert named(3, "teachers").step == named(3, "student").step == 1


def test_equivalence_sizes_and_exact_tests_stand_beside_the_t():
    rng = np.random.default_rng(3)
    values = rng.normal(0.3, 0.02, size=(8, 8))
    found = answers(values, named(2, "t1"), sesoi=0.05)
    assert list(found) == [
        "contrast_t",
        "contrast_sign_flip",
        "contrast_wilcoxon",
        "contrast_tost",
        "contrast_d_z",
        "contrast_hedges_g_av",
    ]
    one_per_seed = values @ np.array(named(2, "t1").weights)
    assert found["contrast_sign_flip"].estimate == pytest.approx(one_per_seed.mean())
    assert found["contrast_sign_flip"].smallest_p == pytest.approx(2 / 2**8)
    assert found["contrast_d_z"].estimate == pytest.approx(
        one_per_seed.mean() / one_per_seed.std(ddof=1)
    )
    assert found["contrast_tost"].interval.level == pytest.approx(0.9)
    # of a difference of differences there are no two means whose spread could be its unit
    assert "contrast_hedges_g_av" not in answers(values, named(2, "t1_by_student"))


def test_two_seeds_are_described_and_not_tested():
    found = answers(np.random.default_rng(0).normal(size=(2, 8)), named(2, "t1"))
    assert list(found) == [CONTRAST_T]
    assert found[CONTRAST_T].p_value is None
    assert found[CONTRAST_T].estimate is not None


def test_a_contrast_finds_nothing_five_times_in_a_hundred_where_there_is_nothing():
    """Seeds differ in level, in their students' effect and in spread; T1 does nothing."""
    rng = np.random.default_rng(20261125)
    studies, seeds, weighing = 1500, 8, named(2, "t1")
    student = np.array([cell[-1] for cell in cells(2)])
    p_values = []
    for _ in range(studies):
        level, own = rng.normal(0, 1, size=(2, seeds, 1))
        noise = rng.normal(size=(seeds, 8)) * (1 + student)
        values = level + (0.5 + own) * student + noise
        p_values.append(t_alone(values, weighing))
    share = np.mean(np.array(p_values) < 0.05)
    assert abs(share - 0.05) < 3 * np.sqrt(0.05 * 0.95 / studies)


def t_alone(values, weighing):
    """Run the t alone: the tests beside it would be most of the time."""
    panel = two_sides(range(len(values)), values, np.array(weighing.weights))
    return paired_contrasts(panel)[0].difference.p_value
