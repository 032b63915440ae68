"""axe-core finds nothing to mend: every section opened, both themes, phone and wide.

axe-core comes with the package axe-core-python; KD_AXE names another axe.min.js, as of a newer
version.
"""

import os
from importlib.util import find_spec
from pathlib import Path

import pytest
from test_compare_page import THREE, page_of

pytestmark = pytest.mark.browser

OPEN_ALL = "document.querySelectorAll('details').forEach((each) => { each.open = true; })"
VIOLATIONS = """
axe.run(document, { resultTypes: ["violations"] }).then((found) => found.violations.flatMap(
  (rule) => rule.nodes.map((node) => `${rule.id}: ${node.html.slice(0, 200)}`)))
"""


@pytest.fixture(scope="session")
def axe() -> str:
    """Return axe-core's script."""
    named = os.environ.get("KD_AXE")
    if named:
        return Path(named).read_text(encoding="utf-8")
    package = find_spec("axe_core_python")
    if package is None or not package.submodule_search_locations:
        message = "axe-core-python is not installed: whether all can read the page is not tested"
        if os.environ.get("KD_REQUIRE_BROWSER"):
            pytest.fail(message)
        pytest.skip(message)
    folder = Path(package.submodule_search_locations[0])
    return (folder / "axe.min.js").read_text(encoding="utf-8")


def violations(tab, axe: str) -> list[str]:
    """Return what axe-core objects to in the page that is open, one line per element."""
    tab.evaluate(f"{axe}; undefined")
    return tab.evaluate(VIOLATIONS)


@pytest.mark.long
@pytest.mark.parametrize(
    ("width", "dark"),
    [pytest.param(390, True, id="phone-dark"), pytest.param(1400, False, id="wide-light")],
)
def test_no_section_has_a_violation(tab, axe, analyzed, width, dark):
    tab.open(analyzed.page, width=width, dark=dark)
    tab.evaluate(OPEN_ALL)
    tab.draw_all()
    assert violations(tab, axe) == []


@pytest.mark.long
def test_a_page_with_every_kind_of_verdict_has_no_violation(tab, axe, drawn):
    tab.open(drawn.page, width=390)
    tab.evaluate(OPEN_ALL)
    tab.draw_all()
    assert violations(tab, axe) == []


@pytest.mark.long
@pytest.mark.parametrize(
    ("width", "dark"),
    [pytest.param(390, True, id="phone-dark"), pytest.param(1400, False, id="wide-light")],
)
def test_a_page_of_several_studies_has_no_violation(tab, axe, tmp_path, width, dark):
    page = tmp_path / "compare.html"
    page.write_text(page_of(*THREE), encoding="utf-8")
    tab.open(page, width=width, dark=dark)
    tab.evaluate(OPEN_ALL)
    assert violations(tab, axe) == []


def test_a_violation_is_found(tab, axe, tmp_path):
    page = tmp_path / "page.html"
    page.write_text(
        "<!doctype html><html lang=en><title>t</title><main><h1>t</h1><img src=a.png></main>"
    )
    tab.open(page)
    assert [line.partition(":")[0] for line in violations(tab, axe)] == ["image-alt"]
