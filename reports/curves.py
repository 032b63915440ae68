"""Specification curves: a drawing made here, so that it needs no script, and its tables.

The drawing is one column of marks per specification. Its horizontal axis stretches with the page
while strokes keep their width, so it reads on a phone and on paper; labels are the page's text.
"""

import csv
import io
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup

from analyze.results import (
    JointTest,
    Specification,
    SpecificationChoice,
    SpecificationCurve,
    Standing,
)
from reports.attached import data_uri
from reports.names import capitalized, test_name
from reports.numbers import Citations, decimals_for, fixed, p_clause, whole
from reports.sources import specifications_sql
from reports.tables import NONE, Cell, Row, Table

_HEIGHT: Final = 200
_GUTTER: Final = 36
_STRIP: Final = 100
_EFFECT_DECIMALS: Final = 2
_COARSE: Final = 0.01
_TICKS: Final = 4


@dataclass(frozen=True, slots=True)
class Strip:
    """One option: its name, whether it is only shown beside, and its marks."""

    title: str
    standing: str
    marks: Markup


@dataclass(frozen=True, slots=True)
class Group:
    """One choice with its options' strips."""

    title: str
    strips: tuple[Strip, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CurveView:
    """Everything that the page shows of one claim's curve."""

    curve: SpecificationCurve
    sentence: Markup
    drawing: Markup
    ticks: Markup
    groups: tuple[Group, ...]
    options: Table
    specifications: Table
    csv: str
    marked: bool


def curve_view(cite: Citations, curve: SpecificationCurve) -> CurveView:
    """Lay out one claim's curve. Without a standardized effect there is no drawing."""
    drawn = [one for one in curve.specifications if one.standardized is not None]
    axis = _Axis.of(drawn)
    return CurveView(
        curve=curve,
        sentence=curve_words(cite, curve),
        drawing=_drawing(curve, drawn, axis) if drawn else Markup(""),
        ticks=_ticks(axis) if drawn else Markup(""),
        groups=tuple(_groups(curve, drawn)) if drawn else (),
        options=options_table(cite, curve),
        specifications=specifications_table(cite, curve),
        csv=curve_csv(curve) if curve.specifications else "",
        marked=any(one.standing is not Standing.COUNTED for one in curve.specifications),
    )


def curve_words(cite: Citations, curve: SpecificationCurve) -> Markup:
    """Say what all counted specifications show together."""
    if curve.claimed is None:
        return Markup("No specification could be estimated.")
    plural = curve.counted != 1
    start = Markup("Of {} defensible specification{}, {} point{} the claimed way").format(
        cite.count(curve, "counted"),
        "s" if plural else "",
        cite.share(curve, "claimed"),
        "" if plural else "s",
    )
    if curve.significant is None or curve.median is None:
        return start + ". Fewer than three seeds: none is tested."
    against = Markup("")
    if curve.significant_opposite:
        against = Markup(", and {} are significant the opposite way").format(
            cite.share(curve, "significant_opposite")
        )
    return start + Markup(
        ", {} significantly so (<i>p</i> &lt; .05){}; the median effect is {} standard deviations "
        "of a seed.{}"
    ).format(
        cite.share(curve, "significant"),
        against,
        cite.plain(curve, "median", _EFFECT_DECIMALS),
        _joint_words(cite, curve.joint),
    )


def _joint_words(cite: Citations, joint: Sequence[JointTest]) -> Markup:
    tests = {test.test: test for test in joint}
    median, significant = tests.get("joint_median"), tests.get("joint_significant")
    if median is None or significant is None:
        return Markup("")
    how = "all" if median.exact else "a seeded sample of"
    return Markup(
        " If there were nothing to find, a median as far from zero would come about with {} and as "
        "many specifications significant as claimed (ties told apart by the median) with {}: {} "
        "seeds’ effects turned round in {} {} ways{}."
    ).format(
        p_clause(cite.p(median)),
        p_clause(cite.p(significant)),
        cite.count(median, "n"),
        how,
        cite.count(median, "draws"),
        _coarse(cite, median),
    )


def _coarse(cite: Citations, test: JointTest) -> Markup:
    """Say the least p where it is too large to find anything."""
    if test.smallest_p < _COARSE:
        return Markup("")
    return Markup("; the median’s <i>p</i> cannot be below {}").format(cite.p(test, "smallest_p"))


def options_table(cite: Citations, curve: SpecificationCurve) -> Table:
    """Return what each option's specifications say: which choice the finding hangs on."""
    return Table(
        caption=f"What each choice does to {curve.hypothesis}",
        head=("Choice", "Option", "Specifications", "Claimed sign", "Significant", "Median effect"),
        rows=tuple(
            Row(
                (
                    choice.title,
                    Markup("{}{}").format(capitalized(option.title), _beside(option.standing)),
                    cite.count(option, "specifications"),
                    NONE if option.claimed is None else cite.share(option, "claimed"),
                    NONE if option.significant is None else cite.share(option, "significant"),
                    cite.plain(option, "median", _EFFECT_DECIMALS),
                )
            )
            for choice in curve.choices
            for option in choice.options
        ),
        words=2,
        note="Of the counted specifications that take the option. Options that are only shown "
        "beside count in none.",
        sql=specifications_sql(curve.hypothesis),
    )


def _beside(standing: Standing) -> Markup:
    if standing is Standing.COUNTED:
        return Markup("")
    return Markup(' <span class="tag faint">{}</span>').format(standing)


def specifications_table(cite: Citations, curve: SpecificationCurve) -> Table:
    """Every specification, in the order of the drawing."""
    titles = [{option.name: option.title for option in c.options} for c in curve.choices]
    numbers = ("Estimate, 95 % interval", "Standardized", "p")
    return Table(
        caption=f"Every specification of {curve.hypothesis}",
        head=(*(choice.title for choice in curve.choices), *numbers),
        rows=tuple(_row(cite, one, titles) for one in curve.specifications),
        words=len(curve.choices),
        note=f"{_tests_used(curve)} Estimates are in the units of the options taken; the "
        "standardized ones share one unit, and their sign is turned so that the claimed direction "
        "is positive. The CSV has every bound at full precision.",
        sql=specifications_sql(curve.hypothesis),
    )


def _tests_used(curve: SpecificationCurve) -> str:
    """Name the tests and seeds: one sentence where rows would repeat it."""
    tested = [one for one in curve.specifications if one.test]
    tests = dict.fromkeys(test_name(one.test).lower() for one in tested)
    seeds = sorted({one.n for one in tested})
    if not seeds:
        return ""
    span = whole(seeds[0]) if len(seeds) == 1 else f"{whole(seeds[0])} to {whole(seeds[-1])}"
    return f"Tested by: {'; '.join(tests)}. Seeds: {span}."


def _row(cite: Citations, one: Specification, titles: Sequence[dict[str, str]]) -> Row:
    digits = decimals_for(one.standard_error, one.estimate)
    options: list[Cell] = [
        capitalized(named[option]) for named, option in zip(titles, one.options, strict=True)
    ]
    if options and one.standing is not Standing.COUNTED:
        options[-1] = Markup("{}{}").format(options[-1], _beside(one.standing))
    estimate: Cell = cite.plain(one, "estimate", digits)
    if one.interval is not None:
        # thousands of bounds: full precision is in the CSV, and not a second time here
        bounds = (fixed(one.interval.low, digits), fixed(one.interval.high, digits))
        estimate = Markup("{} [{}, {}]").format(estimate, *bounds)
    return Row(
        (*options, estimate, cite.plain(one, "standardized", _EFFECT_DECIMALS), cite.p(one)),
        "primary" if one.deciding else "",
    )


def curve_csv(curve: SpecificationCurve) -> str:
    """Return the drawing's data as a CSV data URI, at full precision.

    A standardized bound is the bound times standardized over estimate.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = [choice.name for choice in curve.choices]
    writer.writerow(("outcome", "predictor", *names, "standing", "deciding", "estimate", "low",
                     "high", "standardized", "p_value", "seeds"))  # fmt: skip
    for one in curve.specifications:
        bounds = (one.interval.low, one.interval.high) if one.interval else (None, None)
        writer.writerow((one.outcome, one.predictor, *one.options, one.standing, int(one.deciding),
                         one.estimate, *bounds, one.standardized, one.p_value,
                         one.n))  # fmt: skip
    return data_uri(text.getvalue())


@dataclass(frozen=True, slots=True)
class _Axis:
    """Standardized effects to heights: zero is in it, and up is the claimed direction."""

    low: float
    high: float

    @classmethod
    def of(cls, drawn: Sequence[Specification]) -> "_Axis":
        values = [0.0, *(one.standardized or 0.0 for one in drawn)]
        for one in drawn:
            if one.standardized_interval is not None:
                values += [one.standardized_interval.low, one.standardized_interval.high]
        known = [value for value in values if math.isfinite(value)]
        margin = 0.05 * (max(known) - min(known)) or 1.0
        return cls(min(known) - margin, max(known) + margin)

    def y(self, value: float) -> float:
        held = min(max(value, self.low), self.high)
        return (self.high - held) / (self.high - self.low) * _HEIGHT

    def ticks(self) -> list[float]:
        """Return round values within the axis, zero among them."""
        raw = (self.high - self.low) / _TICKS
        power = 10 ** math.floor(math.log10(raw))
        step = next(m * power for m in (1, 2, 5, 10) if m * power >= raw)
        first = math.ceil(self.low / step)
        return [step * place for place in range(first, math.floor(self.high / step) + 1)]


def _kind(one: Specification) -> str:
    """Name how a specification is drawn: by its sign where it is significant, else plainly."""
    if one.standing is not Standing.COUNTED:
        return "beside"
    if not one.significant or one.standardized is None:
        return "neither"
    return "claimed" if one.standardized > 0 else "opposite"


_KINDS: Final = ("neither", "claimed", "opposite", "beside")
"""In the order in which they are drawn, later ones on top."""


def _drawing(curve: SpecificationCurve, drawn: Sequence[Specification], axis: _Axis) -> Markup:
    parts = [
        Markup(
            '<svg class="curve-plot" viewBox="0 0 {} {}" preserveAspectRatio="none" role="img" '
            'aria-label="{}" focusable="false">'
        ).format(len(drawn), _HEIGHT, _spoken(curve, drawn)),
        *(
            Markup('<path class="{}" d="M0 {:.1f}H{}"/>').format(
                "zero" if tick == 0 else "grid", axis.y(tick), len(drawn)
            )
            for tick in axis.ticks()
        ),
        _deciding(drawn, _HEIGHT),
    ]
    for kind in _KINDS:
        chosen = [(place, one) for place, one in enumerate(drawn) if _kind(one) == kind]
        parts += _estimates(chosen, kind, axis)
    return Markup("").join([*parts, Markup("</svg>")])


def _estimates(
    chosen: Sequence[tuple[int, Specification]], kind: str, axis: _Axis
) -> Iterator[Markup]:
    whiskers = "".join(
        f"M{place + 0.5:g} {axis.y(one.standardized_interval.low):.1f}"
        f"V{axis.y(one.standardized_interval.high):.1f}"
        for place, one in chosen
        if one.standardized_interval is not None
    )
    # a stroke of no length with round ends is a dot that keeps its shape on a stretched axis
    points = "".join(
        f"M{place + 0.5:g} {axis.y(one.standardized or 0.0):.1f}h0" for place, one in chosen
    )
    if whiskers:
        yield Markup('<path class="whisker k-{}" d="{}"/>').format(kind, whiskers)
    if points:
        yield Markup('<path class="point k-{}" d="{}"/>').format(kind, points)
        if kind == "beside":
            yield Markup('<path class="hole" d="{}"/>').format(points)


def _deciding(drawn: Sequence[Specification], height: int) -> Markup:
    """Draw a line through the whole figure where the specification that decides stands."""
    path = "".join(
        f"M{place + 0.5:g} 0V{height}" for place, one in enumerate(drawn) if one.deciding
    )
    return Markup('<path class="decides" d="{}"/>').format(path) if path else Markup("")


def _ticks(axis: _Axis) -> Markup:
    digits = decimals_for(None, min((abs(t) for t in axis.ticks() if t), default=1.0))
    digits = max(digits - 2, 0)
    labels = Markup("").join(
        Markup('<text x="{}" y="{:.1f}">{}</text>').format(
            _GUTTER - 6, axis.y(tick) + 4, fixed(tick, digits)
        )
        for tick in axis.ticks()
    )
    return Markup(
        '<svg class="curve-ticks" width="{0}" height="{1}" viewBox="0 0 {0} {1}" '
        'aria-hidden="true" focusable="false">{2}</svg>'
    ).format(_GUTTER, _HEIGHT, labels)


def _groups(curve: SpecificationCurve, drawn: Sequence[Specification]) -> Iterator[Group]:
    for place, choice in enumerate(curve.choices):
        yield Group(choice.title, tuple(_strips(choice, place, drawn)))


def _strips(
    choice: SpecificationChoice, place: int, drawn: Sequence[Specification]
) -> Iterator[Strip]:
    for option in choice.options:
        taken = [(at, one) for at, one in enumerate(drawn) if one.options[place] == option.name]
        marks = [_deciding(drawn, _STRIP)]
        for kind in _KINDS:
            path = "".join(f"M{at + 0.5:g} 15V85" for at, one in taken if _kind(one) == kind)
            if path:
                marks.append(Markup('<path class="mark k-{}" d="{}"/>').format(kind, path))
        yield Strip(
            capitalized(option.title),
            "" if option.standing is Standing.COUNTED else str(option.standing),
            Markup(
                '<svg class="curve-strip" viewBox="0 0 {} {}" preserveAspectRatio="none" '
                'aria-hidden="true" focusable="false">{}</svg>'
            ).format(len(drawn), _STRIP, Markup("").join(marks)),
        )


def _spoken(curve: SpecificationCurve, drawn: Sequence[Specification]) -> str:
    effects = [one.standardized for one in drawn if one.standardized is not None]
    return (
        f"Standardized effects of {whole(len(drawn))} specifications of {curve.hypothesis} in "
        f"order, from {fixed(effects[0], _EFFECT_DECIMALS)} to "
        f"{fixed(effects[-1], _EFFECT_DECIMALS)}, each with its 95 % interval; positive is the "
        "claimed direction. Below, which options each takes; the table holds them all."
    )
