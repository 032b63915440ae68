"""Mutual information against scikit-learn, plain loops, draws and closed forms."""

import itertools
import math
from collections import Counter

import numpy as np
import pytest
from scipy.stats import random_table
from sklearn.metrics import adjusted_mutual_info_score, mutual_info_score

from analyze.metrics.contingency import Contingency, LabelledContingency, UndefinedError
from analyze.metrics.information import (
    Estimator,
    adjusted_mutual_information,
    choose_estimator,
    conditional_mutual_information,
    entropy,
    mutual_information,
)

LN2 = math.log(2)


def noisy_pair(generator, *, images=300, classes=6, equal=0.6):
    """Two labellings that agree by intent on a share of the images."""
    first = generator.integers(0, classes, images)
    second = np.where(
        generator.random(images) < equal, first, generator.integers(0, classes, images)
    )
    return first, second


def noisy_triple(generator, *, images=300, classes=5):
    label = generator.integers(0, classes, images)
    first = np.where(generator.random(images) < 0.8, label, generator.integers(0, classes, images))
    second = np.where(generator.random(images) < 0.5, first, label)
    return label, first, second


def labelled(label, first, second):
    counts = np.zeros((20, 20, 20), dtype=np.int64)
    np.add.at(counts, (label, first, second), 1)
    return LabelledContingency.from_counts(counts)


def test_the_plug_in_form_is_scikit_learns_in_bits():
    for seed in range(5):
        first, second = noisy_pair(np.random.default_rng(seed))
        found = mutual_information(Contingency.from_labels(first, second), Estimator.PLUG_IN)
        assert found.estimate_bits == pytest.approx(
            mutual_info_score(first, second) / LN2, abs=1e-12
        )
        assert found.bias_bits == 0


def test_the_adjusted_index_is_scikit_learns():
    for seed, classes in itertools.product(range(3), (2, 6, 40)):
        first, second = noisy_pair(np.random.default_rng(seed), classes=classes)
        assert adjusted_mutual_information(Contingency.from_labels(first, second)) == pytest.approx(
            adjusted_mutual_info_score(first, second), abs=1e-9
        )


def test_dense_counts_and_labels_make_the_same_table():
    first, second = noisy_pair(np.random.default_rng(0))
    counts = np.zeros((6, 6), dtype=np.int64)
    np.add.at(counts, (first, second), 1)
    of_counts, of_labels = Contingency.from_counts(counts), Contingency.from_labels(first, second)
    for name in ("first", "second", "images"):
        assert getattr(of_counts, name).tolist() == getattr(of_labels, name).tolist()


@pytest.mark.parametrize("estimator", Estimator)
def test_equal_labellings_share_their_entropy(estimator):
    label = np.repeat(np.arange(4), 100)
    table = Contingency.from_labels(label, label)
    found = mutual_information(table, estimator)
    own = entropy(np.array([100] * 4), estimator)
    assert found.estimate_bits == pytest.approx(own.estimate_bits, abs=1e-10)
    assert own.estimate_bits + own.bias_bits == pytest.approx(2, abs=1e-10)


def test_exactly_independent_counts_share_nothing():
    table = Contingency.from_counts(np.outer([1, 2, 3], [4, 5]) * 10)
    assert mutual_information(table, Estimator.PLUG_IN).estimate_bits == pytest.approx(0, abs=1e-12)


def test_a_symmetric_channel_has_its_closed_form():
    classes, right = 10, 0.8
    wrong = (1 - right) / (classes - 1)
    counts = np.rint(np.where(np.eye(classes) == 1, right, wrong) * 9_000_000).astype(np.int64)
    truth = math.log2(classes) + right * math.log2(right) + (1 - right) * math.log2(wrong)
    for estimator in Estimator:
        found = mutual_information(Contingency.from_counts(counts), estimator)
        assert found.estimate_bits == pytest.approx(truth, abs=1e-5)


@pytest.mark.parametrize("estimator", Estimator)
def test_renaming_classes_or_swapping_models_changes_nothing(estimator):
    first, second = noisy_pair(np.random.default_rng(3))
    names = np.random.default_rng(4).permutation(6) * 7 - 3
    found = mutual_information(Contingency.from_labels(first, second), estimator)
    for renamed in ((names[first], second), (first, names[second]), (second, first)):
        again = mutual_information(Contingency.from_labels(*renamed), estimator)
        assert again.estimate_bits == pytest.approx(found.estimate_bits, abs=1e-12)


@pytest.mark.parametrize("estimator", Estimator)
def test_what_was_subtracted_leads_back_to_the_plug_in_form(estimator):
    table = Contingency.from_labels(*noisy_pair(np.random.default_rng(5)))
    found = mutual_information(table, estimator)
    plug_in = mutual_information(table, Estimator.PLUG_IN).estimate_bits
    assert found.estimate_bits + found.bias_bits == pytest.approx(plug_in, abs=1e-12)
    assert found.estimator == estimator


def test_the_jackknife_is_the_loop_that_leaves_out_one_image_at_a_time():
    first, second = noisy_pair(np.random.default_rng(6), images=60)
    images = len(first)
    kept = [np.arange(images) != left_out for left_out in range(images)]
    full = mutual_info_score(first, second) / LN2
    without = np.mean([mutual_info_score(first[k], second[k]) for k in kept]) / LN2
    found = mutual_information(Contingency.from_labels(first, second), Estimator.JACKKNIFE)
    assert found.estimate_bits == pytest.approx(images * full - (images - 1) * without, abs=1e-10)
    own = [mutual_info_score(first[k], first[k]) for k in kept]
    entropy_found = entropy(np.bincount(first), Estimator.JACKKNIFE)
    assert entropy_found.estimate_bits == pytest.approx(
        (images * mutual_info_score(first, first) - (images - 1) * np.mean(own)) / LN2, abs=1e-10
    )


def test_miller_madow_subtracts_half_a_degree_of_freedom_per_image():
    table = Contingency.from_labels(*noisy_pair(np.random.default_rng(7)))
    cells, rows, columns = len(table.images), *map(len, table.margins())
    found = mutual_information(table, Estimator.MILLER_MADOW)
    assert found.bias_bits == pytest.approx((cells - rows - columns + 1) / (2 * 300 * LN2))


def test_chao_shen_follows_its_definition_term_by_term():
    counts = [7, 4, 3, 1, 1, 1]
    images, singletons = sum(counts), counts.count(1)
    truth = 0.0
    for count in counts:
        share = (1 - singletons / images) * count / images
        truth -= share * math.log2(share) / (1 - (1 - share) ** images)
    found = entropy(np.array(counts), Estimator.CHAO_SHEN)
    assert found.estimate_bits == pytest.approx(truth, abs=1e-12)


def test_chao_shen_is_finite_where_every_class_is_seen_once_or_one_class_always():
    assert math.isfinite(entropy(np.ones(30, dtype=np.int64), Estimator.CHAO_SHEN).estimate_bits)
    assert entropy(np.array([30]), Estimator.CHAO_SHEN).estimate_bits == 0
    assert entropy(np.array([1]), Estimator.CHAO_SHEN).estimate_bits == 0


def plug_in_conditional(label, first, second):
    """Definition, with logarithms of shares."""
    images = len(label)
    joint = Counter(zip(label, first, second, strict=True))
    by_first, by_second = (Counter(zip(label, one, strict=True)) for one in (first, second))
    of_label = Counter(label)
    return sum(
        count / images * math.log2(count * of_label[y] / (by_first[y, i] * by_second[y, j]))
        for (y, i, j), count in joint.items()
    )


def test_the_conditional_form_is_the_plug_in_form_less_its_permutation_mean():
    generator = np.random.default_rng(8)
    label, first, second = noisy_triple(generator)
    found = conditional_mutual_information(labelled(label, first, second))
    assert found.estimate_bits + found.bias_bits == pytest.approx(
        plug_in_conditional(label, first, second), abs=1e-10
    )
    permuted = []
    for _ in range(400):
        shuffled = second.copy()
        for y in np.unique(label):
            rows = np.flatnonzero(label == y)
            shuffled[rows] = generator.permutation(second[rows])
        permuted.append(plug_in_conditional(label, first, shuffled))
    error = np.std(permuted) / math.sqrt(len(permuted))
    assert error < 0.1 * found.bias_bits
    assert abs(np.mean(permuted) - found.bias_bits) < 4 * error


def test_the_expectation_agrees_with_random_tables_of_the_same_margins():
    rows, columns = np.array([40, 9, 1]), np.array([35, 10, 5])
    tables = random_table(rows, columns, seed=9).rvs(size=4000).astype(np.int64)
    drawn = [
        mutual_information(Contingency.from_counts(table), Estimator.PLUG_IN).estimate_bits
        for table in tables
    ]
    stacked = LabelledContingency.from_counts(tables[0][None])
    expected = conditional_mutual_information(stacked).bias_bits
    assert abs(np.mean(drawn) - expected) < 4 * np.std(drawn) / math.sqrt(len(drawn))


def test_errors_independent_given_the_label_have_no_conditional_information():
    generator = np.random.default_rng(10)
    found, biases = [], []
    for _ in range(200):
        label = generator.integers(0, 10, 1000)
        first, second = (
            np.where(generator.random(1000) < 0.9, label, generator.integers(0, 10, 1000))
            for _ in range(2)
        )
        one = conditional_mutual_information(labelled(label, first, second))
        found.append(one.estimate_bits)
        biases.append(one.bias_bits)
    assert abs(np.mean(found)) < 4 * np.std(found) / math.sqrt(len(found))
    assert np.mean(biases) > 0.05


def test_a_conditional_table_pools_to_the_plain_one():
    label, first, second = noisy_triple(np.random.default_rng(11))
    pooled = labelled(label, first, second).pooled()
    plain = Contingency.from_labels(first, second)
    assert pooled.first.tolist() == plain.first.tolist()
    assert pooled.second.tolist() == plain.second.tolist()
    assert pooled.images.tolist() == plain.images.tolist()


def test_one_predicted_class_shares_nothing_and_an_absent_class_adds_nothing():
    label, first, _ = noisy_triple(np.random.default_rng(12))
    constant = np.zeros_like(first)
    for estimator in Estimator:
        found = mutual_information(Contingency.from_labels(first, constant), estimator)
        assert found.estimate_bits == pytest.approx(0, abs=1e-12)
    assert adjusted_mutual_information(Contingency.from_labels(first, constant)) == pytest.approx(
        0, abs=1e-12
    )
    conditional = conditional_mutual_information(labelled(label, first, constant))
    assert conditional.estimate_bits == pytest.approx(0, abs=1e-12)


def test_models_that_share_nothing_given_the_label_share_exactly_nothing():
    """Not rounding errors, which would differ between models and be tested."""
    generator = np.random.default_rng(20261125)
    label = np.repeat(np.arange(10), 5)
    for _ in range(50):
        first = generator.integers(10, size=50)
        # the second model answers a label's images alike, whatever the first says
        second = generator.integers(10, size=10)[label]
        assert conditional_mutual_information(labelled(label, first, second)).estimate_bits == 0


def test_estimates_below_zero_are_not_clamped():
    table = Contingency.from_counts([[10, 10], [10, 10]])
    assert mutual_information(table, Estimator.JACKKNIFE).estimate_bits < 0
    flat = LabelledContingency.from_counts([[[10, 10], [10, 10]]])
    assert conditional_mutual_information(flat).estimate_bits < 0


def test_no_image_one_image_and_no_room_are_undefined_with_a_reason():
    empty = Contingency.from_counts(np.zeros((3, 3), dtype=np.int64))
    single = Contingency.from_counts([[1]])
    with pytest.raises(UndefinedError, match="no image"):
        mutual_information(empty, Estimator.PLUG_IN)
    with pytest.raises(UndefinedError, match="no image"):
        entropy(np.array([0, 0]), Estimator.CHAO_SHEN)
    with pytest.raises(UndefinedError, match="no image"):
        conditional_mutual_information(
            LabelledContingency.from_counts(np.zeros((2, 2, 2), dtype=np.int64))
        )
    with pytest.raises(UndefinedError, match="one image"):
        mutual_information(single, Estimator.JACKKNIFE)
    with pytest.raises(UndefinedError, match="no room"):
        adjusted_mutual_information(Contingency.from_counts([[5]]))
    with pytest.raises(UndefinedError, match="no room"):
        adjusted_mutual_information(Contingency.from_counts(np.eye(7, dtype=np.int64)))


@pytest.mark.parametrize("counts", [[[1.5, 2]], [[-1, 2]], [1, 2]])
def test_tables_that_count_nothing_are_refused(counts):
    with pytest.raises(ValueError, match="counts must"):
        Contingency.from_counts(counts)


def test_the_estimator_follows_the_number_of_classes():
    assert choose_estimator(10) is choose_estimator(20) is Estimator.JACKKNIFE
    assert choose_estimator(21) is choose_estimator(1000) is Estimator.CHAO_SHEN
