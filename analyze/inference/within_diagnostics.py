"""What to know of an association within seeds before trusting its test.

As in ``analyze.inference.diagnostics``: flags and words, never the choice of a test.
"""

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from analyze.inference.associations import two_way, varies
from analyze.inference.diagnostics import (
    FLAG_BELOW,
    MOST_SHAPIRO,
    Diagnostic,
    tested,
)
from analyze.inference.estimate import Estimate, Table
from analyze.inference.factors import codes_of, sums_by, without_means
from analyze.inference.sample import FEWEST_SEEDS, NO_SPREAD, TOO_FEW

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Test = Callable[[tuple[Table, ...]], Estimate]
"""The primary test of an association, from its tables: one, or the two of its halves."""

MOST_LEFT_OUT: Final = 50
"""Above this many seeds the test would be run hundreds of times, and one seed weighs little."""

_DEPENDENT: Final = 1e-10


def within_diagnostics(
    whole: Table,
    tables: tuple[Table, ...],
    primary: Estimate,
    test: Test,
    *,
    names: Sequence[int | str],
) -> tuple[Diagnostic, ...]:
    """Return every diagnostic of one association.

    whole: predictor x and outcome y on all test images. tables: what the primary test took;
    ``test`` of them gave ``primary``. names: of the seeds, in ascending order of their blocks.
    """
    return (
        residual_normality(whole),
        residual_spread(whole),
        seed_trends(whole.block, whole.dose, whole.y, covariates=whole.x[:, None]),
        leave_one_seed_out_within(tables, primary, test, names=names),
    )


def residual_normality(table: Table) -> Diagnostic:
    """Test the residuals of y on x, seed and strength for normality.

    They are not independent of each other, so p is rough. Source: Shapiro and Wilk (1965).
    """
    name, statistic_name = "residual_normality", "W"
    residuals = _residuals(table)
    words = _undefined(table, residuals)
    if words is None and len(residuals) > MOST_SHAPIRO:
        words = f"more than {MOST_SHAPIRO} students: not tested, as their mean is normal enough"
    if words is not None:
        return Diagnostic(name=name, flag=False, words=words, statistic_name=statistic_name)
    found = stats.shapiro(residuals)
    return tested(
        name=name,
        statistic_name=statistic_name,
        statistic=float(found.statistic),
        p_value=float(found.pvalue),
        seen="residuals are not normal: read the wild cluster bootstrap beside the t",
        unseen="no sign against normal residuals",
    )


def residual_spread(table: Table) -> Diagnostic:
    """Test whether residuals of y on x, seed and strength spread alike at all strengths.

    Source: Brown and Forsythe (1974).
    """
    name, statistic_name = "residual_spread", "F"
    residuals = _residuals(table)
    words = _undefined(table, residuals)
    cells = [residuals[table.cell == cell] for cell in np.unique(table.cell)]
    if words is None and (len(cells) < 2 or min(len(cell) for cell in cells) < FEWEST_SEEDS):
        words = "a strength with fewer than 3 students: spreads are not compared"
    if words is not None:
        return Diagnostic(name=name, flag=False, words=words, statistic_name=statistic_name)
    found = stats.levene(*cells, center="median")
    return tested(
        name=name,
        statistic_name=statistic_name,
        statistic=float(found.statistic),
        p_value=float(found.pvalue),
        seen="residuals spread differently at different strengths: the ordinary t is off, CR2 "
        "is not",
        unseen="no sign that residuals spread differently at different strengths",
        bears_on="beside",
    )


def seed_trends(block: Ints, dose: Floats, outcome: Floats, *, covariates: Floats) -> Diagnostic:
    """Test whether slopes on strength differ between seeds (evidence of random slopes).

    F of one more slope on strength per seed, in least squares of the outcome on seed, strength
    as a factor and covariates, shape (rows, columns). Exact for normal residuals of equal
    variance. Source: Scheffe (1959), ch. 4.
    """
    name, statistic_name = "seed_trends", "F"
    blank = Diagnostic(name=name, flag=False, words=TOO_FEW, statistic_name=statistic_name)
    if len(np.unique(block)) < FEWEST_SEEDS:
        return blank
    groups = codes_of(block)
    columns = np.column_stack([dose[:, None] == np.unique(dose)[1:], covariates])
    common = without_means(groups, np.column_stack([columns, outcome]))
    own = _without_lines(groups, dose, np.column_stack([columns, outcome]))
    lost = int(groups.max()) + 1
    lines = int((sums_by(groups, without_means(groups, dose) ** 2) > 0).sum())
    left_common, rank_common = _left(common)
    left_own, rank_own = _left(own)
    spare = len(outcome) - lost - lines - rank_own
    gained = lines + rank_own - rank_common
    if spare < 1 or gained < 1 or not varies(np.sqrt([left_own]), outcome):
        words = "too few strengths per seed to tell its own slope from noise"
        return Diagnostic(name=name, flag=False, words=words, statistic_name=statistic_name)
    statistic = (left_common - left_own) / gained / (left_own / spare)
    return tested(
        name=name,
        statistic_name=statistic_name,
        statistic=statistic,
        p_value=float(stats.f.sf(statistic, gained, spare)),
        seen="slopes on strength differ between seeds: tests that take them as alike (random "
        "intercept alone, ordinary t) reject too often; the primary test does not",
        unseen="no sign that slopes on strength differ between seeds",
        bears_on="beside",
    )


def leave_one_seed_out_within(
    tables: tuple[Table, ...], primary: Estimate, test: Test, *, names: Sequence[int | str]
) -> Diagnostic:
    """Leave each seed out in turn, to see whether one decides the association.

    The statistic is the largest change of the slope, in its standard errors. Flagged where
    p crosses .05 when one seed is left out, or a significant slope changes its sign.
    """
    name, statistic_name = "leave_one_seed_out", "change in standard errors"
    blocks = np.unique(tables[0].block)
    words = None
    if primary.estimate is None or primary.standard_error is None or not primary.standard_error:
        words = primary.caveats[0] if primary.caveats else NO_SPREAD
    elif len(blocks) <= FEWEST_SEEDS:
        words = "3 seeds: leaving one out leaves too few to test"
    elif len(blocks) > MOST_LEFT_OUT:
        words = f"more than {MOST_LEFT_OUT} seeds: not left out in turn"
    if words is not None or primary.estimate is None or not primary.standard_error:
        return Diagnostic(name=name, flag=False, words=words or "", statistic_name=statistic_name)
    rest = [test(tuple(_without(table, block) for table in tables)) for block in blocks]
    turned = [
        name
        for name, one in zip(names, rest, strict=True)
        if _below(one) != _below(primary)
        or (_below(primary) and (one.estimate or 0.0) * primary.estimate < 0)
    ]
    moved = max(abs((one.estimate or 0.0) - primary.estimate) for one in rest)
    return Diagnostic(
        name=name,
        flag=bool(turned),
        words=(
            f"without seed {turned[0]} p would cross .05, or a significant slope would turn"
            f" ({len(turned)} such of {len(blocks)} seeds)"
            if turned
            else "no single seed decides whether p < .05"
        ),
        statistic_name=statistic_name,
        statistic=moved / primary.standard_error,
    )


def _below(one: Estimate) -> bool:
    return one.p_value is not None and one.p_value < FLAG_BELOW


def _without(table: Table, block: int) -> Table:
    return table.only(table.block != block)


def _residuals(table: Table) -> Floats:
    regression = two_way(table)
    x, y = regression.x_within, regression.y_within
    return y - (float(x @ y) / float(x @ x)) * x if varies(x, regression.x) else y


def _undefined(table: Table, residuals: Floats) -> str | None:
    if len(np.unique(table.block)) < FEWEST_SEEDS:
        return TOO_FEW
    return None if varies(residuals, table.y) else NO_SPREAD


def _without_lines(groups: Ints, dose: Floats, values: Floats) -> Floats:
    """Take each seed's own least-squares line on strength from values, shape (rows, columns)."""
    t, left = without_means(groups, dose), without_means(groups, values)
    squares = sums_by(groups, t * t)
    products = sums_by(groups, t[:, None] * left)
    slopes = np.divide(
        products, squares[:, None], out=np.zeros_like(products), where=squares[:, None] > 0
    )
    return left - slopes[groups] * t[:, None]


def _left(columns: Floats) -> tuple[float, int]:
    """Residual sum of squares of the last column on the others, and the others' rank."""
    left, singular, _ = np.linalg.svd(columns[:, :-1], full_matrices=False)
    scale = max(1.0, float(singular.max(initial=0.0)))
    basis = left[:, singular > _DEPENDENT * scale]
    outcome = columns[:, -1]
    for _ in range(2):
        outcome = outcome - basis @ (basis.T @ outcome)
    return float(outcome @ outcome), basis.shape[1]
