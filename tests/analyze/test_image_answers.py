"""What stands beside deciding findings of a real store when test images are drawn again."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from synthetic import make_study
from test_job import run

from analyze.assemble import assemble
from analyze.inference.seed_image import NOT_DRAWN
from analyze.job import stored_of
from analyze.metrics.image_draws import DRAWN_MEASURES, draw_images, draws_affordable
from analyze.results import Rank
from analyze.serialize import load_results
from store.database import open_reader
from store.vocabulary import Half

TEST = "seed_image_bootstrap"
NOT_FINITE, FAILED = (1, 6), (2, 7)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Five blocks, of which one has a failed model and one a student without finite logits."""
    folder = tmp_path_factory.mktemp("drawn")
    made = make_study(folder, seeds=5, not_finite=[NOT_FINITE], failed=[FAILED])
    assert run(made) == 0
    return made


@pytest.fixture(scope="module")
def results(study):
    return load_results(study.results / "results.json")


@pytest.fixture(scope="module")
def stored(study):
    """What the analysis reads of the store."""
    with open_reader(study.store) as reader:
        return stored_of(reader, study.design, classes=10)


def beside(results):
    """The bootstrap's rows, with the primary test of the same outcome."""
    return [
        (finding, item, primary)
        for finding in results.findings
        for item in finding.evidence
        if item.test == TEST
        for primary in finding.evidence
        if primary.rank is Rank.PRIMARY and primary.outcome == item.outcome
    ]


def test_every_outcome_of_a_deciding_finding_has_one_row_and_no_other_finding_has(results):
    rows = beside(results)
    assert [(finding.hypothesis, item.outcome) for finding, item, _ in rows] == [
        (finding.hypothesis, outcome.outcome)
        for finding in results.findings
        if finding.deciding
        for outcome in finding.outcomes
    ]
    for _, item, primary in rows:
        assert item.rank is Rank.BESIDE
        assert item.estimate == primary.estimate
        assert (item.n, item.rows, item.unit) == (primary.n, primary.rows, primary.unit)
        assert item.standard_error >= primary.standard_error
        assert item.interval.low <= primary.interval.low
        assert item.interval.high >= primary.interval.high
        assert (item.interval.level, item.p_value) == (0.95, None)
        assert "new test images of the same kind" in item.caveats[0]
    assert any(item.standard_error > primary.standard_error for _, item, primary in rows)


def test_students_and_blocks_without_a_value_are_left_out_as_the_primary_test_does(results):
    rows = {(f.hypothesis, i.outcome): i for f, i, _ in beside(results)}
    # the failed model takes its block; the student without finite logits its own measures
    assert rows["H1", "attention_iou_adjusted"].n == 4
    assert rows["H2a", "generalization_gap"].n == 3
    assert rows["H2b", "generalization_gap"].rows < 2 * 4 * 3
    assert all(item.standard_error is not None for item in rows.values())


def test_with_every_image_once_each_measure_is_the_stored_one(study, stored):
    """On all test images and on each half, of every student of the deciding arm."""
    with open_reader(study.store) as reader:
        measured = reader.frame("SELECT * FROM measures_by_half WHERE arm = 'fixed' ORDER BY ALL")
    assert 0 < measured["agreement"].null_count() < measured.height / 3
    for half in Half:
        for measure in DRAWN_MEASURES:
            rows = measured.filter((pl.col("half") == half) & pl.col(measure).is_not_null())
            cells = stored.image_draws.cells(
                arm="fixed",
                half=half,
                measure=measure,
                blocks=rows["block"].to_list(),
                strengths=rows["teacher_strength"].to_list(),
            )
            assert cells.value == pytest.approx(rows[measure].to_numpy(), abs=1e-9)
            assert np.abs(cells.moved).max() > 0
            assert np.abs(cells.moved.mean(axis=1)).max() < 5 * cells.moved.std() / 30


def test_the_draws_follow_from_the_study_seed_alone(study, stored):
    with open_reader(study.store) as reader:
        again = stored_of(reader, study.design, classes=10).image_draws
        other = study.design.model_copy(update={"study_seed": 8})
        changed = stored_of(reader, other, classes=10).image_draws
    assert stored.image_draws.rows.equals(again.rows)
    assert changed.rows["value"].equals(again.rows["value"])
    assert not changed.rows["moved"].equals(again.rows["moved"])


def test_a_measure_that_does_not_agree_with_the_stored_one_is_not_printed(study, stored):
    shifted = stored.image_draws.rows.with_columns(
        value=pl.col("value") + 1e-6 * (pl.col("measure") == "generalization_gap")
    )
    draws = replace(stored.image_draws, rows=shifted)
    changed = assemble(study.design, replace(stored, image_draws=draws))
    rows = {finding.hypothesis: item for finding, item, _ in beside(changed)}
    for claim in ("H2a", "H2b", "H3b"):
        assert (rows[claim].standard_error, rows[claim].caveats) == (None, (NOT_DRAWN,))
    assert rows["H1"].standard_error is not None


def test_the_rows_reach_the_store(study):
    with open_reader(study.store) as reader:
        evidence = reader.frame("SELECT * FROM evidence WHERE test = ?", [TEST])
    assert evidence.height == 7
    assert evidence["standard_error"].null_count() == 0


def test_one_teacher_and_one_arm_leave_the_other_claims_theirs(synthetic_study):
    study = synthetic_study(seeds=3, teachers=1, arms=["matched"])
    assert run(study) == 0
    rows = beside(load_results(study.results / "results.json"))
    assert {finding.arm for finding, _, _ in rows} == {"matched"}
    assert {finding.hypothesis for finding, _, _ in rows} == {"H2a", "H3a", "H3b"}
    assert all(item.standard_error is not None for _, item, _ in rows)


def test_below_three_seeds_images_are_not_drawn(synthetic_study):
    study = synthetic_study(seeds=2)
    with open_reader(study.store) as reader:
        assert stored_of(reader, study.design, classes=10).image_draws is None


def test_each_half_is_drawn_from_by_itself():
    images = pl.DataFrame({"image_id": range(10), "half": ["a"] * 4 + ["b"] * 6, "label": [0] * 10})
    excess = draw_images(images, draws=50, rng=np.random.default_rng(1)).excess
    assert excess[:, :4].sum(axis=1) == pytest.approx(np.zeros(50), abs=1e-12)
    assert excess[:, 4:].sum(axis=1) == pytest.approx(np.zeros(50), abs=1e-12)
    assert excess.min() == pytest.approx(-np.sqrt(4 / 3))


def test_large_studies_are_drawn_less_often_but_never_too_few_times():
    assert draws_affordable(images=897, rows=720) == 1000
    assert draws_affordable(images=50_000, rows=720) == 400
    assert draws_affordable(images=897, rows=10**6) == 200
    # one seed more seldom changes how many there are, so what is remembered stays of use
    assert {draws_affordable(images=897, rows=rows) for rows in range(20_001, 40_001, 9)} == {500}
