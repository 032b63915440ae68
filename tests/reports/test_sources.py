"""Every figure and table has a link of its own, SQL that runs on the store, and its data as CSV."""

import csv
import io
import re
from html import unescape

import pytest
from conftest import csv_text, elements

from analyze.hypotheses import STRENGTH
from store.database import open_reader

FIGURE = re.compile(r'<figure[^>]*?\bid="([^"]+)"|<div class="panel" id="([^"]+)"')
TABLE = re.compile(r'<div class="scroll" id="([^"]+)"')
SOURCES = re.compile(r'<div class="sources"><a href="#([^"]+)">.*?</div>', re.DOTALL)
SIMULATED = ("how-often-the-tests-err", "simulated-studies-")
"""Tables of simulated studies, which no store holds."""
SQL = re.compile(r"<code>(.*?)</code>", re.DOTALL)


def places(html):
    """Names of the page's figures and tables."""
    figures = [first or second for first, second in FIGURE.findall(html)]
    return figures + TABLE.findall(html)


def sources(html):
    """What stands under each figure and table, by its name."""
    return {found[1]: found[0] for found in SOURCES.finditer(html)}


def sql_of(source):
    return unescape(SQL.findall(source)[0])


@pytest.fixture(params=["analyzed", "drawn"])
def page(request):
    return request.getfixturevalue(request.param)


def test_every_figure_and_table_has_a_link_a_query_and_its_data(page):
    html = page.html
    named = places(html)
    assert len(named) > 60
    shown = html.partition("<script")[0]
    assert len(named) == len(re.findall(r"<figure|<table|<div class=\"panel\"", shown))
    assert set(named) == set(sources(html))
    for name, source in sources(html).items():
        assert bool(SQL.search(source)) != name.startswith(SIMULATED), name
        assert "<a download=" in source or "data-rows=" in source, name


def test_no_two_places_have_the_same_name(page):
    names = [each.attributes["id"] for each in elements(page.html) if "id" in each.attributes]
    assert len(set(names)) == len(names)
    links = set(re.findall(r'href="#([^"]+)"', page.html))
    assert links <= set(names)


def test_every_query_runs_on_the_store(page):
    queries = {
        sql_of(source)
        for name, source in sources(page.html).items()
        if not name.startswith(SIMULATED)
    }
    assert len(queries) > 20
    with open_reader(page.store) as store:
        for query in queries:
            assert store.frame(query).width > 0


def test_a_trend_s_query_gives_what_its_figure_draws(analyzed):
    html, checked = analyzed.html, 0
    with open_reader(analyzed.store) as store:
        for index, fit in enumerate(analyzed.json["fits"]):
            if fit["predictor"] != STRENGTH or not fit["points"]:
                continue
            found = store.frame(sql_of(sources(html)[f"figure-fit-{index}"]))
            drawn = sorted((p["block"], p["strength"], p["y"]) for p in fit["points"])
            assert found.select("block", "strength", "y").rows() == pytest.approx(drawn)
            checked += 1
    assert checked > 4


def test_an_association_s_query_gives_one_row_for_each_of_its_points(analyzed):
    checked = 0
    with open_reader(analyzed.store) as store:
        for index, fit in enumerate(analyzed.json["fits"]):
            if fit["predictor"] == STRENGTH or not fit["points"]:
                continue
            found = store.frame(sql_of(sources(analyzed.html)[f"figure-fit-{index}"]))
            drawn = sorted((p["block"], p["strength"]) for p in fit["points"])
            assert found.select("block", "strength").sort("block", "strength").rows() == drawn
            checked += 1
    assert checked > 4


def test_a_table_s_query_gives_the_tests_that_it_lists(analyzed):
    html = analyzed.html
    with open_reader(analyzed.store) as store:
        for finding in analyzed.json["findings"]:
            told = "sound-measures" if finding["form"] == "plain" else "measures-as-published"
            name = f"tests-of-{finding['hypothesis'].lower()}-{finding['arm']}-arm-{told}"
            found = store.frame(sql_of(sources(html)[name]))
            listed = sorted((e["outcome"], e["test"]) for e in finding["evidence"])
            assert sorted(found.select("outcome", "test").rows()) == listed


def test_a_curve_s_query_gives_every_specification(analyzed):
    checked = 0
    with open_reader(analyzed.store) as store:
        for curve in analyzed.json["multiverse"]:
            found = store.frame(sql_of(sources(analyzed.html)[f"curve-{curve['hypothesis']}"]))
            given = found.select("outcome", "standing", "deciding", "estimate", "standardized", "n")
            names = given.columns
            assert given.rows() == [
                tuple(one[name] for name in names) for one in curve["specifications"]
            ]
            options = [" | ".join(one["options"]) for one in curve["specifications"]]
            assert found["options"].to_list() == options
            checked += len(options)
    assert checked > 100


@pytest.mark.browser
def test_every_csv_button_gives_full_numbers_in_rows_of_one_length(tab, analyzed):
    tab.open(analyzed.page)
    texts = tab.evaluate(
        """(async () => {
          const blobs = [];
          URL.createObjectURL = (blob) => { blobs.push(blob); return "#"; };
          HTMLAnchorElement.prototype.click = () => {};
          document.querySelectorAll(".sources button").forEach((button) => button.click());
          return Promise.all(blobs.map((blob) => blob.text()));
        })()"""
    )
    assert len(texts) == analyzed.html.count("data-rows=")
    for text in texts:
        lines = list(csv.reader(io.StringIO(text)))
        assert len(lines) > 1
        assert len({len(line) for line in lines}) == 1
    estimate = next(e for e in analyzed.json["findings"][0]["evidence"] if e["estimate"])
    assert any(repr(estimate["estimate"]) in text for text in texts)
    assert tab.complaints() == []


@pytest.mark.browser
def test_a_packed_csv_is_downloaded_as_text_where_scripts_run(tab, analyzed):
    tab.open(analyzed.page)
    packed = [
        each.attributes
        for each in elements(analyzed.html)
        if each.attributes.get("href", "").startswith("data:application/gzip")
    ]
    assert packed
    assert {each["download"][-7:] for each in packed} == {".csv.gz"}
    texts = tab.evaluate(
        """(async () => {
          const blobs = [];
          URL.createObjectURL = (blob) => { blobs.push(blob); return "#"; };
          const links = [...document.querySelectorAll('a[href^="data:application/gzip"]')];
          const click = (link) => link.dispatchEvent(new MouseEvent("click", {cancelable: true}));
          links.forEach(click);
          while (blobs.length < links.length) await new Promise((go) => setTimeout(go, 20));
          return Promise.all(blobs.map((blob) => blob.text()));
        })()"""
    )
    assert sorted(texts) == sorted(csv_text(each["href"]) for each in packed)
