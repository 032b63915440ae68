"""Does the interval for new seeds and new test images cover? By simulation.

    python -m benchmarks.image_calibration --write docs/calibration.md

Every study draws its images anew beside its seeds, so the primary test's interval, which speaks
of these images, covers less often than it says wherever the images matter. Beside the interval
that is printed stand two that are not: the bootstrap of both drawn in full, by its percentiles
and by its standard error.
"""

import argparse
import re
import sys
import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing import Pool
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from analyze.inference.associations import split_half_within, split_halves
from analyze.inference.estimate import Estimate, Table
from analyze.inference.seed_image import (
    SeedDraws,
    seed_image_bootstrap,
    slope_draws,
    within_draws,
)
from analyze.inference.trends import slope_t
from benchmarks.calibration import Rate
from benchmarks.simulated_images import (
    DOSES,
    IMAGES,
    Means,
    Measured,
    drawn,
    labels,
    masks,
    study_of,
)

Floats = NDArray[np.float64]

SEEDS = (3, 8, 12)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What is drawn. measured: None for an association. images: SD of an image's own slope."""

    name: str
    measured: Measured | None = None
    images: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """One study's estimate, its primary and its printed interval, and the bootstrap in full."""

    primary: Estimate
    printed: Estimate
    pigeonhole: Floats | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageCalibration:
    """Coverage of 95 % intervals, and the mean printed variance over the estimates' own."""

    case: Case
    seeds: int
    primary: Rate
    printed: Rate
    percentile: Rate | None
    plain_error: Rate | None
    variance_ratio: float
    seconds: float

    def reading(self) -> str:
        """Say in words where the printed interval is off by more than 3 Monte Carlo errors."""
        words = {-1: "**covers too seldom**", 0: "holds", 1: "covers more than it says"}
        return words[self.printed.departs(0.95)]


def pigeonhole(drawn_seeds: SeedDraws, slopes: Floats, rng: np.random.Generator) -> Floats:
    """Change of a mean slope when seeds and images are both drawn again, shape (draws,).

    slopes: as measured, shape (seeds,).
    """
    draws, seeds = drawn_seeds.moved.shape
    picks = rng.integers(0, seeds, size=(draws, seeds))
    each = slopes + seeds * drawn_seeds.moved
    return np.take_along_axis(each, picks, axis=1).mean(axis=1) - slopes.mean()


def answer(case: Case, seeds: int, rng: np.random.Generator) -> Answered:
    """Draw one study and test it."""
    if case.measured is None:
        return _association(case, seeds, rng)
    study = study_of(case.measured(seeds, rng), rng)
    primary = slope_t(study.panel)
    moved = slope_draws(study.panel, study.moved)
    centred = DOSES - DOSES.mean()
    slopes = study.panel.values @ centred / (centred @ centred)
    return Answered(
        primary=primary,
        printed=seed_image_bootstrap(primary, moved, images=study.moved.shape[2]),
        pigeonhole=pigeonhole(moved, slopes, rng),
    )


def _association(case: Case, seeds: int, rng: np.random.Generator) -> Answered:
    """Draw seeds that differ at each strength; the outcome follows by each image's own slope."""
    shape = (seeds, len(DOSES), 1)
    seen = rng.normal(size=shape)
    slopes = 0.5 + case.images * np.sqrt(IMAGES) * rng.normal(size=IMAGES)
    x = seen - 2 * DOSES[:, None] + 4 * rng.normal(size=(*shape[:2], IMAGES))
    y = seen * slopes + rng.normal(size=shape) - 2 * DOSES[:, None]
    y = y + 4 * rng.normal(size=y.shape) + 4 * rng.normal(size=IMAGES)
    drawing = drawn(IMAGES, rng)
    halves = drawing.images.subsets[1:]
    block, dose = np.repeat(np.arange(seeds), len(DOSES)), np.tile(DOSES, seeds)
    mean = [[z[..., half].mean(axis=-1).ravel() for half in halves] for z in (x, y)]
    moved = [
        [
            ((z - z[..., half].mean(axis=-1, keepdims=True)) * half).reshape(-1, IMAGES)
            @ drawing.excess.T
            / half.sum()
            for half in halves
        ]
        for z in (x, y)
    ]
    tables = (
        Table(block, dose, mean[0][0], mean[1][1]),
        Table(block, dose, mean[0][1], mean[1][0]),
    )
    primary = split_half_within(*tables)
    assert primary.estimate is not None
    draws = within_draws(
        split_halves(*tables),
        primary.estimate,
        np.concatenate(moved[0]),
        np.concatenate(moved[1][::-1]),
    )
    return Answered(
        primary=primary,
        printed=seed_image_bootstrap(primary, draws, images=IMAGES),
        pigeonhole=None,
    )


def calibrate_images(case: Case, *, seeds: int, studies: int, seed: int) -> ImageCalibration:
    """Count the intervals that hold the mean estimate of other studies of the same kind."""
    started = time.process_time()
    target = float(np.mean(_estimates(case, seeds, studies, seed)))
    rng = _stream(seed, case, seeds, "studies")
    found = [answer(case, seeds, rng) for _ in range(studies)]
    estimates = np.array([one.primary.estimate for one in found])
    errors = np.array([one.printed.standard_error for one in found])
    whole = [one.pigeonhole for one in found if one.pigeonhole is not None]
    reach = stats.t.isf(0.025, seeds - 1)
    return ImageCalibration(
        case=case,
        seeds=seeds,
        primary=_covered([one.primary for one in found], target),
        printed=_covered([one.printed for one in found], target),
        percentile=_counted(
            [
                np.quantile(draw, 0.025) <= target - estimate <= np.quantile(draw, 0.975)
                for draw, estimate in zip(whole, estimates, strict=False)
            ]
        ),
        plain_error=_counted(
            [
                abs(target - estimate) <= reach * draw.std(ddof=1)
                for draw, estimate in zip(whole, estimates, strict=False)
            ]
        ),
        variance_ratio=float(np.mean(errors**2) / estimates.var(ddof=1)),
        seconds=time.process_time() - started,
    )


def _estimates(case: Case, seeds: int, studies: int, seed: int) -> list[float]:
    """Return estimates of other studies than are counted, or the truth where it is known."""
    rng = _stream(seed, case, seeds, "target")
    if case.measured is None or isinstance(case.measured, Means):
        return [_attenuated() if case.measured is None else 0.0]
    centred = DOSES - DOSES.mean()
    return [
        float(
            np.mean(
                [
                    [one.value for one in row] @ centred / (centred @ centred)
                    for row in case.measured(seeds, rng)
                ]
            )
        )
        for _ in range(studies)
    ]


def _attenuated() -> float:
    """Slope .5 of a predictor of variance 1, measured on half of the images with noise of SD 4."""
    return 0.5 / (1 + 16 / (IMAGES / 2))


def _covered(estimates: list[Estimate], target: float) -> Rate:
    intervals = [one.interval for one in estimates]
    held = sum(one is not None and one.low <= target <= one.high for one in intervals)
    return Rate(count=held, studies=len(estimates))


def _counted(held: list[bool]) -> Rate | None:
    return Rate(count=int(sum(held)), studies=len(held)) if held else None


def _stream(seed: int, case: Case, seeds: int, purpose: str) -> np.random.Generator:
    return np.random.default_rng([seed, seeds, zlib.crc32(f"{case.name}/{purpose}".encode())])


CASES = (
    Case(name="a mean; images alike", measured=Means(of_images=0, of_both=0.2)),
    Case(name="a mean; images add half the variance", measured=Means(of_images=0.7, of_both=0.3)),
    Case(name="a mean; images add as much as 8 seeds", measured=Means(of_images=1, of_both=0.3)),
    Case(name="a mean; images dominate", measured=Means(of_images=2, of_both=0.3)),
    Case(name="a mean; 1 image in 20 carries", measured=Means(of_images=1, of_both=0, hard=0.05)),
    Case(name="a mean; images act in each seed apart", measured=Means(of_images=0, of_both=1)),
    Case(name="information given the label", measured=labels),
    Case(name="attention IoU above chance", measured=masks),
    Case(name="association on halves; images alike"),
    Case(name="association on halves; images' slopes vary", images=0.15),
)


def image_report(*, studies: int, seed: int, jobs: int) -> str:
    """Table of all cases as Markdown."""
    rows = [(case, seeds, studies, seed) for case in CASES for seeds in SEEDS]
    with Pool(jobs) as pool:
        found = list(pool.imap(_one, rows))
    spent = sum(one.seconds for one in found)
    made = (
        f"{studies:,} simulated studies a rate, seed {seed}; {spent / 60:.0f} minutes of one core."
    )
    return f"{made}\n\n{image_table(found)}"


def image_table(found: Sequence[ImageCalibration]) -> str:
    """One row per case and number of seeds."""
    lines = [
        "| what is measured | seeds | `seed_image_bootstrap` | its variance / true | reading "
        "| primary test | bootstrap, percentiles | bootstrap, its own error |",
        "| --- | ---: | ---: | ---: | --- | ---: | ---: | ---: |",
        *(
            f"| {one.case.name} | {one.seeds} | {one.printed.text()} | {one.variance_ratio:.2f} "
            f"| {one.reading()} | {one.primary.text()} | {_text(one.percentile)} "
            f"| {_text(one.plain_error)} |"
            for one in found
        ),
    ]
    return "\n".join(lines)


def _text(rate: Rate | None) -> str:
    return rate.text() if rate else "–"


def _one(row: tuple[Case, int, int, int]) -> ImageCalibration:
    case, seeds, studies, seed = row
    found = calibrate_images(case, seeds=seeds, studies=studies, seed=seed)
    print(f"{case.name}, {seeds}: {found.reading()}", file=sys.stderr)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description="Coverage over new seeds and new test images.")
    parser.add_argument("--seed", type=int, default=20)
    parser.add_argument("--studies", type=int, default=1000, help="simulated studies a rate")
    parser.add_argument("--jobs", type=int, default=1, help="processes, one core each")
    parser.add_argument("--write", type=Path, help="file with the markers to write between")
    chosen = parser.parse_args()
    text = image_report(studies=chosen.studies, seed=chosen.seed, jobs=chosen.jobs)
    print(text)
    if chosen.write:
        between = re.compile(
            r"(<!-- simulated images -->\n).*(<!-- end images -->)", flags=re.DOTALL
        )
        page = chosen.write.read_text(encoding="utf-8")
        chosen.write.write_text(
            between.sub(lambda marks: f"{marks[1]}{text}\n{marks[2]}", page), encoding="utf-8"
        )


if __name__ == "__main__":
    main()
