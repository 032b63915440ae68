"""How long does the analysis of a thousand replicates take? CPU seconds, part by part.

    python -m benchmarks.analysis --write docs/benchmarks.md

100 seeds, 5 strengths and 2 arms are 1,000 students. Every test runs with all its resampling
(99,999 sign flips, 9,999 bootstrap draws, 500 resampled studies for each number of seeds looked
at). One process, one thread: CPU time is what counts on a machine that does other things too.
"""

import argparse
import os
import platform
import re
import statistics
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from analyze.assemble import assemble
from analyze.inference.associations import (
    split_half_reliability,
    split_half_within,
    split_halves,
    two_way_within,
    two_way_within_ols,
)
from analyze.inference.bayes import jzs_sensitivity
from analyze.inference.bootstrap import wild_cluster
from analyze.inference.cells import paired_contrasts
from analyze.inference.correlations import correlate
from analyze.inference.estimate import Panel, Table
from analyze.inference.mediation import mediate
from analyze.inference.mixed import mixed_slope
from analyze.inference.mundlak import mundlak
from analyze.inference.omnibus import friedman, games_howell, welch_anova
from analyze.inference.trends import (
    page_trend,
    per_seed_slopes,
    polynomial_contrasts,
    sign_flip,
    slope_t,
    wilcoxon_hodges_lehmann,
)
from analyze.inference.within_diagnostics import within_diagnostics
from analyze.resample import resample_within
from analyze.results import Results
from analyze.seeds import seeds_to_decide
from analyze.trend_beside import trend_diagnostics
from benchmarks.simulated_studies import DOSES, LEVELS, Scenario, draw
from tests.analyze.simulated import Truth, simulate, study

SEEDS = 100
REPEATS = 3
DRAWN = Scenario(name="common cause, slopes vary by 0.5 SD", on_x=-1, on_y=-1, slope_sd=0.5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One function of the analysis, and the test whose lines of evidence count its calls."""

    name: str
    call: Callable[[], object]
    counted_by: str


def parts() -> list[Part]:
    """Every part on data of the study's size."""
    rng = np.random.default_rng(1)
    drawn = draw(DRAWN, seeds=SEEDS, studies=1, effect=0.0, rng=rng)
    block, dose = np.repeat(np.arange(SEEDS), LEVELS), np.tile(DOSES, SEEDS)
    (x_a, x_b), (y_a, y_b) = drawn.x[0].reshape(2, -1), drawn.y[0].reshape(2, -1)
    halves = Table(block, dose, x_a, y_b), Table(block, dose, x_b, y_a)
    whole = Table(block, dose, (x_a + x_b) / 2, (y_a + y_b) / 2)
    panel = Panel(tuple(range(SEEDS)), tuple(DOSES), drawn.y[0].mean(axis=0))
    return [*_trend_parts(panel, whole, rng), *_association_parts(whole, halves, rng)]


def _trend_parts(panel: Panel, rows: Table, rng: np.random.Generator) -> list[Part]:
    calls: dict[str, Callable[[], object]] = {
        "slope per seed": lambda: slope_t(panel),
        "Page's trend test": lambda: page_trend(panel, -1, generator=rng),
        "sign flips": lambda: sign_flip(panel, generator=rng),
        "signed ranks": lambda: wilcoxon_hodges_lehmann(panel),
        "mixed model": lambda: mixed_slope(rows),
        "polynomial contrasts": lambda: polynomial_contrasts(panel),
        "Bayes factors": lambda: jzs_sensitivity(per_seed_slopes(panel)),
        "cells": lambda: [paired_contrasts(panel, sesoi=0.1) for _ in panel.doses[1:]],
        "Friedman and Welch": lambda: (friedman(panel), welch_anova(panel)),
        "diagnostics": lambda: trend_diagnostics(panel, rows),
    }
    pairs = Part(
        name="all pairs of strengths (Games-Howell)",
        call=lambda: games_howell(panel),
        counted_by="games_howell_1_against_0",
    )
    return [
        *(Part(name=name, call=call, counted_by="page_trend") for name, call in calls.items()),
        pairs,
    ]


def _association_parts(
    whole: Table, halves: tuple[Table, Table], rng: np.random.Generator
) -> list[Part]:
    search, primary = resample_within(halves), split_half_within(*halves)
    assert search is not None
    calls: dict[str, tuple[Callable[[], object], str]] = {
        "split-half association": (lambda: split_half_within(*halves), "split_half_within_cr2"),
        "its reliability": (lambda: split_half_reliability(*halves), "split_half_reliability"),
        "association on all images": (lambda: two_way_within(whole), "two_way_within_cr2"),
        "association, ordinary t": (lambda: two_way_within_ols(whole), "two_way_within_ols"),
        "wild cluster bootstrap": (
            lambda: wild_cluster(split_halves(*halves), rng),
            "wild_cluster_bootstrap",
        ),
        "five correlations": (lambda: correlate(whole), "correlation_pooled"),
        "diagnostics of an association": (
            lambda: within_diagnostics(
                whole, halves, primary, lambda two: split_half_within(*two), names=range(SEEDS)
            ),
            "diagnostic_residual_spread",
        ),
        "Mundlak regression": (lambda: mundlak(whole), "mundlak_within"),
        "mediation": (lambda: mediate(*halves, rng=rng), "mediation_joint"),
        "seeds that would decide (association)": (
            lambda: seeds_to_decide(SEEDS, search, alpha=0.0125, sesoi=1e-6, seed=1),
            "undecided",
        ),
    }
    return [Part(name=name, call=call, counted_by=test) for name, (call, test) in calls.items()]


def cpu_seconds(call: Callable[[], object]) -> float:
    """Median over ``REPEATS`` runs, after one that is not counted."""
    call()
    taken: list[float] = []
    for _ in range(REPEATS):
        started = time.process_time()
        call()
        taken.append(time.process_time() - started)
    return statistics.median(taken)


def counts_of(results: Results) -> Counter[str]:
    """Lines of evidence by test, and outcomes for which more seeds were looked for."""
    counted = Counter(item.test for finding in results.findings for item in finding.evidence)
    counted.update(item.test for mediation in results.mediation for item in mediation.evidence)
    counted["undecided"] = sum(
        finding.deciding and outcome.verdict == "undecided"
        for finding in results.findings
        for outcome in finding.outcomes
    )
    return counted


def report() -> str:
    """The table as Markdown."""
    design = study(seeds=SEEDS)
    stored = simulate(design, Truth())
    counted = counts_of(assemble(design, stored))
    total = cpu_seconds(lambda: assemble(design, stored))
    strengths = {teacher.strength for teacher in design.plan().teachers}
    lines = [
        f"{stored.students.height:,} students of {SEEDS} seeds, {len(strengths)} "
        f"strengths and {len(design.design.claim_arms)} arms. {_machine()}.",
        "",
        "| part | a call, CPU ms | calls in the study | CPU s |",
        "| --- | ---: | ---: | ---: |",
    ]
    for part in parts():
        each, calls = cpu_seconds(part.call), counted[part.counted_by]
        lines.append(f"| {part.name} | {1000 * each:.1f} | {calls} | {each * calls:.2f} |")
    lines.append(f"| **the whole analysis** | | | **{total:.1f}** |")
    return "\n".join(lines)


def _machine() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*: (.*)", cpuinfo.read_text()) if cpuinfo.exists() else None
    name = found[1] if found else platform.processor() or platform.machine()
    return f"{name}, {os.cpu_count()} cores; Python {platform.python_version()}, one thread"


def main() -> None:
    parser = argparse.ArgumentParser(description="CPU time of an analysis of 1,000 students.")
    parser.add_argument("--write", type=Path, help="file with the markers to write between")
    chosen = parser.parse_args()
    text = report()
    print(text)
    if chosen.write:
        between = re.compile(r"(<!-- analysis -->\n).*(\n<!-- end analysis -->)", flags=re.DOTALL)
        page = chosen.write.read_text(encoding="utf-8")
        chosen.write.write_text(
            between.sub(lambda marks: marks[1] + text + marks[2], page), encoding="utf-8"
        )


if __name__ == "__main__":
    main()
