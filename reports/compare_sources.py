"""Where a comparison's numbers can be had: SQL for the studies' stores, and CSV of what is shown.

A comparison has no store of its own. Each statement is asked of every study's store in turn, and
its comments say where the same stands in ``results.json``, and what no store can answer.
"""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from analyze.comparison import Alike, ComparedClaim, Comparison, DeclaredDifference, Reading
from analyze.inference.meta_analysis import MetaAnalysis
from analyze.likeness import Submission
from analyze.results import Finding, Interval
from reports.attached import data_uri
from store.schema import literal, quoted

NOT_ASKED: Final = "not asked"
_READ: Final = "deciding"
_PUBLISHED: Final = "as published"

_VERDICT_COLUMNS: Final = (
    "claim", "study", "reading", "arm", "form", "outcome", "predictor", "verdict", "estimate",
    "interval_low", "interval_high", "interval_level", "unit", "p_value", "sesoi", "n",
)  # fmt: skip
_FOREST_COLUMNS: Final = (
    "line", "estimate", "standard_error", "df", "interval_low", "interval_high", "interval_level",
    "n", "weight", "prediction_low", "prediction_high", "tau2", "tau2_low", "tau2_high", "i2", "q",
    "q_df", "q_p", "unit",
)  # fmt: skip


def verdicts_sql(submissions: Sequence[Submission]) -> str:
    """Select one study's column of the matrix: what decides, and what the published measures say.

    Both are rows of the table ``finding``.
    """
    held = [f"{_named(each)}: findings of its results.json" for each in submissions]
    return "\n".join(
        [
            "-- Asked of one study's store (store.duckdb) it gives that study's column.",
            *_elsewhere(held),
            "SELECT",
            "    hypothesis,",
            "    as_published,",
            "    arm,",
            "    form,",
            "    outcome,",
            "    verdict,",
            "    estimate,",
            "    interval_95_low,",
            "    interval_95_high,",
            "    unit,",
            "    p_value,",
            "    n",
            "FROM finding",
            "WHERE deciding OR as_published",
            "ORDER BY ALL",
        ]
    )


def forest_sql(
    claim: ComparedClaim, alike: Alike, submissions: Sequence[Submission], mean: str
) -> str:
    """Select one study's line of a forest plot. mean: the summary's place; empty without one."""
    held = [
        f"{_named(submissions[member.study])}: "
        f"{_place_of(claim.hypothesis, submissions[member.study])} of its results.json"
        for member in alike.members
    ]
    told = [f"-- The mean over studies is in no store: {mean} of what --json writes."]
    return "\n".join(
        [
            "-- Asked of one study's store (store.duckdb) it gives that study's line.",
            *_elsewhere(held),
            *(told if mean else []),
            "SELECT",
            "    finding.estimate,",
            "    evidence.standard_error,",
            "    evidence.df,",
            "    finding.interval_95_low,",
            "    finding.interval_95_high,",
            "    evidence.n,",
            "    finding.unit",
            "FROM finding",
            "INNER JOIN evidence USING (hypothesis, arm, form, outcome, predictor)",
            f"WHERE finding.deciding AND evidence.rank = 'primary' "
            f"AND hypothesis = {literal(claim.hypothesis)}",
            f"    AND outcome = {literal(alike.likeness.outcome)} "
            f"AND predictor = {literal(alike.likeness.predictor)}",
        ]
    )


def differences_sql(
    differences: Sequence[DeclaredDifference], submissions: Sequence[Submission]
) -> str:
    """Select what one study declares of the keys that differ."""
    declared = [each for each in submissions if each.design is not None]
    values = [f"    declaration -> {literal(_path(d.key))} AS {quoted(d.key)}" for d in differences]
    return "\n".join(
        [
            "-- Asked of one study's store (store.duckdb) it gives that study's column.",
            *_elsewhere([f"{_named(each)}: its study file" for each in declared]),
            "SELECT",
            ",\n".join(values),
            "FROM study",
        ]
    )


def verdicts_csv(comparison: Comparison) -> str:
    """Return the matrix of verdicts as a CSV data URI: a row for each outcome of each reading."""
    rows = (
        row
        for claim in comparison.claims
        for reading in claim.readings
        for row in _verdict_rows(claim, reading, comparison.studies[reading.study].label)
    )
    return _csv(_VERDICT_COLUMNS, rows)


def forest_csv(alike: Alike, labels: Sequence[str]) -> str:
    """Return a forest plot as a CSV data URI: a row for each study, and one for their mean."""
    unit = alike.likeness.unit
    rows: list[Sequence[object]] = [
        (labels[m.study], m.estimate, m.standard_error, m.df, *_bounds(m.interval), m.n, m.weight,
         *[None] * 9, unit)
        for m in alike.members
    ]  # fmt: skip
    if alike.summary is not None:
        rows.append(_mean_row(alike.summary, unit))
    return _csv(_FOREST_COLUMNS, rows)


def differences_csv(differences: Sequence[DeclaredDifference], labels: Sequence[str]) -> str:
    """Return what studies declare differently as a CSV data URI: values whole, as JSON."""
    return _csv(("key", *labels), ((each.key, *each.values) for each in differences))


def _elsewhere(held: Iterable[str]) -> list[str]:
    return ["-- Where a study has no store:", *(f"--   {words}" for words in held)]


def _named(submission: Submission) -> str:
    """Return a study's label on one line: a comment ends where the line does."""
    return " ".join(submission.label.split())


def _place_of(hypothesis: str, submission: Submission) -> str:
    place = next(
        index
        for index, finding in enumerate(submission.results.findings)
        if finding.hypothesis == hypothesis and finding.deciding
    )
    return f"findings[{place}]"


def _path(key: str) -> str:
    return "$" + "".join(f'."{part}"' for part in key.split("."))


def _verdict_rows(
    claim: ComparedClaim, reading: Reading, label: str
) -> Iterator[tuple[object, ...]]:
    if reading.deciding is None:
        blank = [None] * (len(_VERDICT_COLUMNS) - 4)
        yield (claim.hypothesis, label, NOT_ASKED, *blank, None)
    for read, finding in ((_READ, reading.deciding), (_PUBLISHED, reading.published)):
        if finding is not None:
            yield from _outcome_rows((claim.hypothesis, label, read), finding)


def _outcome_rows(key: tuple[str, str, str], finding: Finding) -> Iterator[tuple[object, ...]]:
    for one in finding.outcomes:
        yield (
            *key,
            finding.arm,
            finding.form,
            one.outcome,
            one.predictor,
            str(finding.verdict),
            one.estimate,
            *_bounds(one.interval_95),
            one.unit,
            one.p_value,
            one.sesoi,
            finding.n,
        )


def _mean_row(summary: MetaAnalysis, unit: str) -> tuple[object, ...]:
    return (
        "mean over studies",
        summary.estimate,
        summary.standard_error,
        summary.df,
        *_bounds(summary.interval),
        summary.studies,
        1.0,
        *_bounds(summary.prediction)[:2],
        summary.tau2,
        *_bounds(summary.tau2_interval)[:2],
        summary.i2,
        summary.q,
        summary.q_df,
        summary.q_p,
        unit,
    )


def _bounds(interval: Interval | None) -> tuple[object, object, object]:
    if interval is None:
        return None, None, None
    return interval.low, interval.high, interval.level


def _csv(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(head)
    writer.writerows(rows)
    return data_uri(text.getvalue())
