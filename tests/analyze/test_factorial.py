import json
from dataclasses import replace
from itertools import product

import numpy as np
import polars as pl
import pytest
from simulated import CLAIMS, Truth, simulate, study

from analyze.assemble import assemble
from analyze.contrasts import OUTCOMES
from analyze.inference.associations import two_way_within
from analyze.questions import questions_of
from analyze.replicates import mean_by_strength, panel_of, runs_of, table_of
from analyze.secondary import adjusted_for_false_discoveries
from analyze.seeds import single_seed_slope
from analyze.serialize import results_from_json, results_to_json
from store.errors import StudyError

GAP = "generalization_gap"
ATTENTION = "attention_iou_adjusted"


def without(rows, measure, where):
    return rows.with_columns(pl.when(where).then(None).otherwise(pl.col(measure)).alias(measure))


def factorial(seeds=6, claims=CLAIMS, **layout):
    return study(design={"kind": "factorial"} | layout, seeds=seeds, claims=claims)


@pytest.fixture(scope="module")
def design():
    return factorial(teachers=[1, 2], claims={"H1": CLAIMS["H1"], "H2a": CLAIMS["H2a"]})


@pytest.fixture(scope="module")
def stored(design):
    return simulate(design, Truth(slopes={GAP: -0.2, ATTENTION: -0.3}, spread=0.005))


@pytest.fixture(scope="module")
def results(design, stored):
    return assemble(design, stored)


def contrast(results, name, *, teachers=2, outcome=GAP):
    return next(
        one
        for one in results.contrasts
        if (one.name, one.teachers, one.outcome) == (name, teachers, outcome)
    )


def test_a_contrast_is_the_difference_of_means_that_it_says(results, stored):
    """Worked out from the students themselves, by their teachers' strengths."""
    rows = stored.students.filter(pl.col("arm").is_in(["weak_of_2", "strong_of_2"]))
    t1 = rows["teacher_strengths"].list.first() == 1.0
    each = [
        rows.filter(side).group_by("block").agg(pl.col(GAP).mean()).sort("block")[GAP].to_numpy()
        for side in (t1, ~t1)
    ]
    found = contrast(results, "t1").evidence[0]
    assert found.estimate == pytest.approx((each[0] - each[1]).mean())
    assert found.n == 6
    strong = rows["arm"] == "strong_of_2"
    crossed = [rows.filter(a & b)[GAP].mean() for a, b in product((t1, ~t1), (strong, ~strong))]
    by_hand = (crossed[0] - crossed[2]) - (crossed[1] - crossed[3])
    assert contrast(results, "t1_by_student").evidence[0].estimate == pytest.approx(by_hand)


def test_weights_and_conditions_of_the_results_give_the_estimate_again(results, stored):
    for one in results.contrasts:
        means = {
            condition: stored.students.filter(pl.col("condition_id") == condition)[
                one.outcome
            ].mean()
            for condition in one.conditions
        }
        again = sum(w * means[c] for w, c in zip(one.weights, one.conditions, strict=True))
        assert one.evidence[0].estimate == pytest.approx(again, abs=1e-12)


def test_what_is_planted_on_the_mean_strength_is_found_in_each_teacher_s_share(results):
    """A slope of -.2 over a step of .5: -.1 for all teachers, half of that for one of two."""
    for name, expected in (("teachers", -0.1), ("t1", -0.05), ("t2", -0.05), ("mixed", 0)):
        found = contrast(results, name).evidence[0].estimate
        assert found == pytest.approx(expected, abs=0.01)
    assert contrast(results, "t1", teachers=1).evidence[0].estimate == pytest.approx(-0.1, abs=0.02)


def test_a_measure_of_the_teachers_alone_has_no_contrast_of_the_student(results):
    of_attention = {one.name for one in results.contrasts if one.outcome == ATTENTION}
    assert of_attention == {"t1", "t2", "teachers", "mixed"}
    assert not any(one.teachers == 1 for one in results.contrasts if one.outcome == ATTENTION)
    assert {one.outcome for one in results.contrasts} == set(OUTCOMES)


def test_the_band_of_a_contrast_is_the_claim_s_times_the_change_of_mean_strength(results):
    # .02 per unit of strength, over a step from .5 to 1
    assert contrast(results, "teachers").sesoi == pytest.approx(0.01)
    assert contrast(results, "t1").sesoi == pytest.approx(0.005)
    assert contrast(results, "t1_by_student").sesoi == pytest.approx(0.005)
    assert contrast(results, "student").sesoi == pytest.approx(0.01)
    assert contrast(results, "t1", outcome="test_accuracy").sesoi is None


def test_p_is_adjusted_over_every_contrast_of_the_study(results):
    tested = [one.evidence[0] for one in results.contrasts]
    expected = adjusted_for_false_discoveries([item.p_value for item in tested])
    assert [item.q_value for item in tested] == pytest.approx(list(expected))


def test_a_block_without_every_condition_is_left_out_and_named(design, stored):
    lost = (pl.col("block") == 2) & (pl.col("condition_id") == 5)
    rows = without(stored.students, GAP, lost)
    found = assemble(design, replace(stored, students=rows))
    one = contrast(found, "t1")
    assert one.n == 5
    assert one.caveats == (
        "Seed block 2 left out: no value of generalization gap in every condition.",
    )
    # condition 5 is of ensembles of two: those of one teacher are not touched
    assert contrast(found, "t1", teachers=1).n == 6


def test_two_seeds_are_described_and_get_no_p():
    design = factorial(seeds=2, teachers=[2], claims={"H2a": CLAIMS["H2a"]})
    found = assemble(design, simulate(design, Truth()))
    assert found.contrasts
    assert all(len(one.evidence) == 1 for one in found.contrasts)
    assert all(one.evidence[0].p_value is None for one in found.contrasts)


def test_results_with_contrasts_read_back_the_same(results):
    text = results_to_json(results)
    assert results_from_json(text, source="here") == results
    assert json.loads(text)["contrasts"][0]["name"] == "t1"


def test_other_designs_have_no_contrasts():
    design = study(seeds=3, claims={"H2a": CLAIMS["H2a"]})
    assert assemble(design, simulate(design, Truth())).contrasts == ()


def test_a_trend_takes_the_mean_of_the_conditions_that_share_a_strength(stored):
    chosen = panel_of(stored.students, arm="weak_of_2", outcome=GAP)
    assert chosen.panel.doses == (0.5, 0.75, 1.0)
    mixed = stored.students.filter(
        (pl.col("arm") == "weak_of_2") & (pl.col("teacher_strength") == 0.75)
    )
    means = mixed.group_by("block").agg(pl.col(GAP).mean()).sort("block")[GAP]
    assert chosen.panel.values[:, 1] == pytest.approx(means.to_numpy())
    one_lost = without(stored.students, GAP, (pl.col("block") == 1) & (pl.col("condition_id") == 5))
    assert panel_of(one_lost, arm="weak_of_2", outcome=GAP).panel.blocks == (0, 2, 3, 4, 5)


def test_conditions_that_share_no_strength_are_left_as_they_are(stored):
    rows = stored.students.filter(pl.col("arm") == "weak_of_1")
    assert mean_by_strength(rows, [GAP]).equals(rows)


def test_an_association_takes_each_condition_as_one_of_its_own(stored):
    chosen = table_of(stored.students, arm="weak_of_2", predictor=ATTENTION, outcome=GAP).table
    assert chosen.condition is not None
    # as if every condition had a strength of its own
    apart = stored.students.filter(pl.col("arm") == "weak_of_2").with_columns(
        teacher_strength=pl.col("condition_id").cast(pl.Float64)
    )
    other = table_of(apart, arm="weak_of_2", predictor=ATTENTION, outcome=GAP).table
    assert other.condition is None
    one, two = two_way_within(chosen), two_way_within(other)
    assert (one.estimate, one.df, one.rows) == pytest.approx((two.estimate, two.df, 24))
    assert one.standard_error == pytest.approx(two.standard_error)


def test_single_runs_count_the_conditions_of_a_strength_together(stored):
    """As a least-squares slope on the strengths' means, for every pick of one run each."""
    runs = runs_of(stored.students, arm="weak_of_2", measures=[GAP])
    assert runs.doses == (0.5, 0.75, 0.75, 1.0)
    cells = runs.values[0]
    claimed = []
    for a, b, c, d in product(*cells):
        slope = np.polyfit([0.5, 0.75, 1], [a, (b + c) / 2, d], 1)[0]
        claimed.append(slope < 0)
    found = single_seed_slope(runs.doses, runs.values, sign=-1, rng=np.random.default_rng(0))
    assert found.claimed == pytest.approx(np.mean(claimed))


def test_every_condition_has_a_series_of_its_own(results, design):
    of_gap = [one for one in results.series if one.measure == GAP]
    assert len(of_gap) == len(design.plan().students) == 12
    assert len({one.condition_id for one in of_gap}) == 12
    assert {one.teacher_strengths for one in of_gap if one.strength == 0.75} == {
        (0.5, 1.0),
        (1.0, 0.5),
    }


@pytest.mark.parametrize("claim", ["H1", "H2b", "H4"])
def test_single_teachers_cannot_answer_a_claim_about_their_pairs(claim):
    design = factorial(teachers=[1, 2], deciding={"teachers": 1}, claims={claim: CLAIMS[claim]})
    with pytest.raises(StudyError, match=rf"claims.{claim}: .*arm weak_of_1\) have one teacher"):
        questions_of(design)


def test_a_trend_needs_two_mean_strengths_where_a_list_decides():
    conditions = [{"teachers": team, "student": 1} for team in ([0, 1], [1, 0])]
    design = study(design={"kind": "list", "conditions": conditions}, claims={"H2a": CLAIMS["H2a"]})
    with pytest.raises(StudyError, match=r"claims.H2a: needs two mean strengths .* have 1"):
        questions_of(design)


def test_every_claim_is_answered_of_mixed_ensembles_in_a_list():
    conditions = [{"teachers": team, "student": 1} for team in ([0, 0], [0, 1], [1, 0], [1, 1])]
    design = study(design={"kind": "list", "conditions": conditions}, seeds=4)
    found = assemble(design, simulate(design, Truth(slopes={GAP: -0.2}, spread=0.01)))
    deciding = {one.hypothesis: one for one in found.findings if one.deciding}
    assert set(deciding) == set(CLAIMS)
    assert all(one.arm == "1_of_2" and one.n == 4 for one in deciding.values())
    assert all(curve.specifications for curve in found.multiverse)
