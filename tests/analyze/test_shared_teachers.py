"""Studies whose seeds share teachers: pools, not seeds, bound what is known of teachers."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from scipy import stats
from simulated import CLAIMS, Truth, simulate, study

from analyze.assemble import assemble
from analyze.contrasts import contrasts_of
from analyze.distillation import distillation_effects
from analyze.inference.crossed import CONDITIONAL
from analyze.inference.estimate import Panel
from analyze.inference.trends import per_seed_slopes
from analyze.power_pilot import pilot_of_study
from analyze.replicates import Stored, select_replicates
from analyze.results import Rank, Verdict
from analyze.shared_teachers import pool_means, shared_slope
from analyze.table_pools import FRESH
from store.errors import AnalysisError
from store.measures import BY_NAME, MEASURES

CHOSEN = {name: CLAIMS[name] for name in ("H1", "H2a", "H2b")}
TRUTH = Truth(slopes={"attention_iou_adjusted": -0.2, "generalization_gap": -0.1})
OF_TEACHERS = [measure.name for measure in MEASURES if measure.of_teachers]


def _study(pools: int | None, seeds: int, **conditions):
    shared = {} if pools is None else {"shared_teachers": {"pools": pools}}
    conditions = {"strengths": [0, 0.5, 1], "teachers": 2, **conditions}
    return study(seeds=seeds, claims=CHOSEN, design=conditions, **shared)


def _shared(stored: Stored, pools: int) -> Stored:
    """Give every block the teachers of its pool's first block."""

    def same(rows: pl.DataFrame) -> pl.DataFrame:
        keys = ["arm", "condition_id", *(name for name in ("half",) if name in rows.columns)]
        names = [name for name in OF_TEACHERS if name in rows.columns]
        first = rows.filter(pl.col("block") < pools).select(
            *keys, *names, pool=pl.col("block").cast(pl.Int64)
        )
        pooled = rows.drop(names).with_columns(pool=pl.col("block").cast(pl.Int64) % pools)
        joined = pooled.join(first, on=[*keys, "pool"], how="left")
        return joined.select(rows.columns)

    return replace(stored, students=same(stored.students), halves=same(stored.halves))


@pytest.fixture(scope="module")
def results():
    design = _study(4, 12)
    return assemble(design, _shared(simulate(design, TRUTH), 4))


def _finding(results, claim: str):
    return next(f for f in results.findings if f.hypothesis == claim and f.deciding)


def test_a_claim_about_teachers_alone_has_a_replicate_per_pool(results):
    first = _study(None, 4)
    few = assemble(first, simulate(first, TRUTH))
    shared, fresh = _finding(results, "H1"), _finding(few, "H1")
    assert shared.n == 4
    # eight seeds that learned from the same pools say nothing new of teachers
    assert shared.outcomes[0].estimate == fresh.outcomes[0].estimate
    assert shared.outcomes[0].p_value == fresh.outcomes[0].p_value
    assert shared.outcomes[0].interval_95 == fresh.outcomes[0].interval_95
    assert "4 teacher pools)" in shared.sentence
    assert "n counts the 4 pools" in shared.caveats[0]


def test_claims_about_students_are_decided_by_the_crossed_models(results):
    tests = {
        claim: [e for e in _finding(results, claim).evidence if e.rank is Rank.PRIMARY]
        for claim in ("H2a", "H2b")
    }
    assert [one.test for one in tests["H2a"]] == ["mixed_model_crossed"]
    assert [one.test for one in tests["H2b"]] == ["crossed_within_kr"]
    for claim in tests:
        beside = [e for e in _finding(results, claim).evidence if e.rank is Rank.BESIDE]
        assert beside
        # the shrunk slopes of a mixed model and other tests that know no pools say so
        assert all(FRESH in one.caveats for one in beside if one.p_value is not None)
        assert _finding(results, claim).outcomes[0].seeds_to_decide is None


def test_the_study_says_what_sharing_costs_and_leaves_out_what_counts_seeds(results):
    assert results.counts.teacher_pools == 4
    (said,) = [text for text in results.caveats if text.startswith("Teachers are shared")]
    assert "12 seeds learned from 4 pools" in said
    assert "4 effective replicates" in said
    assert [curve.hypothesis for curve in results.multiverse] == ["H1"]
    assert all(one.evidence == () and one.caveats for one in results.mediation)


def test_intervals_of_means_are_over_pools(results):
    for series in results.series:
        values = pool_means(np.array(series.values), np.array(series.blocks), 4)
        assert series.mean == pytest.approx(values.mean(), rel=1e-12)
        if series.interval is not None and np.ptp(values) > 0:
            expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
            assert series.interval.low == pytest.approx(expected.low, rel=1e-9)


def test_secondary_measures_of_teachers_count_pools_and_those_of_students_seeds(results):
    counted = {one.outcome: (one.test, one.n) for one in results.secondary}
    assert counted["cka"] == ("per_seed_slope_t", 4)
    assert counted["test_accuracy"] == ("mixed_model_crossed", 12)


def test_balanced_pools_that_differ_are_tested_as_their_mean_slopes():
    # where pools vary, the mixed model of balanced seeds in pools is the t over pools' means
    rng = np.random.default_rng(5)
    doses = np.array([0.0, 0.5, 1.0])
    slopes = rng.normal(0.3, 1.0, size=5)[np.arange(15) % 5] + rng.normal(0, 0.05, size=15)
    values = slopes[:, None] * doses + rng.normal(0, 0.01, size=(15, 3))
    panel = Panel(tuple(range(15)), (0.0, 0.5, 1.0), values)
    means = pool_means(per_seed_slopes(panel), np.arange(15), 5)
    expected = stats.ttest_1samp(means, 0)
    found = shared_slope(panel, 5)
    assert found.estimate == pytest.approx(means.mean(), rel=1e-6)
    assert found.df == pytest.approx(4, rel=1e-3)
    assert found.p_value == pytest.approx(expected.pvalue, rel=1e-3)


def test_fewer_than_three_pools_describe_teachers_and_speak_of_these_alone():
    design = _study(2, 6)
    found = assemble(design, _shared(simulate(design, TRUTH), 2))
    teachers, students = _finding(found, "H1"), _finding(found, "H2a")
    assert (teachers.verdict, teachers.n) == (Verdict.DESCRIPTIVE, 2)
    assert teachers.sentence.endswith("Fewer than 3 teacher pools: described, not tested.")
    assert CONDITIONAL in students.outcomes[0].caveats


def test_pools_that_no_two_seeds_share_change_nothing():
    shared, fresh = _study(6, 6), _study(None, 6)
    stored = simulate(fresh, TRUTH)
    one, other = assemble(shared, stored), assemble(fresh, stored)
    assert (one.findings, one.series, one.caveats) == (other.findings, other.series, other.caveats)


def test_what_distillation_does_is_tested_over_pools():
    design = _study(3, 9, control=True)
    stored = _shared(simulate(design, replace(TRUTH, without_teachers=-0.1)), 3)
    chosen = select_replicates(stored, failed_runs="exclude_block", seeds_declared=9, pools=3)
    alone = replace(chosen, pools=None)
    pooled = distillation_effects(chosen, study_seed=1)
    for found, seeds in zip(pooled, distillation_effects(alone, study_seed=1), strict=True):
        assert found.blocks == (0, 1, 2)
        means = pool_means(np.array(seeds.differences), np.array(seeds.blocks), 3)
        assert found.differences == pytest.approx(means.tolist(), rel=1e-9)
        expected = stats.ttest_1samp(means, 0).pvalue
        assert found.evidence[0].p_value == pytest.approx(expected, rel=1e-9)
        assert "9 seeds in all" in found.caveats[-1]


def test_contrasts_are_tested_over_pools():
    design = study(
        seeds=9,
        claims={"H1": CLAIMS["H1"]},
        design={"kind": "factorial", "teachers": [2]},
        shared_teachers={"pools": 3},
    )
    stored = _shared(simulate(design, TRUTH), 3)
    chosen = select_replicates(stored, failed_runs="exclude_block", seeds_declared=9, pools=3)
    found = contrasts_of(chosen, design)
    per_seed = contrasts_of(replace(chosen, pools=None), design)
    assert len(found) == len(per_seed) > 10
    for pooled, seeds in zip(found, per_seed, strict=True):
        assert (pooled.n, seeds.n) == (3, 9)
        test = pooled.evidence[0]
        assert test.n == 3
        # the mean of pools of equal size is that of the seeds; its error is larger
        assert test.estimate == pytest.approx(seeds.evidence[0].estimate, abs=1e-12)
        teachers = BY_NAME[pooled.outcome].of_teachers
        said = "3 pools of teachers" if teachers else "9 seeds in all"
        assert any(said in caveat for caveat in pooled.caveats)
    means = [
        np.dot(found[0].weights, pool)
        for pool in (
            stored.students.filter(
                (pl.col("block") % 3 == pool) & pl.col("condition_id").is_in(found[0].conditions)
            )
            .group_by("condition_id")
            .agg(pl.col(found[0].outcome).mean())
            .sort("condition_id")[found[0].outcome]
            .to_numpy()
            for pool in range(3)
        )
    ]
    assert found[0].evidence[0].p_value == pytest.approx(stats.ttest_1samp(means, 0).pvalue)


def test_a_study_with_shared_teachers_is_no_pilot_of_fresh_ones():
    design = _study(3, 6)
    with pytest.raises(AnalysisError, match="seeds share teachers"):
        pilot_of_study(design, simulate(design, TRUTH), chosen=(), times_sesoi=None)
