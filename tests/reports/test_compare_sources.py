"""Every figure and table of several studies has a link, SQL that a store answers, and CSV."""

import csv
import io
import json
import re
from html import unescape

import pytest
from conftest import csv_text, elements
from test_compare_page import THREE, page_of, submitted
from test_sources import places, sql_of

from analyze.compare import compare
from analyze.likeness import Submission
from analyze.serialize import load_results
from store.database import open_reader
from store.study_file import load_design

SOURCES = re.compile(
    r'<div class="sources"><a href="#([^"]+)">.*?<a download="([^"]+)" href="([^"]+)">.*?</div>',
    re.DOTALL,
)


def sources(html):
    """What stands under each figure and table, by its name: the text and its CSV's rows."""
    return {
        found[1]: (found[0], list(csv.DictReader(io.StringIO(csv_of(found[3])))))
        for found in SOURCES.finditer(html)
    }


def csv_of(link):
    return csv_text(unescape(link))


@pytest.fixture(scope="session")
def two(analyzed) -> tuple[Submission, Submission]:
    """A study that has a store, and one that has none."""
    stored = Submission("stored", load_results(analyzed.results), load_design(analyzed.study))
    return stored, submitted("drawn")


def test_every_figure_and_table_has_a_link_a_query_and_its_data_without_a_script():
    html = page_of(*THREE)
    named, found = places(html), sources(html)
    shown = html.partition("<script")[0]
    assert len(named) == len(re.findall("<figure|<table", shown)) == len(found) > 8
    assert set(named) == set(found)
    for name, (text, rows) in found.items():
        assert "SELECT" in sql_of(text), name
        assert "-- Asked of one study's store (store.duckdb)" in sql_of(text), name
        assert rows, name
    files = [each[2] for each in SOURCES.finditer(html)]
    assert len(files) == len(set(files))


def test_what_no_store_can_answer_is_said_to_stand_in_the_comparison():
    comparison, found = compare(THREE), sources(page_of(*THREE))
    for place, claim in enumerate(comparison.claims):
        for at in range(len(claim.alike)):
            text = sql_of(found[f"figure-forest-{claim.hypothesis}-{at}"][0])
            assert f"in no store: claims[{place}].alike[{at}].summary of what --json" in text
    alone = sources(page_of(THREE[0]))
    assert not any("in no store" in sql_of(text) for text, _ in alone.values())


def test_a_label_cannot_leave_its_comment():
    broken = Submission("a\nDROP TABLE\r\u2028study", THREE[0].results, THREE[0].design)
    for text, _ in sources(page_of(broken, THREE[1])).values():
        lines = sql_of(text).splitlines()
        assert not [line for line in lines if "DROP" in line and not line.startswith("--")]


def test_a_forest_plot_s_query_gives_the_study_s_line(two, analyzed):
    comparison, found = compare(two), sources(page_of(*two))
    checked = 0
    with open_reader(analyzed.store) as store:
        for claim in comparison.claims:
            for at, alike in enumerate(claim.alike):
                text, rows = found[f"figure-forest-{claim.hypothesis}-{at}"]
                member = alike.members[0]
                if member.study != 0:
                    continue
                (line,) = store.frame(sql_of(text)).rows(named=True)
                assert member.interval is not None
                bounds = member.interval.low, member.interval.high
                assert (line["estimate"], line["standard_error"]) == pytest.approx(
                    (member.estimate, member.standard_error)
                )
                assert (line["interval_95_low"], line["interval_95_high"]) == pytest.approx(bounds)
                assert (line["df"], line["n"]) == (pytest.approx(member.df), member.n)
                assert float(rows[0]["estimate"]) == member.estimate
                assert f"stored: {finding_of(two[0], claim.hypothesis)} of its" in sql_of(text)
                checked += 1
    assert checked > 5


def finding_of(submission, hypothesis):
    findings = submission.results.findings
    return next(
        f"findings[{index}]"
        for index, finding in enumerate(findings)
        if finding.hypothesis == hypothesis and finding.deciding
    )


def test_the_matrix_s_query_gives_the_study_s_column(two, analyzed):
    comparison, (text, rows) = compare(two), sources(page_of(*two))["matrix"]
    with open_reader(analyzed.store) as store:
        found = store.frame(sql_of(text))
    told = sorted((r["hypothesis"], r["outcome"], r["verdict"]) for r in found.rows(named=True))
    shown = sorted(
        (claim.hypothesis, outcome.outcome, str(finding.verdict))
        for claim in comparison.claims
        for finding in (claim.readings[0].deciding, claim.readings[0].published)
        if finding is not None
        for outcome in finding.outcomes
    )
    assert told == shown
    taken = sorted((r["claim"], r["outcome"], r["verdict"]) for r in rows if r["study"] == "stored")
    assert taken == shown


def test_the_csv_of_a_forest_plot_holds_every_number_at_full_precision():
    comparison, found = compare(THREE), sources(page_of(*THREE))
    for claim in comparison.claims:
        for at, alike in enumerate(claim.alike):
            *lines, mean = found[f"figure-forest-{claim.hypothesis}-{at}"][1]
            assert [line["line"] for line in lines] == ["digits", "cifar", "lab"]
            assert [float(line["weight"]) for line in lines] == [m.weight for m in alike.members]
            summary = alike.summary
            assert summary is not None
            assert summary.prediction is not None
            assert float(mean["estimate"]) == summary.estimate
            assert float(mean["tau2_high"]) == summary.tau2_interval.high
            assert float(mean["prediction_low"]) == summary.prediction.low
            assert float(mean["q_p"]) == summary.q_p


def test_the_query_of_declared_differences_gives_the_study_s_values(two, analyzed):
    comparison = compare(two)
    text, rows = sources(page_of(*two))["keys-that-the-studies-declare-differently"]
    with open_reader(analyzed.store) as store:
        (told,) = store.frame(sql_of(text)).rows(named=True)
    assert len(comparison.differences) > 3
    for each, row in zip(comparison.differences, rows, strict=True):
        mine = each.values[0]
        said = told[each.key]
        assert (None if said is None else json.loads(said)) == (mine and json.loads(mine))
        assert row["stored"] == (mine or "")


def test_no_link_is_named_as_another():
    links = [e for e in elements(page_of(*THREE)) if e.tag == "a" and e.text.startswith("Link")]
    assert len({link.text for link in links}) == len(links) > 8
