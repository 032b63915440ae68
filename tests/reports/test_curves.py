"""Specification curves on the page: drawn without a script, every specification to be read."""

import csv
import io
import re

import pytest
from conftest import csv_text, elements
from drawn_results import drawn_results
from test_page import visible

from reports.curves import _Axis


def sections(html):
    """HTML of each claim's section, by claim."""
    parts = re.split(r'<section class="one" id="claim-(\w+)"', html)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def columns(path):
    """Where marks stand along the horizontal axis."""
    return [int(place) for place in re.findall(r"M(\d+)\.5 ", path)]


def columns_of(paths):
    return sorted(place for path in paths for place in columns(path))


def counted(curve):
    return [each for each in curve["specifications"] if each["standardized"] is not None]


@pytest.fixture(scope="module")
def curves(analyzed):
    found = {curve["hypothesis"]: curve for curve in analyzed.json["multiverse"]}
    assert set(found) == {"H1", "H2a", "H2b", "H3a", "H3b", "H4"}
    return found


def test_every_specification_has_one_point_and_one_mark_under_each_choice(analyzed, curves):
    for name, section in sections(analyzed.html).items():
        if name not in curves:
            continue
        found = counted(curves[name])
        plot = re.search(r'<svg class="curve-plot".*?</svg>', section).group()
        points = re.findall(r'<path class="point [^"]*" d="([^"]*)"', plot)
        assert columns_of(points) == list(range(len(found)))
        strips = iter(re.findall(r'<svg class="curve-strip".*?</svg>', section))
        for place, choice in enumerate(curves[name]["choices"]):
            for option in choice["options"]:
                marks = re.findall(r'<path class="mark [^"]*" d="([^"]*)"', next(strips))
                taken = [at for at, each in enumerate(found)
                         if each["options"][place] == option["name"]]  # fmt: skip
                assert columns_of(marks) == taken
        assert next(strips, None) is None


def test_colours_say_which_specifications_are_significant_and_which_are_not_counted(
    analyzed, curves
):
    section = sections(analyzed.html)["H1"]
    plot = re.search(r'<svg class="curve-plot".*?</svg>', section).group()
    kinds = dict(re.findall(r'<path class="point k-(\w+)" d="([^"]*)"', plot))
    for at, each in enumerate(counted(curves["H1"])):
        kind = next(kind for kind, path in kinds.items() if at in columns(path))
        if each["standing"] != "counted":
            assert kind == "beside"
        elif not each["significant"]:
            assert kind == "neither"
        else:
            assert kind == ("claimed" if each["standardized"] > 0 else "opposite")
    decides = re.search(r'<path class="decides" d="([^"]*)"', plot).group(1)
    assert [counted(curves["H1"])[at]["deciding"] for at in columns(decides)] == [True]


def test_all_specifications_stand_in_a_table_and_in_a_csv_at_full_precision(analyzed, curves):
    for name, section in sections(analyzed.html).items():
        if name not in curves:
            continue
        found = curves[name]["specifications"]
        inside = elements(section)
        cited = [
            float(e.attributes["value"])
            for e in inside
            if re.search(r"specifications\[\d+\]\.standardized$", e.attributes.get("data-from", ""))
        ]
        assert cited == [each["standardized"] for each in counted(curves[name])]
        file = f"{name}-specifications.csv"
        link = next(
            e for e in inside if e.attributes.get("download", "").removesuffix(".gz").endswith(file)
        )
        text = csv_text(link.attributes["href"])
        rows = list(csv.DictReader(io.StringIO(text)))
        assert len(rows) == len(found)
        for row, each in zip(rows, found, strict=True):
            assert float(row["estimate"]) == each["estimate"]
            assert float(row["p_value"]) == each["p_value"]
            names = [choice["name"] for choice in curves[name]["choices"]]
            assert [row[choice] for choice in names] == each["options"]


def test_the_sentence_gives_shares_median_and_joint_tests_of_the_results(analyzed, curves):
    for name, curve in curves.items():
        text = visible(f"<body>{sections(analyzed.html)[name]}</body>")
        assert f"Of {curve['counted']} defensible specification" in text
        assert "this curve does not change it" in text
        draws = curve["joint"][0]["draws"]
        assert f"effects turned round in all {draws} ways" in text
        assert "the median’s p cannot be below" in text


def test_the_axis_holds_zero_every_effect_and_every_bound():
    axis = _Axis(-0.7, 3.1)
    assert axis.y(3.1) == 0
    assert axis.y(-0.7) == axis.y(-9) == 200
    assert axis.ticks() == [0, 1, 2, 3]
    assert _Axis.of([]).y(0) == 100


def test_below_three_seeds_there_is_a_table_and_no_drawing(write_page):
    written = write_page(None, seeds=2, strengths=(0, 1))
    assert "curve-plot" not in re.sub(r"(?s)<style>.*?</style>", "", written.html)
    assert "none is tested" in visible(written.html)


def test_results_without_curves_give_a_page_without_them(write_page):
    html = write_page(drawn_results(), seeds=1).html
    assert "Under other defensible choices" not in html
