import numpy as np
import pytest
import torch

from collect.attention import class_activation_map, quantize
from store.vocabulary import AttentionMethod

GENERATOR = torch.Generator().manual_seed(4)
FEATURES = torch.rand(5, 3, 4, 4, generator=GENERATOR)
WEIGHTS = torch.randn(6, 3, generator=GENERATOR)
LOGITS = FEATURES.mean(dim=(2, 3)) @ WEIGHTS.T
LABELS = torch.tensor([0, 5, 2, 2, 1])


def _written_out(image: int, classes: list[int]) -> np.ndarray:
    total = np.zeros((4, 4))
    for label in classes:
        for channel in range(3):
            weight = float(WEIGHTS[label, channel])
            total += weight * FEATURES[image, channel].numpy().astype(float)
    return total


@pytest.mark.parametrize("method", list(AttentionMethod))
def test_maps_equal_the_sum_over_channels_written_out(method):
    maps = class_activation_map(FEATURES, WEIGHTS, LOGITS, LABELS, method)
    for image in range(5):
        classes = {
            AttentionMethod.CAM_LABEL: [int(LABELS[image])],
            AttentionMethod.CAM_PREDICTED: [int(LOGITS[image].argmax())],
            AttentionMethod.CAM_SUM: list(range(6)),
        }[method]
        assert np.allclose(maps[image].numpy(), _written_out(image, classes), atol=1e-5)


def test_the_mean_of_a_class_map_is_the_classs_logit_without_its_bias():
    maps = class_activation_map(FEATURES, WEIGHTS, LOGITS, LABELS, AttentionMethod.CAM_LABEL)
    expected = LOGITS[torch.arange(5), LABELS]
    assert torch.allclose(maps.mean(dim=(1, 2)), expected, atol=1e-5)


def test_quantized_maps_span_0_to_255_and_keep_their_order():
    maps = torch.randn(7, 4, 4, generator=GENERATOR)
    for map_, cells in zip(maps, quantize(maps), strict=True):
        assert cells is not None
        assert (cells.min(), cells.max()) == (0, 255)
        flat = map_.flatten().double().numpy()
        expected = (flat - flat.min()) / (flat.max() - flat.min()) * 255
        assert np.abs(cells - expected).max() <= 0.5 + 1e-9


def test_scaling_and_shifting_a_map_changes_nothing():
    maps = torch.randn(3, 4, 4, generator=GENERATOR).double()
    for a, b in zip(quantize(maps), quantize(4 * maps + 8), strict=True):
        assert np.array_equal(a, b)


def test_a_constant_or_infinite_map_is_undefined_not_zero():
    maps = torch.rand(4, 4, 4)
    maps[0] = 0.3
    maps[1, 0, 0] = torch.inf
    maps[2, 1, 1] = torch.nan
    found = quantize(maps)
    assert [cells is None for cells in found] == [True, True, True, False]
