"""Secondary measures: which move with strength, their p adjusted together."""

import numpy as np
import pytest
from simulated import Truth, fail, simulate, study
from statsmodels.stats.multitest import multipletests

from analyze.assemble import assemble
from analyze.inference.trends import slope_t
from analyze.replicates import panel_of
from analyze.secondary import adjusted_for_false_discoveries
from store.measures import MEASURES

PUBLISHED = {measure.published for measure in MEASURES} - {None}


@pytest.fixture(scope="module")
def found():
    design = study()
    stored = simulate(design, Truth(slopes={"cka": -0.2, "generalization_gap": -0.1}))
    return assemble(design, stored).secondary, stored


def test_every_measure_is_secondary_or_the_outcome_of_a_primary_trend(found):
    secondary, _ = found
    names = [one.outcome for one in secondary]
    primary = {
        "attention_iou_adjusted",
        "generalization_gap",
        "agreement",
        "conditional_mutual_information_bits",
    }
    assert len(names) == len(set(names))
    assert set(names) | primary | PUBLISHED == {measure.name for measure in MEASURES}
    assert not set(names) & (primary | PUBLISHED)


def test_each_is_the_slope_test_of_its_measure_in_the_arm_that_decides(found):
    secondary, stored = found
    cka = next(one for one in secondary if one.outcome == "cka")
    panel = panel_of(stored.students, arm="fixed", outcome="cka").panel
    expected = slope_t(panel)
    assert (cka.estimate, cka.p_value, cka.interval) == (
        expected.estimate,
        expected.p_value,
        expected.interval,
    )
    assert cka.arm == "fixed"


def test_the_one_planted_measure_has_the_least_q(found):
    secondary, _ = found
    assert min(secondary, key=lambda one: one.q_value).outcome == "cka"
    assert next(one for one in secondary if one.outcome == "cka").q_value < 1e-3


def test_q_is_statsmodels_benjamini_hochberg(found):
    secondary, _ = found
    expected = multipletests([one.p_value for one in secondary], method="fdr_bh")[1]
    assert [one.q_value for one in secondary] == pytest.approx(list(expected), rel=1e-12)


def test_no_p_no_q():
    assert adjusted_for_false_discoveries([]) == ()


def test_with_nothing_there_few_families_call_anything():
    # 300 families of 30 independent true nulls: q < .05 anywhere in at most .05 of them; the
    # standard error is .0126, three of them above
    rng = np.random.default_rng(11)
    called = [min(adjusted_for_false_discoveries(list(p))) < 0.05 for p in rng.random((300, 30))]
    assert np.mean(called) < 0.05 + 3 * 0.0126


def test_two_seeds_are_described_without_p_or_q():
    design = study(seeds=2)
    secondary = assemble(design, simulate(design, Truth())).secondary
    assert all(one.p_value is None and one.q_value is None for one in secondary)
    assert all(one.estimate is not None for one in secondary)


def test_a_measure_that_no_student_has_gives_its_reason_and_no_q():
    design = study(seeds=4)
    stored = simulate(design, Truth())
    for block in range(4):
        stored = fail(stored, 1000 * block)
    secondary = assemble(design, stored).secondary
    assert all(one.estimate is None and one.q_value is None for one in secondary)
    assert all(one.caveats for one in secondary)
