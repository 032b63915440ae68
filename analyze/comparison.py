"""What several studies say of the same claims, as typed values: a comparison's result.

``--json`` is these values written out. Nothing here computes.
"""

from dataclasses import dataclass
from typing import Literal

from analyze.inference.meta_analysis import MetaAnalysis
from analyze.results import Finding, Interval
from analyze.serialize import strict_json


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedStudy:
    """One of the studies. label: names it here, and it alone.

    declared: whether what the study declares was there to be read; without it nothing can be known
    to be alike. dose: what a unit of strength is; empty where that is not known.
    """

    label: str
    study: str
    title: str
    study_hash: str
    kind: Literal["inferential", "descriptive"]
    seeds_declared: int
    seeds_analyzed: int
    teacher_pools: int | None
    declared: bool
    dose: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclaredDifference:
    """A key that the studies declare differently. values: as JSON, one a study; None: has none."""

    key: str
    values: tuple[str | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One study's reading of one claim.

    study: its place among the studies. deciding: what decides, with the tests that do alone;
    None where the study does not ask. published: what the published measures would have said.
    """

    study: int
    deciding: Finding | None
    published: Finding | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Likeness:
    """What must be the same before estimates are put together; empty where it does not matter.

    unit: of the estimate. arm: whose students; teachers: in each ensemble. dose: what a unit of
    strength is, of a trend. attention: which map, where attention is measured.
    """

    outcome: str
    predictor: str
    unit: str
    arm: str
    teachers: int
    dose: str
    attention: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One study's estimate among those that are alike.

    standard_error, df, interval (95 %): of the deciding test. weight: in the summary; None where
    there is none.
    """

    study: int
    estimate: float
    standard_error: float
    df: float
    interval: Interval | None
    n: int
    weight: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Alike:
    """Studies whose estimates of one outcome mean the same thing.

    sesoi: where all declare the same, else None. summary: of two studies or more.
    """

    likeness: Likeness
    sesoi: float | None
    members: tuple[Member, ...]
    summary: MetaAnalysis | None
    caveats: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """A study's estimate that stands in no summary, and why."""

    study: int
    outcome: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedClaim:
    """One claim over all studies. readings: one a study, in their order."""

    hypothesis: str
    statement: str
    readings: tuple[Reading, ...]
    alike: tuple[Alike, ...]
    left_out: tuple[LeftOut, ...]
    caveats: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Several studies side by side."""

    format_version: Literal[1]
    studies: tuple[ComparedStudy, ...]
    claims: tuple[ComparedClaim, ...]
    differences: tuple[DeclaredDifference, ...]
    caveats: tuple[str, ...] = ()


def comparison_to_json(comparison: Comparison) -> str:
    """Return a comparison as strict JSON text; every float reads back as the same float."""
    return strict_json(comparison)
