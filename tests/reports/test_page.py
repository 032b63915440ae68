"""The page: every number is the result's, nothing breaks out, nothing is fetched."""

import base64
import csv
import dataclasses
import gzip
import hashlib
import io
import json
import re

import pytest
from conftest import Written, csv_text, elements
from drawn_results import drawn_results

from analyze.looks import look_at
from analyze.results import Results, SequentialLook
from analyze.serialize import load_results
from reports.claims import claim_views
from reports.figures import ChartBook, replicate_columns
from reports.numbers import MINUS, Citations
from reports.prose import adding_seeds_words
from reports.queries import GALLERY_CLASSES, GALLERY_IOU_AT, GALLERY_MEAN
from store.database import open_reader
from store.study_file import load_design

TITLE = '</title><script>alert("x")</script><img src=x onerror=alert(1)> 手写 أرقام'


def resolve(content, path):
    """Follow ``findings[0].outcomes[1].estimate`` through JSON."""
    for name, index in re.findall(r"(\w+)|\[(\d+)\]", path):
        content = content[name] if name else content[int(index)]
    return {"Infinity": float("inf"), "-Infinity": -float("inf")}.get(content, content)


def cited(written: Written):
    return [e for e in elements(written.html) if e.tag == "data"]


def agrees(shown: str, value: float) -> bool:
    """Whether a shown text is the value, rounded."""
    text = shown.replace(MINUS, "-").replace("\u202f", "")
    if text in {"∞", "-∞"}:
        return value == float(text.replace("∞", "inf"))
    if "×10" in text:
        digits = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")
        mantissa, power = text.split("×10")
        read = float(mantissa) * 10 ** int(power.translate(digits))
        return read == pytest.approx(value, rel=0.06)
    percents = 100 if text.endswith("%") else 1
    text = text.removesuffix("%")
    if text.startswith("<"):
        return percents * value < float(text[1:])
    if text.startswith(">"):
        return percents * value > float(text[1:])
    half = 0.5 * 10 ** -len(text.partition(".")[2])
    return abs(float(text) - percents * value) <= half + 1e-9


@pytest.mark.parametrize("name", ["drawn", "analyzed"])
def test_every_number_of_the_results_is_theirs_and_rounded_rightly(name, request):
    written = request.getfixturevalue(name)
    content = written.json
    numbers = [e for e in cited(written) if not e.attributes["data-from"].startswith("sql:")]
    assert len(numbers) > 500
    for number in numbers:
        value = float(number.attributes["value"])
        assert value == resolve(content, number.attributes["data-from"]), number
        assert agrees(number.text, value), number


def answer_of(reader, name, parts, method):
    """What a query of the gallery answers for a number that cites it with these arguments."""
    models = tuple(int(part) for part in parts[:2])
    if name == GALLERY_IOU_AT.name:
        image, tau = int(parts[2]), float(parts[3])
        return reader.frame(GALLERY_IOU_AT.sql, ([tau], *models, method, [image]))
    query = {each.name: each for each in (GALLERY_CLASSES, GALLERY_MEAN)}[name]
    return reader.frame(query.sql, (*models, method))


def test_every_number_of_the_store_is_what_its_query_answers(drawn):
    numbers = [e for e in cited(drawn) if e.attributes["data-from"].startswith("sql:")]
    assert len(numbers) > 100
    method = str(load_design(drawn.study).attention.primary)
    asked = set()
    with open_reader(drawn.store) as reader:
        for number in numbers:
            source = re.fullmatch(
                r"sql:(\w+)\(([\d.,]+)\)\[(\d+)\]\.iou", number.attributes["data-from"]
            )
            assert source
            answer = answer_of(reader, source[1], source[2].split(","), method)
            value = answer["iou"][int(source[3])]
            assert value == float(number.attributes["value"])
            assert agrees(number.text, value)
            asked.add(source[1])
    assert asked == {"gallery_iou_at", "gallery_classes", "gallery_mean"}


def test_every_verdict_stands_in_words(drawn):
    text = " ".join(e.text for e in elements(drawn.html) if e.tag == "li")
    for word in ("Supported", "Negligible", "Undecided", "Contradicted, size uncertain"):
        assert word in text


def test_the_page_asks_nothing_of_a_network(analyzed):
    for element in elements(analyzed.html):
        for name in ("src", "href", "action", "srcset", "poster"):
            link = element.attributes.get(name, "")
            assert not link or link.startswith(("#", "data:")), element.attributes
    style = next(e.text for e in elements(analyzed.html) if e.tag == "style")
    assert "url(" not in style
    assert "@import" not in style


def test_the_policy_allows_exactly_the_scripts_and_styles_of_the_page(analyzed):
    found = elements(analyzed.html)
    policy = next(e.attributes["content"] for e in found if "http-equiv" in e.attributes)
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy

    def digest(text):
        return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()

    scripts = [e for e in found if e.tag == "script" and "type" not in e.attributes]
    styles = [e for e in found if e.tag == "style"]
    packed = next(e.text for e in found if e.attributes.get("id") == "chart-library")
    library = gzip.decompress(base64.b64decode(packed)).decode()
    texts = [library, *(e.text for e in [*scripts, *styles])]
    assert {f"sha256-{digest(text)}" for text in texts} == set(re.findall(r"sha256-[^']+", policy))


def test_a_title_with_html_stays_text(write_page):
    written = write_page(drawn_results(title=TITLE), seeds=1)
    found = elements(written.html)
    assert next(e.text for e in found if e.tag == "h1") == TITLE
    assert next(e.text for e in found if e.tag == "title").startswith(TITLE)
    assert not [e for e in found if "onerror" in e.attributes]
    plain = elements(write_page(drawn_results(), seeds=1).html)
    assert count(found, "script") == count(plain, "script")
    assert count(found, "img") == count(plain, "img")


def test_text_of_the_results_cannot_end_the_chart_data(write_page):
    results = drawn_results(arms=("fixed</script><script>alert(1)</script>", "matched"))
    written = write_page(results, seeds=1)
    data = next(e.text for e in elements(written.html) if e.attributes.get("id") == "chart-data")
    arms = set(json.loads(data)["tables"]["replicates"]["arm"])
    assert arms == {"fixed</script><script>alert(1)</script>", "matched"}


def test_class_names_of_every_script_stand_in_the_gallery(write_page):
    import duckdb

    written = write_page(drawn_results(), seeds=1)
    with duckdb.connect(str(written.store)) as connection:
        connection.execute("UPDATE image SET class_name = '<b>数字</b> رقم ' || label")
    html = written.write().html
    labels = [e.text for e in elements(html) if e.tag == "bdi"]
    assert labels
    assert all(label.startswith("<b>数字</b> رقم ") for label in labels)


def test_below_three_seeds_nothing_is_tested(write_page):
    written = write_page(None, seeds=2, strengths=(0, 1))
    text = visible(written.html)
    assert "Description only" in text
    assert not [e for e in cited(written) if "p_value" in e.attributes["data-from"]]
    assert not re.search(r"\bp [<=] ", text)


def test_one_seed_at_one_strength_gives_a_page(write_page):
    written = write_page(None, seeds=1, strengths=(0.5,))
    assert "Described only" in visible(written.html) or "No data" in visible(written.html)


def test_one_teacher_gives_a_page_without_pictures_and_says_why(write_page):
    written = write_page(drawn_results(), seeds=1, teachers=1)
    assert "An ensemble of one teacher has no two to compare" in visible(written.html)


def test_a_study_where_everything_failed_gives_a_page_that_says_so(write_page):
    everything = [(block, ordinal) for block in range(2) for ordinal in range(12)]
    written = write_page(drawn_results(seeds=2, nothing=True), seeds=2, failed=everything)
    text = visible(written.html)
    assert "No data" in text
    assert "No seed block is without failures" in text
    assert "There is nothing to draw" in text
    assert not [e for e in elements(written.html) if "data-chart" in e.attributes and e.text]


def test_failures_and_missing_values_are_counted_with_their_reasons(analyzed):
    counts = analyzed.json["counts"]
    text = visible(analyzed.html)
    assert counts["models_failed"] > 0
    for words in (*counts["failures"], *counts["excluded"]):
        assert words.replace("'", "’") in text.replace("'", "’")


def test_what_distillation_does_is_drawn_told_and_tabled(analyzed):
    html = analyzed.page.read_text(encoding="utf-8")
    section = html.split('<section id="distillation"', 1)[1].split("</section>", 1)[0]
    effects = [e for e in load_results(analyzed.results).distillation if e.evidence]
    assert effects
    assert section.count('<circle class="point"') == len(effects)
    assert section.count('<circle class="seed"') == sum(len(e.differences) for e in effects)
    # seed block 1 holds a failed teacher
    assert all(1 not in effect.blocks for effect in effects)
    assert "Control arm: student without teachers" in html


def test_where_teachers_are_shared_the_page_counts_pools_and_says_what_that_costs(write_page):
    more = "shared_teachers: {pools: 3}"
    written = write_page(None, seeds=6, strengths=(0, 1), arms=("fixed",), more=more)
    words = re.sub("<[^>]+>", "", written.page.read_text(encoding="utf-8"))
    assert "For each of three pools, two teachers" in words
    assert "distilled from the teachers of one pool" in words
    assert "n = 3 teacher pools" in words
    assert "6 seeds learned from 3 pools of teachers" in words
    assert re.search(r"Teacher pools\s*3", words)


def test_points_can_be_taken_away_at_full_precision(drawn):
    links = [e for e in elements(drawn.html) if e.tag == "a" and "download" in e.attributes]
    link = next(e for e in links if e.attributes["download"].removesuffix(".gz").endswith("H1.csv"))
    text = csv_text(link.attributes["href"])
    rows = list(csv.DictReader(io.StringIO(text)))
    points = [
        point for fit in drawn.json["fits"] if fit["hypothesis"] == "H1" for point in fit["points"]
    ]
    assert sorted(float(row["y"]) for row in rows) == sorted(point["y"] for point in points)


def test_charts_hold_what_the_results_hold(drawn):
    data = next(e.text for e in elements(drawn.html) if e.attributes.get("id") == "chart-data")
    tables = json.loads(data)["tables"]
    for index, fit in enumerate(drawn.json["fits"]):
        drawn_points = tables[f"fit-{index}-points"]
        assert drawn_points["y"] == pytest.approx([p["y"] for p in fit["points"]], rel=1e-5)
        assert tables[f"fit-{index}-line"]["y"] == pytest.approx(fit["y"], rel=1e-5)


def test_many_seeds_do_not_make_a_heavy_page(write_page):
    written = write_page(drawn_results(seeds=400), seeds=1)
    assert len(written.html.encode()) < 3_000_000
    assert "Of 400 seeds the first 30 are drawn" in visible(written.html)


def test_an_infinite_bound_is_shown_as_such(write_page):
    results = drawn_results()
    finding = results.findings[0]
    outcome = finding.outcomes[0]
    endless = dataclasses.replace(outcome.interval_95, high=float("inf"))
    changed = dataclasses.replace(
        results,
        findings=(
            dataclasses.replace(
                finding, outcomes=(dataclasses.replace(outcome, interval_95=endless),)
            ),
            *results.findings[1:],
        ),
    )
    written = write_page(changed, seeds=1)
    assert "∞" in visible(written.html)
    assert "inf " not in visible(written.html)


def at_look(look: SequentialLook) -> Results:
    """Drawn results of a study whose seeds are added by a declared rule."""
    results = drawn_results()
    findings = tuple(
        dataclasses.replace(finding, alpha=look.level or 0.0, p_holm=None)
        for finding in results.findings
    )
    return dataclasses.replace(results, findings=findings, sequential=look)


def test_a_declared_rule_is_stated_with_its_look_and_levels(write_page):
    look = look_at((8, 16, 24), (8, 15), seeds=16, family=5)
    written = write_page(at_look(look), seeds=1)
    text = visible(written.html)
    assert "Adding seeds: by group-sequential looks at 8, 16, 24 seeds" in text
    assert "This is look 2; the looks’ levels are" in text
    assert "The next look is at 24 seeds." in text
    assert "look 2 of 3" in text
    assert "Holm" not in text
    content = written.json
    cites = [e for e in cited(written) if e.attributes["data-from"].startswith("sequential.")]
    levels = [e for e in cites if "levels" in e.attributes["data-from"]]
    assert [float(e.attributes["value"]) for e in levels] == list(look.levels)
    read_at = [e for e in cited(written) if e.attributes["data-from"].endswith("].alpha")]
    assert read_at
    for number in (*cites, *read_at):
        value = float(number.attributes["value"])
        assert value == resolve(content, number.attributes["data-from"])
        assert agrees(number.text, value)


def test_between_looks_the_page_says_that_nothing_is_read():
    results = at_look(look_at((8, 16, 24), (8,), seeds=11, family=5))
    cite = Citations(results)
    words = str(adding_seeds_words(cite, results.sequential).striptags())
    assert words.endswith(
        "11 seeds are none of these looks: nothing is read. The next look is at 16 seeds."
    )
    book = ChartBook(rule="exclude_block", tables={"replicates": replicate_columns(results)})
    claims = claim_views(results, cite, book)
    assert {str(claim.holm) for claim in claims} == {"not read at this number of seeds"}


def test_without_a_rule_the_number_of_seeds_is_said_to_be_fixed(drawn):
    assert "Adding seeds: no rule is declared, so their number is fixed." in visible(drawn.html)


def test_ids_are_unique_and_every_link_within_the_page_leads_somewhere(analyzed):
    found = elements(analyzed.html)
    ids = [e.attributes["id"] for e in found if "id" in e.attributes]
    assert len(ids) == len(set(ids))
    for element in found:
        link = element.attributes.get("href", "")
        if link.startswith("#"):
            assert link[1:] in ids, link


def test_every_picture_and_drawing_has_words(drawn):
    for element in elements(drawn.html):
        if element.tag == "img":
            assert element.attributes["alt"]
        if element.attributes.get("role") == "img":
            assert element.attributes["aria-label"]


def count(found, tag):
    return sum(element.tag == tag for element in found)


def visible(html):
    body = next(e.text for e in elements(re.sub(r"(?s)<script.*?</script>", "", html))
                if e.tag == "body")  # fmt: skip
    return re.sub(r"\s+", " ", body)
