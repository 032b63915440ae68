"""Paths of mediation, the plane of affinity and diversity, and measures in linked pairs."""

import json
import re

import pytest
from drawn_results import drawn_results


def test_each_arrow_of_a_path_diagram_has_its_estimate(analyzed):
    told = [m for m in analyzed.json["mediation"] if m["evidence"]]
    assert told
    drawn = re.findall(r'<figure class="paths".*?</figure>', analyzed.html, re.DOTALL)
    assert len(drawn) == len(told)
    for mediation, figure in zip(told, drawn, strict=True):
        values = {e["test"]: e["estimate"] for e in mediation["evidence"]}
        cited = [float(value) for value in re.findall(r'<b><data value="([^"]+)"', figure)]
        named = ("mediation_a", "mediation_b", "mediation_ade", "mediation_acme", "mediation_total")
        assert cited == [values[name] for name in named]


def test_the_plane_joins_the_means_of_the_results_in_order_of_strength(analyzed):
    series = [s for s in analyzed.json["series"] if s["arm"] == "fixed"]
    means = {
        measure: [
            s["mean"]
            for s in sorted(series, key=lambda s: s["strength"])
            if s["measure"] == measure
        ]
        for measure in ("affinity", "diversity")
    }
    data = re.search(r'id="chart-data">(.*?)</script>', analyzed.html, re.DOTALL)
    assert data is not None
    table = json.loads(data[1])["tables"]["plane-mean"]
    assert len(table["strength"]) == 3
    assert table["strength"] == sorted(table["strength"])
    assert table["x"] == pytest.approx(means["affinity"], rel=1e-5)
    assert table["y"] == pytest.approx(means["diversity"], rel=1e-5)


def test_without_affinity_there_is_no_plane_and_the_page_says_why(write_page):
    html = write_page(drawn_results(seeds=2, nothing=True), seeds=2).html
    assert 'data-chart="plane"' not in html
    assert "Neither affinity nor diversity could be measured" in html
    assert "Fewer than two of attention overlap" in html


@pytest.mark.browser
def test_what_is_brushed_in_one_plot_stands_out_in_all(tab, analyzed):
    tab.open(analyzed.page)
    pairs = "document.querySelector('[data-chart=pairs]')"
    tab.evaluate(f"{pairs}.scrollIntoView({{behavior: 'instant'}})")
    tab.wait(f"{pairs}.classList.contains('drawn')")
    # what is drawn above it moves it
    tab.evaluate(f"{pairs}.scrollIntoView({{behavior: 'instant'}})")
    opacities = """[...document.querySelectorAll('[data-chart=pairs] .mark-symbol.role-mark')].map(
      (plot) => [...plot.querySelectorAll('path')].map((point) =>
        Number(point.getAttribute('opacity'))))"""
    before = tab.evaluate(opacities)
    assert len(before) == 3
    assert {value for plot in before for value in plot} == {0.85}
    box = tab.evaluate(
        """(() => {
          const plot = document.querySelector('[data-chart=pairs] .mark-symbol.role-mark');
          const points = [...plot.querySelectorAll('path')].map((p) => p.getBoundingClientRect());
          const x = points.map((p) => p.x + p.width / 2), y = points.map((p) => p.y + p.height / 2);
          const middle = [...x].sort((a, b) => a - b)[Math.floor(x.length / 2)];
          return [Math.min(...x) - 3, Math.min(...y) - 3, middle, Math.max(...y) + 3];
        })()"""
    )
    for kind, x, y in (
        ("mousePressed", *box[:2]),
        ("mouseMoved", *box[2:]),
        ("mouseReleased", *box[2:]),
    ):
        tab.ask(
            "Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", buttons=1, clickCount=1
        )
    tab.wait(f"{opacities}.every((plot) => new Set(plot).size === 2)")
    after = tab.evaluate(opacities)
    shown = [sum(value > 0.5 for value in plot) for plot in after]
    assert len(set(shown)) == 1
    assert 0 < shown[0] < len(after[0])


@pytest.mark.browser
def test_colours_go_from_one_end_of_the_ramp_to_the_other(tab, analyzed):
    tab.open(analyzed.page)
    pairs = "document.querySelector('[data-chart=pairs]')"
    tab.evaluate(f"{pairs}.scrollIntoView({{behavior: 'instant'}})")
    tab.wait(f"{pairs}.classList.contains('drawn')")
    fills = tab.evaluate(
        f"[...{pairs}.querySelectorAll('.role-legend-symbol path')].map((p) => "
        "p.getAttribute('fill').match(/[0-9]+/g).map(Number))"
    )
    ramp = tab.evaluate(
        """[0, 1, 2].map((place) => {
          const style = getComputedStyle(document.documentElement);
          const hex = style.getPropertyValue(`--ramp-${place}`);
          return [1, 3, 5].map((at) => parseInt(hex.trim().slice(at, at + 2), 16));
        })"""
    )
    assert fills == ramp  # three strengths, three stops
