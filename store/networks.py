"""The networks that a study may declare."""

from typing import Literal, Self

from pydantic import Field, model_validator

from store.declared import Declared


class Network(Declared):
    """A CIFAR-type residual network (He et al. 2016): depth 6n + 2.

    ``width``: channels of the first stage; the second has twice, the third four
    times as many. ``strides``: of the three stages; the attention grid is the image
    size divided by their product.
    """

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

    def grid(self, image_size: int) -> int:
        """Side of the last layer's feature map, in cells."""
        side = image_size
        for stride in self.strides:
            side = -(-side // stride)
        return side


class Networks(Declared):
    """The networks of teachers and students."""

    teacher: Network
    student: Network
