"""Weights that networks may begin with: torchvision's, downloaded once, or a file's.

Files are read as tensors only, .pth by torch's restricted unpickler: no code in them is run.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from http.client import HTTPException
from pathlib import Path
from typing import Any, Final, cast

import torch
from safetensors.torch import load_file
from torch import Tensor

from collect.classifier import ChannelAffine, Classifier
from collect.torchvision_operators import import_torchvision
from store.errors import UserError
from store.networks import (
    NO_WEIGHTS,
    CifarNetwork,
    ResidualNetwork,
    TransformerNetwork,
)

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of fractions of 255 per channel: what torchvision standardized by when it trained its weights."""

CHANNELS: Final = 3
"""Of the images that such weights are for."""

_HEADS: Final = {"fc.": "head.", "heads.head.": "head."}
_RENAMED: Final = {".mlp.linear_1.": ".mlp.0.", ".mlp.linear_2.": ".mlp.3."}
"""Names in torchvision's files that its networks no longer have."""

_PLACES: Final = "encoder.pos_embedding"


@dataclass(frozen=True, slots=True)
class Pretrained:
    """Weights as a file has them.

    title: of the network that they are for. tensors: by torchvision's names. sha256: of the file.
    """

    title: str
    file: Path
    sha256: str
    tensors: Mapping[str, Tensor]


def read_weights(
    network: CifarNetwork | ResidualNetwork | TransformerNetwork,
) -> Pretrained | None:
    """Read the weights that a network begins with; None where it begins with drawn ones.

    Raises UserError where they are not there, damaged, or not what the study says.
    """
    if isinstance(network, CifarNetwork) or network.weights == NO_WEIGHTS:
        return None
    file = network.weights_file or _downloaded(_imagenet_url(network))
    weights = _read(network.title.partition(" from ")[0], file)
    if network.weights_sha256 not in (None, weights.sha256):
        raise UserError(
            f"weights {file}: its SHA-256 is {weights.sha256}, the study's weights_sha256 is "
            f"{network.weights_sha256}; put the right file there, or change the study"
        )
    return weights


def begin_with(model: Classifier, weights: Pretrained, *, mean: Tensor, std: Tensor) -> None:
    """Put weights into a network, in place, and have it shown images as they were trained on.

    The head is left as it was drawn where it is of another number of classes; the embedding of
    places is interpolated where there are more or fewer patches. mean, std: of the study's
    standardization, per channel, shape (1 or 3,). Raises UserError where names or shapes differ.
    """
    wanted = {
        name: value.shape
        for name, value in model.state_dict().items()
        if not name.startswith("input.")
    }
    found = {_own_name(name): value for name, value in weights.tensors.items()}
    if _own_name(_PLACES) in found and _own_name(_PLACES) in wanted:
        found = _placed(found, wanted[_own_name(_PLACES)], weights.file)
    if found.get("head.bias", torch.empty(0)).shape != wanted["head.bias"]:
        own = model.state_dict()
        found |= {name: own[name] for name in ("head.weight", "head.bias")}
    _require_the_same(found, wanted, weights)
    model.input = _as_trained(mean, std)
    model.load_state_dict(found, strict=False)


@cache
def _read(title: str, file: Path) -> Pretrained:
    """Read a file once, whichever of a job's models begin with it."""
    try:
        with file.open("rb") as stream:
            sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"weights {file}: cannot be read: {error.strerror}") from None
    return Pretrained(title, file, sha256, _tensors(file))


def _as_trained(mean: Tensor, std: Tensor) -> ChannelAffine:
    """From the study's standardization to ImageNet's: (x std + mean - mean') / std'."""
    theirs_mean, theirs_std = (
        torch.tensor(values, dtype=torch.float64) for values in (IMAGENET_MEAN, IMAGENET_STD)
    )
    scale = std.double().cpu() / theirs_std
    shift = (mean.double().cpu() - theirs_mean) / theirs_std
    return ChannelAffine(scale.float(), shift.float())


def _imagenet_url(network: ResidualNetwork | TransformerNetwork) -> str:
    import_torchvision()
    from torchvision.models import get_model_weights  # slow to import

    own = isinstance(network, ResidualNetwork)
    name = f"resnet{network.depth}" if own else f"vit_{network.variant}"
    return cast("Any", get_model_weights(name))["IMAGENET1K_V1"].url


def _downloaded(url: str) -> Path:
    """Return torchvision's file in its usual cache, downloaded where it is not there yet.

    The name of such a file ends in the first eight digits of its SHA-256.
    """
    file = Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]
    digits = file.stem.rpartition("-")[2]
    if not file.exists():
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(url, str(file), hash_prefix=digits, progress=False)
        except (OSError, RuntimeError, HTTPException) as error:
            reason = " ".join(str(error).split())
            raise UserError(
                f"weights: imagenet: {url} cannot be downloaded ({reason}); download it elsewhere "
                f"and put it to {file}, or name a file by weights: FILE"
            ) from None
    with file.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if not found.startswith(digits):
        raise UserError(
            f"weights: imagenet: {file} is damaged: its SHA-256 begins with {found[:8]}, not "
            f"{digits}; delete it, and it is downloaded again"
        )
    return file


def _tensors(file: Path) -> dict[str, Tensor]:
    """Read a file's tensors by their names."""
    try:
        if file.suffix == ".safetensors":
            return load_file(file)
        content: object = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # what a damaged file makes a reader say is open
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"weights {file}: cannot be read ({reason}); allowed: .safetensors, or a state "
            "dictionary as torch.save(model.state_dict(), FILE) writes it"
        ) from None
    if not isinstance(content, Mapping) or not all(
        isinstance(name, str) and isinstance(value, Tensor)
        for name, value in cast("Mapping[object, object]", content).items()
    ):
        raise UserError(
            f"weights {file}: holds no state dictionary (names and tensors alone); write one by "
            "torch.save(model.state_dict(), FILE)"
        )
    return dict(cast("Mapping[str, Tensor]", content))


def _own_name(name: str) -> str:
    """Name a tensor of torchvision's as the networks here do."""
    for theirs, ours in _HEADS.items():
        if name.startswith(theirs):
            return ours + name.removeprefix(theirs)
    for former, now in _RENAMED.items():
        name = name.replace(former, now)
    return f"body.{name}"


def _placed(found: dict[str, Tensor], wanted: torch.Size, file: Path) -> dict[str, Tensor]:
    """Interpolate the embedding of places to another number of patches, as torchvision does."""
    name = _own_name(_PLACES)
    if found[name].shape == wanted:
        return found
    from torchvision.models.vision_transformer import interpolate_embeddings

    # it is asked for patches of one pixel, since it goes by their number alone
    side = round((wanted[1] - 1) ** 0.5)
    try:
        placed = interpolate_embeddings(side, 1, cast("Any", {_PLACES: found[name]}))[_PLACES]
    except (ValueError, IndexError) as error:
        raise UserError(f"weights {file}: {_PLACES} cannot be interpolated: {error}") from None
    return {**found, name: placed}


def _require_the_same(
    found: Mapping[str, Tensor], wanted: Mapping[str, torch.Size], weights: Pretrained
) -> None:
    # old files do not count batches, which nothing here depends on
    counted = {name for name in wanted if name.endswith("num_batches_tracked")}
    missing = sorted(wanted.keys() - counted - found.keys())
    unknown = sorted(found.keys() - wanted.keys())
    shaped = sorted(
        name for name in wanted.keys() & found.keys() if found[name].shape != wanted[name]
    )
    faults = (
        [f"it lacks {_theirs(name)}" for name in missing]
        + [f"it has {_theirs(name)}, which the network has not" for name in unknown]
        + [
            f"{_theirs(name)} has shape {tuple(found[name].shape)}, the network's is "
            f"{tuple(wanted[name])}"
            for name in shaped
        ]
    )
    if faults:
        more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
        raise UserError(
            f"weights {weights.file}: not of {weights.title}: {faults[0]}{more}; names and "
            "shapes must be those of torchvision's network"
        )


def _theirs(name: str) -> str:
    return name.removeprefix("body.")
