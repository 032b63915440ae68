"""The networks that a study may declare, told apart by ``family``."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, Literal, Self, cast

from pydantic import BeforeValidator, Field, model_validator

from store.declared import Declared, unless_said
from store.errors import StudyError
from store.vocabulary import NetworkKind

SMALLEST_GRID, LARGEST_GRID = 8, 16
"""Sides of the attention maps that a store holds, in cells."""

FEWEST_CELLS: Final = 4
"""Side of the coarsest layer that a map is enlarged from: below, it says too little of a place."""

NO_WEIGHTS, IMAGENET_WEIGHTS = "none", "imagenet"
WEIGHT_FILES: Final = (".pth", ".pt", ".safetensors")


def map_side(side: int) -> int:
    """Side of the stored attention map of a layer of ``side`` cells.

    A layer of fewer than 8 x 8 is enlarged by the smallest whole factor that reaches it, as
    7 -> 14 and 4 -> 8. Raises ValueError where the layer is too coarse or too fine.
    """
    found = side * -(-SMALLEST_GRID // side)
    if side < FEWEST_CELLS or found > LARGEST_GRID:
        raise ValueError(
            f"the last layer is {side} x {side} cells; allowed: {SMALLEST_GRID} x {SMALLEST_GRID} "
            f"to {LARGEST_GRID} x {LARGEST_GRID}, or {FEWEST_CELLS} x {FEWEST_CELLS} and more, "
            "which is enlarged"
        )
    return found


class _Network(Declared, ABC):
    """What every network of a study can be asked."""

    kind: ClassVar[NetworkKind]

    @abstractmethod
    def side(self, image_size: int) -> int:
        """Side of the last layer that attention is read from, in cells.

        Raises ValueError where the network does not take images of this size.
        """

    @property
    @abstractmethod
    def title(self) -> str:
        """Name the network as a reader would."""

    @property
    @abstractmethod
    def record(self) -> str:
        """Return what the store's table ``model`` says of the network."""

    def grid(self, image_size: int) -> int:
        """Side of its stored attention maps, in cells; see ``map_side``, also for errors."""
        return map_side(self.side(image_size))


class CifarNetwork(_Network):
    """A CIFAR-type residual network (He et al. 2016): depth 6n + 2.

    ``width``: channels of the first stage; the second has twice, the third four
    times as many. ``strides``: of the three stages; the attention grid is the image
    size divided by their product.
    """

    kind: ClassVar[NetworkKind] = NetworkKind.CONVOLUTIONAL

    family: Literal["cifar_resnet"] = "cifar_resnet"
    depth: int = Field(ge=8, le=110)
    width: int = Field(ge=1, le=512)
    strides: tuple[int, int, int] = (1, 2, 2)

    @model_validator(mode="after")
    def _depth_is_6n_plus_2(self) -> Self:
        if (self.depth - 2) % 6:
            raise ValueError(
                f"depth {self.depth} is not 6n + 2; allowed: 8, 14, 20, 26, 32, ... 110"
            )
        if any(stride not in (1, 2) for stride in self.strides):
            raise ValueError(f"strides {list(self.strides)}: each must be 1 or 2")
        return self

    def side(self, image_size: int) -> int:
        """Side of the last layer's feature map, in cells."""
        side = image_size
        for stride in self.strides:
            side = -(-side // stride)
        return side

    @property
    def title(self) -> str:
        """Name the network as a reader would."""
        return f"ResNet-{self.depth}, width {self.width}"

    @property
    def record(self) -> str:
        """Return what the store's table ``model`` says of the network."""
        return f"{self.family} depth {self.depth} width {self.width}"


class _Pretrainable(_Network):
    """A network that may begin with weights trained before.

    ``weights``: ``none``, ``imagenet`` for torchvision's IMAGENET1K_V1, or the path of a file of
    torchvision's layout, which may name an environment variable as ``${NAME}``.
    ``weights_sha256``: of that file's content. It is worked out when a study file is read, and
    stands for the file in the shard's key; where it is declared, another file is refused.
    """

    weights: str = NO_WEIGHTS
    weights_sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")

    @model_validator(mode="after")
    def _weights_can_be_had(self) -> Self:
        named = self.weights in (NO_WEIGHTS, IMAGENET_WEIGHTS)
        if not named and Path(self.weights).suffix not in WEIGHT_FILES:
            raise ValueError(
                f"weights {self.weights!r}: allowed: {NO_WEIGHTS}, {IMAGENET_WEIGHTS}, or the path "
                f"of a file that ends in {', '.join(WEIGHT_FILES)}"
            )
        if named and self.weights_sha256 is not None:
            raise ValueError("weights_sha256 is for weights from a file alone; leave it out")
        refused = self._refused_weights()
        if self.weights != NO_WEIGHTS and refused:
            raise ValueError(f"weights {self.weights!r}: {refused}")
        return self

    @abstractmethod
    def _refused_weights(self) -> str | None:
        """Say why these weights are not for this network; None where they are."""

    @property
    def weights_file(self) -> Path | None:
        """Return the file that the weights are in, where a study names one."""
        named = self.weights in (NO_WEIGHTS, IMAGENET_WEIGHTS)
        return None if named else Path(self.weights)

    @property
    def weights_key(self) -> str:
        """Return what stands for the weights in a shard's key.

        Raises StudyError where they are in a file whose content is not known yet.
        """
        if self.weights_file is None:
            return self.weights
        if self.weights_sha256 is None:
            raise StudyError(
                f"weights {self.weights}: its weights_sha256 is not known; declare it, or read the "
                "study from its file"
            )
        return f"sha256:{self.weights_sha256}"

    def _from_weights(self) -> str:
        if self.weights == NO_WEIGHTS:
            return ""
        if self.weights == IMAGENET_WEIGHTS:
            return " from ImageNet weights"
        return f" from given weights {(self.weights_sha256 or 'unknown')[:8]}"


class ResidualNetwork(_Pretrainable):
    """torchvision's ResNet (He et al. 2016) of 18, 34 or 50 layers.

    ``stem``: ``imagenet``, a 7 x 7 convolution of stride 2 and max pooling, or ``small``, a 3 x 3
    convolution of stride 1 for images of 32 pixels.
    """

    kind: ClassVar[NetworkKind] = NetworkKind.CONVOLUTIONAL

    family: Literal["resnet"]
    depth: Literal[18, 34, 50]
    stem: Literal["imagenet", "small"] = "imagenet"

    def side(self, image_size: int) -> int:
        """Side of the last layer's feature map, in cells."""
        side = image_size
        for _ in range(5 if self.stem == "imagenet" else 3):
            side = -(-side // 2)
        return side

    @property
    def title(self) -> str:
        """Name the network as a reader would."""
        stem = " with a small stem" if self.stem == "small" else ""
        return f"ResNet-{self.depth}{stem}{self._from_weights()}"

    @property
    def record(self) -> str:
        """Return what the store's table ``model`` says of the network."""
        return f"{self.family} depth {self.depth} stem {self.stem}"

    def _refused_weights(self) -> str | None:
        if self.stem == "small":
            return "they are for stem imagenet; the small stem has none, use weights: none"
        return None


_VARIANTS: Final[dict[str, dict[str, int]]] = {
    "b_16": {"patch": 16, "layers": 12, "heads": 12, "width": 768, "mlp_width": 3072},
    "b_32": {"patch": 32, "layers": 12, "heads": 12, "width": 768, "mlp_width": 3072},
    "l_16": {"patch": 16, "layers": 24, "heads": 16, "width": 1024, "mlp_width": 4096},
    "l_32": {"patch": 32, "layers": 24, "heads": 16, "width": 1024, "mlp_width": 4096},
    "h_14": {"patch": 14, "layers": 32, "heads": 16, "width": 1280, "mlp_width": 5120},
    "small": {"patch": 4, "layers": 6, "heads": 3, "width": 192, "mlp_width": 768},
}
"""Shapes of Dosovitskiy et al. 2021; those of ``small`` are where a study begins from."""


def _shaped_by_variant(value: Any) -> Any:
    """Give a transformer the shape of its variant; of ``small`` any number may be declared."""
    if not isinstance(value, dict):
        return value
    declared = cast("dict[str, Any]", value)
    # a variant that there is none of is refused by its own key
    shape = _VARIANTS.get(str(declared.get("variant")), _VARIANTS["small"])
    return {**shape, **declared}


class TransformerNetwork(_Pretrainable):
    """torchvision's vision transformer (Dosovitskiy et al. 2021), without dropout.

    ``variant``: a published shape, or ``small`` with any. ``patch``: side of a patch, in pixels;
    the attention grid is the image size divided by it. ``layers``, ``heads``: of the encoder.
    ``width``: of a token. ``mlp_width``: of the perceptron in each layer.
    """

    kind: ClassVar[NetworkKind] = NetworkKind.TRANSFORMER

    family: Literal["vit"]
    variant: Literal["b_16", "b_32", "l_16", "l_32", "h_14", "small"] = "small"
    patch: int = Field(ge=1, le=64)
    layers: int = Field(ge=1, le=64)
    heads: int = Field(ge=1, le=64)
    width: int = Field(ge=1, le=4096)
    mlp_width: int = Field(ge=1, le=16384)

    @model_validator(mode="before")
    @classmethod
    def _has_a_shape(cls, value: Any) -> Any:
        return _shaped_by_variant(value)

    @model_validator(mode="after")
    def _shape_is_the_variants(self) -> Self:
        if self.width % self.heads:
            raise ValueError(
                f"width {self.width} is not a multiple of heads {self.heads}; allowed: "
                f"{', '.join(str(n) for n in range(1, 17) if not self.width % n)} ... heads"
            )
        if self.variant == "small":
            return self
        for key, number in _VARIANTS[self.variant].items():
            if getattr(self, key) != number:
                raise ValueError(
                    f"{key} {getattr(self, key)}: variant {self.variant} has {number}; leave it "
                    "out, or use variant: small, which takes any"
                )
        return self

    def side(self, image_size: int) -> int:
        """Side of the grid of patches; raises ValueError where they do not divide the image."""
        if image_size % self.patch:
            raise ValueError(
                f"patches of {self.patch} px do not divide the side of {image_size} px"
            )
        return image_size // self.patch

    @property
    def title(self) -> str:
        """Name the network as a reader would."""
        if self.variant == "small":
            return f"ViT of {self.layers} layers, width {self.width}, patches of {self.patch} px"
        letter, patch = self.variant.split("_")
        return f"ViT-{letter.upper()}/{patch}{self._from_weights()}"

    @property
    def record(self) -> str:
        """Return what the store's table ``model`` says of the network."""
        return (
            f"{self.family} {self.variant} patch {self.patch} layers {self.layers} heads "
            f"{self.heads} width {self.width} mlp_width {self.mlp_width}"
        )

    def _refused_weights(self) -> str | None:
        if self.variant == "small":
            return "they are for the named variants; use weights: none"
        if self.variant == "h_14" and self.weights == IMAGENET_WEIGHTS:
            return "torchvision has none of IMAGENET1K_V1 for h_14; use another variant or a file"
        return None


FAMILIES: Final[dict[str, type[Declared]]] = {
    "cifar_resnet": CifarNetwork,
    "resnet": ResidualNetwork,
    "vit": TransformerNetwork,
}
"""The networks by the ``family`` that a study file gives them."""


Network = Annotated[
    Annotated[CifarNetwork | ResidualNetwork | TransformerNetwork, Field(discriminator="family")],
    BeforeValidator(unless_said(family="cifar_resnet")),
]


class Networks(Declared):
    """The networks of teachers and students."""

    teacher: Network
    student: Network

    @property
    def kind(self) -> NetworkKind:
        """The kind that both are of."""
        return self.student.kind

    def by_role(self) -> dict[str, CifarNetwork | ResidualNetwork | TransformerNetwork]:
        """Return the networks by the key that a study file gives them."""
        return {"teacher": self.teacher, "student": self.student}

    @model_validator(mode="after")
    def _attention_compares(self) -> Self:
        if self.teacher.kind is not self.student.kind:
            raise ValueError(
                f"teacher is {self.teacher.family}, student is {self.student.family}: attention "
                "maps of a convolutional network and of a transformer cannot be compared; use two "
                "of cifar_resnet and resnet, or vit twice"
            )
        return self
