"""Influence of each test image, against measures taken anew on the images that are left."""

from itertools import product

import numpy as np
import pytest
from scipy.stats import hypergeom

from analyze.metrics.attention import Masks, overlaps
from analyze.metrics.contingency import LabelledContingency, UndefinedError
from analyze.metrics.image_influence import (
    information_influence,
    mean_influence,
    mean_of,
    overlap_influences,
)
from analyze.metrics.information import conditional_mutual_information, expected_f

IMAGES, CELLS, CLASSES = 70, 9, 4


def labels(rng, images=IMAGES):
    label = rng.integers(0, CLASSES, images)
    first = np.where(rng.random(images) < 0.7, label, rng.integers(0, CLASSES, images))
    second = np.where(rng.random(images) < 0.6, first, label)
    return label, first, second


def information(label, first, second):
    cells, images = np.unique(np.stack([label, first, second]), axis=1, return_counts=True)
    return conditional_mutual_information(LabelledContingency(*cells, images)).estimate_bits


def masks(rng, images=IMAGES):
    """Both models: an image without a mask, images whose mask is empty in one or in both."""
    cells = rng.random((2, images, CELLS)) < 0.3
    cells[0, 3] = cells[1, 3] = cells[0, 5] = cells[1, 9] = False
    defined = np.ones((2, images), np.bool_)
    defined[0, 7] = False
    return tuple(Masks(cells=cells[k], defined=defined[k]) for k in (0, 1))


def subsets(rng, images=IMAGES):
    half = rng.random(images) < 0.5
    return np.stack([np.ones(images, np.bool_), half, ~half])


def left_out(subset, measure):
    """(n - 1) (measure - measure without the image), of every image of the subset."""
    whole = measure(subset)
    found = np.zeros(len(subset))
    for image in np.flatnonzero(subset):
        without = subset.copy()
        without[image] = False
        found[image] = (subset.sum() - 1) * (whole - measure(without))
    return found


@pytest.mark.parametrize("part", [0, 1, 2])
def test_an_images_influence_on_information_is_what_leaving_it_out_does(part):
    rng = np.random.default_rng(1)
    answers, subset = labels(rng), subsets(rng)[part]
    found = information_influence(*answers, subset)
    assert found.value == pytest.approx(information(*(a[subset] for a in answers)), abs=1e-12)
    anew = left_out(subset, lambda kept: information(*(a[kept] for a in answers)))
    assert found.images == pytest.approx(anew, abs=1e-9)
    assert np.ptp(anew) > 0.1


def test_a_label_of_one_image_and_classes_that_never_differ_have_influences_too():
    label = np.array([0, 1, 1, 1, 2, 2, 2])
    first, second = np.array([3, 1, 1, 0, 2, 2, 2]), np.array([3, 1, 0, 0, 2, 2, 2])
    every = np.ones(7, np.bool_)
    found = information_influence(label, first, second, every)
    anew = left_out(every, lambda kept: information(label[kept], first[kept], second[kept]))
    assert found.images == pytest.approx(anew, abs=1e-12)


def test_an_images_influence_on_overlap_is_what_leaving_it_out_does():
    rng = np.random.default_rng(2)
    first, second = masks(rng)
    parts = subsets(rng)
    plain = overlaps(first, second, parts)
    influences = overlap_influences(first, second, parts)
    for part, whole, found in zip(parts, plain, influences, strict=True):
        assert found.value == pytest.approx(whole.adjusted, abs=1e-12)
        anew = left_out(part, lambda kept: overlaps(first, second, kept[None])[0].adjusted)
        assert found.images == pytest.approx(anew, abs=1e-9)
        assert found.images[7] == 0


def test_an_images_influence_on_a_mean_is_its_distance_from_it():
    values = np.array([0.0, 1.0, 1.0, 5.0])
    subset = np.array([True, True, True, False])
    found = mean_influence(values, subset)
    assert found.value == pytest.approx(2 / 3)
    assert found.images == pytest.approx(left_out(subset, lambda kept: values[kept].mean()))


def test_what_is_undefined_without_an_image_has_no_influence():
    cells = np.zeros((3, 2, 4), np.bool_)
    cells[:2] = True
    alone = tuple(Masks(cells=one, defined=np.ones(2, np.bool_)) for one in cells[:2])
    assert overlap_influences(*alone, np.ones((1, 2), np.bool_)) == (None,)
    empty = tuple(Masks(cells=cells[2], defined=np.ones(2, np.bool_)) for _ in range(2))
    assert overlap_influences(*empty, np.ones((1, 2), np.bool_)) == (None,)
    single = np.array([True, False])
    with pytest.raises(UndefinedError):
        mean_influence(np.array([1.0, 2.0]), single)
    with pytest.raises(UndefinedError):
        mean_influence(np.array([1.0, np.nan]), ~single | single)
    with pytest.raises(UndefinedError):
        information_influence(*np.zeros((3, 2), np.int64), single)
    known = mean_influence(np.array([1.0, 2.0]), ~single | single)
    for lacking in ([], [known, None]):
        with pytest.raises(UndefinedError):
            mean_of(lacking)


def weighted_overlaps(first, second, times):
    """Overlap above chance of images drawn so many times, shape (draws, images).

    Two copies of an image are the same image: no mismatched pair.
    """
    one, other = (m.cells.astype(float) for m in (first, second))
    shared = one @ other.T
    union = one.sum(axis=1)[:, None] + other.sum(axis=1) - shared
    both = first.defined & second.defined
    defined = ((union > 0) & np.outer(both, both)).astype(float)
    iou = defined * shared / np.maximum(union, 1)
    matched = times @ np.diag(iou) / (times @ np.diag(defined))
    iou, defined = (pairs - np.diag(np.diag(pairs)) for pairs in (iou, defined))
    chance = ((times @ iou) * times).sum(axis=1) / ((times @ defined) * times).sum(axis=1)
    return (matched - chance) / (1 - chance)


def test_to_first_order_overlap_moves_as_it_does_when_images_are_drawn_again():
    rng = np.random.default_rng(3)
    first, second = masks(rng, images=300)
    (found,) = overlap_influences(first, second, np.ones((1, 300), np.bool_))
    whole = weighted_overlaps(first, second, np.ones((1, 300)))
    assert whole[0] == pytest.approx(found.value, abs=1e-12)
    drawn = rng.multinomial(300, np.full(300, 1 / 300), size=300).astype(float)
    exact = weighted_overlaps(first, second, drawn)
    linear = found.value + (drawn - 1) @ found.images / 300
    assert np.corrcoef(exact, linear)[0, 1] > 0.99
    assert linear.std() == pytest.approx(exact.std(), rel=0.05)


def test_drawing_images_twice_shifts_information_and_leaving_one_out_does_not():
    """Two copies of an image agree: why information is not resampled itself."""
    rng = np.random.default_rng(4)
    label = rng.integers(0, CLASSES, 400)
    first, second = (
        np.where(rng.random(400) < 0.8, label, rng.integers(0, CLASSES, 400)) for _ in range(2)
    )
    found = information_influence(label, first, second, np.ones(400, np.bool_))
    drawn = rng.multinomial(400, np.full(400, 1 / 400), size=100)
    copies = [np.repeat(np.arange(400), times) for times in drawn]
    exact = np.array([information(label[at], first[at], second[at]) for at in copies])
    linear = found.value + (drawn - 1) @ found.images / 400
    error = exact.std() / len(exact) ** 0.5
    assert exact.mean() - found.value > 10 * error
    assert abs(linear.mean() - found.value) < 4 * linear.std() / len(linear) ** 0.5 + 0.002
    assert np.corrcoef(exact, linear)[0, 1] > 0.7


def test_the_mean_under_permutation_of_impossible_margins_is_zero():
    assert expected_f(np.array([0, 1, 3, 9]), np.array([2]), 8)[[0, 1, 3]] == pytest.approx(0)
    assert expected_f(np.array([8]), np.array([5]), 8) == pytest.approx(5 * np.log(5))


@pytest.mark.parametrize("total", [8, 64, 65, 200])  # few images are looked up, more worked out
def test_the_mean_under_permutation_is_that_of_the_hypergeometric_distribution(total):
    margins = np.array([1, 2, 3, total // 2, total - 1, total])
    found = expected_f(margins, margins[::-1], total)
    for (i, row), (j, column) in product(enumerate(margins), enumerate(margins[::-1])):
        count = np.arange(2, total + 1)
        chance = hypergeom(total, row, column).pmf(count)
        assert found[i, j] == pytest.approx(float(chance @ (count * np.log(count))), rel=1e-11)
    assert expected_f(margins, margins[:0], total).shape == (6, 0)
