"""What every network offers: features and head apart, so that attention needs no second pass."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Generator, Tensor, nn


class Classifier(nn.Module):
    """A network that says which class an image is of: a body that gives features, a linear head.

    head: its last layer; ``head.weight`` has shape (classes, channels). input: what is done to
    standardized images first, see ``ChannelAffine``; nothing, for most.
    """

    head: nn.Linear
    input: nn.Module

    def features(self, x: Tensor) -> Tensor:
        """Return what the body makes of standardized images, shape (batch, channels, ...)."""
        raise NotImplementedError

    def pooled(self, features: Tensor) -> Tensor:
        """Return what the head is given of features, shape (batch, channels), in fp32."""
        raise NotImplementedError

    def logits(self, features: Tensor) -> Tensor:
        """Class scores of features, shape (batch, classes), in fp32."""
        return self.head(self.pooled(features))

    def forward(self, x: Tensor) -> Tensor:
        """Map images of shape (batch, channels, side, side) to logits (batch, classes)."""
        return self.logits(self.features(x))

    def initialize(self, generator: Generator) -> None:
        """Draw all weights from a generator alone."""
        raise NotImplementedError

    def foldable(self) -> Iterator[tuple[str, str]]:
        """Name each convolution whose output goes to a batch normalization alone, and that one."""
        return iter(())


class Convolutional(Classifier):
    """A network whose features are a map, (batch, channels, grid, grid), and averaged for the head.

    It has class activation maps, for its logits are linear in the map.
    """

    def pooled(self, features: Tensor) -> Tensor:
        """Mean of each channel of a feature map, shape (batch, channels), in fp32."""
        return features.float().mean(dim=(2, 3))

    def initialize(self, generator: Generator) -> None:
        """Convolutions: He normal, fan out; head: uniform within 1 / sqrt(features), as torch does.

        Normalizations begin as the identity, which their constructor sees to.
        """
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(
                    module.weight, mode="fan_out", nonlinearity="relu", generator=generator
                )
            elif isinstance(module, nn.Linear):
                bound = module.in_features**-0.5
                nn.init.uniform_(module.weight, -bound, bound, generator=generator)
                nn.init.uniform_(module.bias, -bound, bound, generator=generator)


class ChannelAffine(nn.Module):
    """Scale and shift each channel: from the study's standardization to a network's own.

    scale, shift: shape (channels,). Grey images are shown to every channel.
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, scale: Tensor, shift: Tensor) -> None:
        super().__init__()
        self.register_buffer("scale", scale[None, :, None, None].clone())
        self.register_buffer("shift", shift[None, :, None, None].clone())

    def forward(self, x: Tensor) -> Tensor:
        """Map images of shape (batch, 1 or channels, side, side) to (batch, channels, ...)."""
        return x * self.scale + self.shift
