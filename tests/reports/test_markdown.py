"""The report as Markdown: the page's words and numbers, whole tables, nothing that breaks out."""

import dataclasses
import re

import pytest
from conftest import Written, elements
from drawn_results import drawn_results
from markupsafe import Markup

from reports.pasted import markdown_table, said
from reports.tables import Row, Table

TITLE = "</title><script>alert(1)</script> | [a](b) *x* 手写 أرقام"
_NOT_ESCAPED = r"(?<!\\)"


def _text(written: Written) -> str:
    return written.page.with_suffix(".md").read_text(encoding="utf-8")


def _tables(text: str) -> list[list[str]]:
    blocks = [block.splitlines() for block in text.split("\n\n")]
    return [block for block in blocks if block[0].startswith("|")]


@pytest.mark.parametrize("name", ["analyzed", "drawn"])
def test_every_table_has_as_many_cells_in_each_row(name: str, request):
    tables = _tables(_text(request.getfixturevalue(name)))
    assert len(tables) > 5
    for table in tables:
        assert len({len(re.findall(_NOT_ESCAPED + r"\|", row)) for row in table}) == 1, table[0]


@pytest.mark.parametrize("name", ["analyzed", "drawn"])
def test_every_claim_stands_with_the_numbers_that_the_page_shows(name: str, request):
    written = request.getfixturevalue(name)
    text = _text(written).replace("\\", "")
    for claim in ("H1", "H2a", "H2b", "H3a", "H3b", "H4"):
        assert f"\n## {claim}: " in text
    shown = [
        element.text
        for element in elements(written.html)
        if element.tag == "data"
        and re.match(r"findings\[\d+\]\.outcomes", element.attributes["data-from"])
    ]
    assert len(shown) > 10
    assert [number for number in shown if number not in text] == []


def test_no_element_of_the_page_is_left_in_the_text(analyzed):
    text = _text(analyzed)
    assert not re.search(_NOT_ESCAPED + r"<", text)
    assert "data-from" not in text
    assert "\n\n\n" not in text


def test_text_of_a_study_stays_text(write_page):
    results = dataclasses.replace(drawn_results(), title=TITLE)
    first = _text(write_page(results, seeds=2)).splitlines()[0]
    assert not re.search(_NOT_ESCAPED + r"[<>|*\[]", first)
    assert first.replace("\\", "") == f"# {TITLE}"


def test_elements_become_emphasis_and_methods_and_pictures_are_left_out():
    cell = Markup(
        '<i>t</i> &lt; <b>3</b><small class="how">by <i>hand</i></small><svg><g>x</g></svg>'
        "<small>beside</small>"
    )
    assert said(cell) == "*t* \\< **3** beside"


def test_a_table_sets_the_deciding_row_in_bold_and_ends_with_its_note():
    table = Table(
        "Tests", ("Test", "p"), (Row(("a|b", "1"), "primary"), Row(("c", "2"))), note="Read it."
    )
    assert markdown_table(table) == (
        "| Test | p |\n| --- | ---: |\n| **a\\|b** | 1 |\n| c | 2 |\n\nRead it."
    )
    assert markdown_table(dataclasses.replace(table, rows=())) == ""
