"""Masks at other thresholds: the store's own rule, and top cells whatever ties."""

import numpy as np
import pytest

from analyze.metrics.attention import masks_from_words
from analyze.metrics.masking import AboveTau, TopCells, masks_at
from store.masks import mask_words


def top_by_hand(row, percent):
    """Take values from the highest down, all of one value at a time, until there are enough."""
    wanted = -(-percent * len(row) // 100)
    kept = set()
    for value in sorted(set(row.tolist()), reverse=True):
        if len(kept) >= wanted or value == 0:
            break
        kept |= set(np.flatnonzero(row == value).tolist())
    return [place in kept for place in range(len(row))]


@pytest.mark.parametrize("tau", [0.2, 0.3, 0.4, 0.5, 0.6])
def test_a_share_of_the_range_gives_the_masks_that_the_store_makes(tau):
    maps = np.random.default_rng(0).integers(0, 256, (300, 64)).astype(np.uint8)
    stored = masks_from_words(mask_words(maps, tau)[0], cells=64)
    assert (masks_at(maps, AboveTau(tau)) == stored).all()


@pytest.mark.parametrize("percent", [10, 20, 30])
@pytest.mark.parametrize("values", [256, 9, 3, 2])
def test_top_cells_are_those_taken_from_the_highest_down_with_all_their_ties(values, percent):
    maps = np.random.default_rng(1).integers(0, values, (200, 50)).astype(np.uint8)
    found = masks_at(maps, TopCells(percent))
    assert found.tolist() == [top_by_hand(row, percent) for row in maps]


def test_without_ties_masks_have_exactly_the_declared_size_rounded_up():
    maps = np.stack([np.random.default_rng(2).permutation(64) for _ in range(20)]).astype(np.uint8)
    sizes = [masks_at(maps, TopCells(percent)).sum(axis=1) for percent in (10, 20, 30)]
    assert [set(size.tolist()) for size in sizes] == [{7}, {13}, {20}]


def test_ties_are_not_broken_by_place_and_the_minimum_is_never_attended_to():
    row = np.array([[255, 9, 9, 9, 9, 0, 0, 0, 0, 0]], dtype=np.uint8)
    assert masks_at(row, TopCells(20)).sum() == 5
    turned = masks_at(row[:, ::-1], TopCells(20))
    assert (turned == masks_at(row, TopCells(20))[:, ::-1]).all()
    sparse = np.array([[255, 0, 0, 0, 0, 0, 0, 0, 0, 0]], dtype=np.uint8)
    assert masks_at(sparse, TopCells(30)).tolist() == [[True] + [False] * 9]
