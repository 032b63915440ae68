"""Estimates drawn against what would matter: small SVG made here, so that it needs no script.

Every drawing has zero in the middle and the claimed direction to the right; its ticks carry
the signed numbers, so a claim that expects a fall has its negative numbers on the right.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup

from analyze.comparison import Alike, Member
from analyze.hypotheses import HYPOTHESES, Direction
from analyze.inference.meta_analysis import MetaAnalysis
from analyze.results import Contrast, Finding, Interval, OutcomeFinding, Verdict
from reports.numbers import MINUS
from reports.prose import spoken_contrast, spoken_interval
from store.vocabulary import Form

_WIDE: Final = 440
_NARROW: Final = 220
_LANE: Final = 24
_LABELS: Final = 18
_MARGIN: Final = 16
_ROOM: Final = 1.12  # the drawing reaches a little further than what it shows
_DIAMOND: Final = '<polygon class="diamond" points="{:.1f},{} {:.1f},{} {:.1f},{} {:.1f},{}"/>'
_WIDER_THAN_STUDIES: Final = 1.6  # how much further than every study a summary may stretch it


def claimed_sign(finding: Finding) -> int:
    """Return 1 where the claim expects a positive estimate, else -1."""
    claim = HYPOTHESES.get(finding.hypothesis)
    return claim.direction.sign if claim else Direction.RISES.sign


def deciding_interval(outcome: OutcomeFinding) -> Interval | None:
    """Return the interval that the verdict was read from.

    That an effect is negligible is read from a narrower one (1 - 2 alpha) than that there is one.
    """
    if outcome.verdict is Verdict.NEGLIGIBLE:
        return outcome.equivalence_interval
    return outcome.verdict_interval


def forest(finding: Finding, outcome: OutcomeFinding, *, compact: bool = False) -> Markup:
    """Draw an outcome's estimate, 95 % interval and band of effects too small to matter.

    compact: for a table's cell, without numbers on the axis.
    """
    axis = _Axis(
        width=_NARROW if compact else _WIDE, span=_span(outcome), sign=claimed_sign(finding)
    )
    look = " is-published" if finding.form == Form.PUBLISHED else ""
    parts = [
        Markup(
            '<svg class="forest{}{}" viewBox="0 0 {} {}" role="img" aria-label="{}" '
            'focusable="false">'
        ).format(
            look,
            " compact" if compact else "",
            axis.width,
            _LANE if compact else _LANE + _LABELS,
            spoken_interval(outcome),
        ),
        _band(outcome.sesoi, axis),
        Markup('<line class="zero" x1="{0}" x2="{0}" y1="0" y2="{1}"/>').format(axis.x(0), _LANE),
    ]
    if not compact:
        parts.append(_ticks(outcome.sesoi, axis))
    for name, interval in (("reach", deciding_interval(outcome)), ("whisker", outcome.interval_95)):
        if interval is not None:
            parts.append(_whisker(name, interval, axis))
    if outcome.estimate is not None and math.isfinite(outcome.estimate):
        parts.append(
            Markup('<circle class="point" cx="{:.1f}" cy="{}" r="5.5"/>').format(
                axis.x(outcome.estimate), _LANE / 2
            )
        )
    return Markup("").join([*parts, Markup("</svg>")])


def contrast_forest(contrast: Contrast, *, span: float, last: bool) -> Markup:
    """Draw a contrast's estimate and 95 % interval, and its band where there is one.

    span: value at the drawing's edge, the same for all that are drawn below each other. last:
    with numbers on the axis. No direction was claimed, so that positive is right.
    """
    axis = _Axis(width=_WIDE, span=span, sign=1)
    found = contrast.evidence[0]
    parts = [
        Markup(
            '<svg class="forest" viewBox="0 0 {} {}" role="img" aria-label="{}" focusable="false">'
        ).format(axis.width, _LANE + _LABELS if last else _LANE, spoken_contrast(contrast)),
        Markup("") if contrast.sesoi is None else _band(contrast.sesoi, axis),
        Markup('<line class="zero" x1="{0}" x2="{0}" y1="0" y2="{1}"/>').format(axis.x(0), _LANE),
    ]
    if last:
        parts.append(_labels((0.0, *_round_ticks(span)), axis))
    if found.interval is not None:
        parts.append(_whisker("whisker", found.interval, axis))
    if found.estimate is not None and math.isfinite(found.estimate):
        parts.append(
            Markup('<circle class="point" cx="{:.1f}" cy="{}" r="5.5"/>').format(
                axis.x(found.estimate), _LANE / 2
            )
        )
    return Markup("").join([*parts, Markup("</svg>")])


def contrast_span(contrasts: Sequence[Contrast]) -> float:
    """Value at the edge of drawings below each other: all that they show, with air around it."""
    values = [0.0]
    for contrast in contrasts:
        values += [] if contrast.sesoi is None else [1.1 * contrast.sesoi]
        for found in contrast.evidence[:1]:
            values += [] if found.estimate is None else [abs(found.estimate)]
            if found.interval is not None:
                values += [abs(found.interval.low), abs(found.interval.high)]
    return _ROOM * max(value for value in values if math.isfinite(value)) or 1.0


def alike_span(alike: Alike) -> float:
    """Value at the edge of a forest plot: every study, and the summary as far as that allows.

    From two studies the summary's interval is so wide that the studies would shrink to dots.
    """
    studies = [abs(member.estimate) for member in alike.members]
    for member in alike.members:
        if member.interval is not None:
            studies += [abs(member.interval.low), abs(member.interval.high)]
    if alike.sesoi is not None:
        studies.append(1.3 * alike.sesoi)
    most = max((value for value in studies if math.isfinite(value)), default=1.0)
    summary = alike.summary
    both = (None if summary is None else summary.interval, summary and summary.prediction)
    wished = [abs(b) for i in both if i is not None for b in (i.low, i.high) if math.isfinite(b)]
    return _ROOM * min(max([most, *wished]), _WIDER_THAN_STUDIES * most) or 1.0


def study_forest(alike: Alike, member: Member, *, sign: int, span: float, spoken: str) -> Markup:
    """Draw one study among those alike: a square, larger with its weight, and its interval."""
    axis = _Axis(width=_WIDE, span=span, sign=sign)
    half = 5.0 if member.weight is None else 3 + 5 * math.sqrt(member.weight)
    square = Markup(
        '<rect class="point" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"/>'
    ).format(axis.x(member.estimate) - half, _LANE / 2 - half, 2 * half, 2 * half)
    marks = [] if member.interval is None else [_whisker("whisker thin", member.interval, axis)]
    return _lane(alike, axis, [*marks, square], spoken)


def summary_forest(
    alike: Alike, summary: MetaAnalysis, *, sign: int, span: float, spoken: str
) -> Markup:
    """Draw the mean over studies: a diamond over its interval, and the prediction interval."""
    axis = _Axis(width=_WIDE, span=span, sign=sign)
    marks: list[Markup] = []
    if summary.prediction is not None:
        marks.append(_whisker("reach", summary.prediction, axis))
    low, high = axis.ends(summary.interval)
    middle = _LANE / 2
    marks.append(
        Markup(_DIAMOND).format(
            low, middle, axis.x(summary.estimate), middle - 7, high, middle,
            axis.x(summary.estimate), middle + 7,
        )
    )  # fmt: skip
    for interval in (summary.interval, summary.prediction):
        marks += [] if interval is None else _arrows(interval, axis)
    return _lane(alike, axis, marks, spoken)


def axis_of(alike: Alike, *, sign: int, span: float) -> Markup:
    """Write the numbers below the drawings of a forest plot."""
    axis = _Axis(width=_WIDE, span=span, sign=sign)
    labels = _ticks(alike.sesoi, axis) if alike.sesoi else _labels((0.0, *_round_ticks(span)), axis)
    return Markup('<svg class="forest" viewBox="0 {} {} {}" aria-hidden="true">{}</svg>').format(
        _LANE, axis.width, _LABELS, labels
    )


def _lane(alike: Alike, axis: "_Axis", marks: Sequence[Markup], spoken: str) -> Markup:
    parts = [
        Markup(
            '<svg class="forest" viewBox="0 0 {} {}" role="img" aria-label="{}" focusable="false">'
        ).format(axis.width, _LANE, spoken),
        Markup("") if alike.sesoi is None else _band(alike.sesoi, axis, whole=True),
        Markup('<line class="zero" x1="{0}" x2="{0}" y1="0" y2="{1}"/>').format(axis.x(0), _LANE),
    ]
    return Markup("").join([*parts, *marks, Markup("</svg>")])


def _arrows(interval: Interval, axis: "_Axis") -> list[Markup]:
    """Point outwards where an interval goes on beyond the drawing."""
    middle = _LANE / 2
    reached = [axis.x(bound) for bound in (interval.low, interval.high) if math.isfinite(bound)]
    arrow = Markup('<path class="arrow" d="M{:.1f} {}l{} -5v10z"/>')
    left = [arrow.format(0, middle, 8)] if min(reached) < 0 else []
    return left + ([arrow.format(axis.width, middle, -8)] if max(reached) > axis.width else [])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Axis:
    """Values to places: zero in the middle, the claimed direction to the right."""

    width: int
    span: float
    sign: int

    def x(self, value: float) -> float:
        return self.width / 2 + self.length(self.sign * value)

    def length(self, value: float) -> float:
        return value / self.span * (self.width / 2 - _MARGIN)

    def ends(self, interval: Interval) -> tuple[float, float]:
        """Return an interval's ends, left first; an infinite bound runs to the drawing's edge."""
        bounds = (
            bound if math.isfinite(bound) else math.copysign(2 * self.span, bound)
            for bound in (interval.low, interval.high)
        )
        left, right = sorted(min(max(self.x(bound), 2), self.width - 2) for bound in bounds)
        return left, right


def _span(outcome: OutcomeFinding) -> float:
    """Value at the drawing's edge: what is shown, and at least the band with air around it."""
    values = [1.3 * outcome.sesoi]
    if outcome.estimate is not None:
        values.append(abs(outcome.estimate))
    for interval in (outcome.interval_95, deciding_interval(outcome)):
        if interval is not None:
            values += [abs(interval.low), abs(interval.high)]
    return _ROOM * max(value for value in values if math.isfinite(value))


def _band(sesoi: float, axis: _Axis, *, whole: bool = False) -> Markup:
    """Draw effects too small to matter. whole: up to the drawings above and below."""
    half, top = axis.length(sesoi), 0 if whole else 2
    return Markup('<rect class="band" x="{:.1f}" y="{}" width="{:.1f}" height="{}"/>').format(
        axis.width / 2 - half, top, 2 * half, _LANE - 2 * top
    )


def _ticks(sesoi: float, axis: _Axis) -> Markup:
    # the band's bounds are named where their labels have room beside the zero's
    roomy = axis.length(sesoi) >= 2 * _MARGIN
    ends = (-sesoi, sesoi) if roomy else _round_ticks(axis.span)
    return _labels((0.0, *ends), axis)


def _labels(values: Sequence[float], axis: _Axis) -> Markup:
    return Markup("").join(
        Markup('<text class="tick" x="{:.1f}" y="{}">{}</text>').format(
            axis.x(value), _LANE + 14, _signed(value) if value else "0"
        )
        for value in values
    )


def _round_ticks(span: float) -> tuple[float, float]:
    """Return the roundest value that fits on either side, with both signs."""
    power = 10 ** math.floor(math.log10(span))
    value = max(step * power for step in (1, 2, 5) if step * power <= 0.93 * span or step == 1)
    return -value, value


def _signed(value: float) -> str:
    text = f"{abs(value):.3g}"
    return f"{MINUS}{text}" if value < 0 else f"+{text}"


def _whisker(name: str, interval: Interval, axis: _Axis) -> Markup:
    left, right = axis.ends(interval)
    return Markup('<line class="{}" x1="{:.1f}" x2="{:.1f}" y1="{}" y2="{}"/>').format(
        name, left, right, _LANE / 2, _LANE / 2
    )
