"""How many seeds are needed, in words: for the terminal and for the page."""

import textwrap
from collections.abc import Sequence
from typing import Final

from analyze.power_looks import ClaimLooks, LooksPower, WorldLooks
from analyze.power_plan import CONFIDENCE, ClaimPower, Goal, GoalPower, PlannedPart, PowerPoint
from analyze.power_results import PowerResults

WIDTH: Final = 100
FEW_PILOT_SEEDS: Final = 8
_AGREE: Final = 0.995
"""Halves of the images that agree so well need no words."""
GOAL_WORDS: Final = {
    Goal.SUPPORTED: "supported, if it alone holds",
    Goal.TOGETHER: "supported, if all claims hold",
    Goal.NEGLIGIBLE: "negligible, if none holds",
    Goal.CAUTIOUS: "supported, cautiously",
    Goal.CAUTIOUS_NEGLIGIBLE: "negligible, cautiously",
}
LOOKS_HEAD: Final = (
    "claim",
    "levels",
    "supported if it holds",
    "negligible if it does not",
    "type I error",
    "seeds if it holds",
    "seeds if not",
)


def power_lines(results: PowerResults) -> tuple[str, ...]:
    """Lines for the terminal: what was asked, seeds for every claim, then what to know."""
    lines = [*map(_wrapped, asked_sentences(results)), ""]
    lines += _columns([claim_head(results), *(claim_row(one, results) for one in results.claims)])
    lines += ["", *map(_wrapped, plan_sentences(results))]
    lines += ["", f"Power by number of seeds ({GOAL_WORDS[Goal.SUPPORTED]}; ± Monte Carlo SE)"]
    lines += _columns(curve_rows(results))
    if results.looks is not None:
        lines += ["", *map(_wrapped, looks_sentences(results.looks, results))]
        lines += _columns([LOOKS_HEAD, *(looks_row(one) for one in results.looks.claims)])
    lines += ["", *(_wrapped(f"- {note}") for note in notes(results))]
    return tuple(lines)


def asked_sentences(results: PowerResults) -> tuple[str, ...]:
    """Say what was simulated: variances, effects, levels, and how often."""
    if results.pilot_seeds is None:
        where = f"{results.source}."
    else:
        where = f"{results.source}: a pilot of {_counted(results.pilot_seeds, 'seed')}."
        if results.pilot_stored and results.pilot_stored > results.pilot_seeds:
            where += f" {results.pilot_stored - results.pilot_seeds} more lack a measure or failed."
    claims = _counted(results.family, "primary claim")
    return (
        f"{where} Power {_share(results.power)}; error rate {_rate(results.alpha)} over {claims} "
        "(Holm).",
        f"True effects: {effects_words(results)}.",
        f"{results.studies} simulated studies for each number of seeds, tested as a study is.",
    )


def effects_words(results: PowerResults) -> str:
    """Say what the true effects are taken to be."""
    if results.kind == "given":
        return "as given"
    if results.observed:
        return "the pilot's own estimates, which is seldom wise: see below"
    times = results.times_sesoi or 0.0
    if times == 1:
        return "the smallest effects of interest (SESOI)"
    return f"{times:g} times the smallest effects of interest (SESOI)"


def claim_head(results: PowerResults) -> tuple[str, ...]:
    """Head of the table of claims."""
    cautious = ("cautious",) if _has(results, Goal.CAUTIOUS) else ()
    now = (f"power at {results.pilot_seeds}",) if results.pilot_seeds else ()
    return (
        "claim",
        "true effect",
        "SESOI",
        "seeds: supported",
        *cautious,
        "if all hold",
        "negligible",
        *cautious,
        *now,
    )


def claim_row(one: ClaimPower, results: PowerResults) -> tuple[str, ...]:
    """Cells of one claim, in the order of ``claim_head``."""
    parts = one.claim.parts
    cautious = _has(results, Goal.CAUTIOUS)
    goals = [
        Goal.SUPPORTED,
        *([Goal.CAUTIOUS] if cautious else []),
        Goal.TOGETHER,
        Goal.NEGLIGIBLE,
        *([Goal.CAUTIOUS_NEGLIGIBLE] if cautious else []),
    ]
    now = point_at(one.of(Goal.SUPPORTED), results.pilot_seeds) if results.pilot_seeds else None
    return (
        claim_name(one),
        " / ".join(f"{part.effect:.3g}" for part in parts) or "-",
        " / ".join(f"{part.sesoi:.3g}" for part in parts) or "-",
        *(seeds_text(one.of(goal), results.most) for goal in goals),
        *((_share(now.power) if now else "-",) if results.pilot_seeds else ()),
    )


def claim_name(one: ClaimPower) -> str:
    """Name a claim; a secondary one is marked."""
    return one.claim.id if one.claim.primary else f"{one.claim.id} (secondary)"


def seeds_text(found: GoalPower | None, most: int) -> str:
    """Write a number of seeds; how many more than the largest looked at, where it is more."""
    if found is None:
        return "-"
    if found.seeds is not None:
        return str(found.seeds)
    return "never" if found.about is None else f"> {most}: about {found.about}"


def plan_sentences(results: PowerResults) -> tuple[str, ...]:
    """Say how many seeds to plan."""
    share = _share(results.power)
    said = [
        _plan_sentence(
            results,
            Goal.SUPPORTED,
            f"every primary claim that holds is supported with power {share} or more, whatever "
            "holds of the others",
        )
    ]
    if (together := results.seeds_for(Goal.TOGETHER)) is not None and results.family > 1:
        said.append(f"If all primary claims hold, {together} will do, for Holm's levels rise.")
    said.append(
        _plan_sentence(
            results,
            Goal.NEGLIGIBLE,
            f"every primary claim is found negligible with power {share} where there is nothing",
        )
    )
    if _has(results, Goal.CAUTIOUS):
        said.append(_cautious_sentence(results))
    return tuple(said)


def notes(results: PowerResults) -> tuple[str, ...]:
    """Say what to know before these numbers are used."""
    said: list[str] = []
    if results.observed:
        said.append(
            "The pilot's own estimates are too large on average where they are looked at because "
            "they are large (winner's curse), and too uncertain to plan by: with them, a study "
            "is planned too small more often than not. Plan for the smallest effect of interest."
        )
    if results.pilot_seeds is not None and results.pilot_seeds < FEW_PILOT_SEEDS:
        said.append(
            f"{results.pilot_seeds} pilot seeds say little of a variance: go by the columns "
            "'cautious'."
        )
    said += [f"{one.claim.id}: not simulated. {one.claim.why_not}" for one in unplanned(results)]
    for one in results.claims:
        said += [f"{one.claim.id}: {words}" for words in _part_notes(one, results)]
    if results.pilot_seeds is not None:
        said.append(
            "It holds if new seeds vary as the pilot's did, at the same strengths, on the same "
            "images. Seeds that fail come on top."
        )
    return tuple(said)


def unplanned(results: PowerResults) -> list[ClaimPower]:
    """List the claims that nothing could be simulated of."""
    return [one for one in results.claims if not one.claim.parts]


def curve_rows(results: PowerResults) -> list[tuple[str, ...]]:
    """Power by number of seeds: a head, then one row for each number, claims as columns."""
    shown = [one for one in results.claims if one.claim.parts]
    curves = [one.of(Goal.SUPPORTED) for one in shown]
    points = [curve.points for curve in curves if curve is not None]
    return [
        ("seeds", *(one.claim.id for one in shown)),
        *(
            (str(at[0].seeds), *(point_text(point) for point in at))
            for at in zip(*points, strict=True)
        ),
    ]


def point_text(point: PowerPoint) -> str:
    """Write a power with its Monte Carlo SE."""
    return f"{_share(point.power)} ± {_share(point.standard_error, 3)}"


def point_at(found: GoalPower | None, seeds: int | None) -> PowerPoint | None:
    """Return the power at one number of seeds, where that was simulated."""
    points = found.points if found else ()
    return next((point for point in points if point.seeds == seeds), None)


def looks_sentences(looks: LooksPower, results: PowerResults) -> tuple[str, ...]:
    """Say what the rule for adding seeds does as a whole."""
    named = ", ".join(map(str, looks.looks))
    return (
        f"Adding seeds by the group-sequential rule, looks at {named} seeds, each of "
        f"{_counted(results.family, 'primary claim')} at its equal share of "
        f"{_rate(results.alpha)}. A claim is decided at the first look that "
        "decides it; the study goes on until all are.",
        f"Seeds on average: {looks.seeds_effect:.1f} where all claims hold, "
        f"{looks.seeds_none:.1f} where none does; {looks.looks[-1]} without looks. Studies without "
        f"any effect that find one: {_share(looks.family_error, 3)} ± "
        f"{_share(looks.family_error_standard_error, 3)}.",
    )


def looks_row(one: ClaimLooks) -> tuple[str, ...]:
    """Cells of one claim, in the order of ``LOOKS_HEAD``."""
    return (
        one.id,
        " ".join(f"{level:.2g}" for level in one.levels),
        f"{_share(one.effect.supported)} ± {_share(one.effect.standard_error, 3)}",
        _share(one.none.negligible),
        f"{_share(_error(one.none), 3)} ± {_share(one.none.error_standard_error, 3)}",
        f"{one.effect.seeds:.1f}",
        f"{one.none.seeds:.1f}",
    )


def part_text(part: PlannedPart) -> str:
    """Write a part's true effect with its unit, and the smallest of interest."""
    return f"{part.outcome}: {part.effect:.3g} {part.unit} (SESOI {part.sesoi:.3g})"


def _plan_sentence(results: PowerResults, goal: Goal, what: str) -> str:
    seeds = results.seeds_for(goal)
    if seeds is not None:
        return f"Plan {_counted(seeds, 'seed')}: then {what}."
    short = [
        one.claim.id
        for one in results.claims
        if one.claim.primary and (found := one.of(goal)) is not None and found.seeds is None
    ]
    return (
        f"{results.most} seeds are not enough so that {what}: {', '.join(short)} would need more."
    )


def _cautious_sentence(results: PowerResults) -> str:
    """Say how many seeds to plan where the pilot's luck is not to be relied on."""
    seeds = [results.seeds_for(goal) for goal in (Goal.CAUTIOUS, Goal.CAUTIOUS_NEGLIGIBLE)]
    words = ["more than " + str(results.most) if one is None else str(one) for one in seeds]
    return (
        f"The pilot's variances are estimates. For these powers in {100 * CONFIDENCE:g} of 100 "
        f"pilots plan {words[0]} and {words[1]} seeds (the columns 'cautious')."
    )


def _part_notes(one: ClaimPower, results: PowerResults) -> list[str]:
    said: list[str] = []
    for part in one.claim.parts:
        if part.reliability is not None and part.reliability < _AGREE:
            said.append(_noise_note(part))
        small = abs(part.effect) <= part.sesoi * (1 + 1e-9)
        found = one.of(Goal.SUPPORTED)
        if small and (found is None or found.seeds is None or results.observed):
            said.append(
                f"a true effect of {part.effect:.3g} is no larger than the SESOI: with enough "
                "seeds it is found negligible in some studies, in all where it is smaller."
            )
    return said


def _noise_note(part: PlannedPart) -> str:
    shown = part.reliability or 0.0
    head = (
        f"the halves of the test images agree on {100 * shown:.0f} % of the predictor's variation "
        f"within seeds; effect and SESOI are of the slope as measured"
    )
    if shown <= 0:
        return f"{head}, which is nothing but noise here."
    free = part.effect / shown
    return f"{head}. Of a predictor without that noise, {part.effect:.3g} is {free:.3g}."


def _error(world: WorldLooks) -> float:
    return world.supported + world.contradicted


def _has(results: PowerResults, goal: Goal) -> bool:
    return any(one.of(goal) is not None for one in results.claims)


def _share(value: float, places: int = 2) -> str:
    """Write a share without its leading 0."""
    text = f"{value:.{places}f}"
    return text.removeprefix("0") if text.startswith("0.") else text


def _rate(value: float) -> str:
    return f"{value:g}".removeprefix("0")


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _columns(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]


def _wrapped(text: str) -> str:
    return "\n".join(textwrap.wrap(text, WIDTH, subsequent_indent="  "))
