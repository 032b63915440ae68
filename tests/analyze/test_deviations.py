"""Every departure from what was declared is named, and only those."""

from dataclasses import replace

import polars as pl
import pytest
from pydantic import ValidationError
from simulated import CLAIMS, Truth, fail, simulate, study

from analyze.assemble import assemble
from analyze.deviations import deviations_of
from analyze.records import finding_frame
from analyze.replicates import Stored
from analyze.results import Departure, Deviation, Results, Verdict
from store.design import Design
from store.frames import FINDING_HISTORY

FALLING = Truth(slopes={"attention_iou_adjusted": -0.2, "generalization_gap": -0.1})
SEEDS = 6


def few(claims: dict | None = None, **changes) -> Design:
    """A study of one claim or two, that the analysis is quick."""
    return study(**{"seeds": SEEDS, "claims": claims or {"H1": CLAIMS["H1"]}} | changes)


def first_seeds(stored: Stored, seeds: int) -> Stored:
    """What the store held when it had so many seed blocks."""
    return replace(
        stored,
        students=stored.students.filter(pl.col("block") < seeds),
        halves=stored.halves.filter(pl.col("block") < seeds),
        models=stored.models.filter(pl.col("block") < seeds),
    )


def remembered(results: Results, *, hour: int = 0) -> pl.DataFrame:
    """What the store keeps of an analysis."""
    rows = finding_frame(results).with_columns(
        pl.lit(f"at {hour}").alias("analysis"),
        pl.datetime(2026, 1, 1, hour, time_unit="us", time_zone="UTC").alias("analysed_at"),
        pl.lit(results.study).alias("study"),
        pl.lit(results.study_hash).alias("study_hash"),
        pl.lit(results.counts.seeds_stored, dtype=pl.Int32).alias("seeds"),
    )
    return rows.select(list(FINDING_HISTORY.schema))


@pytest.fixture(scope="module")
def drawn() -> Stored:
    return simulate(few(CLAIMS), FALLING)


def deviations(design: Design, stored: Stored, *earlier: pl.DataFrame) -> list[Deviation]:
    """What the analysis names, which is the same when it is made again."""
    history = pl.concat([stored.history, *earlier])
    found = assemble(design, replace(stored, history=history))
    again = deviations_of(
        design,
        found.counts,
        found.findings,
        pl.concat([history, remembered(found, hour=12)]),
        found.sequential,
    )
    assert again == found.deviations
    return list(found.deviations)


def test_a_study_done_as_declared_has_none(drawn):
    assert deviations(few(), drawn) == []


def test_fewer_seeds_than_declared_are_named(drawn):
    [found] = deviations(few(), first_seeds(drawn, 4))
    assert found.departure is Departure.SEEDS
    assert found.declared == "6 seed blocks"
    assert found.done == "4 seed blocks stored"


def test_seed_blocks_left_out_are_named(drawn):
    failed = fail(drawn, drawn.models["model_id"][0])
    [found] = deviations(few(), failed)
    assert found.departure is Departure.SEEDS
    assert (found.declared, found.done) == ("6 seed blocks stored", "5 analyzed")


def test_a_look_with_fewer_seeds_is_named_where_no_rule_allows_it(drawn):
    earlier = remembered(assemble(few(seeds=4), first_seeds(drawn, 4)))
    [found] = deviations(few(), drawn, earlier)
    assert found.departure is Departure.LOOK
    assert found.declared == "one look, at all seeds"
    assert found.done == "tested before with 4 seeds"


def test_looks_with_too_few_seeds_to_test_are_none(drawn):
    earlier = remembered(assemble(few(seeds=2), first_seeds(drawn, 2)))
    assert deviations(few(), drawn, earlier) == []


def test_the_same_analysis_made_again_is_no_look(drawn):
    assert deviations(few(), drawn, remembered(assemble(few(), drawn))) == []


@pytest.mark.parametrize(("looked", "names"), [(3, []), (4, [Departure.LOOK])])
def test_declared_looks_are_no_deviation_and_others_are(drawn, looked, names):
    """At 4 seeds the study had not declared its rule yet, or read in spite of it."""
    rule = {"adding_seeds": {"rule": "group_sequential", "looks": [3, 6]}}
    before = few(seeds=looked) if looked == 4 else few(seeds=looked, **rule)
    earlier = remembered(assemble(before, first_seeds(drawn, looked)))
    found = deviations(few(**rule), drawn, earlier)
    assert [each.departure for each in found] == names
    assert [each.declared for each in found] == ["looks at 3 and 6 seeds"] * len(names)


def test_a_declared_look_on_the_way_to_more_seeds_is_no_deviation(drawn):
    rule = {"adding_seeds": {"rule": "group_sequential", "looks": [4, 6]}}
    assert deviations(few(**rule), first_seeds(drawn, 4)) == []


def test_an_analysis_between_looks_reads_nothing_and_says_so(drawn):
    rule = {"adding_seeds": {"rule": "group_sequential", "looks": [3, 6]}}
    between = deviations(few(**rule), first_seeds(drawn, 4))
    assert [each.departure for each in between] == [Departure.SEEDS, Departure.LOOK]
    assert between[1].meaning == "Nothing is read between declared looks."
    # what was not read then is no look later
    earlier = remembered(assemble(few(**rule), first_seeds(drawn, 4)))
    assert deviations(few(**rule), drawn, earlier) == []


def test_a_sesoi_changed_after_the_data_is_named_with_both(drawn):
    before = few({"H1": {"sesoi": {"attention_iou_adjusted": 0.5}}})
    [found] = deviations(few(), drawn, remembered(assemble(before, drawn)))
    assert found.departure is Departure.SESOI
    assert "±0.5 were too small" in found.declared
    assert found.done == "within ±0.05"


def test_claims_dropped_and_added_after_the_first_analysis_are_named(drawn):
    both, one, other = (
        few({name: CLAIMS[name] for name in names}) for names in (("H1", "H2a"), ("H1",), ("H2a",))
    )
    first = remembered(assemble(one, drawn))
    [added] = deviations(both, drawn, first)
    assert added.departure is Departure.CLAIM
    assert added.declared == "H2a was no claim at the first analysis"
    second = remembered(assemble(both, drawn), hour=1)
    found = deviations(other, drawn, first, second)
    assert [each.declared for each in found] == [
        "H1 was a claim at an earlier analysis",
        "H2a was no claim at the first analysis",
    ]


def test_an_arm_that_decides_only_later_is_named(drawn):
    claims = {"H2a": CLAIMS["H2a"]}
    levels = {"strengths": [0, 0.25, 0.5, 0.75, 1], "teachers": 2}
    matched = few(claims, design=levels | {"arms": ["matched"]})
    [found] = deviations(few(claims), drawn, remembered(assemble(matched, drawn)))
    assert found.departure is Departure.ARM
    assert found.declared == "H2a was decided in the matched arm"
    assert found.done == "it is decided in the fixed arm"


def test_a_claim_without_data_is_named(drawn):
    nothing = replace(
        drawn,
        students=drawn.students.with_columns(attention_iou_adjusted=pl.lit(None, pl.Float64)),
        halves=drawn.halves.with_columns(attention_iou_adjusted=pl.lit(None, pl.Float64)),
    )
    found = deviations(few(), nothing)
    assert [each.departure for each in found] == [Departure.CLAIM]
    assert found[0].done == "not tested"


def test_another_studys_history_is_none_of_this_one(drawn):
    other = remembered(assemble(few(seeds=4, study="another"), first_seeds(drawn, 4)))
    assert deviations(few(), drawn, other) == []


def test_what_the_study_file_tells_is_passed_on_and_trains_nothing_anew(drawn):
    told = few(deviations=["Two machines trained it.", "Block 3 was trained twice."])
    found = deviations(told, drawn)
    assert [each.departure for each in found] == [Departure.TOLD] * 2
    assert found[1].done == "Block 3 was trained twice."
    assert told.shard_key(0) == few().shard_key(0)
    assert told.study_hash() != few().study_hash()
    assert "deviations" not in few().declared()


def test_an_empty_deviation_is_refused():
    with pytest.raises(ValidationError, match="at least 1 character"):
        few(deviations=[""])


def test_verdicts_are_not_changed_by_what_earlier_analyses_were(drawn):
    earlier = remembered(assemble(few(seeds=4), first_seeds(drawn, 4)))
    alone, after = (
        assemble(few(), replace(drawn, history=history)).findings
        for history in (drawn.history, earlier)
    )
    assert alone == after
    assert alone[0].verdict is Verdict.SUPPORTED
