"""Distillation against no distillation: drawings, tables and words of what it does by itself.

Each drawing is an estimation plot: every seed's difference, their mean and its 95 % interval, by
arm and teachers' strength, zero meaning that teachers make no difference. It needs no script.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup

from analyze.distillation import DISTILLATION
from analyze.results import DistillationEffect, Evidence, Interval, Results
from reports.attached import data_uri
from reports.figures import SEEDS_DRAWN
from reports.names import axis_title, capitalized, measure_title
from reports.numbers import MINUS, THIN, Citations, fixed, p_clause, strength_text
from reports.prose import evidence_decimals
from reports.sources import tests_of_sql
from reports.tables import Cell, Row, Table, anchor
from store.measures import BY_NAME

_WIDTH: Final = 640
_LABELS: Final = 200
_LANE: Final = 30
_AXIS: Final = 26
_MARGIN: Final = 14
_ROOM: Final = 1.08
NONE: Final = "–"


@dataclass(frozen=True, slots=True, kw_only=True)
class OutcomeView:
    """What distillation does to one outcome, in every arm."""

    title: str
    axis: str
    sentences: tuple[Markup, ...]
    drawing: Markup
    anchor: str
    csv: str
    table: Table
    caveats: tuple[str, ...]


def distillation_views(results: Results, cite: Citations) -> tuple[OutcomeView, ...]:
    """Return one view per outcome, in the order of the results; none without control students."""
    outcomes = dict.fromkeys(effect.outcome for effect in results.distillation)
    shared = results.counts.teacher_pools is not None
    return tuple(
        _view([e for e in results.distillation if e.outcome == outcome], cite, shared=shared)
        for outcome in outcomes
    )


def _view(effects: Sequence[DistillationEffect], cite: Citations, *, shared: bool) -> OutcomeView:
    outcome = effects[0].outcome
    averaged = [effect for effect in effects if effect.teacher_strength is None]
    return OutcomeView(
        title=capitalized(measure_title(outcome)),
        axis=f"Distilled minus control, {axis_title(outcome)}",
        sentences=tuple(_sentence(e, cite, shared=shared) for e in averaged if e.evidence),
        drawing=_drawing([effect for effect in effects if effect.evidence]),
        anchor=f"distillation-{anchor(outcome)}",
        csv=differences_csv(effects),
        table=_table(effects, cite),
        caveats=_caveats(effects),
    )


def differences_csv(effects: Sequence[DistillationEffect]) -> str:
    """Return every drawn difference as a CSV data URI, at full precision."""
    lines = ["arm,teacher_strength,block,difference"]
    for effect in effects:
        strength = "all" if effect.teacher_strength is None else repr(effect.teacher_strength)
        drawn = zip(effect.blocks, effect.differences, strict=True)
        lines += [f"{effect.arm},{strength},{b},{d!r}" for b, d in list(drawn)[:SEEDS_DRAWN]]
    return data_uri("\n".join([*lines, ""]))


def _caveats(effects: Sequence[DistillationEffect]) -> tuple[str, ...]:
    """Say each caveat once, with the students that it is about unless that is all of them."""
    about: dict[str, list[DistillationEffect]] = {}
    for effect in effects:
        for text in (*effect.caveats, *(effect.evidence[0].caveats if effect.evidence else ())):
            about.setdefault(text, []).append(effect)
    return tuple(
        text
        if len(named) == len(effects)
        else f"{capitalized('; '.join(map(_who, named)))}: {text[0].lower()}{text[1:]}"
        for text, named in about.items()
    )


def _who(effect: DistillationEffect) -> str:
    """Name the students compared in a few words."""
    if effect.teacher_strength is None:
        return f"{effect.arm} arm, all teachers"
    return f"{effect.arm} arm, teachers at {strength_text(effect.teacher_strength)}"


def _sentence(effect: DistillationEffect, cite: Citations, *, shared: bool) -> Markup:
    """Say the averaged effect with its interval, seeds and p."""
    test = effect.evidence[0]
    digits = evidence_decimals(test)
    text = Markup("{} arm: {} with teachers, {} without; difference {}").format(
        effect.arm.capitalize(),
        cite.plain(effect, "distilled", max(digits, 3)),
        cite.plain(effect, "control", max(digits, 3)),
        cite.plain(test, "estimate", digits),
    )
    if test.interval is not None:
        text += Markup(", 95{}% interval {}").format(THIN, _bounds(cite, test))
    if test.p_value is not None:
        text += Markup(", {}").format(p_clause(cite.p(test)))
    counted = "teacher pools" if shared else "seeds"
    return text + Markup(" ({} {}).").format(cite.count(test, "n"), counted)


def _bounds(cite: Citations, test: Evidence) -> Markup:
    return cite.interval(test.interval, evidence_decimals(test))


def _table(effects: Sequence[DistillationEffect], cite: Citations) -> Table:
    unit = BY_NAME[effects[0].outcome].unit
    return Table(
        caption=f"{capitalized(measure_title(effects[0].outcome))}: distilled against control "
        "students of the same seeds",
        head=(
            "Students",
            "With teachers",
            "Without",
            f"Difference, {unit}",
            "95 % interval",
            "p",
            "p, sign-flip",
            "q",
            "d_z",
            "Hedges g_av",
            "n",
        ),
        rows=tuple(_row(effect, cite) for effect in effects),
        note="Each seed gives one difference: the mean of its distilled students minus the "
        "control of the same start, data order and augmentation. q: p adjusted over all secondary "
        "tests of the study (Benjamini and Hochberg). d_z: mean over standard deviation of the "
        "differences; g_av: over the average standard deviation of both kinds of student.",
        sql=tests_of_sql(DISTILLATION, effects[0].outcome),
    )


def _row(effect: DistillationEffect, cite: Citations) -> Row:
    name = capitalized(_who(effect))
    if not effect.evidence:
        why = Markup("{}<small>{}</small>").format(name, " ".join(effect.caveats))
        return Row((why, *([NONE] * 10)))
    test, flips = effect.evidence
    digits = evidence_decimals(test)
    least: Cell = cite.p(flips)
    if flips.p_value is not None and flips.smallest_p is not None:
        least = Markup("{} <small>(least {})</small>").format(least, cite.p(flips, "smallest_p"))
    return Row(
        (
            name,
            cite.plain(effect, "distilled", max(digits, 3)),
            cite.plain(effect, "control", max(digits, 3)),
            cite.plain(test, "estimate", digits),
            _bounds(cite, test),
            cite.p(test),
            least,
            cite.p(test, "q_value"),
            cite.plain(effect, "d_z", 2),
            cite.plain(effect, "hedges_g_av", 2),
            cite.count(test, "n"),
        ),
        "strong" if effect.teacher_strength is None else "",
    )


def _drawing(effects: Sequence[DistillationEffect]) -> Markup:
    """One lane per effect: a dot per seed, the mean with its interval."""
    if not effects:
        return Markup("")
    span = _span(effects)
    height = _LANE * len(effects)
    spoken = "; ".join(_spoken(effect) for effect in effects)
    parts = [
        Markup(
            '<svg class="forest lanes" viewBox="0 0 {} {}" role="img" aria-label="{}" '
            'focusable="false">'
        ).format(_WIDTH, height + _AXIS, spoken),
        Markup('<line class="zero" x1="{0:.1f}" x2="{0:.1f}" y1="0" y2="{1}"/>').format(
            _x(0, span), height
        ),
    ]
    for lane, effect in enumerate(effects):
        parts += _lane(effect, _LANE * (lane + 0.5), span)
    for value in (-_tick(span), 0.0, _tick(span)):
        parts.append(
            Markup('<text class="tick" x="{:.1f}" y="{}">{}</text>').format(
                _x(value, span), height + 18, _signed(value)
            )
        )
    return Markup("").join([*parts, Markup("</svg>")])


def _lane(effect: DistillationEffect, y: float, span: float) -> list[Markup]:
    test = effect.evidence[0]
    look = "" if effect.teacher_strength is not None else " strong"
    parts = [
        Markup('<text class="lane{}" x="0" y="{:.1f}">{}</text>').format(look, y + 4, _who(effect))
    ]
    parts += [
        Markup('<circle class="seed" cx="{:.1f}" cy="{:.1f}" r="3"/>').format(
            _x(difference, span), y - 6
        )
        for difference in effect.differences[:SEEDS_DRAWN]
    ]
    if test.interval is not None:
        low, high = _within(test.interval, span)
        parts.append(
            Markup(
                '<line class="whisker" x1="{:.1f}" x2="{:.1f}" y1="{:.1f}" y2="{:.1f}"/>'
            ).format(low, high, y + 5, y + 5)
        )
    if test.estimate is not None:
        parts.append(
            Markup('<circle class="point" cx="{:.1f}" cy="{:.1f}" r="5"/>').format(
                _x(test.estimate, span), y + 5
            )
        )
    return parts


def _span(effects: Sequence[DistillationEffect]) -> float:
    """Value at the drawing's edge: everything that is shown fits."""
    shown = [abs(value) for effect in effects for value in effect.differences[:SEEDS_DRAWN]]
    for effect in effects:
        interval = effect.evidence[0].interval
        if interval is not None:
            shown += [abs(interval.low), abs(interval.high)]
    return _ROOM * max([value for value in shown if math.isfinite(value)], default=1.0) or 1.0


def _x(value: float, span: float) -> float:
    middle = _LABELS + (_WIDTH - _LABELS) / 2
    return middle + value / span * ((_WIDTH - _LABELS) / 2 - _MARGIN)


def _within(interval: Interval, span: float) -> tuple[float, float]:
    bounds = (
        bound if math.isfinite(bound) else math.copysign(span, bound)
        for bound in (interval.low, interval.high)
    )
    low, high = (min(max(_x(bound, span), _LABELS), _WIDTH - 2) for bound in bounds)
    return low, high


def _tick(span: float) -> float:
    """Return the roundest value that fits on either side."""
    power = 10 ** math.floor(math.log10(span))
    return max(step * power for step in (1, 2, 5) if step * power <= 0.93 * span or step == 1)


def _signed(value: float) -> str:
    if value == 0:
        return "0"
    return f"{MINUS if value < 0 else '+'}{abs(value):.3g}"


def _spoken(effect: DistillationEffect) -> str:
    """Say one lane for those who do not see the drawing."""
    test = effect.evidence[0]
    digits = evidence_decimals(test)
    text = f"{_who(effect)}: mean difference {fixed(test.estimate or 0.0, digits)}"
    if test.interval is not None:
        low, high = fixed(test.interval.low, digits), fixed(test.interval.high, digits)
        text += f", 95 % interval {low} to {high}"
    return text
