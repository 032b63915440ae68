"""One specification curve per claim: its primary test under every defensible choice.

It is printed beside the verdict and never changes it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from analyze.answers import number, stream, unit_of
from analyze.decide import MINIMUM_SEEDS
from analyze.grid import ALL, HALF_A, HALF_B, Grid, grid_of
from analyze.hypotheses import STRENGTH
from analyze.inference.associations import split_half_within, two_way_within
from analyze.inference.complete import (
    Predictor,
    complete_within,
    predictor_of,
    without_means,
)
from analyze.inference.estimate import Estimate, Panel, Table
from analyze.inference.joint import (
    ALPHA,
    JointP,
    Signs,
    Statistics,
    joint_median,
    joint_significant,
    signs_of,
    slope_statistics,
    within_statistics,
)
from analyze.inference.trends import per_seed_slopes, slope_t
from analyze.questions import Question
from analyze.replicates import Replicates
from analyze.results import (
    Interval,
    JointTest,
    Specification,
    SpecificationChoice,
    SpecificationCurve,
    SpecificationOption,
    Standing,
)
from analyze.specifications import Choice, Side, Way, sides_of, ways_of
from store.design import Design
from store.measures import BY_NAME

_BOTH: Final = slice(HALF_A, HALF_B + 1)
_TREND_METHOD: Final = (
    "each seed's slopes keep their sizes and take one sign at random, as if strength had run the "
    "other way in that seed"
)
_WITHIN_METHOD: Final = (
    "each seed's outcomes, less seed and strength means, keep their sizes and take one sign at "
    "random"
)

Predictors = dict[str, Predictor | None]
Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Tested:
    """A specification, its test and what the claim expects of it."""

    way: Way
    result: Specification


def curves_of(
    questions: Sequence[Question],
    replicates: Replicates,
    variants: pl.DataFrame,
    *,
    design: Design,
    classes: int,
) -> tuple[SpecificationCurve, ...]:
    """Return the specification curve of every deciding question, in their order.

    variants: rows of ``analyze.metrics.variants.VARIANT``; a specification without a value in it,
    or in ``measures``, is left out and named.
    """
    deciding = [question for question in questions if question.deciding]
    arms = sorted({question.arm for question in deciding})
    grids = {arm: grid_of(replicates, variants, arm=arm) for arm in arms}
    return tuple(
        _curve(
            question,
            grids[question.arm],
            sides_of(question, design, classes=classes),
            study_seed=design.study_seed,
        )
        for question in deciding
    )


def _curve(
    question: Question, grid: Grid, sides: tuple[Side, Side], *, study_seed: int
) -> SpecificationCurve:
    sign = question.hypothesis.direction.sign
    ways = ways_of(*sides)
    known = [way for way in ways if all(grid.has(side) for side in way.sides)]
    predictors: Predictors = {}
    tested = [_Tested(way, _specification(way, grid, predictors, sign=sign)) for way in known]
    tested.sort(key=_place)
    counted = [one for one in tested if one.way.standing is Standing.COUNTED]
    estimated = [one.result for one in counted if one.result.estimate is not None]
    choices = (*sides[0].choices, *sides[1].choices)
    joint, caveats = _joint(question, counted, grid, study_seed=study_seed)
    return SpecificationCurve(
        hypothesis=question.hypothesis.id,
        arm=question.arm,
        choices=tuple(_choice(choice, place, tested, sign) for place, choice in enumerate(choices)),
        specifications=tuple(one.result for one in tested),
        counted=len(estimated),
        claimed=_share(estimated, sign, significant=False),
        opposite=_share(estimated, -sign, significant=False),
        significant=_share(estimated, sign, significant=True),
        significant_opposite=_share(estimated, -sign, significant=True),
        median=_median(estimated),
        joint=joint,
        caveats=(*_left_out(ways, known), *caveats),
    )


def _place(tested: _Tested) -> tuple[bool, float]:
    """Sort by standardized effect, those without one last; ties keep the order of the choices."""
    effect = tested.result.standardized
    return effect is None, 0.0 if effect is None else effect


def _specification(way: Way, grid: Grid, predictors: Predictors, *, sign: int) -> Specification:
    found = _test(way, grid, predictors)
    outcome = way.outcome.measure
    predictor = way.predictor.measure if way.predictor else STRENGTH
    tested = found if found is not None and found.n >= MINIMUM_SEEDS else None
    estimate = number(found.estimate) if found else None
    error = number(tested.standard_error) if tested else None
    scale = error * tested.n**0.5 if tested and error else None
    interval = tested.interval if tested else None
    p_value = number(tested.p_value) if tested else None
    standardized = None if scale is None or estimate is None else sign * estimate / scale
    return Specification(
        options=way.options,
        outcome=outcome,
        predictor=predictor,
        standing=way.standing,
        deciding=way.declared,
        test=found.test if found else "",
        estimate=estimate,
        unit=unit_of("slope", outcome, predictor),
        standard_error=error,
        statistic=number(tested.statistic) if tested else None,
        df=number(tested.df) if tested else None,
        p_value=p_value,
        significant=p_value is not None and p_value < ALPHA,
        interval=interval,
        standardized=standardized,
        standardized_interval=None
        if interval is None or scale is None
        else _oriented(interval, sign, scale),
        n=found.n if found else 0,
    )


def _oriented(interval: Interval, sign: int, scale: float) -> Interval:
    ends = sorted((sign * interval.low / scale, sign * interval.high / scale))
    return replace(interval, low=ends[0], high=ends[1])


def _test(way: Way, grid: Grid, predictors: Predictors) -> Estimate | None:
    """Run the claim's primary test; None where there is nothing to run it on.

    predictors: worked out so far, by column; one serves every outcome.
    """
    if way.predictor is None:
        return _trend(grid.of(way.outcome)[ALL], grid)
    if _by_half(way):
        return _split_halves(way, grid, predictors)
    x, y = grid.of(way.predictor), grid.of(way.outcome)
    there = np.isfinite(x[ALL]) & np.isfinite(y[ALL])
    table = _table(x[ALL], y[ALL], there, grid)
    return None if table is None else two_way_within(table)


def _by_half(way: Way) -> bool:
    return all(BY_NAME[side.measure].by_half for side in way.sides)


def _trend(values: Floats, grid: Grid) -> Estimate | None:
    """Leave out strengths without any value, then blocks without all, as ``panel_of`` does."""
    distinct, values = grid.by_dose(values)
    there = np.isfinite(values)
    doses = there.any(axis=0)
    blocks = there[:, doses].all(axis=1)
    if doses.sum() < 2 or not blocks.any():
        return None
    kept = values[np.ix_(blocks, doses)]
    return slope_t(Panel(tuple(grid.blocks[blocks].tolist()), tuple(distinct[doses]), kept))


def _split_halves(way: Way, grid: Grid, predictors: Predictors) -> Estimate | None:
    """Run the primary test: in closed form where there is a value of every student."""
    if way.predictor is None:
        return None
    x, y = grid.of(way.predictor), grid.of(way.outcome)
    there = np.asarray(np.isfinite(x[_BOTH]).all(axis=0) & np.isfinite(y[_BOTH]).all(axis=0))
    if there.all() and len(grid.doses) > 1:
        if way.predictor.column not in predictors:
            predictors[way.predictor.column] = predictor_of(x[_BOTH])
        known = predictors[way.predictor.column]
        found = complete_within(known, _swapped(y[_BOTH])) if known else None
        if found is not None:
            return found
    first = _table(x[HALF_A], y[HALF_B], there, grid)
    second = _table(x[HALF_B], y[HALF_A], there, grid)
    return None if first is None or second is None else split_half_within(first, second)


def _table(x: Floats, y: Floats, there: Bools, grid: Grid) -> Table | None:
    """Rows by block, then condition; None below two conditions."""
    block, condition = np.nonzero(there)
    if len(np.unique(condition)) < 2:
        return None
    told_apart = condition.astype(np.int64) if grid.shared else None
    return Table(grid.blocks[block], grid.doses[condition], x[there], y[there], told_apart)


def _share(found: Sequence[Specification], sign: int, *, significant: bool) -> float | None:
    """Share of the estimates with a sign, and significant where asked."""
    if not found or (significant and max(one.n for one in found) < MINIMUM_SEEDS):
        return None
    count = sum(
        sign * (one.estimate or 0.0) > 0 and (one.significant or not significant) for one in found
    )
    return count / len(found)


def _median(found: Sequence[Specification]) -> float | None:
    known = [one.standardized for one in found if one.standardized is not None]
    return float(np.median(known)) if known else None


def _choice(
    choice: Choice, place: int, tested: Sequence[_Tested], sign: int
) -> SpecificationChoice:
    """Sum up what each option that any specification takes goes with."""
    taken = {one.way.options[place] for one in tested}
    return SpecificationChoice(
        name=choice.name,
        title=choice.title,
        options=tuple(
            _option(option.name, option.title, option.standing, place, tested, sign)
            for option in choice.options
            if option.name in taken
        ),
    )


def _option(
    name: str, title: str, standing: Standing, place: int, tested: Sequence[_Tested], sign: int
) -> SpecificationOption:
    found = [
        one.result
        for one in tested
        if one.way.options[place] == name
        and one.way.standing is Standing.COUNTED
        and one.result.estimate is not None
    ]
    return SpecificationOption(
        name=name,
        title=title,
        standing=standing,
        specifications=len(found),
        claimed=_share(found, sign, significant=False),
        significant=_share(found, sign, significant=True),
        median=_median(found),
    )


def _left_out(ways: Sequence[Way], known: Sequence[Way]) -> tuple[str, ...]:
    """Name the variants that no student of the arm has a value of."""
    present = {side.column for way in known for side in way.sides}
    absent = {side.column for way in ways for side in way.sides} - present
    if not absent or not known:
        return ("No specification has any value.",) if ways and not known else ()
    count = len(ways) - len(known)
    return (
        f"{count} of {len(ways)} specifications left out: the store has no value of "
        f"{_listed(sorted(absent))}.",
    )


def _listed(names: Sequence[str], most: int = 4) -> str:
    shown = ", ".join(names[:most])
    rest = len(names) - most
    return f"{shown} and {rest} more" if rest > 0 else shown


def _joint(
    question: Question, counted: Sequence[_Tested], grid: Grid, *, study_seed: int
) -> tuple[tuple[JointTest, ...], tuple[str, ...]]:
    """Test all counted specifications together, on the blocks that every one of them has."""
    testable = [one.way for one in counted if one.result.standardized is not None]
    if not testable:
        return (), ()
    columns = {side.column: side for way in testable for side in way.sides}
    names = list(columns)
    cells = np.stack([grid.of(columns[name]) for name in names])
    used = cells[:, [ALL]] if question.is_trend else cells[:, [HALF_A, HALF_B]]
    distinct = grid.doses
    if question.is_trend and grid.shared:
        averaged = [grid.by_dose(column) for column in used]
        distinct, used = averaged[0][0], np.stack([means for _, means in averaged])
    doses, blocks = _complete(used)
    seeds = int(blocks.sum())
    if seeds < MINIMUM_SEEDS or doses.sum() < 2:
        return (), (
            "No joint test: fewer than 3 seeds have every specification at every strength.",
        )
    complete = used[:, :, blocks][..., doses]
    rng = stream(study_seed, "multiverse", question.hypothesis.id, question.arm)
    signs = signs_of(seeds, seeds * len(testable), rng)
    places = np.array([[names.index(side.column) for side in way.sides[::-1]] for way in testable])
    statistics = _statistics(question, complete, places, distinct[doses], signs)
    if statistics is None:
        return (), ("No joint test: one seed carries almost all of a predictor.",)
    lost = len(grid.blocks) - seeds
    caveats = (f"The joint test leaves out {lost} seeds without every value.",) if lost else ()
    return _joint_tests(question, statistics, signs, seeds), caveats


def _complete(cells: Floats) -> tuple[Bools, Bools]:
    """Strengths at which every column has a value, then blocks that have them all.

    cells: shape (columns, parts, blocks, strengths).
    """
    there = np.asarray(np.isfinite(cells).all(axis=1), dtype=np.bool_)
    doses = np.asarray(np.any(there, axis=(1,)), dtype=np.bool_).all(axis=0)
    blocks = there[:, :, doses].all(axis=(0, 2))
    return np.asarray(doses, dtype=np.bool_), np.asarray(blocks, dtype=np.bool_)


def _statistics(
    question: Question,
    complete: Floats,
    places: NDArray[np.intp],
    doses: Floats,
    signs: Signs,
) -> Statistics | None:
    """Return t of every specification under every draw, positive in the claimed direction.

    complete: shape (columns, parts, seeds, strengths). places: of each specification's columns,
    predictor before outcome.
    """
    sign = question.hypothesis.direction.sign
    if not question.is_trend:
        return _associations(complete, sign * _swapped(complete), places, signs)
    labels = tuple(range(complete.shape[2]))
    slopes = [
        per_seed_slopes(Panel(labels, tuple(doses.tolist()), sign * complete[place, 0]))
        for place in places[:, 0]
    ]
    return slope_statistics(np.stack(slopes), signs)


def _associations(
    x: Floats, y: Floats, places: NDArray[np.intp], signs: Signs
) -> Statistics | None:
    """Return t of every specification; None where a seed carries a predictor almost alone."""
    columns = np.unique(places[:, 0])
    predictors = [predictor_of(x[column]) for column in columns]
    known = [predictor for predictor in predictors if predictor is not None]
    if len(known) < len(columns):
        return None
    pairs = np.stack([np.searchsorted(columns, places[:, 0]), places[:, 1]], axis=1)
    return within_statistics(known, without_means(y), pairs, signs)


def _swapped(halves: Floats) -> Floats:
    """Put each half where the other was: predictor on one, outcome on the other.

    halves: shape (..., 2, seeds, strengths).
    """
    return halves[..., ::-1, :, :]


def _joint_tests(
    question: Question, statistics: Statistics, signs: Signs, seeds: int
) -> tuple[JointTest, ...]:
    method = _TREND_METHOD if question.is_trend else _WITHIN_METHOD

    def one(found: JointP, *, test: str) -> JointTest:
        return JointTest(
            test=test,
            method=method,
            observed=found.observed,
            p_value=found.p_value,
            smallest_p=found.smallest_p,
            draws=len(signs.values),
            exact=signs.exact,
            n=seeds,
        )

    return (
        one(joint_median(statistics, seeds, signs=signs), test="joint_median"),
        one(joint_significant(statistics), test="joint_significant"),
    )
