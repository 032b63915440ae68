"""Studies whose truth is known: seeds crossed with strengths, two measures on two halves.

One unit is the noise SD of a measure at one seed and strength; strength is counted in levels.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

LEVELS = 5
DOSES = np.linspace(0, 1, LEVELS)
HALF_NOISE = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """What moves predictor and outcome apart from each other.

    on_x, on_y: change of their mean per level. slope_sd: SD over seeds of each one's own slope
    per level. heavy: noise has Student's t with 3 df, of SD 1. fan: noise SD grows from 1
    to 3 over strengths. bend: strength acts through a parabola, not a line. seed_effect: what
    lifts all of a seed's predictors and outcomes together, in SD. missing: share of cells lost
    at the strongest level, from 0 at the weakest. shared: how much of a half's sampling
    noise of the predictor its outcome has too. blurred: how much of that noise the predictor has.
    """

    name: str
    on_x: float = 0.0
    on_y: float = 0.0
    slope_sd: float = 0.0
    heavy: bool = False
    fan: bool = False
    bend: bool = False
    seed_effect: float = 1.0
    missing: float = 0.0
    shared: float = 0.0
    blurred: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Studies:
    """Many studies at once.

    x, y: as measured on each half, shape (studies, 2, seeds, levels). cause: what of y comes
    from x, shape (studies, seeds, levels). there: which cells were collected, the same shape.
    """

    x: Floats
    y: Floats
    cause: Floats
    there: NDArray[np.bool_]


def draw(
    scenario: Scenario, *, seeds: int, studies: int, effect: float, rng: np.random.Generator
) -> Studies:
    """Draw studies in which a unit of x adds ``effect`` to y."""
    shape = (studies, seeds, LEVELS)
    lifted = scenario.seed_effect * rng.normal(size=(studies, seeds, 1))
    x = lifted + _moved(scenario, scenario.on_x, shape, rng)
    cause = effect * x
    y = cause + lifted + _moved(scenario, scenario.on_y, shape, rng)
    sampling = HALF_NOISE * rng.normal(size=(2, studies, 2, seeds, LEVELS))
    return Studies(
        x=x[:, None] + scenario.blurred * sampling[0],
        y=y[:, None] + scenario.shared * sampling[0] + sampling[1],
        cause=cause,
        there=rng.random(shape) >= scenario.missing * DOSES,
    )


def _moved(
    scenario: Scenario, mean_slope: float, shape: tuple[int, int, int], rng: np.random.Generator
) -> Floats:
    """Mean trend, each seed's own slope, and noise."""
    level = np.arange(LEVELS, dtype=np.float64)
    path = level**2 / (LEVELS - 1) if scenario.bend else level
    own = scenario.slope_sd * rng.normal(size=(*shape[:2], 1))
    noise = rng.standard_t(3, size=shape) / np.sqrt(3) if scenario.heavy else rng.normal(size=shape)
    return mean_slope * path + own * level + noise * (1 + 2 * DOSES if scenario.fan else 1.0)


def split_half_target(studies: Studies) -> float:
    """Slope that the split-half association has in expectation: noise of x pulls it to 0."""
    measured = np.stack([within(studies.x[:, half], studies.there) for half in (0, 1)], axis=1)
    cause = within(studies.cause, studies.there)[:, None]
    return float((measured * cause).sum() / (measured**2).sum())


def whole_target(studies: Studies) -> float:
    """Slope that the association on all images has, but for the noise that both measures share."""
    measured = within(studies.x.mean(axis=1), studies.there)
    return float((measured * within(studies.cause, studies.there)).sum() / (measured**2).sum())


def within(values: Floats, there: NDArray[np.bool_], rounds: int = 40) -> Floats:
    """Take out seed and strength effects, by turns; cells that are not there become 0."""
    left = np.where(there, values, 0.0)
    for _ in range(1 if there.all() else rounds):
        for axis in (1, 2):
            count = np.maximum(there.sum(axis=axis, keepdims=True), 1)
            left = np.where(there, left - left.sum(axis=axis, keepdims=True) / count, 0.0)
    return left
