"""Pictures: the tint follows the map, the outline the mask, the choice the rule."""

import numpy as np
from drawn_results import drawn_results

from reports.gallery import STUDENT_COLOUR, make_gallery, overlay
from store.database import open_reader
from store.study_file import load_design


def test_where_nothing_attends_the_picture_is_the_image():
    pixels = np.arange(8 * 8 * 3, dtype=np.uint8).reshape(8, 8, 3)
    drawn = overlay(pixels, np.zeros((8, 8), dtype=np.uint8), tau=0.4, colour=STUDENT_COLOUR)
    cell = drawn.shape[0] // 8
    assert (drawn[::cell, ::cell] == pixels).all()


def test_the_outline_encloses_the_cells_above_the_threshold_and_no_other():
    grid = np.zeros((8, 8), dtype=np.uint8)
    grid[2, 3] = 103  # just above .4 of 255
    grid[5, 5] = 102  # not above it
    black = np.zeros((8, 8, 3), dtype=np.uint8)
    drawn = overlay(black, grid, tau=0.4, colour=STUDENT_COLOUR)
    cell = drawn.shape[0] // 8
    marked = (drawn == np.array(STUDENT_COLOUR)).all(axis=-1)
    rows, columns = np.nonzero(marked)
    assert (rows.min(), rows.max() + 1) == (2 * cell, 3 * cell)
    assert (columns.min(), columns.max() + 1) == (3 * cell, 4 * cell)


def test_a_mask_that_covers_everything_is_outlined_at_the_border():
    full = np.full((8, 8), 255, dtype=np.uint8)
    drawn = overlay(np.zeros((8, 8, 3), np.uint8), full, tau=0.4, colour=STUDENT_COLOUR)
    marked = (drawn == np.array(STUDENT_COLOUR)).all(axis=-1)
    assert marked[:2].all()
    assert marked[:, -2:].all()
    assert not marked[4:-4, 4:-4].any()


def test_images_are_those_with_the_highest_median_and_lowest_overlap(write_page):
    written = write_page(drawn_results(), seeds=2, failed=[(0, 0)])
    design = load_design(written.study)
    with open_reader(written.store) as reader:
        gallery = make_gallery(reader, design)
        masks = reader.frame(
            "SELECT model_id, image_id, map FROM attention WHERE view = 'clean' AND method = ? "
            "AND model_id IN (1004, 1005) AND map IS NOT NULL",
            [str(design.attention.primary)],
        )
    assert gallery.block == 1  # block 0 has a failure
    on = {
        (row["model_id"], row["image_id"]): np.array(row["map"]) > 255 * design.attention.tau
        for row in masks.iter_rows(named=True)
    }
    both = {i for m, i in on if m == 1004} & {i for m, i in on if m == 1005}
    iou = sorted(
        ((on[1004, i] & on[1005, i]).sum() / (on[1004, i] | on[1005, i]).sum() for i in both),
        reverse=True,
    )
    strongest = gallery.panels[-1]
    assert strongest.teachers == "Teachers at strength 1"
    shown = [row.iou.value for row in strongest.rows]
    assert shown == [iou[0], iou[(len(iou) - 1) // 2], iou[-1]]
