"""What is calibrated: every primary test, under studies whose truth is known."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from analyze.decide import rule_estimate
from analyze.inference.associations import split_half_within, two_way_within, two_way_within_ols
from analyze.inference.correlations import correlate
from analyze.inference.crossed import crossed_slope, crossed_within
from analyze.inference.estimate import Estimate, Panel, Table
from analyze.inference.mediation import mediate
from analyze.inference.trends import slope_t
from analyze.results import Verdict
from benchmarks.shared_teachers import (
    CROSSED,
    NESTED,
    SharedScenario,
    Sharing,
    as_if_fresh,
)
from benchmarks.simulated_studies import (
    DOSES,
    LEVELS,
    Scenario,
    Studies,
    split_half_target,
    whole_target,
)

SEEDS = (8, 12)


TREND_EFFECT = 0.3


ASSOCIATION_EFFECT = 0.5


Test = Callable[[Studies, int], Estimate]


Target = Callable[[Studies], float]


Errs = Callable[[Estimate, float], bool]
"""Whether a test errs at a level."""


SharedTest = Callable[[Table, NDArray[np.int64]], Estimate]


def finds_something(found: Estimate, alpha: float) -> bool:
    """Whether a test finds an effect, where there is none; one that gives no p does not."""
    return found.p_value is not None and found.p_value <= alpha


def slope_per_seed(studies: Studies, index: int) -> Estimate:
    """The primary test of a trend, on all test images."""
    values = studies.y[index].mean(axis=0)
    return slope_t(Panel(tuple(range(len(values))), tuple(DOSES), values))


def split_half(studies: Studies, index: int) -> Estimate:
    """The primary test of an association whose measures have halves."""
    return split_half_within(*_halves(studies, index))


def whole(studies: Studies, index: int) -> Estimate:
    """The primary test of an association whose measures have no halves."""
    return two_way_within(_images(studies, index))


def joint(studies: Studies, index: int) -> Estimate:
    """The test of both paths of a mediation. Its p takes no bootstrap, so one draw is made."""
    return mediate(*_halves(studies, index), rng=np.random.default_rng(0), draws=1).joint


def ordinary(studies: Studies, index: int) -> Estimate:
    """The ordinary t of the association, printed beside the primary test."""
    return two_way_within_ols(_images(studies, index))


def repeated_measures(studies: Studies, index: int) -> Estimate:
    """The correlation within seeds, printed beside the primary test."""
    return correlate(_images(studies, index)).within_seed


def _halves(studies: Studies, index: int) -> tuple[Table, Table]:
    """Predictor on half a with outcome on half b, and swapped."""
    there = studies.there[index].ravel()
    seeds = len(studies.there[index])
    block = np.repeat(np.arange(seeds), LEVELS)[there]
    dose = np.tile(DOSES, seeds)[there]
    x = studies.x[index].reshape(2, -1)[:, there]
    y = studies.y[index].reshape(2, -1)[:, there]
    return Table(block, dose, x[0], y[1]), Table(block, dose, x[1], y[0])


def _images(studies: Studies, index: int) -> Table:
    """Predictor and outcome on all test images: the mean of the halves."""
    first, second = _halves(studies, index)
    return Table(first.block, first.dose, (first.x + second.x) / 2, (first.y + second.y) / 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One test under one scenario without an effect, and with one where coverage is asked.

    null_effect: what a unit of x adds to y where there is nothing to find (a mediation can have
    one of its paths). target: the slope that the interval should cover, of planted studies.
    errs: what counts as an error.
    """

    title: str
    test: Test
    scenario: Scenario
    null_effect: float = 0.0
    planted: Scenario | None = None
    planted_effect: float = 0.0
    target: Target | None = None
    errs: Errs = finds_something

    @property
    def sizes(self) -> tuple[int, ...]:
        return SEEDS


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedCase:
    """One test where seeds share teachers, without an effect.

    An effect would move estimate and target alike (both models are linear, and their variances are
    fitted to contrasts free of it), so that coverage is 1 less the type I error: not run twice.
    misused: the test is not made for shared teachers, and stands here for what that costs.
    """

    title: str
    test: SharedTest
    scenario: SharedScenario
    sharing: Sharing
    misused: bool = False

    @property
    def sizes(self) -> tuple[int, ...]:
        return (len(np.unique(self.sharing.seed)),)


NOISE = (
    Scenario(name="slopes alike in all seeds"),
    Scenario(name="slopes vary by 0.5 SD per level", slope_sd=0.5),
    Scenario(name="slopes vary by 1 SD per level", slope_sd=1.0),
    Scenario(name="heavy tails (t, 3 df)", heavy=True),
    Scenario(name="noise grows from 1 to 3 SD over strengths", fan=True),
)


COMMON_CAUSE = (
    Scenario(name="common cause, slopes alike", on_x=-1, on_y=-1),
    Scenario(name="common cause, slopes vary by 0.5 SD", on_x=-1, on_y=-1, slope_sd=0.5),
    Scenario(name="common cause, slopes vary by 1 SD", on_x=-1, on_y=-1, slope_sd=1.0),
    Scenario(name="common cause along a bend", on_x=-1, on_y=-1, bend=True),
    Scenario(name="common cause, heavy tails", on_x=-1, on_y=-1, heavy=True),
    Scenario(name="common cause, noise grows over strengths", on_x=-1, on_y=-1, fan=True),
    Scenario(name="seeds lift both by 3 SD", seed_effect=3.0),
    Scenario(
        name="cells lost, up to 30 % of the strongest; slopes vary by 0.5 SD",
        on_x=-1,
        on_y=-1,
        slope_sd=0.5,
        missing=0.3,
    ),
    Scenario(name="sampling noise of the images is in both", on_x=-1, on_y=-1, shared=2.0),
)


def trend_cases() -> list[Case]:
    """The per-seed slope t. Its studies with an effect have a mean slope; x plays no part."""
    return [
        Case(
            title="per_seed_slope_t",
            test=slope_per_seed,
            scenario=scenario,
            planted=Scenario(
                name=scenario.name,
                on_y=TREND_EFFECT,
                slope_sd=scenario.slope_sd,
                heavy=scenario.heavy,
                fan=scenario.fan,
            ),
            target=_planted_slope,
        )
        for scenario in NOISE
    ]


def _planted_slope(_: Studies) -> float:
    return TREND_EFFECT * (LEVELS - 1)


def association_cases() -> list[Case]:
    """Both forms of the within association."""
    forms: tuple[tuple[str, Test, Target], ...] = (
        ("split_half_within_cr2", split_half, split_half_target),
        ("two_way_within_cr2", whole, whole_target),
    )
    return [
        Case(
            title=title,
            test=test,
            scenario=scenario,
            planted=scenario,
            planted_effect=ASSOCIATION_EFFECT,
            target=target,
        )
        for title, test, target in forms
        for scenario in COMMON_CAUSE
    ]


def negligible_cases() -> list[Case]:
    """What is called negligible, where the effect is just as large as the SESOI."""
    trends = (NOISE[0], NOISE[2])
    associations = (
        COMMON_CAUSE[0],
        COMMON_CAUSE[2],
        Scenario(
            name="common cause; noise of the predictor is 1.5 SD on each half",
            on_x=-1,
            on_y=-1,
            blurred=3.0,
        ),
        COMMON_CAUSE[-1],
    )
    return [
        *(
            Case(
                title="negligible_trend",
                test=slope_per_seed,
                scenario=replace(scenario, on_y=TREND_EFFECT),
                errs=_calls_negligible(TREND_EFFECT * (LEVELS - 1)),
            )
            for scenario in trends
        ),
        *(
            Case(
                title="negligible_association",
                test=split_half,
                scenario=scenario,
                null_effect=ASSOCIATION_EFFECT,
                errs=_calls_negligible(ASSOCIATION_EFFECT),
            )
            for scenario in associations
        ),
    ]


def _calls_negligible(sesoi: float) -> Errs:
    return partial(_is_negligible, sesoi)


def _is_negligible(sesoi: float, found: Estimate, alpha: float) -> bool:
    return rule_estimate(found, alpha=alpha, sesoi=sesoi, sign=1).verdict is Verdict.NEGLIGIBLE


def mediation_cases() -> list[Case]:
    """Joint significance, without one of its paths or both. It has no interval."""
    seeds = Scenario(name="seeds lift both by 3 SD; first path alone", on_x=-1, seed_effect=3.0)
    second = Scenario(name="second path alone")
    return [
        Case(title="mediation_joint", test=joint, scenario=seeds),
        Case(title="mediation_joint", test=joint, scenario=second, null_effect=ASSOCIATION_EFFECT),
        *(Case(title="mediation_joint", test=joint, scenario=one) for one in COMMON_CAUSE),
    ]


def contrast_cases() -> list[Case]:
    """Tests printed beside the primary ones, where they mislead."""
    return [
        *(
            Case(title="two_way_within_ols", test=ordinary, scenario=scenario)
            for scenario in COMMON_CAUSE[:3]
        ),
        *(
            Case(title="correlation_within_seed", test=repeated_measures, scenario=scenario)
            for scenario in COMMON_CAUSE[:3]
        ),
    ]


def slope_as_if_fresh(table: Table, _: NDArray[np.int64]) -> Estimate:
    """The primary test of a trend where teachers are fresh, printed beside where they are not."""
    return slope_t(as_if_fresh(table))


def within_as_if_fresh(table: Table, _: NDArray[np.int64]) -> Estimate:
    """The association by seed, printed beside where teachers are shared."""
    return two_way_within(table)


SHARED_TRENDS = (
    SharedScenario(
        name="slopes vary by 0.5 SD over seeds and pools", pool_slope=0.5, seed_slope=0.5
    ),
    SharedScenario(name="pools alike, slopes vary by 0.5 SD over seeds", seed_slope=0.5),
    SharedScenario(
        name="slopes vary by 0.5 SD over pools, their teachers by 1 SD", pool_slope=0.5, cells=1.0
    ),
)


SHARED_CAUSES = (
    SharedScenario(
        name="teachers' predictor, slopes alike", on_x=-1, on_y=-1, cells=1.0, teachers=True
    ),
    SharedScenario(
        name="teachers' predictor, slopes vary by 1 SD over seeds and pools",
        on_x=-1,
        on_y=-1,
        pool_slope=1.0,
        seed_slope=1.0,
        cells=1.0,
        teachers=True,
    ),
    SharedScenario(
        name="students' predictor, slopes vary by 1 SD over seeds and pools",
        on_x=-1,
        on_y=-1,
        pool_slope=1.0,
        seed_slope=1.0,
        cells=0.5,
    ),
    SharedScenario(
        name="students' predictor, seeds and pools lift both by 3 SD, runs of a seed vary by 1 SD",
        on_x=-1,
        on_y=-1,
        cells=0.5,
        seed_cells=1.0,
        lift=3.0,
    ),
)


def shared_cases() -> list[SharedCase]:
    """The tests for shared teachers, and for contrast those that take them as fresh."""
    tests: tuple[tuple[str, SharedTest, tuple[SharedScenario, ...], bool], ...] = (
        ("mixed_model_crossed", crossed_slope, SHARED_TRENDS, False),
        ("per_seed_slope_t", slope_as_if_fresh, SHARED_TRENDS[:2], True),
        ("crossed_within_kr", crossed_within, SHARED_CAUSES, False),
        ("two_way_within_cr2", within_as_if_fresh, SHARED_CAUSES[:2], True),
    )
    return [
        SharedCase(
            title=title,
            test=test,
            scenario=replace(scenario, name=f"{sharing.name}: {scenario.name}"),
            sharing=sharing,
            misused=misused,
        )
        for title, test, scenarios, misused in tests
        for scenario in scenarios
        for sharing in (CROSSED, NESTED)
    ]
