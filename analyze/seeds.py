"""What single seeds would have shown, and how many seeds would decide.

Both use the study's own replicates: every way to pick one run per condition, and seed
blocks resampled with replacement.
"""

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from analyze.resample import Resample, decided
from analyze.results import SingleSeed

EXACT_PICKS: Final = 1_000_000
"""Up to this many picks are all counted; beyond, ``SAMPLED_PICKS`` are drawn."""

SAMPLED_PICKS: Final = 100_000
SEEDS_CAP: Final = 200
"""The largest number of seeds that is looked at."""

DRAWS: Final = 500
DECIDED_SHARE: Final = 0.8


def single_seed_slope(
    doses: Sequence[float],
    outcomes: Sequence[Sequence[NDArray[np.float64]]],
    *,
    sign: int,
    rng: np.random.Generator,
) -> SingleSeed:
    """Share of picks of one run per condition whose every outcome moves in one direction.

    doses: of each condition, ascending; those of one strength count together as one.
    outcomes: for each outcome, its values at each condition, one per run; the runs are the same
    for every outcome. The direction is that of the least-squares slope on strength, as one
    run per condition would be read; a slope of 0 counts for neither direction.
    Raises ValueError below two strengths or where a strength has no run.
    """
    _check_picks([len(values) for values in outcomes[0]])
    weights = _slope_weights(doses)
    parts = [
        [weight * values for weight, values in zip(weights, outcome, strict=True)]
        for outcome in outcomes
    ]
    sums, exact = _picked_sums(parts, rng)
    scale = [max(float(np.max(np.abs(part))) for part in outcome) for outcome in parts]
    return _shares([sign * total for total in sums], scale, exact=exact)


def single_seed_association(
    x: Sequence[NDArray[np.float64]],
    y: Sequence[NDArray[np.float64]],
    *,
    sign: int,
    rng: np.random.Generator,
) -> SingleSeed:
    """Share of picks of one run per condition in which y moves with x over conditions.

    x, y: predictor and outcome of each condition, one per run. The direction is that of the
    slope pooled over the picked runs, as the published study reads it.
    Raises ValueError below two conditions or where a condition has no run.
    """
    _check_picks([len(values) for values in x])
    centre_x, centre_y = np.mean(np.concatenate(x)), np.mean(np.concatenate(y))
    xs = [values - centre_x for values in x]
    ys = [values - centre_y for values in y]
    products = [a * b for a, b in zip(xs, ys, strict=True)]
    (sum_x, sum_y, sum_xy), exact = _picked_sums([xs, ys, products], rng)
    covariance = sum_xy - sum_x * sum_y / len(x)
    reach = max(float(np.max(np.abs(part))) for part in xs) * max(
        float(np.max(np.abs(part))) for part in ys
    )
    return _shares([sign * covariance], [reach], exact=exact)


def seeds_to_decide(
    blocks: int,
    resample: Resample,
    *,
    alpha: float,
    sesoi: float,
    seed: int,
    cap: int = SEEDS_CAP,
) -> int | None:
    """Return the smallest number of seeds whose verdict is decided in 80 % of simulated studies.

    blocks: how many the study has. resample: the claim's own test on resampled blocks. alpha,
    sesoi: of the claim. Searched between ``blocks + 1`` and ``cap`` by doubling, then
    bisection, which takes the share decided to grow with the number of seeds; None where
    ``cap`` seeds are not enough. Each number of seeds has its own stream, so the answer
    depends on ``seed`` alone. It holds if new seeds vary as these did.
    """

    def enough(count: int) -> bool:
        rng = np.random.default_rng((seed, count))
        found = resample(rng.integers(blocks, size=(DRAWS, count)))
        return float(decided(found, alpha=alpha, sesoi=sesoi).mean()) >= DECIDED_SHARE

    low, high = blocks, blocks + 1
    while high <= cap and not enough(high):
        if high == cap:
            return None
        low, high = high, min(2 * high, cap)
    if high > cap:
        return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def _slope_weights(doses: Sequence[float]) -> NDArray[np.float64]:
    """Weigh conditions so that the mean of each strength's ones is what the slope is fitted to."""
    distinct, place, sharing = np.unique(doses, return_inverse=True, return_counts=True)
    return (distinct - np.mean(distinct))[place] / sharing[place]


def _check_picks(runs: Sequence[int]) -> None:
    if len(runs) < 2 or min(runs) == 0:
        raise ValueError(f"runs per condition {list(runs)}: two conditions with a run are needed")


def _picked_sums(
    parts: Sequence[Sequence[NDArray[np.float64]]], rng: np.random.Generator
) -> tuple[list[NDArray[np.float64]], bool]:
    """Sum over conditions of each quantity, for every pick (or a sample) of one run each."""
    runs = [len(values) for values in parts[0]]
    if math.prod(runs) > EXACT_PICKS:
        picks = [rng.integers(count, size=SAMPLED_PICKS) for count in runs]
        sampled = [
            np.sum([values[pick] for values, pick in zip(part, picks, strict=True)], axis=0)
            for part in parts
        ]
        return sampled, False
    sums: list[NDArray[np.float64]] = []
    for part in parts:
        total = np.zeros(1)
        for values in part:
            total = (total[:, None] + values[None, :]).ravel()
        sums.append(total)
    return sums, True


def _shares(
    oriented: Sequence[NDArray[np.float64]], scale: Sequence[float], *, exact: bool
) -> SingleSeed:
    """Shares of picks in which every quantity is positive, or every one negative.

    scale: size of the terms summed; what is below rounding error of it counts as 0.
    """
    claimed = np.ones(len(oriented[0]), dtype=bool)
    opposite = np.ones(len(oriented[0]), dtype=bool)
    for values, size in zip(oriented, scale, strict=True):
        rounding = 64 * np.finfo(np.float64).eps * size
        claimed &= values > rounding
        opposite &= values < -rounding
    return SingleSeed(
        claimed=float(claimed.mean()),
        opposite=float(opposite.mean()),
        picks=len(claimed),
        exact=exact,
    )
