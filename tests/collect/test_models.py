import pytest
import torch

from collect.models import build, frozen, parameter_count
from store.networks import CifarNetwork


def _network(depth: int = 8, width: int = 4, strides=(1, 2, 1)):
    return CifarNetwork(depth=depth, width=width, strides=strides)


def _built(network: CifarNetwork, seed: int = 0, channels: int = 1):
    generator = torch.Generator().manual_seed(seed)
    return build(network, channels=channels, side=16, classes=10, generator=generator)


def test_resnet20_has_the_parameters_that_its_layers_sum_to():
    # He et al. report 0.27 M; projection shortcuts (1 x 1 convolution and norm) add 2,752
    stem = 3 * 16 * 9 + 32
    stage = [6 * (c * c * 9 + 2 * c) for c in (16, 32, 64)]
    entry = [(c // 2) * c * 9 - c * c * 9 + (c // 2) * c + 2 * c for c in (32, 64)]
    head = 64 * 10 + 10
    network = _network(20, 16, (1, 2, 2))
    assert parameter_count(_built(network, channels=3)) == stem + sum(stage) + sum(entry) + head
    assert stem + sum(stage) + sum(entry) + head == 272_474


def test_weights_come_from_the_generator_alone():
    torch.manual_seed(1)
    first = _built(_network(), seed=5)
    torch.manual_seed(2)
    second = _built(_network(), seed=5)
    other = _built(_network(), seed=6)
    assert all(
        torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True)
    )
    assert not torch.equal(first.head.weight, other.head.weight)


def test_the_feature_map_has_the_grid_that_the_study_counts_on():
    network = _network(8, 4, (1, 2, 1))
    features = _built(network).features(torch.zeros(2, 1, 16, 16))
    assert features.shape == (2, 16, network.grid(16), network.grid(16)) == (2, 16, 8, 8)


@pytest.mark.parametrize("depth", [8, 14])
def test_a_frozen_network_answers_as_in_eval_mode(depth):
    model = _built(_network(depth))
    images = torch.randn(32, 1, 16, 16, generator=torch.Generator().manual_seed(3))
    model.train()
    for _ in range(3):
        model(images)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    folded = frozen(model)
    expected = model.eval()(images)
    # rounding of one multiplication per weight: far below what a distillation target needs
    assert torch.allclose(
        folded(images), expected, atol=1e-5 * float(expected.detach().abs().max())
    )
    assert not any("norm" in name for name, _ in folded.named_parameters())
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
