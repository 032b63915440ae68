"""Differences within seeds: an outcome less its own at the weakest strength, and their tests."""

from collections.abc import Sequence

from analyze.results import Evidence, FitPoint

_PAIRED = "paired_t_"
_AGAINST = "_against_"


def seed_differences(points: Sequence[FitPoint]) -> tuple[tuple[int, float, float], ...]:
    """Return (block, strength, difference) of every seed at every strength but the weakest.

    points: one per seed and strength. A seed without the weakest strength has no difference.
    """
    if not points:
        return ()
    weakest = min(point.strength for point in points)
    reference = {point.block: point.y for point in points if point.strength == weakest}
    return tuple(
        (point.block, point.strength, point.y - reference[point.block])
        for point in points
        if point.strength > weakest and point.block in reference
    )


def paired_evidence(evidence: Sequence[Evidence], outcome: str) -> dict[str, Evidence]:
    """Return an outcome's paired tests against the weakest strength, by the other strength."""
    return {
        item.test.removeprefix(_PAIRED).partition(_AGAINST)[0]: item
        for item in evidence
        if item.test.startswith(_PAIRED) and item.outcome == outcome
    }
