"""Images augmented per CPU second, on one thread: this project, Pillow, torchvision v2, kornia.

    python -m benchmarks.augmentation --write docs/augmentation.md

Every round measures every row once, one after the other, so that all meet the same load; a
row's figures are medians over rounds. kornia is no dependency of the project: its rows are
left out where it is not installed (`pip install --no-deps kornia kornia_rs`).
"""

import argparse
import importlib.util
import platform
import re
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from collect.augmentation.policy import Choices, augmented_batches, draw, policy_for
from collect.pixels import InMemory
from collect.torchvision_operators import import_torchvision
from store.augmentations import (
    Augmentation,
    Graded,
    Published,
    PublishedImageNet,
    RandAugment,
    TrivialAugment,
)

import_torchvision()
from torchvision.transforms import InterpolationMode, v2  # noqa: E402

SIDE = 32
IMAGENET_SIDE = 224
ROUNDS = 9
EQUAL = 16
PUBLISHED = Published(policy="published")
IMAGENET = PublishedImageNet(policy="published_imagenet")

Augment = Callable[[Tensor], object]
"""Augments uint8 images of shape (images, 3, side, side)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One way to augment.

    images: that a round takes. apply: augments them once. one: augments a batch that is
    looked at for equal outputs, or None where images are taken one by one.
    """

    what: str
    by: str
    images: int
    apply: Augment
    one: Callable[[Tensor], Tensor] | None = None


def pictures(images: int, *, side: int = SIDE, channels: int = 3) -> Tensor:
    """Smooth random patterns, uint8, shape (images, channels, side, side)."""
    coarse = torch.rand(images, channels, 6, 6, generator=torch.Generator().manual_seed(0))
    smooth = torch.nn.functional.interpolate(coarse, (side, side), mode="bicubic")
    return (smooth.clamp(0, 1) * 255).to(torch.uint8)


def measure(
    declared: Augmentation,
    strength: float,
    *,
    images: int = 2_000,
    batch: int = 128,
    side: int = SIDE,
    channels: int = 3,
) -> float:
    """Images that this project augments per CPU second, drawing and choosing included."""
    shown = pictures(images, side=side, channels=channels)
    augment = ours(declared, strength, batch=batch)
    augment(shown)
    return _per_second(augment, shown)


def ours(declared: Augmentation, strength: float, *, batch: int) -> Augment:
    """Return what augments a training set once, as training does."""

    def augment(images: Tensor) -> None:
        choices = _choices(declared, strength, images)
        kept = InMemory(images.numpy())
        for _ in augmented_batches(
            kept, np.arange(len(images)), choices, batch_size=batch, device=images.device
        ):
            pass

    return augment


def _alone(declared: Augmentation, strength: float, *, batch: int) -> Augment:
    def augment(images: Tensor) -> None:
        choices = _choices(declared, strength, images)
        for start in range(0, len(images), batch):
            rows = np.arange(start, min(start + batch, len(images)))
            choices.apply(images[start : start + batch], rows)

    return augment


def _at_once(declared: Augmentation, strength: float) -> Callable[[Tensor], Tensor]:
    return lambda images: _choices(declared, strength, images).apply(images, np.arange(len(images)))


def _choices(declared: Augmentation, strength: float, images: Tensor) -> Choices:
    policy = policy_for(declared, images.shape[-1])
    return policy.choose(draw(policy, np.random.default_rng(), len(images)), strength)


def _per_second(augment: Augment, images: Tensor) -> float:
    started = time.process_time()
    augment(images)
    return len(images) / (time.process_time() - started)


def _crop_and_flip() -> list[Any]:
    crop = v2.RandomResizedCrop(
        SIDE, scale=(0.2, 1.0), interpolation=InterpolationMode.BICUBIC, antialias=True
    )
    return [crop, v2.RandomHorizontalFlip()]


def _to_fractions() -> list[Any]:
    return [v2.ToImage(), v2.ToDtype(torch.float32, scale=True)]


def _cutout() -> Any:
    """A black square of a quarter of the area, never cut off by the border."""
    return v2.RandomErasing(p=1, scale=(0.25, 0.25), ratio=(1, 1), value=0)


def _weak_pillow() -> Any:
    return v2.Compose([*_crop_and_flip(), v2.RandomRotation(15), *_to_fractions()])


def _strong() -> Any:
    policy = v2.AutoAugment(v2.AutoAugmentPolicy.CIFAR10)
    return v2.Compose([*_crop_and_flip(), policy, *_to_fractions(), _cutout()])


def _pillow(*transforms: Any) -> Augment:
    def augment(images: Tensor) -> None:
        pixels: NDArray[np.uint8] = images.permute(0, 2, 3, 1).contiguous().numpy()
        for image in pixels:
            picture = Image.fromarray(image)
            for transform in transforms:
                transform(picture)

    return augment


def _one_by_one(transform: Any) -> Augment:
    def augment(images: Tensor) -> None:
        for image in images:
            transform(image)

    return augment


def _in_batches(transform: Any, batch: int) -> Augment:
    def augment(images: Tensor) -> None:
        for part in images.split(batch):
            transform(part)

    return augment


def _imagenet_pillow() -> tuple[Any, Any]:
    """Weak and strong. torchvision has another RandAugment: one operation, always done, of its own.

    As many as two, each done half of the time.
    """
    weak = [
        v2.RandomResizedCrop(IMAGENET_SIDE, antialias=True),
        v2.RandomHorizontalFlip(),
        v2.ColorJitter(0.4, 0.4, 0.4),
    ]
    operation = v2.RandAugment(1, 30, interpolation=InterpolationMode.BILINEAR)
    return (
        v2.Compose([*weak, *_to_fractions()]),
        v2.Compose([*weak, operation, *_to_fractions()]),
    )


def imagenet_rows() -> list[Row]:
    """List what is measured on images of ImageNet's size; the first is the comparison."""
    weak, strong = _imagenet_pillow()
    theirs = [
        Row(what="weak and strong", by="Pillow", images=16, apply=_pillow(weak, strong)),
        Row(what="strong", by="Pillow", images=16, apply=_pillow(strong)),
    ]
    return theirs + [
        Row(
            what=what,
            by="this project, training in batches of 64",
            images=64,
            apply=ours(IMAGENET, strength, batch=64),
            one=_at_once(IMAGENET, strength),
        )
        for what, strength in (("strong", 1.0), ("weak", 0.5))
    ]


def _kornia_rows() -> list[Row]:
    if importlib.util.find_spec("kornia") is None:
        return []
    import kornia.augmentation as kornia

    strong = torch.nn.Sequential(
        kornia.RandomResizedCrop(
            (SIDE, SIDE), scale=(0.2, 1.0), ratio=(3 / 4, 4 / 3), resample="bicubic"
        ),
        kornia.RandomHorizontalFlip(),
        kornia.auto.AutoAugment("cifar10"),
        kornia.RandomErasing(p=1, scale=(0.25, 0.25), ratio=(1, 1)),
    )
    policies = {
        "strong": strong,
        "AutoAugment alone": kornia.auto.AutoAugment("cifar10"),
        "RandAugment, magnitude 9": kornia.auto.RandAugment(2, 9),
        "TrivialAugment": kornia.auto.TrivialAugment(),
    }

    def fractions(policy: Any) -> Callable[[Tensor], Tensor]:
        return lambda images: policy(images.float() / 255)

    return [
        Row(
            what=name,
            by="kornia, batches of 128",
            images=512,
            apply=_in_batches(fractions(policy), 128),
            one=fractions(policy),
        )
        for name, policy in policies.items()
    ]


def _our_rows() -> list[Row]:
    random_augment = RandAugment(policy="randaugment")
    cases: list[tuple[str, Augmentation, float, int]] = [
        ("strong", PUBLISHED, 1.0, 100),
        ("strong", PUBLISHED, 1.0, 500),
        ("weak", PUBLISHED, 0.5, 100),
        ("graded, strength 1", Graded(horizontal_flip=True), 1.0, 100),
        ("RandAugment, magnitude 9", random_augment, 0.3, 100),
        ("TrivialAugment", TrivialAugment(policy="trivialaugment"), 1.0, 100),
    ]
    alone = Row(
        what="strong",
        by="this project, each batch of 100 by itself",
        images=3_000,
        apply=_alone(PUBLISHED, 1.0, batch=100),
        one=_at_once(PUBLISHED, 1.0),
    )
    trained = [
        Row(
            what=what,
            by=f"this project, training in batches of {batch}",
            images=3_000,
            apply=ours(declared, strength, batch=batch),
            one=_at_once(declared, strength),
        )
        for what, declared, strength, batch in cases
    ]
    return [*trained, alone]


def _torchvision_rows() -> list[Row]:
    policies = {
        "strong": _strong(),
        "RandAugment, magnitude 9": v2.Compose([v2.RandAugment(2, 9), *_to_fractions()]),
        "TrivialAugment": v2.Compose([v2.TrivialAugmentWide(), *_to_fractions()]),
    }
    alone = [
        Row(what=what, by="torchvision, image by image", images=100, apply=_one_by_one(policy))
        for what, policy in policies.items()
    ]
    together = [
        Row(
            what=what,
            by="torchvision, batches of 128",
            images=2_048,
            apply=_in_batches(policy, 128),
            one=policy,
        )
        for what, policy in policies.items()
    ]
    return alone + together


def rows() -> list[Row]:
    """List what is measured; the first is what the others are compared with."""
    weak, strong = _weak_pillow(), _strong()
    return [
        Row(what="weak and strong", by="Pillow", images=100, apply=_pillow(weak, strong)),
        Row(what="strong", by="Pillow", images=100, apply=_pillow(strong)),
        *_our_rows(),
        *_torchvision_rows(),
        *_kornia_rows(),
    ]


def distinct_outputs(
    one: Callable[[Tensor], Tensor], *, side: int = SIDE, trials: int = 15
) -> float:
    """Median number of different outputs of one batch of equal images."""
    images = pictures(1, side=side).repeat(EQUAL, 1, 1, 1)
    counts = [len({image.numpy().tobytes() for image in one(images)}) for _ in range(trials)]
    return median(counts)


def report() -> str:
    """Measure and lay out the recipes of every size."""
    return _table(rows(), SIDE) + "\n\n" + _table(imagenet_rows(), IMAGENET_SIDE)


def _table(measured: list[Row], side: int) -> str:
    """Measure every row in every round, and lay out the medians as a Markdown table."""
    shown = pictures(max(row.images for row in measured), side=side)
    for row in measured:
        row.apply(shown[: row.images])
    speeds = [
        [_per_second(row.apply, shown[: row.images]) for row in measured] for _ in range(ROUNDS)
    ]
    lines = [
        f"{_machine()}; torch {torch.__version__.split('+')[0]}, one thread, {side} x {side} "
        f"pixels in colour, {ROUNDS} rounds.",
        "",
        f"| what | by | images per CPU s | to Pillow | of {EQUAL} equal images, outputs |",
        "| --- | --- | ---: | ---: | ---: |",
    ]
    for column, row in enumerate(measured):
        speed = median(speeds_[column] for speeds_ in speeds)
        ratio = median(speeds_[column] / speeds_[0] for speeds_ in speeds)
        outputs = f"{distinct_outputs(row.one, side=side):g}" if row.one else "each drawn"
        lines.append(f"| {row.what} | {row.by} | {_rounded(speed)} | {ratio:.1f} | {outputs} |")
    return "\n".join(lines)


def _rounded(speed: float) -> str:
    return f"{round(speed, -2 if speed >= 1_000 else -1):,.0f}"


def _machine() -> str:
    information = Path("/proc/cpuinfo")
    text = information.read_text(encoding="utf-8") if information.exists() else ""
    found = re.search(r"^model name\s*:\s*(.+)$", text, flags=re.MULTILINE)
    return found[1] if found else platform.processor() or platform.machine()


def main() -> None:
    parser = argparse.ArgumentParser(description="Images augmented per CPU second.")
    parser.add_argument("--write", type=Path, help="file with the markers to write between")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    with warnings.catch_warnings():
        # kornia warns of its own use of torch
        warnings.simplefilter("ignore")
        text = report()
    print(text)
    if chosen.write:
        between = re.compile(
            r"(<!-- augmentation -->\n).*(<!-- end augmentation -->)", flags=re.DOTALL
        )
        page = chosen.write.read_text(encoding="utf-8")
        chosen.write.write_text(
            between.sub(lambda marks: marks[1] + text + "\n" + marks[2], page), encoding="utf-8"
        )


if __name__ == "__main__":
    main()
