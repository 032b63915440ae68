"""Specification curves of simulated studies: planted truths, defaults, what is left out."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from simulated import CLAIMS, Truth, simulate, study

from analyze.assemble import assemble
from analyze.hypotheses import HYPOTHESES
from analyze.metrics.variants import VARIANT
from analyze.multiverse import curves_of
from analyze.questions import questions_of
from analyze.replicates import select_replicates
from analyze.results import Standing
from analyze.specifications import sides_of, thresholds_of, ways_of
from store.sections import Attention
from store.vocabulary import Half

AS_CLAIMED = Truth(
    slopes={
        "attention_iou": -0.2,
        "attention_iou_adjusted": -0.2,
        "generalization_gap": -0.1,
        "loss_gap_nats": -0.1,
        "agreement": -0.1,
        "error_consistency": -0.1,
        "predictive_kl_nats": 0.1,
        "mutual_information_bits": -0.1,
        "mutual_information_second_bits": -0.1,
        "conditional_mutual_information_bits": -0.1,
    },
    on_attention=1.5,
)
ONE_GAP_ALONE = Truth(slopes={"loss_gap_nats": -0.2})


def variant_columns(design):
    """Every variant that the study's claims take, with the measure that it is of."""
    return {
        variant.column: variant.measure
        for question in questions_of(design)
        if question.deciding
        for side in sides_of(question, design, classes=10)
        for variant in side.variants
        if "[" in variant.column and "best_epoch" not in variant.column
    }


def asking(*claims, **changes):
    """The study with some of its claims alone."""
    return study(claims={name: CLAIMS[name] for name in claims}, **changes)


def with_variants(design, stored, *, noise=0.002, shift=None):
    """Give every variant its measure's values and some noise. shift: per strength, by name."""
    rng = np.random.default_rng(11)
    halves = stored.halves
    parts = [
        (Half.ALL, stored.students),
        *((half, halves.filter(pl.col("half") == str(half))) for half in (Half.A, Half.B)),
    ]
    frames = [
        rows.select(
            "student_id",
            half=pl.lit(str(half)),
            variant=pl.lit(column),
            value=pl.col(measure)
            + pl.Series(noise * rng.normal(size=rows.height))
            + (shift or {}).get(column, 0.0) * pl.col("teacher_strength"),
        )
        for half, rows in parts
        for column, measure in variant_columns(design).items()
    ]
    return replace(stored, variants=pl.concat([pl.DataFrame(schema=VARIANT), *frames]))


def curves(design, stored):
    """Curves by claim, without the rest of an analysis."""
    replicates = select_replicates(
        stored, failed_runs=design.failed_runs, seeds_declared=design.seeds
    )
    found = curves_of(
        questions_of(design), replicates, stored.variants, design=design, classes=stored.classes
    )
    return {curve.hypothesis: curve for curve in found}


def option(curve, choice, name):
    options = next(each.options for each in curve.choices if each.name == choice)
    return next(each for each in options if each.name == name)


def p_values(curve):
    return {test.test: test.p_value for test in curve.joint}


@pytest.fixture(scope="module")
def claimed():
    design = study()
    return curves(design, with_variants(design, simulate(design, AS_CLAIMED)))


def test_every_choice_that_the_plan_names_is_crossed_with_every_other(claimed):
    # 3 maps, 5 taus and 3 quantiles, plain or above chance; 2 gaps; 6 measures, 2 ensembles
    counted = {name: curve.counted for name, curve in claimed.items()}
    assert counted == {"H1": 48, "H2a": 2, "H2b": 96, "H3a": 12, "H3b": 4, "H4": 288}
    for curve in claimed.values():
        taken = [each.options for each in curve.specifications]
        assert len(set(taken)) == len(taken)
        assert all(len(each) == len(curve.choices) for each in taken)


def test_what_is_planted_in_every_measure_is_found_under_every_specification(claimed):
    for name in ("H1", "H3a"):
        curve = claimed[name]
        assert curve.claimed == curve.significant == 1
        assert curve.opposite == curve.significant_opposite == 0
        assert curve.median > 1
        assert p_values(curve)["joint_median"] == 2 / 2**12
        assert p_values(curve)["joint_significant"] == 1 / 2**12


def test_what_one_measure_alone_shows_is_seen_to_be_that_measures():
    design = asking("H2a")
    curve = curves(design, with_variants(design, simulate(design, ONE_GAP_ALONE)))["H2a"]
    assert option(curve, "gap", "loss").significant == 1
    assert option(curve, "gap", "accuracy").significant == 0
    assert curve.significant == 0.5


def test_one_threshold_alone_shows_and_the_joint_test_is_not_taken_in():
    design = asking("H1")
    alone = {f"{m}[{method}, top_10]": -0.3 for m in ("attention_iou", "attention_iou_adjusted")
             for method in ("cam_label", "cam_predicted", "cam_sum")}  # fmt: skip
    stored = with_variants(design, simulate(design, Truth()), noise=0.02, shift=alone)
    curve = curves(design, stored)["H1"]
    assert option(curve, "threshold", "top_10").significant == 1
    assert option(curve, "threshold", "tau_0.5").significant == 0
    assert curve.significant == pytest.approx(1 / 8, abs=0.05)
    assert p_values(curve)["joint_median"] > 0.05


def test_nothing_planted_is_not_found_together():
    design = asking("H1", "H2b")
    found = curves(design, with_variants(design, simulate(design, Truth(), seed=5)))
    assert min(p_values(found[name])["joint_median"] for name in ("H1", "H2b")) > 0.01


def test_the_deciding_specification_is_the_finding_and_the_published_one_too():
    design = study(seeds=5, design={"strengths": [0, 0.5, 1]})
    results = assemble(design, simulate(design, AS_CLAIMED))
    assert [curve.hypothesis for curve in results.multiverse] == list(CLAIMS)
    for curve in results.multiverse:
        plain, published = (
            next(
                each
                for each in results.findings
                if (each.hypothesis, each.arm, each.form) == (curve.hypothesis, curve.arm, form)
            )
            for form in ("plain", "published")
        )
        assert plain.deciding
        deciding = [each for each in curve.specifications if each.deciding]
        assert len(deciding) == len(plain.outcomes)
        pairs = [(plain, each) for each in deciding]
        marked = [each for each in curve.specifications if each.standing is Standing.PUBLISHED]
        names = {(o.outcome, o.predictor) for o in published.outcomes}
        pairs += [(published, e) for e in marked if (e.outcome, e.predictor) in names
                  and "best_epoch" not in e.options]  # fmt: skip
        assert len(pairs) == len(deciding) + len(published.outcomes)
        for finding, each in pairs:
            outcome = next(o for o in finding.outcomes if o.outcome == each.outcome)
            assert each.estimate == pytest.approx(outcome.estimate, rel=1e-9)
            assert each.p_value == pytest.approx(outcome.p_value, rel=1e-9)
            assert each.interval.low == pytest.approx(outcome.interval_95.low, rel=1e-9)
            assert each.n == finding.n


def test_effects_are_ordered_and_stand_in_standard_deviations_of_a_seed(claimed):
    for name, curve in claimed.items():
        sign = HYPOTHESES[name].direction.sign
        effects = [each.standardized for each in curve.specifications]
        assert effects == sorted(effects)
        for each in curve.specifications:
            assert each.standardized == pytest.approx(sign * each.statistic / each.n**0.5)
            inside = each.standardized_interval.low < 0 < each.standardized_interval.high
            assert inside == (not each.significant) == (each.p_value >= 0.05)


def test_published_and_coupled_specifications_are_shown_and_counted_in_nothing(claimed):
    gap = claimed["H2a"]
    assert {each.name: each.standing for each in gap.choices[0].options} == {
        "accuracy": Standing.COUNTED,
        "loss": Standing.COUNTED,
        "best_epoch": Standing.PUBLISHED,
        "published": Standing.PUBLISHED,
    }
    assert option(gap, "gap", "published").specifications == 0
    coupled = {
        each.predictor
        for each in claimed["H3b"].specifications
        if each.standing is Standing.COUPLED
    }
    assert {"agreement", "mutual_information_bits"} <= coupled
    design = asking("H2a")
    moved = simulate(design, Truth(slopes={"generalization_gap_published": -5}))
    assert curves(design, with_variants(design, moved))["H2a"].significant == 0


def test_a_store_that_kept_cam_sum_alone_has_its_curves_from_that():
    design = asking("H1", attention={"methods": ["cam_sum"], "primary": "cam_sum"})
    curve = curves(design, with_variants(design, simulate(design, AS_CLAIMED)))["H1"]
    assert curve.counted == 16
    assert [each.name for each in curve.choices[0].options] == ["cam_sum"]
    assert sum(each.deciding for each in curve.specifications) == 1
    assert curve.caveats == ()


def test_variants_without_a_value_are_left_out_and_named():
    design = asking("H1")
    curve = curves(design, simulate(design, AS_CLAIMED))["H1"]
    assert curve.counted == 2
    assert "46 of 49 specifications left out" in curve.caveats[0]
    assert "attention_iou[cam_label, tau_0.2]" in curve.caveats[0]


def test_a_seed_without_every_value_leaves_the_joint_test_and_says_so():
    design = asking("H1", "H2b")
    stored = with_variants(design, simulate(design, AS_CLAIMED))
    lost = (pl.col("student_id") // 1000 == 3) & pl.col("variant").str.contains("top_10")
    kept = stored.variants.with_columns(value=pl.when(lost).then(None).otherwise(pl.col("value")))
    found = curves(design, replace(stored, variants=kept))
    for name in ("H1", "H2b"):
        assert {each.n for each in found[name].specifications} == {11, 12}
        assert {test.n for test in found[name].joint} == {11}
        assert "leaves out 1 seed" in found[name].caveats[0]


@pytest.mark.parametrize("seeds", [1, 2])
def test_below_three_seeds_nothing_is_tested(seeds):
    design = asking("H1", "H2a", "H2b", "H3b", seeds=seeds)
    for curve in curves(design, with_variants(design, simulate(design, AS_CLAIMED))).values():
        assert curve.joint == ()
        assert curve.significant is curve.median is curve.significant_opposite is None
        for each in curve.specifications:
            assert each.p_value is each.interval is each.standardized is None
            assert not each.significant


def test_three_seeds_are_tested_and_say_how_little_their_signs_can_find():
    design = asking("H1", seeds=3)
    curve = curves(design, with_variants(design, simulate(design, AS_CLAIMED)))["H1"]
    assert curve.median is not None
    assert {test.test: (test.draws, test.smallest_p) for test in curve.joint} == {
        "joint_median": (8, 0.25),
        "joint_significant": (8, 0.125),
    }


def test_one_teacher_leaves_claims_about_pairs_without_a_curve_and_the_ensemble_without_rules():
    design = study(design={"strengths": [0, 0.5, 1], "teachers": 1})
    stored = simulate(design, AS_CLAIMED)
    names = ["attention_iou", "attention_iou_adjusted", "attention_iou_published"]
    empty = [pl.lit(None, dtype=pl.Float64).alias(name) for name in names]
    stored = replace(
        stored,
        students=stored.students.with_columns(empty),
        halves=stored.halves.with_columns(empty),
    )
    found = curves(design, stored)
    assert found["H1"].specifications == ()
    assert found["H1"].claimed is None
    assert found["H1"].caveats == ("No specification has any value.",)
    assert found["H3a"].counted == 6


def test_the_studys_own_threshold_is_among_the_thresholds():
    names = [each.name for each in thresholds_of(Attention(tau=0.35))]
    assert names == ["tau_0.2", "tau_0.3", "tau_0.35", "tau_0.4", "tau_0.5", "tau_0.6",
                     "top_10", "top_20", "top_30"]  # fmt: skip


def test_marked_variants_depart_one_at_a_time_or_all_as_published():
    design = asking("H2b")
    question = next(q for q in questions_of(design) if q.deciding and q.hypothesis.id == "H2b")
    ways = ways_of(*sides_of(question, design, classes=10))
    marked = [way for way in ways if way.standing is not Standing.COUNTED]
    assert len(marked) == 4
    departures = [sum(side.standing is not Standing.COUNTED for side in w.sides) for w in marked]
    assert sorted(departures) == [1, 1, 1, 2]
    assert all(side.declared for w in marked for side in w.sides
               if side.standing is Standing.COUNTED)  # fmt: skip


def test_the_same_study_gives_the_same_curves():
    design = asking("H2b", seeds=13)
    stored = with_variants(design, simulate(design, AS_CLAIMED))
    assert curves(design, stored) == curves(design, stored)
