"""Pictures: the tint follows the map, the outline the mask, the choice the rule."""

import base64
import io
import re

import duckdb
import numpy as np
import pytest
from conftest import elements, written_of
from drawn_results import drawn_results
from PIL import Image

from reports.gallery import MOST_CLASSES, STUDENT_COLOUR, heat, make_gallery, outline
from store.database import open_reader
from store.study_file import load_design


def covered(path, side):
    """The cells on whose borders a path's lines are, counted by line."""
    lines = re.findall(r"M(\d+) (\d+)([hv])(\d+)", path)
    assert "".join(f"M{x} {y}{way}{length}" for x, y, way, length in lines) == path
    marks = np.zeros((2, side + 1, side + 1), dtype=int)
    for x, y, way, length in lines:
        for step in range(int(length)):
            if way == "h":
                marks[0, int(y), int(x) + step] += 1
            else:
                marks[1, int(y) + step, int(x)] += 1
    return marks


def test_where_nothing_attends_nothing_is_drawn():
    assert outline(np.zeros((8, 8), dtype=bool)) == ""
    picture = Image.open(io.BytesIO(base64.b64decode(heat_of(np.zeros((8, 8), np.uint8)))))
    assert not np.asarray(picture.convert("RGBA"))[..., 3].any()


def heat_of(grid):
    return heat(grid, STUDENT_COLOUR).removeprefix("data:image/png;base64,")


def test_a_tint_is_the_denser_the_higher_the_map():
    grid = np.arange(64, dtype=np.uint8).reshape(8, 8) * 4
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(heat_of(grid)))).convert("RGBA"))
    assert pixels.shape == (8, 8, 4)
    assert (np.diff(pixels[..., 3].ravel().astype(int)) > 0).all()
    assert {tuple(colour) for colour in pixels[pixels[..., 3] > 0][:, :3]} == {STUDENT_COLOUR}


def test_the_outline_is_every_border_between_on_and_off_once():
    mask = np.random.default_rng(7).random((8, 8)) < 0.4
    padded = np.pad(mask, 1)
    marks = covered(outline(mask), 8)
    assert (marks[0][:, :8] == (padded[1:, 1:-1] != padded[:-1, 1:-1])).all()
    assert (marks[1][:8] == (padded[1:-1, 1:] != padded[1:-1, :-1])).all()


def test_a_mask_that_covers_everything_is_outlined_at_the_border():
    assert outline(np.ones((8, 8), dtype=bool)) == "M0 0h8M0 8h8M0 0v8M8 0v8"


@pytest.fixture(scope="module")
def gallery_and_iou(tmp_path_factory):
    """A gallery, and the overlaps of its strongest teachers made from their maps."""
    written = written_of(
        tmp_path_factory.mktemp("gallery"), drawn_results(), seeds=2, failed=[(0, 0)]
    )
    design = load_design(written.study)
    with open_reader(written.store) as reader:
        gallery = make_gallery(reader, design)
        maps = reader.frame(
            "SELECT model_id, image_id, map, label FROM attention "
            "INNER JOIN image USING (image_id) WHERE view = 'clean' AND method = ? "
            "AND model_id IN (1004, 1005) AND map IS NOT NULL",
            [str(design.attention.primary)],
        )
    by_model = {
        (row["model_id"], row["image_id"]): np.array(row["map"])
        for row in maps.iter_rows(named=True)
    }
    labels = dict(maps.select("image_id", "label").iter_rows())

    def iou(image, tau):
        first, second = (by_model[model, image] > 255 * tau for model in (1004, 1005))
        return (first & second).sum() / (first | second).sum()

    images = {i for m, i in by_model if m == 1004} & {i for m, i in by_model if m == 1005}
    return gallery, {image: iou(image, design.attention.tau) for image in images}, labels, iou


def test_images_are_those_with_the_highest_median_and_lowest_overlap(gallery_and_iou):
    gallery, overlaps, _, _ = gallery_and_iou
    assert gallery.block == 1  # block 0 has a failure
    ranked = sorted(overlaps.values(), reverse=True)
    strongest = [panel.conditions[-1] for panel in gallery.panels]
    assert {looks.title for looks in strongest} == {"1"}
    shown = [next(o.value.value for o in looks.overlaps if o.shown) for looks in strongest]
    assert shown == [ranked[0], ranked[(len(ranked) - 1) // 2], ranked[-1]]


def test_an_image_stands_under_every_strength_with_each_network(gallery_and_iou):
    gallery, _, _, _ = gallery_and_iou
    for panel in gallery.panels:
        assert [looks.title for looks in panel.conditions] == ["0", "0.5", "1"]
        for looks in panel.conditions:
            assert [look.role for look in looks.looks] == ["teacher", "teacher", "student"]


def test_overlaps_at_every_threshold_are_those_of_the_maps(gallery_and_iou):
    gallery, _, _, iou = gallery_and_iou
    assert len(gallery.taus) >= 9
    for panel in gallery.panels:
        image = int(panel.photo.removeprefix("photo-"))
        for overlap in panel.conditions[-1].overlaps:
            assert overlap.value.value == pytest.approx(iou(image, float(overlap.tau)), abs=1e-12)


def test_classes_go_from_the_most_to_the_least_alike_with_their_own_extremes(gallery_and_iou):
    gallery, overlaps, labels, _ = gallery_and_iou
    means = {
        label: np.mean([value for image, value in overlaps.items() if labels[image] == label])
        for label in set(labels.values())
    }
    rows = gallery.by_class.rows
    assert [row.mean.value for row in rows] == pytest.approx(sorted(means.values(), reverse=True))
    order = sorted(means, key=lambda label: (-means[label], label))
    for label, row in zip(order, rows, strict=True):
        own = [value for image, value in overlaps.items() if labels[image] == label]
        shown = [next(o.value.value for o in looks.overlaps if o.shown) for _, _, looks in row.rows]
        assert shown == [max(own), min(own)]
        assert row.images == len(own)


def test_of_a_hundred_classes_those_that_agree_most_and_least_are_shown(write_page):
    written = write_page(drawn_results(), seeds=1, strengths=(0, 1))
    with duckdb.connect(str(written.store)) as connection:
        connection.execute("UPDATE image SET label = image_id, class_name = 'class ' || image_id")
        classes = connection.execute(
            "SELECT COUNT(*) FROM attention_iou WHERE model_a = 2 AND model_b = 3 "
            "AND iou IS NOT NULL AND method = (SELECT method FROM attention_iou LIMIT 1)"
        ).fetchone()
    html = written.write().html
    shown = [e for e in elements(html) if e.attributes.get("class") == "class"]
    means = [float(each.attributes["data-mean"]) for each in shown]
    assert classes[0] > MOST_CLASSES
    assert len(means) == MOST_CLASSES
    assert means == sorted(means, reverse=True)
    assert "classes those that agree most and least on average" in html


def test_a_store_without_pictures_says_so(write_page):
    written = write_page(drawn_results(), seeds=1)
    with duckdb.connect(str(written.store)) as connection:
        connection.execute("UPDATE image SET png = NULL")
    html = written.write().html
    assert "No pictures: The store holds no pictures of the test images." in html


def test_each_photo_is_in_the_page_once(drawn):
    found = elements(drawn.html)
    photos = [e.attributes["id"] for e in found if e.tag == "image" and "id" in e.attributes]
    used = {e.attributes["href"] for e in found if e.tag == "use"}
    assert len(photos) == len(set(photos))
    assert used == {f"#{name}" for name in photos}


SHOWN = """[...document.querySelectorAll('#gallery .iou b')].filter((b) => !b.hidden)
  .map((b) => [b.dataset.tau, b.textContent])"""
EDGES = "[...document.querySelectorAll('#gallery path')].map((path) => path.getAttribute('d'))"


@pytest.mark.browser
def test_another_threshold_cuts_every_mask_and_shows_its_overlap(tab, drawn):
    tab.open(drawn.page)
    edges, declared = tab.evaluate(EDGES), tab.evaluate(SHOWN)

    def cut(place):
        tab.evaluate(
            f"(() => {{ const slider = document.getElementById('cut'); slider.value = {place}; "
            "slider.dispatchEvent(new Event('input')); })()"
        )

    cut(7)
    assert {tau for tau, _ in tab.evaluate(SHOWN)} == {"0.8"}
    assert tab.evaluate(EDGES) != edges
    assert "0.8 of a map" in tab.evaluate("document.querySelector('.threshold output').textContent")
    cut(3)
    # the page's script cuts as the page was written
    assert tab.evaluate(EDGES) == edges
    assert tab.evaluate(SHOWN) == declared


@pytest.mark.browser
def test_classes_can_be_sorted(tab, drawn):
    tab.open(drawn.page)
    means = "[...document.querySelectorAll('#gallery .class')].map((c) => Number(c.dataset.mean))"
    first = tab.evaluate(means)
    assert first == sorted(first, reverse=True)
    tab.evaluate(
        "(() => { const choice = document.getElementById('order'); "
        "choice.value = 'least alike first'; choice.dispatchEvent(new Event('change')); })()"
    )
    assert tab.evaluate(means) == sorted(first)
