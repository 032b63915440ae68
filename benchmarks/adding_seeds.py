"""Does the rule for adding seeds keep its error rate over all its looks? By simulation.

A study is looked at when it has some numbers of seeds; it errs where any look finds what is not
there. Beside the declared rule stand ways to look that are not: what they cost is why the rule is.
"""

import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats

from analyze.calibration import ERRS_TOO_OFTEN, HOLDS
from analyze.decide import rule_estimate
from analyze.inference.associations import split_half_within
from analyze.inference.estimate import Estimate, Panel, Table
from analyze.inference.sequential import look_levels
from analyze.inference.trends import slope_t
from analyze.looks import levels_at
from analyze.results import CalibratedCase, Verdict
from benchmarks.rates import Rate
from benchmarks.simulated_studies import DOSES, LEVELS, Scenario, Studies, draw

ALPHA = 0.05
TIMES = 5
"""Studies a rate, in the studies of the other tables: rates differ by less here."""
SHORT = (4, 8, 12)
LONG = (8, 16, 24)
EDGE = 0.3
"""True slope per level, in noise SD, that is exactly the smallest effect of interest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One way to look at a study while it grows, under one truth.

    levels: two-sided p-level at each look. alpha: error rate that all looks together may have.
    test: on the slopes over strength, or on the association on opposite halves. sesoi: the error
    is to call an effect negligible that is just as large, in outcome units per unit of strength;
    None: it is to find an effect where there is none. lost: share of seed blocks that fail, whose
    levels are then computed anew in every study. declared: it is the rule that a study may declare.
    """

    name: str
    looks: tuple[int, ...]
    levels: tuple[float, ...]
    scenario: Scenario
    alpha: float = ALPHA
    test: Literal["trend", "association"] = "trend"
    sesoi: float | None = None
    lost: float = 0.0
    declared: bool = False

    def stream(self, seed: int) -> np.random.Generator:
        """Return the way's own generator, the same alone or among others."""
        name = f"{self.name}/{self.scenario.name}/{self.looks}/{self.alpha}/{self.test}"
        return np.random.default_rng([seed, zlib.crc32(name.encode())])


@dataclass(frozen=True, slots=True, kw_only=True)
class Erred:
    """How often a way to look erred at any look, and in seconds of CPU."""

    way: Way
    rate: Rate
    seconds: float

    def reading(self) -> str:
        """Say in words whether it keeps its error rate, within 3 Monte Carlo standard errors."""
        words = {1: ERRS_TOO_OFTEN, 0: HOLDS, -1: "errs less often than it may"}
        return words[self.rate.departs(self.way.alpha)]

    def case_found(self) -> CalibratedCase:
        """Return what reports say of it: at .05, or at .0125 as of one claim of four."""
        way = self.way
        looks = ", ".join(map(str, way.looks))
        return CalibratedCase(
            truth=f"{way.name}, looks at {looks}: {way.test}, {way.scenario.name}",
            seeds=way.looks[-1],
            studies=self.rate.studies,
            rejected=self.rate.share if way.alpha == ALPHA else None,
            rejected_strict=None if way.alpha == ALPHA else self.rate.share,
            covered=None,
            reading=self.reading(),
        )


def ways() -> list[Way]:
    """The declared rule where it might fail, then other ways to look."""
    plain = Scenario(name="slopes alike in all seeds")
    varied = Scenario(name="slopes vary by 0.5 SD per level", slope_sd=0.5)
    heavy = Scenario(name="heavy tails (t, 3 df)", heavy=True)
    common = Scenario(name="common cause, slopes vary by 0.5 SD", on_x=-1, on_y=-1, slope_sd=0.5)
    edge = Scenario(name="slope as large as the SESOI", on_y=EDGE)
    size = EDGE * (LEVELS - 1)
    return [
        _rule(SHORT, plain),
        _rule(SHORT, heavy),
        _rule(LONG, varied),
        _rule(SHORT, plain, alpha=ALPHA / 4),
        _rule(LONG, common, test="association"),
        _rule(SHORT, plain, name="declared rule, a fifth of the blocks fails", lost=0.2),
        _rule(SHORT, edge, name="declared rule, equivalence", sesoi=size),
        _rule(LONG, edge, name="declared rule, equivalence", sesoi=size),
        Way(name="one look, at the cap", looks=SHORT[-1:], levels=(ALPHA,), scenario=plain),
        Way(
            name="the rule's z bounds used on t",
            looks=SHORT,
            levels=bounds_on_t(SHORT),
            scenario=plain,
        ),
        Way(name=".05 at every look", looks=SHORT, levels=(ALPHA,) * 3, scenario=plain),
        Way(
            name=".05 at every seed from 5 to 30",
            looks=tuple(range(5, 31)),
            levels=(ALPHA,) * 26,
            scenario=plain,
        ),
    ]


def _rule(
    looks: tuple[int, ...],
    scenario: Scenario,
    *,
    name: str = "declared rule",
    alpha: float = ALPHA,
    test: Literal["trend", "association"] = "trend",
    sesoi: float | None = None,
    lost: float = 0.0,
) -> Way:
    return Way(
        name=name,
        looks=looks,
        levels=levels_at(alpha, looks, looks),
        scenario=scenario,
        alpha=alpha,
        test=test,
        sesoi=sesoi,
        lost=lost,
        declared=True,
    )


def bounds_on_t(looks: Sequence[int]) -> tuple[float, ...]:
    """Return the levels that a t test has whose |t| is held against the rule's normal bounds."""
    levels = look_levels(ALPHA, [look / looks[-1] for look in looks])
    return tuple(
        float(2 * stats.t.sf(stats.norm.isf(level / 2), look - 1))
        for level, look in zip(levels, looks, strict=True)
    )


def erred(way: Way, *, studies: int, seed: int) -> Erred:
    """Simulate one way to look. A look whose test gives no p finds nothing."""
    started = time.process_time()
    rng = way.stream(seed)
    drawn = draw(way.scenario, seeds=way.looks[-1], studies=studies, effect=0.0, rng=rng)
    there = rng.random((studies, way.looks[-1])) >= way.lost
    count = sum(_errs(way, drawn, index, there[index]) for index in range(studies))
    return Erred(
        way=way,
        rate=Rate(count=count, studies=studies),
        seconds=time.process_time() - started,
    )


def _errs(way: Way, drawn: Studies, index: int, there: np.ndarray) -> bool:
    """Whether any look at one study errs."""
    blocks = [np.flatnonzero(there[:look]) for look in way.looks]
    levels = way.levels
    if way.lost:
        levels = levels_at(way.alpha, way.looks, [len(chosen) for chosen in blocks])
    return any(
        _errs_at(way, _tested(way, drawn, index, chosen), level)
        for chosen, level in zip(blocks, levels, strict=True)
        if len(chosen)
    )


def _errs_at(way: Way, found: Estimate, level: float) -> bool:
    if way.sesoi is None:
        return found.p_value is not None and found.p_value <= level
    ruling = rule_estimate(found, alpha=level, sesoi=way.sesoi, sign=1)
    return ruling.verdict is Verdict.NEGLIGIBLE


def _tested(way: Way, drawn: Studies, index: int, blocks: np.ndarray) -> Estimate:
    """Run the primary test on some blocks of a study, all of whose cells are there."""
    x, y = drawn.x[index][:, blocks], drawn.y[index][:, blocks]
    if way.test == "trend":
        return slope_t(Panel(tuple(blocks.tolist()), tuple(DOSES), y.mean(axis=0)))
    block, dose = np.repeat(blocks, LEVELS), np.tile(DOSES, len(blocks))
    first, second = x.reshape(2, -1), y.reshape(2, -1)
    return split_half_within(
        Table(block, dose, first[0], second[1]), Table(block, dose, first[1], second[0])
    )


def _marked(reading: str) -> str:
    """Set in bold where it errs more than it may."""
    return reading.replace(ERRS_TOO_OFTEN, f"**{ERRS_TOO_OFTEN}**")


def table(found: Sequence[Erred]) -> str:
    """All rows as one Markdown table."""
    rows = [
        "| way to look | test | truth | seeds at the looks | may err | errs | reading |",
        "| --- | --- | --- | ---: | ---: | ---: | --- |",
    ]
    for one in found:
        way = one.way
        looks = ", ".join(map(str, way.looks)) if len(way.looks) < 5 else "5, 6, ... 30"
        rows.append(
            f"| {way.name} | {way.test} | {way.scenario.name} | {looks} "
            f"| {f'{way.alpha:g}'.removeprefix('0')} | {one.rate.text()} "
            f"| {_marked(one.reading())} |"
        )
    return "\n".join(rows)
