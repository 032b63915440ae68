"""``python -m analyze power``: how many seeds a study needs, from a pilot or given variances.

Only here are paths, processes and the clock.
"""

import argparse
import math
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import Pool
from pathlib import Path
from typing import Final, Literal, TextIO

import polars as pl

from analyze.decide import ALPHA, MINIMUM_SEEDS
from analyze.hypotheses import Direction
from analyze.outputs import TERMINAL, check_outputs, save_output
from analyze.power import Mapper, Plan, PlannedClaim, PlannedPart, find_seeds
from analyze.power_looks import simulate_looks
from analyze.power_page import power_page
from analyze.power_pilot import Pilot, pilot_of_study, pilot_of_table
from analyze.power_results import power_json, results_of
from analyze.power_text import power_lines
from analyze.power_truth import GivenAssociations, GivenTrends, Truth
from analyze.replicates import Stored
from analyze.table import Claim, Claims
from analyze.table_command import read_table, where_of
from analyze.table_rows import Columns, runs_of
from store.database import Reader, open_reader
from store.design import Design, design_from_declaration, load_design
from store.errors import AnalysisError

_QUIET: Final = 10.0
"""Seconds between lines of progress where the terminal cannot redraw one."""
_OBSERVED: Final = "observed"
_LARGEST: Final = 1e100
_DIGITS: Final = 8
_MOST_SEEDS: Final = 10_000
_FEWEST_STUDIES: Final = 20
_MOST_STUDIES: Final = 1_000_000
_MOST_JOBS: Final = 256
_MOST_CLAIMS: Final = 100

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
    _check_numbers(options)
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
    _refuse(options, (*_OF_TABLE, *_GIVEN), "the pilot is a study's store")
    if options.sesoi is not None:
        raise AnalysisError(
            "--sesoi: the study declares one for each claim; change a copy of its file and name "
            "it with --study"
        )
    times = _times_sesoi(options.effect)
    with open_reader(options.pilot) as reader:
        row = reader.frame("SELECT declaration, classes FROM study").row(0, named=True)
        declared = design_from_declaration(row["declaration"], source=str(options.pilot))
        stored = _stored(reader, classes=int(row["classes"]))
    design = _same_study(load_design(options.study), declared) if options.study else declared
    pilot = pilot_of_study(design, stored, chosen=_chosen(options.claims), times_sesoi=times)
    looks = _looks(options) or design.adding_seeds.looks
    return _from_pilot(options, pilot, "study", design.study, times, tuple(looks))


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
    _refuse(options, (*_OF_STUDY, *_GIVEN, "claims"), "the pilot is a table of runs")
    for name in ("block", "dose", "outcome"):
        if getattr(options, name) is None:
            raise AnalysisError(
                f"{options.pilot}: a table of runs: name its columns with --block, --dose and "
                f"--outcome ({_flag(name)} is missing)"
            )
    times = _times_sesoi(options.effect)
    columns = Columns(
        block=options.block,
        dose=options.dose,
        outcome=options.outcome,
        predictor=options.predictor,
        where=tuple(where_of(text) for text in options.arm or ()),
    )
    claims = Claims(
        trend=_claim(options, "", asked=True),
        predictor_trend=_claim(options, "predictor_", asked=options.predictor is not None),
        association=_claim(options, "association_", asked=options.predictor is not None),
    )
    source = options.pilot.name
    runs = runs_of(read_table(options.pilot, options.query), columns, source=source)
    pilot = pilot_of_table(runs, columns, claims, times_sesoi=times)
    return _from_pilot(options, pilot, "table", source, times, _looks(options))


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
    _refuse(options, (*_OF_TABLE, *_OF_STUDY), "without a pilot variances are given")
    for name in ("strengths", "residual_sd", "effect", "sesoi"):
        if getattr(options, name) is None:
            raise AnalysisError(
                f"{_flag(name)} is missing: without a pilot, give --strengths, --residual-sd, "
                "--effect and --sesoi"
            )
    effect = _number(options.effect, "--effect", "the true slope, a number")
    if effect == 0:
        raise AnalysisError(
            "--effect 0: must not be 0; power where there is no effect is printed anyway"
        )
    association = options.predictor_sd is not None
    if not association:
        _refuse(
            options,
            ("predictor_slope_sd", "reliability", "outcome_reliability"),
            "a trend has no predictor; give --predictor-sd for an association",
        )
    family = _family(options.claims)
    doses = _strengths(options.strengths)
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
        plan=_plan(options, (claim,) * family, also=_looks(options)[-1:]),
        truth=truth,
        pilot=None,
        times_sesoi=None,
        looks=_looks(options),
    )


def _plan(
    options: argparse.Namespace, claims: tuple[PlannedClaim, ...], *, also: tuple[int, ...]
) -> Plan:
    wanted = {*also, *_numbers_of_seeds(options.seeds, "--seeds")}
    return Plan(
        claims=claims,
        alpha=options.alpha,
        power=options.power,
        studies=options.simulations,
        seed=options.seed,
        most=max(options.max_seeds, *wanted) if wanted else options.max_seeds,
        also=tuple(sorted(wanted)),
    )


def add_power_parser(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",  # pyright: ignore[reportPrivateUsage]
) -> None:
    """Add the command's arguments."""
    parser = commands.add_parser(
        "power",
        help="how many seeds a study needs, from a pilot or from given variances",
        usage="python -m analyze power [PILOT] [options]",
        description="Find how many seeds each claim needs, by simulating studies and testing "
        "them as they will be tested. PILOT is a study's store or any table of runs; without one, "
        "variances are given.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="""examples:
  python -m analyze power results/digits/store.duckdb --html power.html
  python -m analyze power results/digits/store.duckdb --claims H1,H2a --looks 8,16,24
  python -m analyze power runs.csv --block seed --dose strength --outcome gap --sesoi .02
  python -m analyze power --strengths 0,.25,.5,.75,1 --residual-sd .02 --slope-sd .01 \\
      --effect .03 --sesoi .01 --claims 4 --seeds 12,20
docs/power.md has more""",
    )
    parser.add_argument(
        "pilot",
        type=Path,
        nargs="?",
        metavar="PILOT",
        help="a study's store.duckdb, or a table of runs: CSV, Parquet, DuckDB with --query",
    )
    _add_common(parser)
    _add_pilot(parser)
    _add_given(parser)


def _add_common(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--power", type=float, default=0.8, metavar="SHARE", help="wanted; default .8")
    add(
        "--effect",
        metavar="SIZE",
        help="the truth to plan for. Of a pilot: how many times the SESOI (default 1), or "
        "'observed', the pilot's own estimate. Without one: the slope itself",
    )
    add(
        "--sesoi", type=float, metavar="SIZE", help="smallest slope of interest; of a store its own"
    )
    add(
        "--claims",
        metavar="WHICH",
        help="of a store: the claims to plan for, as H1,H2a (default all); without a pilot: how "
        "many claims share the error rate (default 1)",
    )
    add(
        "--alpha",
        type=float,
        default=ALPHA,
        metavar="RATE",
        help=f"error rate over the claims; default {ALPHA:g}",
    )
    add(
        "--looks",
        metavar="SEEDS",
        help="numbers of seeds, as 8,16,24: power of the group-sequential rule with these looks; "
        "of a store that declares the rule, its own",
    )
    add("--seeds", metavar="SEEDS", help="numbers of seeds whose power to print too, as 12,20")
    add(
        "--max-seeds",
        type=int,
        default=100,
        metavar="N",
        help="the largest number to look at; default 100",
    )
    add(
        "--simulations",
        type=int,
        default=400,
        metavar="N",
        help="simulated studies for each number of seeds; default 400",
    )
    add("--seed", type=int, default=0, metavar="N", help="of the random numbers; default 0")
    add("--jobs", type=int, default=1, metavar="N", help="processes; default 1")
    add("--json", type=Path, metavar="OUT", help="write JSON; - prints it instead")
    add("--html", type=Path, metavar="OUT", help="write one self-contained page with the figure")


def _add_pilot(parser: argparse.ArgumentParser) -> None:
    study = parser.add_argument_group("a study's store as the pilot")
    study.add_argument(
        "--study",
        type=Path,
        metavar="FILE",
        help="take claims and SESOI from this study file, not from what the store was built with",
    )
    table = parser.add_argument_group("a table of runs as the pilot (as python -m analyze table)")
    for name, words in (
        ("block", "the seed, the unit"),
        ("dose", "what was varied, a number"),
        ("outcome", "what was measured"),
        ("predictor", "what may go with the outcome: adds its trend and the association"),
    ):
        table.add_argument(f"--{name}", metavar="COLUMN", help=words)
    table.add_argument(
        "--arm",
        action="append",
        metavar="COLUMN=VALUE",
        help="take only such rows; may be given more than once",
    )
    table.add_argument("--query", metavar="SQL", help="of a DuckDB file: a query that gives rows")
    for prefix in ("", "predictor-", "association-"):
        table.add_argument(
            f"--{prefix}expected",
            choices=[str(one) for one in Direction],
            help="the direction claimed; without it, either will do",
        )
        if prefix:
            table.add_argument(
                f"--{prefix}sesoi", type=float, metavar="SIZE", help="needed with --predictor"
            )


def _add_given(parser: argparse.ArgumentParser) -> None:
    given = parser.add_argument_group("variances as given (standard deviations)")
    given.add_argument(
        "--strengths", metavar="LIST", help="what each seed is run at, as 0,.25,.5,.75,1"
    )
    for name, words in (
        (
            "residual-sd",
            "of the outcome at one seed and strength, beyond seed and trend; of an "
            "association, beyond the predictor too",
        ),
        ("slope-sd", "over seeds, of the outcome's slope on strength; default 0"),
        ("predictor-sd", "of the predictor at one seed and strength: makes it an association"),
        ("predictor-slope-sd", "over seeds, of the predictor's slope on strength; default 0"),
        (
            "reliability",
            "share of --predictor-sd squared that both halves of the test images "
            "show; without it, one set of images serves both measures",
        ),
        ("outcome-reliability", "the same of --residual-sd; default 1"),
    ):
        given.add_argument(f"--{name}", type=float, metavar="SD", help=words)


def _check_numbers(options: argparse.Namespace) -> None:
    """Refuse numbers that mean nothing, by their flag."""
    for name in ("power", "alpha"):
        value: float = getattr(options, name)
        if not 0 < value < 1:
            raise AnalysisError(f"{_flag(name)} {value:g}: must be above 0 and below 1")
    if options.power <= options.alpha:
        raise AnalysisError(
            f"--power {options.power:g}: must be above the error rate, {options.alpha:g}"
        )
    for name, least, largest in (
        ("max_seeds", MINIMUM_SEEDS, _MOST_SEEDS),
        ("simulations", _FEWEST_STUDIES, _MOST_STUDIES),
        ("jobs", 1, _MOST_JOBS),
        ("seed", 0, 2**63),
    ):
        count: int = getattr(options, name)
        if not least <= count <= largest:
            raise AnalysisError(f"{_flag(name)} {count}: must be between {least} and {largest}")
    for name in ("residual_sd", "predictor_sd", "sesoi", "predictor_sesoi", "association_sesoi"):
        _check_size(options, name, zero=False)
    for name in ("slope_sd", "predictor_slope_sd"):
        _check_size(options, name, zero=True)
    for name in ("reliability", "outcome_reliability"):
        share: float | None = getattr(options, name)
        if share is not None and not 0 <= share <= 1:
            raise AnalysisError(f"{_flag(name)} {share:g}: must be between 0 and 1")
    if options.reliability is None and options.outcome_reliability is not None:
        raise AnalysisError("--outcome-reliability: without --reliability there are no halves")
    _looks(options)
    _numbers_of_seeds(options.seeds, "--seeds")


def _check_size(options: argparse.Namespace, name: str, *, zero: bool) -> None:
    value: float | None = getattr(options, name)
    if value is None or 0 < value <= _LARGEST or (zero and value == 0):
        return
    least = "0 or more" if zero else "above 0"
    raise AnalysisError(f"{_flag(name)} {value:g}: must be {least}, and below {_LARGEST:g}")


def _looks(options: argparse.Namespace) -> tuple[int, ...]:
    looks = _numbers_of_seeds(options.looks, "--looks")
    if list(looks) != sorted(set(looks)):
        raise AnalysisError(f"--looks {options.looks}: must be ascending, as 8,16,24")
    return looks


def _numbers_of_seeds(text: str | None, flag: str) -> tuple[int, ...]:
    """Read numbers of seeds, as 8,16,24; none where nothing is asked."""
    if text is None:
        return ()
    parts = [part.strip() for part in text.split(",")]
    counts = tuple(int(part) for part in parts if part.isdecimal() and len(part) < _DIGITS)
    if len(counts) < len(parts) or not all(MINIMUM_SEEDS <= n <= _MOST_SEEDS for n in counts):
        raise AnalysisError(
            f"{flag} {text}: must be numbers of seeds between {MINIMUM_SEEDS} and {_MOST_SEEDS}, "
            "as 8,16,24"
        )
    return counts


def _strengths(text: str) -> tuple[float, ...]:
    """Read strengths, as 0,.25,.5,.75,1; in ascending order, two or more."""
    doses = tuple(_number(part, "--strengths", "a number") for part in text.split(","))
    if len(doses) < 2:
        raise AnalysisError(f"--strengths {text}: one strength only; a trend needs two or more")
    if len(set(doses)) < len(doses):
        raise AnalysisError(f"--strengths {text}: a strength is named twice")
    return tuple(sorted(doses))


def _number(text: str, flag: str, what: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not abs(value) <= _LARGEST:
        raise AnalysisError(f"{flag} {text}: must be {what}")
    return value


def _times_sesoi(text: str | None) -> float | None:
    """Read the effect of a pilot: how many times the SESOI; None for its own estimate."""
    if text is None:
        return 1.0
    if text == _OBSERVED:
        return None
    words = f"how many times the SESOI, above 0, or {_OBSERVED!r}"
    value = _number(text, "--effect", words)
    if not value > 0:
        raise AnalysisError(f"--effect {text}: must be {words}")
    return value


def _chosen(text: str | None) -> tuple[str, ...]:
    return () if text is None else tuple(part.strip() for part in text.split(","))


def _family(text: str | None) -> int:
    if text is None:
        return 1
    if not text.isdecimal() or len(text) >= _DIGITS or not 1 <= int(text) <= _MOST_CLAIMS:
        raise AnalysisError(
            f"--claims {text}: without a pilot, must be a number of claims from 1 to {_MOST_CLAIMS}"
        )
    return int(text)


def _claim(options: argparse.Namespace, prefix: str, *, asked: bool) -> Claim:
    expected: str | None = getattr(options, f"{prefix}expected")
    sesoi: float | None = getattr(options, f"{prefix}sesoi")
    flag = _flag(f"{prefix}sesoi")
    if asked and sesoi is None:
        more = "" if not prefix else ": with --predictor, the table's test asks three questions"
        raise AnalysisError(f"{flag} is missing{more}")
    if not asked and (sesoi is not None or expected is not None):
        raise AnalysisError(f"{flag}: there is no --predictor")
    return Claim(expected=None if expected is None else Direction(expected), sesoi=sesoi)


def _refuse(options: argparse.Namespace, names: tuple[str, ...], why: str) -> None:
    """Refuse flags that have no meaning here."""
    for name in names:
        if getattr(options, name) is not None:
            raise AnalysisError(f"{_flag(name)}: has no meaning here: {why}")


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _is_database(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(12)[8:12] == b"DUCK"
    except OSError as error:
        raise AnalysisError(f"{path}: cannot be read: {error.strerror}") from None
