"""Tables of runs with planted truths, as any tracker would export them."""

import numpy as np
import polars as pl

DOSES = (0.0, 0.25, 0.5, 0.75, 1.0)


def planted(
    seeds: int = 12,
    *,
    doses: tuple[float, ...] = DOSES,
    gap_slope: float = -0.1,
    iou_slope: float = -0.2,
    own: float = 0.0,
    slopes_vary: float = 0.0,
    seed: int = 1,
) -> pl.DataFrame:
    """Runs of ``seeds`` seeds at every dose.

    own: how much of the gap is the run's own deviation in iou: the only tie between the two
    beyond strength. slopes_vary: SD over seeds of both slopes on strength, in residual SDs.
    """
    rng = np.random.default_rng(seed)
    noise = 0.02
    rows = []
    for block in range(seeds):
        starts = rng.normal(0, noise, 2)
        bends = rng.normal(0, slopes_vary * noise, 2)
        for dose in doses:
            deviation = rng.normal(0, noise)
            rows.append(
                {
                    "seed": block,
                    "strength": dose,
                    "gap": 0.3
                    + starts[0]
                    + (gap_slope + bends[0]) * dose
                    + own * deviation
                    + rng.normal(0, noise),
                    "iou": 0.6 + starts[1] + (iou_slope + bends[1]) * dose + deviation,
                }
            )
    return pl.DataFrame(rows)


def simpson(seeds: int = 8) -> pl.DataFrame:
    """Within a seed at fixed strength the gap falls with iou; over seeds and strengths it rises."""
    rng = np.random.default_rng(4)
    rows = []
    for block in range(seeds):
        for dose in DOSES:
            iou = rng.normal(0, 0.02)
            gap = -1.0 * iou + rng.normal(0, 0.004)
            shift = 0.1 * block + 0.5 * dose
            rows.append({"seed": block, "strength": dose, "iou": iou + shift, "gap": gap + shift})
    return pl.DataFrame(rows)


def shared(
    pairs: list[tuple[int, int]], *, teachers: bool = False, pool_sd: float = 1.0, seed: int = 1
) -> pl.DataFrame:
    """Runs of every pair of seed and pool at every dose, in which both measures fall.

    teachers: the predictor is the teachers' own: the same for all students of a pool and dose.
    pool_sd: SD over pools of both slopes on strength, in residual SDs.
    """
    rng = np.random.default_rng(seed)
    noise = 0.02
    pools = sorted({pool for _, pool in pairs})
    tilts = {pool: rng.normal(0, pool_sd * noise, 2) for pool in pools}
    odd = {(pool, dose): rng.normal(0, noise, 2) for pool in pools for dose in DOSES}
    starts = {block: rng.normal(0, noise, 2) for block, _ in pairs}
    rows = []
    for block, pool in pairs:
        for dose in DOSES:
            gap, iou = starts[block] + tilts[pool] * dose + odd[pool, dose]
            own = rng.normal(0, noise, 2)
            rows.append(
                {
                    "seed": block,
                    "pool": f"teachers-{pool}",
                    "strength": dose,
                    "gap": 0.3 - 0.1 * dose + gap + own[0],
                    "iou": 0.6
                    - 0.2 * dose
                    + (tilts[pool][1] * dose + odd[pool, dose][1] if teachers else iou + own[1]),
                }
            )
    return pl.DataFrame(rows)


def every_pair(seeds: int, pools: int) -> list[tuple[int, int]]:
    """Pair every seed with every pool."""
    return [(block, pool) for block in range(seeds) for pool in range(pools)]


def nested_pairs(seeds: int, pools: int) -> list[tuple[int, int]]:
    """Give every seed one pool, by turns."""
    return [(block, block % pools) for block in range(seeds)]
