"""The deciding tests where seeds share pools of teachers, and what sharing costs, in words.

A claim about teachers alone has a replicate per pool: its blocks are collapsed before any test
(``Replicates.of_teachers``). A claim about students has seeds within pools, and is tested with
pools as random effects (``analyze.inference.crossed``).
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from analyze.decide import MINIMUM_SEEDS
from analyze.inference.crossed import crossed_slope, crossed_within
from analyze.inference.estimate import Estimate, Panel, Table
from analyze.inference.sample import t_interval
from analyze.inference.student_t import two_sided_p
from analyze.results import ReplicateCounts

_LEVEL: Final = 0.95
_BOTH: Final = (
    "mean of both directions between the halves of the test images; its standard error and df are "
    "as if the two were one test made twice, so at most too large and too few"
)


def shared_slope(panel: Panel, pools: int) -> Estimate:
    """Test the slope on strength with pools and seeds as random; blocks are pool b modulo pools."""
    table = table_of_panel(panel)
    return crossed_slope(table, table.block % pools, level=_LEVEL)


def table_of_panel(panel: Panel) -> Table:
    """Lay a panel out in long form, strength being the predictor."""
    blocks = np.array([int(block) for block in panel.blocks], dtype=np.int64)
    doses = np.tile(np.asarray(panel.doses, dtype=np.float64), len(blocks))
    return Table(np.repeat(blocks, len(panel.doses)), doses, doses, panel.values.ravel())


def shared_within(tables: Sequence[Table], pools: int) -> Estimate:
    """Test the association at fixed seed, pool and strength with pools as random.

    tables: one, or the two directions between halves of the test images. Of two the mean is
    tested with the mean of their standard errors, which that of the mean cannot exceed.
    """
    found = [crossed_within(table, table.block % pools, level=_LEVEL) for table in tables]
    if len(found) == 1:
        return found[0]
    first, second = found
    both = replace(
        first,
        method=f"{first.method}; {_BOTH}",
        estimate=_mean(first.estimate, second.estimate),
        caveats=tuple(dict.fromkeys((*first.caveats, *second.caveats))),
        standard_error=None,
        statistic_name=None,
        statistic=None,
        df=None,
        p_value=None,
        interval=None,
    )
    error = _mean(first.standard_error, second.standard_error)
    if both.estimate is None or error is None or first.df is None or second.df is None:
        return both
    df = min(first.df, second.df)
    return replace(
        both,
        standard_error=error,
        statistic_name="t",
        statistic=both.estimate / error,
        df=df,
        p_value=two_sided_p(both.estimate / error, df),
        interval=t_interval(both.estimate, error, df, level=_LEVEL),
    )


def pool_means(
    values: NDArray[np.float64], blocks: NDArray[np.int64], pools: int | None
) -> NDArray[np.float64]:
    """Mean of each pool's seeds, by pool; the values themselves where nothing is shared.

    values, blocks: one per seed, shape (seeds,).
    """
    if pools is None:
        return values
    pool = blocks % pools
    return np.array([values[pool == one].mean() for one in np.unique(pool)])


def means_of_pools(seeds: int) -> str:
    """Say what a test counts whose values are ``pool_means``."""
    return (
        "Teachers are shared: n counts the pools of teachers, each the mean of its seeds; "
        f"{seeds} seeds in all."
    )


def teachers_alone(counts: ReplicateCounts) -> tuple[str, ...]:
    """Say what the replicates of a claim about teachers alone are, where seeds share them."""
    if counts.teacher_pools is None:
        return ()
    return (
        f"Teachers are shared: n counts the {counts.teacher_pools} pools of teachers, of which "
        f"the {counts.seeds_analyzed} seeds learned; seeds of one pool would repeat it.",
    )


def cost_of_sharing(counts: ReplicateCounts) -> tuple[str, ...]:
    """Say for the whole study what sharing teachers costs."""
    pools = counts.teacher_pools
    if pools is None:
        return ()
    said = (
        f"Teachers are shared: {counts.seeds_analyzed} seeds learned from {pools} pool"
        f"{'' if pools == 1 else 's'} of teachers. Whatever is said of teachers has {pools} "
        f"effective replicate{'' if pools == 1 else 's'}, however many seeds there are; claims "
        "about students take pools as a sample of pools beside the seeds. More seeds make students "
        "better known, more pools teachers. Specification curves, the paths of mediation and the "
        "seed x image bootstrap count seeds, and are left out where students are concerned."
    )
    if pools < MINIMUM_SEEDS:
        said += (
            f" With fewer than {MINIMUM_SEEDS} pools nothing is tested of teachers, and tests of "
            "students speak of these teachers alone."
        )
    return (said,)


def _mean(first: float | None, second: float | None) -> float | None:
    return None if first is None or second is None else (first + second) / 2
