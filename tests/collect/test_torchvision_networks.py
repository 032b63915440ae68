"""Networks of torchvision: built, frozen, observed and trained as the others are."""

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter
from torch import nn

from collect.attention import attention_weights, map_of, watched
from collect.block import Block
from collect.checkpoint import Record, load, save, weights_hash
from collect.datasets import load as load_data
from collect.engine import Runtime, start
from collect.memory import Limits
from collect.models import build, frozen, parameter_count
from collect.torchvision_operators import import_torchvision
from store.design import Design
from store.frames import SHARD_FRAMES
from store.networks import Network
from store.sections import Engine
from store.shard import content_hash
from store.table_files import in_memory
from store.vocabulary import AttentionMethod

import_torchvision()

SMALL = {"family": "resnet", "depth": 18, "stem": "small"}
VIT = {"family": "vit", "patch": 2, "layers": 2, "heads": 2, "width": 16, "mlp_width": 24}
NETWORK: TypeAdapter[Network] = TypeAdapter(Network)
TOKENS = (AttentionMethod.ROLLOUT, AttentionMethod.CLASS_TOKEN)


def _built(declared: dict[str, object], *, side: int = 16, channels: int = 1, seed: int = 0):
    return build(
        NETWORK.validate_python(declared),
        channels=channels,
        side=side,
        classes=10,
        generator=torch.Generator().manual_seed(seed),
    )


def _images(count: int, side: int = 16, channels: int = 1) -> torch.Tensor:
    return torch.randn(count, channels, side, side, generator=torch.Generator().manual_seed(1))


def _stirred(model: nn.Module) -> nn.Module:
    """The model with a head and biases that are not zero, as after training."""
    generator = torch.Generator().manual_seed(9)
    for parameter in model.parameters():
        parameter.data += 0.1 * torch.randn(parameter.shape, generator=generator)
    return model


@pytest.mark.parametrize(
    ("declared", "side", "channels"),
    [(SMALL, 16, 1), (VIT, 16, 1)],
)
def test_weights_come_from_the_generator_alone(declared, side, channels):
    torch.manual_seed(1)
    first = _built(declared, side=side, channels=channels, seed=5)
    torch.manual_seed(2)
    second = _built(declared, side=side, channels=channels, seed=5)
    other = _built(declared, side=side, channels=channels, seed=6)
    assert weights_hash(first) == weights_hash(second) != weights_hash(other)


@pytest.mark.parametrize("family", ["resnet", "vit"])
def test_weights_begin_spread_as_torchvisions_own(family):
    from torchvision import models

    if family == "resnet":
        ours = _built({"family": "resnet", "depth": 18}, side=64, channels=3)
        theirs = models.resnet18(num_classes=10)
    else:
        shape = {"patch": 4, "layers": 1, "heads": 2, "width": 128, "mlp_width": 256}
        ours = _built({"family": "vit", **shape}, side=32, channels=3)
        theirs = models.VisionTransformer(32, 4, 1, 2, 128, 256, num_classes=10)
    own = {name.removeprefix("body."): value for name, value in ours.state_dict().items()}
    compared = 0
    for name, value in theirs.state_dict().items():
        renamed = name.replace("heads.head", "head").replace("fc.", "head.")
        found = own.pop(renamed)
        assert found.shape == value.shape
        if value.numel() >= 2000:
            # 2,000 draws: a standard error of the deviation of 1.6 %
            assert float(found.std()) == pytest.approx(float(value.std()), rel=0.08), name
            compared += 1
        elif value.unique().numel() == 1:
            assert torch.equal(found, value), name
    assert not own
    assert compared > 4


def test_resnet18_with_a_small_stem_has_the_parameters_that_its_layers_sum_to():
    wide = [(64, 64), (64, 128), (128, 256), (256, 512)]
    blocks = sum(9 * (before * after + 3 * after * after) + 8 * after for before, after in wide)
    shortcuts = sum(before * after + 2 * after for before, after in wide[1:])
    stem, head = 3 * 64 * 9 + 2 * 64, 512 * 10 + 10
    assert parameter_count(_built(SMALL, side=32, channels=3)) == blocks + shortcuts + stem + head


@pytest.mark.parametrize(
    ("declared", "side", "grid"),
    [(SMALL, 32, 4), ({**SMALL, "stem": "imagenet"}, 70, 3), (VIT, 16, 8)],
)
def test_networks_have_the_grid_that_the_study_counts_on(declared, side, grid):
    network = NETWORK.validate_python(declared)
    assert network.side(side) == grid
    features = _built(declared, side=side).features(_images(1, side))
    assert features.shape[2:] == ((grid, grid) if network.family == "resnet" else ())


@pytest.mark.parametrize(("depth", "stem", "side"), [(18, "small", 16), (50, "imagenet", 64)])
def test_a_frozen_residual_network_answers_as_in_eval_mode(depth, stem, side):
    model = _built({"family": "resnet", "depth": depth, "stem": stem}, side=side)
    images = _images(4, side)
    model.train()
    with torch.no_grad():
        model(images)
        model(images)
        before = weights_hash(model)
        expected = model.eval()(images)
        folded = frozen(model)
        found = folded(images)
    # rounding of one multiplication per weight, over 50 layers
    assert torch.allclose(found, expected, atol=2e-5 * float(expected.abs().max()))
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    assert weights_hash(model) == before


def test_a_frozen_transformer_answers_to_the_bit():
    model = _stirred(_built(VIT)).eval()
    with torch.no_grad():
        assert torch.equal(frozen(model)(_images(4)), model(_images(4)))


def test_a_transformers_answers_are_torchvisions():
    from torchvision.models import VisionTransformer as Whole

    model = _stirred(_built(VIT, channels=3)).eval()
    theirs = Whole(16, 2, 2, 2, 16, 24, num_classes=10).eval()
    state = {name.removeprefix("body."): value for name, value in model.state_dict().items()}
    theirs.load_state_dict({n.replace("head.", "heads.head."): v for n, v in state.items()})
    with torch.no_grad():
        images = _images(5, channels=3)
        assert torch.allclose(model(images), theirs(images), atol=1e-6)


def _attentions(model, images: torch.Tensor) -> list[torch.Tensor]:
    """Every layer's attention as torch's own layer says it, walking the encoder by hand."""
    body = model.body
    x = body.conv_proj(images).flatten(2).transpose(1, 2)
    x = torch.cat([body.class_token.expand(len(x), -1, -1), x], dim=1) + body.encoder.pos_embedding
    found = []
    for block in body.encoder.layers:
        y = block.ln_1(x)
        y, weights = block.self_attention(y, y, y, need_weights=True, average_attn_weights=True)
        found.append(weights)
        x = x + y
        x = x + block.mlp(block.ln_2(x))
    return found


def test_attention_is_what_torchs_own_layer_gives():
    layer = nn.MultiheadAttention(12, 3, batch_first=True)
    x = torch.randn(4, 7, 12, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        layer.in_proj_bias += torch.linspace(-1, 1, 36)
        _, expected = layer(x, x, x, need_weights=True, average_attn_weights=True)
        assert torch.allclose(attention_weights(layer, x), expected, atol=1e-6)


def test_rollout_is_the_plain_product_of_layers_and_leaves_the_answers_bits():
    model = _stirred(_built({**VIT, "layers": 3})).eval()
    images = _images(6)
    with torch.inference_mode():
        plain = model.features(images)
        with watched(model, TOKENS) as flow:
            features = model.features(images)
        assert torch.equal(features, plain)
        again = model.features(images)
        assert torch.equal(again, plain)
        layers = [weights.double().numpy() for weights in _attentions(model, images)]
        logits = model.logits(features)
        rolled, last = (
            map_of(method, model, features=features, logits=logits, labels=logits, flow=flow)
            for method in TOKENS
        )
    for image in range(6):
        product = np.eye(65)
        for weights in layers:
            mixed = (weights[image] + np.eye(65)) / 2
            product = mixed / mixed.sum(axis=1, keepdims=True) @ product
        assert np.allclose(product.sum(axis=1), 1)
        assert np.allclose(rolled[image].flatten().numpy(), product[0, 1:], atol=1e-6)
        assert np.allclose(last[image].flatten().numpy(), layers[-1][image, 0, 1:], atol=1e-6)


def test_a_map_of_patches_lies_as_the_image_does():
    model = _built({**VIT, "layers": 1}).eval()
    with torch.no_grad():
        # attention to what is bright: queries constant, keys the mean of the patch
        model.body.conv_proj.weight.zero_()[0] = 1
        model.body.encoder.pos_embedding.zero_()
        layer = next(model.attending())
        layer.in_proj_weight.zero_()
        layer.in_proj_bias.zero_()
        layer.in_proj_bias[0] = 5
        layer.in_proj_weight[16, 0] = 5
        images = torch.zeros(1, 1, 16, 16)
        images[0, 0, 4:6, 10:12] = 1
        with watched(model, TOKENS) as flow:
            model.features(images)
        found = flow.map(AttentionMethod.CLASS_TOKEN)[0]
    assert int(found.argmax()) == 2 * 8 + 5


def test_transformers_have_no_class_activation_map_and_the_others_no_tokens():
    model = _built(SMALL, side=32).eval()
    with torch.inference_mode(), watched(model, TOKENS) as flow:
        features = model.features(_images(2, 32))
        logits = model.logits(features)
    assert flow is None
    asked = {"features": features, "logits": logits, "labels": logits.argmax(dim=1)}
    with pytest.raises(ValueError, match="rollout is of transformers"):
        map_of(AttentionMethod.ROLLOUT, model, **asked, flow=flow)


def test_a_coarse_map_is_enlarged_bilinearly_before_it_is_scaled():
    model = _built(SMALL, side=32).eval()
    labels = torch.tensor([1, 2, 3])
    with torch.no_grad():
        features = model.features(_images(3, 32))
        logits = model.logits(features)
        asked = {"features": features, "logits": logits, "labels": labels, "flow": None}
        found = map_of(AttentionMethod.CAM_LABEL, model, **asked)
        coarse = torch.einsum("bchw,bc->bhw", features, model.head.weight[labels])
    assert found.shape == (3, 8, 8)
    # between cells a straight line, at the border the cell's own value: written out for a row
    across = torch.empty(3, 4, 8)
    for cell in range(8):
        place = min(max((cell + 0.5) / 2 - 0.5, 0), 3)
        low, share = int(place), place - int(place)
        high = min(low + 1, 3)
        across[:, :, cell] = (1 - share) * coarse[:, :, low] + share * coarse[:, :, high]
    for cell in range(8):
        place = min(max((cell + 0.5) / 2 - 0.5, 0), 3)
        low, share = int(place), place - int(place)
        high = min(low + 1, 3)
        row = (1 - share) * across[:, low] + share * across[:, high]
        assert torch.allclose(found[:, cell], row, atol=1e-5)


def _study(network: dict[str, object], **changes: object) -> Design:
    recipe = {"epochs": 1, "batch_size": 12, "learning_rate": 0.02, "warmup_epochs": 0}
    return Design.model_validate(
        {
            "study": "tiny",
            "title": "Tiny",
            "study_seed": 3,
            "seeds": 2,
            "dataset": {"kind": "digits", "test_size": 20, "train_subset": {"size": 24}},
            "networks": {"teacher": network, "student": network},
            "training": {"teacher": recipe, "student": recipe},
            "design": {"strengths": [0, 0.5]},
            "claims": {"H1": {"sesoi": {"attention_iou_adjusted": 0.1}}},
            **changes,
        }
    )


def _collected(design: Design, scratch, **changes: object):
    data = load_data(design)
    runtime = start(Engine(precision="fp32"), torch.device("cpu"), mean=data.mean, std=data.std)
    block = Block(
        design,
        data,
        0,
        runtime=replace(runtime, **changes),
        scratch=scratch,
        finished=lambda _: None,
    )
    found = block.collect()
    return {name: in_memory(table) for name, table in found.items()}


def _hashes(tables) -> list[str]:
    return [content_hash(frame, frame.check(tables[frame.name])) for frame in SHARD_FRAMES]


@pytest.fixture(scope="module")
def transformers(tmp_path_factory):
    return _collected(_study(VIT), tmp_path_factory.mktemp("scratch"))


def test_a_block_of_transformers_holds_rollout_of_every_view_and_the_class_token(transformers):
    maps = transformers["attention"].group_by("view", "method").len().sort("view", "method")
    assert maps.select("view", "method").rows() == [
        ("clean", "class_token"),
        ("clean", "rollout"),
        ("graded-0.5", "rollout"),
    ]
    assert transformers["attention"]["map"].list.len().unique().to_list() == [64]
    assert transformers["attention"]["map"].null_count() == 0
    assert transformers["model"]["network"].unique().to_list() == [
        "vit small patch 2 layers 2 heads 2 width 16 mlp_width 24"
    ]
    assert transformers["model_pair"]["cka"].null_count() == 0


def test_transformers_keep_their_bits_alone_and_by_fewer_images(transformers, tmp_path):
    limits = Limits(together=1, observation_batch=5)
    found = _collected(_study(VIT), tmp_path, limits=limits)
    assert _hashes(found) == _hashes(transformers)


def test_a_block_of_residual_networks_is_collected_with_enlarged_maps(tmp_path):
    design = _study(
        SMALL,
        dataset={"kind": "digits", "image_size": 32, "test_size": 20, "train_subset": {"size": 12}},
        design={"strengths": [0], "teachers": 1, "arms": ["matched"]},
        attention={"methods": ["gradcam"], "primary": "gradcam"},
    )
    assert design.grid == 8
    tables = _collected(design, tmp_path)
    assert tables["model"]["status"].to_list() == ["complete", "complete"]
    assert tables["attention"]["method"].unique().sort().to_list() == ["cam_sum", "gradcam"]
    assert tables["attention"]["map"].list.len().unique().to_list() == [64]


@pytest.mark.parametrize("declared", [SMALL, VIT], ids=["resnet", "vit"])
def test_bf16_trains_and_a_checkpoint_brings_the_weights_back(declared, tmp_path):
    runtime = Runtime(torch.device("cpu"), "bf16", torch.zeros(1, 1, 1, 1), torch.ones(1, 1, 1, 1))
    model = _stirred(_built(declared)).to(memory_format=torch.channels_last)
    logits = runtime.training_logits(model, runtime.standardized(_images(4)))
    assert logits.dtype is torch.float32
    logits.square().sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())
    record = Record(
        failure=None, seconds=1.0, finished_at=datetime(2026, 1, 1, tzinfo=UTC), epochs=()
    )
    save(tmp_path / "model.safetensors", model, record)
    other = _built(declared, seed=4)
    assert load(tmp_path / "model.safetensors", other) is not None
    assert weights_hash(other) == weights_hash(model)
