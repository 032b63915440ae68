"""Where data stand that are looked at by a declared rule while seeds are added.

A look is declared by the number of seed blocks collected. Its level follows from the blocks that
can be analyzed: Lan and DeMets (1983) let it be computed at the information there is.
"""

from collections.abc import Sequence
from typing import Final

from analyze.decide import ALPHA, DECIDED
from analyze.inference.sequential import spending, spent_levels
from analyze.results import SequentialLook, Verdict
from analyze.sentences import digits

_SMALLEST_WRITTEN: Final = 1e-6


def look_at(
    looks: Sequence[int],
    analyzed: Sequence[int],
    *,
    seeds: int,
    family: int,
    alpha: float = ALPHA,
) -> SequentialLook:
    """Find the look that this number of seeds is, and the level it is read at.

    looks: declared, ascending; the last is the cap. analyzed: seed blocks that can be analyzed at
    every look that is reached, in order. seeds: collected. family: claims that share alpha, by
    Bonferroni: Holm's levels are not fixed beforehand, and error would be spent at looks past.
    """
    reached = sum(look <= seeds for look in looks)
    if len(analyzed) != reached:
        raise ValueError(f"{len(analyzed)} numbers analyzed for {reached} looks reached")
    look = reached if seeds in looks else None
    levels = levels_at(alpha / max(1, family), looks, analyzed)
    return SequentialLook(
        rule="group_sequential",
        looks=tuple(looks),
        seeds=seeds,
        look=look,
        next_look=looks[reached] if reached < len(looks) else None,
        analyzed=tuple(analyzed),
        family=family,
        levels=levels,
        level=levels[look - 1] if look else None,
        secondary_level=levels_at(alpha, looks, analyzed)[look - 1] if look else None,
    )


def levels_at(alpha: float, looks: Sequence[int], analyzed: Sequence[int]) -> tuple[float, ...]:
    """Return the level of every look, those to come as if no block will fail.

    The information fraction is the blocks analyzed over the cap. The last look spends what is
    left even where blocks failed: no look comes after it, and failures are not chosen by what
    the data say. A look without blocks has level 0; one that adds none to the look before is the
    same look.
    """
    counts = (*analyzed, *looks[len(analyzed) :])
    informed = sorted({count for count in counts if count > 0})
    if not informed:
        return tuple(0.0 for _ in counts)
    spent = [spending(alpha, count / looks[-1]) for count in informed[:-1]]
    by_count = dict(zip(informed, spent_levels([*spent, alpha], informed), strict=True))
    return tuple(by_count.get(count, 0.0) for count in counts)


def rule_words(look: SequentialLook, *, claim: str, alpha: float = ALPHA) -> str:
    """Say the rule, the look and the level; where nothing is read, that alone.

    claim: what is read at the level, in one word or two.
    """
    looks = ", ".join(map(str, look.looks))
    if look.look is None:
        counted = f"{look.seeds} seed{'' if look.seeds == 1 else 's'}"
        return f"{counted}: the declared looks are {looks}; {_not_before(look)}."
    several = look.family > 1
    claims = f"each of the {look.family} {claim}s is" if several else f"a {claim} is"
    shared = ", shared equally (Bonferroni)" if several else ""
    return (
        f"Seeds are added by the declared rule: looks at {looks} seeds (group sequential, "
        f"Lan-DeMets with spending of O'Brien-Fleming type). This is look {look.look} of "
        f"{len(look.looks)}{_lost(look)}: {claims} read at {level_words(look.level)}, so that all "
        f"looks together err in at most {alpha:.3g} of studies{shared}. {_next(look)}"
    )


def standing_words(verdict: Verdict, look: SequentialLook) -> str:
    """Say what a claim's verdict at this look means for going on; empty where nothing does."""
    if look.look is None:
        return f"{_not_before(look).capitalize()} seeds."
    if verdict in DECIDED and look.next_look is not None:
        return f"Decided at look {look.look} of {len(look.looks)}: for this, the study may stop."
    return _next(look) if verdict is Verdict.UNDECIDED else ""


def level_words(level: float | None) -> str:
    """Write a level to three significant digits, never in exponents nor as 0."""
    if level is None or level < _SMALLEST_WRITTEN:
        return f"a level below {digits(_SMALLEST_WRITTEN, 10 * _SMALLEST_WRITTEN)}"
    return f"level {digits(level, level / 10)}"


def _next(look: SequentialLook) -> str:
    if look.next_look is None:
        return "This is the last look: the rule adds no more seeds."
    return f"The next look is at {look.next_look} seeds."


def _not_before(look: SequentialLook) -> str:
    return "not read" if look.next_look is None else f"not read before {look.next_look}"


def _lost(look: SequentialLook) -> str:
    """Name what failed; the levels are those of the blocks that are left."""
    left = look.analyzed[-1]
    return "" if left == look.seeds else f", with {left} of {look.seeds} seeds to analyze"
