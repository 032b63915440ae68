"""What the page says of deviations, earlier analyses and the tests' error rates."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import Written, elements, written_of
from drawn_results import drawn_results

from analyze.calibration import calibration_of
from analyze.job import analyze
from analyze.results import Departure, Deviation
from reports.names import TESTS
from reports.numbers import percent_tenths

HOSTILE = "<b>Two</b> machines & 机器"


def text_of(written: Written, section: str) -> str:
    """The text of a section of the page."""
    [part] = re.findall(rf'<section id="{section}".*?</section>', written.html, re.DOTALL)
    return " ".join(re.sub(r"<[^>]+>", " ", part).split())


@pytest.fixture(scope="module")
def grown(tmp_path_factory) -> Written:
    """A study analyzed twice, with another limit of what is too small the first time."""
    folder: Path = tmp_path_factory.mktemp("grown")
    written = written_of(folder, None, seeds=3, more=f"deviations: ['{HOSTILE}']")
    declared = written.study.read_text(encoding="utf-8")
    assert "attention_iou_adjusted: 0.05" in declared
    written.study.write_text(
        declared.replace("attention_iou_adjusted: 0.05", "attention_iou_adjusted: 0.5"),
        encoding="utf-8",
    )
    ledger = folder / "ledger.json"
    analyze(written.study, store=written.store, ledger=ledger, out=written.results)
    return written.write()


def test_deviations_are_said_and_what_authors_tell_is_text(grown):
    said = text_of(grown, "design")
    assert ": effects within ±0.05 were too small to matter Within ±0.5" in said
    assert "Told by the study file" in said
    assert "&lt;b&gt;Two&lt;/b&gt; machines &amp; 机器" in said
    assert "None was found" not in said


def test_every_analysis_stands_with_its_verdicts(grown):
    rows = re.findall(
        r"\d{4}-\d\d-\d\d \d\d:\d\d UTC ([0-9a-f]{8}) (H1 .+?; H4 [a-z ]+?) (\d+)\b",
        text_of(grown, "design"),
    )
    assert [seeds for _, _, seeds in rows] == ["3", "3"]
    assert len({study for study, _, _ in rows}) == 1


def test_a_study_done_as_declared_says_that_nothing_was_found(drawn):
    assert "None was found: as many seeds as declared" in text_of(drawn, "design")


def test_error_rates_of_every_test_that_reads_a_claim_stand_in_the_page(analyzed):
    said = text_of(analyzed, "calibration")
    reads = {
        "per_seed_slope_t",
        "negligible_trend",
        "split_half_within_cr2",
        "negligible_association",
        "two_way_within_cr2",
        "mediation_joint",
    }
    found = {each["test"]: each for each in analyzed.json["calibration"]}
    assert set(found) == reads
    for test, each in found.items():
        assert TESTS[test] in said
        assert " ".join(percent_tenths(each["least_rejected"]).split()) in said
        assert " ".join(percent_tenths(each["most_rejected"]).split()) in said
    assert [test for test, each in found.items() if each["failing"]] == ["two_way_within_cr2"]
    assert "sampling noise of the images is in both" in said


def test_tests_that_decide_stand_first_and_keep_their_level(analyzed):
    each = analyzed.json["calibration"]
    trends, associations = ["H1", "H2a", "H3a"], ["H2b", "H3b", "H4"]
    assert [one["decides"] for one in each] == [
        *([trends] * 2),
        *([associations] * 2),
        *([[]] * 2),
    ]
    said = text_of(analyzed, "calibration")
    assert "Slope per seed, t keeps its level in all 5 kinds of studies" in said
    assert "Within, on opposite halves of the images keeps its level in all 9 kinds" in said
    assert "it called negligible what is just as large as the smallest effect that matters" in said


def test_a_test_that_fails_or_was_not_simulated_says_so(tmp_path):
    results = drawn_results()
    first, *rest = results.calibration
    failing = replace(first, failing=2)
    unknown = calibration_of("haruspicy", decides=("H1",))
    written = written_of(
        tmp_path, replace(results, calibration=(failing, unknown, *rest), deviations=())
    )
    said = text_of(written, "calibration")
    assert f"errs more often than it may in 2 of the {first.kinds} kinds" in said
    assert "Haruspicy was not simulated" in said


def test_where_nothing_was_tested_no_rate_stands(tmp_path):
    written = written_of(tmp_path, replace(drawn_results(), kind="descriptive"))
    assert "Nothing was tested" in text_of(written, "calibration")
    assert not [e for e in elements(written.html) if e.tag == "td" and "% to " in e.text]


def test_the_markdown_has_both(grown):
    text = grown.page.with_suffix(".md").read_text(encoding="utf-8")
    assert "## Deviations" in text
    assert "Two machines" not in text.split("## Deviations")[0]
    assert "## Do the tests keep their word?" in text


@pytest.mark.parametrize("departure", list(Departure))
def test_every_kind_of_deviation_has_words(departure, tmp_path):
    one = Deviation(departure=departure, declared="one thing", done="another", meaning="A pity.")
    written = written_of(tmp_path, replace(drawn_results(), deviations=(one,)))
    assert "One thing Another A pity." in text_of(written, "design")
