"""Tests for runs whose teachers are shared: the teacher pool is a crossed random effect.

Several seeds distil from one pool of teachers: crossed (every seed with every pool), partly
crossed, or seeds nested in pools. Then the pools, not the seeds, bound what is known of new
teachers, and a test that counts seeds alone finds too much. Both tests fit a linear mixed model
by REML and refer their t to Kenward and Roger's (1997) df.

The trend: outcome ~ dose, with a random intercept and slope on dose by seed and by pool, all
uncorrelated at the mean dose. What is odd about the teachers of one pool at one dose tilts their
pool's slope, and is counted there; a random effect of pool and dose besides left the level as it
was (simulated, 400 studies: .028 without, .020 with it; .060 and .062).

The association: outcome ~ predictor, with dose, and every pairing of seed and pool, as FIXED
factors, and random effects of pool and dose (the teachers), slopes on dose by pool and by seed,
and, where seeds have several pools, of seed and dose. In detail:

- Pairings are fixed as seeds are in ``two_way_within``: a property of seed or pool may lift
  predictor and outcome both. With seeds as a random intercept, a part of what lies between them
  enters the slope: simulated, that rejects a true null in .12 of studies at level .05.
- A predictor that belongs to the teachers (their attention overlap) is the same for all students of
  one pool and dose. Its sample is these cells, and the random effect of pool and dose is what it
  is tested against. A predictor that students differ in as well (their information about the
  teachers) has one slope, weighed by precision, of what lies between cells and within them.
- Where pools or seeds differ in slope on dose, a pool's cells (a seed's runs) are not
  independent: without slopes by pool the test of a teachers' predictor rejects in .21.
- A seed's students at one dose share their data order and initialization, over its pools:
  where that moves predictor and outcome, leaving out the effect of seed and dose rejects in .12.

With fewer than 3 pools nothing can be said of other pools: pools (and their slopes) are fixed
then, and a caveat says that the test is about these teachers alone.
"""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from analyze.inference.associations import CONSTANT_X, ONE_STRENGTH, varies
from analyze.inference.cluster_robust import SMALL_DF
from analyze.inference.crossed_reml import (
    MixedModel,
    RandomTerm,
    fit_components,
    mixed_model,
    residual_df,
    told_apart,
)
from analyze.inference.estimate import Estimate, Table
from analyze.inference.factors import Factors, codes_of, without_means
from analyze.inference.kenward_roger import AdjustedContrast, kenward_roger
from analyze.inference.mixed import BOUNDARY, NOT_CONVERGED
from analyze.inference.sample import FEWEST_SEEDS, TOO_FEW, t_interval
from analyze.inference.student_t import two_sided_p
from store.errors import AnalysisError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

FEWEST_POOLS: Final = 3
"""Below this nothing can be said of other pools."""
MOST_EFFECTS: Final = 1200
"""Seeds, pools and cells count: above this the restricted likelihood takes half a minute."""

CONDITIONAL: Final = (
    "fewer than 3 teacher pools: inference is conditional on these pools and says nothing of "
    "other teachers"
)
OWN_POOLS: Final = (
    "every seed has a teacher pool of its own: teachers are fresh, and pools add nothing to seeds"
)
MANY: Final = f"more than {MOST_EFFECTS} random effects: not fitted; least squares within seeds"
NO_RESIDUAL: Final = "the random terms leave no residual to test against"
CONFOUNDED: Final = "pools and strengths cannot be told apart: no pool has two of them"
UNTOLD: Final = "left out, as it cannot be told from the other random terms"
FEW_DF: Final = f"Kenward-Roger df below {SMALL_DF:.0f}: few pools or seeds bear the slope"
MIXED_LEVELS: Final = (
    "the predictor differs between students of the same teachers too: one slope for what lies "
    "between teachers and within"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rows:
    """One row per student. seed, pool, level: codes from 0; dose: centred at its mean over rows."""

    seed: Ints
    pool: Ints
    level: Ints
    dose: Floats
    x: Floats
    y: Floats

    @property
    def seeds(self) -> int:
        """Number of seeds."""
        return len(np.unique(self.seed))

    @property
    def pools(self) -> int:
        """Number of teacher pools."""
        return len(np.unique(self.pool))

    @property
    def series(self) -> Ints:
        """Code of the pairing of seed and pool."""
        return _pairs(self.seed, self.pool)

    @property
    def cells(self) -> Ints:
        """Code of the pool and dose: of the teachers."""
        return _pairs(self.pool, self.level)

    @property
    def own_pools(self) -> bool:
        """Whether every seed has one pool, which no other seed has."""
        return len(np.unique(self.series)) == self.seeds == self.pools

    @property
    def conditional(self) -> bool:
        """Whether pools are too few to be a sample of pools."""
        return self.pools < FEWEST_POOLS and not self.own_pools


@dataclass(frozen=True, slots=True, kw_only=True)
class _Setup:
    """A model to fit, whose first coefficient is tested."""

    design: Floats
    terms: tuple[RandomTerm, ...]
    absorbed: Factors | None = None

    def without(self, left_out: NDArray[np.bool_]) -> "_Setup":
        """Leave terms out."""
        kept = tuple(term for term, out in zip(self.terms, left_out, strict=True) if not out)
        return replace(self, terms=kept)


def crossed_slope(table: Table, pool: NDArray[np.generic], *, level: float = 0.95) -> Estimate:
    """Test the slope of ``y`` on ``dose`` where seeds share teacher pools.

    pool: label of each row's teacher pool, shape (rows,). A seed may have several pools, and
    several rows at one dose. Fewer than 3 pools: their mean slope, about these pools alone.
    Fewer than 3 seeds, more than 1,200 random effects or no residual: the least-squares slope
    within pairings of seed and pool, and a caveat. n counts seeds.
    Raises AnalysisError when there are no rows or one dose only.
    """
    rows = _rows(table, pool, level)
    if len(np.unique(rows.level)) < 2:
        raise AnalysisError("a trend needs at least two strengths; these replicates have one")
    within = without_means(rows.series, rows.dose)
    described = Estimate(
        test="mixed_model_crossed",
        method="linear mixed model, uncorrelated random intercept and slope by seed and by "
        "teacher pool, REML, Kenward-Roger",
        value_name="slope",
        estimate=_least_squares(within, rows.dose, rows.y),
        n=rows.seeds,
        rows=len(rows.y),
    )
    return _tested(described, rows, _slope_setup(rows), level)


def crossed_within(table: Table, pool: NDArray[np.generic], *, level: float = 0.95) -> Estimate:
    """Test the slope of ``y`` on ``x`` at fixed seed, pool and dose where seeds share pools.

    pool: label of each row's teacher pool, shape (rows,). Where ``x`` is the same for all students
    of a pool and dose, those cells are its sample. Refusals as in ``crossed_slope``.
    """
    rows = _rows(table, pool, level)
    factors = _within_factors(rows)
    remainder = factors.residual(rows.x)
    described = Estimate(
        test="crossed_within_kr",
        method="pairing of seed and pool, and strength, as factors; random effects of pool and "
        "strength, and slopes on strength by pool and by seed; REML, Kenward-Roger",
        value_name="slope",
        estimate=_least_squares(remainder, rows.x, rows.y),
        n=rows.seeds,
        rows=len(rows.y),
    )
    if len(np.unique(rows.level)) < 2:
        return replace(described, estimate=None, caveats=(ONE_STRENGTH,))
    if described.estimate is None:
        return replace(described, caveats=(CONSTANT_X,))
    setup = _Setup(design=rows.x[:, None], terms=_within_terms(rows), absorbed=factors)
    return _tested(described, rows, setup, level)


def _rows(table: Table, pool: NDArray[np.generic], level: float) -> _Rows:
    if not 0 < level < 1:
        raise ValueError(f"level {level} is not in (0, 1); write .95 for 95 %")
    if len(pool) != len(table.y):
        raise ValueError(f"{len(pool)} pools for {len(table.y)} rows")
    if len(pool) == 0:
        raise AnalysisError("no replicates to analyze; collect at least one seed block")
    return _Rows(
        seed=codes_of(table.block),
        pool=codes_of(pool),
        level=codes_of(table.dose),
        dose=table.dose - table.dose.mean(),
        x=table.x,
        y=table.y,
    )


def _slope_setup(rows: _Rows) -> _Setup:
    """Lay out y ~ dose: pools random where they are a sample of pools, else fixed."""
    columns = [rows.dose, np.ones(len(rows.dose))]
    terms = [RandomTerm(name="intercepts by seed", groups=rows.seed)]
    slopes = _slope_terms(rows, "seed", rows.seed)
    if rows.conditional:
        # contrasts that sum to 0 over the pools leave dose their mean slope
        for contrast in _pool_contrasts(rows):
            columns += [contrast, contrast * rows.dose]
    elif not rows.own_pools:
        terms.append(RandomTerm(name="intercepts by pool", groups=rows.pool))
        slopes += _slope_terms(rows, "pool", rows.pool)
    return _Setup(design=np.column_stack(columns), terms=(*terms, *slopes))


def _within_factors(rows: _Rows) -> Factors:
    """Fix pairings and doses; where pools are no sample of pools, their slopes too."""
    doses = (rows.level[:, None] == np.unique(rows.level)[1:]).astype(np.float64)
    slopes = [one * rows.dose for one in _pool_contrasts(rows)] if rows.conditional else []
    return Factors(rows.series, np.column_stack([doses, *slopes]))


def _within_terms(rows: _Rows) -> tuple[RandomTerm, ...]:
    terms = _slope_terms(rows, "seed", rows.seed)
    if rows.pools > 1 and not rows.own_pools:
        terms.append(RandomTerm(name="effects of pool and strength", groups=rows.cells))
        if not rows.conditional:
            terms += _slope_terms(rows, "pool", rows.pool)
    runs = _pairs(rows.seed, rows.level)
    if len(np.unique(runs)) < len(runs):
        terms.append(RandomTerm(name="effects of seed and strength", groups=runs))
    return tuple(terms)


def _slope_terms(rows: _Rows, name: str, groups: Ints) -> list[RandomTerm]:
    """Let slopes on dose vary by group, if any group has two doses."""
    if not varies(without_means(groups, rows.dose), rows.dose):
        return []
    return [RandomTerm(name=f"slopes by {name}", groups=groups, slope=rows.dose)]


def _pool_contrasts(rows: _Rows) -> list[Floats]:
    """Return contrasts between the pools that sum to 0 over them: one fewer than pools."""
    return [
        (rows.pool == one).astype(np.float64) - (rows.pool == 0) for one in range(1, rows.pools)
    ]


def _pairs(one: Ints, other: Ints) -> Ints:
    """Return the code of each pair of codes."""
    return codes_of(one * (int(other.max(initial=0)) + 1) + other)


def _least_squares(remainder: Floats, predictor: Floats, outcome: Floats) -> float | None:
    """Return the slope on what factors leave of a predictor; None where that is nothing."""
    if not varies(remainder, predictor):
        return None
    return float(remainder @ outcome) / float(remainder @ remainder)


def _tested(described: Estimate, rows: _Rows, setup: _Setup, level: float) -> Estimate:
    """Fit, correct and test, or say why not."""
    if rows.seeds < FEWEST_SEEDS:
        return replace(described, caveats=(TOO_FEW,))
    if sum(term.size for term in setup.terms) > MOST_EFFECTS:
        return replace(described, caveats=(MANY,))
    found = _fitted(setup, rows.y)
    if isinstance(found, str):
        return replace(described, caveats=(found,))
    contrast, caveats = found
    return replace(
        described,
        estimate=contrast.estimate,
        standard_error=contrast.standard_error,
        statistic_name="t",
        statistic=contrast.estimate / contrast.standard_error,
        df=contrast.df,
        p_value=two_sided_p(contrast.estimate / contrast.standard_error, contrast.df),
        interval=t_interval(contrast.estimate, contrast.standard_error, contrast.df, level=level),
        caveats=(*_cost(described, rows, contrast.df), *caveats),
    )


def _fitted(setup: _Setup, outcome: Floats) -> tuple[AdjustedContrast, tuple[str, ...]] | str:
    """Return the first coefficient, corrected, and what its fit wants said; or why there is none.

    Terms that cannot be told from the residual or from terms before them are left out.
    """
    try:
        model = _model(setup, outcome)
    except ValueError:
        return CONFOUNDED
    if model.error_contrasts < 1:
        return NO_RESIDUAL
    left_out = ~told_apart(model)
    caveats: tuple[str, ...] = ()
    if left_out.any():
        names = [name for name, out in zip(model.names, left_out, strict=True) if out]
        caveats = (f"{UNTOLD}: {', '.join(names)}",)
        setup = setup.without(left_out)
        model = _model(setup, outcome)
    if residual_df(model) < 1:
        return NO_RESIDUAL
    try:
        fit = fit_components(model)
        contrast = kenward_roger(model, fit, np.eye(1, setup.design.shape[1]).ravel())
    except np.linalg.LinAlgError:
        # columns that differ by many orders of magnitude leave no likelihood to invert
        return NOT_CONVERGED
    if not (fit.converged and contrast.standard_error > 0 and contrast.df > 0):
        return NOT_CONVERGED
    return contrast, (*caveats, *((BOUNDARY,) if fit.boundary else ()))


def _model(setup: _Setup, outcome: Floats) -> MixedModel:
    return mixed_model(setup.design, outcome, setup.terms, absorbed=setup.absorbed)


def _cost(described: Estimate, rows: _Rows, df: float) -> tuple[str, ...]:
    """Say what sharing teachers costs."""
    few = (FEW_DF,) if df < SMALL_DF else ()
    if rows.own_pools:
        return (OWN_POOLS, *few)
    if rows.conditional:
        return (CONDITIONAL, *few)
    only = "but only " if rows.pools < rows.seeds else "and "
    shared = f"teachers are shared: {rows.seeds} seeds {only}{rows.pools} pools; "
    freedom = f"the test's df is {df:.1f}"
    if described.test == "mixed_model_crossed":
        return (f"{shared}{freedom}, against {rows.seeds - 1} for fresh teachers", *few)
    if varies(without_means(rows.cells, rows.x), rows.x):
        return (f"{shared}{freedom}", MIXED_LEVELS, *few)
    cells = len(np.unique(rows.cells))
    return (
        f"{shared}the predictor is the teachers' own, so its sample is {cells} cells of "
        f"pool and strength, not {len(rows.y)} students: {freedom}",
        *few,
    )
