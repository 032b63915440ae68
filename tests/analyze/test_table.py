"""What the analysis of any table says, on tables whose truth is known."""

import json
import math

import numpy as np
import polars as pl
import pytest
from scipy import stats
from table_simulated import DOSES, every_pair, nested_pairs, planted, shared, simpson

from analyze.hypotheses import Direction
from analyze.inference.crossed import CONDITIONAL, OWN_POOLS, crossed_slope, crossed_within
from analyze.inference.estimate import Panel, Table
from analyze.resample import resample_slopes
from analyze.results import Evidence, Rank, Verdict
from analyze.seeds import seeds_to_decide
from analyze.table import analyze_table
from analyze.table_pools import FRESH
from analyze.table_results import Claim, Claims, TableAnswer, TableResults, table_json
from analyze.table_rows import Columns, runs_of
from analyze.table_text import table_lines

BOTH = Columns(block="seed", dose="strength", outcome="gap", predictor="iou")
ALONE = Columns(block="seed", dose="strength", outcome="gap")
FALLS = Claims(trend=Claim(expected=Direction.FALLS, sesoi=0.02))
TOGETHER = Claims(association=Claim(expected=Direction.RISES, sesoi=0.05))
POOLED = Columns(block="seed", dose="strength", outcome="gap", predictor="iou", pool="pool")
SIMULATIONS = 60


def ask(
    frame: pl.DataFrame, columns=BOTH, claims=FALLS, level=0.95, thorough=False
) -> TableResults:
    runs = runs_of(frame, columns, source="runs.csv")
    return analyze_table(runs, columns, claims, level=level, source="runs.csv", thorough=thorough)


def answer(results: TableResults, question: str) -> TableAnswer:
    return next(one for one in results.answers if one.question == question)


def named(found: TableAnswer, name: str) -> Evidence:
    return next(one for one in found.evidence if one.test == name)


def test_a_planted_trend_is_found_and_its_numbers_are_those_of_plain_student():
    frame = planted()
    found = answer(ask(frame, ALONE), "trend")
    slopes = [
        stats.linregress(part["strength"], part["gap"]).slope for part in frame.partition_by("seed")
    ]
    plain = stats.ttest_1samp(slopes, 0)
    bounds = plain.confidence_interval(0.95)
    assert found.verdict is Verdict.SUPPORTED
    assert found.estimate == pytest.approx(np.mean(slopes), rel=1e-12)
    assert found.p_value == pytest.approx(plain.pvalue, rel=1e-9)
    assert (found.interval.low, found.interval.high) == pytest.approx(tuple(bounds), rel=1e-9)
    assert found.unit == "gap per unit of strength"


def test_the_expected_direction_decides_between_supported_and_contradicted():
    frame = planted()
    for expected, verdict in (
        (Direction.FALLS, Verdict.SUPPORTED),
        (Direction.RISES, Verdict.CONTRADICTED),
        (None, Verdict.SUPPORTED),
    ):
        found = answer(ask(frame, ALONE, Claims(trend=Claim(expected=expected))), "trend")
        assert found.verdict is verdict


def test_nothing_is_negligible_unless_a_size_of_interest_is_declared():
    flat = planted(30, gap_slope=0.0)
    assert answer(ask(flat, ALONE, Claims()), "trend").verdict is Verdict.UNDECIDED
    declared = Claims(trend=Claim(sesoi=0.5))
    assert answer(ask(flat, ALONE, declared), "trend").verdict is Verdict.NEGLIGIBLE


def test_every_question_has_its_tests_and_the_json_holds_them_at_full_precision():
    results = ask(planted())
    written = json.loads(table_json(results), parse_constant=pytest.fail)
    assert [one["question"] for one in written["answers"]] == [
        "trend",
        "predictor_trend",
        "association",
    ]
    for found, plain in zip(results.answers, written["answers"], strict=True):
        assert [one.rank for one in found.evidence].count(Rank.PRIMARY) == 1
        for one, told in zip(found.evidence, plain["evidence"], strict=True):
            keys = ("test", "estimate", "standard_error", "df", "statistic", "p_value")
            assert tuple(told[key] for key in keys) == tuple(getattr(one, key) for key in keys)
    trend = {one.test for one in answer(results, "trend").evidence}
    assert {"per_seed_slope_t", "page_trend", "sign_flip", "mixed_model_slope"} <= trend
    within = {one.test for one in answer(results, "association").evidence}
    assert {"two_way_within_cr2", "wild_cluster_bootstrap", "correlation_within_seed"} <= within


def test_the_same_table_gives_the_same_answer_whatever_the_order_of_its_rows():
    frame = planted(22)
    shuffled = frame.sample(fraction=1.0, shuffle=True, seed=3)
    assert table_json(ask(shuffled)) == table_json(ask(frame))


def test_levels_are_holms_over_the_questions_asked():
    results = ask(planted(own=0.0))
    levels = [one.alpha for one in sorted(results.answers, key=lambda one: one.p_value)]
    assert levels[0] == pytest.approx(0.05 / 3)
    assert levels == sorted(levels)
    assert answer(ask(planted(), ALONE), "trend").alpha == pytest.approx(0.05)


def test_another_level_widens_every_interval():
    narrow, wide = ask(planted(), level=0.9), ask(planted(), level=0.99)
    for one, other in zip(narrow.answers, wide.answers, strict=True):
        pairs = list(zip(one.evidence, other.evidence, strict=True))
        for first, second in pairs:
            if first.interval and second.interval and not first.test.startswith("tost"):
                assert second.interval.high - second.interval.low >= (
                    first.interval.high - first.interval.low
                )
                assert second.interval.level == pytest.approx(0.99)
    with pytest.raises(ValueError, match=r"\(.5, 1\)"):
        ask(planted(), level=0.4)


def test_seeds_may_be_words_and_the_words_are_named():
    frame = planted(6).with_columns(seed=pl.format("run-{}", "seed"))
    lacking = frame.with_columns(
        gap=pl.when((pl.col("seed") == "run-4") & (pl.col("strength") == 0.5))
        .then(None)
        .otherwise(pl.col("gap"))
    )
    found = answer(ask(lacking, ALONE), "trend")
    assert "seed run-4" in found.caveats[0]
    assert named(found, "per_seed_slope_t").rows == 25
    assert named(found, "mixed_model_slope").rows == 29
    numbered = answer(ask(planted(6), ALONE), "trend")
    assert answer(ask(frame, ALONE), "trend").p_value == numbered.p_value


def test_missing_cells_leave_blocks_out_of_complete_tests_and_rows_out_of_no_other():
    frame = planted(8).with_columns(
        iou=pl.when((pl.col("seed") == 2) & (pl.col("strength") == 1.0))
        .then(float("nan"))
        .otherwise(pl.col("iou"))
    )
    results = ask(frame)
    assert [(one.column, one.rows) for one in results.dropped] == [("iou", 1)]
    assert answer(results, "trend").n == 8
    assert answer(results, "predictor_trend").n == 7
    assert answer(results, "association").rows == 39
    assert answer(results, "association").n == 8


@pytest.mark.parametrize("seeds", [1, 2])
def test_fewer_than_three_seeds_are_described_without_any_p(seeds: int):
    results = ask(planted(seeds))
    assert results.kind == "descriptive"
    for found in results.answers:
        assert found.verdict is Verdict.DESCRIPTIVE
        assert found.interval is None
        assert not [one for one in found.evidence if one.p_value is not None or one.interval]
    assert "No p-value" in "\n".join(table_lines(results))


def test_one_strength_only_gives_no_trend_and_no_association():
    results = ask(planted().filter(pl.col("strength") == 0.5))
    for found in results.answers:
        assert found.verdict is Verdict.NO_DATA
        assert found.p_value is None
    assert "Only strength 0.5" in answer(results, "trend").caveats[0]


def test_without_a_complete_seed_the_mixed_model_stands_alone():
    frame = planted(8).filter(pl.col("seed") % 5 != (pl.col("strength") * 4).cast(pl.Int64))
    found = answer(ask(frame.filter(pl.col("seed") < 5), ALONE), "trend")
    assert found.verdict is Verdict.NO_DATA
    assert [one.test for one in found.evidence] == ["mixed_model_slope"]
    assert "at every strength" in found.caveats[0]


def test_a_constant_outcome_has_a_slope_of_nothing_and_no_test():
    results = ask(planted().with_columns(gap=pl.lit(0.3)))
    trend = answer(results, "trend")
    assert trend.estimate == 0.0
    assert trend.p_value is None
    assert trend.verdict is Verdict.UNDECIDED
    association = answer(results, "association")
    assert association.p_value is None
    assert association.estimate == pytest.approx(0.0, abs=1e-12)


def test_a_constant_predictor_has_no_association():
    results = ask(planted().with_columns(iou=pl.lit(0.5)))
    assert answer(results, "association").verdict is Verdict.NO_DATA


def test_a_real_association_is_found():
    verdict = answer(ask(planted(20, own=1.0), claims=TOGETHER), "association").verdict
    assert verdict is Verdict.SUPPORTED


@pytest.mark.parametrize("slopes_vary", [pytest.param(0.0, marks=pytest.mark.long), 1.0])
def test_a_common_cause_alone_does_not_support_an_association(slopes_vary: float):
    # claimed upwards at Holm's level: at most .025 of true nulls may be supported
    supported = correlated = 0
    for seed in range(SIMULATIONS):
        frame = planted(8, slopes_vary=slopes_vary, seed=seed)
        found = answer(ask(frame, claims=TOGETHER), "association")
        within = named(found, "correlation_within_seed")
        supported += found.verdict is Verdict.SUPPORTED
        correlated += within.p_value < 0.05 and within.estimate > 0
    assert supported <= stats.binom.ppf(0.999, SIMULATIONS, 0.025)
    assert correlated >= 0.95 * SIMULATIONS


def test_simpsons_paradox_is_told_by_level_and_flagged():
    found = answer(ask(simpson(), claims=TOGETHER), "association")
    signs = {
        name: math.copysign(1, named(found, f"correlation_{name}").estimate)
        for name in ("pooled", "between_condition", "between_seed", "two_way_within")
    }
    assert signs == {
        "pooled": 1,
        "between_condition": 1,
        "between_seed": 1,
        "two_way_within": -1,
    }
    assert found.conflict is not None
    assert found.conflict.clear
    assert found.verdict is Verdict.CONTRADICTED
    assert "Simpson" in "\n".join(table_lines(ask(simpson())))


def test_doses_of_very_different_sizes_and_few_rows_give_an_answer():
    frame = planted(7, doses=(0.0, 0.1, 1.0, 1e6))
    kept = frame.with_row_index().filter(pl.col("index") % 5 != 2).drop("index")
    constant = kept.with_columns(gap=pl.lit(0.3))
    for rows in (frame, kept, constant):
        for found in ask(rows).answers:
            assert found.verdict in set(Verdict)
    assert answer(ask(constant), "trend").p_value is None


def test_thousands_of_seeds_are_tested_and_what_is_left_out_says_so():
    rng = np.random.default_rng(9)
    seeds, doses = 1200, np.array([0.0, 0.5, 1.0])
    block, strength = np.repeat(np.arange(seeds), 3), np.tile(doses, seeds)
    own = rng.normal(0, 0.02, 3 * seeds)
    gap = 0.3 - 0.1 * strength + 0.5 * own + rng.normal(0, 0.02, 3 * seeds)
    frame = pl.DataFrame({"seed": block, "strength": strength, "gap": gap, "iou": own - strength})
    results = ask(frame, claims=TOGETHER)
    found = answer(results, "association")
    assert found.verdict is Verdict.SUPPORTED
    assert found.interval.low < 0.5 < found.interval.high
    trend = answer(results, "trend")
    for name in ("wilcoxon_hodges_lehmann", "mixed_model_slope"):
        assert "more than 1000 seeds" in named(trend, name).caveats[0]
        assert named(trend, name).p_value is None
    sampled = named(trend, "page_trend")
    assert sampled.caveats == ("p from 5555 sampled permutations, not exact",)
    assert sampled.smallest_p == 2 / 5556


def test_more_doses_than_five_and_uneven_ones_are_taken():
    frame = planted(doses=(0.0, 0.1, 0.7, 1.3, 2.0, 5.0, 9.0))
    assert ask(frame).doses == (0.0, 0.1, 0.7, 1.3, 2.0, 5.0, 9.0)


def plain_table(frame: pl.DataFrame, x: str, y: str) -> tuple[Table, np.ndarray]:
    columns = (frame[name].to_numpy() for name in ("seed", "strength", x, y))
    return Table(*columns), frame["pool"].to_numpy()


def primary(found: TableAnswer) -> Evidence:
    return next(one for one in found.evidence if one.rank is Rank.PRIMARY)


@pytest.mark.parametrize("pairs", [every_pair(6, 4), nested_pairs(9, 3)])
def test_with_shared_teachers_the_crossed_models_decide(pairs):
    frame = shared(pairs)
    results = ask(frame, POOLED)
    expected = {
        "trend": crossed_slope(*plain_table(frame, "strength", "gap")),
        "predictor_trend": crossed_slope(*plain_table(frame, "strength", "iou")),
        "association": crossed_within(*plain_table(frame, "iou", "gap")),
    }
    assert results.pools == len({pool for _, pool in pairs})
    for question, one in expected.items():
        found = primary(answer(results, question))
        assert (found.test, found.caveats) == (one.test, one.caveats)
        for field in ("estimate", "standard_error", "df", "p_value"):
            assert getattr(found, field) == pytest.approx(getattr(one, field), rel=1e-7)
        assert "teachers are shared" in "\n".join(answer(results, question).caveats)
    said = "\n".join(table_lines(results))
    assert f"{results.pools} teacher pools (pool)" in said


def test_tests_that_count_seeds_stand_beside_and_say_that_they_take_teachers_as_fresh():
    results = ask(shared(every_pair(6, 4)), POOLED)
    for question, name in (("trend", "per_seed_slope_t"), ("association", "two_way_within_cr2")):
        found = answer(results, question)
        assert named(found, name).rank is Rank.BESIDE
        beside = [one for one in found.evidence if one.rank is Rank.BESIDE]
        assert all(FRESH in one.caveats for one in beside if one.p_value is not None)
        assert not [one for one in found.evidence if one.test.startswith("diagnostic")]


def test_a_seed_s_pools_are_averaged_where_they_have_every_dose_and_the_answer_says_so():
    frame = shared(every_pair(6, 3))
    # one pairing lacks a dose: its pool would lift the doses that it has
    lacking = frame.filter(
        ~((pl.col("seed") == 2) & (pl.col("pool") == "teachers-1") & (pl.col("strength") == 0.5))
    )
    found = answer(ask(lacking, POOLED), "trend")
    whole = lacking.filter(~((pl.col("seed") == 2) & (pl.col("pool") == "teachers-1")))
    means = whole.group_by("seed", "strength").agg(pl.col("gap").mean())
    plain = answer(ask(means, ALONE), "trend")
    beside = named(found, "per_seed_slope_t")
    assert beside.p_value == pytest.approx(plain.p_value, rel=1e-9)
    assert any("average over the pools" in caveat for caveat in found.caveats)
    assert found.rows == 89
    nested = answer(ask(shared(nested_pairs(9, 3)), POOLED), "trend")
    assert not any("average over the pools" in caveat for caveat in nested.caveats)


def test_a_seed_that_changes_pools_between_doses_is_in_the_crossed_model_alone():
    frame = shared(every_pair(8, 4)).filter(
        (pl.col("seed") + (pl.col("strength") * 4).cast(pl.Int64)) % 4
        == pl.col("pool").str.tail(1).cast(pl.Int64)
    )
    found = answer(ask(frame, POOLED), "trend")
    assert [one.test for one in found.evidence] == ["mixed_model_crossed"]
    assert found.p_value is not None
    assert "at every strength" in found.caveats[0]


def test_teachers_own_predictor_is_held_against_their_cells():
    results = ask(shared(every_pair(6, 4), teachers=True), POOLED)
    found = answer(results, "association")
    assert "20 cells of pool and strength, not 120 students" in "\n".join(found.caveats)


@pytest.mark.parametrize(
    ("pairs", "caveat"), [(every_pair(6, 2), CONDITIONAL), (nested_pairs(6, 6), OWN_POOLS)]
)
def test_few_pools_and_pools_of_one_seed_are_told(pairs, caveat):
    for found in ask(shared(pairs), POOLED).answers:
        assert caveat in found.caveats


@pytest.mark.parametrize("seeds", [1, 2])
def test_fewer_than_three_seeds_stay_described_whatever_their_pools(seeds: int):
    results = ask(shared(every_pair(seeds, 4)), POOLED)
    assert results.kind == "descriptive"
    for found in results.answers:
        assert found.verdict is Verdict.DESCRIPTIVE
        assert not [one for one in found.evidence if one.p_value is not None or one.interval]


def test_one_dose_or_a_constant_outcome_of_shared_teachers_has_no_test():
    frame = shared(every_pair(4, 3))
    for found in ask(frame.filter(pl.col("strength") == DOSES[1]), POOLED).answers:
        assert (found.verdict, found.p_value) == (Verdict.NO_DATA, None)
    for found in ask(frame.with_columns(gap=pl.lit(0.3)), POOLED).answers[::2]:
        assert found.p_value is None
        assert found.estimate == pytest.approx(0.0, abs=1e-12)


def test_a_decided_question_asks_for_no_more_seeds():
    found = answer(ask(planted(), thorough=True), "trend")
    assert found.verdict is Verdict.SUPPORTED
    assert found.seeds_to_decide is None


def test_the_number_of_seeds_that_would_decide_is_a_study_s_own():
    rng = np.random.default_rng(12)
    frame = pl.DataFrame(
        {
            "seed": np.repeat(np.arange(6), 5),
            "strength": np.tile(np.linspace(0, 1, 5), 6),
            "gap": 0.1 * np.tile(np.linspace(0, 1, 5), 6) + rng.normal(scale=0.2, size=30),
        }
    )
    found = answer(ask(frame, columns=ALONE, claims=Claims(), thorough=True), "trend")
    assert found.verdict is Verdict.UNDECIDED
    panel = Panel(
        tuple(range(6)), tuple(np.linspace(0, 1, 5)), frame["gap"].to_numpy().reshape(6, 5)
    )
    expected = seeds_to_decide(6, resample_slopes(panel), alpha=0.05, sesoi=0.0, seed=0)
    assert found.seeds_to_decide == expected > 6
    said = "\n".join(table_lines(ask(frame, columns=ALONE, claims=Claims(), thorough=True)))
    assert f"About {expected} seeds in all would decide it" in " ".join(said.split())


def test_a_predictor_brings_its_mediation_and_a_column_of_pools_none():
    results = ask(planted())
    names = {one.test for one in results.mediation}
    assert {"mediation_joint", "mediation_acme", "mediation_rho"} <= names
    joint = next(one for one in results.mediation if one.test == "mediation_joint")
    paths = [one for one in results.mediation if one.test in ("mediation_a", "mediation_b")]
    assert joint.p_value == max(one.p_value for one in paths)
    assert all(one.rank is Rank.BESIDE for one in results.mediation)
    assert "Does strength act on gap through iou?" in "\n".join(table_lines(results))
    assert ask(planted(), columns=ALONE).mediation == ()
    assert ask(shared(every_pair(6, 4)), POOLED).mediation == ()


def test_a_seed_that_lifts_both_measures_is_no_mediation():
    # 40 studies with a dose effect on the predictor and a seed confounder, nothing else: at most
    # .05 of them may claim both paths
    rng = np.random.default_rng(5)
    claimed = 0
    for _ in range(40):
        seed, dose = np.repeat(np.arange(8), 5), np.tile(np.linspace(0, 1, 5), 8)
        lift = 3 * rng.normal(size=8)[seed]
        frame = pl.DataFrame(
            {
                "seed": seed,
                "strength": dose,
                "iou": lift - 2 * dose + rng.normal(size=40),
                "gap": lift + rng.normal(size=40),
            }
        )
        found = ask(frame)
        joint = next(one for one in found.mediation if one.test == "mediation_joint")
        claimed += joint.p_value < 0.05
    assert claimed <= stats.binom.ppf(0.999, 40, 0.05)


def test_all_pairs_of_doses_are_compared_where_it_is_asked():
    names = {one.test for one in answer(ask(planted(), thorough=True), "trend").evidence}
    assert any(name.startswith("games_howell_") for name in names)
    assert {"friedman", "welch_anova"} <= names
