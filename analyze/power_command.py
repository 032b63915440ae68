"""``python -m analyze power``: how many seeds a study needs, from a pilot or given variances.

Only here are paths, processes and the clock.
"""

import argparse
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import Pool
from pathlib import Path
from typing import Final, Literal, TextIO

import polars as pl

from analyze.outputs import TERMINAL, check_outputs, save_output
from analyze.power import Mapper, find_seeds
from analyze.power_looks import simulate_looks
from analyze.power_options import (
    check_numbers,
    claim_of,
    claims_chosen,
    family_of,
    flag_of,
    looks_of,
    number_of,
    numbers_of_seeds,
    refuse,
    strengths_of,
    times_sesoi_of,
)
from analyze.power_page import power_page
from analyze.power_pilot import Pilot, pilot_of_study, pilot_of_table
from analyze.power_plan import Plan, PlannedClaim, PlannedPart
from analyze.power_results import power_json, results_of
from analyze.power_text import power_lines
from analyze.power_truth import GivenAssociations, GivenTrends, Truth
from analyze.replicates import Stored
from analyze.table_command import read_table, where_of
from analyze.table_results import Claims
from analyze.table_rows import Columns, runs_of
from store.conditions import DoseResponse, Factorial
from store.database import Reader, open_reader
from store.design import Design
from store.errors import AnalysisError
from store.study_file import design_from_declaration, load_design

_QUIET: Final = 10.0
"""Seconds between lines of progress where the terminal cannot redraw one."""
_OF_STUDY: Final = ("study",)
_OF_TABLE: Final = (
    "block",
    "dose",
    "outcome",
    "predictor",
    "arm",
    "query",
    "expected",
    "predictor_expected",
    "predictor_sesoi",
    "association_expected",
    "association_sesoi",
)
_GIVEN: Final = (
    "strengths",
    "residual_sd",
    "slope_sd",
    "predictor_sd",
    "predictor_slope_sd",
    "reliability",
    "outcome_reliability",
)

Kind = Literal["study", "table", "given"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """What to simulate. looks: by the rule for adding seeds; none where there is no rule."""

    kind: Kind
    source: str
    plan: Plan
    truth: Truth
    pilot: tuple[int, int] | None
    times_sesoi: float | None
    looks: tuple[int, ...]


def run_power(options: argparse.Namespace) -> None:
    """Simulate and write what was asked for. Raises UserError, having written nothing."""
    check_numbers(options)
    check_outputs([options.json, options.html], read=options.pilot, what="the pilot itself")
    asked = _asked(options)
    progress = Progress()
    with _mapper(options.jobs) as mapper:
        claims = find_seeds(asked.plan, asked.truth, mapper=mapper, watch=progress.show)
        looks = (
            simulate_looks(asked.plan, asked.truth, asked.looks, mapper=mapper, watch=progress.show)
            if asked.looks
            else None
        )
    progress.end()
    results = results_of(
        asked.plan,
        claims,
        source=asked.source,
        kind=asked.kind,
        pilot=asked.pilot,
        times_sesoi=asked.times_sesoi,
        looks=looks,
    )
    text = power_json(results)
    page = power_page(results) if options.html else ""
    if options.json and str(options.json) != TERMINAL:
        save_output(options.json, text)
    if options.html:
        save_output(options.html, page)
    on_terminal = str(options.json) == TERMINAL
    sys.stdout.write(text if on_terminal else "\n".join(power_lines(results)) + "\n")


class Progress:
    """One line on standard error: what is simulated, how far, how fast, how long still."""

    def __init__(
        self, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._stream = stream or sys.stderr
        self._clock = clock
        self._began = self._shown = clock()
        self._open = False

    def show(self, what: str, done: int, total: int) -> None:
        """Redraw the line, or write one every ten seconds where it cannot be redrawn."""
        now = self._clock()
        if done == 0:
            self._began = now
        if self._stream.isatty():
            self._stream.write(f"\r\x1b[K{self.line(what, done, total)}")
            self._open = True
        elif now - self._shown >= _QUIET:
            self._shown = now
            self._stream.write(self.line(what, done, total) + "\n")
        self._stream.flush()

    def line(self, what: str, done: int, total: int) -> str:
        """Return the line as it stands now."""
        text = f"simulating {what}: {done}/{total} studies"
        span = self._clock() - self._began
        if not done or done == total or span <= 0:
            return text
        rate = done / span
        return f"{text}, {rate:.0f} a second, {(total - done) / rate:.0f} s left"

    def end(self) -> None:
        """Take the line away."""
        if self._open:
            self._stream.write("\r\x1b[K")
            self._stream.flush()


@contextmanager
def _mapper(jobs: int) -> Generator[Mapper]:
    """Work off portions here, or in several processes."""
    if jobs == 1:
        yield map
        return
    with Pool(jobs) as pool:
        yield pool.imap


def _asked(options: argparse.Namespace) -> _Asked:
    if options.pilot is None:
        return _given(options)
    if options.outcome is None and options.query is None and _is_database(options.pilot):
        return _of_study(options)
    return _of_table(options)


def _of_study(options: argparse.Namespace) -> _Asked:
    """Take a study's store as the pilot, by its own declaration or a study file's."""
    refuse(options, (*_OF_TABLE, *_GIVEN), "the pilot is a study's store")
    if options.sesoi is not None:
        raise AnalysisError(
            "--sesoi: the study declares one for each claim; change a copy of its file and name "
            "it with --study"
        )
    times = times_sesoi_of(options.effect)
    with open_reader(options.pilot) as reader:
        row = reader.frame("SELECT declaration, classes FROM study").row(0, named=True)
        declared = design_from_declaration(row["declaration"], source=str(options.pilot))
        stored = _stored(reader, classes=int(row["classes"]))
    design = _same_study(load_design(options.study), declared) if options.study else declared
    pilot = pilot_of_study(design, stored, chosen=claims_chosen(options.claims), times_sesoi=times)
    looks = looks_of(options) or design.adding_seeds.looks
    return _from_pilot(options, pilot, "study", _named(design), times, tuple(looks))


def _named(design: Design) -> str:
    """Name a study, and what of it is planned for where it has more than claims."""
    layout = design.design
    if isinstance(layout, DoseResponse):
        return design.study
    contrasts = "; contrasts are not planned for" if isinstance(layout, Factorial) else ""
    return f"{design.study} (claims in arm {layout.main_arm}{contrasts})"


def _stored(reader: Reader, *, classes: int) -> Stored:
    """Read the replicates; what only explains why values are missing stays where it is."""
    return Stored(
        students=reader.frame("SELECT * FROM measures ORDER BY student_id"),
        halves=reader.frame("SELECT * FROM measures_by_half ORDER BY student_id, half"),
        models=reader.frame("SELECT * FROM model ORDER BY model_id"),
        estimates=pl.DataFrame(),
        contingency=pl.DataFrame(),
        images=0,
        classes=classes,
    )


def _same_study(named: Design, declared: Design) -> Design:
    """Return the study file's design. Raises AnalysisError where the store is another study's."""
    for name, found, made in (
        ("study", named.study, declared.study),
        ("attention.primary", named.attention.primary, declared.attention.primary),
        ("attention.tau", named.attention.tau, declared.attention.tau),
    ):
        if found != made:
            raise AnalysisError(
                f"--study: {name} is {found}, but the store was made with {made}: its measures "
                "are those of another study"
            )
    return named


def _of_table(options: argparse.Namespace) -> _Asked:
    """Take any table of runs as the pilot."""
    refuse(options, (*_OF_STUDY, *_GIVEN, "claims"), "the pilot is a table of runs")
    for name in ("block", "dose", "outcome"):
        if getattr(options, name) is None:
            raise AnalysisError(
                f"{options.pilot}: a table of runs: name its columns with --block, --dose and "
                f"--outcome ({flag_of(name)} is missing)"
            )
    times = times_sesoi_of(options.effect)
    columns = Columns(
        block=options.block,
        dose=options.dose,
        outcome=options.outcome,
        predictor=options.predictor,
        where=tuple(where_of(text) for text in options.arm or ()),
    )
    claims = Claims(
        trend=claim_of(options, "", asked=True),
        predictor_trend=claim_of(options, "predictor_", asked=options.predictor is not None),
        association=claim_of(options, "association_", asked=options.predictor is not None),
    )
    source = options.pilot.name
    runs = runs_of(read_table(options.pilot, options.query), columns, source=source)
    pilot = pilot_of_table(runs, columns, claims, times_sesoi=times)
    return _from_pilot(options, pilot, "table", source, times, looks_of(options))


def _from_pilot(
    options: argparse.Namespace,
    pilot: Pilot,
    kind: Kind,
    source: str,
    times: float | None,
    looks: tuple[int, ...],
) -> _Asked:
    also = (pilot.blocks,)
    return _Asked(
        kind=kind,
        source=source,
        plan=_plan(options, pilot.claims, also=(*also, *looks[-1:])),
        truth=pilot.truth,
        pilot=(pilot.blocks, pilot.stored),
        times_sesoi=times,
        looks=looks,
    )


def _given(options: argparse.Namespace) -> _Asked:
    """Take variances as given: of a trend, or of an association where a predictor has one."""
    refuse(options, (*_OF_TABLE, *_OF_STUDY), "without a pilot variances are given")
    for name in ("strengths", "residual_sd", "effect", "sesoi"):
        if getattr(options, name) is None:
            raise AnalysisError(
                f"{flag_of(name)} is missing: without a pilot, give --strengths, --residual-sd, "
                "--effect and --sesoi"
            )
    effect = number_of(options.effect, "--effect", "the true slope, a number")
    if effect == 0:
        raise AnalysisError(
            "--effect 0: must not be 0; power where there is no effect is printed anyway"
        )
    association = options.predictor_sd is not None
    if not association:
        refuse(
            options,
            ("predictor_slope_sd", "reliability", "outcome_reliability"),
            "a trend has no predictor; give --predictor-sd for an association",
        )
    family = family_of(options.claims)
    doses = strengths_of(options.strengths)
    if association:
        truth = GivenAssociations(
            doses=doses,
            predictor_sd=options.predictor_sd,
            residual_sd=options.residual_sd,
            predictor_slope_sd=options.predictor_slope_sd or 0.0,
            slope_sd=options.slope_sd or 0.0,
            reliability=options.reliability,
            outcome_reliability=1.0
            if options.outcome_reliability is None
            else options.outcome_reliability,
            claims=family,
        )
        shown = truth.shown()
    else:
        truth = GivenTrends(
            doses=doses,
            residual_sd=options.residual_sd,
            slope_sd=options.slope_sd or 0.0,
            claims=family,
        )
        shown = 1.0
    claim = PlannedClaim(
        id="association" if association else "trend",
        statement="outcome with predictor" if association else "outcome over strength",
        sign=1 if effect > 0 else -1,
        parts=(
            PlannedPart(
                outcome="outcome",
                predictor="predictor" if association else "strength",
                unit="per unit of predictor" if association else "per unit of strength",
                sesoi=options.sesoi,
                effect=effect * shown,
                reliability=shown if options.reliability is not None else None,
            ),
        ),
    )
    return _Asked(
        kind="given",
        source=f"Variances as given, strengths {', '.join(f'{dose:g}' for dose in doses)}",
        plan=_plan(options, (claim,) * family, also=looks_of(options)[-1:]),
        truth=truth,
        pilot=None,
        times_sesoi=None,
        looks=looks_of(options),
    )


def _plan(
    options: argparse.Namespace, claims: tuple[PlannedClaim, ...], *, also: tuple[int, ...]
) -> Plan:
    wanted = {*also, *numbers_of_seeds(options.seeds, "--seeds")}
    return Plan(
        claims=claims,
        alpha=options.alpha,
        power=options.power,
        studies=options.simulations,
        seed=options.seed,
        most=max(options.max_seeds, *wanted) if wanted else options.max_seeds,
        also=tuple(sorted(wanted)),
    )


def _is_database(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(12)[8:12] == b"DUCK"
    except OSError as error:
        raise AnalysisError(f"{path}: cannot be read: {error.strerror}") from None
