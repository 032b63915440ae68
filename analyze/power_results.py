"""What ``python -m analyze power`` says, as typed values: what ``--json`` writes."""

from dataclasses import dataclass
from typing import Literal

from analyze.power_looks import LooksPower
from analyze.power_plan import ClaimPower, Goal, Plan
from analyze.serialize import strict_json


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerResults:
    """Seeds needed, claim by claim.

    kind: where the variances are from: a study's store, a table of runs, or given. pilot_seeds:
    seed blocks that serve, of pilot_stored; None where variances are given. times_sesoi: the
    true effects, None where they are the pilot's own or given. observed: they are the pilot's
    own. family: primary claims, which share alpha. looks: None where no rule for adding seeds
    was asked about.
    """

    format_version: Literal[1]
    source: str
    kind: Literal["study", "table", "given"]
    pilot_seeds: int | None
    pilot_stored: int | None
    alpha: float
    power: float
    studies: int
    seed: int
    most: int
    also: tuple[int, ...]
    family: int
    times_sesoi: float | None
    observed: bool
    claims: tuple[ClaimPower, ...]
    looks: LooksPower | None = None

    def seeds_for(self, goal: Goal) -> int | None:
        """Seeds with which every primary claim reaches a goal; None where some never does.

        Claims that nothing can be simulated of are passed over.
        """
        found = [
            answer.seeds
            for one in self.claims
            if one.claim.primary and (answer := one.of(goal)) is not None
        ]
        known = [seeds for seeds in found if seeds is not None]
        return max(known) if known and len(known) == len(found) else None


def results_of(
    plan: Plan,
    claims: tuple[ClaimPower, ...],
    *,
    source: str,
    kind: Literal["study", "table", "given"],
    pilot: tuple[int, int] | None,
    times_sesoi: float | None,
    looks: LooksPower | None,
) -> PowerResults:
    """Put together what was asked and what was found.

    pilot: its seed blocks that serve, and those stored.
    """
    return PowerResults(
        format_version=1,
        source=source,
        kind=kind,
        pilot_seeds=pilot[0] if pilot else None,
        pilot_stored=pilot[1] if pilot else None,
        alpha=plan.alpha,
        power=plan.power,
        studies=plan.studies,
        seed=plan.seed,
        most=plan.most,
        also=plan.also,
        family=plan.family,
        times_sesoi=times_sesoi,
        observed=times_sesoi is None and kind != "given",
        claims=claims,
        looks=looks,
    )


def power_json(results: PowerResults) -> str:
    """Return the results as strict JSON text at full precision."""
    return strict_json(results)
