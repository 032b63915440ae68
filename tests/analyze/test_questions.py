"""Which questions a study asks, of which columns, and against which effect size."""

import math

import pytest
from simulated import CLAIMS, study

from analyze.hypotheses import HYPOTHESES
from analyze.questions import deciding_arm, questions_of
from store.errors import StudyError
from store.measures import BY_NAME
from store.vocabulary import Arm, Form


def part(claim: str, form: Form, outcome: int = 0):
    questions = questions_of(study())
    found = next(each for each in questions if (each.hypothesis.id, each.form) == (claim, form))
    return found.parts[outcome]


def test_every_question_is_asked_once():
    questions = questions_of(study())
    keys = [(each.hypothesis.id, each.arm, each.form) for each in questions]
    assert len(keys) == len(set(keys))
    assert {each.hypothesis.id for each in questions} == set(CLAIMS)
    assert sum(each.deciding for each in questions) == len(CLAIMS)


def test_claims_are_asked_in_the_order_of_the_argument_not_of_the_file():
    design = study(claims=dict(reversed(CLAIMS.items())))
    asked = [each.hypothesis.id for each in questions_of(design) if each.deciding]
    assert asked == list(HYPOTHESES)


def test_every_measure_asked_of_is_in_the_data_dictionary():
    for question in questions_of(study()):
        for each in question.parts:
            for name in {each.outcome, each.predictor, *each.coupled} - {"teacher_strength"}:
                assert name in BY_NAME
                assert ("published" in name) == (question.form is Form.PUBLISHED)


def test_the_published_form_asks_the_published_columns():
    assert part("H2b", Form.PUBLISHED).outcome == "generalization_gap_published"
    assert part("H2b", Form.PUBLISHED).predictor == "attention_iou_published"
    assert part("H3a", Form.PUBLISHED).predictor == "teacher_strength"


def test_an_effect_size_in_bits_is_read_in_nats_where_the_published_measure_is():
    plain, published = (part("H3a", form, outcome=1) for form in Form)
    assert plain.sesoi == 0.02
    assert published.sesoi == pytest.approx(0.02 * math.log(2))
    # per nat of the predictor there are 1 / ln 2 bits
    plain, published = (part("H3b", form) for form in Form)
    assert published.sesoi == pytest.approx(plain.sesoi / math.log(2))
    assert part("H2a", Form.PUBLISHED).sesoi == part("H2a", Form.PLAIN).sesoi


def test_the_fixed_arm_decides_where_there_is_one():
    claim = HYPOTHESES["H2a"]
    both = study(design={"strengths": [0, 1], "arms": ["matched", "fixed"]})
    assert deciding_arm(claim, both) is Arm.FIXED
    alone = study(design={"strengths": [0, 1], "arms": ["matched"]})
    assert deciding_arm(claim, alone) is Arm.MATCHED


@pytest.mark.parametrize(
    "sesoi",
    [
        {"agreement": 0.02},
        {},
        {"agreement": 0.1, "conditional_mutual_information_bits": 0.1, "x": 1},
    ],
)
def test_an_effect_size_must_name_exactly_the_claims_outcomes(sesoi):
    with pytest.raises(StudyError, match=r"claims\.H3a\.sesoi"):
        questions_of(study(claims={"H3a": {"sesoi": sesoi}}))
