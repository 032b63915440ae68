"""What a number of seeds can show: the smallest effects it finds, before anything is trained."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from analyze.decide import ALPHA, MINIMUM_SEEDS
from analyze.hypotheses import HYPOTHESES, Estimand
from analyze.inference.estimate import Estimate
from analyze.power_truth import GivenAssociations, GivenTrends, Truth
from analyze.questions import main_arm
from store.design import Design

POWER: Final = 0.8
STUDIES: Final = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class Detectable:
    """What one kind of claim can show with a study's seeds.

    claims: their ids. level: Holm's first, which a claim has whatever the others show. effect:
    smallest true effect that is found in the direction claimed with power ``POWER``. bound:
    smallest SESOI below which an effect of nothing is found negligible with that power. Both in
    residual standard deviations of the outcome at one seed and strength: per unit of strength,
    or of an association per standard deviation of the predictor.
    """

    claims: tuple[str, ...]
    estimand: Estimand
    level: float
    effect: float
    bound: float


def detectable(design: Design, *, seed: int = 0) -> tuple[Detectable, ...]:
    """Simulate studies of ``design.seeds`` seeds with normal noise and test them as claims are.

    Seeds differ in nothing but noise here: where their slopes differ too, more is needed. No
    answer below three seeds or two strengths, where nothing is tested.
    """
    doses = _doses(design)
    if design.seeds < MINIMUM_SEEDS or len(doses) < 2:
        return ()
    asked = [HYPOTHESES[claim] for claim in design.claims]
    level = ALPHA / max(1, sum(claim.primary for claim in asked))
    truths: dict[Estimand, Truth] = {
        Estimand.SLOPE_ON_STRENGTH: GivenTrends(doses=doses, residual_sd=1),
        Estimand.WITHIN_ASSOCIATION: GivenAssociations(doses=doses, predictor_sd=1, residual_sd=1),
    }
    found: list[Detectable] = []
    for estimand, truth in truths.items():
        claims = tuple(claim.id for claim in asked if claim.estimand is estimand and claim.primary)
        if not claims:
            continue
        tested = _tested(truth, design.seeds, seed)
        found.append(
            Detectable(
                claims=claims,
                estimand=estimand,
                level=level,
                effect=float(np.quantile(_needed_effects(tested, level), POWER)),
                bound=float(np.quantile(_needed_bounds(tested, level), POWER)),
            )
        )
    return tuple(found)


def detectable_text(design: Design, found: tuple[Detectable, ...]) -> str:
    """Say it in a few lines for a terminal."""
    if not found:
        return (
            f"power    none: {design.seeds} seeds at {len(_doses(design))} strengths only "
            f"describe; a test needs {MINIMUM_SEEDS} seeds and two strengths"
        )
    lines = [
        f"power    of {POWER:g} with {design.seeds} seeds, at the first of Holm's levels "
        f"({found[0].level:.3g});",
        "         sizes in SDs of the outcome at one seed and strength:",
    ]
    for one in found:
        trend = one.estimand is Estimand.SLOPE_ON_STRENGTH
        per = "from strength 0 to 1" if trend else "per SD of the predictor"
        lines += [
            f"         {', '.join(one.claims)}: a true change of {one.effect:.2f} {per} is found;",
            f"           none is called negligible where the SESOI is {one.bound:.2f} or more",
        ]
    if design.adding_seeds.looks:
        lines.append("         the rule for adding seeds takes a little more at each of its looks")
    lines += [
        "         once three seeds are in the store, in the measures' own units:",
        "         python -m analyze power STORE",
    ]
    return "\n".join(lines)


def _doses(design: Design) -> tuple[float, ...]:
    """Teachers' strengths of the students that decide."""
    arm = main_arm(design)
    strengths = {s.teacher_strength for s in design.plan().students if s.arm == arm}
    return tuple(sorted(strength for strength in strengths if strength is not None))


def _tested(truth: Truth, seeds: int, seed: int) -> tuple[Estimate, ...]:
    return tuple(
        truth.draw(np.random.default_rng((seed, study)), seeds)[0].test(seeds)
        for study in range(STUDIES)
    )


def _needed_effects(tested: tuple[Estimate, ...], level: float) -> NDArray[np.float64]:
    """Return the true effect with which each study would have found it; infinite where it cannot.

    An effect of c shifts a least-squares estimate by c and leaves its standard error alone.
    """
    estimate, error, df = _columns(tested)
    return -estimate + stdtrit(df, 1 - level / 2) * error


def _needed_bounds(tested: tuple[Estimate, ...], level: float) -> NDArray[np.float64]:
    """Return the SESOI with which each study, of no effect, would have been found negligible."""
    estimate, error, df = _columns(tested)
    return np.abs(estimate) + stdtrit(df, 1 - level) * error


def _columns(tested: tuple[Estimate, ...]) -> tuple[NDArray[np.float64], ...]:
    rows = [
        (one.estimate, one.standard_error, one.df)
        if one.standard_error and one.df
        else (0.0, np.inf, 1.0)
        for one in tested
    ]
    return tuple(np.array(rows, dtype=np.float64).T)
