"""The page of a factorial study, as the analysis sees a synthetic one."""

import re

import pytest
from conftest import Written, elements, written_of
from test_page import agrees, cited, resolve

CLAIMS = """\
claims:
  H1: {sesoi: {attention_iou_adjusted: 0.05}}
  H2a: {sesoi: {generalization_gap: 0.02}}
"""


@pytest.fixture(scope="module")
def factorial(tmp_path_factory) -> Written:
    return written_of(
        tmp_path_factory.mktemp("factorial"),
        None,
        seeds=3,
        conditions="{kind: factorial, teachers: [1, 2]}",
        claims=CLAIMS,
        test_images=40,
        train_images=20,
    )


def drawings(written):
    return [
        e for e in elements(written.html) if e.attributes.get("class", "").startswith("contrast")
    ]


def test_every_contrast_is_drawn_and_has_a_row_with_its_numbers(factorial):
    contrasts = factorial.json["contrasts"]
    assert len(contrasts) == 5 * 3 + 5 * 8 + 4
    lines = [e for e in drawings(factorial) if e.tag == "div"]
    assert len(lines) == len(contrasts)
    sources = {e.attributes["data-from"] for e in cited(factorial)}
    for place, contrast in enumerate(contrasts):
        tests = [item["test"] for item in contrast["evidence"]]
        for test in ("contrast_t", "contrast_sign_flip", "contrast_wilcoxon"):
            assert f"contrasts[{place}].evidence[{tests.index(test)}].p_value" in sources
        assert f"contrasts[{place}].evidence[0].q_value" in sources
        assert (f"contrasts[{place}].sesoi" in sources) is (contrast["sesoi"] is not None)


def test_every_number_of_the_page_is_the_results(factorial):
    numbers = [e for e in cited(factorial) if not e.attributes["data-from"].startswith("sql:")]
    content = factorial.json
    for number in numbers:
        value = float(number.attributes["value"])
        assert value == resolve(content, number.attributes["data-from"]), number
        assert agrees(number.text, value), number


def test_conditions_are_told_apart_by_their_teachers(factorial):
    html = factorial.html
    assert "six students" not in html
    assert "twelve students" in html
    assert "one and two teachers and the student weak or strong" in html
    heads = [e.text for e in elements(html) if e.tag == "th" and e.attributes.get("scope") == "col"]
    assert {"WW", "WS", "SW", "SS"} <= set(heads)
    columns = [e.text for e in elements(html) if e.tag == "h5"]
    assert columns == ["image", "WW", "WS", "SW", "SS"] * 3
    for words in ("WW: T1 weak, T2 weak", "WS: T1 weak, T2 strong", "SS: T1 strong, T2 strong"):
        assert f"Teachers {words}" in html
    assert "Weak students of two teachers" in html
    rows = re.findall(r"weak students of two teachers, decides", html)
    assert len(rows) == 4


def test_the_page_says_that_a_mean_strength_is_a_mixture(factorial):
    assert "lie mixtures, no augmentation between the two" in factorial.html
    assert "or, on strength, their mean where ensembles share a mean strength" in factorial.html


def test_each_ensemble_size_has_charts_over_its_compositions(factorial):
    named = {
        e.attributes["data-chart"] for e in elements(factorial.html) if "data-chart" in e.attributes
    }
    assert "conditions-2-generalization_gap-weak_of_2" in named
    assert "conditions-1-agreement-strong_of_1" in named
    # of the teachers alone one chart is enough
    assert len([name for name in named if "conditions-2-attention_iou_adjusted-" in name]) == 1


def test_a_list_has_no_contrasts_and_names_ensembles_by_strength(tmp_path):
    conditions = ", ".join(
        f"{{teachers: {team}, student: 0.5}}" for team in ([0, 0], [0, 1], [1, 0], [1, 1])
    )
    written = written_of(
        tmp_path,
        None,
        seeds=2,
        conditions=f"{{kind: list, conditions: [{conditions}]}}",
        claims=CLAIMS,
        test_images=40,
        train_images=20,
    )
    html = written.html
    assert 'id="contrasts"' not in html
    heads = [e.text for e in elements(html) if e.tag == "th"]
    assert {"0", "0 + 1", "1 + 0", "1"} <= set(heads)
    assert "one for each condition that the study lists" in html
    assert "a mixture, no augmentation between theirs" in html
    assert "Teachers: T1 at strength 0, T2 at strength 1" in html


@pytest.mark.browser
def test_a_browser_draws_the_charts_of_conditions_once_they_are_opened(factorial, tab):
    tab.open(factorial.page, width=390, dark=True)
    tab.evaluate("document.querySelectorAll('#contrasts details').forEach((d) => (d.open = true))")
    tab.draw_all()
    assert tab.complaints() == []
    assert tab.requests() == []
    assert tab.evaluate("document.documentElement.scrollWidth") == 390
