"""torchvision's residual networks, their head apart, with a stem for large or small images."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from torch import Tensor, nn

from collect.classifier import Convolutional
from collect.torchvision_operators import import_torchvision

if TYPE_CHECKING:  # so that a network can be built where the study file cannot be read
    from store.networks import ResidualNetwork


class TorchvisionResNet(Convolutional):
    """torchvision's ResNet; its parts keep their names, below ``body``."""

    def __init__(self, network: ResidualNetwork, *, channels: int, classes: int) -> None:
        super().__init__()
        import_torchvision()
        from torchvision import models  # slow to import, and not every network needs it

        whole = getattr(models, f"resnet{network.depth}")()
        self.input = nn.Identity()
        self.body = nn.Sequential()
        for name, part in whole.named_children():
            if name not in ("avgpool", "fc"):
                self.body.add_module(name, part)
        width = whole.conv1.out_channels
        if network.stem == "small":
            self.body.conv1 = nn.Conv2d(channels, width, 3, 1, padding=1, bias=False)
            self.body.maxpool = nn.Identity()
        elif channels != whole.conv1.in_channels:
            self.body.conv1 = nn.Conv2d(channels, width, 7, 2, padding=3, bias=False)
        self.head = nn.Linear(whole.fc.in_features, classes)

    def features(self, x: Tensor) -> Tensor:
        """Last feature map, shape (batch, 512 or 2048, grid, grid)."""
        return self.body(self.input(x))

    def foldable(self) -> Iterator[tuple[str, str]]:
        """Name each convolution and its normalization."""
        for name, part in self.body.named_modules(prefix="body"):
            children = dict(part.named_children())
            for child in children:
                norm = child.replace("conv", "bn")
                if child.startswith("conv") and norm in children:
                    yield f"{name}.{child}", f"{name}.{norm}"
            if name.endswith("downsample"):
                yield f"{name}.0", f"{name}.1"
