"""Do the recipes reach the accuracy that the field expects of them, and does speed cost any?

    python -m benchmarks.accuracy --data FOLDER --write docs/benchmarks.md

Digits: the default study's teacher, trained on all of the training pool without augmentation.
CIFAR-10, from a folder in the Hugging Face Parquet layout: the engine as a study runs it against
the same recipe written plainly in fp32, seed by seed; that no accuracy is lost is tested by two
one-sided tests (TOST) against a bound set beforehand.
"""

import argparse
import os
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import pingouin
import torch
from numpy.typing import NDArray
from scipy import stats

from benchmarks.engines import CPU, trained_accuracy
from benchmarks.pages import machine, table, write_between
from benchmarks.plain_training import (
    PlainAugmentation,
    PlainImages,
    PlainRecipe,
    accuracy,
    train_plainly,
)
from collect.block import training_subset
from collect.datasets import Data, load
from collect.engine import choose_precision
from collect.models import build
from collect.seeding import Purpose, model_streams
from store.design import Design
from store.study_file import load_design
from store.vocabulary import Role

ROOT: Final = Path(__file__).resolve().parents[1]
EXPECTED: Final = 0.98
BOUND: Final = 0.015
"""Difference of mean accuracies below which none counts as lost."""
SUPPOSED_SD: Final = 0.0125
"""Standard deviation between seeds of the difference, supposed when seeds were chosen."""
ALPHA: Final = 0.05
STRENGTH: Final = 0.5
SIMULATED: Final = 100_000
CIFAR_SEED: Final = 20261124
"""Of the blocks on CIFAR-10, as in docs/benchmarks.md."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """What is trained. Epochs and width of None: the study file's own."""

    digits_seeds: int = 10
    digits_epochs: int | None = None
    digits_width: int | None = None
    seeds: int = 12
    images: int = 4000
    test_images: int = 10_000
    epochs: int = 10
    width: int = 8


QUICK: Final = Sizes(
    digits_seeds=2, digits_epochs=2, digits_width=4, seeds=3, images=40, test_images=40, epochs=2
)


def digits(sizes: Sizes) -> str:
    """Mean accuracy on clean test images, with its 95 % interval over seeds."""
    design = load_design(ROOT / "config/digits.yaml")
    pool = 1797 - design.dataset.test_size
    declared: dict[str, Any] = design.model_dump()
    declared["dataset"]["train_subset"]["size"] = pool
    teacher, recipe = declared["networks"]["teacher"], declared["training"]["teacher"]
    declared["networks"]["student"] = teacher
    teacher["width"] = sizes.digits_width or teacher["width"]
    recipe["epochs"] = sizes.digits_epochs or recipe["epochs"]
    design = Design.model_validate(declared)
    data = load(design)
    found = np.array(
        [trained_accuracy(design, data, block, strength=0.0) for block in range(sizes.digits_seeds)]
    )
    low, high = _interval(found, 0.95)
    reached = "reached" if found.mean() >= EXPECTED else "**missed**"
    return (
        f"Digits: {pool} images, {recipe['epochs']} epochs, ResNet-{teacher['depth']} of width "
        f"{teacher['width']}, {choose_precision(design.engine.precision, CPU)}, "
        f"{len(found)} seeds: clean test accuracy {100 * found.mean():.2f} % "
        f"(95 % interval {100 * low:.2f} to {100 * high:.2f}; lowest {100 * found.min():.2f}). "
        f"Expected {100 * EXPECTED:.0f} %: {reached}."
    )


@dataclass(frozen=True, slots=True)
class Paired:
    """Accuracies of each seed, shape (seeds,), and CPU seconds of one training."""

    ours: NDArray[np.float64]
    plain: NDArray[np.float64]
    ours_seconds: float
    plain_seconds: float


def cifar(folder: Path, sizes: Sizes) -> str:
    """The engine against the plain recipe, and whether it is as accurate."""
    design = _cifar_design(folder, sizes)
    pairs = _train_pairs(design, load(design), sizes)
    return _compared(pairs, design)


def _cifar_design(folder: Path, sizes: Sizes) -> Design:
    os.environ["KD_DATA"] = str(folder)
    declared: dict[str, Any] = load_design(ROOT / "config/cifar10-cut.yaml").model_dump()
    declared["dataset"]["train_subset"]["size"] = sizes.images
    declared["dataset"]["test_size"] = sizes.test_images
    for network in declared["networks"].values():
        network["width"] = sizes.width
    declared["training"]["teacher"]["epochs"] = sizes.epochs
    declared["study_seed"] = CIFAR_SEED
    return Design.model_validate(declared)


def _train_pairs(design: Design, data: Data, sizes: Sizes) -> Paired:
    ours: list[float] = []
    plain: list[float] = []
    seconds = np.zeros(2)
    for block in range(sizes.seeds):
        began = time.process_time()
        ours.append(trained_accuracy(design, data, block, strength=STRENGTH))
        between = time.process_time()
        plain.append(_plain_accuracy(design, data, block))
        seconds += between - began, time.process_time() - between
    return Paired(np.array(ours), np.array(plain), *(seconds / sizes.seeds))


def _plain_accuracy(design: Design, data: Data, block: int) -> float:
    rows = training_subset(design, data, block)
    images = PlainImages(data.pool.pixels.read(rows), data.pool.labels[rows])
    streams = model_streams(design.study_seed, block, Role.TEACHER, 0)
    model = build(
        design.networks.teacher,
        channels=3,
        side=data.pool.pixels.shape[3],
        classes=len(data.class_names),
        generator=streams.torch(Purpose.INITIALIZATION),
    )
    recipe, top = design.training.teacher, design.augmentation.maximum
    train_plainly(
        model,
        images,
        PlainRecipe(
            epochs=recipe.epochs,
            batch_size=recipe.batch_size,
            learning_rate=recipe.learning_rate,
            momentum=recipe.momentum,
            weight_decay=recipe.weight_decay,
            warmup_epochs=recipe.warmup_epochs,
        ),
        PlainAugmentation(
            rotation_degrees=STRENGTH * top.rotation_degrees,
            shear_degrees=STRENGTH * top.shear_degrees,
            translate=STRENGTH * top.translate,
            scale=STRENGTH * top.scale,
            brightness=STRENGTH * top.brightness,
            contrast=STRENGTH * top.contrast,
            cutout=STRENGTH * top.cutout,
            flip=STRENGTH / 2,
        ),
        seed=block,
    )
    test = data.test.pixels.read(np.arange(len(data.test.labels)))
    return accuracy(model, PlainImages(test, data.test.labels), images)


def _compared(pairs: Paired, design: Design) -> str:
    difference = pairs.ours - pairs.plain
    found = pingouin.tost(pairs.ours, pairs.plain, bound=BOUND, paired=True)
    p_value = float(found["pval"].iloc[0])
    low, high = _interval(difference, 1 - 2 * ALPHA)
    seeds, spread = len(difference), float(difference.std(ddof=1))
    verdict = "no accuracy is lost" if p_value < ALPHA else "**not shown to be as accurate**"
    network, recipe = design.networks.teacher, design.training.teacher
    precision = choose_precision(design.engine.precision, CPU)
    ways = (
        (f"this project's engine, {precision}", pairs.ours, pairs.ours_seconds),
        ("written plainly, fp32", pairs.plain, pairs.plain_seconds),
    )
    rows = [
        [
            name,
            f"{100 * values.mean():.2f}",
            f"{100 * values.std(ddof=1):.2f}",
            f"{seconds:.1f}",
        ]
        for name, values, seconds in ways
    ]
    return "\n\n".join(
        [
            f"CIFAR-10: {design.dataset.train_subset.size:,} images, {recipe.epochs} epochs, "
            f"ResNet-{network.depth} of width {network.width}, strength {STRENGTH:g}, {seeds} "
            f"seeds, {design.dataset.test_size:,} clean test images.",
            table(["training", "mean accuracy, %", "SD between seeds", "CPU s a training"], rows),
            f"Difference {100 * difference.mean():+.2f} points, 90 % interval {100 * low:+.2f} to "
            f"{100 * high:+.2f}, SD between seeds {100 * spread:.2f}. Bound set beforehand: "
            f"{100 * BOUND:g} points; TOST p = {p_value:.2g}: {verdict}. Chance of showing it if "
            f"there is no difference: {power(seeds, SUPPOSED_SD):.2f} at the SD supposed "
            f"beforehand ({100 * SUPPOSED_SD:g} points), {power(seeds, spread):.2f} at the SD "
            "found.",
        ]
    )


def power(seeds: int, spread: float, bound: float = BOUND) -> float:
    """Chance that a paired TOST rejects when there is no difference, simulated.

    spread: standard deviation of the paired differences, which are taken to be normal.
    """
    rng = np.random.default_rng(1)
    error = spread / seeds**0.5
    means = rng.normal(0, error, SIMULATED)
    errors = error * np.sqrt(rng.chisquare(seeds - 1, SIMULATED) / (seeds - 1))
    reach = stats.t.isf(ALPHA, seeds - 1) * errors
    return float((np.abs(means) + reach < bound).mean())


def _interval(values: NDArray[np.float64], level: float) -> tuple[float, float]:
    """Student's interval of the mean; values: shape (seeds,)."""
    error = values.std(ddof=1) / len(values) ** 0.5
    reach = stats.t.isf((1 - level) / 2, len(values) - 1) * error
    return float(values.mean() - reach), float(values.mean() + reach)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.accuracy",
        description="Accuracy of the recipes, and of the engine against a plain one.",
        epilog="example: python -m benchmarks.accuracy --data /data/cifar10",
    )
    parser.add_argument("--data", type=Path, help="CIFAR-10: train*.parquet and test*.parquet")
    parser.add_argument("--seeds", type=int, help="of the comparison on CIFAR-10")
    parser.add_argument("--digits-epochs", type=int, help="other than the study's")
    parser.add_argument("--digits-width", type=int, help="other than the study's")
    parser.add_argument("--skip-digits", action="store_true", help="CIFAR-10 alone")
    parser.add_argument("--quick", action="store_true", help="tiny sizes: does it run at all?")
    parser.add_argument("--write", type=Path, help="page with the markers to write between")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    sizes = QUICK if chosen.quick else Sizes()
    sizes = replace(
        sizes,
        seeds=chosen.seeds or sizes.seeds,
        digits_epochs=chosen.digits_epochs or sizes.digits_epochs,
        digits_width=chosen.digits_width or sizes.digits_width,
    )
    texts = [f"{machine()}; one thread."]
    if not chosen.skip_digits:
        texts.append(digits(sizes))
        print(texts[-1], flush=True)
    if chosen.data:
        texts.append(cifar(chosen.data, sizes))
        print(f"\n{texts[-1]}")
    else:
        print("\nCIFAR-10 is left out: --data names the folder that holds it")
    if chosen.write:
        write_between(chosen.write, "accuracy", "\n\n".join(texts))


if __name__ == "__main__":
    main()
