import numpy as np
import torch
from small_study import small_study

from collect.block import training_subset
from collect.datasets import load
from collect.engine import start
from collect.observe import Views
from store.design import Design
from store.vocabulary import Split

TRAIN = 200


def _study(**changes: object) -> Design:
    subset = {"size": TRAIN, "resample": "per_block"}
    return small_study({"kind": "digits", "test_size": 50, "train_subset": subset, **changes})


def _views(design: Design, block: int) -> tuple[Views, np.ndarray]:
    data = load(design)
    runtime = start(design.engine, torch.device("cpu"), mean=data.mean, std=data.std)
    subset = training_subset(design, data, block)
    return Views(design, data, subset, runtime), data.pool.image_id[subset]


def test_all_training_images_are_shown_unless_the_study_says_how_many():
    views, trained_on = _views(_study(), 0)
    assert np.array_equal(views.view("clean", Split.TRAIN).image_id, trained_on)


def test_a_part_of_the_training_images_is_shown_and_all_are_trained_on():
    views, trained_on = _views(_study(train_observed=40), 0)
    clean, strong = (views.view(name, Split.TRAIN) for name in ("clean", "graded-1"))
    assert len(clean.image_id) == 40
    assert set(clean.image_id) < set(trained_on)
    assert np.array_equal(clean.image_id, strong.image_id)
    pixels, labels = views.pixels(Split.TRAIN)
    assert pixels.shape[0] == len(labels) == TRAIN
    places = np.searchsorted(trained_on, clean.image_id)
    assert torch.equal(clean.labels, labels[places])
    assert np.allclose(clean.shown(slice(0, 40)), pixels.read(places) / 255)


def test_blocks_that_train_on_an_image_agree_on_whether_it_is_shown():
    first, second = (_views(_study(train_observed=100), block) for block in (0, 1))
    shown = [set(views.view("clean", Split.TRAIN).image_id) for views, _ in (first, second)]
    both = set(first[1]) & set(second[1])
    agreed = sum((image in shown[0]) == (image in shown[1]) for image in both)
    # half of 200 are shown: by chance half would agree
    assert agreed > 0.85 * len(both)


def test_a_study_that_shows_all_keeps_its_shards():
    assert "train_observed" not in _study().numbers()["dataset"]
    assert _study(train_observed=40).numbers()["dataset"]["train_observed"] == 40
