"""One claim's part of the page: its row on the first screen and its own section."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Final

from markupsafe import Markup

from analyze.hypotheses import HYPOTHESES, STRENGTH
from analyze.results import Evidence, Finding, FitLine, OutcomeFinding, Rank, Results, Verdict
from reports.curves import CurveView, curve_view
from reports.estimation import estimation_chart
from reports.figures import SEEDS_DRAWN, Chart, ChartBook, fit_chart, raw_chart
from reports.findings import FindingView, finding_view
from reports.names import (
    arm_label,
    arm_word,
    capitalized,
    form_label,
    measure_title,
    short_statement,
)
from reports.numbers import Citations, look_level_text, p_clause, whole
from reports.pasted import latex_table, markdown_table
from reports.prose import (
    evidence_decimals,
    expectation,
    is_primary,
    outcome_decimals,
    reporting_sentence,
    single_seed_words,
)
from reports.published import (
    Difference,
    agreement_words,
    compared_views,
    differences_of,
    likeness_of,
)
from reports.sources import findings_sql
from reports.tables import NONE, Row, Table, correlations_table, fit_table, points_csv, tests_table
from store.vocabulary import Form

_GAP: Final = "generalization_gap"
_ACCURACIES: Final = ("train_accuracy", "test_accuracy")
_SPLIT_HALF: Final = "split_half_within_cr2"
"""The test whose figure has two points of each replicate: one for each half of the images."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One chart with where its data come from."""

    chart: Chart
    label: str
    table: Table | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimView:
    """Everything that the page says of one claim."""

    id: str
    short: str
    statement: str
    expectation: str
    secondary: bool
    deciding: FindingView
    published: FindingView | None
    compared: tuple[FindingView, ...]
    others: tuple[FindingView, ...]
    agreement: str
    holm: Markup
    caveat: str
    caveats_more: bool
    figures: tuple[Figure, ...]
    tests: tuple[tuple[FindingView, Table], ...]
    correlations: Table | None
    sentences: tuple[Markup, ...]
    single_seed: Markup | None
    accuracies: Markup | None
    likeness: str
    apart: bool
    caveats: tuple[str, ...]
    differences: tuple[Difference, ...]
    pasted: tuple[tuple[str, str], ...]
    sql: str
    csv: str
    on_halves: bool
    undrawn: str
    curve: CurveView | None


def claim_views(results: Results, cite: Citations, book: ChartBook) -> tuple[ClaimView, ...]:
    """Return every claim of the results, in the order of the published argument."""
    order = list(HYPOTHESES)
    ids = list(dict.fromkeys(finding.hypothesis for finding in results.findings))
    ids.sort(key=lambda name: order.index(name) if name in order else len(order))
    return tuple(_claim(name, results, cite, book) for name in ids)


def _claim(name: str, results: Results, cite: Citations, book: ChartBook) -> ClaimView:
    findings = [finding for finding in results.findings if finding.hypothesis == name]
    deciding = next((finding for finding in findings if finding.deciding), findings[0])
    ordered = sorted(findings, key=lambda f: (f is not deciding, f.form != deciding.form, f.arm))
    shared = results.counts.teacher_pools is not None
    views = [finding_view(finding, cite, shared=shared) for finding in ordered]
    published = next((view for view in views if view.finding.as_published), None)
    caveats = (*_suffering(results, deciding), *_caveats(deciding))
    fits = [fit for fit in results.fits if fit.hypothesis == name]
    evidence = [item for finding in findings for item in finding.evidence]
    known = HYPOTHESES.get(name)
    likeness, apart = likeness_of(deciding, published.finding) if published else ("", False)
    return ClaimView(
        id=name,
        short=short_statement(deciding),
        statement=deciding.statement,
        expectation=expectation(deciding),
        secondary=known is not None and not known.primary,
        deciding=views[0],
        published=published,
        compared=compared_views(views, published),
        others=tuple(views[1:]),
        agreement=agreement_words(views[0], views[1:]),
        holm=_at_look(deciding, cite) if results.sequential else _holm(deciding, cite),
        caveat=_leading(name, caveats),
        caveats_more=len(caveats) > 1 or any(_first_sentence(text) != text for text in caveats),
        figures=_figures(results, fits, cite, book, deciding),
        tests=tuple((view, tests_table(cite, view.finding)) for view in views),
        correlations=correlations_table(cite, deciding),
        sentences=tuple(
            reporting_sentence(cite, deciding, o, shared=shared) for o in deciding.outcomes
        ),
        single_seed=single_seed_words(cite, deciding.single_seed, outcomes=len(deciding.outcomes))
        if deciding.single_seed
        else None,
        accuracies=_accuracies(results, deciding, cite),
        likeness=likeness,
        apart=apart,
        caveats=caveats,
        differences=differences_of(deciding),
        pasted=_pasted(name, views, cite),
        sql=findings_sql(name),
        csv=points_csv(fits) if any(fit.points for fit in fits) else "",
        on_halves=any(e.test == _SPLIT_HALF and e.rank is Rank.PRIMARY for e in evidence),
        undrawn=_undrawn(fits),
        curve=next((curve_view(cite, c) for c in results.multiverse if c.hypothesis == name), None),
    )


def _holm(finding: Finding, cite: Citations) -> Markup:
    if finding.p_holm is None or not is_primary(finding):
        return Markup("")
    return Markup("Holm-adjusted {}").format(p_clause(cite.p(finding, "p_holm")))


def _at_look(finding: Finding, cite: Citations) -> Markup:
    """Say the level that a claim is read at, where seeds are added by a declared rule."""
    if not finding.alpha:
        return Markup("not read at this number of seeds")
    level = cite.number(finding, "alpha", look_level_text(finding.alpha))
    return Markup("read at level {}").format(level)


def _leading(claim: str, caveats: Sequence[str]) -> str:
    """Return the first caveat's first sentence.

    That the published form reads otherwise stands beside it already.
    """
    told = [text for text in caveats if not text.startswith(f"{claim} is ")]
    return _first_sentence(told[0]) if told else ""


def _first_sentence(text: str) -> str:
    head, _, rest = text.partition(". ")
    return capitalized(f"{head}." if rest else head)


def _caveats(finding: Finding) -> tuple[str, ...]:
    primary = [e for e in finding.evidence if e.rank is Rank.PRIMARY]
    told: list[Finding | OutcomeFinding | Evidence] = [finding, *finding.outcomes, *primary]
    return tuple(dict.fromkeys(chain.from_iterable(item.caveats for item in told)))


def _figures(
    results: Results,
    fits: Sequence[FitLine],
    cite: Citations,
    book: ChartBook,
    deciding: Finding,
) -> tuple[Figure, ...]:
    figures: list[Figure] = []
    for fit in sorted(fits, key=lambda f: (f.form != Form.PLAIN, f.outcome, f.arm)):
        if not fit.points:
            continue
        alike = [f for f in fits if (f.form, f.outcome) == (fit.form, fit.outcome)]
        label = f"{capitalized(arm_word(fit.arm))}, {form_label(fit.form)}"
        if fit.predictor != STRENGTH:
            raw = raw_chart(book, fit)
            if raw is not None:
                figures.append(Figure(chart=raw, label=label, table=None))
        index = next(i for i, f in enumerate(results.fits) if f is fit)
        chart = fit_chart(book, fit, index, alike=alike)
        table = fit_table(cite, fit, chart.sql) if fit.predictor == STRENGTH else None
        figures.append(Figure(chart=chart, label=label, table=table))
        decides = (fit.arm, fit.form) == (deciding.arm, deciding.form)
        # where seeds share teachers the paired tests are of pools, and the points are of seeds
        if fit.predictor == STRENGTH and decides and results.counts.teacher_pools is None:
            differences = estimation_chart(book, deciding, fit)
            if differences is not None:
                figures.append(Figure(chart=differences, label=label, table=None))
    return tuple(figures)


def _moved_accuracies(results: Results, finding: Finding) -> dict[str, Evidence]:
    """Return how both accuracies move with strength, of a claim about their gap; else nothing."""
    of_gap = any(
        (outcome.outcome, outcome.predictor) == (_GAP, STRENGTH) for outcome in finding.outcomes
    )
    moved = {
        item.outcome: item
        for item in results.secondary
        if item.arm == finding.arm and item.predictor == STRENGTH and item.estimate is not None
    }
    return moved if of_gap and moved.keys() >= set(_ACCURACIES) else {}


def _suffering(results: Results, finding: Finding) -> tuple[str, ...]:
    """Say that a gap closes while both accuracies fall, where their intervals show it."""
    moved = _moved_accuracies(results, finding)
    intervals = [moved[name].interval for name in _ACCURACIES] if moved else []
    falls = [interval is not None and interval.high < 0 for interval in intervals]
    if finding.verdict is not Verdict.SUPPORTED or not falls or not all(falls):
        return ()
    return (
        "The gap closes while training and test accuracy both fall: less overfitting here is not "
        "a better student.",
    )


def _accuracies(results: Results, finding: Finding, cite: Citations) -> Markup | None:
    """Say what a gap that moves with strength consists of: how both accuracies move."""
    moved = _moved_accuracies(results, finding)
    if not moved:
        return None
    told = Markup("; ").join(
        Markup("{} by {} {} {}").format(
            measure_title(name),
            cite.plain(moved[name], "estimate", evidence_decimals(moved[name])),
            cite.interval(moved[name].interval, evidence_decimals(moved[name])),
            moved[name].unit,
        )
        for name in _ACCURACIES
    )
    return Markup(
        "A gap may close because training suffers. Beside it, as secondary measures: {}."
    ).format(told)


def verdicts_table(name: str, views: Sequence[FindingView], cite: Citations) -> Table:
    """Lay out a claim's verdict in every arm and form, one row for each outcome."""
    return Table(
        caption=f"{name}: verdicts by arm and measures",
        head=("Arm and measures", "Outcome", "Verdict", "Estimate", "95 % CI", "p", "Seeds"),
        rows=tuple(
            Row(
                (
                    view.arm_words,
                    f"{measure_title(outcome.outcome)} ({outcome.unit})",
                    view.verdict,
                    cite.plain(outcome, "estimate", outcome_decimals(outcome)),
                    cite.interval(outcome.interval_95, outcome_decimals(outcome))
                    if outcome.interval_95
                    else NONE,
                    cite.p(outcome),
                    cite.count(view.finding, "n"),
                ),
                "primary" if view.finding.deciding else "",
            )
            for view in views
            for outcome in view.finding.outcomes
        ),
        words=3,
    )


def _pasted(
    name: str, views: Sequence[FindingView], cite: Citations
) -> tuple[tuple[str, str], ...]:
    """Return the verdicts as text to paste, by the language that it is in."""
    table = verdicts_table(name, views, cite)
    return (("LaTeX", latex_table(table)), ("Markdown", markdown_table(table)))


def _undrawn(fits: Sequence[FitLine]) -> str:
    """Say that not every seed is drawn, where that is so."""
    seeds = max((len({point.block for point in fit.points}) for fit in fits), default=0)
    if seeds <= SEEDS_DRAWN:
        return ""
    return (
        f"Of {whole(seeds)} seeds the first {SEEDS_DRAWN} are drawn and in the CSV; fits, bands "
        "and tests use all, and results.json holds them."
    )


def arm_sentence(arm: str) -> str:
    """Say what an arm is."""
    return f"{capitalized(arm_word(arm))}: {arm_label(arm)}."
