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
