"""Does the joint test over specifications hold its level? By simulation.

    python -m benchmarks.joint_test --write docs/benchmarks.md

Draws studies without an effect in which strength moves every measure and seeds differ in how much,
and counts how often the median of all specifications is found at .05: with signs of seeds, which
``analyze.inference.joint`` uses, and with strength or residuals permuted freely within seeds.
"""

import argparse
import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from analyze.inference.complete import Predictor, predictor_of, without_means
from analyze.inference.joint import (
    joint_median,
    joint_significant,
    signs_of,
    slope_statistics,
    within_statistics,
)

Floats = NDArray[np.float64]

LEVELS = 5
SEEDS = (8, 12)
SLOPE_SDS = (0.0, 0.5, 1.0)
STUDIES = 500
PERMUTATIONS = 199
TRENDS = 24
PREDICTORS, OUTCOMES = 6, 2
LEVEL = np.arange(LEVELS)
PAIRS = np.array([(x, y) for x in range(PREDICTORS) for y in range(OUTCOMES)])


def measures(
    rng: np.random.Generator, *, count: int, seeds: int, mean: float, slope_sd: float
) -> Floats:
    """Measures on two halves, shape (count, 2, seeds, levels); noise is half their own.

    A seed's slope on strength, mean and SD in noise SD per level, is that of all measures.
    """
    slopes = mean + slope_sd * rng.normal(size=(1, 1, seeds, 1))
    common = np.sqrt(0.5) * rng.normal(size=(1, 1, seeds, LEVELS))
    own = np.sqrt(0.5) * rng.normal(size=(count, 1, seeds, LEVELS))
    return slopes * LEVEL + common + own + 0.5 * rng.normal(size=(count, 2, seeds, LEVELS))


def trend(rng: np.random.Generator, *, seeds: int, slope_sd: float) -> tuple[float, ...]:
    """P of the median and of the count by signs, and of the median by permutation."""
    values = measures(rng, count=TRENDS, seeds=seeds, mean=0, slope_sd=slope_sd).mean(axis=1)
    weights = (LEVEL - LEVEL.mean()) / ((LEVEL - LEVEL.mean()) ** 2).sum()
    signs = signs_of(seeds, 1, rng)
    found = slope_statistics(values @ weights, signs)
    order = np.argsort(rng.random((PERMUTATIONS, seeds, LEVELS)), axis=-1)
    slopes = np.einsum("snk,dnk->dsn", values, weights[order])
    medians = np.median(slopes.mean(axis=2) / slopes.std(axis=2, ddof=1), axis=1)
    by_signs = joint_median(found, seeds, signs=signs)
    return (
        by_signs.p_value,
        joint_significant(found).p_value,
        permuted_p(by_signs.observed, medians),
    )


def association(rng: np.random.Generator, *, seeds: int, slope_sd: float) -> tuple[float, ...]:
    """Return the same of associations of measures that strength moves, and nothing else does."""
    x = measures(rng, count=PREDICTORS, seeds=seeds, mean=1, slope_sd=slope_sd)
    y = measures(rng, count=OUTCOMES, seeds=seeds, mean=1, slope_sd=slope_sd)[:, ::-1]
    signs = signs_of(seeds, 1, rng)
    predictors = [known for one in x if (known := predictor_of(one)) is not None]
    left = without_means(y)
    found = within_statistics(predictors, left, PAIRS, signs)
    order = np.argsort(rng.random((PERMUTATIONS, 1, seeds, LEVELS)), axis=-1)
    order = np.concatenate([order, order + LEVELS], axis=-1)
    shape = (PERMUTATIONS, *left.shape)
    moved = np.take_along_axis(np.broadcast_to(left, shape), np.broadcast_to(order, shape), axis=3)
    # the fit takes out again what permuting put into the strengths' means
    moved = moved - moved.mean(axis=2, keepdims=True)
    t = np.stack([permuted_t(predictor, moved) for predictor in predictors])
    medians = np.median(t, axis=(0, 2)) / np.sqrt(seeds)
    by_signs = joint_median(found, seeds, signs=signs)
    return (
        by_signs.p_value,
        joint_significant(found).p_value,
        permuted_p(by_signs.observed, medians),
    )


def permuted_t(predictor: Predictor, moved: Floats) -> Floats:
    """T of one predictor with permuted outcomes, shape (draws, outcomes)."""
    products = np.einsum("nk,dynk->dyn", predictor.within, moved)
    return products.sum(axis=2) / np.sqrt((predictor.scores(products) ** 2).sum(axis=2))


def permuted_p(observed: float, medians: Floats) -> float:
    """Two-sided p of the median among its permutations."""
    return float(1 + (np.abs(medians) >= abs(observed)).sum()) / (len(medians) + 1)


def table() -> str:
    """Rejections at .05, one row per kind of claim, number of seeds and spread of slopes."""
    lines = [
        "| claim | seeds | slopes vary by | median, signs | count, signs | median, permuted |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, draw in (("trend", trend), ("association", association)):
        for seeds in SEEDS:
            for slope_sd in SLOPE_SDS:
                rng = np.random.default_rng([20261124, seeds, int(10 * slope_sd), len(name)])
                p = np.array([draw(rng, seeds=seeds, slope_sd=slope_sd) for _ in range(STUDIES)])
                rates = (p <= 0.05).mean(axis=0)
                shown = " | ".join(f"{rate:.3f}".removeprefix("0") for rate in rates)
                lines.append(f"| {name} | {seeds} | {slope_sd:g} SD | {shown} |")
                print(lines[-1], flush=True)
    return "\n".join(lines)


def main() -> None:
    """Print the table, and put it between the markers of a file where one is named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", type=Path, help="Markdown file with the markers")
    path = parser.parse_args().write
    found = table()
    if path is not None:
        text = path.read_text(encoding="utf-8")
        pattern = r"(<!-- joint test -->\n).*?(<!-- end joint test -->)"
        written, times = re.subn(pattern, rf"\g<1>{found}\n\g<2>", text, flags=re.DOTALL)
        if times != 1:
            raise SystemExit(f"{path}: the markers of the joint test are missing")
        path.write_text(written, encoding="utf-8")


if __name__ == "__main__":
    main()
