"""The estimators' bias where the truth is known: a short form of the benchmark."""

import math

import numpy as np
import pytest

from analyze.metrics.information import Estimator, choose_estimator
from benchmarks.mutual_information_bias import CONDITIONAL, Channel, simulate


@pytest.mark.parametrize("shared", [0.0, 0.5])
@pytest.mark.parametrize("accuracy", [0.85, 0.91, 0.97])
def test_the_estimator_used_is_within_two_hundredths_of_a_bit_on_a_thousand_images(
    accuracy, shared
):
    channel = Channel(classes=10, accuracy=accuracy, shared=shared)
    found = {one.estimator: one for one in simulate(channel, 1000, replicates=150, seed=20)}
    used = found[choose_estimator(10)]
    assert used.error < 0.002
    assert abs(used.mean) < 0.02
    assert used.mean < found[Estimator.MILLER_MADOW].mean < found[Estimator.PLUG_IN].mean
    conditional = found[CONDITIONAL]
    assert abs(conditional.mean) < (0.02 if shared else 4 * conditional.error)


def test_the_channel_has_the_closed_forms_at_its_ends():
    """All errors shared: I given the label is the errors' entropy. None: it is nothing."""
    row = Channel(classes=6, accuracy=0.9, shared=0).confusion()[0]
    entropy = -sum(share * math.log2(share) for share in row)
    for shared, truth in ((1.0, entropy), (0.0, 0.0)):
        channel = Channel(classes=6, accuracy=0.9, shared=shared)
        plain, given_label = channel.log_ratios()
        assert (channel.joint() * given_label).sum() == pytest.approx(truth, abs=1e-12)
        if shared:
            assert (channel.joint().sum(axis=0) * plain).sum() == pytest.approx(math.log2(6))


def test_draws_come_from_the_channels_own_probabilities():
    channel = Channel(classes=4, accuracy=0.7, shared=0.3)
    table = channel.draw(200_000, np.random.default_rng(0))
    counts = np.zeros((4, 4, 4))
    counts[table.label, table.first, table.second] = table.images
    expected = 200_000 * channel.joint()
    assert (np.abs(counts - expected) < 5 * np.sqrt(expected) + 1).all()
