"""The sound and the published form of a claim side by side: do they agree, how do they differ."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

from analyze.decide import DECIDED
from analyze.results import Finding, Verdict
from reports.findings import FindingView
from reports.names import arm_word, capitalized, form_label, measure_title
from store.measures import BY_NAME


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """How the published form of a measure differs from the sound one."""

    title: str
    words: str


def compared_views(
    views: Sequence[FindingView], published: FindingView | None
) -> tuple[FindingView, ...]:
    """Return the deciding finding and the published one; of two arms, both measures in both."""
    if published is None:
        return ()
    deciding = views[0]
    if deciding.arm == published.arm:
        return (deciding, published)
    corners = [
        next((v for v in views if (v.form, v.arm) == (form, arm)), None)
        for form in (deciding.form, published.form)
        for arm in (deciding.arm, published.arm)
    ]
    known = tuple(view for view in corners if view is not None)
    return known if len(known) == len(corners) else (deciding, published)


def agreement_words(deciding: FindingView, others: Sequence[FindingView]) -> str:
    """Say which other arms and forms read differently."""
    differing = [
        f"{arm_word(v.arm)}, {form_label(v.form)}: {v.verdict.lower()}"
        for v in others
        if v.finding.verdict is not deciding.finding.verdict
    ]
    if not others:
        return ""
    if not differing:
        return "Every arm and both forms of the measures read the same."
    return "Read otherwise: " + "; ".join(differing) + "."


def likeness_of(sound: Finding, published: Finding) -> tuple[str, bool]:
    """Say whether both readings agree, in verdict and, where units allow it, in size.

    Also whether they lead to another conclusion.
    """
    pairs = list(zip(sound.outcomes, published.outcomes, strict=False))
    for one, other in pairs:
        if {one.verdict, other.verdict} == {Verdict.SUPPORTED, Verdict.CONTRADICTED}:
            return (
                f"They disagree: by {measure_title(one.outcome)} it is {one.verdict}, by "
                f"{measure_title(other.outcome)} {other.verdict}.",
                True,
            )
    if {sound.verdict, published.verdict} <= DECIDED and sound.verdict is not published.verdict:
        return "They disagree.", True
    if sound.verdict is not published.verdict:
        return "One of them decides it, the other does not.", False
    for one, other in pairs:
        interval, estimate = one.interval_95, other.estimate
        if one.unit != other.unit or interval is None or estimate is None:
            continue
        if not interval.low <= estimate <= interval.high:
            return (
                "The same verdict, another size: the published estimate lies outside the sound "
                "one’s 95 % interval.",
                True,
            )
    return "They agree.", False


def differences_of(finding: Finding) -> tuple[Difference, ...]:
    """Say of every measure of a finding that has two forms how they differ."""
    names = dict.fromkeys(
        chain.from_iterable((outcome.outcome, outcome.predictor) for outcome in finding.outcomes)
    )
    return tuple(
        Difference(title=capitalized(measure_title(name)), words=BY_NAME[name].differs)
        for name in names
        if name in BY_NAME and BY_NAME[name].differs
    )
