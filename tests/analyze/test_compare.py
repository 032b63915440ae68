"""Several studies: what is put together, what is not, and what is said of either."""

import json
from dataclasses import replace

import pytest
from compared_studies import declared, submitted

from analyze.compare import compare
from analyze.comparison import Comparison, comparison_to_json
from analyze.inference.meta_analysis import meta_analysis
from analyze.likeness import Submission
from analyze.looks import look_at
from analyze.results import Verdict
from store.errors import AnalysisError


def claim_of(comparison: Comparison, name: str):
    return next(claim for claim in comparison.claims if claim.hypothesis == name)


def groups(comparison: Comparison, name: str) -> list[list[str]]:
    """Labels of the studies that are put together."""
    return [
        [comparison.studies[member.study].label for member in alike.members]
        for alike in claim_of(comparison, name).alike
    ]


def test_alike_studies_are_put_together_by_the_test_that_decides():
    found = compare([submitted("a", -0.1, 0.02), submitted("b", -0.06, 0.03)])
    (alike,) = claim_of(found, "H1").alike
    assert alike.summary == meta_analysis([-0.1, -0.06], [0.02, 0.03])
    assert [member.weight for member in alike.members] == list(alike.summary.weights)
    assert alike.sesoi == 0.05


def test_the_order_of_the_studies_changes_no_summary():
    studies = [submitted(n, e, 0.02) for n, e in (("a", -0.1), ("b", 0.02), ("c", -0.04))]
    one, other = compare(studies), compare(studies[::-1])
    for name in ("H1", "H2a", "H2b"):
        (mine,), (theirs,) = claim_of(one, name).alike, claim_of(other, name).alike
        assert mine.summary.estimate == pytest.approx(theirs.summary.estimate, rel=1e-10)
        assert mine.summary.tau2 == pytest.approx(theirs.summary.tau2, rel=1e-8)


def test_one_study_stands_alone_without_a_summary():
    found = compare([submitted("a", -0.1, 0.02)])
    (alike,) = claim_of(found, "H1").alike
    assert alike.summary is None
    assert [member.weight for member in alike.members] == [None]


def test_a_trend_is_not_put_together_over_policies_and_an_association_is():
    other = declared("b", augmentation={"policy": "randaugment"})
    found = compare(
        [submitted("a", 0.1, 0.02), submitted("b", 0.1, 0.02, design=other),
         submitted("c", 0.1, 0.02)]
    )  # fmt: skip
    assert groups(found, "H2a") == [["a", "c"], ["b"]]
    assert groups(found, "H2b") == [["a", "b", "c"]]
    assert claim_of(found, "H2a").caveats == (
        "b stands apart from a and c by strength (policy randaugment, not policy graded).",
    )
    (association,) = claim_of(found, "H2b").alike
    said = "Augmentation is by policy graded (a, c), policy randaugment (b)."
    assert said in association.caveats


def test_other_settings_of_one_policy_are_put_together_and_named():
    other = declared("b", augmentation={"policy": "graded", "maximum": {"rotation_degrees": 10}})
    found = compare([submitted("a", 0.1, 0.02), submitted("b", 0.1, 0.02, design=other)])
    (alike,) = claim_of(found, "H2a").alike
    assert alike.summary is not None
    assert any("rotation degrees 30.0 (a), 10.0 (b)" in caveat for caveat in alike.caveats)


def test_other_students_are_not_put_together_but_their_teachers_are():
    found = compare([submitted("a", 0.1, 0.02), submitted("b", 0.1, 0.02, arm="matched")])
    assert groups(found, "H2a") == [["a"], ["b"]]
    assert groups(found, "H1") == [["a", "b"]]


def test_another_size_of_ensemble_or_attention_map_stands_apart():
    three = declared("b", design={"strengths": [0, 0.5, 1], "teachers": 3})
    mapped = declared("c", attention={"primary": "cam_predicted"})
    found = compare(
        [submitted("a", 0.1, 0.02), submitted("b", 0.1, 0.02, design=three),
         submitted("c", 0.1, 0.02, design=mapped)]
    )  # fmt: skip
    assert groups(found, "H1") == [["a"], ["b"], ["c"]]
    assert groups(found, "H2a") == [["a", "c"], ["b"]]


def test_other_strengths_students_and_thresholds_are_named():
    other = declared(
        "b",
        design={"strengths": [0, 1], "teachers": 2, "fixed_strength": 0},
        attention={"tau": 0.5},
    )
    found = compare([submitted("a", 0.1, 0.02), submitted("b", 0.1, 0.02, design=other)])
    trend = " ".join(claim_of(found, "H2a").alike[0].caveats)
    assert "strengths 0, 0.5, 1 (a), 0, 1 (b)" in trend
    assert "fixed strength 0.5 (a), 0 (b)" in trend
    assert "tau 0.4 (a), 0.5 (b)" in " ".join(claim_of(found, "H1").alike[0].caveats)


def test_seeds_that_two_studies_share_count_once():
    again = declared("b", study_seed=declared("a").study_seed)
    found = compare(
        [submitted("a", 0.1, 0.02), submitted("b", 0.1, 0.02, design=again),
         submitted("c", 0.1, 0.02)]
    )  # fmt: skip
    assert groups(found, "H2a") == [["a", "c"]]
    (left,) = claim_of(found, "H2a").left_out
    assert (left.study, left.reason) == (
        1,
        "its seeds or teachers are those of a, which count once",
    )
    assert any("a and b have seeds or teachers in common" in caveat for caveat in found.caveats)


def test_other_seeds_of_one_study_are_put_together_unless_they_share_teachers():
    def later_seeds(pools: int | None) -> Submission:
        made = submitted("b", 0.1, 0.02, design=declared("a"), pools=pools)
        series = replace(made.results.series[0], blocks=tuple(range(8, 16)))
        return replace(made, results=replace(made.results, series=(series,)))

    fresh = compare([submitted("a", 0.1, 0.02), later_seeds(None)])
    assert groups(fresh, "H2a") == [["a", "b"]]
    shared = compare([submitted("a", 0.1, 0.02, pools=4), later_seeds(4)])
    assert groups(shared, "H2a") == [["a"]]


def test_another_loss_with_the_same_seeds_is_no_independent_study_of_the_teachers():
    again = declared("b", study_seed=declared("a").study_seed, distillation={"loss": "mse"})
    found = compare([submitted("a", 0.1, 0.02), submitted("b", 0.1, 0.02, design=again)])
    assert groups(found, "H1") == [["a"]]


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({"verdict": Verdict.NO_DATA}, "it has no estimate"),
        ({"verdict": Verdict.DESCRIPTIVE, "seeds": 2}, "fewer than 3 seeds"),
        ({"known": False}, "what it declares is not at hand"),
        ({"pools": 2}, "fewer than 3 pools"),
        ({"sequential": look_at((8, 16), (8,), seeds=11, family=5)}, "between declared looks"),
    ],
)
def test_what_cannot_be_put_together_is_left_out_with_its_reason(parts, said):
    found = compare([submitted("a", 0.1, 0.02), submitted("b", 0.1, 0.02, **parts)])
    assert groups(found, "H2a") == [["a"]]
    (left,) = claim_of(found, "H2a").left_out
    assert left.study == 1
    assert said in left.reason


@pytest.mark.parametrize("error", [0.0, float("inf"), float("nan")])
def test_an_estimate_without_an_error_is_left_out(error):
    found = compare([submitted("a", 0.1, 0.02), submitted("b", 0.1, error)])
    assert groups(found, "H2a") == [["a"]]
    assert len(claim_of(found, "H2a").left_out) == 1


def test_a_claim_that_one_study_does_not_ask_has_no_reading_there():
    found = compare([submitted("a", 0.1, 0.02), submitted("b", 0.1, 0.02, claims=("H1",))])
    readings = claim_of(found, "H2a").readings
    assert [reading.deciding is None for reading in readings] == [False, True]
    assert groups(found, "H2a") == [["a"]]


def test_studies_without_any_estimate_are_compared_all_the_same():
    failed = [submitted(n, 0.1, 0.02, verdict=Verdict.NO_DATA, seeds=0) for n in "ab"]
    found = compare(failed)
    assert all(not claim.alike for claim in found.claims)
    assert all(len(claim.left_out) == 2 for claim in found.claims)


def test_few_studies_few_seeds_and_other_bands_are_said():
    found = compare([submitted("a", 0.1, 0.02), submitted("b", 0.1, 0.02, sesoi=0.1)])
    (alike,) = claim_of(found, "H2a").alike
    said = " ".join(alike.caveats)
    assert alike.sesoi is None
    assert "0.05 (a), 0.1 (b)" in said
    assert "From 2 studies" in said
    assert "a (7), b (7)" in said
    many = compare([submitted(n, 0.1, 0.02, seeds=12) for n in "abcde"])
    assert claim_of(many, "H2a").alike[0].caveats == ()


def test_a_study_that_may_have_stopped_early_is_named():
    look = look_at((8, 16), (8,), seeds=8, family=3)
    found = compare([submitted("a", 0.1, 0.02), submitted("b", 0.1, 0.02, sequential=look)])
    assert any(
        "b may have stopped at an early look" in c for c in claim_of(found, "H2a").alike[0].caveats
    )


def test_what_studies_declare_differently_is_listed_by_key():
    other = declared("b", distillation={"temperature": 4})
    found = compare([submitted("a", 0.1, 0.02), submitted("b", 0.1, 0.02, design=other)])
    keys = {each.key: each.values for each in found.differences}
    assert keys["distillation.temperature"] == ("3.0", "4.0")
    assert set(keys) == {"study_seed", "distillation.temperature"}


def test_every_number_stands_in_the_json():
    found = compare([submitted("a", -0.1, 0.02), submitted("b", -0.06, 0.03)])
    content = json.loads(comparison_to_json(found))
    summary = content["claims"][0]["alike"][0]["summary"]
    assert summary["estimate"] == found.claims[0].alike[0].summary.estimate
    assert content["studies"][1]["label"] == "b"


def test_two_studies_of_one_label_and_none_at_all_are_refused():
    with pytest.raises(AnalysisError, match="two studies are called 'a'"):
        compare([submitted("a", 0.1, 0.02), submitted("a", 0.1, 0.02)])
    with pytest.raises(AnalysisError, match="no study"):
        compare([])
