"""One finding in words and drawings: its verdict and a line for each outcome."""

from dataclasses import dataclass

from markupsafe import Markup

from analyze.results import Finding, OutcomeFinding
from reports.forest import deciding_interval, forest
from reports.names import (
    VERDICTS,
    VerdictWords,
    arm_word,
    capitalized,
    form_label,
    measure_title,
    typeset,
    verdict_meaning,
    verdict_word,
)
from reports.numbers import Citations, interval_decimals, level_text, p_clause
from reports.prose import outcome_decimals, replicate_word


@dataclass(frozen=True, slots=True, kw_only=True)
class OutcomeLine:
    """One outcome: its name, its numbers and its drawing."""

    title: str
    drawing: Markup
    compact: Markup
    estimate: Markup
    tested: Markup
    sesoi: Markup
    decided_by: Markup
    words: VerdictWords


@dataclass(frozen=True, slots=True, kw_only=True)
class FindingView:
    """One finding in words and drawings. differ: its outcomes have not all the same verdict."""

    finding: Finding
    words: VerdictWords
    verdict: str
    meaning: str
    differ: bool
    arm: str
    form: str
    arm_words: str
    lines: tuple[OutcomeLine, ...]
    seeds: Markup


def finding_view(finding: Finding, cite: Citations, *, shared: bool) -> FindingView:
    """Say a finding in words and draw its outcomes. shared: whether seeds share teachers."""
    replicate = replicate_word(finding, shared=shared)
    return FindingView(
        finding=finding,
        words=VERDICTS[finding.verdict],
        verdict=verdict_word(finding),
        meaning=verdict_meaning(finding),
        differ=len({outcome.verdict for outcome in finding.outcomes}) > 1,
        arm=finding.arm,
        form=finding.form,
        arm_words=f"{capitalized(arm_word(finding.arm))}, {form_label(finding.form)}",
        lines=tuple(_line(finding, outcome, cite) for outcome in finding.outcomes),
        seeds=Markup("{} {}{}").format(
            cite.count(finding, "n"), replicate, "" if finding.n == 1 else "s"
        ),
    )


def _line(finding: Finding, outcome: OutcomeFinding, cite: Citations) -> OutcomeLine:
    digits = outcome_decimals(outcome)
    estimate = Markup("no estimate")
    if outcome.estimate is not None:
        estimate = Markup('<b>{}</b> {} <span class="unit">{}</span>').format(
            cite.plain(outcome, "estimate", digits),
            cite.interval(outcome.interval_95, digits) if outcome.interval_95 else "",
            typeset(outcome.unit),
        )
    tested = Markup("")
    if outcome.p_value is not None:
        tested = p_clause(cite.p(outcome))
    return OutcomeLine(
        title=measure_title(outcome.outcome),
        drawing=forest(finding, outcome),
        compact=forest(finding, outcome, compact=True),
        estimate=estimate,
        tested=tested,
        sesoi=Markup("±{}").format(cite.number(outcome, "sesoi", f"{outcome.sesoi:.3g}")),
        decided_by=_decided_by(outcome, cite),
        words=VERDICTS[outcome.verdict],
    )


def _decided_by(outcome: OutcomeFinding, cite: Citations) -> Markup:
    interval = deciding_interval(outcome)
    if interval is None:
        return Markup("–")
    digits = interval_decimals(interval, outcome.estimate)
    level = cite.number(interval, "level", level_text(interval.level))
    return Markup("{}<small>at {}</small>").format(cite.interval(interval, digits), level)
