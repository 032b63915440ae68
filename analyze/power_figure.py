"""Power curves of one claim as SVG: drawn here, so that it needs no script to be seen."""

import math
from collections.abc import Sequence
from typing import Final

from markupsafe import Markup, escape

from analyze.power_plan import ClaimPower, Goal, GoalPower, PowerPoint
from analyze.power_results import PowerResults

_WIDTH: Final = 360
_HEIGHT: Final = 250
_LEFT: Final = 40
_RIGHT: Final = 14
_TOP: Final = 14
_BOTTOM: Final = 40
_BAND: Final = 1.96
_TICKS: Final = (3, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000)
_SHARES: Final = (0.0, 0.25, 0.5, 0.75, 1.0)
DRAWN: Final = (Goal.TOGETHER, Goal.NEGLIGIBLE, Goal.SUPPORTED)
"""Curves from the back to the front."""
_CAUTIOUS: Final = {
    Goal.SUPPORTED: Goal.CAUTIOUS,
    Goal.NEGLIGIBLE: Goal.CAUTIOUS_NEGLIGIBLE,
}


def power_figure(one: ClaimPower, results: PowerResults) -> Markup:
    """Draw a claim's curves with their Monte Carlo bands, the power wanted, the seeds needed.

    Seeds are on a logarithmic axis. Colours are the page's: the classes of lines name them.
    """
    axis = _Axis([point.seeds for found in one.goals for point in found.points])
    curves = [found for goal in DRAWN if (found := one.of(goal)) is not None]
    marks = [_needed(found, one, axis, results.power) for found in curves]
    parts = [
        _frame(axis, results),
        *(_band(found, axis) for found in curves if found.goal is not Goal.TOGETHER),
        *(_curve(found, axis) for found in curves),
        *marks,
    ]
    label = escape(_described(one, results))
    return Markup(
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{label}">'
        + "".join(parts)
        + "</svg>"
    )


class _Axis:
    """Where seeds and shares lie on the picture."""

    def __init__(self, seeds: Sequence[int]) -> None:
        self.low = min(seeds)
        self.high = max(max(seeds), self.low + 1)

    def x(self, seeds: float) -> float:
        """Place of a number of seeds, on a logarithmic axis."""
        share = math.log(seeds / self.low) / math.log(self.high / self.low)
        return _LEFT + share * (_WIDTH - _LEFT - _RIGHT)

    def y(self, power: float) -> float:
        """Place of a share, within the frame."""
        return _TOP + (1 - min(max(power, 0.0), 1.0)) * (_HEIGHT - _TOP - _BOTTOM)

    def place(self, point: PowerPoint, away: float = 0.0) -> str:
        """Write a point's place, ``away`` standard errors above it."""
        return f"{self.x(point.seeds):.1f},{self.y(point.power + away * point.standard_error):.1f}"


def _frame(axis: _Axis, results: PowerResults) -> str:
    """Grid, ticks, axis titles, the power wanted and the pilot's number of seeds."""
    right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM
    drawn = [
        f'<line class="grid" x1="{_LEFT}" x2="{right}" y1="{axis.y(share):.1f}" '
        f'y2="{axis.y(share):.1f}"/><text x="{_LEFT - 6}" y="{axis.y(share) + 4:.1f}" '
        f'text-anchor="end">{share:g}</text>'
        for share in _SHARES
    ]
    drawn += [
        f'<line class="tick" x1="{axis.x(seeds):.1f}" x2="{axis.x(seeds):.1f}" y1="{bottom}" '
        f'y2="{bottom + 4}"/><text x="{axis.x(seeds):.1f}" y="{bottom + 16}" '
        f'text-anchor="middle">{seeds}</text>'
        for seeds in _TICKS
        if axis.low <= seeds <= axis.high
    ]
    middle = (_LEFT + right) / 2
    drawn.append(f'<text x="{middle}" y="{_HEIGHT - 6}" text-anchor="middle">seeds</text>')
    wanted = f"{axis.y(results.power):.1f}"
    drawn.append(f'<line class="wanted" x1="{_LEFT}" x2="{right}" y1="{wanted}" y2="{wanted}"/>')
    if results.pilot_seeds and axis.low <= results.pilot_seeds <= axis.high:
        at = f"{axis.x(results.pilot_seeds):.1f}"
        drawn.append(f'<line class="pilot" x1="{at}" x2="{at}" y1="{_TOP}" y2="{bottom}"/>')
    return "".join(drawn)


def _curve(found: GoalPower, axis: _Axis) -> str:
    places = " ".join(axis.place(point) for point in found.points)
    return f'<polyline class="curve {found.goal}" points="{places}"/>'


def _band(found: GoalPower, axis: _Axis) -> str:
    """95 % Monte Carlo band."""
    above = [axis.place(point, _BAND) for point in found.points]
    below = [axis.place(point, -_BAND) for point in reversed(found.points)]
    return f'<polygon class="band {found.goal}" points="{" ".join([*above, *below])}"/>'


def _needed(found: GoalPower, one: ClaimPower, axis: _Axis, power: float) -> str:
    """Mark the seeds needed, with a line on to the cautious number."""
    if found.seeds is None or found.goal is Goal.TOGETHER:
        return ""
    x, y = axis.x(found.seeds), axis.y(power)
    cautious = one.of(_CAUTIOUS[found.goal])
    drawn = f'<circle class="needed {found.goal}" cx="{x:.1f}" cy="{y:.1f}" r="4"/>'
    if cautious is not None and cautious.seeds is not None:
        to = axis.x(cautious.seeds)
        drawn += (
            f'<line class="needed {found.goal}" x1="{x:.1f}" x2="{to:.1f}" y1="{y:.1f}" '
            f'y2="{y:.1f}"/>'
        )
    above = found.goal is Goal.SUPPORTED
    return drawn + (
        f'<text class="needed {found.goal}" x="{x:.1f}" y="{y - 8 if above else y + 18:.1f}" '
        f'text-anchor="middle">{found.seeds}</text>'
    )


def _described(one: ClaimPower, results: PowerResults) -> str:
    """Say in words what the picture shows."""
    words = {Goal.SUPPORTED: "supported if it holds", Goal.NEGLIGIBLE: "negligible if none holds"}
    said = [
        f"{words[goal]}: {found.seeds if found.seeds is not None else 'more than looked at'}"
        for goal in words
        if (found := one.of(goal)) is not None
    ]
    return f"{one.claim.id}: seeds for power {results.power:g}. {'; '.join(said)}"
