import numpy as np
import pytest
from small_study import small_study

from analyze.caveats import _long_tailed
from collect.block import training_subset
from collect.datasets import image_table, load
from collect.long_tail import kept_per_class, long_tailed_rows
from store.errors import DataError
from store.long_tail import long_tail

DIGITS = {"kind": "digits", "test_size": 897}


@pytest.mark.parametrize(
    ("imbalance", "total", "last"),
    [(1, 50_000, 500), (10, 19_573, 50), (50, 12_608, 10), (100, 10_847, 5)],
)
def test_the_profile_is_the_published_one(imbalance, total, last):
    kept = long_tail(500, 100, imbalance)
    assert (sum(kept), kept[0], kept[-1]) == (total, 500, last)
    assert list(kept) == sorted(kept, reverse=True)


def test_a_pool_of_cifar_100s_sizes_keeps_the_published_numbers_of_images():
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(100), 500))
    rows = long_tailed_rows(labels, 100, 100, np.random.default_rng(1))
    assert np.bincount(labels[rows]).tolist() == list(long_tail(500, 100, 100))
    assert len(rows) == 10_847
    assert (np.diff(rows) > 0).all()


def test_what_is_an_integer_but_for_rounding_loses_no_image():
    for largest in range(1, 400):
        for imbalance in (1, 3, 7, 49):
            if largest % imbalance == 0:
                assert long_tail(largest, 10, imbalance)[-1] == largest // imbalance


def test_a_longer_tails_images_are_among_a_shorter_ones():
    labels = np.repeat(np.arange(5), 60)
    short, long = (
        long_tailed_rows(labels, 5, imbalance, np.random.default_rng(3)) for imbalance in (2, 20)
    )
    assert set(long) < set(short)


def test_a_class_of_too_few_images_is_named_with_what_is_allowed():
    held = np.array([100, 90, 100, 95])
    with pytest.raises(DataError, match=r"class 1 it keeps 100 .* there are 90; allowed: 1.38 to"):
        kept_per_class(held, 1)
    assert kept_per_class(held, 1.38)[1] <= 90
    with pytest.raises(DataError, match=r"class 3 would keep none; allowed: at most 100"):
        kept_per_class(held, 101)
    with pytest.raises(DataError, match="class 1 is too small for any imbalance"):
        kept_per_class(np.array([100, 2, 100, 100]), 3)


def test_every_block_has_the_same_tail_unless_blocks_draw_their_own():
    fixed = small_study({**DIGITS, "imbalance": 20})
    data = load(fixed)
    first, second = (training_subset(fixed, data, block) for block in (0, 1))
    assert first.tolist() == second.tolist() == list(range(len(data.pool.labels)))
    size = len(first)
    drawn = small_study({**DIGITS, "imbalance": 20, "train_subset": {"size": size}})
    pool = load(drawn)
    one, other = (training_subset(drawn, pool, block) for block in (0, 1))
    for rows in (one, other):
        assert (
            np.bincount(pool.pool.labels[rows]).tolist() == np.bincount(data.pool.labels).tolist()
        )
    assert one.tolist() != other.tolist()
    assert training_subset(drawn, pool, 0).tolist() == one.tolist()


def test_a_subset_is_drawn_from_the_tail():
    plain = small_study({**DIGITS, "imbalance": 50, "train_subset": {"size": 100}})
    data = load(plain)
    for block in (0, 1):
        rows = training_subset(plain, data, block)
        assert len(rows) == 100
        counts = np.bincount(data.pool.labels[rows], minlength=10)
        assert counts[0] > 20
        assert counts[9] <= 2


def test_a_subset_of_more_than_the_tail_has_is_said():
    with pytest.raises(DataError, match=r"size is 500, but .* images at imbalance 50; allowed: at"):
        load(small_study({**DIGITS, "imbalance": 50, "train_subset": {"size": 500}}))


def test_the_image_table_lists_what_some_block_can_use_under_the_ids_of_the_whole_pool():
    whole = load(small_study(DIGITS))
    fixed = load(small_study({**DIGITS, "imbalance": 20}))
    drawn = load(small_study({**DIGITS, "imbalance": 20, "train_subset": {"size": 50}}))
    assert np.array_equal(whole.test.image_id, fixed.test.image_id)
    assert np.array_equal(whole.pool.image_id, drawn.pool.image_id)
    table = image_table(fixed, 5)
    assert table.filter(split="train").height == len(fixed.pool.labels) < 350
    label_of = dict(zip(whole.pool.image_id.tolist(), whole.pool.labels.tolist(), strict=True))
    found = table.filter(split="train")
    assert found["label"].to_list() == [label_of[image] for image in found["image_id"].to_list()]
    rows = np.searchsorted(whole.pool.image_id, fixed.pool.image_id)
    everything = np.arange(len(rows))
    assert np.array_equal(whole.pool.pixels.read(rows), fixed.pool.pixels.read(everything))


def test_without_a_subset_every_block_trains_on_the_whole_pool():
    study = small_study(DIGITS)
    data = load(study)
    for block in (0, 1):
        assert training_subset(study, data, block).tolist() == list(range(900))


def test_a_long_tail_is_a_key_of_its_own_and_leaves_other_studies_keys_alone():
    subset = {"train_subset": {"size": 50}}
    plain, said = small_study(DIGITS | subset), small_study(DIGITS | subset | {"imbalance": None})
    assert plain.shard_key(0) == said.shard_key(0)
    assert "imbalance" not in plain.numbers()["dataset"]
    assert small_study(DIGITS | subset | {"imbalance": 10}).shard_key(0) != plain.shard_key(0)


def test_the_report_says_that_the_gap_is_one_of_frequencies_too():
    assert _long_tailed(small_study(DIGITS)) == ()
    assert "imbalance 20" in _long_tailed(small_study({**DIGITS, "imbalance": 20}))[0]
