"""The augmentation policies that a study may declare, told apart by ``policy``."""

from typing import Annotated, Final, Literal

from pydantic import BeforeValidator, Field

from store.declared import Declared, unless_said

PUBLISHED_NAMES: Final = {0.0: "none", 0.5: "weak", 1.0: "strong"}
"""What the strengths of the published policies stand for: names in an order, no dose."""


class Magnitudes(Declared):
    """What the graded policy does at strength 1; at strength s, s times as much.

    Angles in degrees, ``translate`` and ``cutout`` as fractions of the side,
    ``scale``, ``brightness`` and ``contrast`` as fractions of change around 1.
    Each image draws its own value uniformly within plus or minus the magnitude;
    the cutout square has the magnitude's side. So levels are nested.
    """

    rotation_degrees: float = Field(default=30, ge=0, le=180)
    shear_degrees: float = Field(default=15, ge=0, le=60)
    translate: float = Field(default=0.15, ge=0, le=1)
    scale: float = Field(default=0.2, ge=0, lt=1)
    brightness: float = Field(default=0.3, ge=0, le=1)
    contrast: float = Field(default=0.3, ge=0, lt=1)
    cutout: float = Field(default=0.4, ge=0, le=1)


class Graded(Declared):
    """One strength in [0, 1] for all operations, each of them at every strength."""

    policy: Literal["graded"] = "graded"
    maximum: Magnitudes = Magnitudes()
    horizontal_flip: bool = False


class Published(Declared):
    """The recipes of Guo et al. 2024 for CIFAR by name: strength 0 none, 0.5 weak, 1 strong.

    ``cutout_pixels``: side of the strong recipe's square, in pixels whatever the image's size.
    """

    policy: Literal["published"]
    cutout_pixels: int = Field(default=16, ge=2, le=512)


class PublishedImageNet(Declared):
    """The recipes of Guo et al. 2024 for ImageNet by name: strength 0 none, 0.5 weak, 1 strong.

    Weak crops, flips and jitters colours; strong does the same, then RandAugment.
    """

    policy: Literal["published_imagenet"]


class RandAugment(Declared):
    """RandAugment (Cubuk et al. 2020): ``num_ops`` operations at magnitude 30 x strength."""

    policy: Literal["randaugment"]
    num_ops: int = Field(default=2, ge=1, le=14)
    horizontal_flip: bool = False


class TrivialAugment(Declared):
    """TrivialAugment, wide (Müller & Hutter 2021): one operation, its magnitude drawn.

    The strength scales the range that the magnitude is drawn from; 1 is as published.
    """

    policy: Literal["trivialaugment"]
    horizontal_flip: bool = False


POLICIES: Final[dict[str, type[Declared]]] = {
    "graded": Graded,
    "published": Published,
    "published_imagenet": PublishedImageNet,
    "randaugment": RandAugment,
    "trivialaugment": TrivialAugment,
}
"""The policies by the name that a study file gives them."""


Augmentation = Annotated[
    Annotated[
        Graded | Published | PublishedImageNet | RandAugment | TrivialAugment,
        Field(discriminator="policy"),
    ],
    BeforeValidator(unless_said(policy="graded")),
]


def refused_strength(augmentation: Augmentation, strength: float) -> str | None:
    """Say in a line why a policy has no such strength; None where it has."""
    named = isinstance(augmentation, Published | PublishedImageNet)
    if not named or strength in PUBLISHED_NAMES:
        return None
    allowed = ", ".join(f"{value:g} ({name})" for value, name in PUBLISHED_NAMES.items())
    return f"{strength:g} is no strength of the {augmentation.policy} policy; allowed: {allowed}"
