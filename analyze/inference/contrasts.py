"""Contrasts of a factorial design's conditions: which are weighed, and what seeds say of each.

A cell of the design is an ensemble's levels and its student's: weak 0, strong 1. A contrast is a
difference of two weighted means of cells; an interaction is the difference of two such
differences. Each seed block holds every cell, so that a contrast is one number per seed.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Final

import numpy as np
from numpy.typing import NDArray

from analyze.inference.cells import CellContrast, equivalence_estimate, paired_contrasts
from analyze.inference.estimate import Estimate, Panel
from analyze.inference.sample import FEWEST_SEEDS
from analyze.inference.trends import sign_flip, wilcoxon_hodges_lehmann

Floats = NDArray[np.float64]
Levels = tuple[int, ...]

CONTRAST_T: Final = "contrast_t"
"""The test that a contrast is read by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Weighing:
    """One contrast of the cells of ensembles of one size.

    weights: one per cell, in the order of ``cells``, summing to 0. step: by how much of the
    distance from weak to strong it moves the teachers' mean strength; 1 where it moves something
    else, or that mean not at all. of_student: whether the student's own level takes part.
    interaction: whether it is a difference of differences.
    """

    name: str
    weights: tuple[float, ...]
    step: float = 1.0
    of_student: bool = False
    interaction: bool = False


def cells(teachers: int) -> tuple[Levels, ...]:
    """Levels of T1 to Tn and, last, of the student: weak 0, strong 1; students weak first."""
    return tuple(
        (*team, student) for student in (0, 1) for team in product((0, 1), repeat=teachers)
    )


def weighings(teachers: int) -> tuple[Weighing, ...]:
    """Every contrast of ensembles of n teachers.

    ``t1`` .. ``tn``: that teacher strong against weak, over all levels of the others and of the
    student. ``teachers``: all strong against all weak. ``mixed``: ensembles of both levels
    against those of one. ``student``: strong against weak. ``..._by_student``: how much larger
    a contrast is with a strong student than with a weak one. Of one teacher ``teachers`` is
    ``t1`` and nothing is mixed.
    """
    n = teachers
    slots = [_difference(n, f"t{slot + 1}", _level_of(slot), step=1 / n) for slot in range(n)]
    whole = [
        _difference(n, "teachers", _equal_to(1), _equal_to(0)),
        _difference(n, "mixed", _mixed),
    ]
    ensembles = [*slots, *(whole if n > 1 else [])]
    student = replace(_difference(n, "student", _level_of(n)), of_student=True)
    crossed = [slots[0], *(whole if n > 1 else [])]
    return (*ensembles, student, *(_by_student(n, one) for one in crossed))


def _level_of(place: int) -> Callable[[Levels], bool]:
    return lambda cell: cell[place] == 1


def _equal_to(level: int) -> Callable[[Levels], bool]:
    return lambda cell: set(cell[:-1]) == {level}


def _mixed(cell: Levels) -> bool:
    return len(set(cell[:-1])) > 1


def _difference(
    teachers: int,
    name: str,
    these: Callable[[Levels], bool],
    those: Callable[[Levels], bool] | None = None,
    *,
    step: float = 1.0,
) -> Weighing:
    """Mean of some cells less the mean of others, by default of all others."""
    every = cells(teachers)
    first = np.array([these(cell) for cell in every])
    second = ~first if those is None else np.array([those(cell) for cell in every])
    weights = first / first.sum() - second / second.sum() if first.any() else first * 0.0
    return Weighing(name=name, weights=tuple(weights.tolist()), step=step)


def _by_student(teachers: int, one: Weighing) -> Weighing:
    """Return a contrast with strong students less the same with weak ones."""
    sides = np.array([1.0 if cell[-1] else -1.0 for cell in cells(teachers)])
    # half of each weight stands on either student, so that a whole contrast is twice that half
    return Weighing(
        name=f"{one.name}_by_student",
        weights=tuple((2 * sides * np.array(one.weights)).tolist()),
        step=one.step,
        of_student=True,
        interaction=True,
    )


def contrast_tests(
    blocks: Sequence[int],
    values: Floats,
    weighing: Weighing,
    *,
    sesoi: float | None,
    rng: np.random.Generator,
    level: float = 0.95,
) -> tuple[Estimate, ...]:
    """Test one contrast over seeds; the t first, then what stands beside it from 3 seeds on.

    values: shape (seeds, cells), finite. sesoi: smallest difference of interest in outcome
    units; None where none was declared, and no equivalence is tested. Tests ``contrast_t``,
    ``contrast_sign_flip``, ``contrast_wilcoxon``, ``contrast_tost``, ``contrast_d_z`` and, but
    for interactions, ``contrast_hedges_g_av``.
    """
    panel = two_sides(blocks, values, np.array(weighing.weights))
    found = paired_contrasts(panel, sesoi=sesoi, level=level)[0]
    used = int(np.count_nonzero(weighing.weights)) * len(blocks)
    primary = replace(
        found.difference,
        test=CONTRAST_T,
        method="one contrast of the conditions per seed, one-sample t over seeds",
        value_name="contrast",
        rows=used,
    )
    if len(blocks) < FEWEST_SEEDS:
        return (primary,)
    beside = (
        _renamed(
            sign_flip(panel, level=level, generator=rng),
            "contrast_sign_flip",
            "sign-flip permutation of the seeds' contrasts, mean contrast, two-sided",
        ),
        _renamed(
            wilcoxon_hodges_lehmann(panel, level=level),
            "contrast_wilcoxon",
            "exact signed ranks of the seeds' contrasts; Hodges-Lehmann centre",
        ),
        *_sized(primary, found, weighing),
    )
    return (primary, *(replace(one, rows=used) for one in beside))


def two_sides(blocks: Sequence[int], values: Floats, weights: Floats) -> Panel:
    """Lay out what is subtracted, then what it is subtracted from: columns a step of 1 apart.

    The tests of a slope are then those of the contrast itself.
    """
    sides = values @ np.maximum(-weights, 0), values @ np.maximum(weights, 0)
    return Panel(tuple(blocks), (0.0, 1.0), np.column_stack(sides))


def _renamed(estimate: Estimate, test: str, method: str) -> Estimate:
    named = estimate.statistic_name
    return replace(
        estimate,
        test=test,
        method=method,
        value_name="contrast",
        statistic_name=named and named.replace("slope", "contrast"),
        caveats=tuple(text.replace("slopes", "contrasts") for text in estimate.caveats),
    )


def _sized(primary: Estimate, found: CellContrast, weighing: Weighing) -> tuple[Estimate, ...]:
    sizes = [_size(primary, "d_z", "mean over SD of the seeds' contrasts", found.d_z)]
    if not weighing.interaction:
        method = (
            "contrast over the average SD of the two means that it compares, Hedges' correction "
            "(Cumming 2012)"
        )
        sizes.append(_size(primary, "hedges_g_av", method, found.hedges_g_av))
    if found.equivalence is None:
        return tuple(sizes)
    return (equivalence_estimate(primary, found.equivalence, test="contrast_tost"), *sizes)


def _size(primary: Estimate, name: str, method: str, value: float | None) -> Estimate:
    return Estimate(
        test=f"contrast_{name}",
        method=method,
        value_name=name,
        estimate=value,
        n=primary.n,
        rows=primary.rows,
    )
