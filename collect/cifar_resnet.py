"""CIFAR-type residual networks, of any width."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import torch.nn.functional as functional
from torch import Tensor, nn

from collect.classifier import Convolutional

if TYPE_CHECKING:  # so that a network can be built where the study file cannot be read
    from store.networks import CifarNetwork


_NARROW: Final = 8
"""Channels of one AVX2 register in fp32."""


class StridedPointwise(nn.Conv2d):
    """A 1 x 1 convolution with stride, which leaves out pixels before it where it is narrow.

    The product is the same. oneDNN as torch 2.13 has it writes past the end of the weights'
    gradient in such a convolution of fewer than 8 channels, channels last, on processors with
    AVX2 and without AVX-512: the process is killed, or memory is silently damaged.
    """

    def __init__(self, channels_in: int, channels: int, stride: int) -> None:
        super().__init__(channels_in, channels, 1, stride, bias=False)

    def forward(self, input: Tensor) -> Tensor:
        """Map shape (batch, channels_in, h, w) to (batch, channels, h / stride, w / stride)."""
        rows, columns = self.stride
        if self.in_channels >= _NARROW or (rows, columns) == (1, 1):
            return super().forward(input)
        seen = input[:, :, ::rows, ::columns]
        return functional.conv2d(seen, self.weight, self.bias)


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
                StridedPointwise(channels_in, channels, stride), nn.BatchNorm2d(channels)
            )

    def forward(self, x: Tensor) -> Tensor:
        """Map shape (batch, channels_in, h, w) to (batch, channels, h / stride, w / stride)."""
        out = functional.relu(self.norm1(self.conv1(x)), inplace=True)
        # in place where nothing needs the sum's terms again: the same bits, less memory
        return functional.relu(self.norm2(self.conv2(out)) + self.shortcut(x), inplace=True)


class CifarResNet(Convolutional):
    """The CIFAR residual network of depth 6n + 2 (He et al. 2016), of any width."""

    def __init__(self, network: CifarNetwork, *, channels: int, classes: int) -> None:
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

    def foldable(self) -> Iterator[tuple[str, str]]:
        """Name each convolution and its normalization."""
        yield "body.0", "body.1"
        for place, block in enumerate(self.body):
            if isinstance(block, ResidualBlock):
                yield f"body.{place}.conv1", f"body.{place}.norm1"
                yield f"body.{place}.conv2", f"body.{place}.norm2"
                if isinstance(block.shortcut, nn.Sequential):
                    yield f"body.{place}.shortcut.0", f"body.{place}.shortcut.1"
