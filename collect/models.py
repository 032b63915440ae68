"""Networks whose last layer is a feature map, global average pooling and a linear head."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import torch.nn.functional as functional
from torch import Generator, Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

if TYPE_CHECKING:  # so that a network can be built where the study file cannot be read
    from store.networks import Network


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions with batch normalization and a shortcut (He et al. 2016)."""

    def __init__(self, channels_in: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or channels_in != channels:
            self.shortcut = nn.Sequential(
                nn.Conv2d(channels_in, channels, 1, stride, bias=False), nn.BatchNorm2d(channels)
            )

    def forward(self, x: Tensor) -> Tensor:
        """Map shape (batch, channels_in, h, w) to (batch, channels, h / stride, w / stride)."""
        out = functional.relu(self.norm1(self.conv1(x)), inplace=True)
        # in place where nothing needs the sum's terms again: the same bits, less memory
        return functional.relu(self.norm2(self.conv2(out)) + self.shortcut(x), inplace=True)


class CifarResNet(nn.Module):
    """The CIFAR residual network of depth 6n + 2 (He et al. 2016), of any width.

    ``features`` and ``head`` are apart, so that a class activation map needs no second pass.
    """

    def __init__(self, network: Network, *, channels: int, classes: int) -> None:
        super().__init__()
        width = network.width
        layers: list[nn.Module] = [
            nn.Conv2d(channels, width, 3, 1, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
        ]
        current = width
        for stage, stride in enumerate(network.strides):
            for index in range((network.depth - 2) // 6):
                out = width * 2**stage
                layers.append(ResidualBlock(current, out, stride if index == 0 else 1))
                current = out
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(current, classes)

    def features(self, x: Tensor) -> Tensor:
        """Last feature map, shape (batch, 4 width, grid, grid)."""
        return self.body(x)

    def logits(self, features: Tensor) -> Tensor:
        """Class scores of a feature map, shape (batch, classes), in fp32."""
        return self.head(features.float().mean(dim=(2, 3)))

    def forward(self, x: Tensor) -> Tensor:
        """Map images of shape (batch, channels, side, side) to logits (batch, classes)."""
        return self.logits(self.features(x))


def build(network: Network, *, channels: int, classes: int, generator: Generator) -> CifarResNet:
    """Build a network with weights drawn from a generator alone.

    Convolutions: He normal, fan out; head: uniform within 1 / sqrt(features), as torch does.
    """
    model = CifarResNet(network, channels=channels, classes=classes)
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(
                module.weight, mode="fan_out", nonlinearity="relu", generator=generator
            )
        elif isinstance(module, nn.Linear):
            bound = module.in_features**-0.5
            nn.init.uniform_(module.weight, -bound, bound, generator=generator)
            nn.init.uniform_(module.bias, -bound, bound, generator=generator)
    return model


def frozen(model: CifarResNet) -> CifarResNet:
    """Copy a trained network for answering only: eval mode, batch normalization folded.

    Its logits equal the network's in eval mode to rounding (fp32: about 1e-6 relative).
    """
    copied = copy.deepcopy(model).eval()
    _fold(copied.body, "0", "1")
    for block in copied.body:
        if isinstance(block, ResidualBlock):
            _fold(block, "conv1", "norm1")
            _fold(block, "conv2", "norm2")
            if isinstance(block.shortcut, nn.Sequential):
                _fold(block.shortcut, "0", "1")
    return copied


def _fold(parent: nn.Module, convolution: str, norm: str) -> None:
    """Put a convolution's batch normalization into its weights."""
    first, second = parent.get_submodule(convolution), parent.get_submodule(norm)
    if not (isinstance(first, nn.Conv2d) and isinstance(second, nn.BatchNorm2d)):
        raise TypeError(f"{convolution} and {norm} are not a convolution and its normalization")
    setattr(parent, convolution, fuse_conv_bn_eval(first, second))
    setattr(parent, norm, nn.Identity())


def parameter_count(model: nn.Module) -> int:
    """Count trainable parameters."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
