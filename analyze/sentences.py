"""Findings in plain words, one sentence for each outcome, at digits that the interval supports."""

import math
from collections.abc import Sequence

from analyze.decide import DECIDED
from analyze.hypotheses import STRENGTH
from analyze.inference.mediation import MediationPaths
from analyze.results import Interval, OutcomeFinding, Verdict
from store.measures import BY_NAME


def claim_sentence(
    outcomes: Sequence[OutcomeFinding],
    *,
    seeds: Sequence[int],
    sign: int,
    replicate: str = "seed",
) -> str:
    """Say what was found of a claim: outcome by outcome, then whether the claim needs more.

    seeds: in the primary test of each outcome. sign: that the claim expects. replicate: what
    these are, where they are not seeds.
    """
    said = " ".join(
        _outcome_sentence(outcome, sign=sign, counted=_counted(count, replicate))
        for outcome, count in zip(outcomes, seeds, strict=True)
    )
    verdicts = {outcome.verdict for outcome in outcomes}
    if len(outcomes) > 1 and len(verdicts) > 1:
        if verdicts <= DECIDED:
            return (
                f"{said} The claim needs both, and each is decided by itself: it is not decided, "
                f"and more {replicate}s are not expected to change that."
            )
        return f"{said} The claim needs both, so it is not decided."
    return said


def _counted(count: int, replicate: str) -> str:
    return f"{count} {replicate}{'' if count == 1 else 's'}"


def _outcome_sentence(found: OutcomeFinding, *, sign: int, counted: str) -> str:
    if found.estimate is None:
        return _nothing(found, counted)
    numbers = _numbers(found, counted)
    title = f"The {BY_NAME[found.outcome].title}"
    claimed, opposite = _verbs(found.predictor, sign), _verbs(found.predictor, -sign)
    match found.verdict:
        case Verdict.SUPPORTED:
            return f"{title} {claimed}, as claimed: {numbers}.{_size_note(found)}"
        case Verdict.CONTRADICTED:
            return f"{title} {opposite}, against the claim: {numbers}.{_size_note(found)}"
        case Verdict.NEGLIGIBLE:
            return (
                f"{title} hardly moves with {_predictor(found.predictor)}: {numbers}, inside "
                f"plus or minus {digits(found.sesoi, found.sesoi)}, the smallest effect of "
                "interest."
            )
        case Verdict.DESCRIPTIVE:
            few = f"Fewer than 3 {counted.split(' ', 1)[1].removesuffix('s')}s"
            return f"{title}: {numbers}. {few}: described, not tested."
        case _:
            more = _noise_note(found, counted) + _more(found, counted)
            return f"Not decided whether {_lower(title)} {claimed}: {numbers}.{more}"


def _nothing(found: OutcomeFinding, counted: str) -> str:
    title = BY_NAME[found.outcome].title
    if found.verdict is Verdict.DESCRIPTIVE:
        return f"Of {counted} no association of the {title} within seeds can be estimated."
    reasons = " ".join(_sentence(text) for text in found.caveats)
    return f"Nothing can be said of the {title}. {reasons}".strip()


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:].removesuffix('.')}."


def _numbers(found: OutcomeFinding, counted: str) -> str:
    estimate = found.estimate or 0.0
    interval = found.interval_95
    value = digits(estimate, _scale(estimate, interval))
    unit = found.unit.removeprefix("fraction ").removeprefix("index ")
    if interval is None:
        return f"{value} {unit} ({counted})"
    low, high = (digits(bound, _scale(estimate, interval)) for bound in _bounds(interval))
    return f"{value} {unit} (95 % interval {low} to {high}; {counted})"


def _size_note(found: OutcomeFinding) -> str:
    if not found.size_uncertain:
        return ""
    size = digits(found.sesoi, found.sesoi)
    below = abs(found.estimate or 0.0) < found.sesoi
    said = "the estimate itself is below" if below else "it may be below"
    return f" Its size is uncertain: {said} {size}, the smallest effect of interest."


def _noise_note(found: OutcomeFinding, counted: str) -> str:
    """Give the interval without noise of the predictor, where the one with it looks negligible."""
    shown, without = found.verdict_interval, found.equivalence_interval
    if shown is None or without is None or max(abs(shown.low), abs(shown.high)) >= found.sesoi:
        return ""
    start = " That looks small because of noise in the predictor: without it"
    if not math.isfinite(without.high - without.low):
        return f"{start} these {counted.split(' ', 1)[1]} do not bound the slope."
    low, high = (digits(bound, _scale(bound, without)) for bound in _bounds(without))
    size = digits(found.sesoi, found.sesoi)
    return (
        f"{start} the {100 * without.level:.3g} % interval is {low} to {high}, beside plus or "
        f"minus {size}, the smallest effect of interest."
    )


def _more(found: OutcomeFinding, counted: str) -> str:
    if found.seeds_to_decide is None:
        return ""
    kind = counted.split(" ", 1)[1].removesuffix("s")
    return (
        f" About {found.seeds_to_decide} {kind}s in all would decide it, whichever way, in four of "
        f"five studies, if the effect is as estimated and new {kind}s vary as these do."
    )


def _verbs(predictor: str, sign: int) -> str:
    if predictor == STRENGTH:
        return f"{'rises' if sign > 0 else 'falls'} with {_predictor(predictor)}"
    way = "with" if sign > 0 else "against"
    return f"moves {way} {_predictor(predictor)} at fixed seed and strength"


def _predictor(predictor: str) -> str:
    if predictor == STRENGTH:
        return "the strength of the teachers' augmentation"
    return f"the {BY_NAME[predictor].title}"


def _scale(estimate: float, interval: Interval | None) -> float:
    """Return what sets the digits: a quarter of the interval, else the estimate."""
    if interval is None or not math.isfinite(interval.high - interval.low):
        return abs(estimate)
    return (interval.high - interval.low) / 4 or abs(estimate)


def digits(value: float, scale: float) -> str:
    """Write a value to two significant digits of ``scale``, never in exponents.

    Twelve decimals at most: what is smaller is rounding, and 0 to a reader.
    """
    if not math.isfinite(value):
        return "infinity" if value > 0 else "minus infinity"
    if not scale > 0:
        return f"{value:.3g}"
    places = max(0, 1 - math.floor(math.log10(scale)))
    text = f"{value:.{min(places, 12)}f}"
    return text if float(text) else "0"


def _bounds(interval: Interval) -> tuple[float, float]:
    return interval.low, interval.high


def _lower(text: str) -> str:
    return text[0].lower() + text[1:]


def mediation_sentence(
    *, holds: bool | None, verdicts: tuple[Verdict, Verdict], paths: MediationPaths | None
) -> str:
    """Say whether the indirect path is shown, by the verdicts of H1 and H2b, and its size."""
    if holds is None:
        return (
            f"Not tested: H1 is read as {verdicts[0]}, H2b as {verdicts[1]}, and the indirect "
            "path needs a test of both."
        )
    first = f"H1 is {verdicts[0]} and H2b is {verdicts[1]}"
    head = f"Shown: {first}" if holds else f"Not shown: {first}, and it needs both supported"
    return f"{head}.{_indirect(paths)}"


def _indirect(paths: MediationPaths | None) -> str:
    if paths is None or paths.acme.estimate is None or paths.acme.interval is None:
        return ""
    estimate, interval = paths.acme.estimate, paths.acme.interval
    value, low, high = (
        digits(number, _scale(estimate, interval))
        for number in (estimate, interval.low, interval.high)
    )
    return (
        f" The effect of strength on the gap that goes through the teachers' attention is "
        f"{value} per unit of strength (95 % interval {low} to {high})."
    )
