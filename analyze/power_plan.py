"""What is asked of simulated studies, and what is answered: claims, goals, power by seeds."""

import math
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Final

from scipy import stats

from analyze.conclude import SECONDARY_ALPHA

CONFIDENCE: Final = 0.8
"""That the pilot's variance is not above the limit that the cautious number of seeds is for."""


class Goal(StrEnum):
    """What a study should be able to show, and in which world.

    SUPPORTED: the claim holds and no other does, so that Holm's first level is all it has.
    TOGETHER: all claims hold, and Holm's steps help. NEGLIGIBLE: none holds. CAUTIOUS: if the
    pilot's variance is at its upper limit.
    """

    SUPPORTED = "supported"
    TOGETHER = "supported_if_all_are"
    NEGLIGIBLE = "negligible"
    CAUTIOUS = "supported_cautiously"
    CAUTIOUS_NEGLIGIBLE = "negligible_cautiously"

    @property
    def is_of_nothing(self) -> bool:
        """Whether its world is the one in which no claim holds."""
        return self in (Goal.NEGLIGIBLE, Goal.CAUTIOUS_NEGLIGIBLE)

    @property
    def is_cautious(self) -> bool:
        """Whether it takes the pilot's variance at its upper limit."""
        return self in (Goal.CAUTIOUS, Goal.CAUTIOUS_NEGLIGIBLE)


@cache
def upper_limit(df: float) -> float:
    """Return the upper confidence limit of a standard deviation, over its estimate.

    Source: Browne (1995), Statistics in Medicine 14.
    """
    return math.sqrt(df / float(stats.chi2.ppf(1 - CONFIDENCE, df)))


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedPart:
    """One outcome of a claim. Slopes are in ``unit``, of measured values, as the tests see them.

    sesoi: smallest effect size of interest. effect: the true slope, signed. reliability: share
    of the predictor's variation that both halves of the images show, which is the measured
    slope over that of a predictor without noise; None where nothing is known of it. estimate: the
    pilot's own. df: of the pilot's variance; None where variances are given.
    """

    outcome: str
    predictor: str
    unit: str
    sesoi: float
    effect: float
    reliability: float | None = None
    estimate: float | None = None
    df: float | None = None

    @property
    def stretch(self) -> float:
        """Upper limit of the pilot's standard deviation, over the one it found; 1 without one."""
        return 1.0 if self.df is None else upper_limit(self.df)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedClaim:
    """One claim. sign: of the slope it expects; None where either will do.

    parts: in the order of what a truth draws; none where the pilot has no data of the claim,
    which stays in the family all the same. why_not: what it lacks.
    """

    id: str
    statement: str
    sign: int | None
    parts: tuple[PlannedPart, ...]
    primary: bool = True
    why_not: str = ""
    caveats: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is asked. Claims of the same id are alike and reported as one.

    alpha: family-wise error rate. power: wanted. studies: simulated for each number of seeds.
    most: seeds, the largest number looked at. also: numbers of seeds whose power is wanted.
    """

    claims: tuple[PlannedClaim, ...]
    alpha: float = 0.05
    power: float = 0.8
    studies: int = 400
    seed: int = 0
    most: int = 100
    also: tuple[int, ...] = ()

    @property
    def family(self) -> int:
        """Number of primary claims."""
        return sum(claim.primary for claim in self.claims)

    def first_level(self, claim: PlannedClaim) -> float:
        """Level that a claim has whatever the others show: Holm's first."""
        return self.alpha / self.family if claim.primary else SECONDARY_ALPHA


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerPoint:
    """Share of simulated studies of ``seeds`` seeds that reach a goal, its Monte Carlo SE."""

    seeds: int
    power: float
    standard_error: float


@dataclass(frozen=True, slots=True, kw_only=True)
class GoalPower:
    """Power for one goal.

    seeds: the smallest number with the power wanted, where it was simulated; None where none up
    to the largest has it: ``about`` then says how many its standard error leads to expect, None
    where no number would do.
    """

    goal: Goal
    seeds: int | None
    about: int | None
    points: tuple[PowerPoint, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimPower:
    """Power for one claim. level: Holm's first. goals: none where nothing can be simulated."""

    claim: PlannedClaim
    level: float
    goals: tuple[GoalPower, ...]

    def of(self, goal: Goal) -> GoalPower | None:
        """Return the power for one goal; None where it was not asked."""
        return next((one for one in self.goals if one.goal is goal), None)


def goals_of(plan: Plan) -> tuple[Goal, ...]:
    """List the goals: the cautious ones where the variance is a pilot's."""
    pilot = any(part.df is not None for claim in plan.claims for part in claim.parts)
    return tuple(goal for goal in Goal if pilot or not goal.is_cautious)


def claims_of(plan: Plan) -> list[PlannedClaim]:
    """List the claims to report: of those alike, one."""
    return [plan.claims[places[0]] for places in places_of(plan)]


def places_of(plan: Plan) -> list[list[int]]:
    """Places of each reported claim among the planned ones: several where they are alike."""
    places: dict[str, list[int]] = {}
    for place, claim in enumerate(plan.claims):
        places.setdefault(claim.id, []).append(place)
    return list(places.values())
