"""Power where seeds are added by the group-sequential rule: verdicts at declared looks.

At every look a claim is read at that look's level of its equal share of the error rate, by the
rule of verdicts; it is decided at the first look that decides it. The study goes on until every
primary claim is decided, or to the last look.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from analyze.conclude import SECONDARY_ALPHA
from analyze.decide import DECIDED
from analyze.inference.estimate import Estimate
from analyze.inference.sequential import look_levels
from analyze.power import (
    Mapper,
    Watch,
    monte_carlo_error,
    primary_tests,
    shifted,
    tasks_of,
    unwatched,
    verdicts_of,
)
from analyze.power_plan import Plan, PlannedClaim, claims_of, places_of
from analyze.power_truth import Truth
from analyze.results import Verdict

_ENDS = (Verdict.SUPPORTED, Verdict.NEGLIGIBLE, Verdict.CONTRADICTED)


@dataclass(frozen=True, slots=True, kw_only=True)
class WorldLooks:
    """How one claim ends where all claims hold, or where none does: shares of studies.

    undecided: at the last look still. seeds: mean number at which the claim is decided, or the
    last. standard_error: Monte Carlo, of the share supported; error_standard_error: of the
    share supported or contradicted.
    """

    supported: float
    negligible: float
    contradicted: float
    undecided: float
    seeds: float
    standard_error: float
    error_standard_error: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimLooks:
    """One claim under the rule. levels: two-sided, at each look."""

    id: str
    levels: tuple[float, ...]
    effect: WorldLooks
    none: WorldLooks


@dataclass(frozen=True, slots=True, kw_only=True)
class LooksPower:
    """The rule as a whole. looks: numbers of seeds, the last the cap.

    seeds_effect, seeds_none: mean number until every primary claim is decided. family_error:
    share of studies without any effect that find one of some primary claim, its Monte Carlo SE.
    """

    looks: tuple[int, ...]
    claims: tuple[ClaimLooks, ...]
    seeds_effect: float
    seeds_none: float
    family_error: float
    family_error_standard_error: float


def simulate_looks(
    plan: Plan,
    truth: Truth,
    looks: Sequence[int],
    *,
    mapper: Mapper = map,
    watch: Watch = unwatched,
) -> LooksPower:
    """Simulate the rule on ``plan.studies`` studies, with the effects planned and with none.

    looks: ascending, 3 seeds or more.
    """
    ends: list[NDArray[np.int64]] = []
    what, done = f"looks at {', '.join(map(str, looks))} seeds", 0
    watch(what, 0, plan.studies)
    work = partial(endings_of, plan, truth, tuple(looks))
    for some in mapper(work, tasks_of(plan.studies)):
        ends.append(some)
        done += len(some)
        watch(what, done, plan.studies)
    return _summed(plan, looks, np.concatenate(ends))


def claim_levels(plan: Plan, claim: PlannedClaim, looks: Sequence[int]) -> tuple[float, ...]:
    """Two-sided level of a claim at every look: primary claims share the error rate equally."""
    alpha = plan.alpha / plan.family if claim.primary else SECONDARY_ALPHA
    return look_levels(alpha, [look / looks[-1] for look in looks])


def endings_of(
    plan: Plan, truth: Truth, looks: tuple[int, ...], task: tuple[int, int]
) -> NDArray[np.int64]:
    """Simulate some studies to their end, shape (studies, 2 worlds, claims, 2).

    task: first study, and the one after the last. World 0 has the effects, world 1 none. The last
    axis holds the place of the verdict among ``_ENDS``, -1 undecided, and the look.
    """
    levels = [claim_levels(plan, claim, looks) for claim in plan.claims]
    return np.array([_ended(plan, truth, looks, levels, study) for study in range(*task)])


def _ended(
    plan: Plan,
    truth: Truth,
    looks: tuple[int, ...],
    levels: Sequence[tuple[float, ...]],
    study: int,
) -> NDArray[np.int64]:
    ends = np.full((2, len(plan.claims), 2), (-1, len(looks) - 1))
    for look, seeds in enumerate(looks):
        found = primary_tests(plan, truth, study, seeds=seeds, most=looks[-1])
        at_look = [level[look] for level in levels]
        for world in (0, 1):
            moved = _moved(plan, found, holds=world == 0)
            for place, verdict in enumerate(verdicts_of(plan, moved, at_look)):
                if ends[world, place, 0] < 0 and verdict in DECIDED:
                    ends[world, place] = (_ENDS.index(verdict), look)
    return ends


def _moved(plan: Plan, found: Sequence[Sequence[Estimate]], *, holds: bool) -> list[list[Estimate]]:
    return [
        [
            shifted(one, part.effect if holds else 0.0)
            for one, part in zip(estimates, claim.parts, strict=True)
        ]
        for claim, estimates in zip(plan.claims, found, strict=True)
    ]


def _summed(plan: Plan, looks: Sequence[int], ends: NDArray[np.int64]) -> LooksPower:
    seeds = np.asarray(looks)[ends[..., 1]]
    primary = [place for place, claim in enumerate(plan.claims) if claim.primary and claim.parts]
    last = seeds[:, :, primary].max(axis=2).mean(axis=0)
    wrong = np.any(np.isin(ends[:, 1, primary, 0], (0, 2)), axis=1).astype(np.float64)
    return LooksPower(
        looks=tuple(looks),
        claims=tuple(
            ClaimLooks(
                id=claim.id,
                levels=claim_levels(plan, claim, looks),
                effect=_world(ends[:, 0, places, 0], seeds[:, 0, places]),
                none=_world(ends[:, 1, places, 0], seeds[:, 1, places]),
            )
            for claim, places in zip(claims_of(plan), places_of(plan), strict=True)
            if claim.parts
        ),
        seeds_effect=float(last[0]),
        seeds_none=float(last[1]),
        family_error=float(wrong.mean()),
        family_error_standard_error=float(monte_carlo_error(wrong)),
    )


def _world(ended: NDArray[np.int64], seeds: NDArray[np.int64]) -> WorldLooks:
    """Shares of one claim's endings, shape (studies, claims alike)."""
    supported, wrong = (ended == 0).mean(axis=1), np.isin(ended, (0, 2)).mean(axis=1)
    return WorldLooks(
        supported=float(supported.mean()),
        negligible=float((ended == 1).mean()),
        contradicted=float((ended == 2).mean()),
        undecided=float((ended == -1).mean()),
        seeds=float(seeds.mean()),
        standard_error=float(monte_carlo_error(supported)),
        error_standard_error=float(monte_carlo_error(wrong)),
    )
