"""How biased is each estimator of mutual information? Simulation where the truth is known.

    python -m benchmarks.mutual_information_bias --write docs/mutual-information.md

Prints two Markdown tables, and puts them between the markers of the file given. A pair of
classifiers is drawn from a channel whose cell probabilities are known, so the true
information is a finite sum, not an estimate. Each estimate is compared with the mean log ratio
of its own images' true probabilities, whose expectation is the true information: the bias is the
same as against the truth, and its Monte Carlo error several times smaller.
"""

import argparse
import itertools
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from analyze.metrics.contingency import LabelledContingency
from analyze.metrics.information import (
    Estimator,
    choose_estimator,
    conditional_mutual_information,
    mutual_information,
)

CLASSES = (10, 100)
IMAGES = (128, 1_000, 10_000)
ACCURACIES = (0.85, 0.91, 0.97)
SHARED = (0.0, 0.5)
REPLICATES = {128: 400, 1_000: 400, 10_000: 100}
CONDITIONAL_PLUG_IN = "conditional, plug-in"
CONDITIONAL = "conditional, less its permutation mean"


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """Two classifiers that are right equally often and share some of their errors.

    Labels are uniform. On a share ``shared`` of the images both give one and the same answer,
    on the others each its own; all answers follow one confusion distribution, right with
    probability ``accuracy``, else each further class half as likely as the one before.
    """

    classes: int
    accuracy: float
    shared: float

    def confusion(self) -> NDArray[np.float64]:
        """P(answer | label), shape (classes, classes)."""
        wrong = 0.5 ** np.arange(self.classes - 1)
        row = np.concatenate([[self.accuracy], (1 - self.accuracy) * wrong / wrong.sum()])
        return np.stack([np.roll(row, label) for label in range(self.classes)])

    def joint(self) -> NDArray[np.float64]:
        """P(label, first, second), shape (classes, classes, classes)."""
        answers = self.confusion()
        same = answers[:, :, None] * np.eye(self.classes)
        own = answers[:, :, None] * answers[:, None, :]
        return (self.shared * same + (1 - self.shared) * own) / self.classes

    def log_ratios(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Log2 of joint over independent probability of each cell, 0 where it cannot occur.

        Without the label, shape (classes, classes), and given it, (classes, classes, classes).
        Their means under ``joint`` are I(first; second) and I(first; second | label).
        """
        joint = self.joint()
        plain = joint.sum(axis=0)
        apart = joint.sum(axis=2)[:, :, None] * joint.sum(axis=1)[:, None, :] * self.classes
        return (
            _log_ratio(plain, plain.sum(axis=1)[:, None] * plain.sum(axis=0)),
            _log_ratio(joint, apart),
        )

    def draw(self, images: int, generator: np.random.Generator) -> LabelledContingency:
        """Count the answers to ``images`` images."""
        label = generator.integers(0, self.classes, images)
        steps = self.confusion()[0]
        first, second = generator.choice(self.classes, size=(2, images), p=steps)
        second = np.where(generator.random(images) < self.shared, first, second)
        cells, counts = np.unique(
            np.stack([label, (label + first) % self.classes, (label + second) % self.classes]),
            axis=1,
            return_counts=True,
        )
        return LabelledContingency(cells[0], cells[1], cells[2], counts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bias:
    """Mean of estimate minus truth, in bits. error: its Monte Carlo standard error."""

    estimator: str
    truth: float
    mean: float
    error: float


def simulate(channel: Channel, images: int, *, replicates: int, seed: int) -> tuple[Bias, ...]:
    """Bias of each estimator over ``replicates`` draws of ``images`` images."""
    generator = np.random.default_rng([seed, channel.classes, images])
    joint = channel.joint()
    plain, given_label = channel.log_ratios()
    truth, truth_given_label = (joint.sum(axis=0) * plain).sum(), (joint * given_label).sum()
    found: dict[str, list[float]] = {}
    for _ in range(replicates):
        table = channel.draw(images, generator)
        pooled = table.pooled()
        own = pooled.images @ plain[pooled.first, pooled.second] / images
        for estimator in Estimator:
            value = mutual_information(pooled, estimator).estimate_bits
            found.setdefault(estimator, []).append(value - own)
        conditional = conditional_mutual_information(table)
        own = table.images @ given_label[table.label, table.first, table.second] / images
        excess = conditional.estimate_bits - own
        found.setdefault(CONDITIONAL, []).append(excess)
        found.setdefault(CONDITIONAL_PLUG_IN, []).append(excess + conditional.bias_bits)
    return tuple(
        Bias(
            estimator=name,
            truth=float(truth_given_label if name.startswith("conditional") else truth),
            mean=float(np.mean(values)),
            error=float(np.std(values, ddof=1) / math.sqrt(replicates)),
        )
        for name, values in found.items()
    )


def _log_ratio(joint: NDArray[np.float64], apart: NDArray[np.float64]) -> NDArray[np.float64]:
    there = joint > 0
    ratio = np.zeros_like(joint)
    ratio[there] = np.log2(joint[there] / apart[there])
    return ratio


def _simulated(seed: int) -> Iterator[tuple[Channel, int, dict[str, Bias]]]:
    for classes, images, accuracy, shared in itertools.product(CLASSES, IMAGES, ACCURACIES, SHARED):
        channel = Channel(classes=classes, accuracy=accuracy, shared=shared)
        biases = simulate(channel, images, replicates=REPLICATES[images], seed=seed)
        yield channel, images, {bias.estimator: bias for bias in biases}


def tables(seed: int) -> str:
    """Both tables as Markdown."""
    rows = list(_simulated(seed))
    plain = _table(rows, tuple(map(str, Estimator)))
    conditional = _table(rows, (CONDITIONAL_PLUG_IN, CONDITIONAL))
    return (
        "Mutual information: bias in bits ± its Monte Carlo standard error (bold: the estimator "
        f"that is used)\n\n{plain}\n\nMutual information given the label, the same\n\n{conditional}"
    )


def _table(rows: list[tuple[Channel, int, dict[str, Bias]]], names: tuple[str, ...]) -> str:
    lines = [
        f"| K | N | accuracy | shared | truth | {' | '.join(names)} |",
        f"| ---: | ---: | ---: | ---: | ---: | {' | '.join('---:' for _ in names)} |",
    ]
    for channel, images, biases in rows:
        used = (choose_estimator(channel.classes), CONDITIONAL)
        cells = " | ".join(_cell(biases[name], used=name in used) for name in names)
        lines.append(
            f"| {channel.classes} | {images:,} | {channel.accuracy} | {channel.shared} "
            f"| {abs(biases[names[0]].truth):.3f} | {cells} |"
        )
    return "\n".join(lines)


def _cell(bias: Bias, *, used: bool) -> str:
    text = f"{bias.mean:+.4f} ± {bias.error:.4f}"
    return f"**{text}**" if used else text


def main() -> None:
    parser = argparse.ArgumentParser(description="Bias of mutual information, by simulation.")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--write", type=Path, help="file with the markers to write between")
    chosen = parser.parse_args()
    text = tables(chosen.seed)
    print(text)
    if chosen.write:
        between = re.compile(r"(<!-- simulated -->\n).*(\n<!-- end -->)", flags=re.DOTALL)
        page = chosen.write.read_text(encoding="utf-8")
        chosen.write.write_text(
            between.sub(lambda marks: marks[1] + text + marks[2], page), encoding="utf-8"
        )


if __name__ == "__main__":
    main()
