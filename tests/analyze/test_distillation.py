"""Distilled students against those without teachers: paired by seed, read beside the claims."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from scipy import stats
from simulated import CLAIMS, Truth, fail, simulate, study
from statsmodels.stats.multitest import multipletests

from analyze.assemble import assemble
from analyze.distillation import OUTCOMES, distillation_effects, p_values
from analyze.records import evidence_frame
from analyze.replicates import select_replicates
from analyze.serialize import results_from_json, results_to_json

DESIGN = {"strengths": [0, 0.5, 1], "teachers": 2, "control": True}
TRUTH = Truth(without_teachers=-0.05, slopes={"generalization_gap": -0.1})


@pytest.fixture(scope="module")
def controlled():
    design = study(seeds=6, design=DESIGN, claims={"H2a": CLAIMS["H2a"]})
    stored = simulate(design, TRUTH)
    return assemble(design, stored), stored


def _effects(stored, seeds: int = 6):
    chosen = select_replicates(stored, failed_runs="exclude_block", seeds_declared=seeds)
    return chosen, distillation_effects(chosen, study_seed=1)


def _effect(effects, outcome: str, arm: str, strength: float | None = None):
    (found,) = [
        each
        for each in effects
        if (each.outcome, each.arm, each.teacher_strength) == (outcome, arm, strength)
    ]
    return found


def _differences(stored, outcome: str, arm: str, strengths) -> np.ndarray:
    """Seed by seed in plain Python."""
    rows = stored.students.to_dicts()
    found = []
    for block in range(6):
        own = []
        for row in rows:
            if (row["block"], row["arm"]) == (block, arm) and row["teacher_strength"] in strengths:
                (control,) = [
                    other
                    for other in rows
                    if other["block"] == block
                    and other["arm"] == "control"
                    and other["student_strength"] == row["student_strength"]
                ]
                own.append(row[outcome] - control[outcome])
        found.append(sum(own) / len(own))
    return np.array(found)


def test_a_block_has_one_control_for_every_strength_that_a_student_has(controlled):
    _, stored = controlled
    controls = stored.models.filter(pl.col("arm") == "control", pl.col("block") == 0)
    assert controls["strength"].to_list() == [0, 0.5, 1]
    assert controls["teacher_ids"].to_list() == [[], [], []]


@pytest.mark.parametrize("outcome", OUTCOMES)
@pytest.mark.parametrize("arm", ["fixed", "matched"])
def test_the_effect_is_the_one_sample_t_of_the_seeds_differences(controlled, outcome, arm):
    results, stored = controlled
    for strength, strengths in ((None, (0, 0.5, 1)), (0.5, (0.5,))):
        found = _effect(results.distillation, outcome, arm, strength)
        expected = _differences(stored, outcome, arm, strengths)
        assert found.differences == pytest.approx(expected.tolist(), abs=1e-12)
        test, flips = found.evidence
        known = stats.ttest_1samp(expected, 0)
        assert test.estimate == pytest.approx(expected.mean(), rel=1e-10)
        assert test.p_value == pytest.approx(known.pvalue, rel=1e-10)
        interval = known.confidence_interval(0.95)
        assert test.interval is not None
        assert (test.interval.low, test.interval.high) == pytest.approx(tuple(interval), rel=1e-10)
        assert (test.n, test.rows, flips.n) == (6, 6 * len(strengths), 6)
        assert found.d_z == pytest.approx(expected.mean() / expected.std(ddof=1), rel=1e-10)
        assert found.distilled - found.control == pytest.approx(expected.mean(), rel=1e-10)
        signs = np.array(np.meshgrid(*[[1, -1]] * 6)).reshape(6, -1)
        means = np.abs((signs.T * expected).mean(axis=1))
        assert flips.p_value == pytest.approx((means >= abs(expected.mean()) - 1e-12).mean())


def test_secondary_trends_and_effects_of_distillation_are_one_family(controlled):
    results, _ = controlled
    p = [one.p_value for one in results.secondary] + list(p_values(results.distillation))
    q = [one.q_value for one in results.secondary]
    q += [each.evidence[0].q_value for each in results.distillation]
    tested = [(a, b) for a, b in zip(p, q, strict=True) if a is not None]
    expected = multipletests([a for a, _ in tested], method="fdr_bh")[1]
    assert [b for _, b in tested] == pytest.approx(list(expected), rel=1e-12)
    assert all(each.evidence[1].q_value is None for each in results.distillation)


def test_controls_change_no_claim_series_or_count_of_missing_values(controlled):
    results, stored = controlled
    taught = pl.col("arm") != "control"
    design = study(seeds=6, design={**DESIGN, "control": False}, claims={"H2a": CLAIMS["H2a"]})
    without = assemble(
        design,
        replace(
            stored,
            students=stored.students.filter(taught),
            halves=stored.halves.filter(taught),
            models=stored.models.filter(pl.col("arm").ne_missing("control")),
        ),
    )
    for name in ("findings", "series", "fits", "mediation", "multiverse", "missing", "caveats"):
        assert getattr(results, name) == getattr(without, name)
    assert without.distillation == ()


def test_an_effect_goes_into_the_store_and_through_json(controlled):
    results, _ = controlled
    assert results_from_json(results_to_json(results), source="here") == results
    rows = evidence_frame(results).filter(pl.col("hypothesis") == "distillation")
    assert rows.height == 2 * len(results.distillation)
    assert set(rows["predictor"]) == {"control"}


def test_a_failed_control_leaves_its_seed_to_the_claims_and_out_of_the_comparison(controlled):
    _, stored = controlled
    first = stored.models.filter(pl.col("arm") == "control")["model_id"][0]
    chosen, failed = _effects(fail(stored, first))
    assert chosen.students["block"].n_unique() == 6
    assert chosen.counts.models_failed == 1
    assert chosen.counts.excluded == ()
    # the first control has strength 0, which in the fixed arm no student has
    assert _effect(failed, "ece", "fixed").blocks == (0, 1, 2, 3, 4, 5)
    matched = _effect(failed, "ece", "matched")
    assert matched.blocks == (1, 2, 3, 4, 5)
    assert matched.caveats == (
        "Seed block 0 left out: a distilled or a control student has no value.",
    )
    assert _effect(failed, "ece", "matched", 0.5).blocks == (0, 1, 2, 3, 4, 5)


def test_a_strength_without_any_value_is_left_out_and_named(controlled):
    _, stored = controlled
    gone = (pl.col("arm") == "control") & (pl.col("student_strength") == 1)
    students = stored.students.with_columns(ece=pl.when(~gone).then(pl.col("ece")))
    _, effects = _effects(replace(stored, students=students))
    averaged = _effect(effects, "ece", "matched")
    assert averaged.blocks == (0, 1, 2, 3, 4, 5)
    assert averaged.caveats == ("Teachers at strength 1 left out: no seed has both values there.",)
    nothing = _effect(effects, "ece", "matched", 1)
    assert (nothing.evidence, nothing.differences, nothing.d_z) == ((), (), None)
    assert nothing.caveats == ("No seed has both values.",)


def test_two_seeds_are_described_and_not_tested():
    _, effects = _effects(simulate(study(seeds=2, design=DESIGN), TRUTH), seeds=2)
    assert effects
    for each in effects:
        assert each.evidence[0].estimate is not None
        assert all(one.p_value is None and one.q_value is None for one in each.evidence)
        assert each.d_z is None
