"""The page of several studies: numbers, words, and what is not put together."""

import dataclasses
import json
import re
from itertools import pairwise
from pathlib import Path

import pytest
from chromium import Tab
from conftest import elements
from drawn_results import drawn_results
from synthetic import make_study
from test_page import TITLE, agrees, resolve, visible

from analyze.compare import compare
from analyze.comparison import comparison_to_json
from analyze.likeness import Submission
from analyze.results import Results
from analyze.serialize import save_results
from reports.__main__ import main
from reports.compare import make_comparison_page, render_comparison
from store.study_file import load_design

TINY = Path(__file__).parents[1] / "workflow" / "tiny.yaml"
DESIGN = load_design(TINY)


def moved(results: Results, by: float, name: str) -> Results:
    """The same results of another study, every estimate moved by so much."""

    def interval(one):
        return one and dataclasses.replace(one, low=one.low + by, high=one.high + by)

    findings = tuple(
        dataclasses.replace(
            finding,
            outcomes=tuple(
                dataclasses.replace(
                    outcome,
                    estimate=None if outcome.estimate is None else outcome.estimate + by,
                    interval_95=interval(outcome.interval_95),
                )
                for outcome in finding.outcomes
            ),
        )
        for finding in results.findings
    )
    return dataclasses.replace(results, study=name, study_hash=name * 8, findings=findings)


def submitted(label: str, by: float = 0.0, *, seed: int | None = None, **drawn) -> Submission:
    design = DESIGN.model_copy(update={"study_seed": sum(label.encode()) if seed is None else seed})
    return Submission(label, moved(drawn_results(**drawn), by, label), design)


def page_of(*submissions: Submission) -> str:
    return render_comparison(make_comparison_page(compare(submissions), submissions))


THREE = (submitted("digits"), submitted("cifar", -0.03), submitted("lab", 0.04, seeds=5))


def test_every_number_is_the_comparison_s_and_rounded_rightly():
    content = json.loads(comparison_to_json(compare(THREE)))
    numbers = [e for e in elements(page_of(*THREE)) if e.tag == "data"]
    assert len(numbers) > 300
    for number in numbers:
        value = float(number.attributes["value"])
        assert value == resolve(content, number.attributes["data-from"]), number
        assert agrees(number.text, value), number
    sources = " ".join(e.attributes["data-from"] for e in numbers)
    for part in ("summary.tau2", "summary.prediction.low", "summary.i2", "summary.q_p", "weight"):
        assert part in sources


def test_every_claim_stands_in_every_study_with_its_verdict_in_words():
    found = elements(page_of(*THREE))
    matrix = next(e.text for e in found if e.attributes.get("class") == "matrix")
    cells = [e for e in found if e.attributes.get("role") == "cell"]
    assert len(cells) == 6 * 3
    assert matrix.count("As published") == 6 * 3
    for word in ("Supported", "Negligible", "Undecided", "Contradicted, size uncertain"):
        assert word in matrix


def test_a_forest_plot_draws_every_study_the_mean_and_the_band():
    comparison = compare(THREE)
    html = page_of(*THREE)
    alike = [one for claim in comparison.claims for one in claim.alike]
    assert html.count('<figure class="contrasts forests"') == len(alike)
    assert html.count('<polygon class="diamond" points="') == len(alike) + 1  # and the key's
    squares = html.count('<rect class="point"') - 1
    assert squares == sum(len(one.members) for one in alike)


def test_a_meta_analysis_is_told_with_its_method_and_no_verdict():
    told = [e.text for e in elements(page_of(*THREE)) if e.tag == "blockquote"]
    assert len(told) == 7
    for text in told:
        assert "random-effects mean of 3 studies" in text
        assert "Hartung, Knapp, Sidik and Jonkman" in text
        assert "prediction interval" in text
        assert not re.search("supported|negligible|undecided|contradicted", text, re.IGNORECASE)


def test_one_study_gives_a_page_without_a_mean():
    html = page_of(THREE[0])
    assert "One study of the same claims" in visible(html)
    assert "One study alone: there is nothing alike to put it together with." in visible(html)
    assert "<blockquote" not in html


def test_a_claim_that_one_study_does_not_ask_is_said_to_be_absent():
    less = dataclasses.replace(
        THREE[1].results,
        findings=tuple(f for f in THREE[1].results.findings if f.hypothesis != "H3b"),
    )
    html = page_of(THREE[0], dataclasses.replace(THREE[1], results=less))
    assert "not asked" in visible(html)
    assert "not asked in one" in visible(html)


def test_studies_in_which_everything_failed_give_a_page_that_says_so():
    html = page_of(submitted("a", nothing=True), submitted("b", nothing=True))
    assert "No data in two." in visible(html)
    assert "No study has an estimate to put together." in visible(html)
    assert "a, generalization gap: it has no estimate." in visible(html)


def test_below_three_seeds_a_study_is_shown_and_not_put_together():
    html = page_of(*THREE[:2], submitted("small", seeds=2))
    assert "Described only" in visible(html)
    assert "small, generalization gap: it has fewer than 3 seeds" in visible(html)


def test_labels_and_titles_with_html_stay_text():
    named = dataclasses.replace(THREE[0], label=TITLE)
    titled = dataclasses.replace(
        THREE[1], results=dataclasses.replace(THREE[1].results, title=TITLE)
    )
    found = elements(page_of(named, titled))
    assert [e for e in found if e.tag == "bdi" and e.text == TITLE]
    assert [e for e in found if e.tag == "b" and e.text == TITLE]
    assert not [e for e in found if e.tag == "img" or "onerror" in e.attributes]
    assert sum(e.tag == "script" for e in found) == 2


def test_ids_are_unique_links_lead_somewhere_and_drawings_have_words():
    found = elements(page_of(*THREE))
    ids = [e.attributes["id"] for e in found if "id" in e.attributes]
    assert len(ids) == len(set(ids))
    for element in found:
        link = element.attributes.get("href", "")
        assert not link.startswith("#") or link[1:] in ids, link
        for name in ("aria-labelledby",):
            assert element.attributes.get(name, ids[0]) in ids
        if element.attributes.get("role") == "img":
            assert element.attributes["aria-label"]


def saved(folder: Path, submission: Submission, study: str) -> Path:
    folder.mkdir(parents=True)
    results = dataclasses.replace(submission.results, study=study)
    save_results(folder / "results.json", results)
    return folder


def test_the_command_writes_the_page_and_its_numbers(tmp_path):
    one = saved(tmp_path / "one", THREE[0], "tiny")
    two = saved(tmp_path / "two", THREE[1], "tiny")
    out, numbers = tmp_path / "deep" / "compare.html", tmp_path / "compare.json"
    arguments = ["compare", str(one), f"their lab={two / 'results.json'}", "--study", str(TINY)]
    assert main([*arguments, "--out", str(out), "--json", str(numbers)]) == 0
    content = json.loads(numbers.read_text(encoding="utf-8"))
    assert [study["label"] for study in content["studies"]] == ["tiny", "their lab"]
    assert all(study["declared"] for study in content["studies"])
    # one hash and the same blocks: the second is no study of its own
    assert "which count once" in out.read_text(encoding="utf-8")


def test_what_a_study_declares_is_read_from_the_store_beside_its_results(tmp_path, capsys):
    made = make_study(tmp_path, seeds=1, strengths=(0, 1), arms=("fixed",))
    beside, numbers = made.store.parent / "results.json", tmp_path / "numbers.json"
    save_results(
        beside, dataclasses.replace(THREE[0].results, study=load_design(made.study_file).study)
    )
    arguments = ["compare", str(beside), "--out", str(tmp_path / "x.html"), "--json", str(numbers)]
    assert main(arguments) == 0
    (study,) = json.loads(numbers.read_text(encoding="utf-8"))["studies"]
    assert study["declared"]
    assert study["dose"] == "policy graded"
    save_results(beside, dataclasses.replace(THREE[0].results, study="another"))
    assert main(arguments) == 2
    assert "results.json beside it of 'another'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["{one}", "{one}"], "named 2 times"),
        (["{one}", "{none}"], "no such file"),
        (["x={one}", "x={two}"], "two studies are called 'x'"),
        (["{one}", "--study", "{none}"], "no such study file"),
        (["{one}", "--study", str(TINY)], "no results are of a study called 'tiny'"),
    ],
)
def test_a_mistake_is_one_line_and_nothing_is_written(arguments, said, tmp_path, capsys):
    places = {
        "one": saved(tmp_path / "one", THREE[0], "drawn"),
        "two": saved(tmp_path / "two", THREE[1], "drawn"),
        "none": tmp_path / "none.json",
    }
    out = tmp_path / "compare.html"
    assert main(["compare", *(a.format(**places) for a in arguments), "--out", str(out)]) == 2
    printed = capsys.readouterr().err
    assert printed.startswith("error: ")
    assert said in printed
    assert printed.count("\n") == 1
    assert not out.exists()


@pytest.mark.browser
@pytest.mark.parametrize("width", [390, 1400])
def test_the_page_never_scrolls_sideways_and_needs_no_script(tab: Tab, tmp_path, width):
    page = tmp_path / "compare.html"
    page.write_text(page_of(*THREE), encoding="utf-8")
    tab.ask("Emulation.setScriptExecutionDisabled", value=True)
    tab.open(page, width=width)
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    assert tab.evaluate("document.querySelectorAll('.diamond').length") == 8
    assert tab.complaints() == []
    assert tab.requests() == []


@pytest.mark.browser
def test_on_a_phone_every_number_of_a_drawing_can_be_read_and_none_meets_another(
    tab: Tab, tmp_path
):
    page = tmp_path / "compare.html"
    page.write_text(page_of(*THREE), encoding="utf-8")
    tab.open(page, width=390)
    axes = tab.evaluate(
        """[...document.querySelectorAll('.contrast.axis svg')].map((drawing) =>
          [...drawing.querySelectorAll('.tick')].map((tick) => {
            const box = tick.getBoundingClientRect();
            return [box.left, box.right, box.height];
          }).sort((one, other) => one[0] - other[0]))"""
    )
    assert len(axes) == 7
    for ticks in axes:
        assert all(height >= 12 for _, _, height in ticks)
        for (_, right, _), (left, _, _) in pairwise(ticks):
            assert right < left


@pytest.mark.browser
def test_on_paper_no_figure_is_cut_and_no_name_stands_without_its_drawing(tab: Tab, tmp_path):
    page = tmp_path / "compare.html"
    page.write_text(page_of(*THREE), encoding="utf-8")
    tab.open(page, width=700)
    tab.ask("Emulation.setEmulatedMedia", media="print")
    kept = tab.evaluate(
        "[...document.querySelectorAll('.forests, .matrix td, h2')]"
        ".map((each) => getComputedStyle(each).breakInside)"
    )
    assert set(kept) == {"avoid"}
    beside = tab.evaluate(
        """[...document.querySelectorAll('.forests .contrast:not(.axis)')].map((line) => {
          const [name, drawing, numbers] = [...line.children].map((e) => e.getBoundingClientRect());
          return name.right <= drawing.left && drawing.right <= numbers.left;
        })"""
    )
    assert len(beside) > 20
    assert all(beside)
    assert tab.evaluate("document.documentElement.scrollWidth") <= 700
