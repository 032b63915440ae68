"""Studies whose teachers are shared by seeds, and what tests make of them; truth is known.

One unit is the SD of a student's noise at one seed, pool and strength; strength is counted in
levels. Nothing ties predictor to outcome but strength and what lifts both.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analyze.inference.estimate import Panel, Table
from benchmarks.simulated_studies import DOSES, LEVELS

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sharing:
    """Which pools which seeds distil from: the pairings, shape (pairings,)."""

    name: str
    seed: Ints
    pool: Ints


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedScenario:
    """What moves predictor and outcome apart from each other, in SDs.

    on_x, on_y: change per level. pool_slope, seed_slope: of slopes per level. cells: of the
    teachers of one pool and strength about their pool's line. seed_cells: of a seed's students
    at one strength, over its pools. lift: of what a seed, and a pool, adds to predictor and outcome
    both. teachers: the predictor is the teachers' own, the same for all students of a cell.
    """

    name: str
    on_x: float = 0.0
    on_y: float = 0.0
    pool_slope: float = 0.0
    seed_slope: float = 0.0
    cells: float = 0.0
    seed_cells: float = 0.0
    lift: float = 1.0
    teachers: bool = False


CROSSED = Sharing(
    name="8 seeds crossed with 4 pools",
    seed=np.repeat(np.arange(8), 4),
    pool=np.tile(np.arange(4), 8),
)
NESTED = Sharing(
    name="12 seeds nested in 4 pools", seed=np.arange(12), pool=np.repeat(np.arange(4), 3)
)


def draw_shared(
    scenario: SharedScenario, sharing: Sharing, rng: np.random.Generator
) -> tuple[Table, Ints]:
    """Draw one study: its rows, and each row's pool."""
    seed, pool = np.repeat(sharing.seed, LEVELS), np.repeat(sharing.pool, LEVELS)
    level = np.tile(np.arange(LEVELS), len(sharing.seed))
    lifted = scenario.lift * rng.normal(size=seed.max() + 1)
    lifted_pool = scenario.lift * rng.normal(size=pool.max() + 1)[pool]
    x = scenario.on_x * level + _moved_by_pool(scenario, pool, level, rng) + lifted_pool
    y = scenario.on_y * level + _moved_by_pool(scenario, pool, level, rng) + lifted_pool
    own_x, own_y = (_moved_by_seed(scenario, seed, level, rng) + lifted[seed] for _ in range(2))
    return Table(seed, DOSES[level], x if scenario.teachers else x + own_x, y + own_y), pool


def _moved_by_pool(
    scenario: SharedScenario, pool: Ints, level: Ints, rng: np.random.Generator
) -> Floats:
    """Each pool's own slope, and its teachers' deviations from it."""
    pools = int(pool.max()) + 1
    slopes = scenario.pool_slope * rng.normal(size=pools)
    return slopes[pool] * level + scenario.cells * rng.normal(size=(pools, LEVELS))[pool, level]


def _moved_by_seed(
    scenario: SharedScenario, seed: Ints, level: Ints, rng: np.random.Generator
) -> Floats:
    """Each seed's own slope, what its students of one strength share, and their noise."""
    seeds = int(seed.max()) + 1
    slopes = scenario.seed_slope * rng.normal(size=seeds)
    shared = scenario.seed_cells * rng.normal(size=(seeds, LEVELS))
    return slopes[seed] * level + shared[seed, level] + rng.normal(size=len(seed))


def as_if_fresh(table: Table) -> Panel:
    """Average each seed's outcomes over its pools: complete blocks, as if teachers were fresh."""
    seeds = int(table.block.max()) + 1
    cells = table.block * LEVELS + np.searchsorted(DOSES, table.dose)
    means = np.bincount(cells, weights=table.y) / np.bincount(cells)
    return Panel(tuple(range(seeds)), tuple(DOSES), means.reshape(seeds, LEVELS))
