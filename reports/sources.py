"""The SQL behind each figure and table: as the page shows it, so it runs on the study's store.

Each statement is whole, without parameters: ``python -m store query STORE "..."`` answers it.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from analyze.results import Finding, FitLine, Mediation
from store.schema import literal
from store.vocabulary import Half

_WITHOUT_FAILURES: Final = "block NOT IN (SELECT block FROM model WHERE status <> 'complete')"
_TEST_COLUMNS: Final = """\
    outcome,
    test,
    method,
    estimate,
    standard_error,
    statistic,
    df,
    p_value,
    q_value,
    interval_low,
    interval_high,
    interval_level,
    n"""


def tests_sql(
    read: Finding | Mediation,
    hypothesis: str,
    *,
    correlations: bool = False,
    paired: bool = False,
) -> str:
    """Select every test of a claim in one arm and form, or its correlations or pairs alone."""
    lines = [
        "SELECT",
        _TEST_COLUMNS,
        "FROM evidence",
        f"WHERE hypothesis = {literal(hypothesis)} AND arm = {literal(read.arm)}",
        f"    AND form = {literal(read.form)}",
    ]
    if correlations:
        lines.append("    AND rank = 'beside' AND value_name = 'correlation'")
    if paired:
        lines.append("    AND test LIKE 'paired_t_%'")
    return "\n".join([*lines, "ORDER BY ALL"])


def tests_of_sql(hypothesis: str, outcome: str | None = None) -> str:
    """Select the tests of a part of the report that is no claim, of one outcome or of all."""
    lines = ["SELECT", "    arm,", "    predictor,", _TEST_COLUMNS, "FROM evidence"]
    lines.append(f"WHERE hypothesis = {literal(hypothesis)}")
    if outcome is not None:
        lines.append(f"    AND outcome = {literal(outcome)}")
    return "\n".join([*lines, "ORDER BY ALL"])


def findings_sql(hypothesis: str) -> str:
    """Select a claim's verdicts in every arm and form."""
    return "\n".join(
        [
            "SELECT * EXCLUDE (sentence, caveats)",
            "FROM finding",
            f"WHERE hypothesis = {literal(hypothesis)}",
            "ORDER BY deciding DESC, form, arm, outcome",
        ]
    )


def specifications_sql(hypothesis: str) -> str:
    """Select every specification of a claim's curve, in its order."""
    return "\n".join(
        [
            "SELECT * EXCLUDE (choices, options), array_to_string(choices, ' | ') AS choices,",
            "    array_to_string(options, ' | ') AS options",
            "FROM specification",
            f"WHERE hypothesis = {literal(hypothesis)}",
            "ORDER BY arm, specification",
        ]
    )


def replicates_sql(
    outcome: str,
    arm: str,
    *,
    predictor: str = "",
    beside: Sequence[str] = (),
    conditions: Sequence[int] = (),
    rule: str,
) -> str:
    """Select one row per seed and condition: an outcome, and what it is set against.

    beside: further measures, by their own names, as the outcome then is. conditions: only these,
    where any are named. rule: for failed runs.
    """
    measured = [f"{predictor} AS x", f"{outcome} AS y"] if predictor else [f"{outcome} AS y"]
    if beside:
        measured = [*beside, outcome]
    lines = [
        "SELECT",
        "    block,",
        "    teacher_strength AS strength,",
        "    teacher_strengths,",
        *(f"    {each}," for each in measured[:-1]),
        f"    {measured[-1]}",
        "FROM measures",
        f"WHERE arm = {literal(arm)} AND {outcome} IS NOT NULL",
    ]
    if conditions:
        lines.append(f"    AND condition_id IN ({', '.join(map(str, conditions))})")
    return "\n".join([*lines, *_left_out(rule), "ORDER BY ALL"])


def halves_sql(fit: FitLine, *, rule: str) -> str:
    """Select a predictor on one half of the test images with the outcome on the other, swapped."""
    return "\n".join(
        [
            "-- As measured; the figure draws what is left without seeds' and strengths' means.",
            "SELECT",
            "    block,",
            "    one.teacher_strength AS strength,",
            f"    one.{fit.predictor} AS x,",
            f"    other.{fit.outcome} AS y",
            "FROM measures_by_half AS one",
            "INNER JOIN measures_by_half AS other USING (student_id, block)",
            f"WHERE one.arm = {literal(fit.arm)} AND one.half <> other.half",
            f"    AND {literal(Half.ALL)} NOT IN (one.half, other.half)",
            *_left_out(rule),
            "ORDER BY ALL",
        ]
    )


def fit_sql(fit: FitLine, *, on_strength: bool, rule: str) -> str:
    """Select the replicates that a line is fitted to."""
    if on_strength:
        return replicates_sql(fit.outcome, fit.arm, rule=rule)
    if len({(point.block, point.strength) for point in fit.points}) < len(fit.points):
        return halves_sql(fit, rule=rule)
    return (
        "-- As measured; the figure draws what is left without seeds' and strengths' means.\n"
        + replicates_sql(fit.outcome, fit.arm, predictor=fit.predictor, rule=rule)
    )


def means_sql(measures: Iterable[str], size: int, *, rule: str) -> str:
    """Select means over seeds, by arm and ensemble of one size."""
    means = [f"    AVG({measure}) AS {measure}" for measure in measures]
    return "\n".join(
        [
            "SELECT",
            "    arm,",
            "    teacher_strengths,",
            "    COUNT(*)::INTEGER AS students,",
            ",\n".join(means),
            "FROM measures",
            f"WHERE LEN(teacher_strengths) = {size}",
            *_left_out(rule),
            "GROUP BY ALL",
            "ORDER BY ALL",
        ]
    )


def information_sql(*, rule: str) -> str:
    """Select the mean mutual information and its bias, by arm and ensemble."""
    return "\n".join(
        [
            "SELECT",
            "    arm,",
            "    teacher_strengths,",
            "    AVG(estimate.value) AS mutual_information_bits,",
            "    AVG(estimate.bias) AS bias,",
            "    ANY_VALUE(estimator) AS estimator",
            "FROM estimate",
            "INNER JOIN measures USING (student_id)",
            f"WHERE measure = 'mutual_information_bits' AND half = {literal(Half.ALL)}",
            *_left_out(rule),
            "GROUP BY ALL",
            "ORDER BY ALL",
        ]
    )


def missing_sql(measures: Sequence[str]) -> str:
    """Count the students without a value, by measure."""
    if not measures:
        return "SELECT COUNT(*) AS students FROM measures"
    counts = [f"    COUNT(*) FILTER ({each} IS NULL) AS {each}" for each in measures]
    return "\n".join(["SELECT", ",\n".join(counts), "FROM measures", "WHERE arm <> 'control'"])


def curves_sql(curves: str, role: str, arm: str) -> str:
    """Select one chart's part of the learning curves."""
    chosen = f"WHERE role = {literal(role)} AND arm = {literal(arm)}"
    return f"SELECT *\nFROM (\n{curves}\n)\n{chosen}\nORDER BY ALL"


def overlaps_at_sql(
    pairs: Sequence[tuple[int, int]], image: int, taus: Sequence[float], method: str
) -> str:
    """Select the overlap of pairs of models on one image, with masks cut at each threshold."""
    chosen = ", ".join(f"({first}, {second})" for first, second in pairs)
    return "\n".join(
        [
            "SELECT",
            "    pair.model_a,",
            "    pair.model_b,",
            "    level.tau,",
            "    attention_iou_of(mask_at(a.map, level.tau), mask_at(b.map, level.tau)) AS iou",
            f"FROM (VALUES {chosen}) AS pair (model_a, model_b)",
            "INNER JOIN attention AS a ON pair.model_a = a.model_id",
            "INNER JOIN attention AS b",
            "    ON",
            "        pair.model_b = b.model_id",
            "        AND a.image_id = b.image_id AND a.view = b.view AND a.method = b.method",
            f"CROSS JOIN (SELECT UNNEST({[float(tau) for tau in taus]}) AS tau) AS level",
            f"WHERE a.image_id = {image} AND a.view = 'clean' AND a.method = {literal(method)}",
            "ORDER BY ALL",
        ]
    )


def bound_sql(sql: str, parameters: Sequence[int | str]) -> str:
    """Return a query with literals where it has question marks."""
    for value in parameters:
        sql = sql.replace("?", literal(value) if isinstance(value, str) else str(value), 1)
    return sql


def _left_out(rule: str) -> list[str]:
    return [f"    AND {_WITHOUT_FAILURES}"] if rule == "exclude_block" else []
