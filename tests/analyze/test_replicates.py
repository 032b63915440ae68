"""What a test is given, and that all it is not given is named."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from simulated import Truth, fail, simulate, study

from analyze.replicates import (
    half_tables_of,
    missing_counts,
    panel_of,
    runs_of,
    select_replicates,
    table_of,
)

GAP, ATTENTION = "generalization_gap", "attention_iou_adjusted"


@pytest.fixture(scope="module")
def stored():
    return simulate(study(), Truth())


def without(rows: pl.DataFrame, measure: str, where: pl.Expr, value=None) -> pl.DataFrame:
    return rows.with_columns(
        pl.when(where)
        .then(pl.lit(value, dtype=pl.Float64))
        .otherwise(pl.col(measure))
        .alias(measure)
    )


def at(block: int, strength: float) -> pl.Expr:
    return (pl.col("block") == block) & (pl.col("teacher_strength") == strength)


def test_a_panel_holds_each_value_at_its_seed_and_strength(stored):
    shuffled = stored.students.sample(fraction=1, shuffle=True, seed=3)
    chosen = panel_of(shuffled, arm="matched", outcome=GAP)
    assert chosen.panel is not None
    assert chosen.panel.blocks == tuple(range(12))
    assert chosen.panel.doses == (0, 0.25, 0.5, 0.75, 1)
    for block, strength in ((0, 0.0), (7, 0.75), (11, 1.0)):
        cell = stored.students.filter(at(block, strength) & (pl.col("arm") == "matched"))
        row, column = chosen.panel.blocks.index(block), chosen.panel.doses.index(strength)
        assert chosen.panel.values[row, column] == cell[GAP].item()
    assert chosen.caveats == ()


@pytest.mark.parametrize("lost", [None, float("nan"), float("inf")])
def test_a_block_without_a_value_leaves_the_panel_and_is_named(stored, lost):
    rows = without(stored.students, GAP, at(4, 0.5), lost)
    chosen = panel_of(rows, arm="fixed", outcome=GAP)
    assert chosen.panel is not None
    assert chosen.panel.blocks == tuple(block for block in range(12) if block != 4)
    assert chosen.caveats == (
        "Seed block 4 left out: no value of generalization gap at every strength.",
    )


def test_a_strength_without_any_value_leaves_the_panel_and_is_named(stored):
    rows = without(stored.students, GAP, pl.col("teacher_strength") == 1)
    chosen = panel_of(rows, arm="fixed", outcome=GAP)
    assert chosen.panel is not None
    assert chosen.panel.doses == (0, 0.25, 0.5, 0.75)
    assert len(chosen.panel.blocks) == 12
    assert "Strength 1 left out" in chosen.caveats[0]


def test_many_lost_blocks_are_counted_where_they_are_not_all_named(stored):
    rows = without(stored.students, GAP, (pl.col("block") < 10) & (pl.col("teacher_strength") == 0))
    chosen = panel_of(rows, arm="fixed", outcome=GAP)
    assert "blocks 0, 1, 2, 3, 4, 5, 6, 7 and 2 more" in chosen.caveats[0]


def test_no_complete_block_is_no_panel(stored):
    holes = pl.col("block") % 5 == (pl.col("teacher_strength") * 4).cast(pl.Int32)
    chosen = panel_of(without(stored.students, GAP, holes), arm="fixed", outcome=GAP)
    assert chosen.panel is None
    assert "No seed block" in chosen.caveats[-1]


def test_opposite_halves_cross_predictor_and_outcome(stored):
    chosen = half_tables_of(stored.halves, arm="fixed", predictor=ATTENTION, outcome=GAP)
    assert chosen.a_on_b is not None
    assert chosen.b_on_a is not None
    fixed = stored.halves.filter(pl.col("arm") == "fixed").sort("block", "teacher_strength")
    half_a, half_b = (fixed.filter(pl.col("half") == half) for half in ("a", "b"))
    np.testing.assert_array_equal(chosen.a_on_b.x, half_a[ATTENTION])
    np.testing.assert_array_equal(chosen.a_on_b.y, half_b[GAP])
    np.testing.assert_array_equal(chosen.b_on_a.x, half_b[ATTENTION])
    np.testing.assert_array_equal(chosen.b_on_a.y, half_a[GAP])


def test_a_student_that_one_half_lacks_is_dropped_from_both(stored):
    halves = without(stored.halves, GAP, at(3, 0.25) & (pl.col("half") == "b"))
    chosen = half_tables_of(halves, arm="fixed", predictor=ATTENTION, outcome=GAP)
    assert chosen.a_on_b is not None
    assert chosen.b_on_a is not None
    assert len(chosen.a_on_b.x) == len(chosen.b_on_a.x) == 59
    assert chosen.caveats[0].startswith("1 of 60 students (seed block 3) left out")


def test_a_table_keeps_incomplete_blocks(stored):
    rows = without(stored.students, GAP, at(3, 0.25))
    chosen = table_of(rows, arm="fixed", predictor=ATTENTION, outcome=GAP)
    assert chosen.table is not None
    assert len(chosen.table.x) == 59
    assert 3 in chosen.table.block


def test_single_runs_have_every_measure_asked_for(stored):
    rows = without(stored.students, GAP, at(3, 0.25))
    runs = runs_of(rows, arm="fixed", measures=[ATTENTION, GAP])
    assert runs.doses == (0, 0.25, 0.5, 0.75, 1)
    for measure in runs.values:
        assert [len(values) for values in measure] == [12, 11, 12, 12, 12]


def test_missing_values_are_counted_by_reason(stored):
    design = study()
    lost = fail(stored, 2000 + design.plan().students[0].ordinal)
    hole = int(stored.students.filter(at(5, 0.5))["student_id"][0])
    names = pl.col("student_id") == hole
    estimates = lost.estimates.with_columns(
        reason=pl.when(names & (pl.col("measure") == ATTENTION))
        .then(pl.lit("no image with a mask"))
        .otherwise(pl.col("reason"))
    )
    changed = replace(lost, estimates=estimates, students=without(lost.students, ATTENTION, names))
    found = {(each.reason, each.rows) for each in missing_counts(changed, [ATTENTION])}
    assert found == {("a model failed", 1), ("no image with a mask", 1)}


def test_an_unknown_rule_for_failed_runs_is_refused(stored):
    with pytest.raises(ValueError, match="unknown"):
        select_replicates(stored, failed_runs="ignore", seeds_declared=12)
