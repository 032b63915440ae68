"""What a table's analysis says, in words: for the terminal and for the page."""

import math
import re
import textwrap
from collections.abc import Sequence
from typing import Final

from analyze.decide import MINIMUM_SEEDS
from analyze.looks import rule_words, standing_words
from analyze.results import Evidence, Interval, Rank, Verdict
from analyze.sentences import digits
from analyze.table_results import TableAnswer, TableResults

WIDTH: Final = 100
_COMPARED: Final = re.compile(r"_[^_]+_against_[^_]+$")
_SHOWN_DOSES: Final = 12
TEST_HEAD: Final = ("test", "estimate", "SE", "df", "statistic", "p", "interval", "seeds", "rows")


def table_lines(results: TableResults) -> tuple[str, ...]:
    """Lines for the terminal: what was read, a verdict per question, then every test."""
    lines = [*map(_wrapped, read_sentences(results)), ""]
    percent = percent_text(results.level)
    head = (
        "question",
        "verdict",
        "estimate",
        f"{percent} interval",
        "p",
        level_head(results),
        "seeds",
    )
    lines += _columns([head, *(answer_row(answer, results) for answer in results.answers)])
    for answer in results.answers:
        lines += ["", _wrapped(answer_sentence(answer, results))]
        lines += [_wrapped(f"- {caveat}") for caveat in answer_notes(answer)]
    for answer in results.answers:
        if answer.evidence:
            lines += ["", f"Every test: {question_text(answer)}"]
            lines += _columns([TEST_HEAD, *(test_row(one) for one in answer.evidence)])
            lines += ["* decides", *map(_wrapped, test_notes(answer.evidence))]
    if results.mediation:
        lines += ["", f"{mediation_title(results)} (no verdict)"]
        lines += _columns([TEST_HEAD, *(test_row(one) for one in results.mediation)])
        lines += map(_wrapped, test_notes(results.mediation))
    return tuple(lines)


def mediation_title(results: TableResults) -> str:
    """Ask what the tests of mediation answer."""
    columns = results.columns
    return f"Does {columns.dose} act on {columns.outcome} through {columns.predictor}?"


def read_sentences(results: TableResults) -> tuple[str, ...]:
    """Say what was read of the table, what was dropped, and what holds for all verdicts."""
    columns = results.columns
    where = "".join(f", {column} = {value}" for column, value in columns.where)
    doses = ", ".join(f"{dose:g}" for dose in results.doses[:_SHOWN_DOSES])
    more = ", ..." if len(results.doses) > _SHOWN_DOSES else ""
    said = [
        f"{results.source}{where}: {results.rows_analyzed} of {results.rows_read} rows, "
        f"{_counted(results.seeds, 'seed')} ({columns.block}), {_pools(results)}"
        f"{_counted(len(results.doses), 'dose')} ({columns.dose} {doses}{more})."
    ]
    if results.rows_chosen < results.rows_read:
        said.append(f"{results.rows_read - results.rows_chosen} rows are not among those chosen.")
    said += [
        f"{_counted(lost.rows, 'row')} without a value of {lost.column}."
        for lost in results.dropped
    ]
    if results.kind == "descriptive":
        said.append(f"Fewer than {MINIMUM_SEEDS} seeds: described, not tested. No p-value.")
    elif results.sequential is not None:
        said.append(rule_words(results.sequential, claim="question", alpha=1 - results.level))
    elif len(results.answers) > 1:
        said.append(
            f"Verdicts hold together at error rate {1 - results.level:.3g} by Holm's method over "
            f"the {len(results.answers)} questions."
        )
    return tuple(said)


def question_text(answer: TableAnswer) -> str:
    """Name a question."""
    if answer.question == "association":
        return f"{answer.outcome} with {answer.predictor}, seed and dose held fixed"
    return f"{answer.outcome} over {answer.predictor}"


def level_head(results: TableResults) -> str:
    """Head of the column after p: Holm's p, or the level that a declared look reads p at."""
    return "p (Holm)" if results.sequential is None else "read at"


def level_value(answer: TableAnswer, results: TableResults) -> float | None:
    """Return the number of the column after p."""
    return answer.p_holm if results.sequential is None else answer.alpha


def answer_row(answer: TableAnswer, results: TableResults) -> tuple[str, ...]:
    """Cells of the summary: question, verdict, estimate, interval, p, its level, seeds."""
    return (
        question_text(answer),
        str(answer.verdict),
        number_text(answer.estimate),
        interval_text(answer.interval),
        p_text(answer.p_value),
        p_text(level_value(answer, results)),
        str(answer.n),
    )


def answer_sentence(answer: TableAnswer, results: TableResults) -> str:
    """Say what was found of one question and, at a declared look, how to go on."""
    look = results.sequential
    standing = "" if look is None else standing_words(answer.verdict, look)
    return f"{_found(answer, results)} {standing}".strip()


def _found(answer: TableAnswer, results: TableResults) -> str:
    name, expected = question_text(answer), answer.expected
    if answer.estimate is None:
        return f"{name}: {answer.verdict}."
    direction = "rises" if answer.estimate > 0 else "falls"
    found = f"{_value(answer)} {answer.unit}"
    if answer.interval is not None:
        low, high = _bounds(answer.interval)
        found += f" ({percent_text(results.level)} interval {low} to {high})"
    match answer.verdict:
        case Verdict.SUPPORTED:
            tail = "in either direction" if expected is None else "as expected"
            shown = f"{direction}, supported" if expected is None else f"{direction}, {tail}"
            small = " Its size is uncertain: it may be below the SESOI."
            return f"{name}: {shown}: {found}.{small if answer.size_uncertain else ''}"
        case Verdict.CONTRADICTED:
            return f"{name}: {direction}, against what was expected: {found}."
        case Verdict.NEGLIGIBLE:
            return f"{name}: negligible, inside plus or minus {answer.sesoi:g}: {found}."
        case _:
            return f"{name}: {answer.verdict}: {found}.{_more_seeds(answer)}"


def _more_seeds(answer: TableAnswer) -> str:
    if answer.seeds_to_decide is None:
        return ""
    return (
        f" About {answer.seeds_to_decide} seeds in all would decide it in four of five studies, "
        "if new seeds vary as these do."
    )


def answer_notes(answer: TableAnswer) -> tuple[str, ...]:
    """Caveats of one question, and the conflict of its correlations' signs."""
    flagged = (f"Signs conflict: {answer.conflict.words}.",) if answer.conflict else ()
    return (*flagged, *answer.caveats)


def test_row(one: Evidence) -> tuple[str, ...]:
    """Cells of one test, in the order of ``TEST_HEAD``."""
    star = " *" if one.rank is Rank.PRIMARY else ""
    statistic = number_text(one.statistic)
    named = f"{one.statistic_name} = {statistic}" if one.statistic is not None else "-"
    return (
        f"{one.test}{star}",
        number_text(one.estimate),
        number_text(one.standard_error),
        number_text(one.df),
        named,
        p_text(one.p_value),
        interval_text(one.interval),
        str(one.n),
        str(one.rows),
    )


def test_notes(evidence: Sequence[Evidence]) -> tuple[str, ...]:
    """Every caveat once, with the tests that it is of; contrasts of one kind are named once."""
    tests: dict[str, list[str]] = {}
    for one in evidence:
        for caveat in one.caveats:
            tests.setdefault(caveat, []).append(_COMPARED.sub("", one.test))
    return tuple(f"{', '.join(dict.fromkeys(names))}: {caveat}" for caveat, names in tests.items())


def number_text(value: float | None) -> str:
    """Write a number to four digits; a dash where there is none."""
    return "-" if value is None else f"{value:.4g}"


def p_text(value: float | None) -> str:
    """Write a p-value to three digits; never 0."""
    if value is None:
        return "-"
    return "< 1e-300" if value < 1e-300 else f"{value:.3g}"


def interval_text(interval: Interval | None) -> str:
    """Write the bounds of an interval."""
    return "-" if interval is None else f"{interval.low:.4g} to {interval.high:.4g}"


def percent_text(level: float) -> str:
    """Write a level in percent."""
    return f"{100 * level:.4g} %"


def _pools(results: TableResults) -> str:
    """Say how many pools of teachers there are; nothing where none are named."""
    if results.pools is None:
        return ""
    return f"{_counted(results.pools, 'teacher pool')} ({results.columns.pool}), "


def _value(answer: TableAnswer) -> str:
    estimate = answer.estimate or 0.0
    return digits(estimate, _reach(answer.interval) or abs(estimate))


def _bounds(interval: Interval) -> tuple[str, str]:
    scale = _reach(interval) or max(abs(interval.low), abs(interval.high))
    return digits(interval.low, scale), digits(interval.high, scale)


def _reach(interval: Interval | None) -> float:
    """Half an interval's width, which sets the digits; 0 where there is none."""
    if interval is None or not math.isfinite(interval.high - interval.low):
        return 0.0
    return (interval.high - interval.low) / 2


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _columns(rows: list[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]


def _wrapped(text: str) -> str:
    return "\n".join(textwrap.wrap(text, WIDTH, subsequent_indent="  "))
