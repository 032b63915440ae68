"""The page that lays several studies side by side: a matrix of verdicts, forest plots, facts."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup

from analyze.comparison import ComparedClaim, ComparedStudy, Comparison, LeftOut, Reading
from analyze.hypotheses import HYPOTHESES, Direction
from analyze.likeness import Submission
from analyze.results import Verdict
from reports.compare_prose import (
    likeness_words,
    member_numbers,
    spoken_member,
    spoken_summary,
    summary_numbers,
    summary_sentence,
)
from reports.compare_sources import (
    differences_csv,
    differences_sql,
    forest_csv,
    forest_sql,
    verdicts_csv,
    verdicts_sql,
)
from reports.figures import ChartBook
from reports.findings import FindingView, finding_view
from reports.forest import alike_span, axis_of, study_forest, summary_forest
from reports.names import VERDICTS, VerdictWords, capitalized, in_words, measure_title
from reports.numbers import Citations
from reports.page import content_security_policy, page_environment, template_text
from reports.study_prose import study_sentence
from reports.tables import NONE, Row, Table
from store.design import Design


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One study's reading of one claim, in the matrix. deciding: None where it does not ask."""

    label: str
    deciding: FindingView | None
    published: FindingView | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """One line of a forest plot."""

    title: str
    detail: str
    drawing: Markup
    numbers: Markup
    summary: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ForestView:
    """Studies that are alike, drawn on one axis, with what they say together.

    named: what it shows, for those who hear its links. sentence: empty where there is no summary.
    sql: asked of each study's store.
    """

    id: str
    title: str
    named: str
    unit: str
    likeness: str
    banded: bool
    lanes: tuple[Lane, ...]
    axis: Markup
    sentence: Markup
    caveats: tuple[str, ...]
    sql: str
    csv: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedClaimView:
    """One claim over all studies: its row of the matrix and its own section."""

    id: str
    short: str
    statement: str
    count: str
    cells: tuple[Cell, ...]
    forests: tuple[ForestView, ...]
    left_out: tuple[str, ...]
    caveats: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyView:
    """What one study is."""

    study: ComparedStudy
    sentence: str
    seeds: Markup


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonPage:
    """What the template lays out. verdicts_sql, verdicts_csv: of the matrix."""

    comparison: Comparison
    studies: tuple[StudyView, ...]
    claims: tuple[ComparedClaimView, ...]
    verdicts_sql: str
    verdicts_csv: str
    differences: Table
    differences_sql: str
    differences_csv: str
    key: tuple[VerdictWords, ...]


def make_comparison_page(
    comparison: Comparison, submissions: Sequence[Submission]
) -> ComparisonPage:
    """Select everything that the page shows. submissions: what was compared, in its order."""
    cite = Citations(comparison)
    claims = tuple(_claim(claim, comparison, submissions, cite) for claim in comparison.claims)
    labels = [study.label for study in comparison.studies]
    seen = {
        view.words.word: view.words
        for claim in claims
        for cell in claim.cells
        for view in (cell.deciding, cell.published)
        if view is not None
    }
    return ComparisonPage(
        comparison=comparison,
        studies=tuple(
            _study(study, submitted.design, cite)
            for study, submitted in zip(comparison.studies, submissions, strict=True)
        ),
        claims=claims,
        verdicts_sql=verdicts_sql(submissions),
        verdicts_csv=verdicts_csv(comparison),
        differences=_differences(comparison),
        differences_sql=differences_sql(comparison.differences, submissions),
        differences_csv=differences_csv(comparison.differences, labels),
        key=tuple(words for words in VERDICTS.values() if words.word in seen),
    )


def render_comparison(page: ComparisonPage) -> str:
    """Write the page as one HTML text."""
    style = template_text("style.css") + template_text("compare.css")
    script = template_text("charts.js")
    return (
        page_environment()
        .get_template("compare.html")
        .render(
            page=page,
            style=Markup(style),
            script=Markup(script),
            chart_data=Markup(ChartBook(rule="").to_json()),
            policy=content_security_policy(scripts=(script,), styles=(style,)),
        )
    )


def _study(study: ComparedStudy, design: Design | None, cite: Citations) -> StudyView:
    seeds = Markup("{} of {} seeds analyzed").format(
        cite.count(study, "seeds_analyzed"), cite.count(study, "seeds_declared")
    )
    if study.teacher_pools is not None:
        seeds += Markup("; {} shared pools of teachers").format(cite.count(study, "teacher_pools"))
    return StudyView(
        study=study, sentence="" if design is None else study_sentence(design), seeds=seeds
    )


def _claim(
    claim: ComparedClaim,
    comparison: Comparison,
    submissions: Sequence[Submission],
    cite: Citations,
) -> ComparedClaimView:
    known = HYPOTHESES.get(claim.hypothesis)
    labels = [study.label for study in comparison.studies]
    return ComparedClaimView(
        id=claim.hypothesis,
        short=known.short if known else claim.statement,
        statement=claim.statement,
        count=_count(claim.readings),
        cells=tuple(_cell(reading, comparison, cite) for reading in claim.readings),
        forests=tuple(
            _forest(claim, place, submissions, cite) for place in range(len(claim.alike))
        ),
        left_out=tuple(_left_out(each, labels) for each in claim.left_out),
        caveats=claim.caveats,
    )


def _cell(reading: Reading, comparison: Comparison, cite: Citations) -> Cell:
    study = comparison.studies[reading.study]
    shared = study.teacher_pools is not None
    deciding, published = (
        None if finding is None else finding_view(finding, cite, shared=shared)
        for finding in (reading.deciding, reading.published)
    )
    return Cell(label=study.label, deciding=deciding, published=published)


def _count(readings: Sequence[Reading]) -> str:
    """Say how often each verdict was read."""
    read = Counter(each.deciding.verdict for each in readings if each.deciding is not None)
    parts = [
        f"{VERDICTS[verdict].word.lower()} in {in_words(read[verdict])}"
        for verdict in Verdict
        if read[verdict]
    ]
    absent = sum(each.deciding is None for each in readings)
    parts += [f"not asked in {in_words(absent)}"] if absent else []
    return capitalized(", ".join(parts)) + "."


def _forest(
    claim: ComparedClaim, place: int, submissions: Sequence[Submission], cite: Citations
) -> ForestView:
    alike, labels = claim.alike[place], [each.label for each in submissions]
    known = HYPOTHESES.get(claim.hypothesis)
    sign = known.direction.sign if known else Direction.RISES.sign
    span = alike_span(alike)
    lanes = [
        Lane(
            title=labels[member.study],
            detail="",
            drawing=study_forest(
                alike, member, sign=sign, span=span, spoken=spoken_member(labels, member)
            ),
            numbers=member_numbers(cite, member),
        )
        for member in alike.members
    ]
    if alike.summary is not None:
        lanes.append(
            Lane(
                title="Mean over studies",
                detail="" if alike.summary.prediction is None else "thin: a new study’s own value",
                drawing=summary_forest(
                    alike, alike.summary, sign=sign, span=span, spoken=spoken_summary(alike.summary)
                ),
                numbers=summary_numbers(cite, alike.summary),
                summary=True,
            )
        )
    return ForestView(
        id=f"forest-{claim.hypothesis}-{place}",
        title=capitalized(measure_title(alike.likeness.outcome)),
        named=f"{claim.hypothesis}: {measure_title(alike.likeness.outcome)} in "
        + ", ".join(labels[member.study] for member in alike.members),
        unit=alike.likeness.unit,
        likeness=likeness_words(alike.likeness),
        banded=alike.sesoi is not None,
        lanes=tuple(lanes),
        axis=axis_of(alike, sign=sign, span=span),
        sentence=Markup("")
        if alike.summary is None
        else summary_sentence(cite, claim.hypothesis, alike, alike.summary),
        caveats=alike.caveats,
        sql=forest_sql(
            claim,
            alike,
            submissions,
            "" if alike.summary is None else cite.path(alike, "summary"),
        ),
        csv=forest_csv(alike, labels),
    )


def _left_out(each: LeftOut, labels: Sequence[str]) -> str:
    return f"{labels[each.study]}, {measure_title(each.outcome)}: {each.reason}."


_LONGEST: Final = 120
"""Characters of a declared value that the table shows."""


def _differences(comparison: Comparison) -> Table:
    return Table(
        caption="Keys that the studies declare differently",
        head=("Key", *(study.label for study in comparison.studies)),
        rows=tuple(
            Row((each.key, *(NONE if value is None else _short(value) for value in each.values)))
            for each in comparison.differences
        ),
        words=1 + len(comparison.studies),
    )


def _short(value: str) -> str:
    return value if len(value) <= _LONGEST else f"{value[:_LONGEST]}…"
