"""Estimates drawn against what would matter: small SVG made here, so that it needs no script.

Every drawing has zero in the middle and the claimed direction to the right; its ticks carry
the signed numbers, so a claim that expects a fall has its negative numbers on the right.
"""

import math
from typing import Final

from markupsafe import Markup

from analyze.hypotheses import HYPOTHESES, Direction
from analyze.results import Finding, Interval, OutcomeFinding
from reports.numbers import MINUS, fixed
from reports.prose import spoken_interval
from store.vocabulary import Form

WIDTH: Final = 440
_REACH: Final = WIDTH / 2 - 16
_LANE: Final = 24
_ROOM: Final = 1.12  # the drawing reaches a little further than what it shows


def claimed_sign(finding: Finding) -> int:
    """Return 1 where the claim expects a positive estimate, else -1."""
    claim = HYPOTHESES.get(finding.hypothesis)
    return claim.direction.sign if claim else Direction.RISES.sign


def forest(finding: Finding, outcome: OutcomeFinding) -> Markup:
    """Draw an outcome's estimate, 95 % interval and band of effects too small to matter."""
    sign = claimed_sign(finding)
    span = _span(outcome)
    published = finding.form == Form.PUBLISHED
    parts = [
        Markup(
            '<svg class="forest{}" viewBox="0 0 {} {}" role="img" aria-label="{}" focusable="false">'
        ).format(" is-published" if published else "", WIDTH, _LANE + 18, spoken_interval(outcome)),
        _band(outcome.sesoi, span),
        _ticks(outcome.sesoi, span, sign),
    ]
    if outcome.interval_95 is not None:
        parts.append(_whisker(outcome.interval_95, span, sign))
    if outcome.estimate is not None and math.isfinite(outcome.estimate):
        parts.append(_mark(_x(outcome.estimate, span, sign)))
    return Markup("").join([*parts, Markup("</svg>")])


def _span(outcome: OutcomeFinding) -> float:
    """Value at the drawing's edge: what is shown, and at least the band with air around it."""
    values = [1.3 * outcome.sesoi]
    if outcome.estimate is not None:
        values.append(abs(outcome.estimate))
    if outcome.interval_95 is not None:
        values += [abs(outcome.interval_95.low), abs(outcome.interval_95.high)]
    return _ROOM * max(value for value in values if math.isfinite(value))


def _x(value: float, span: float, sign: int) -> float:
    return WIDTH / 2 + sign * value / span * _REACH


def _band(sesoi: float, span: float) -> Markup:
    half = sesoi / span * _REACH
    return Markup('<rect class="band" x="{:.1f}" y="2" width="{:.1f}" height="{}"/>').format(
        WIDTH / 2 - half, 2 * half, _LANE - 4
    )


def _ticks(sesoi: float, span: float, sign: int) -> Markup:
    axis = Markup('<line class="zero" x1="{0}" x2="{0}" y1="0" y2="{1}"/>').format(
        WIDTH / 2, _LANE
    )
    # the band's bounds are named where their labels have room beside the zero
    half = sesoi / span * _REACH
    labels = [(WIDTH / 2, "0")]
    if half >= 30:
        labels += [(_x(value, span, sign), _signed(value)) for value in (-sesoi, sesoi)]
    else:
        labels += [(_x(value, span, sign), _signed(value)) for value in _round_ticks(span)]
    return axis + Markup("").join(
        Markup('<text class="tick" x="{:.1f}" y="{}">{}</text>').format(x, _LANE + 14, text)
        for x, text in labels
    )


def _round_ticks(span: float) -> tuple[float, float]:
    """Return the roundest value that fits on either side, with both signs."""
    power = 10 ** math.floor(math.log10(span))
    value = max(step * power for step in (1, 2, 5) if step * power <= 0.93 * span or step == 1)
    return -value, value


def _signed(value: float) -> str:
    text = f"{abs(value):.3g}"
    return f"{MINUS}{text}" if value < 0 else f"+{text}"


def _whisker(interval: Interval, span: float, sign: int) -> Markup:
    ends = sorted(
        min(max(_x(bound, span, sign), 2), WIDTH - 2)
        for bound in (_finite(interval.low, span), _finite(interval.high, span))
    )
    return Markup('<line class="whisker" x1="{:.1f}" x2="{:.1f}" y1="{}" y2="{}"/>').format(
        ends[0], ends[1], _LANE / 2, _LANE / 2
    )


def _finite(bound: float, span: float) -> float:
    return bound if math.isfinite(bound) else math.copysign(2 * span, bound)


def _mark(x: float) -> Markup:
    return Markup('<circle class="point" cx="{:.1f}" cy="{}" r="5.5"/>').format(x, _LANE / 2)


def scale_note(outcome: OutcomeFinding) -> str:
    """Say what the shaded band is."""
    digits = max(0, -math.floor(math.log10(outcome.sesoi))) if outcome.sesoi < 1 else 0
    return f"±{fixed(outcome.sesoi, max(digits, 2))}"
