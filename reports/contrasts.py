"""The page's section on the contrasts of a factorial study: drawings, tables and sentences."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup

from analyze.contrasts import CONTRAST
from analyze.results import Contrast, Evidence, Results
from reports.conditions import ensemble_text
from reports.figures import Chart, ChartBook, conditions_chart
from reports.forest import contrast_forest, contrast_span
from reports.names import arm_word, capitalized, contrast_title, ensembles_label, measure_title
from reports.numbers import Citations
from reports.prose import contrast_sentence, df_decimals, evidence_decimals
from reports.sources import tests_of_sql
from reports.tables import NONE, Cell, Row, Table
from store.design import Design

_T: Final = "contrast_t"


@dataclass(frozen=True, slots=True, kw_only=True)
class ContrastLine:
    """One contrast: its name, its drawing and its numbers."""

    title: str
    drawing: Markup
    estimate: Markup
    interaction: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class OutcomeContrasts:
    """Every contrast of one outcome. banded: some have a band of effects too small to matter."""

    id: str
    named: str
    title: str
    unit: str
    lines: tuple[ContrastLine, ...]
    banded: bool
    table: Table
    charts: tuple[Chart, ...]
    sentences: tuple[Markup, ...]
    caveats: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SizeContrasts:
    """Every outcome's contrasts of ensembles of one size."""

    size: int
    label: str
    outcomes: tuple[OutcomeContrasts, ...]


def contrast_views(
    results: Results, design: Design, cite: Citations, book: ChartBook
) -> tuple[SizeContrasts, ...]:
    """Lay out the contrasts by size of ensemble, then outcome."""
    sizes = dict.fromkeys(contrast.teachers for contrast in results.contrasts)
    return tuple(
        SizeContrasts(
            size=size,
            label=ensembles_label(size),
            outcomes=tuple(
                _outcome(found, results, design, cite, book) for found in _by_outcome(results, size)
            ),
        )
        for size in sizes
    )


def _by_outcome(results: Results, size: int) -> list[list[Contrast]]:
    groups: dict[str, list[Contrast]] = {}
    for contrast in results.contrasts:
        if contrast.teachers == size:
            groups.setdefault(contrast.outcome, []).append(contrast)
    return list(groups.values())


def _outcome(
    found: Sequence[Contrast], results: Results, design: Design, cite: Citations, book: ChartBook
) -> OutcomeContrasts:
    drawn = [contrast for contrast in found if contrast.evidence]
    span = contrast_span(drawn)
    first = found[0]
    return OutcomeContrasts(
        id=f"contrasts-{first.teachers}-{first.outcome}",
        named=measure_title(first.outcome),
        title=capitalized(measure_title(first.outcome)),
        unit=first.unit,
        lines=tuple(
            ContrastLine(
                title=contrast_title(contrast.name),
                drawing=contrast_forest(contrast, span=span, last=contrast is drawn[-1]),
                estimate=_estimate(contrast, cite),
                interaction=contrast.interaction,
            )
            for contrast in drawn
        ),
        banded=any(contrast.sesoi is not None for contrast in drawn),
        table=contrasts_table(cite, drawn),
        charts=_charts(first, results, design, book),
        sentences=tuple(contrast_sentence(cite, contrast) for contrast in drawn),
        caveats=tuple(dict.fromkeys(text for contrast in found for text in contrast.caveats)),
    )


def _estimate(contrast: Contrast, cite: Citations) -> Markup:
    found = contrast.evidence[0]
    if found.estimate is None:
        return Markup("no estimate")
    digits = evidence_decimals(found)
    shown = Markup("<b>{}</b>").format(cite.plain(found, "estimate", digits))
    if found.interval is not None:
        shown += Markup(" {}").format(cite.interval(found.interval, digits))
    if found.q_value is not None:
        q = cite.p(found, "q_value")
        joint = "" if str(q).startswith(("<", ">")) else "= "
        shown += Markup(' <span class="tested"><i>q</i> {}{}</span>').format(joint, q)
    return shown


def contrasts_table(cite: Citations, contrasts: Sequence[Contrast]) -> Table:
    """Every test of every contrast of one outcome, one row each."""
    head = (
        "Contrast", "Difference", "SE", "95 % interval", "t", "df", "p", "q",
        "p, sign-flip", "p, signed ranks", "Too small", "p, equivalence", "g_av", "d_z", "n",
    )  # fmt: skip
    title = measure_title(contrasts[0].outcome) if contrasts else "nothing"
    size = f", {ensembles_label(contrasts[0].teachers)}" if contrasts else ""
    return Table(
        caption=f"Contrasts of {title}{size}",
        head=head,
        rows=tuple(Row(_cells(cite, contrast)) for contrast in contrasts),
        note="q: p of the t adjusted over all contrasts of the study (Benjamini and Hochberg). "
        "Signed ranks: Wilcoxon. Too small: the band that equivalence is tested against (TOST). "
        "g_av, d_z: the difference over the average SD of the two means, and over the SD of the "
        "seeds’ differences.",
        sql=tests_of_sql(CONTRAST, contrasts[0].outcome if contrasts else None),
    )


def _cells(cite: Citations, contrast: Contrast) -> tuple[Cell, ...]:
    tests = {item.test: item for item in contrast.evidence}
    found = tests[_T]
    digits = evidence_decimals(found)
    sesoi: Cell = NONE
    if contrast.sesoi is not None:
        sesoi = Markup("±{}").format(cite.number(contrast, "sesoi", f"{contrast.sesoi:.3g}"))
    return (
        contrast_title(contrast.name),
        cite.plain(found, "estimate", digits),
        cite.plain(found, "standard_error", digits),
        cite.interval(found.interval, digits),
        cite.plain(found, "statistic", 2),
        NONE if found.df is None else cite.plain(found, "df", df_decimals(found.df)),
        cite.p(found),
        cite.p(found, "q_value"),
        _p_of(cite, tests.get("contrast_sign_flip")),
        _p_of(cite, tests.get("contrast_wilcoxon")),
        sesoi,
        _p_of(cite, tests.get("contrast_tost")),
        _size_of(cite, tests.get("contrast_hedges_g_av")),
        _size_of(cite, tests.get("contrast_d_z")),
        cite.count(found, "n"),
    )


def _p_of(cite: Citations, item: Evidence | None) -> Cell:
    if item is None:
        return NONE
    if item.p_value is None or item.smallest_p is None:
        return cite.p(item)
    return Markup("{}<small>least {}</small>").format(cite.p(item), cite.p(item, "smallest_p"))


def _size_of(cite: Citations, item: Evidence | None) -> Cell:
    return NONE if item is None else cite.plain(item, "estimate", 2)


def _charts(
    contrast: Contrast, results: Results, design: Design, book: ChartBook
) -> tuple[Chart, ...]:
    """Draw every seed over the ensembles, one chart for each kind of student."""
    series = [
        one
        for one in results.series
        if one.measure == contrast.outcome and one.condition_id in contrast.conditions
    ]
    if not series:
        return ()
    # a measure of the teachers alone is the same whoever they teach
    alone = not any(
        other.name == "student"
        for other in results.contrasts
        if (other.teachers, other.outcome) == (contrast.teachers, contrast.outcome)
    )
    arms = list(dict.fromkeys(one.arm for one in sorted(series, key=lambda s: s.condition_id)))
    return tuple(
        conditions_chart(
            book,
            [one for one in series if one.arm == arm],
            name=lambda strengths: ensemble_text(strengths, design),
            who="Teachers" if alone else capitalized(arm_word(arm)),
            alike=series,
        )
        for arm in (arms[:1] if alone else arms)
    )
