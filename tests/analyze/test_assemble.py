"""Whole analyses of simulated studies whose truth is planted."""

import math
from dataclasses import asdict, replace

import numpy as np
import polars as pl
import pytest
from scipy import stats
from simulated import AS_CLAIMED, CLAIMS, COMMON_CAUSE, Truth, fail, find, simulate, study

from analyze.assemble import assemble
from analyze.results import Rank, Results, Verdict
from store.errors import StudyError
from store.vocabulary import Arm, Form

NOTHING = Truth(spread=0.002, half_noise=0.0005)


@pytest.fixture(scope="module")
def claimed() -> Results:
    design = study()
    return assemble(design, simulate(design, AS_CLAIMED))


def test_what_was_planted_is_supported_with_its_sign(claimed):
    for claim in ("H1", "H2a", "H2b", "H3a", "H4"):
        assert find(claimed, claim).verdict is Verdict.SUPPORTED, claim
    gap = find(claimed, "H2a").outcomes[0]
    assert gap.estimate == pytest.approx(-0.1, abs=0.03)
    assert gap.interval_95.low < -0.1 < gap.interval_95.high
    assert find(claimed, "H2b").outcomes[0].estimate == pytest.approx(1.5, abs=0.4)
    assert "falls with the strength" in find(claimed, "H2a").sentence
    assert "as claimed" in find(claimed, "H2a").sentence


def test_the_opposite_of_a_claim_is_contradicted():
    design = study()
    rising = Truth(slopes={"attention_iou_adjusted": 0.2, "generalization_gap": 0.2})
    results = assemble(design, simulate(design, rising))
    assert find(results, "H1").verdict is Verdict.CONTRADICTED
    assert "against the claim" in find(results, "H1").sentence
    assert find(results, "H2a").outcomes[0].p_value < 1e-4


def test_a_null_with_tiny_noise_is_negligible():
    design = study()
    results = assemble(design, simulate(design, NOTHING))
    for claim in ("H1", "H2a", "H3a"):
        finding = find(results, claim)
        assert finding.verdict is Verdict.NEGLIGIBLE
        assert "smallest effect of interest" in finding.sentence
        for outcome in finding.outcomes:
            assert abs(outcome.equivalence_interval.high) < outcome.sesoi


def test_a_common_cause_does_not_make_an_association():
    design = study()
    results = assemble(design, simulate(design, COMMON_CAUSE))
    finding = find(results, "H2b")
    assert finding.verdict is not Verdict.SUPPORTED
    pooled = next(each for each in finding.evidence if each.test == "correlation_pooled")
    assert pooled.estimate > 0.8
    assert finding.single_seed.claimed > 0.95


def test_the_primary_p_of_a_trend_is_the_t_over_seeds_of_scipy(claimed):
    design = study()
    rows = simulate(design, AS_CLAIMED).students.filter(pl.col("arm") == "fixed")
    slopes = [
        stats.linregress(block["teacher_strength"], block["generalization_gap"]).slope
        for block in rows.partition_by("block")
    ]
    outcome = find(claimed, "H2a").outcomes[0]
    assert outcome.p_value == pytest.approx(stats.ttest_1samp(slopes, 0).pvalue, rel=1e-9)
    assert outcome.estimate == pytest.approx(np.mean(slopes), rel=1e-12)


def test_levels_are_holms_and_shared_by_every_arm_and_form(claimed):
    for claim in CLAIMS:
        assert len({each.alpha for each in claimed.findings if each.hypothesis == claim}) == 1
    family = sorted(find(claimed, claim).alpha for claim in CLAIMS if claim != "H4")
    assert family[0] == pytest.approx(0.01)
    assert find(claimed, "H4").alpha == 0.05
    for each in claimed.findings:
        assert each.deciding == (each.p_holm is not None)
        for outcome in each.outcomes:
            assert outcome.verdict_interval.level == pytest.approx(1 - each.alpha)
            assert outcome.equivalence_interval.level == pytest.approx(1 - 2 * each.alpha)


def test_one_finding_per_claim_decides_and_teachers_alone_have_one_arm(claimed):
    deciding = [each for each in claimed.findings if each.deciding]
    assert [each.hypothesis for each in deciding] == list(CLAIMS)
    assert {each.form for each in deciding} == {Form.PLAIN}
    assert {each.arm for each in deciding} == {Arm.FIXED}
    arms = {each.hypothesis: set() for each in deciding}
    for each in claimed.findings:
        if each.form == Form.PLAIN:
            arms[each.hypothesis].add(each.arm)
    assert arms.pop("H1") == {Arm.FIXED}
    assert all(found == {Arm.FIXED, Arm.MATCHED} for found in arms.values())


def test_coupled_measures_stand_beside_h3b_without_a_verdict(claimed):
    finding = find(claimed, "H3b")
    coupled = {each.predictor for each in finding.evidence if each.rank is Rank.COUPLED}
    assert coupled == {"agreement", "mutual_information_bits"}
    assert {outcome.predictor for outcome in finding.outcomes} == {
        "conditional_mutual_information_bits"
    }
    published = find(claimed, "H3b", form="published")
    assert any("by construction" in text for text in published.outcomes[0].caveats)


def test_associations_use_opposite_halves_where_there_are_some(claimed):
    def primary(form: str) -> str:
        evidence = find(claimed, "H2b", form=form).evidence
        return next(each.test for each in evidence if each.rank is Rank.PRIMARY)

    assert primary("plain") == "split_half_within_cr2"
    assert primary("published") == "two_way_within_cr2"
    caveats = find(claimed, "H2b", form="published").outcomes[0].caveats
    assert any("no halves" in text for text in caveats)


def test_everything_that_the_plan_prints_beside_a_trend_is_there(claimed):
    tests = {each.test for each in find(claimed, "H2a").evidence}
    assert {
        "per_seed_slope_t",
        "page_trend",
        "sign_flip",
        "wilcoxon_hodges_lehmann",
        "polynomial_quadratic",
        "mixed_model_slope",
        "jzs_bayes_factor_r0.707",
        "jzs_bayes_factor_r1.41",
        "paired_t_1_against_0",
        "tost_1_against_0",
        "hedges_g_av_0.25_against_0",
        "d_z_1_against_0",
        "diagnostic_leave_one_seed_out",
        "diagnostic_sphericity",
    } <= tests


def test_everything_that_the_plan_prints_beside_an_association_is_there(claimed):
    tests = {each.test for each in find(claimed, "H2b").evidence}
    assert {
        "two_way_within_ols",
        "wild_cluster_bootstrap",
        "correlation_pooled",
        "correlation_between_condition",
        "correlation_between_seed",
        "correlation_within_seed",
        "correlation_two_way_within",
        "mundlak_within",
        "mundlak_between_seed",
    } <= tests


def test_no_two_pieces_of_evidence_have_one_key(claimed):
    keys = [
        (each.hypothesis, each.arm, each.form, each.outcome, each.predictor, each.test)
        for finding in claimed.findings
        for each in finding.evidence
    ]
    assert len(keys) == len(set(keys))


@pytest.mark.parametrize("seeds", [1, 2])
def test_below_three_seeds_there_is_no_p_value_anywhere(seeds):
    design = study(seeds=seeds)
    results = assemble(design, simulate(design, AS_CLAIMED))
    assert results.kind == "descriptive"
    assert {each.verdict for each in results.findings} == {Verdict.DESCRIPTIVE}

    def tested(value: object, key: str = "") -> list[str]:
        if isinstance(value, dict):
            return [text for name, item in value.items() for text in tested(item, name)]
        if isinstance(value, (list, tuple)):
            return [text for item in value for text in tested(item, key)]
        forbidden = ("p_value", "p_holm", "smallest_p", "interval", "interval_95", "low", "high")
        return [key] if key in forbidden and value is not None else []

    assert tested(asdict(results)) == []
    assert find(results, "H2a").outcomes[0].estimate is not None
    assert any("does not test" in text for text in results.caveats)


def test_a_failed_model_takes_its_block_or_its_student_by_the_rule_of_the_study():
    by_block = study(failed_runs="exclude_block")
    ordinal = by_block.plan().students[2].ordinal
    stored = fail(simulate(by_block, AS_CLAIMED), 3000 + ordinal)
    blocks = assemble(by_block, stored)
    assert blocks.counts.models_failed == 1
    assert blocks.counts.seeds_analyzed == 11
    assert find(blocks, "H2a", "matched").n == 11
    assert "seed block 3" in blocks.counts.excluded[0]
    assert "loss is not finite" in blocks.counts.failures[0]
    students = assemble(study(failed_runs="exclude_student"), stored)
    assert students.counts.seeds_analyzed == 12
    assert find(students, "H2a", "fixed").n == 11
    assert find(students, "H2a", "matched").n == 12
    assert any("block 3" in text for text in find(students, "H2a").outcomes[0].caveats)
    rows = {each.test: each.rows for each in find(students, "H2b").evidence}
    assert rows["two_way_within_cr2"] == 59
    gap = [each for each in students.missing if each.measure == "generalization_gap"]
    assert [(each.reason, each.rows) for each in gap] == [("a model failed", 1)]


def test_a_failed_teacher_takes_all_of_its_students():
    design = study(failed_runs="exclude_student")
    results = assemble(design, fail(simulate(design, AS_CLAIMED), 5000))
    assert len(results.counts.excluded) == 2
    assert all("a teacher of it failed" in text for text in results.counts.excluded)
    assert find(results, "H2a", "matched").n == 11


@pytest.mark.parametrize(
    ("policy", "why"),
    [
        ("published", "weak rotates and strong does not"),
        ("published_imagenet", "then operations of other kinds, not more of the same"),
    ],
)
def test_strengths_that_are_names_are_said_to_be_no_dose(policy: str, why: str):
    words = "have an order and are no dose, since "
    three = {"strengths": [0, 0.5, 1], "teachers": 2}
    named = study(augmentation={"policy": policy}, design=three)
    graded = study(design=three)
    stored = simulate(graded, NOTHING)
    said = [text for text in assemble(named, stored).caveats if words in text]
    assert len(said) == 1
    assert f"{why}. Read" in said[0]
    assert not any(words in text for text in assemble(graded, stored).caveats)


def test_one_strength_has_no_trend_and_says_so():
    design = study(design={"strengths": [0.5], "teachers": 2})
    results = assemble(design, simulate(design, AS_CLAIMED))
    assert {each.verdict for each in results.findings} == {Verdict.NO_DATA}
    assert "two strengths" in find(results, "H2a").sentence
    assert "one strength" in find(results, "H2b").sentence
    assert results.mediation[0].holds is None


def test_two_strengths_are_enough():
    design = study(design={"strengths": [0, 1], "teachers": 2})
    results = assemble(design, simulate(design, AS_CLAIMED))
    assert find(results, "H2a").verdict is Verdict.SUPPORTED
    assert find(results, "H2b").outcomes[0].p_value is not None


def test_a_claim_without_data_has_no_verdict_but_stays_in_the_family():
    design = study()
    stored = simulate(design, AS_CLAIMED)
    names = ["attention_iou_adjusted", "attention_iou_published"]
    empty = [pl.lit(None, dtype=pl.Float64).alias(name) for name in names]
    results = assemble(
        design,
        replace(
            stored,
            students=stored.students.with_columns(empty),
            halves=stored.halves.with_columns(empty),
        ),
    )
    for claim in ("H1", "H2b", "H4"):
        finding = find(results, claim)
        assert finding.verdict is Verdict.NO_DATA
        assert "one teacher only" in finding.sentence
        assert finding.p_holm is None
        assert finding.single_seed is None
    assert min(find(results, claim).alpha for claim in CLAIMS) == pytest.approx(0.01)
    missing = {each.measure: each.rows for each in results.missing}
    assert missing["attention_iou_adjusted"] == 120


def test_an_undecided_claim_says_how_many_seeds_would_decide_it():
    design = study(seeds=6)
    truth = Truth(slopes={"generalization_gap": -0.03}, spread=0.06)
    outcome = find(assemble(design, simulate(design, truth, seed=3)), "H2a").outcomes[0]
    assert outcome.verdict is Verdict.UNDECIDED
    assert outcome.seeds_to_decide is None or outcome.seeds_to_decide > 6
    if outcome.seeds_to_decide is None:
        assert any("Not even" in text for text in outcome.caveats)


def test_disagreement_of_arms_and_forms_is_said_with_its_reason():
    design = study()
    stored = simulate(design, Truth(spread=0.002))
    moved = pl.col("generalization_gap") - 0.3 * pl.col("teacher_strength")
    matched = pl.col("arm") == "matched"
    students = stored.students.with_columns(
        pl.when(matched)
        .then(moved)
        .otherwise(pl.col("generalization_gap"))
        .alias("generalization_gap"),
        (pl.col("generalization_gap_published") - 0.3 * pl.col("teacher_strength")).alias(
            "generalization_gap_published"
        ),
    )
    results = assemble(design, replace(stored, students=students))
    finding = find(results, "H2a")
    assert finding.verdict is Verdict.NEGLIGIBLE
    assert any("student's own augmentation" in text for text in finding.caveats)
    assert any("mechanically" in text for text in finding.caveats)
    assert any("student's own augmentation" in text for text in results.caveats)


def test_series_fits_and_information_hold_what_figures_draw(claimed):
    cell = next(
        each
        for each in claimed.series
        if (each.measure, each.arm, each.strength) == ("generalization_gap", "fixed", 0.25)
    )
    expected = stats.ttest_1samp(cell.values, 0).confidence_interval(0.95)
    assert len(cell.values) == 12
    assert cell.mean == pytest.approx(np.mean(cell.values))
    assert (cell.interval.low, cell.interval.high) == pytest.approx((expected.low, expected.high))
    fit = next(
        each
        for each in claimed.fits
        if (each.hypothesis, each.arm, each.form) == ("H2a", "fixed", "plain")
    )
    assert len(fit.x) == len(fit.y) == len(fit.low) == len(fit.high)
    assert len(fit.points) == 60
    slope = (fit.y[-1] - fit.y[0]) / (fit.x[-1] - fit.x[0])
    assert slope == pytest.approx(find(claimed, "H2a").outcomes[0].estimate)
    information = claimed.mutual_information[0]
    assert information.ceiling == pytest.approx(math.log2(10))
    assert (information.estimator, information.images) == ("jackknife", 897)
    assert information.bias == pytest.approx(0.01)
    # uniform over 4 and 2 classes: 2 and 1 bit, less than 0.01 off at 800 images
    assert information.teacher_entropy == pytest.approx(2, abs=0.01)
    assert information.student_entropy == pytest.approx(1, abs=0.01)


def test_the_same_study_gives_the_same_results():
    design = study(seeds=4)
    stored = simulate(design, Truth())
    assert assemble(design, stored) == assemble(design, stored)


def test_the_order_of_stored_rows_changes_nothing():
    design = study(seeds=4)
    stored = simulate(design, Truth())
    shuffled = replace(
        stored,
        students=stored.students.sample(fraction=1, shuffle=True, seed=1),
        halves=stored.halves.sample(fraction=1, shuffle=True, seed=2),
        models=stored.models.sample(fraction=1, shuffle=True, seed=3),
        estimates=stored.estimates.sample(fraction=1, shuffle=True, seed=4),
    )
    assert assemble(design, stored) == assemble(design, shuffled)


def test_a_sesoi_that_does_not_name_the_claims_outcomes_is_refused():
    design = study(claims={"H3a": {"sesoi": {"agreement": 0.02}}})
    with pytest.raises(StudyError, match=r"claims\.H3a\.sesoi.*conditional_mutual"):
        assemble(design, simulate(design, Truth()))


def test_a_study_with_the_matched_arm_alone_says_what_it_cannot_tell():
    design = study(design={"strengths": [0, 0.5, 1], "arms": ["matched"]})
    results = assemble(design, simulate(design, AS_CLAIMED))
    assert find(results, "H2a", "matched").deciding
    assert any("no fixed arm" in text for text in results.caveats)


def test_the_mixed_model_of_complete_blocks_gives_the_t_over_slopes(claimed):
    tests = {each.test: each for each in find(claimed, "H1").evidence}
    mixed, slopes = tests["mixed_model_slope"], tests["per_seed_slope_t"]
    assert mixed.estimate == pytest.approx(slopes.estimate, rel=1e-6)


def test_a_cells_equivalence_is_tested_against_the_effect_over_its_distance(claimed):
    tests = {each.test: each for each in find(claimed, "H2a").evidence}
    assert "0.005" in tests["tost_0.25_against_0"].method
    assert "0.02" in tests["tost_1_against_0"].method
    rows = simulate(study(), AS_CLAIMED).students.filter(pl.col("arm") == "fixed")
    cells = {
        dose: rows.filter(pl.col("teacher_strength") == dose).sort("block")["generalization_gap"]
        for dose in (0.0, 0.25)
    }
    paired = stats.ttest_rel(cells[0.25], cells[0.0])
    assert tests["paired_t_0.25_against_0"].p_value == pytest.approx(paired.pvalue, rel=1e-9)
    shifted = (cells[0.25] - cells[0.0]).to_numpy()
    one_sided = max(
        stats.ttest_1samp(shifted, -0.005, alternative="greater").pvalue,
        stats.ttest_1samp(shifted, 0.005, alternative="less").pvalue,
    )
    assert tests["tost_0.25_against_0"].p_value == pytest.approx(one_sided, rel=1e-9)


def test_a_flagged_diagnostic_is_said_and_changes_no_test():
    design = study()
    stored = simulate(design, Truth(spread=0.01))
    wild = (pl.col("block") == 4) & (pl.col("arm") == "fixed")
    bent = pl.col("generalization_gap") + pl.when(wild).then(
        pl.lit(2.0) * pl.col("teacher_strength")
    ).otherwise(0.0)
    results = assemble(
        design, replace(stored, students=stored.students.with_columns(generalization_gap=bent))
    )
    finding = find(results, "H2a")
    assert any(text.startswith("Diagnostic: ") for text in finding.outcomes[0].caveats)
    primary = [each.test for each in finding.evidence if each.rank is Rank.PRIMARY]
    assert primary == ["per_seed_slope_t"]
