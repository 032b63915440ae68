"""Weights that networks begin with: whose they are, what is made of them, what is refused."""

import hashlib
import pickle
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import TypeAdapter
from safetensors.torch import save_file
from torch import Tensor

from collect import pretrained
from collect.block import Block
from collect.datasets import load
from collect.engine import start
from collect.models import build
from collect.pretrained import IMAGENET_MEAN, IMAGENET_STD, begin_with, read_weights
from collect.torchvision_operators import import_torchvision
from store.design import Design
from store.errors import UserError
from store.networks import Network, ResidualNetwork, TransformerNetwork
from store.sections import Engine

import_torchvision()

NETWORK: TypeAdapter[Network] = TypeAdapter(Network)
RESNET = {"family": "resnet", "depth": 18}
POOL_MEAN, POOL_STD = torch.tensor([0.2, 0.5, 0.7]), torch.tensor([0.3, 0.2, 0.1])


@pytest.fixture(scope="module")
def residual():
    from torchvision.models import resnet18

    torch.manual_seed(3)
    whole = resnet18(num_classes=7).train()
    with torch.no_grad():
        # statistics of its own, so that eval mode uses what the file says
        whole(torch.randn(4, 3, 64, 64))
    return whole.eval()


@pytest.fixture(scope="module")
def file(residual, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "resnet18.pth"
    torch.save(residual.state_dict(), path)
    return path


def _begun(path: Path, *, classes: int = 7, side: int = 64, seed: int = 0, **declared: object):
    network = NETWORK.validate_python({**RESNET, "weights": str(path), **declared})
    weights = read_weights(network)
    assert weights is not None
    generator = torch.Generator().manual_seed(seed)
    model = build(network, channels=3, side=side, classes=classes, generator=generator)
    begin_with(model, weights, mean=POOL_MEAN, std=POOL_STD)
    return model.eval()


def _per_channel(values: object) -> Tensor:
    return torch.as_tensor(values)[None, :, None, None]


def _shown(fractions: Tensor) -> Tensor:
    """Images as the study standardizes them."""
    return (fractions - _per_channel(POOL_MEAN)) / _per_channel(POOL_STD)


def _as_trained(fractions: Tensor) -> Tensor:
    return (fractions - _per_channel(IMAGENET_MEAN)) / _per_channel(IMAGENET_STD)


FRACTIONS = torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(1))


def test_a_network_answers_as_torchvisions_though_the_study_standardizes_otherwise(file, residual):
    with torch.no_grad():
        expected = residual(_as_trained(FRACTIONS))
        found = _begun(file)(_shown(FRACTIONS))
        wrong = residual(_shown(FRACTIONS))
    scale = float(expected.abs().max())
    assert torch.allclose(found, expected, atol=1e-5 * scale)
    assert not torch.allclose(wrong, expected, atol=1e-2 * scale)


def test_images_reach_the_body_standardized_as_the_weights_were_trained(file):
    model = _begun(file)
    assert torch.allclose(model.input(_shown(FRACTIONS)), _as_trained(FRACTIONS), atol=1e-5)


def test_grey_images_are_shown_to_every_channel(file):
    network = NETWORK.validate_python({**RESNET, "weights": str(file)})
    generator = torch.Generator().manual_seed(0)
    model = build(network, channels=3, side=64, classes=7, generator=generator)
    weights = read_weights(network)
    begin_with(model, weights, mean=torch.tensor([0.4]), std=torch.tensor([0.5]))
    grey = FRACTIONS[:, :1]
    expected = _as_trained(grey.expand(-1, 3, -1, -1))
    assert torch.allclose(model.input((grey - 0.4) / 0.5), expected, atol=1e-5)


def test_safetensors_and_a_file_without_counts_give_the_same_network(file, residual, tmp_path):
    state = {n: v for n, v in residual.state_dict().items() if "num_batches" not in n}
    other = tmp_path / "weights.safetensors"
    save_file(state, other)
    with torch.no_grad():
        assert torch.equal(_begun(other)(_shown(FRACTIONS)), _begun(file)(_shown(FRACTIONS)))


def test_the_head_is_drawn_anew_where_classes_differ_and_the_body_is_not(file, residual):
    first, again, other = (_begun(file, classes=5, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(first.head.weight, again.head.weight)
    assert not torch.equal(first.head.weight, other.head.weight)
    assert first.head.weight.shape == (5, 512)
    assert torch.equal(first.body.conv1.weight, residual.conv1.weight)
    assert torch.equal(_begun(file).head.weight, residual.fc.weight)


@pytest.fixture(scope="module")
def transformer(tmp_path_factory):
    """A transformer's file of a shape that tests can afford, with the names of old files."""
    from torchvision.models import VisionTransformer

    torch.manual_seed(0)
    whole = VisionTransformer(16, 4, 2, 2, 8, 12, num_classes=3).eval()
    whole.heads.head.weight.data.normal_()
    path = tmp_path_factory.mktemp("weights") / "vit.safetensors"
    former = {".mlp.0.": ".mlp.linear_1.", ".mlp.3.": ".mlp.linear_2."}
    state = dict(whole.state_dict())
    for now, then in former.items():
        state = {name.replace(now, then): value for name, value in state.items()}
    save_file(state, path)
    return whole, path


def _small_transformer(path: Path, side: int):
    # of a named variant, weights may be given; its shape is made small behind the study's back
    declared = {"family": "vit", "variant": "b_16", "weights": str(path)}
    network = NETWORK.validate_python(declared).model_copy(
        update={"patch": 4, "layers": 2, "heads": 2, "width": 8, "mlp_width": 12}
    )
    generator = torch.Generator().manual_seed(0)
    model = build(network, channels=3, side=side, classes=3, generator=generator)
    begin_with(model, read_weights(network), mean=POOL_MEAN, std=POOL_STD)
    return model.eval()


def test_a_transformer_begins_with_the_names_of_old_files(transformer):
    whole, path = transformer
    images = FRACTIONS[:, :, :16, :16]
    with torch.no_grad():
        found = _small_transformer(path, 16)(_shown(images))
        assert torch.allclose(found, whole(_as_trained(images)), atol=1e-5)


def test_the_embedding_of_places_is_interpolated_to_more_patches_as_torchvision_does(transformer):
    from torchvision.models.vision_transformer import interpolate_embeddings

    whole, path = transformer
    model = _small_transformer(path, 32)
    expected = interpolate_embeddings(32, 4, whole.state_dict())["encoder.pos_embedding"]
    assert expected.shape == (1, 65, 8)
    assert torch.equal(model.body.encoder.pos_embedding, expected)


class _Malicious:
    def __reduce__(self):
        return Path.touch, (Path("/tmp/kd-was-here"),)


def _changed(state: dict[str, Tensor], name: str, value: Tensor | None) -> dict[str, Tensor]:
    others = {key: tensor for key, tensor in state.items() if key != name}
    return others if value is None else {**others, name: value}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: _changed(s, "conv1.weight", None), "it lacks conv1.weight; names and shapes"),
        (lambda s: _changed(s, "extra", torch.ones(1)), "it has extra, which the network has not"),
        (
            lambda s: _changed(s, "conv1.weight", torch.ones(64, 3, 3, 3)),
            r"conv1.weight has shape \(64, 3, 3, 3\), the network's is \(64, 3, 7, 7\)",
        ),
        (lambda s: {"model": s}, "holds no state dictionary"),
        (lambda s: {"a": _Malicious()}, "cannot be read .* allowed: .safetensors, or a state dict"),
    ],
)
def test_a_file_of_something_else_is_one_clear_line(residual, tmp_path, change, words):
    path = tmp_path / "weights.pth"
    torch.save(change(residual.state_dict()), path)
    with pytest.raises(UserError, match=words) as caught:
        _begun(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not Path("/tmp/kd-was-here").exists()


@pytest.mark.parametrize("name", ["weights.pth", "weights.safetensors"])
def test_a_damaged_file_is_one_clear_line(file, tmp_path, name):
    path = tmp_path / name
    path.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(UserError, match="cannot be read") as caught:
        _begun(path)
    assert "\n" not in str(caught.value)
    path.write_bytes(pickle.dumps({"a": 1}))


def test_another_file_than_the_study_says_is_refused(file):
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    _begun(file, weights_sha256=digest)
    with pytest.raises(UserError, match=f"its SHA-256 is {digest}, the study's weights_sha256"):
        _begun(file, weights_sha256="0" * 64)


def test_without_a_network_what_to_download_and_where_to_put_it_is_said(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))

    def refused(*_, **__):
        raise URLError("Name or service not known")

    monkeypatch.setattr(torch.hub, "download_url_to_file", refused)
    place = tmp_path / "hub/checkpoints/vit_b_16-c867db91.pth"
    network = TransformerNetwork.model_validate(
        {"family": "vit", "variant": "b_16", "weights": "imagenet"}
    )
    with pytest.raises(UserError, match="Name or service not known") as caught:
        read_weights(network)
    text = str(caught.value)
    assert "https://download.pytorch.org/models/vit_b_16-c867db91.pth" in text
    assert f"put it to {place}" in text
    assert "\n" not in text
    place.write_bytes(b"something else")
    with pytest.raises(UserError, match=f"{place} is damaged: .* delete it"):
        read_weights(network)


def test_weights_are_downloaded_once_into_torchs_cache(monkeypatch, tmp_path, file):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "cache"))
    digits = hashlib.sha256(file.read_bytes()).hexdigest()[:8]
    source = tmp_path / f"resnet18-{digits}.pth"
    source.write_bytes(file.read_bytes())
    monkeypatch.setattr(pretrained, "_imagenet_url", lambda _: source.as_uri())
    network = ResidualNetwork.model_validate({**RESNET, "weights": "imagenet"})
    found = read_weights(network)
    assert found.file == tmp_path / "cache/hub/checkpoints" / source.name
    source.unlink()
    assert read_weights(network).sha256 == found.sha256


def test_a_block_says_which_weights_its_teachers_began_with(file, tmp_path):
    recipe = {"epochs": 1, "batch_size": 4, "learning_rate": 0.01, "warmup_epochs": 0}
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    weights = {"weights": str(file), "weights_sha256": digest}
    generator = np.random.default_rng(0)
    for split, images in (("train", 4), ("test", 20)):
        for index in range(images):
            place = tmp_path / split / str(index % 2)
            place.mkdir(parents=True, exist_ok=True)
            pixels = generator.integers(0, 255, size=(128, 128, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(place / f"{index}.png")
    design = Design.model_validate(
        {
            "study": "tiny",
            "title": "Tiny",
            "study_seed": 3,
            "seeds": 1,
            "dataset": {
                "kind": "imagefolder",
                "path": str(tmp_path),
                "image_size": 128,
                "classes": 2,
                "test_size": 20,
                "train_subset": {"size": 4},
            },
            "networks": {"teacher": {**RESNET, **weights}, "student": RESNET},
            "training": {"teacher": recipe, "student": recipe},
            "design": {"strengths": [0], "teachers": 1, "arms": ["matched"]},
            "claims": {"H1": {"sesoi": {"attention_iou_adjusted": 0.1}}},
        }
    )
    data = load(design)
    runtime = start(Engine(precision="fp32"), torch.device("cpu"), mean=data.mean, std=data.std)
    collected = Block(
        design, data, 0, runtime=runtime, scratch=tmp_path / "scratch", finished=lambda _: None
    ).collect()
    assert collected["model"]["network"].to_list() == [
        f"resnet depth 18 stem imagenet weights sha256:{digest}",
        "resnet depth 18 stem imagenet",
    ]
