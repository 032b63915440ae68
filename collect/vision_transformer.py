"""torchvision's vision transformer, its head apart."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from torch import Generator, Tensor, nn

from collect.classifier import Classifier
from collect.torchvision_operators import import_torchvision

if TYPE_CHECKING:  # so that a network can be built where the study file cannot be read
    from store.networks import TransformerNetwork


class VisionTransformer(Classifier):
    """torchvision's VisionTransformer; its parts keep their names, below ``body``.

    Its features are the class token after the last normalization.
    """

    def __init__(
        self, network: TransformerNetwork, *, channels: int, side: int, classes: int
    ) -> None:
        super().__init__()
        import_torchvision()
        from torchvision.models import VisionTransformer as Whole  # slow to import

        self.input = nn.Identity()
        self.body = Whole(
            image_size=side,
            patch_size=network.patch,
            num_layers=network.layers,
            num_heads=network.heads,
            hidden_dim=network.width,
            mlp_dim=network.mlp_width,
        )
        self.body.heads = nn.Sequential()
        if channels != 3:
            self.body.conv_proj = nn.Conv2d(channels, network.width, network.patch, network.patch)
        self.head = nn.Linear(network.width, classes)

    def features(self, x: Tensor) -> Tensor:
        """Class token of standardized images, shape (batch, width)."""
        return self.body(self.input(x))

    def pooled(self, features: Tensor) -> Tensor:
        """Return the class token in fp32, shape (batch, width)."""
        return features.float()

    def attending(self) -> Iterator[nn.MultiheadAttention]:
        """Yield every layer's attention, the first layer's first."""
        for module in self.body.modules():
            if isinstance(module, nn.MultiheadAttention):
                yield module

    def initialize(self, generator: Generator) -> None:
        """Draw weights by torchvision's formulas, from a generator alone.

        Patches: truncated normal of variance 1 / inputs; places: normal of deviation .02; queries,
        keys, values and perceptrons: Glorot uniform, the latter's biases normal of deviation 1e-6;
        what attention gives out: uniform within 1 / sqrt(width). Class token, other biases and the
        head begin at zero, normalizations as the identity, which the constructor sees to.
        """
        patches = self.body.conv_proj
        assert isinstance(patches, nn.Conv2d)
        inputs = patches.in_channels * patches.kernel_size[0] * patches.kernel_size[1]
        nn.init.trunc_normal_(patches.weight, std=inputs**-0.5, generator=generator)
        assert patches.bias is not None
        nn.init.zeros_(patches.bias)
        nn.init.normal_(self.body.encoder.pos_embedding, std=0.02, generator=generator)
        for layer in self.attending():
            assert layer.in_proj_weight is not None
            nn.init.xavier_uniform_(layer.in_proj_weight, generator=generator)
            bound = layer.embed_dim**-0.5
            nn.init.uniform_(layer.out_proj.weight, -bound, bound, generator=generator)
        for name, module in self.body.named_modules():
            if isinstance(module, nn.Linear) and ".mlp." in name:
                nn.init.xavier_uniform_(module.weight, generator=generator)
                nn.init.normal_(module.bias, std=1e-6, generator=generator)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)
