from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch.nn.functional import interpolate

from collect.attention import class_activation_map, grad_cam, quantize
from collect.models import build
from store.networks import CifarNetwork
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


METHODS = (
    AttentionMethod.CAM_LABEL,
    AttentionMethod.CAM_PREDICTED,
    AttentionMethod.CAM_SUM,
)


@pytest.mark.parametrize("method", METHODS)
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


def test_grad_cam_of_pooling_and_a_linear_head_is_the_positive_part_of_the_class_map():
    cam = class_activation_map(FEATURES, WEIGHTS, LOGITS, LABELS, AttentionMethod.CAM_PREDICTED)
    found = grad_cam(FEATURES, lambda features: features.mean(dim=(2, 3)) @ WEIGHTS.T)
    # the gradient of a mean over 16 cells is a sixteenth of the class weights
    assert torch.allclose(found, cam.relu() / 16, atol=1e-6)


def test_grad_cam_takes_any_differentiable_head_also_in_inference_mode():
    def head(features: torch.Tensor) -> torch.Tensor:
        return torch.stack([features.square().sum(dim=(1, 2, 3)), features.sum(dim=(1, 2, 3))], 1)

    with torch.inference_mode():
        found = grad_cam(FEATURES * 10, head)
    scaled = (FEATURES * 10).numpy().astype(float)
    for image in range(5):
        weights = (2 * scaled[image]).mean(axis=(1, 2))
        expected = np.maximum((weights[:, None, None] * scaled[image]).sum(axis=0), 0)
        assert np.allclose(found[image].numpy(), expected, rtol=1e-4)


REFERENCE = Path(__file__).parents[1] / "reference/gradcam.safetensors"


@pytest.mark.parametrize("asked", ["predicted", "label"])
def test_maps_of_a_trained_network_equal_pytorch_grad_cams_up_to_scale(asked):
    tensors = load_file(REFERENCE)
    network = CifarNetwork(depth=8, width=4, strides=(1, 2, 1))
    model = build(network, channels=1, side=16, classes=10, generator=torch.Generator())
    prefix = "model."
    weights = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
    model.load_state_dict(weights)
    model.eval()
    with torch.no_grad():
        features = model.features(tensors["images"])
        logits = model.logits(features)
    assert (logits.argmax(dim=1) == tensors["labels"]).float().mean() > 0.8
    method = {"predicted": AttentionMethod.CAM_PREDICTED, "label": AttentionMethod.CAM_LABEL}[asked]
    cams = class_activation_map(
        features, model.head.weight.detach(), logits, tensors["labels"], method
    )
    enlarged = interpolate(cams.relu()[:, None], (16, 16), mode="bilinear")[:, 0]
    checked = 0
    for ours, theirs in zip(enlarged, tensors[f"gradcam_{asked}"], strict=True):
        if ours.max() > 0:
            together = torch.stack([ours.flatten(), theirs.flatten()])
            assert torch.corrcoef(together)[0, 1] > 0.999
            checked += 1
    assert checked >= 35
