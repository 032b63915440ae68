"""Evidence and findings as rows of the store's tables, so that SQL can reach what was said."""

from collections.abc import Sequence

import polars as pl

from analyze.results import (
    Evidence,
    Finding,
    Interval,
    OutcomeFinding,
    Results,
    Specification,
    SpecificationCurve,
)
from store.frames import EVIDENCE, FINDING, SPECIFICATION


def evidence_frame(results: Results) -> pl.DataFrame:
    """Rows of EVIDENCE: of findings, mediation, secondary measures, contrasts and distillation."""
    every = [item for finding in results.findings for item in finding.evidence]
    every += [item for mediation in results.mediation for item in mediation.evidence]
    every += [item for contrast in results.contrasts for item in contrast.evidence]
    every += [item for effect in results.distillation for item in effect.evidence]
    rows = [_evidence_row(item) for item in (*every, *results.secondary)]
    return EVIDENCE.check(pl.DataFrame(rows, schema=EVIDENCE.schema, orient="row"))


def finding_frame(results: Results) -> pl.DataFrame:
    """Rows of FINDING: one per outcome of every finding."""
    rows = [
        _finding_row(finding, outcome)
        for finding in results.findings
        for outcome in finding.outcomes
    ]
    return FINDING.check(pl.DataFrame(rows, schema=FINDING.schema, orient="row"))


def specification_frame(results: Results) -> pl.DataFrame:
    """Rows of SPECIFICATION: one per specification of every claim's curve."""
    rows = [
        _specification_row(curve, place, one)
        for curve in results.multiverse
        for place, one in enumerate(curve.specifications)
    ]
    return SPECIFICATION.check(pl.DataFrame(rows, schema=SPECIFICATION.schema, orient="row"))


def _specification_row(
    curve: SpecificationCurve, place: int, one: Specification
) -> tuple[object, ...]:
    return (
        curve.hypothesis,
        curve.arm,
        place,
        [choice.name for choice in curve.choices],
        list(one.options),
        str(one.standing),
        one.deciding,
        one.outcome,
        one.predictor,
        one.test,
        one.estimate,
        one.unit,
        one.standard_error,
        one.statistic,
        one.df,
        one.p_value,
        *_bounds(one.interval),
        one.standardized,
        *_bounds(one.standardized_interval),
        one.n,
    )


def _evidence_row(item: Evidence) -> tuple[object, ...]:
    return (
        item.hypothesis,
        item.arm,
        item.form,
        item.outcome,
        item.predictor,
        item.test,
        str(item.rank),
        item.method,
        item.value_name,
        item.estimate,
        item.unit,
        item.standard_error,
        item.statistic_name,
        item.statistic,
        item.df,
        item.p_value,
        item.smallest_p,
        item.q_value,
        *_bounds(item.interval),
        item.n,
        item.rows,
        _texts(item.caveats),
    )


def _finding_row(finding: Finding, outcome: OutcomeFinding) -> tuple[object, ...]:
    return (
        finding.hypothesis,
        finding.arm,
        finding.form,
        outcome.outcome,
        outcome.predictor,
        finding.deciding,
        finding.as_published,
        str(finding.verdict),
        finding.sentence,
        finding.n,
        finding.alpha,
        finding.p_holm,
        str(outcome.verdict),
        outcome.estimate,
        outcome.unit,
        outcome.p_value,
        outcome.sesoi,
        *_bounds(outcome.interval_95),
        *_bounds(outcome.verdict_interval),
        *_bounds(outcome.equivalence_interval),
        outcome.size_uncertain,
        outcome.seeds_to_decide,
        _texts((*finding.caveats, *outcome.caveats)),
    )


def _bounds(interval: Interval | None) -> tuple[float | None, float | None, float | None]:
    if interval is None:
        return None, None, None
    return interval.low, interval.high, interval.level


def _texts(caveats: Sequence[str]) -> list[str]:
    return list(caveats)
