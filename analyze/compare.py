"""Several studies side by side: verdicts as they are, and estimates put together where alike.

A verdict is a study's own and stays as it is. What is put together is the estimate of each
outcome's deciding test, over studies in which it means the same thing (``analyze.likeness``).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Final

from analyze.comparison import (
    Alike,
    ComparedClaim,
    ComparedStudy,
    Comparison,
    LeftOut,
    Likeness,
    Member,
    Reading,
)
from analyze.decide import MINIMUM_SEEDS
from analyze.hypotheses import HYPOTHESES
from analyze.inference.meta_analysis import FEWEST_STUDIES, MetaAnalysis, meta_analysis
from analyze.likeness import (
    Submission,
    declared_differences,
    differing_settings,
    dose_of,
    likeness,
    same_draws,
    unlike_words,
)
from analyze.results import Evidence, Finding, OutcomeFinding, Rank, Verdict
from store.design import Design
from store.errors import AnalysisError

_FEW_STUDIES: Final = 4
"""Up to this many studies the variance between them is hardly known."""

_FEW_DF: Final = 10
"""Below this many degrees of freedom a standard error is itself a rough estimate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Estimated:
    """One study's estimate of one outcome, before it is known what it stands with."""

    likeness: Likeness
    member: Member
    sesoi: float
    design: Design


def compare(submissions: Sequence[Submission]) -> Comparison:
    """Lay studies side by side.

    Raises AnalysisError where there is none, or where two have one label.
    """
    if not submissions:
        raise AnalysisError("no study to compare: name results.json of one study or more")
    labels = [each.label for each in submissions]
    for label in labels:
        if labels.count(label) > 1:
            raise AnalysisError(
                f"two studies are called {label!r}; tell them apart: ONE=PATH OTHER=PATH"
            )
    known = list(HYPOTHESES)
    asked = dict.fromkeys(f.hypothesis for each in submissions for f in each.results.findings)
    ordered = sorted(asked, key=lambda name: known.index(name) if name in known else len(known))
    return Comparison(
        format_version=1,
        studies=tuple(_study(each) for each in submissions),
        claims=tuple(_claim(name, submissions) for name in ordered),
        differences=declared_differences([each.design for each in submissions]),
        caveats=(*_undeclared(submissions), *_repeated(submissions)),
    )


def _study(submission: Submission) -> ComparedStudy:
    results, design = submission.results, submission.design
    return ComparedStudy(
        label=submission.label,
        study=results.study,
        title=results.title,
        study_hash=results.study_hash,
        kind=results.kind,
        seeds_declared=results.counts.seeds_declared,
        seeds_analyzed=results.counts.seeds_analyzed,
        teacher_pools=results.counts.teacher_pools,
        declared=design is not None,
        dose="" if design is None else dose_of(design),
    )


def _undeclared(submissions: Sequence[Submission]) -> tuple[str, ...]:
    absent = [each.label for each in submissions if each.design is None]
    if not absent:
        return ()
    return (
        f"What {_listed(absent)} declare{'s' if len(absent) == 1 else ''} is not at hand, so its "
        "estimates are put together with none. Keep store.duckdb beside results.json, or name the "
        "study file with --study.",
    )


def _repeated(submissions: Sequence[Submission]) -> tuple[str, ...]:
    return tuple(
        f"{one.label} and {other.label} have seeds or teachers in common (the same study_seed and "
        "images): they are not independent, and only the first enters a summary."
        for one, other in combinations(submissions, 2)
        if same_draws(one, other)
    )


def _claim(name: str, submissions: Sequence[Submission]) -> ComparedClaim:
    readings = tuple(_reading(name, place, each) for place, each in enumerate(submissions))
    statement = next(
        finding.statement
        for each in submissions
        for finding in each.results.findings
        if finding.hypothesis == name
    )
    estimates, left_out = _estimates(readings, submissions)
    groups: dict[Likeness, list[_Estimated]] = {}
    for each in estimates:
        groups.setdefault(each.likeness, []).append(each)
    alike: list[Alike] = []
    for key, members in groups.items():
        independent, repeated = _independent(members, submissions)
        left_out += repeated
        alike.append(_alike(key, independent, submissions))
    return ComparedClaim(
        hypothesis=name,
        statement=statement,
        readings=readings,
        alike=tuple(alike),
        left_out=tuple(left_out),
        caveats=_apart(alike, submissions),
    )


def _reading(name: str, place: int, submission: Submission) -> Reading:
    findings = [f for f in submission.results.findings if f.hypothesis == name]
    return Reading(
        study=place,
        deciding=next((_deciding_tests(f) for f in findings if f.deciding), None),
        published=next((_deciding_tests(f) for f in findings if f.as_published), None),
    )


def _deciding_tests(finding: Finding) -> Finding:
    primary = tuple(each for each in finding.evidence if each.rank is Rank.PRIMARY)
    return replace(finding, evidence=primary)


def _estimates(
    readings: Sequence[Reading], submissions: Sequence[Submission]
) -> tuple[list[_Estimated], list[LeftOut]]:
    """Return every outcome's estimate that may be put together, and why the others may not."""
    found: list[_Estimated] = []
    left_out: list[LeftOut] = []
    for reading in readings:
        finding = reading.deciding
        for outcome in () if finding is None else finding.outcomes:
            assert finding is not None
            submission = submissions[reading.study]
            evidence = _primary(finding, outcome)
            refused = _refused(finding, outcome, evidence, submission)
            if refused is None:
                assert submission.design is not None
                assert evidence is not None
                found.append(
                    _estimated(reading.study, finding, outcome, evidence, submission.design)
                )
            else:
                left_out.append(
                    LeftOut(study=reading.study, outcome=outcome.outcome, reason=refused)
                )
    return found, left_out


def _primary(finding: Finding, outcome: OutcomeFinding) -> Evidence | None:
    return next(
        (
            each
            for each in finding.evidence
            if (each.outcome, each.predictor) == (outcome.outcome, outcome.predictor)
        ),
        None,
    )


def _refused(
    finding: Finding,
    outcome: OutcomeFinding,
    evidence: Evidence | None,
    submission: Submission,
) -> str | None:
    """Say why an estimate may not be put together with others; None where it may."""
    results = submission.results
    if finding.verdict is Verdict.NO_DATA or outcome.estimate is None or evidence is None:
        return "it has no estimate"
    if finding.verdict is Verdict.DESCRIPTIVE:
        return f"it has fewer than {MINIMUM_SEEDS} seeds, so that its error is not known"
    if results.sequential is not None and results.sequential.look is None:
        return "it stands between declared looks, where nothing is read"
    if submission.design is None:
        return "what it declares is not at hand, so that nothing is known to be alike"
    pools = results.counts.teacher_pools
    if pools is not None and pools < MINIMUM_SEEDS:
        return (
            f"its seeds share fewer than {MINIMUM_SEEDS} pools of teachers, so that its error "
            "leaves out how teachers differ"
        )
    error, df = evidence.standard_error, evidence.df
    if not math.isfinite(outcome.estimate) or error is None or df is None:
        return "its deciding test gives no standard error"
    if not (math.isfinite(error) and error > 0 and df > 0):
        return "its seeds do not differ, so that its error is not known"
    return None


def _estimated(
    study: int, finding: Finding, outcome: OutcomeFinding, evidence: Evidence, design: Design
) -> _Estimated:
    assert outcome.estimate is not None
    assert evidence.standard_error is not None
    assert evidence.df is not None
    return _Estimated(
        likeness=likeness(finding, outcome, design),
        member=Member(
            study=study,
            estimate=outcome.estimate,
            standard_error=evidence.standard_error,
            df=evidence.df,
            interval=outcome.interval_95,
            n=evidence.n,
            weight=None,
        ),
        sesoi=outcome.sesoi,
        design=design,
    )


def _independent(
    members: Sequence[_Estimated], submissions: Sequence[Submission]
) -> tuple[list[_Estimated], list[LeftOut]]:
    """Keep the first of studies that have seeds in common."""
    kept: list[_Estimated] = []
    left_out: list[LeftOut] = []
    for each in members:
        mine = submissions[each.member.study]
        earlier = (submissions[other.member.study] for other in kept)
        twin = next((other for other in earlier if same_draws(mine, other)), None)
        if twin is None:
            kept.append(each)
        else:
            left_out.append(
                LeftOut(
                    study=each.member.study,
                    outcome=each.likeness.outcome,
                    reason=f"its seeds or teachers are those of {twin.label}, which count once",
                )
            )
    return kept, left_out


def _alike(
    key: Likeness, estimates: Sequence[_Estimated], submissions: Sequence[Submission]
) -> Alike:
    members = [each.member for each in estimates]
    declared = {each.sesoi for each in estimates}
    summary = None
    if len(members) >= FEWEST_STUDIES:
        summary = meta_analysis(
            [member.estimate for member in members],
            [member.standard_error for member in members],
        )
        members = [
            replace(member, weight=weight)
            for member, weight in zip(members, summary.weights, strict=True)
        ]
    return Alike(
        likeness=key,
        sesoi=declared.pop() if len(declared) == 1 else None,
        members=tuple(members),
        summary=summary,
        caveats=() if summary is None else _caveats(key, estimates, summary, submissions),
    )


def _caveats(
    key: Likeness,
    estimates: Sequence[_Estimated],
    summary: MetaAnalysis,
    submissions: Sequence[Submission],
) -> tuple[str, ...]:
    named = [(submissions[each.member.study].label, each.design) for each in estimates]
    return (
        *_few_studies(summary),
        *differing_settings(key, named),
        *_bands(estimates, submissions),
        *_few_seeds(estimates, submissions),
        *_early_stops(estimates, submissions),
    )


def _few_studies(summary: MetaAnalysis) -> tuple[str, ...]:
    if summary.studies > _FEW_STUDIES:
        return ()
    return (
        f"From {summary.studies} studies how much studies differ (tau) is hardly known: it may be "
        "far larger than estimated, also where the estimate is 0.",
    )


def _bands(estimates: Sequence[_Estimated], submissions: Sequence[Submission]) -> tuple[str, ...]:
    if len({each.sesoi for each in estimates}) == 1:
        return ()
    listed = ", ".join(
        f"{each.sesoi:g} ({submissions[each.member.study].label})" for each in estimates
    )
    return (
        f"The studies declare other effects too small to matter, so no band is drawn: {listed}.",
    )


def _few_seeds(
    estimates: Sequence[_Estimated], submissions: Sequence[Submission]
) -> tuple[str, ...]:
    few = [
        f"{submissions[each.member.study].label} ({each.member.df:.3g})"
        for each in estimates
        if each.member.df < _FEW_DF
    ]
    if not few:
        return ()
    return (
        "Standard errors are taken as known; those of few degrees of freedom are themselves "
        f"rough, and so are their weights: {', '.join(few)}.",
    )


def _early_stops(
    estimates: Sequence[_Estimated], submissions: Sequence[Submission]
) -> tuple[str, ...]:
    looks = [
        (submissions[each.member.study].label, submissions[each.member.study].results.sequential)
        for each in estimates
    ]
    early = [label for label, look in looks if look is not None and look.next_look is not None]
    if not early:
        return ()
    return (
        f"{_listed(early)} may have stopped at an early look because of the estimate, which is "
        "then too large.",
    )


def _apart(alike: Sequence[Alike], submissions: Sequence[Submission]) -> tuple[str, ...]:
    """Say why estimates of one outcome are not all put together."""
    return tuple(
        dict.fromkeys(
            f"{_members(other, submissions)} {'stands' if len(other.members) == 1 else 'stand'} "
            f"apart from {_members(one, submissions)} by "
            f"{unlike_words(other.likeness, one.likeness)}."
            for one, other in combinations(alike, 2)
            if one.likeness.outcome == other.likeness.outcome
        )
    )


def _members(alike: Alike, submissions: Sequence[Submission]) -> str:
    return _listed([submissions[member.study].label for member in alike.members])


def _listed(labels: Sequence[str]) -> str:
    return labels[0] if len(labels) == 1 else f"{', '.join(labels[:-1])} and {labels[-1]}"
