# pyright: basic
"""Charts as Vega-Lite: drawn in the reader's browser, from columns that the page holds once.

Colours come from the page's theme when a chart is drawn, so no colour stands in a chart: marks
name a style (``replicate``, ``fit``, ``band``), which the page's script fills in.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import altair as alt
import polars as pl

from analyze.hypotheses import STRENGTH
from analyze.results import FitLine, Results, Series
from reports.names import axis_title, capitalized, measure_title, students_of
from reports.numbers import decimals_for, fixed, strength_text
from reports.queries import LEARNING_CURVES
from reports.sources import curves_sql, fit_sql, replicates_sql

SEEDS_DRAWN: Final = 30
"""Seed blocks whose replicates are drawn; fits and bands use all of them."""

_SIGNIFICANT: Final = 6
_HEIGHT: Final = 210
_MOST_TICKS: Final = 7
Columns = dict[str, list[Any]]


@dataclass(frozen=True, slots=True)
class Slice:
    """Which columns and rows of one of the page's tables a chart takes.

    columns: name in the chart -> name in the table. where: rows with these values.
    """

    table: str
    columns: Mapping[str, str]
    where: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """One chart. description: what it shows, for those who do not see it.

    sql: a query of the store for what is drawn.
    """

    name: str
    title: str
    description: str
    who: str = ""
    spec: dict[str, Any]
    data: Mapping[str, Slice]
    sql: str


@dataclass(slots=True)
class ChartBook:
    """All charts of a page and the columns that they share. rule: for failed runs."""

    rule: str

    tables: dict[str, Columns] = field(default_factory=dict)
    charts: list[Chart] = field(default_factory=list)

    def add(self, chart: Chart) -> Chart:
        """Enter a chart and return it."""
        self.charts.append(chart)
        return chart

    def to_json(self) -> str:
        """Return tables and charts as JSON that is safe inside a script element."""
        content = {
            "tables": self.tables,
            "charts": {
                chart.name: {
                    "spec": chart.spec,
                    "data": {
                        name: {"table": s.table, "columns": s.columns, "where": s.where}
                        for name, s in chart.data.items()
                    },
                }
                for chart in self.charts
            },
        }
        text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        for mark in "<>&\u2028\u2029":
            text = text.replace(mark, f"\\u{ord(mark):04x}")
        return text


def for_drawing(value: float | None) -> float | None:
    """Return a number at the digits that a picture can show; None where it is not finite."""
    if value is None or value != value or abs(value) == float("inf"):
        return None
    return float(f"{value:.{_SIGNIFICANT}g}")


def replicate_columns(results: Results) -> Columns:
    """One row per drawn seed and condition, one column per measure of ``series``."""
    cells: dict[tuple[str, float, int, int], dict[str, float | None]] = {}
    for series in results.series:
        for block, value in zip(series.blocks, series.values, strict=True):
            key = (series.arm, series.strength, series.condition_id, block)
            cells.setdefault(key, {})[series.measure] = for_drawing(value)
    drawn = set(sorted({key[-1] for key in cells})[:SEEDS_DRAWN])
    keys = [key for key in sorted(cells) if key[-1] in drawn]
    columns: Columns = {
        "arm": [arm for arm, _, _, _ in keys],
        "strength": [legible(strength) for _, strength, _, _ in keys],
        "block": [block for _, _, _, block in keys],
    }
    for measure in dict.fromkeys(series.measure for series in results.series):
        columns[measure] = [cells[key].get(measure) for key in keys]
    return columns


def fit_chart(book: ChartBook, fit: FitLine, index: int, *, alike: Sequence[FitLine]) -> Chart:
    """Draw a claim's replicates with the fitted line and its band.

    alike: the fits that are drawn beside this one, with which it shares its axes.
    """
    name = f"fit-{index}"
    drawn = set(sorted({point.block for point in fit.points})[:SEEDS_DRAWN])
    points = [point for point in fit.points if point.block in drawn]
    book.tables[f"{name}-points"] = {
        "block": [point.block for point in points],
        "strength": [legible(point.strength) for point in points],
        "x": [for_drawing(point.x) for point in points],
        "y": [for_drawing(point.y) for point in points],
    }
    line: Columns = {"x": [for_drawing(x) for x in fit.x], "y": [for_drawing(y) for y in fit.y]}
    if fit.low is not None and fit.high is not None:
        line["low"] = [for_drawing(low) for low in fit.low]
        line["high"] = [for_drawing(high) for high in fit.high]
    book.tables[f"{name}-line"] = line
    on_strength = fit.predictor == STRENGTH
    layers = _trend_layers(fit, alike) if on_strength else _within_layers(fit, alike)
    return book.add(
        Chart(
            name=name,
            title=_fit_title(fit),
            description=_fit_description(fit),
            spec=chart_spec(alt.layer(*layers)),
            data={
                "points": Slice(f"{name}-points", {n: n for n in ("block", "strength", "x", "y")}),
                "line": Slice(f"{name}-line", {n: n for n in line}),
            },
            sql=fit_sql(fit, on_strength=on_strength, rule=book.rule),
        )
    )


def raw_chart(book: ChartBook, fit: FitLine) -> Chart | None:
    """Scatter an association's outcome against its predictor, as measured, by strength."""
    replicates = book.tables["replicates"]
    if fit.predictor not in replicates or fit.outcome not in replicates:
        return None
    x = alt.X("x:Q", title=axis_title(fit.predictor), scale=alt.Scale(zero=False, nice=True))
    y = alt.Y("y:Q", title=None, scale=alt.Scale(zero=False, nice=True))
    base = alt.Chart(alt.NamedData("points")).encode(x=x, y=y)
    seeds = base.mark_line(style="replicate").encode(detail="block:N", order="strength:Q")
    points = base.mark_circle(style="replicate-point").encode(color=strength_color())
    columns = {"block": "block", "strength": "strength", "x": fit.predictor, "y": fit.outcome}
    return book.add(
        Chart(
            name=f"raw-{len(book.charts)}",
            title=f"{capitalized(axis_title(fit.outcome))}, one point per student, "
            "joined within seeds",
            description=f"Scatter of {measure_title(fit.outcome)} against "
            f"{measure_title(fit.predictor)}, coloured by the strength of augmentation; a thin "
            "line joins the students of a seed in order of strength. "
            "Differences between strengths and between seeds are still in it.",
            spec=chart_spec(alt.layer(seeds, points)),
            data={"points": Slice("replicates", columns, {"arm": fit.arm})},
            sql=replicates_sql(fit.outcome, fit.arm, predictor=fit.predictor, rule=book.rule),
        )
    )


def conditions_chart(
    book: ChartBook,
    series: Sequence[Series],
    *,
    name: Callable[[Sequence[float]], str],
    who: str,
    alike: Sequence[Series],
) -> Chart:
    """Draw a measure over the ensembles of one arm: a line per seed, and the mean over seeds.

    series: one per ensemble. name: of an ensemble, by its teachers' strengths. alike: what is
    drawn beside it, on the same vertical axis.
    """
    ordered = sorted(series, key=lambda one: (one.strength, one.condition_id))
    labels = [name(one.teacher_strengths) for one in ordered]
    measure = ordered[0].measure
    made = f"conditions-{len(ordered[0].teacher_strengths)}-{measure}-{ordered[0].arm}"
    drawn = set(sorted({block for one in ordered for block in one.blocks})[:SEEDS_DRAWN])
    rows = [
        (label, block, value)
        for label, one in zip(labels, ordered, strict=True)
        for block, value in zip(one.blocks, one.values, strict=True)
        if block in drawn
    ]
    book.tables[made] = {
        "ensemble": [label for label, _, _ in rows],
        "block": [block for _, block, _ in rows],
        "y": [for_drawing(value) for _, _, value in rows],
    }
    book.tables[f"{made}-mean"] = {
        "ensemble": labels,
        "y": [for_drawing(one.mean) for one in ordered],
    }
    return book.add(
        Chart(
            name=made,
            title=f"{capitalized(axis_title(measure))}, one line per seed",
            who=who,
            description=f"{who}: {measure_title(measure)} of each of {len(drawn)} seeds, over the "
            f"ensembles {', '.join(labels)}, ordered by mean strength; the thick line is the mean "
            "over seeds.",
            spec=chart_spec(alt.layer(*_conditions_layers(labels, alike))),
            data={
                "points": Slice(made, {n: n for n in ("ensemble", "block", "y")}),
                "line": Slice(f"{made}-mean", {n: n for n in ("ensemble", "y")}),
            },
            sql=replicates_sql(
                measure,
                ordered[0].arm,
                conditions=[one.condition_id for one in ordered],
                rule=book.rule,
            ),
        )
    )


def _conditions_layers(labels: Sequence[str], alike: Sequence[Series]) -> list[alt.Chart]:
    x = alt.X(
        "ensemble:N", title="teachers, T1 first", sort=list(labels), axis=alt.Axis(labelAngle=0)
    )
    values = [value for one in alike for value in one.values]
    y = alt.Y("y:Q", title=None, scale=alt.Scale(domain=_padded(values), nice=True, zero=False))
    points = alt.Chart(alt.NamedData("points")).encode(x=x, y=y)
    mean = alt.Chart(alt.NamedData("line")).mark_line(style="fit", point=False).encode(x=x, y=y)
    seeds = points.mark_line(style="replicate").encode(detail="block:N")
    return [seeds, points.mark_circle(style="trend-point"), mean]


def curve_charts(book: ChartBook, curves: pl.DataFrame) -> list[Chart]:
    """Draw accuracy over epochs, one chart for the teachers and one for each arm's students."""
    book.tables["curves"] = {
        name: [for_drawing(v) if isinstance(v, float) else v for v in curves[name].to_list()]
        for name in ("role", "arm", "strength", "epoch", "train_loss", "test_accuracy")
    }
    book.tables["curves"]["strength"] = [legible(s) for s in curves["strength"].to_list()]
    ticks = epoch_ticks(curves["epoch"].to_list())
    groups = curves.select("role", "arm").unique().sort("role", "arm", descending=[True, False])
    drawn: list[Chart] = []
    for measure, words in (
        ("test_accuracy", "test accuracy (fraction)"),
        ("train_loss", "training loss (nats, on augmented images)"),
    ):
        for role, arm in groups.iter_rows():
            who = "Teachers" if role == "teacher" else students_of(arm)
            drawn.append(book.add(_curve_chart(measure, words, role, arm, who, ticks)))
    return drawn


def epoch_ticks(epochs: Sequence[int]) -> list[int]:
    """Return the epochs to name on an axis: whole, evenly apart, at most seven.

    Left to itself the axis names halves of an epoch, rounded: 2, 3, 3, 4, 4.
    """
    first, last = min(epochs), max(epochs)
    step = next(
        multiple * 10**power
        for power in range(len(str(last)) + 1)
        for multiple in (1, 2, 5)
        if last // (multiple * 10**power) - (first - 1) // (multiple * 10**power) <= _MOST_TICKS
    )
    return list(range(-(-first // step) * step, last + 1, step))


def _curve_chart(
    measure: str, words: str, role: str, arm: str, who: str, ticks: Sequence[int]
) -> Chart:
    x = alt.X(
        "epoch:Q",
        title="epoch",
        scale=alt.Scale(nice=False),
        axis=alt.Axis(values=list(ticks), format="d"),
    )
    y = alt.Y("y:Q", title=None, scale=alt.Scale(zero=False, nice=True))
    base = alt.Chart(alt.NamedData("points")).encode(x=x, y=y, color=strength_color())
    chart = alt.layer(base.mark_line(style="curve"), base.mark_circle(style="curve-point"))
    columns = {"epoch": "epoch", "strength": "strength", "y": measure}
    return Chart(
        name=f"curve-{measure}-{role}-{arm}".rstrip("-"),
        title=capitalized(words),
        who=who,
        description=f"{who}: {words} over epochs, one line per augmentation strength of the "
        "teachers, mean over seeds.",
        spec=chart_spec(chart),
        data={"points": Slice("curves", columns, {"role": role, "arm": arm})},
        sql=curves_sql(LEARNING_CURVES.sql, role, arm),
    )


def legible(strength: float) -> float:
    """Return a strength as a legend shows it: means of three teachers have no last digit."""
    return float(f"{strength:.3g}")


def strength_color() -> alt.Color:
    """Colour by strength, with its legend."""
    legend = alt.Legend(title="strength", orient="top", direction="horizontal", symbolType="circle")
    return alt.Color("strength:O", legend=legend)


def _trend_layers(fit: FitLine, alike: Sequence[FitLine]) -> list[alt.Chart]:
    strengths = sorted({point.strength for point in fit.points})
    x = alt.X(
        "x:Q",
        title="teachers’ augmentation strength",
        scale=alt.Scale(domain=_padded(strengths), nice=False),
        axis=alt.Axis(values=strengths, format=".3~g", grid=False, labelOverlap=True),
    )
    y = alt.Y(
        "y:Q",
        title=None,
        scale=alt.Scale(domain=_domain(alike, "y"), nice=True, zero=False),
    )
    points = alt.Chart(alt.NamedData("points")).encode(x=x, y=y)
    seeds = points.mark_line(style="replicate").encode(detail="block:N")
    return [*_band(fit, x, y), seeds, points.mark_circle(style="trend-point"), _line(x, y)]


def _within_layers(fit: FitLine, alike: Sequence[FitLine]) -> list[alt.Chart]:
    scales = {
        axis: alt.Scale(domain=_domain(alike, axis), nice=True, zero=False) for axis in ("x", "y")
    }
    x = alt.X("x:Q", title=f"{measure_title(fit.predictor)}, less its means", scale=scales["x"])
    y = alt.Y("y:Q", title=None, scale=scales["y"])
    points = (
        alt.Chart(alt.NamedData("points"))
        .mark_circle(style="replicate-point")
        .encode(x=x, y=y, color=strength_color())
    )
    return [*_band(fit, x, y), points, _line(x, y)]


def _band(fit: FitLine, x: alt.X, y: alt.Y) -> list[alt.Chart]:
    if fit.low is None:
        return []
    low = alt.Y("low:Q", title=None, scale=y["scale"])
    area = alt.Chart(alt.NamedData("line")).mark_area(style="band", clip=True)
    return [area.encode(x=x, y=low, y2="high:Q")]


def _line(x: alt.X, y: alt.Y) -> alt.Chart:
    return alt.Chart(alt.NamedData("line")).mark_line(style="fit", clip=True).encode(x=x, y=y)


def _domain(fits: Sequence[FitLine], axis: str) -> list[float]:
    values = [getattr(point, axis) for fit in fits for point in fit.points]
    return _padded(values)


def _padded(values: Sequence[float]) -> list[float]:
    if not values:
        return [0.0, 1.0]
    low, high = min(values), max(values)
    margin = 0.04 * (high - low) or max(abs(high), 1.0) * 0.1
    return [low - margin, high + margin]


def _fit_title(fit: FitLine) -> str:
    if fit.predictor == STRENGTH:
        return f"{capitalized(axis_title(fit.outcome))}, one line per seed"
    return f"{capitalized(measure_title(fit.outcome))}, less its seed’s and its strength’s mean"


def _ends_of(fit: FitLine) -> tuple[str, str]:
    """Write where a fitted line begins and ends on its predictor."""
    if fit.predictor == STRENGTH:
        return f"strength {strength_text(fit.x[0])}", f"strength {strength_text(fit.x[-1])}"
    digits = decimals_for((fit.x[-1] - fit.x[0]) / 4)
    return fixed(fit.x[0], digits), fixed(fit.x[-1], digits)


def _fit_description(fit: FitLine) -> str:
    if not fit.x:
        return "No line could be fitted."
    seeds = len({point.block for point in fit.points})
    digits = decimals_for((max(fit.y) - min(fit.y)) / 4, fit.y[0])
    first, last = _ends_of(fit)
    ends = f"from {fixed(fit.y[0], digits)} at {first} to {fixed(fit.y[-1], digits)} at {last}"
    if fit.predictor == STRENGTH:
        return (
            f"{capitalized(measure_title(fit.outcome))} against the teachers’ augmentation "
            f"strength, the runs of each of {seeds} seeds joined by a line. "
            f"The mean of the seeds’ fitted lines goes {ends}."
        )
    return (
        f"Deviations of {measure_title(fit.outcome)} against deviations of "
        f"{measure_title(fit.predictor)}, each from its seed’s and its strength’s mean, "
        f"{seeds} seeds. The fitted line goes {ends}."
    )


def chart_spec(chart: Any, *, sized: bool = True) -> dict[str, Any]:
    """Return the chart's Vega-Lite without what the page sets itself.

    sized: whether the chart is as wide as its box, and as high as others; several plots in one
    are fitted to the box when they are drawn.
    """
    # the schema check takes a second per chart; the browser's test draws every one
    spec = chart.to_dict(validate=False)
    if sized:
        # set in the chart, these would have altair copy the whole of it
        spec |= {"width": "container", "height": _HEIGHT}
    for surplus in ("$schema", "config", "datasets"):
        spec.pop(surplus, None)
    return spec


def series_of(results: Results, measure: str, arm: str) -> list[Series]:
    """Return a measure's series in one arm, by strength."""
    found = [s for s in results.series if s.measure == measure and s.arm == arm]
    return sorted(found, key=lambda series: series.strength)


def strength_list(results: Results) -> str:
    """Name the strengths of the results."""
    strengths = sorted({series.strength for series in results.series})
    return ", ".join(strength_text(strength) for strength in strengths)
