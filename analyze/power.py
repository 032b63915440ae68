"""How many seeds a study needs: its own tests, on studies drawn from a pilot or from variances.

Every simulated study is tested as a study is: the primary test of every outcome, Holm's levels
over the primary claims, and the rule of verdicts. A study of n seeds is the first n of one of
more seeds, so that numbers of seeds are compared on the same draws.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.special import stdtr

from analyze.conclude import SECONDARY_ALPHA
from analyze.decide import MINIMUM_SEEDS, claim_p, combine, holm, rule_primary
from analyze.inference.estimate import Estimate
from analyze.power_plan import (
    ClaimPower,
    Goal,
    GoalPower,
    Plan,
    PlannedClaim,
    PlannedPart,
    PowerPoint,
    claims_of,
    goals_of,
    places_of,
)
from analyze.power_truth import Truth
from analyze.results import Verdict

_LADDER: Final = (3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 100)
_STEP: Final = 1.5
_HOPELESS: Final = 1.2
"""A goal that by its standard error needs so many times the largest number is not searched for."""
_LEARNED: Final = 12
"""From so many seeds on a standard error tells how many more are needed."""
_FINE: Final = 20
_ROUGH: Final = 8
"""Numbers of seeds are told apart to 1 in so many, below it one by one: closer is beyond what
400 studies can tell, or of the cautious numbers, beyond what is needed."""
_EDGE: Final = 0.005
"""Shares nearer to 0 or 1 are not told from it."""
_CHUNK: Final = 20

Hits = NDArray[np.bool_]
"""Whether a goal was reached: shape (studies, claims, goals)."""
Mapper = Callable[[Callable[[Any], Any], Iterable[Any]], Iterator[Any]]
"""As ``map``: how portions of simulated studies are worked off, in order."""
Watch = Callable[[str, int, int], None]
"""Told what is simulated, how many studies are done, and of how many."""


def unwatched(what: str, done: int, total: int) -> None:
    """Tell nobody."""


def find_seeds(
    plan: Plan, truth: Truth, *, mapper: Mapper = map, watch: Watch = unwatched
) -> tuple[ClaimPower, ...]:
    """Find for every claim and goal the smallest number of seeds with the power wanted.

    Searched upwards in steps of about half, then between two of them by interpolation.
    """
    claims = claims_of(plan)
    search = _Search(plan, truth, mapper, watch)
    wanted = [
        (row, goal) for row, claim in enumerate(claims) if claim.parts for goal in goals_of(plan)
    ]
    open_goals = list(wanted)
    for seeds in _ladder(plan):
        search.at(seeds)
        open_goals = [
            one for one in open_goals if search.first(*one) is None and not search.hopeless(*one)
        ]
        if not open_goals:
            break
    for seeds in plan.also:
        search.at(seeds)
    for one in wanted:
        search.refine(*one)
    return tuple(
        ClaimPower(
            claim=claim,
            level=plan.first_level(claim),
            goals=tuple(search.answer(row, goal) for at, goal in wanted if at == row),
        )
        for row, claim in enumerate(claims)
    )


def hits_of(
    plan: Plan, truth: Truth, task: tuple[int, int, int]
) -> tuple[Hits, NDArray[np.float64]]:
    """Simulate some studies, test them, and read their verdicts.

    task: number of seeds, first study, and the one after the last. Each study has its own
    stream, so that the answer does not depend on how studies are shared out. Also returns the
    median standard error of every part, NaN where nothing could be tested.
    """
    seeds, first, last = task
    goals, hits, errors = goals_of(plan), [], []
    for study in range(first, last):
        found = primary_tests(plan, truth, study, seeds=seeds, most=plan.most)
        hits.append([_reached(plan, found, goal) for goal in goals])
        errors.append([one.standard_error or math.nan for estimates in found for one in estimates])
    return np.array(hits).swapaxes(1, 2), np.array(errors)


def primary_tests(
    plan: Plan, truth: Truth, study: int, *, seeds: int, most: int
) -> tuple[tuple[Estimate, ...], ...]:
    """Draw one study with nothing to find and run the primary test of every claim's parts."""
    blocks = iter(truth.draw(np.random.default_rng((plan.seed, study)), most))
    return tuple(tuple(next(blocks).test(seeds) for _ in claim.parts) for claim in plan.claims)


def shifted(estimate: Estimate, by: float, *, stretch: float = 1.0) -> Estimate:
    """Return what the test would have found with a slope of ``by`` in truth.

    stretch: factor by which all residual variation is larger. Exact for least squares.
    """
    value, error, df = estimate.estimate, estimate.standard_error, estimate.df
    if value is None or not error or df is None:
        return replace(estimate, p_value=None)
    value, error = by + stretch * value, stretch * error
    return replace(
        estimate,
        estimate=value,
        standard_error=error,
        statistic=value / error,
        p_value=2 * float(stdtr(df, -abs(value / error))),
        interval=None,
        attenuation=estimate.attenuation
        and replace(estimate.attenuation, covariance=stretch * estimate.attenuation.covariance),
    )


def verdicts_of(
    plan: Plan, found: Sequence[Sequence[Estimate]], levels: Sequence[float]
) -> list[Verdict]:
    """Read every claim at its level, as a study's claims are read."""
    return [
        combine(
            [
                rule_primary(
                    one, alpha=level, sesoi=part.sesoi, sign=claim.sign or _sign_of(one)
                ).verdict
                for one, part in zip(estimates, claim.parts, strict=True)
            ]
        )
        if claim.parts
        else Verdict.NO_DATA
        for claim, estimates, level in zip(plan.claims, found, levels, strict=True)
    ]


def holm_levels(plan: Plan, found: Sequence[Sequence[Estimate]]) -> list[float]:
    """Level of every claim in one study: Holm's over the primary ones."""
    p_values = [
        claim_p([one.p_value for one in estimates])
        for claim, estimates in zip(plan.claims, found, strict=True)
        if claim.primary
    ]
    family = iter(holm(p_values, plan.alpha))
    return [next(family).alpha if one.primary else SECONDARY_ALPHA for one in plan.claims]


def _reached(plan: Plan, found: Sequence[Sequence[Estimate]], goal: Goal) -> list[bool]:
    """Whether each claim reaches a goal in one study."""
    moved = [
        [
            shifted(
                one,
                0.0 if goal.is_of_nothing else part.effect,
                stretch=part.stretch if goal.is_cautious else 1.0,
            )
            for one, part in zip(estimates, claim.parts, strict=True)
        ]
        for claim, estimates in zip(plan.claims, found, strict=True)
    ]
    alone = goal in (Goal.SUPPORTED, Goal.CAUTIOUS)
    levels = (
        [plan.first_level(claim) for claim in plan.claims] if alone else holm_levels(plan, moved)
    )
    sought = Verdict.NEGLIGIBLE if goal.is_of_nothing else Verdict.SUPPORTED
    return [verdict is sought for verdict in verdicts_of(plan, moved, levels)]


def _sign_of(estimate: Estimate) -> int:
    return -1 if estimate.estimate is not None and estimate.estimate < 0 else 1


def tasks_of(studies: int) -> list[tuple[int, int]]:
    """Portion out studies: the first of each portion, and the one after its last."""
    return [(first, min(first + _CHUNK, studies)) for first in range(0, studies, _CHUNK)]


def _ladder(plan: Plan) -> list[int]:
    """Numbers of seeds to look at first, ascending."""
    steps: list[int] = [*_LADDER]
    while steps[-1] < plan.most:
        steps.append(math.ceil(_STEP * steps[-1]))
    return [*(one for one in steps if one < plan.most), plan.most]


class _Search:
    """Simulated studies by number of seeds, each number simulated once."""

    def __init__(self, plan: Plan, truth: Truth, mapper: Mapper, watch: Watch) -> None:
        self._plan = plan
        self._goals = goals_of(plan)
        self._truth = truth
        self._mapper = mapper
        self._watch = watch
        self._points: dict[int, tuple[NDArray[np.float64], NDArray[np.float64]]] = {}
        self._errors: dict[int, list[list[float]]] = {}

    def at(self, seeds: int) -> None:
        """Simulate studies of so many seeds, unless that was done."""
        if seeds in self._points:
            return
        total = self._plan.studies
        tasks = [(seeds, *task) for task in tasks_of(total)]
        hits, errors, done = [], [], 0
        self._watch(f"{seeds} seeds", 0, total)
        for some, of_some in self._mapper(partial(hits_of, self._plan, self._truth), tasks):
            hits.append(some)
            errors.append(of_some)
            done += len(some)
            self._watch(f"{seeds} seeds", done, total)
        self._points[seeds] = _rates(self._plan, np.concatenate(hits))
        self._errors[seeds] = _medians(self._plan, np.concatenate(errors))

    def power(self, seeds: int, row: int, goal: Goal) -> float:
        """Share of the studies that reach a goal."""
        return float(self._points[seeds][0][row, self._goals.index(goal)])

    def first(self, row: int, goal: Goal) -> int | None:
        """Return the smallest number of seeds simulated so far that has the power wanted."""
        enough = [n for n in self._points if self.power(n, row, goal) >= self._plan.power]
        return min(enough, default=None)

    def hopeless(self, row: int, goal: Goal) -> bool:
        """Whether a goal is so far off that more simulation would only cost time."""
        most = max(self._points)
        if most < min(_LEARNED, self._plan.most):
            return False
        about = self.about(row, goal)
        return about is None or about > _HOPELESS * self._plan.most

    def refine(self, row: int, goal: Goal) -> None:
        """Close in on the smallest number of seeds between those that were simulated."""
        while (high := self.first(row, goal)) is not None:
            low = max((n for n in self._points if n < high), default=MINIMUM_SEEDS - 1)
            fine = _ROUGH if goal.is_cautious else _FINE
            if high - low <= max(1, high // fine) or high <= MINIMUM_SEEDS:
                return
            self.at(self._between(low, high, row, goal))

    def _between(self, low: int, high: int, row: int, goal: Goal) -> int:
        """Guess the number of seeds: the normal deviate of power is nearly linear in their root."""
        if low not in self._points:
            return (low + high) // 2
        below, above = (
            float(stats.norm.ppf(min(max(self.power(n, row, goal), _EDGE), 1 - _EDGE)))
            for n in (low, high)
        )
        share = (float(stats.norm.ppf(self._plan.power)) - below) / max(above - below, _EDGE)
        root = math.sqrt(low) + min(max(share, 0.0), 1.0) * (math.sqrt(high) - math.sqrt(low))
        return min(max(math.ceil(root**2), low + 1), high - 1)

    def about(self, row: int, goal: Goal) -> int | None:
        """Extrapolate the number of seeds from the standard error, which falls with their root."""
        seeds = max(self._points)
        claim = claims_of(self._plan)[row]
        needs = [
            _needed(self._plan, claim, part, goal, error * math.sqrt(seeds))
            for part, error in zip(claim.parts, self._errors[seeds][row], strict=True)
        ]
        known = [need for need in needs if math.isfinite(need)]
        return math.ceil(max(known)) if len(known) == len(needs) else None

    def answer(self, row: int, goal: Goal) -> GoalPower:
        """Return what was found of one goal."""
        found, column = self.first(row, goal), self._goals.index(goal)
        return GoalPower(
            goal=goal,
            seeds=found,
            about=None if found is not None else self._beyond(row, goal),
            points=tuple(
                PowerPoint(
                    seeds=seeds,
                    power=float(power[row, column]),
                    standard_error=float(se[row, column]),
                )
                for seeds, (power, se) in sorted(self._points.items())
            ),
        )

    def _beyond(self, row: int, goal: Goal) -> int | None:
        """Extrapolate, to no less than what was simulated in vain."""
        about = self.about(row, goal)
        return None if about is None else max(about, max(self._points) + 1)


def _needed(plan: Plan, claim: PlannedClaim, part: PlannedPart, goal: Goal, spread: float) -> float:
    """Seeds by the normal approximation. spread: standard error times the root of the seeds."""
    level = plan.first_level(claim)
    if not goal.is_of_nothing and plan.power >= 1 - level and abs(part.effect) <= part.sesoi:
        # at the SESOI itself, a share of ``level`` of the studies is called negligible
        return math.inf
    stretched = spread * (part.stretch if goal.is_cautious else 1.0)
    if goal.is_of_nothing:
        size = part.sesoi
        reach = stats.norm.isf(level) + stats.norm.isf((1 - plan.power) / 2)
    else:
        size = part.effect * (claim.sign or math.copysign(1, part.effect))
        reach = stats.norm.isf(level / 2) + stats.norm.isf(1 - plan.power)
    return float((reach * stretched / size) ** 2) if size > 0 else math.inf


def _rates(plan: Plan, hits: Hits) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Power and its Monte Carlo SE, shape (reported claims, goals). Claims alike are averaged."""
    alike = np.stack([hits[:, places].mean(axis=1) for places in places_of(plan)], axis=1)
    return alike.mean(axis=0), monte_carlo_error(alike)


def monte_carlo_error(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the standard error of the mean of studies' shares in [0, 1], along the first axis.

    Where all studies agree it is that of Agresti and Coull's (1998) estimate, not 0.
    """
    studies = len(shares)
    error = shares.std(axis=0, ddof=1) / math.sqrt(studies)
    share = 2 / (studies + 4)
    least = math.sqrt(share * (1 - share) / (studies + 4))
    return np.where(error == 0, least, error)


def _medians(plan: Plan, errors: NDArray[np.float64]) -> list[list[float]]:
    """Median standard error of every part of the reported claims."""
    starts = np.cumsum([0, *(len(claim.parts) for claim in plan.claims)])
    median = [
        float(np.median(column[~np.isnan(column)])) if not np.isnan(column).all() else math.nan
        for column in errors.T
    ]
    return [median[starts[places[0]] : starts[places[0] + 1]] for places in places_of(plan)]
