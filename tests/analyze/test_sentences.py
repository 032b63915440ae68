"""Words that findings are told in: direction, digits, and what is not known."""

import pytest

from analyze.results import Interval, OutcomeFinding, Verdict
from analyze.sentences import claim_sentence, digits


def outcome(verdict: Verdict, estimate: float | None = -0.0312345, **changes) -> OutcomeFinding:
    given = {
        "outcome": "generalization_gap",
        "predictor": "teacher_strength",
        "unit": "fraction per unit of strength",
        "p_value": 0.01,
        "alpha": 0.05,
        "sesoi": 0.01,
        "interval_95": Interval(low=-0.0523, high=-0.0101, level=0.95),
        "verdict_interval": None,
        "equivalence_interval": None,
        "size_uncertain": False,
        "seeds_to_decide": None,
    }
    return OutcomeFinding(verdict=verdict, estimate=estimate, **(given | changes))


def say(*outcomes: OutcomeFinding, sign: int = -1, seeds: int = 12) -> str:
    return claim_sentence(outcomes, seeds=[seeds] * len(outcomes), sign=sign)


def test_a_supported_fall_is_told_with_its_interval_and_seeds():
    assert say(outcome(Verdict.SUPPORTED)) == (
        "The generalization gap falls with the strength of the teachers' augmentation, as "
        "claimed: -0.031 per unit of strength (95 % interval -0.052 to -0.010; 12 seeds)."
    )


def test_a_contradiction_is_told_in_the_direction_that_was_seen():
    said = say(outcome(Verdict.CONTRADICTED), sign=1)
    assert "falls with" in said
    assert "against the claim" in said


def test_an_uncertain_size_is_told():
    assert "may be below 0.010" in say(outcome(Verdict.SUPPORTED, size_uncertain=True))


def test_the_seeds_that_would_decide_are_told():
    said = say(outcome(Verdict.UNDECIDED, seeds_to_decide=31))
    assert said.startswith("Not decided whether the generalization gap falls")
    assert "About 31 seeds in all would decide it" in said


@pytest.mark.parametrize(("seeds", "words"), [(1, "1 seed)"), (2, "2 seeds)")])
def test_few_seeds_are_told_without_an_interval(seeds, words):
    said = say(outcome(Verdict.DESCRIPTIVE, interval_95=None, p_value=None), seeds=seeds)
    assert words in said
    assert "interval" not in said
    assert "not tested" in said


def test_digits_follow_the_width_of_the_interval():
    wide = Interval(low=-400.0, high=300.0, level=0.95)
    assert "-50 per" in say(outcome(Verdict.UNDECIDED, estimate=-49.7, interval_95=wide))
    narrow = Interval(low=0.00012, high=0.00018, level=0.95)
    said = say(outcome(Verdict.NEGLIGIBLE, estimate=0.00015, interval_95=narrow))
    assert "0.000150 per" in said
    assert "e-" not in said


def test_what_is_rounding_is_zero_without_a_sign_and_what_is_small_is_not():
    assert digits(-3e-17, 1e-17) == "0"
    assert digits(0.0000043, 0.0000043) == "0.0000043"


def test_a_claim_with_two_outcomes_says_which_part_holds():
    first = outcome(Verdict.SUPPORTED, outcome="agreement")
    second = outcome(
        Verdict.UNDECIDED,
        outcome="conditional_mutual_information_bits",
        unit="bits per unit of strength",
    )
    said = say(first, second)
    assert "top-1 agreement falls" in said
    assert "Not decided whether the mutual information given the label falls" in said
    assert said.endswith("The claim needs both, so it is not decided.")
    assert "needs both" not in say(first, first)


def test_what_cannot_be_computed_says_why():
    said = say(outcome(Verdict.NO_DATA, estimate=None, caveats=("one teacher only",)))
    assert said == "Nothing can be said of the generalization gap. One teacher only."


def test_an_association_is_told_at_fixed_seed_and_strength():
    said = say(
        outcome(
            Verdict.SUPPORTED,
            estimate=0.5,
            predictor="attention_iou_adjusted",
            unit="fraction per unit of teachers' attention IoU above chance",
            interval_95=Interval(low=0.2, high=0.8, level=0.95),
        ),
        sign=1,
    )
    assert "moves with the teachers' attention IoU above chance at fixed seed and strength" in said


@pytest.mark.parametrize(
    ("bounds", "said"),
    [
        (
            (-0.31, 0.24),
            "without it the 96.7 % interval is -0.31 to 0.24, beside plus",
        ),
        ((float("-inf"), float("inf")), "without it these seeds do not bound the slope."),
    ],
)
def test_noise_that_makes_a_slope_look_negligible_is_told_with_the_interval_without_it(
    bounds, said
):
    found = outcome(
        Verdict.UNDECIDED,
        predictor="attention_iou_adjusted",
        sesoi=0.2,
        interval_95=Interval(low=-0.077, high=0.057, level=0.95),
        verdict_interval=Interval(low=-0.09, high=0.07, level=0.983),
        equivalence_interval=Interval(low=bounds[0], high=bounds[1], level=0.967),
    )
    assert said in say(found)
    # one whose interval reaches beyond the SESOI does not look negligible
    wide = outcome(
        Verdict.UNDECIDED,
        sesoi=0.05,
        verdict_interval=found.verdict_interval,
        equivalence_interval=found.equivalence_interval,
    )
    assert "noise" not in say(wide)


def test_outcomes_that_are_decided_apart_need_no_more_seeds():
    both = say(outcome(Verdict.SUPPORTED), outcome(Verdict.CONTRADICTED))
    assert both.endswith("more seeds are not expected to change that.")
    assert "not expected" not in say(outcome(Verdict.SUPPORTED), outcome(Verdict.UNDECIDED))
