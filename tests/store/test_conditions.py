import re
from itertools import product

import pytest
from pydantic import ValidationError

from store.conditions import ConditionList, Factorial, mean_strength
from store.vocabulary import PairKind


def factorial(**changes):
    return Factorial.model_validate({"kind": "factorial"} | changes)


def listed(*conditions, **changes):
    return ConditionList.model_validate({"kind": "list", "conditions": conditions} | changes)


def test_the_published_design_has_six_teachers_and_twenty_eight_students():
    plan = factorial().plan()
    assert len(plan.teachers) == 6
    arms = [student.arm for student in plan.students]
    assert {arm: arms.count(arm) for arm in arms} == {
        f"{level}_of_{n}": 2**n for n in (1, 2, 3) for level in ("weak", "strong")
    }
    assert [student.condition_id for student in plan.students] == list(range(28))


@pytest.mark.parametrize("sizes", [[1], [2], [1, 3], [3, 2, 1]])
def test_every_ensemble_of_ordered_teachers_teaches_a_weak_and_a_strong_student(sizes):
    plan = factorial(teachers=sizes, weak=0.25, strong=0.75).plan()
    assert len(plan.teachers) == 2 * max(sizes)
    found = {(plan.strengths_of(student), student.strength) for student in plan.students}
    expected = {
        (team, student)
        for n in sizes
        for team in product((0.25, 0.75), repeat=n)
        for student in (0.25, 0.75)
    }
    assert found == expected
    assert len(plan.students) == len(expected)


def test_teachers_of_one_slot_and_level_are_one_network_whatever_the_ensemble():
    plan = factorial().plan()
    places = {(teacher.slot, teacher.strength) for teacher in plan.teachers}
    assert len(places) == len(plan.teachers)
    for student in plan.students:
        slots = [plan.teachers[ordinal].slot for ordinal in student.teachers]
        assert slots == list(range(len(slots)))


def test_the_earlier_teacher_of_a_pair_has_the_lower_ordinal():
    """As the store's views take them, in mixed ensembles too."""
    for plan in (
        factorial().plan(),
        listed({"teachers": [1, 0], "student": 0}, {"teachers": [0, 1], "student": 0}).plan(),
    ):
        pairs = plan.pairs()
        assert all(a < b for a, b in pairs)
        assert PairKind.TEACHER_TEACHER in pairs.values()


def test_listed_ensembles_share_a_teacher_of_the_same_slot_and_strength():
    plan = listed(
        {"teachers": [0.5, 1], "student": 1},
        {"teachers": [1, 1], "student": 1},
        {"teachers": [0.5], "student": 0},
    ).plan()
    assert [(t.slot, t.strength) for t in plan.teachers] == [(0, 0.5), (0, 1), (1, 1)]
    assert [student.teachers for student in plan.students] == [(0, 2), (1, 2), (0,)]
    assert [student.arm for student in plan.students] == ["1_of_2", "1_of_2", "0_of_1"]


def test_an_ensemble_s_mean_strength_does_not_depend_on_the_order_of_its_teachers():
    assert len({mean_strength(team) for team in ((0.1, 0.2, 0.7), (0.7, 0.1, 0.2))}) == 1
    assert mean_strength((0.1, 0.1, 0.1)) == 0.1


def test_the_largest_ensembles_weak_students_decide_unless_said():
    assert factorial().main_arm == "weak_of_3"
    assert factorial(teachers=[1, 2]).claim_arms == ("weak_of_2", "strong_of_2")
    said = factorial(deciding={"teachers": 2, "student": "strong"})
    assert said.main_arm == "strong_of_2"


def test_of_a_list_the_arm_with_most_mean_strengths_decides_unless_said():
    conditions = (
        {"teachers": [0, 1], "student": 0},
        {"teachers": [0, 0], "student": 1, "arm": "mine"},
        {"teachers": [1, 1], "student": 1, "arm": "mine"},
    )
    assert listed(*conditions).main_arm == "mine"
    assert listed(*conditions).claim_arms == ("mine",)
    assert listed(*conditions, deciding="0_of_2").main_arm == "0_of_2"


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: factorial(teachers=[]), "at least 1 item"),
        (lambda: factorial(teachers=[2, 2]), "teachers [2, 2] repeat a number"),
        (lambda: factorial(teachers=[4]), "less than or equal to 3"),
        (lambda: factorial(weak=1, strong=0.5), "weak 1 must be below strong 0.5"),
        (lambda: factorial(teachers=[1], deciding={"teachers": 3}), "is 3; allowed: 1"),
        (lambda: listed(), "at least 1 item"),
        (
            lambda: listed(*[{"teachers": [1], "student": 1}] * 2),
            "conditions repeat teachers [1.0] with student 1 in arm 1_of_1",
        ),
        (
            lambda: listed(
                {"teachers": [1], "student": 1, "arm": "a"},
                {"teachers": [1, 1], "student": 1, "arm": "a"},
            ),
            "arm a has ensembles of 1 and 2 teachers",
        ),
        (
            lambda: listed({"teachers": [1], "student": 1}, deciding="b"),
            "deciding is 'b', no arm of the list; allowed: 1_of_1",
        ),
        (lambda: listed({"teachers": [1.5], "student": 1}), "less than or equal to 1"),
        (lambda: listed({"teachers": [1], "student": 1, "arm": "A b"}), "should match pattern"),
    ],
)
def test_what_makes_no_sense_is_refused_with_what_is_allowed(make, words):
    with pytest.raises(ValidationError, match=re.escape(words)):
        make()
