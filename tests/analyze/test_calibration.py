"""The primary tests hold their level and cover: a short form of ``make calibrate``."""

from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from analyze.calibration import TOO_OFTEN, TOO_SELDOM, calibration_of, simulated
from benchmarks.adding_seeds import ways
from benchmarks.calibration import (
    TARGET_STUDIES,
    Calibration,
    Rate,
    by_test,
    calibrate,
    calibrate_shared,
)
from benchmarks.calibration_cases import (
    COMMON_CAUSE,
    Case,
    association_cases,
    contrast_cases,
    joint,
    mediation_cases,
    shared_cases,
    trend_cases,
)
from benchmarks.simulated_studies import DOSES, Scenario, draw, split_half_target, within

SEED = 41
DOCUMENT = (Path(__file__).parents[2] / "docs" / "calibration.md").read_text(encoding="utf-8")
STUDIES = 300
# a test that holds exceeds this in 1 of 1,000 runs; the seeds are fixed
MOST_REJECTED = stats.binom.isf(0.001, STUDIES, 0.05) / STUDIES
LEAST_COVERED = 1 - MOST_REJECTED


def run(case: Case, *, seeds: int = 8, studies: int = STUDIES) -> Calibration:
    return calibrate(case, seeds=seeds, studies=studies, seed=SEED)


def of(cases: list[Case], title: str, truth: str) -> Case:
    return next(one for one in cases if (one.title, one.scenario.name) == (title, truth))


@pytest.mark.parametrize("case", trend_cases(), ids=lambda case: case.scenario.name)
def test_the_slope_per_seed_holds_its_level_and_covers(case):
    found = run(case)
    assert found.rejected[0].share <= MOST_REJECTED
    assert found.covered.share >= LEAST_COVERED


@pytest.mark.parametrize("title", ["split_half_within_cr2", "two_way_within_cr2"])
@pytest.mark.parametrize(
    "truth",
    [
        "common cause, slopes alike",
        "common cause, slopes vary by 1 SD",
        "cells lost, up to 30 % of the strongest; slopes vary by 0.5 SD",
    ],
)
def test_an_association_holds_its_level_and_covers_under_a_common_cause(title, truth):
    found = run(of(association_cases(), title, truth))
    assert found.rejected[0].share <= MOST_REJECTED
    assert found.covered.share >= LEAST_COVERED


def test_halves_keep_the_sampling_noise_of_shared_images_out():
    truth = "sampling noise of the images is in both"
    halves = run(of(association_cases(), "split_half_within_cr2", truth))
    assert halves.rejected[0].share <= MOST_REJECTED
    whole = run(of(association_cases(), "two_way_within_cr2", truth))
    assert whole.rejected[0].share > MOST_REJECTED


@pytest.mark.parametrize(
    "truth",
    [
        "seeds lift both by 3 SD; first path alone",
        "second path alone",
        "common cause, slopes vary by 1 SD",
    ],
)
def test_mediation_is_seldom_found_where_a_path_is_missing(truth):
    found = run(of(mediation_cases(), "mediation_joint", truth))
    assert found.rejected[0].share <= MOST_REJECTED


@pytest.mark.parametrize(
    ("title", "truth"),
    [
        ("correlation_within_seed", "common cause, slopes alike"),
        ("two_way_within_ols", "common cause, slopes vary by 1 SD"),
    ],
)
def test_a_test_that_misleads_fails_the_same_bound(title, truth):
    found = run(of(contrast_cases(), title, truth))
    assert found.rejected[0].share > MOST_REJECTED
    assert "rejects too often" in found.reading()


# these models take a hundred times as long: only a test that fails badly is seen
SHARED_STUDIES = 40
MOST_SHARED = stats.binom.isf(0.001, SHARED_STUDIES, 0.05) / SHARED_STUDIES


def shared(title: str, truth: str, studies: int = SHARED_STUDIES) -> float:
    named = (one for one in shared_cases() if (one.title, one.scenario.name) == (title, truth))
    return calibrate_shared(next(named), studies=studies, seed=SEED).rejected[0].share


@pytest.mark.parametrize("sharing", ["8 seeds crossed with 4 pools", "12 seeds nested in 4 pools"])
def test_a_trend_over_shared_teachers_holds_where_counting_seeds_does_not(sharing):
    truth = f"{sharing}: slopes vary by 0.5 SD over seeds and pools"
    assert shared("mixed_model_crossed", truth) <= MOST_SHARED
    assert shared("per_seed_slope_t", truth, STUDIES) > MOST_REJECTED


@pytest.mark.parametrize(
    "truth",
    [
        "8 seeds crossed with 4 pools: teachers' predictor",
        "12 seeds nested in 4 pools: students' predictor",
    ],
)
def test_an_association_over_shared_teachers_holds(truth):
    found = shared("crossed_within_kr", f"{truth}, slopes vary by 1 SD over seeds and pools")
    assert found <= MOST_SHARED


def test_an_interval_that_is_too_short_is_named():
    short = Calibration(
        case=trend_cases()[0],
        seeds=8,
        rejected=(Rate(count=100, studies=2000), Rate(count=25, studies=2000)),
        covered=Rate(count=1850, studies=2000),
        seconds=0.0,
    )
    assert short.reading() == "covers too seldom"


def test_every_effect_is_found_where_it_is_large():
    """A test that never rejects would hold every level."""
    planted = Scenario(name="both paths", on_x=-1)
    case = Case(title="power", test=joint, scenario=planted, null_effect=1.0)
    assert run(case, seeds=12, studies=40).rejected[0].share > 0.9


def test_a_row_is_the_same_alone_and_again():
    case = of(association_cases(), "two_way_within_cr2", COMMON_CAUSE[1].name)
    first, again = run(case, studies=30), run(case, studies=30)
    assert (first.rejected, first.covered) == (again.rejected, again.covered)


def test_noise_of_the_predictor_pulls_the_target_by_its_reliability():
    """Slopes alike: reliability is 1 / (1 + 0.5^2)."""
    rng = np.random.default_rng(SEED)
    many = draw(Scenario(name="plain"), seeds=8, studies=TARGET_STUDIES, effect=0.5, rng=rng)
    assert split_half_target(many) == pytest.approx(0.5 / 1.25, abs=0.005)


def test_taking_out_seeds_and_strengths_by_turns_is_least_squares():
    rng = np.random.default_rng(SEED)
    values, there = rng.normal(size=(1, 6, len(DOSES))), rng.random((1, 6, len(DOSES))) > 0.25
    seed, strength = np.indices(there.shape[1:])
    rows = there[0]
    factors = np.hstack([seed[rows][:, None] == range(6), strength[rows][:, None] == range(5)])
    fitted = factors @ np.linalg.lstsq(factors.astype(float), values[0][rows], rcond=None)[0]
    assert within(values, there)[0][rows] == pytest.approx(values[0][rows] - fitted, abs=1e-9)


@pytest.mark.parametrize("test", sorted(set(simulated()) - {"group_sequential"}))
def test_what_reports_say_of_a_test_stands_in_the_document(test):
    for case in simulated()[test]:
        shares = (case.rejected, case.rejected_strict, case.covered)
        cells = [
            "–" if share is None else Rate(count=round(share * case.studies), studies=case.studies)
            for share in shares
        ]
        written = " | ".join(cell if isinstance(cell, str) else cell.text() for cell in cells)
        reading = case.reading
        for failing in (TOO_OFTEN, TOO_SELDOM):
            reading = reading.replace(failing, f"**{failing}**")
        row = f"| `{test}` | {case.truth} | {case.seeds} | {written} | {reading} |"
        assert row in DOCUMENT, row


def test_what_reports_say_of_adding_seeds_stands_in_the_document():
    declared = [way for way in ways() if way.declared]
    for way, case in zip(declared, simulated()["group_sequential"], strict=True):
        share = case.rejected if case.rejected_strict is None else case.rejected_strict
        rate = Rate(count=round(share * case.studies), studies=case.studies)
        looks = ", ".join(map(str, way.looks))
        level = f"{way.alpha:g}".removeprefix("0")
        row = f"| {way.scenario.name} | {looks} | {level} | {rate.text()} | {case.reading} |"
        assert f"| {way.name} | {way.test} {row}" in DOCUMENT
        assert case.truth.startswith(way.name)


def test_every_test_that_decides_was_simulated_and_none_of_them_fails():
    deciding = {"per_seed_slope_t", "split_half_within_cr2", "group_sequential"}
    for test in deciding | {"mixed_model_crossed", "crossed_within_kr"}:
        found = calibration_of(test)
        assert found.cases
        assert found.failing == 0, test
    assert calibration_of("two_way_within_cr2").failing == 1


def test_the_sum_is_over_all_cases():
    found = calibration_of("per_seed_slope_t")
    assert found.kinds == len(trend_cases())
    assert len(found.cases) == 2 * found.kinds
    assert found.least_rejected == min(case.rejected for case in found.cases)
    assert found.most_rejected == max(case.rejected for case in found.cases)
    assert found.most_rejected_strict == max(case.rejected_strict for case in found.cases)
    assert found.least_covered == min(case.covered for case in found.cases)


def test_a_test_that_was_not_simulated_says_nothing():
    found = calibration_of("haruspicy")
    assert found.cases == ()
    assert found.least_rejected is None


def test_tests_of_misuse_are_not_reported_as_the_tests_own():
    found = [calibrate_shared(case, studies=1, seed=1) for case in shared_cases()]
    assert set(by_test(found, [])) == {
        "mixed_model_crossed",
        "crossed_within_kr",
        "group_sequential",
    }
