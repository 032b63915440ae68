"""Attention overlap and rank correlation against plain loops, SciPy and closed forms."""

import math

import numpy as np
import pytest
from scipy.stats import spearmanr

from analyze.metrics import attention
from analyze.metrics.attention import (
    Masks,
    masks_from_words,
    overlaps,
    rank_correlations,
    rank_maps,
)
from store.masks import mask_words


def everything(images):
    return np.ones((1, images), dtype=np.bool_)


def halves(images):
    first = np.arange(images) % 3 == 0
    return np.stack([np.ones(images, dtype=np.bool_), first, ~first])


def masks(cells, defined=None):
    cells = np.asarray(cells, dtype=np.bool_)
    return Masks(cells=cells, defined=np.ones(len(cells), np.bool_) if defined is None else defined)


def loop_overlap(one, other):
    """IoU on the same image and over mismatched images, pair by pair."""
    same, different = [], []
    for i, a in enumerate(one):
        for j, b in enumerate(other):
            union = (a | b).sum()
            if union:
                (same if i == j else different).append((a & b).sum() / union)
    return (
        np.mean(same),
        np.mean(different),
        len(one) - len(same),
        len(one) ** 2 - len(one) - len(different),
    )


def test_overlap_and_its_chance_level_are_those_of_a_plain_loop_on_every_subset():
    generator = np.random.default_rng(0)
    one, other = (generator.random((40, 12)) < area for area in (0.1, 0.2))
    defined = generator.random(40) < 0.9
    subsets = halves(40)
    found = overlaps(masks(one, defined), masks(other), subsets)
    assert sum(overlap.undefined_pairs for overlap in found) > 0
    for overlap, subset in zip(found, subsets, strict=True):
        rows = subset & defined
        iou, chance, undefined_images, undefined_pairs = loop_overlap(one[rows], other[rows])
        assert overlap.iou == pytest.approx(iou, abs=1e-12)
        assert overlap.chance == pytest.approx(chance, abs=1e-12)
        assert overlap.adjusted == pytest.approx((iou - chance) / (1 - chance), abs=1e-12)
        assert overlap.undefined_images == undefined_images
        assert overlap.undefined_pairs == undefined_pairs
        assert overlap.images == rows.sum()
        assert overlap.without_mask == (subset & ~defined).sum()


def test_meeting_the_pairs_in_chunks_changes_nothing(monkeypatch):
    generator = np.random.default_rng(1)
    one, other = (masks(generator.random((50, 64)) < 0.3) for _ in range(2))
    whole = overlaps(one, other, halves(50))
    monkeypatch.setattr(attention, "_CHUNK_PAIRS", 120)
    for chunked, full in zip(overlaps(one, other, halves(50)), whole, strict=True):
        assert chunked.chance == pytest.approx(full.chance, abs=1e-14)
        assert chunked.iou == full.iou


def test_equal_masks_overlap_fully_and_disjoint_masks_not_at_all():
    one = np.random.default_rng(2).random((30, 16)) < 0.4
    one[:, 0], one[:, 1] = True, False
    (equal,) = overlaps(masks(one), masks(one), everything(30))
    assert equal.iou == 1
    assert equal.adjusted == 1
    (disjoint,) = overlaps(masks(one), masks(~one), everything(30))
    assert disjoint.iou == 0
    assert disjoint.adjusted is not None
    assert disjoint.adjusted < 0


def test_one_mask_for_all_images_is_all_chance_and_has_no_adjusted_value():
    one = np.tile(np.arange(9) < 4, (5, 1))
    (found,) = overlaps(masks(one), masks(one), everything(5))
    assert (found.iou, found.chance, found.adjusted) == (1, 1, None)


def test_masks_that_are_empty_or_absent_are_undefined_not_zero():
    empty = np.zeros((4, 9), dtype=np.bool_)
    (found,) = overlaps(masks(empty), masks(empty), everything(4))
    assert (found.iou, found.chance, found.adjusted) == (None, None, None)
    assert (found.undefined_images, found.undefined_pairs) == (4, 12)
    (absent,) = overlaps(masks(empty, np.zeros(4, np.bool_)), masks(empty), everything(4))
    assert (absent.iou, absent.images, absent.without_mask) == (None, 0, 4)
    (single,) = overlaps(masks(~empty[:1]), masks(~empty[:1]), everything(1))
    assert (single.iou, single.chance, single.adjusted) == (1, None, None)


@pytest.mark.parametrize("area", [0.1, 0.3, 0.6, 0.9])
def test_masks_drawn_without_regard_to_the_image_overlap_at_chance_whatever_their_area(area):
    generator = np.random.default_rng(3)
    centred = np.linspace(1.5, 0.5, 64) * area
    found = [
        overlaps(
            *(masks(generator.random((300, 64)) < np.minimum(centred, 1)) for _ in range(2)),
            everything(300),
        )[0]
        for _ in range(20)
    ]
    adjusted = [overlap.adjusted for overlap in found]
    assert abs(np.mean(adjusted)) < 4 * np.std(adjusted) / math.sqrt(20)
    assert np.mean([overlap.iou for overlap in found]) > area / 2.5


def test_masks_come_back_from_their_signed_words():
    maps = np.random.default_rng(4).integers(0, 256, (20, 130)).astype(np.uint8)
    words, cells_on = mask_words(maps, 0.4)
    assert (words < 0).any()
    found = masks_from_words(words, cells=130)
    assert (found == (maps > 102)).all()
    assert found.sum(axis=1).tolist() == cells_on.tolist()
    with pytest.raises(ValueError, match="130 cells"):
        masks_from_words(words[:, :2], cells=130)


def ranked(maps, defined=None):
    defined = np.ones(len(maps), np.bool_) if defined is None else defined
    return rank_maps(maps, defined)


@pytest.mark.parametrize("values", [256, 4])
def test_rank_correlation_is_scipys_with_ties_and_without(values):
    generator = np.random.default_rng(5)
    one = generator.integers(0, values, (30, 64)).astype(np.uint8)
    other = np.where(generator.random((30, 64)) < 0.5, one, generator.integers(0, values, (30, 64)))
    other = other.astype(np.uint8)
    truth = np.array([spearmanr(a, b).statistic for a, b in zip(one, other, strict=True)])
    subsets = halves(30)
    for found, subset in zip(
        rank_correlations(ranked(one), ranked(other), subsets), subsets, strict=True
    ):
        assert found.rho == pytest.approx(truth[subset].mean(), abs=1e-12)
        assert (found.images, found.left_out) == (subset.sum(), 0)


def test_rank_correlation_knows_reversal_and_ignores_any_rising_transformation():
    one = np.random.default_rng(6).integers(0, 200, (10, 25)).astype(np.uint8)
    (risen,) = rank_correlations(ranked(one), ranked(one // 1 + 40), everything(10))
    (reversed_,) = rank_correlations(ranked(one), ranked(255 - one), everything(10))
    assert risen.rho == pytest.approx(1, abs=1e-14)
    assert reversed_.rho == pytest.approx(-1, abs=1e-14)


def test_constant_and_absent_maps_are_left_out_and_counted():
    generator = np.random.default_rng(7)
    one, other = (generator.integers(0, 256, (6, 16)).astype(np.uint8) for _ in range(2))
    one[0], other[1] = 0, 255
    defined = np.arange(6) != 2
    (found,) = rank_correlations(ranked(one), ranked(other, defined), everything(6))
    truth = [spearmanr(one[i], other[i]).statistic for i in (3, 4, 5)]
    assert found.rho == pytest.approx(np.mean(truth), abs=1e-12)
    assert (found.images, found.left_out) == (3, 3)
    (none,) = rank_correlations(ranked(one[:1]), ranked(other[:1]), everything(1))
    assert (none.rho, none.images, none.left_out) == (None, 0, 1)
