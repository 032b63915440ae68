"""What simulation says of the tests that read a study's claims: how often they err.

``make calibrate`` simulates studies whose truth is known, runs the analysis's own tests on them and
writes ``calibration.json``; docs/calibration.md has every table and what was simulated.
"""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Final

from pydantic import TypeAdapter

from analyze.results import CalibratedCase, Calibration, Finding, Rank, SequentialLook

SIMULATED: Final = Path(__file__).with_name("calibration.json")
"""Cases by test."""

HOLDS: Final = "holds"
TOO_OFTEN: Final = "rejects too often"
ERRS_TOO_OFTEN: Final = "errs too often"
LESS_OFTEN: Final = "rejects less often than it may"
TOO_SELDOM: Final = "covers too seldom"
MORE_OFTEN: Final = "covers more than it says"

NEGLIGIBLE: Final = {
    "per_seed_slope_t": "negligible_trend",
    "split_half_within_cr2": "negligible_association",
}
"""Under which name it was simulated what is called negligible by a test."""

Simulated = dict[str, tuple[CalibratedCase, ...]]
CASES: Final[TypeAdapter[Simulated]] = TypeAdapter(Simulated)


@lru_cache(maxsize=1)
def simulated() -> Simulated:
    """Return what was simulated, by test."""
    return CASES.validate_json(SIMULATED.read_bytes())


def calibrations_of(
    findings: Sequence[Finding], look: SequentialLook | None = None, *, mediation: bool = False
) -> tuple[Calibration, ...]:
    """Return the error rates of every test that reads a finding, those that decide first.

    look: of a study whose seeds are added by a declared rule, which is itself held to its level.
    mediation: whether both paths of M are tested together, without a verdict.
    """
    decides: dict[str, dict[str, None]] = {}
    if look is not None:
        decides[look.rule] = dict.fromkeys(each.hypothesis for each in findings if each.deciding)
    for finding in findings:
        for item in finding.evidence:
            if item.rank is Rank.PRIMARY:
                named = (item.test, NEGLIGIBLE.get(item.test))
                for test in filter(None, named):
                    claims = decides.setdefault(test, {})
                    claims |= {finding.hypothesis: None} if finding.deciding else {}
    if mediation:
        decides.setdefault("mediation_joint", {})
    return tuple(
        calibration_of(test, decides=tuple(decides[test]))
        for test in sorted(decides, key=lambda test: not decides[test])
    )


def calibration_of(test: str, *, decides: tuple[str, ...] = ()) -> Calibration:
    """Sum up the cases of one test; without cases where it was not simulated."""
    cases = simulated().get(test, ())
    covered = [case.covered for case in cases if case.covered is not None]
    rejected = [case.rejected for case in cases if case.rejected is not None]
    strict = [case.rejected_strict for case in cases if case.rejected_strict is not None]
    return Calibration(
        test=test,
        decides=decides,
        cases=cases,
        kinds=len({case.truth for case in cases}),
        failing=len({case.truth for case in cases if fails(case)}),
        least_rejected=min(rejected, default=None),
        most_rejected=max(rejected, default=None),
        most_rejected_strict=max(strict, default=None),
        least_covered=min(covered, default=None),
    )


def fails(case: CalibratedCase) -> bool:
    """Say whether a test errs more often in studies of this kind than it may."""
    return any(words in case.reading for words in (TOO_OFTEN, TOO_SELDOM, ERRS_TOO_OFTEN))
