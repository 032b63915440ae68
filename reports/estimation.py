# pyright: basic
"""Estimation plots of paired differences: every seed's, their mean and its interval.

Source of the drawing: Ho, Tumkaya, Aryal, Choi and Claridge-Chang (2019).
"""

import altair as alt

from analyze.differences import paired_evidence, seed_differences
from analyze.results import Evidence, Finding, FitLine, Interval
from reports.figures import SEEDS_DRAWN, Chart, ChartBook, Slice, chart_spec, for_drawing
from reports.names import axis_title, capitalized, measure_title
from reports.numbers import fixed
from reports.prose import evidence_decimals
from reports.sources import tests_sql


def estimation_chart(book: ChartBook, finding: Finding, fit: FitLine) -> Chart | None:
    """Draw how each seed's outcome differs from its own at the weakest strength.

    None where no paired test was made of the fit's outcome.
    """
    tests = {
        strength: (item, item.interval)
        for strength, item in paired_evidence(finding.evidence, fit.outcome).items()
        if item.estimate is not None and item.interval is not None
    }
    differences = [each for each in seed_differences(fit.points) if f"{each[1]:g}" in tests]
    if not differences:
        return None
    drawn = set(sorted({block for block, _, _ in differences})[:SEEDS_DRAWN])
    shown = [each for each in differences if each[0] in drawn]
    name = f"differences-{finding.hypothesis}-{fit.outcome}"
    book.tables[name] = {
        "block": [block for block, _, _ in shown],
        "strength": [f"{strength:g}" for _, strength, _ in shown],
        "y": [for_drawing(value) for _, _, value in shown],
    }
    book.tables[f"{name}-mean"] = {
        "strength": list(tests),
        "y": [for_drawing(item.estimate) for item, _ in tests.values()],
        "low": [for_drawing(interval.low) for _, interval in tests.values()],
        "high": [for_drawing(interval.high) for _, interval in tests.values()],
    }
    weakest = f"{min(point.strength for point in fit.points):g}"
    return book.add(
        Chart(
            name=name,
            title=f"{capitalized(axis_title(fit.outcome))}: difference within each seed from "
            f"strength {weakest}, with the mean and its 95 % interval",
            description=_described(fit, tests, weakest),
            spec=chart_spec(alt.layer(*_layers(list(tests)))),
            data={
                "points": Slice(name, {n: n for n in ("block", "strength", "y")}),
                "line": Slice(f"{name}-mean", {n: n for n in ("strength", "y", "low", "high")}),
            },
            sql=tests_sql(finding, finding.hypothesis, paired=True),
        )
    )


def _layers(strengths: list[str]) -> list[alt.Chart]:
    x = alt.X(
        "strength:N",
        title="teachers’ augmentation strength",
        sort=strengths,
        axis=alt.Axis(labelAngle=0),
    )
    y = alt.Y("y:Q", title=None, scale=alt.Scale(zero=True, nice=True))
    points = alt.Chart(alt.NamedData("points")).mark_circle(style="trend-point")
    mean = alt.Chart(alt.NamedData("line")).encode(x=x)
    zero = alt.Chart(alt.NamedData("line")).mark_rule(style="zero").encode(y=alt.datum(0))
    return [
        zero,
        points.encode(x=x, y=y),
        mean.mark_rule(style="fit", xOffset=12).encode(
            y=alt.Y("low:Q", title=None), y2=alt.Y2("high:Q")
        ),
        mean.mark_point(style="estimate", xOffset=12).encode(y=y),
    ]


def _described(fit: FitLine, tests: dict[str, tuple[Evidence, Interval]], weakest: str) -> str:
    told = []
    for strength, (item, interval) in tests.items():
        digits = evidence_decimals(item)
        told.append(
            f"at {strength} {fixed(item.estimate or 0.0, digits)} "
            f"[{fixed(interval.low, digits)}, {fixed(interval.high, digits)}]"
        )
    return (
        f"{capitalized(measure_title(fit.outcome))} at each strength less the same seed’s at "
        f"strength {weakest}: a dot for each seed, and their mean with its 95 % interval: "
        f"{'; '.join(told)}."
    )
