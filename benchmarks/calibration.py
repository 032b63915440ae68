"""Does every primary test hold its level, and does its interval cover? By simulation.

    make calibrate        (python -m benchmarks.calibration --write docs/calibration.md)

Runs the tests' own code on studies whose truth is known, prints Markdown tables and puts
them between the markers of the file given. Every stream of random numbers follows from the seed
and the row's own name, so a row is the same alone or among others.
"""

import argparse
import platform
import re
import sys
import time
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from multiprocessing import Pool
from pathlib import Path

import numpy as np
import scipy

from analyze.calibration import (
    CASES,
    HOLDS,
    LESS_OFTEN,
    MORE_OFTEN,
    TOO_OFTEN,
    TOO_SELDOM,
    Simulated,
)
from analyze.results import CalibratedCase
from benchmarks import adding_seeds
from benchmarks.calibration_cases import (
    Case,
    SharedCase,
    association_cases,
    contrast_cases,
    mediation_cases,
    negligible_cases,
    shared_cases,
    trend_cases,
)
from benchmarks.rates import Rate
from benchmarks.shared_teachers import (
    draw_shared,
)
from benchmarks.simulated_studies import (
    draw,
)

ALPHAS = (0.05, 0.0125)
TARGET_STUDIES = 4_000
SHARED_SHARE = 2
"""A crossed model takes a hundred times a plain test's time: half as many studies."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """Type I error at each of ``ALPHAS``, coverage of the 95 % interval, seconds of CPU."""

    case: Case | SharedCase
    seeds: int
    rejected: tuple[Rate, ...]
    covered: Rate | None
    seconds: float

    def reading(self) -> str:
        """Say in words where the test is off, by more than 3 Monte Carlo standard errors."""
        sides = [rate.departs(alpha) for rate, alpha in zip(self.rejected, ALPHAS, strict=True)]
        coverage = 0 if self.covered is None else self.covered.departs(0.95)
        words: list[str] = []
        if 1 in sides:
            words.append(TOO_OFTEN)
        elif -1 in sides:
            words.append(LESS_OFTEN)
        if coverage:
            words.append(TOO_SELDOM if coverage < 0 else MORE_OFTEN)
        return "; ".join(words) or HOLDS

    def case_found(self) -> CalibratedCase:
        """Return what reports say of it."""
        return CalibratedCase(
            truth=self.case.scenario.name,
            seeds=self.seeds,
            studies=self.rejected[0].studies,
            rejected=self.rejected[0].share,
            rejected_strict=self.rejected[1].share,
            covered=None if self.covered is None else self.covered.share,
            reading=self.reading(),
        )


def calibrate(case: Case, *, seeds: int, studies: int, seed: int) -> Calibration:
    """Run one case at one number of seeds. A test that gives no p does not reject."""
    started = time.process_time()
    null = draw(
        case.scenario,
        seeds=seeds,
        studies=studies,
        effect=case.null_effect,
        rng=_stream(seed, case, seeds, "null"),
    )
    found = [case.test(null, index) for index in range(studies)]
    covered = _coverage(case, seeds=seeds, studies=studies, seed=seed)
    return Calibration(
        case=case,
        seeds=seeds,
        rejected=tuple(
            Rate(count=sum(case.errs(one, alpha) for one in found), studies=studies)
            for alpha in ALPHAS
        ),
        covered=covered,
        seconds=time.process_time() - started,
    )


def calibrate_shared(case: SharedCase, *, studies: int, seed: int) -> Calibration:
    """Run one case of shared teachers. A test that gives no p does not reject."""
    started = time.process_time()
    seeds = case.sizes[0]
    rng = _stream(seed, case, seeds, "null")
    found = [
        case.test(*draw_shared(case.scenario, case.sharing, rng)).p_value for _ in range(studies)
    ]
    return Calibration(
        case=case,
        seeds=seeds,
        rejected=tuple(
            Rate(count=sum(p is not None and p <= alpha for p in found), studies=studies)
            for alpha in ALPHAS
        ),
        covered=None,
        seconds=time.process_time() - started,
    )


def _coverage(case: Case, *, seeds: int, studies: int, seed: int) -> Rate | None:
    """Count intervals that hold the target; a test that gives no interval does not cover."""
    if case.target is None or case.planted is None:
        return None
    many, planted = (
        draw(
            case.planted,
            seeds=seeds,
            studies=number,
            effect=case.planted_effect,
            rng=_stream(seed, case, seeds, purpose),
        )
        for number, purpose in ((TARGET_STUDIES, "target"), (studies, "planted"))
    )
    truth = case.target(many)
    found = [case.test(planted, index).interval for index in range(studies)]
    count = sum(one is not None and one.low <= truth <= one.high for one in found)
    return Rate(count=count, studies=studies)


def _stream(seed: int, case: Case | SharedCase, seeds: int, purpose: str) -> np.random.Generator:
    name = f"{case.title}/{case.scenario.name}/{purpose}"
    return np.random.default_rng([seed, seeds, zlib.crc32(name.encode())])


def report(*, studies: int, seed: int, jobs: int) -> tuple[str, Simulated]:
    """All tables as Markdown, and the cases of each test and of the rule for adding seeds."""
    parts: dict[str, list[Case] | list[SharedCase]] = {
        "Trends: `per_seed_slope_t`": trend_cases(),
        "Associations: `split_half_within_cr2` and `two_way_within_cr2`": association_cases(),
        "Mediation: `mediation_joint`": mediation_cases(),
        "Negligible: what is called so although just as large as the SESOI": negligible_cases(),
        "For contrast: tests that are printed beside, never in place of, the primary ones": (
            contrast_cases()
        ),
        f"Shared teachers: {studies // SHARED_SHARE:,} simulated studies a rate": shared_cases(),
    }
    with Pool(jobs) as pool:
        found = {
            title: list(
                pool.imap(_one, [(case, n, studies, seed) for case in cases for n in case.sizes])
            )
            for title, cases in parts.items()
        }
        grown = list(pool.imap(_one_way, [(way, studies, seed) for way in adding_seeds.ways()]))
    spent = sum(one.seconds for rows in [*found.values(), grown] for one in rows)
    made = (
        f"{studies:,} simulated studies a rate, seed {seed}, Python {platform.python_version()}, "
        f"NumPy {np.__version__}, SciPy {scipy.__version__}; {spent / 60:.0f} minutes of one core."
    )
    tables = {title: _table(rows) for title, rows in found.items()}
    tables["Adding seeds: looks at a study that grows"] = adding_seeds.table(grown)
    text = "\n\n".join([made, *(f"### {title}\n\n{text}" for title, text in tables.items())])
    return text, by_test([one for rows in found.values() for one in rows], grown)


def by_test(found: Iterable[Calibration], grown: Iterable[adding_seeds.Erred]) -> Simulated:
    """Sort what was found by test, that of the declared rule for adding seeds last.

    Tests that read no claim, and those that are not made for shared teachers, are left out.
    """
    beside = {case.title for case in contrast_cases()}
    cases: dict[str, list[CalibratedCase]] = {}
    for one in found:
        if one.case.title in beside or (isinstance(one.case, SharedCase) and one.case.misused):
            continue
        cases.setdefault(one.case.title, []).append(one.case_found())
    cases["group_sequential"] = [one.case_found() for one in grown if one.way.declared]
    return {test: tuple(each) for test, each in cases.items()}


def _one(row: tuple[Case | SharedCase, int, int, int]) -> Calibration:
    case, seeds, studies, seed = row
    if isinstance(case, SharedCase):
        found = calibrate_shared(case, studies=studies // SHARED_SHARE, seed=seed)
    else:
        found = calibrate(case, seeds=seeds, studies=studies, seed=seed)
    print(f"{case.title}, {case.scenario.name}, {seeds}: {found.reading()}", file=sys.stderr)
    return found


def _one_way(row: tuple[adding_seeds.Way, int, int]) -> adding_seeds.Erred:
    way, studies, seed = row
    found = adding_seeds.erred(way, studies=adding_seeds.TIMES * studies, seed=seed)
    print(f"{way.name}, {way.scenario.name}: {found.reading()}", file=sys.stderr)
    return found


def _table(found: list[Calibration]) -> str:
    rows = [
        "| test | truth | seeds | type I error at .05 | at .0125 | coverage of 95 % | reading |",
        "| --- | --- | ---: | ---: | ---: | ---: | --- |",
    ]
    for one in found:
        rejected = " | ".join(rate.text() for rate in one.rejected)
        covered = one.covered.text() if one.covered else "–"
        rows.append(
            f"| `{one.case.title}` | {one.case.scenario.name} | {one.seeds} | {rejected} "
            f"| {covered} | {_marked(one.reading())} |"
        )
    return "\n".join(rows)


def _marked(reading: str) -> str:
    """Set in bold where a test errs more than it may."""
    for words in (TOO_OFTEN, TOO_SELDOM):
        reading = reading.replace(words, f"**{words}**")
    return reading


def main() -> None:
    parser = argparse.ArgumentParser(description="Type I error and coverage, by simulation.")
    parser.add_argument("--seed", type=int, default=20)
    parser.add_argument("--studies", type=int, default=2000, help="simulated studies a rate")
    parser.add_argument("--jobs", type=int, default=1, help="processes, one core each")
    parser.add_argument("--write", type=Path, help="file with the markers to write between")
    parser.add_argument("--data", type=Path, help="file for what reports say of the tests")
    chosen = parser.parse_args()
    text, cases = report(studies=chosen.studies, seed=chosen.seed, jobs=chosen.jobs)
    print(text)
    if chosen.data:
        chosen.data.write_bytes(CASES.dump_json(cases, indent=1) + b"\n")
    if chosen.write:
        between = re.compile(r"(<!-- simulated -->\n).*(\n<!-- end -->)", flags=re.DOTALL)
        page = chosen.write.read_text(encoding="utf-8")
        chosen.write.write_text(
            between.sub(lambda marks: marks[1] + text + marks[2], page), encoding="utf-8"
        )


if __name__ == "__main__":
    main()
