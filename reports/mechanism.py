# pyright: basic
"""How augmentation may act: the paths of mediation, affinity with diversity, measures in pairs."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Final

import altair as alt
from markupsafe import Markup

from analyze.hypotheses import STRENGTH
from analyze.mediations import MEDIATION
from analyze.results import Evidence, Mediation, Results
from reports.figures import (
    Chart,
    ChartBook,
    Columns,
    Slice,
    chart_spec,
    for_drawing,
    legible,
    series_of,
    strength_color,
)
from reports.names import arm_word, axis_title, capitalized, form_label, measure_title, typeset
from reports.numbers import Citations, p_clause
from reports.prose import evidence_decimals
from reports.sources import replicates_sql, tests_sql
from reports.tables import Table, tests_rows

PAIRED: Final = (
    "attention_iou_adjusted",
    "generalization_gap",
    "conditional_mutual_information_bits",
)
"""What the claims tie together: attention, overfitting, information given the label."""

_NARROW: Final = 190
_FADED: Final = 0.1
_SHOWN: Final = 0.85


@dataclass(frozen=True, slots=True, kw_only=True)
class PathStep:
    """One arrow of a path diagram. name: as in the literature (a, b, direct ...)."""

    name: str
    words: str
    numbers: Markup


@dataclass(frozen=True, slots=True, kw_only=True)
class MediationView:
    """The mediation claim in one arm and form.

    start, mediator, outcome: the three boxes; steps: a, b and the direct arrow, empty where
    nothing was estimated; sums: indirect and total effect.
    """

    mediation: Mediation
    anchor: str
    start: str
    mediator: str
    outcome: str
    steps: tuple[PathStep, ...]
    sums: tuple[PathStep, ...]
    sql: str
    table: Table


def mediation_views(results: Results, cite: Citations) -> tuple[MediationView, ...]:
    """Return M in every arm and form that the results hold."""
    return tuple(_mediation_view(mediation, cite) for mediation in results.mediation)


def _mediation_view(mediation: Mediation, cite: Citations) -> MediationView:
    sql = tests_sql(mediation, MEDIATION)
    tests = {item.test: item for item in mediation.evidence}
    path_b = tests.get("mediation_b")
    return MediationView(
        mediation=mediation,
        anchor=f"paths-{mediation.arm}-{mediation.form}",
        start=capitalized(measure_title(STRENGTH)),
        mediator=capitalized(measure_title(path_b.predictor)) if path_b else "",
        outcome=capitalized(measure_title(path_b.outcome)) if path_b else "",
        steps=_steps(
            cite,
            tests,
            (("a", "mediation_a"), ("b", "mediation_b"), ("c\N{PRIME}", "mediation_ade")),
        ),
        sums=_steps(
            cite,
            tests,
            (("Through the mediator, a × b", "mediation_acme"), ("In total", "mediation_total")),
        ),
        sql=sql,
        table=tests_rows(
            cite,
            mediation.evidence,
            f"Tests of mediation: {arm_word(mediation.arm)}, {form_label(mediation.form)}",
            sql,
            decides=False,
        ),
    )


def _steps(
    cite: Citations, tests: dict[str, Evidence], wanted: Sequence[tuple[str, str]]
) -> tuple[PathStep, ...]:
    return tuple(
        PathStep(
            name=name,
            words=f"{measure_title(item.predictor)} to {measure_title(item.outcome)}",
            numbers=_numbers(cite, item),
        )
        for name, test in wanted
        if (item := tests.get(test)) is not None and item.estimate is not None
    )


def _numbers(cite: Citations, item: Evidence) -> Markup:
    digits = evidence_decimals(item)
    interval = cite.interval(item.interval, digits) if item.interval else Markup("")
    tested = Markup(" {}").format(p_clause(cite.p(item))) if item.p_value is not None else ""
    return Markup('<b>{}</b> {} <span class="unit">{}</span>{}').format(
        cite.plain(item, "estimate", digits), interval, typeset(item.unit), tested
    )


def plane_chart(book: ChartBook, results: Results, arm: str) -> Chart | None:
    """Draw teachers by affinity and diversity: one point per seed and condition, and the means.

    None where either is missing. Source of the plane: Gontijo-Lopes et al. (2021).
    """
    x, y = "affinity", "diversity"
    if not _drawn(book, (x, y)):
        return None
    means = _means(results, arm, x, y)
    book.tables["plane-mean"] = means
    scale = alt.Scale(zero=False, nice=True)
    axes = {
        "x": alt.X("x:Q", title=axis_title(x), scale=scale),
        "y": alt.Y("y:Q", title=axis_title(y), scale=scale),
    }
    points = alt.Chart(alt.NamedData("points")).mark_circle(style="replicate-point")
    path = alt.Chart(alt.NamedData("line")).encode(**axes)
    layers = [
        path.mark_line(style="fit").encode(order="strength:Q"),
        points.encode(**axes, color=strength_color()),
    ]
    return book.add(
        Chart(
            name="plane",
            title=f"{capitalized(measure_title(y))} against {measure_title(x)}, one point per "
            "seed and strength; the line joins the means",
            description=f"{capitalized(measure_title(y))} against {measure_title(x)} of the "
            "teachers, coloured by the strength of their augmentation; a line joins the means over "
            f"seeds in order of strength: {_told(means)}.",
            spec=chart_spec(alt.layer(*layers)),
            data={
                "points": Slice(
                    "replicates", {"strength": "strength", "x": x, "y": y}, {"arm": arm}
                ),
                "line": Slice("plane-mean", {n: n for n in ("strength", "x", "y")}),
            },
            sql=replicates_sql(y, arm, predictor=x, rule=book.rule),
        )
    )


def _means(results: Results, arm: str, x: str, y: str) -> Columns:
    across = {one.condition_id: one for one in series_of(results, x, arm)}
    pairs = [
        (across[s.condition_id], s) for s in series_of(results, y, arm) if s.condition_id in across
    ]
    return {
        "strength": [legible(up.strength) for _, up in pairs],
        "x": [for_drawing(along.mean) for along, _ in pairs],
        "y": [for_drawing(up.mean) for _, up in pairs],
    }


def _told(means: Columns) -> str:
    return "; ".join(
        f"strength {strength:g}: {x:.3g} and {y:.3g}"
        for strength, x, y in zip(means["strength"], means["x"], means["y"], strict=True)
        if x is not None and y is not None
    )


def pairs_chart(book: ChartBook, arm: str) -> Chart | None:
    """Draw every two of the mechanism's measures against each other, linked by brushing.

    None where fewer than two of them are measured.
    """
    measures = [measure for measure in PAIRED if _drawn(book, (measure,))]
    if len(measures) < 2:
        return None
    brush = alt.selection_interval(name="brush", resolve="global")
    scale = alt.Scale(zero=False, nice=True)
    parts = [
        alt.Chart(alt.NamedData("points"))
        .mark_circle(style="replicate-point")
        .encode(
            x=alt.X(f"{x}:Q", title=axis_title(x), scale=scale),
            y=alt.Y(f"{y}:Q", title=axis_title(y), scale=scale),
            color=strength_color(),
            opacity=alt.condition(brush, alt.value(_SHOWN), alt.value(_FADED)),
        )
        .properties(width=_NARROW, height=_NARROW)
        for x, y in combinations(measures, 2)
    ]
    named = ", ".join(measure_title(measure) for measure in measures)
    return book.add(
        Chart(
            name="pairs",
            title="Every two of them, one point per student: drag over points to find them in the "
            "other plots, double-click to let go",
            description=f"Scatter plots of every two of {named}; one point per student, coloured "
            "by the strength of augmentation. What strengths and seeds have in common is still "
            "in them.",
            spec=_brushed(parts, brush),
            data={
                "points": Slice(
                    "replicates",
                    {name: name for name in ("block", "strength", *measures)},
                    {"arm": arm},
                )
            },
            sql=replicates_sql(measures[-1], arm, beside=measures[:-1], rule=book.rule),
        )
    )


def _brushed(parts: Sequence[alt.Chart], brush: alt.Parameter) -> dict[str, Any]:
    """Return plots beside each other that share one brush."""
    with warnings.catch_warnings():
        # that every plot has the same brush is what is asked for
        warnings.filterwarnings("ignore", "Automatically deduplicated selection parameter")
        return chart_spec(alt.concat(*parts).add_params(brush), sized=False)


def _drawn(book: ChartBook, measures: Sequence[str]) -> bool:
    columns = [book.tables["replicates"].get(measure, []) for measure in measures]
    return all(any(value is not None for value in column) for column in columns)
