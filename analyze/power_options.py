"""The options of ``python -m analyze power``: what they are, and what each may be."""

import argparse
import math
from pathlib import Path
from typing import Final

from analyze.decide import ALPHA, MINIMUM_SEEDS
from analyze.hypotheses import Direction
from analyze.table_results import Claim
from store.errors import AnalysisError

_OBSERVED: Final = "observed"
_LARGEST: Final = 1e100
_DIGITS: Final = 8
_MOST_SEEDS: Final = 10_000
_FEWEST_STUDIES: Final = 20
_MOST_STUDIES: Final = 1_000_000
_MOST_JOBS: Final = 256
_MOST_CLAIMS: Final = 100


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


def check_numbers(options: argparse.Namespace) -> None:
    """Refuse numbers that mean nothing, by their flag."""
    for name in ("power", "alpha"):
        value: float = getattr(options, name)
        if not 0 < value < 1:
            raise AnalysisError(f"{flag_of(name)} {value:g}: must be above 0 and below 1")
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
            raise AnalysisError(f"{flag_of(name)} {count}: must be between {least} and {largest}")
    for name in ("residual_sd", "predictor_sd", "sesoi", "predictor_sesoi", "association_sesoi"):
        _check_size(options, name, zero=False)
    for name in ("slope_sd", "predictor_slope_sd"):
        _check_size(options, name, zero=True)
    for name in ("reliability", "outcome_reliability"):
        share: float | None = getattr(options, name)
        if share is not None and not 0 <= share <= 1:
            raise AnalysisError(f"{flag_of(name)} {share:g}: must be between 0 and 1")
    if options.reliability is None and options.outcome_reliability is not None:
        raise AnalysisError("--outcome-reliability: without --reliability there are no halves")
    looks_of(options)
    numbers_of_seeds(options.seeds, "--seeds")


def _check_size(options: argparse.Namespace, name: str, *, zero: bool) -> None:
    value: float | None = getattr(options, name)
    if value is None or 0 < value <= _LARGEST or (zero and value == 0):
        return
    least = "0 or more" if zero else "above 0"
    raise AnalysisError(f"{flag_of(name)} {value:g}: must be {least}, and below {_LARGEST:g}")


def looks_of(options: argparse.Namespace) -> tuple[int, ...]:
    """Read the looks, ascending; none where no rule is asked about."""
    looks = numbers_of_seeds(options.looks, "--looks")
    if list(looks) != sorted(set(looks)):
        raise AnalysisError(f"--looks {options.looks}: must be ascending, as 8,16,24")
    return looks


def numbers_of_seeds(text: str | None, flag: str) -> tuple[int, ...]:
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


def strengths_of(text: str) -> tuple[float, ...]:
    """Read strengths, as 0,.25,.5,.75,1; in ascending order, two or more."""
    doses = tuple(number_of(part, "--strengths", "a number") for part in text.split(","))
    if len(doses) < 2:
        raise AnalysisError(f"--strengths {text}: one strength only; a trend needs two or more")
    if len(set(doses)) < len(doses):
        raise AnalysisError(f"--strengths {text}: a strength is named twice")
    return tuple(sorted(doses))


def number_of(text: str, flag: str, what: str) -> float:
    """Read a number. what: it must be, in words."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not abs(value) <= _LARGEST:
        raise AnalysisError(f"{flag} {text}: must be {what}")
    return value


def times_sesoi_of(text: str | None) -> float | None:
    """Read the effect of a pilot: how many times the SESOI; None for its own estimate."""
    if text is None:
        return 1.0
    if text == _OBSERVED:
        return None
    words = f"how many times the SESOI, above 0, or {_OBSERVED!r}"
    value = number_of(text, "--effect", words)
    if not value > 0:
        raise AnalysisError(f"--effect {text}: must be {words}")
    return value


def claims_chosen(text: str | None) -> tuple[str, ...]:
    """Read claims of a study, as H1,H2a; none where all are meant."""
    return () if text is None else tuple(part.strip() for part in text.split(","))


def family_of(text: str | None) -> int:
    """Read how many claims share the error rate."""
    if text is None:
        return 1
    if not text.isdecimal() or len(text) >= _DIGITS or not 1 <= int(text) <= _MOST_CLAIMS:
        raise AnalysisError(
            f"--claims {text}: without a pilot, must be a number of claims from 1 to {_MOST_CLAIMS}"
        )
    return int(text)


def claim_of(options: argparse.Namespace, prefix: str, *, asked: bool) -> Claim:
    """Read what is expected of one question of a table. asked: whether it is among them."""
    expected: str | None = getattr(options, f"{prefix}expected")
    sesoi: float | None = getattr(options, f"{prefix}sesoi")
    flag = flag_of(f"{prefix}sesoi")
    if asked and sesoi is None:
        more = "" if not prefix else ": with --predictor, the table's test asks three questions"
        raise AnalysisError(f"{flag} is missing{more}")
    if not asked and (sesoi is not None or expected is not None):
        raise AnalysisError(f"{flag}: there is no --predictor")
    return Claim(expected=None if expected is None else Direction(expected), sesoi=sesoi)


def refuse(options: argparse.Namespace, names: tuple[str, ...], why: str) -> None:
    """Refuse flags that have no meaning here."""
    for name in names:
        if getattr(options, name) is not None:
            raise AnalysisError(f"{flag_of(name)}: has no meaning here: {why}")


def flag_of(name: str) -> str:
    """Write an option as it is typed."""
    return f"--{name.replace('_', '-')}"
