"""The networks that a study declares: built, and frozen once they are trained."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, TypeVar

from torch import Generator, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from collect.cifar_resnet import CifarResNet
from collect.classifier import Classifier
from collect.torchvision_resnet import TorchvisionResNet
from collect.vision_transformer import VisionTransformer

if TYPE_CHECKING:  # so that a network can be built where the study file cannot be read
    from store.networks import CifarNetwork, ResidualNetwork, TransformerNetwork

_Model = TypeVar("_Model", bound=Classifier)


def build(
    network: CifarNetwork | ResidualNetwork | TransformerNetwork,
    *,
    channels: int,
    side: int,
    classes: int,
    generator: Generator,
) -> Classifier:
    """Build a network for images of shape (channels, side, side), weights drawn from a generator.

    It draws from nothing else, and ends with the same bits whatever was drawn before.
    """
    model: Classifier
    match network.family:
        case "cifar_resnet":
            model = CifarResNet(network, channels=channels, classes=classes)
        case "resnet":
            model = TorchvisionResNet(network, channels=channels, classes=classes)
        case "vit":
            model = VisionTransformer(network, channels=channels, side=side, classes=classes)
    model.initialize(generator)
    return model


def frozen(model: _Model) -> _Model:
    """Copy a trained network for answering only: eval mode, batch normalization folded.

    Its logits equal the network's in eval mode to rounding (fp32: about 1e-6 relative); to the
    bit, where there is nothing to fold, as in transformers.
    """
    copied = copy.deepcopy(model).eval()
    for convolution, norm in tuple(copied.foldable()):
        _fold(copied, convolution, norm)
    return copied


def _fold(model: nn.Module, convolution: str, norm: str) -> None:
    """Put a convolution's batch normalization into its weights."""
    first, second = model.get_submodule(convolution), model.get_submodule(norm)
    if not (isinstance(first, nn.Conv2d) and isinstance(second, nn.BatchNorm2d)):
        raise TypeError(f"{convolution} and {norm} are not a convolution and its normalization")
    model.set_submodule(convolution, fuse_conv_bn_eval(first, second))
    model.set_submodule(norm, nn.Identity())


def parameter_count(model: nn.Module) -> int:
    """Count trainable parameters."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
