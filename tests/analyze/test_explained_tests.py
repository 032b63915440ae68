"""Every test that an analysis prints is explained in docs/tests.md, and nothing else is."""

import re
from pathlib import Path

import pytest
from simulated import CLAIMS, Truth, simulate, study

from analyze.assemble import assemble

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "tests.md"
COMPARED = re.compile(r"(_[\d.]+_against_[\d.]+|_r[\d.]+)$")
VARIANTS = re.compile(r"^(mixed_model)_(intercept|slope|correlated_slope)$")


def sections() -> dict[str, str]:
    """Text under each heading that is a test's identifier."""
    parts = re.split(r"^### (\w+)\n", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    texts = [re.split(r"^## ", text, flags=re.MULTILINE)[0] for text in parts[2::2]]
    return dict(zip(parts[1::2], texts, strict=True))


def heading(test: str) -> str:
    return VARIANTS.sub(r"\1", COMPARED.sub("", test))


def literals() -> set[str]:
    """Identifiers as the code writes them, up to the first part that is filled in."""
    sources = "\n".join(path.read_text(encoding="utf-8") for path in ROOT.glob("analyze/**/*.py"))
    return set(re.findall(r'\btest=f?"(\w+)', sources))


@pytest.fixture(scope="module")
def emitted() -> set[str]:
    design = study(seeds=4)
    results = assemble(design, simulate(design, Truth()))
    evidence = [
        *(item for finding in results.findings for item in finding.evidence),
        *(item for mediation in results.mediation for item in mediation.evidence),
    ]
    layout = {"kind": "factorial", "teachers": [2]}
    design = study(seeds=4, design=layout, claims={"H2a": CLAIMS["H2a"]})
    contrasts = assemble(design, simulate(design, Truth())).contrasts
    evidence += [item for contrast in contrasts for item in contrast.evidence]
    return {item.test for item in evidence}


def test_every_test_that_a_study_prints_is_explained(emitted):
    assert {heading(test) for test in emitted} - sections().keys() == set()


def test_every_test_that_the_code_names_is_explained():
    found = literals()
    assert {"per_seed_slope_t", "friedman", "mundlak_", "jzs_bayes_factor_r"} <= found
    headings = [f"{name}_r" if name == "jzs_bayes_factor" else f"{name}_" for name in sections()]
    unexplained = {
        written for written in found if not any(one.startswith(written) for one in headings)
    }
    assert unexplained == set()


def test_nothing_is_explained_that_no_code_can_print(emitted):
    known = {heading(test) for test in emitted} | {name.rstrip("_") for name in literals()}
    assert {re.sub(r"_against$", "", name) for name in sections()} - known == set()


@pytest.mark.parametrize("test", sections())
def test_each_explanation_is_five_lines_and_says_when_the_test_misleads(test):
    lines = [line for line in sections()[test].splitlines() if line]
    assert len(lines) == 5
    labels = [re.match(r"- \*\*(.+?):\*\* \S", line)[1] for line in lines]
    assert labels[0] == "Asks"
    assert labels[2] == "Misleads when"
    assert labels[4] == "Source"
