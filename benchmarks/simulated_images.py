"""Studies whose seeds AND test images are drawn anew, image by image, and whose truth is known.

One unit is the SD over seeds of a seed's own slope per unit of strength. Images are shared by all
seeds and strengths of a study, as test images are.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from analyze.inference.estimate import Panel
from analyze.metrics.attention import Masks
from analyze.metrics.image_draws import Drawing, draw_images
from analyze.metrics.image_influence import (
    Influence,
    information_influence,
    mean_influence,
    overlap_influences,
)

Floats = NDArray[np.float64]
Measured = Callable[[int, np.random.Generator], list[list[Influence]]]

DOSES = np.linspace(0, 1, 5)
IMAGES = 200
DRAWS = 400
CLASSES = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageStudy:
    """One study. moved: of each outcome when images are redrawn, shape (seeds, doses, draws)."""

    panel: Panel
    moved: Floats


def study_of(found: list[list[Influence]], rng: np.random.Generator) -> ImageStudy:
    """Lay out a measure's influences by seed and dose, and draw their images."""
    images = len(found[0][0].images)
    drawing = drawn(images, rng)
    subset = drawing.images.subsets[0]
    values = np.array([[one.value for one in row] for row in found])
    moved = np.array([drawing.moved(row, [int(subset.sum())] * len(row)) for row in found])
    return ImageStudy(
        panel=Panel(tuple(range(len(values))), tuple(DOSES), values),
        moved=moved,
    )


def drawn(images: int, rng: np.random.Generator) -> Drawing:
    """Draw images, the first half of them half a."""
    half = np.where(np.arange(images) < images // 2, "a", "b")
    frame = pl.DataFrame({"image_id": np.arange(images), "half": half, "label": [0] * images})
    return draw_images(frame, draws=DRAWS, rng=rng)


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """A measure that is a mean over images, as accuracy and agreement are.

    of_images, of_both: SD of an estimate from 8 seeds by images' own slopes, and by what each
    image does in each seed; 1 is that by the seeds' slopes. hard: share of images that carry
    what is the images' own, 1 where every image does.
    """

    of_images: float
    of_both: float
    hard: float = 1.0

    def __call__(self, seeds: int, rng: np.random.Generator) -> list[list[Influence]]:
        """Draw one study."""
        unit = np.sqrt(IMAGES / 8)
        carried = (rng.random(IMAGES) < self.hard) / np.sqrt(self.hard)
        own = self.of_images * unit * carried * rng.normal(size=IMAGES)
        everywhere = np.ones(IMAGES, np.bool_)
        found: list[list[Influence]] = []
        for _ in range(seeds):
            both = self.of_both * unit * np.sqrt(8) * rng.normal(size=IMAGES)
            slope = rng.normal() + own + both
            noise = 0.3 * rng.normal(size=(len(DOSES), 1)) + 3 * rng.normal(size=IMAGES)
            found.append(
                [
                    mean_influence(1 + dose * slope + row, everywhere)
                    for dose, row in zip(DOSES, noise, strict=True)
                ]
            )
        return found


def labels(seeds: int, rng: np.random.Generator) -> list[list[Influence]]:
    """Information given the label: hard images mislead teachers and student, seeds apart.

    The student follows its teachers the less the stronger they were augmented.
    """
    images = 2 * IMAGES
    label = rng.integers(0, CLASSES, images)
    taken_for = (label + 1 + rng.integers(0, 2, images)) % CLASSES
    hard = 1.5 * rng.normal(size=images)
    everywhere = np.ones(images, np.bool_)
    found: list[list[Influence]] = []
    for _ in range(seeds):
        own, row = rng.normal(size=images), []
        for dose in DOSES:
            follows = 0.8 - 0.3 * dose + 0.05 * rng.normal()
            doubt = rng.normal(size=(2, images))
            taught = 0.7 * (own + doubt[0])
            ensemble = np.where(hard + taught > 3.5, taken_for, label)
            student = np.where(hard + follows * taught + 0.7 * doubt[1] > 3, taken_for, label)
            row.append(information_influence(label, ensemble, student, everywhere))
        found.append(row)
    return found


def masks(seeds: int, rng: np.random.Generator) -> list[list[Influence]]:
    """Two teachers' overlap above chance: images differ in where and how widely they are seen."""
    cells = np.stack(np.meshgrid(np.arange(5), np.arange(5)), axis=-1).reshape(-1, 2)
    place = rng.uniform(1, 3, size=(IMAGES, 2))
    width = rng.gamma(4, 0.3, size=IMAGES)
    spread = 0.5 * rng.gamma(1, 1, size=IMAGES)
    there, everywhere = np.ones(IMAGES, np.bool_), np.ones((1, IMAGES), np.bool_)
    found: list[list[Influence]] = []
    for _ in range(seeds):
        row: list[Influence] = []
        for dose in DOSES:
            apart = (0.5 + 0.3 * rng.random() + dose * spread)[:, None]
            pair = [
                Masks(
                    cells=np.hypot(
                        *np.moveaxis(
                            cells - (place + apart * rng.normal(size=place.shape))[:, None], -1, 0
                        )
                    )
                    < width[:, None],
                    defined=there,
                )
                for _ in range(2)
            ]
            (influence,) = overlap_influences(pair[0], pair[1], everywhere)
            assert influence is not None
            row.append(influence)
        found.append(row)
    return found
