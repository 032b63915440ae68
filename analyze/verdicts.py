"""The verdicts of an analysis as a table for the terminal."""

import textwrap
from collections.abc import Sequence
from typing import Final

from analyze.decide import claim_p
from analyze.hypotheses import HYPOTHESES
from analyze.looks import rule_words
from analyze.results import Finding, Results
from store.vocabulary import Form

WIDTH: Final = 100
_HEAD: Final = ("claim", "verdict", "seeds", "p (Holm)", "other arm", "as published", "what")
_HEAD_AT_LOOK: Final = tuple("p" if cell == "p (Holm)" else cell for cell in _HEAD)


def verdict_lines(results: Results) -> tuple[str, ...]:
    """Lines of a table: one row per claim, then what was found, in sentences.

    Where seeds are added by a declared rule, the rule, the look and its level stand above, and p
    is not adjusted.
    """
    deciding = [finding for finding in results.findings if finding.deciding]
    look = results.sequential
    head_row = _HEAD if look is None else _HEAD_AT_LOOK
    rows = [head_row, *(_row(finding, results.findings) for finding in deciding)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    table = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    counts = results.counts
    head = (
        f"{results.title} ({results.study}): {counts.seeds_analyzed} of {counts.seeds_declared} "
        f"seeds analyzed, {results.kind}"
    )
    rule = () if look is None else ("", _wrapped(rule_words(look, claim="primary claim")))
    said = [_wrapped(f"{finding.hypothesis}: {finding.sentence}") for finding in deciding]
    return (head, *rule, "", *table, "", *said)


def _row(finding: Finding, findings: Sequence[Finding]) -> tuple[str, ...]:
    same = [other for other in findings if other.hypothesis == finding.hypothesis]
    arms = [o.verdict for o in same if o.arm != finding.arm and o.form == Form.PLAIN]
    published = [o.verdict for o in same if o.as_published]
    return (
        finding.hypothesis,
        str(finding.verdict),
        str(finding.n),
        _p_text(finding.p_holm if finding.p_holm is not None else _unadjusted(finding)),
        str(arms[0]) if arms else "-",
        str(published[0]) if published else "-",
        HYPOTHESES[finding.hypothesis].short,
    )


def _unadjusted(finding: Finding) -> float | None:
    return claim_p([outcome.p_value for outcome in finding.outcomes])


def _p_text(p_value: float | None) -> str:
    if p_value is None:
        return "-"
    return "< .001" if p_value < 0.001 else f"{p_value:.3f}".removeprefix("0")


def _wrapped(text: str) -> str:
    return "\n".join(textwrap.wrap(text, WIDTH, subsequent_indent="  "))
