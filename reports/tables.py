"""Tables of the page: rows selected from the results, each number cited."""

import csv
import io
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup

from analyze.results import Evidence, Finding, FitLine, Rank, Results, Series
from analyze.secondary import SECONDARY
from reports.attached import data_uri
from reports.figures import SEEDS_DRAWN
from reports.names import (
    arm_word,
    capitalized,
    ensembles_label,
    form_label,
    measure_title,
    test_name,
    value_title,
)
from reports.numbers import (
    Citations,
    Shown,
    decimals_for,
    interval_decimals,
    level_text,
    strength_text,
)
from reports.prose import df_decimals, evidence_decimals
from reports.sources import (
    information_sql,
    means_sql,
    missing_sql,
    tests_of_sql,
    tests_sql,
)
from store.measures import BY_NAME

Cell = Shown | Markup
NONE: Final = "–"
_SEEDS_TABLED: Final = 24


def anchor(text: str) -> str:
    """Return a text as the name of a place in the page: ``Tests of H1`` as ``tests-of-h1``."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower().replace("’", "")).strip("-")


@dataclass(frozen=True, slots=True)
class Row:
    """One row. mark: ``primary`` or ``coupled``, else empty."""

    cells: tuple[Cell, ...]
    mark: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """A table; its first ``words`` columns are text, the rest numbers.

    sql: a query of the store for what it is made from. linked: it has a link and CSV of its own
    although no store holds it.
    """

    caption: str
    head: tuple[str, ...]
    rows: tuple[Row, ...]
    words: int = 1
    note: str = ""
    sql: str = ""
    linked: bool = False

    @property
    def anchor(self) -> str:
        """Return the name that links to the table end with."""
        return anchor(self.caption)


def tests_table(cite: Citations, finding: Finding) -> Table:
    """Every test of a finding, the deciding one first and marked."""
    read = f"{arm_word(finding.arm)}, {form_label(finding.form)}"
    sql = tests_sql(finding, finding.hypothesis)
    return tests_rows(cite, finding.evidence, f"Tests of {finding.hypothesis}: {read}", sql)


def tests_rows(
    cite: Citations, tests: Sequence[Evidence], caption: str, sql: str, *, decides: bool = True
) -> Table:
    """Lay tests out as a table, the primary ones first, and marked where they decide a claim."""
    order = {Rank.PRIMARY: 0, Rank.BESIDE: 1, Rank.COUPLED: 2}
    evidence = sorted(tests, key=lambda item: order[item.rank])
    several = len({item.outcome for item in evidence}) > 1
    return Table(
        caption=caption,
        head=("Test", "Estimates", "Estimate", "SE", "Statistic", "df", "p", "95 % interval", "n"),
        rows=tuple(_test_row(cite, item, several=several, decides=decides) for item in evidence),
        words=2,
        sql=sql,
    )


def _test_row(cite: Citations, item: Evidence, *, several: bool, decides: bool) -> Row:
    digits = evidence_decimals(item)
    interval = cite.interval(item.interval, digits)
    if item.interval is not None and item.interval.level != 0.95:
        interval += Markup(" <small>({})</small>").format(level_text(item.interval.level))
    name = Markup("{}").format(test_name(item.test))
    if several or item.rank is Rank.COUPLED:
        about = item.predictor if item.rank is Rank.COUPLED else item.outcome
        name += Markup(' <small class="about">{}</small>').format(measure_title(about))
    told = ". ".join(capitalized(text.rstrip(".")) for text in (item.method, *item.caveats))
    name += Markup('<small class="how">{}.</small>').format(told.replace("'", "’"))
    p = cite.p(item)
    if item.p_value is not None and item.smallest_p is not None:
        p = Markup("{} <small>(least {})</small>").format(p, cite.p(item, "smallest_p"))
    marks = {Rank.PRIMARY: "primary" if decides else "", Rank.COUPLED: "coupled", Rank.BESIDE: ""}
    return Row(
        (
            name,
            value_title(item),
            cite.plain(item, "estimate", digits),
            cite.plain(item, "standard_error", digits),
            _statistic(cite, item),
            NONE if item.df is None else cite.plain(item, "df", df_decimals(item.df)),
            p,
            interval,
            cite.count(item, "n"),
        ),
        marks[item.rank],
    )


def _statistic(cite: Citations, item: Evidence) -> Cell:
    if item.statistic is None:
        return NONE
    name = item.statistic_name or ""
    return Markup("<i>{}</i> {}").format(name, cite.plain(item, "statistic", 2))


def correlations_table(cite: Citations, finding: Finding) -> Table | None:
    """Return the correlations of an association at their several levels, where there are any."""
    found = [
        e
        for e in finding.evidence
        # that of ranks with strength is of Page's test, and of one measure
        if e.value_name == "correlation" and e.rank is Rank.BESIDE
    ]
    if len(found) < 2:
        return None
    return Table(
        caption=f"The two measures of {finding.hypothesis}, correlated in {len(found)} ways",
        head=("Correlation", "r", "95 % interval", "p", "Rows"),
        rows=tuple(
            Row(
                (
                    Markup("{}<small>{}</small>").format(test_name(item.test), item.method),
                    cite.plain(item, "estimate", 2),
                    cite.interval(item.interval, 2),
                    cite.p(item),
                    cite.count(item, "rows"),
                )
            )
            for item in found
        ),
        sql=tests_sql(finding, finding.hypothesis, correlations=True),
    )


def fit_table(cite: Citations, fit: FitLine, sql: str) -> Table:
    """Outcome of each seed at each strength, as drawn."""
    strengths = sorted({point.strength for point in fit.points})
    blocks = sorted({point.block for point in fit.points})
    cells = {(point.block, point.strength): point for point in fit.points}
    ys = [point.y for point in fit.points]
    digits = decimals_for((max(ys) - min(ys)) / 10 if ys else None)
    note = ""
    if len(blocks) > _SEEDS_TABLED:
        note = f"The first {_SEEDS_TABLED} of {len(blocks)} seeds; results.json holds all."
    return Table(
        caption=f"{capitalized(measure_title(fit.outcome))}, {arm_word(fit.arm)}",
        head=("Seed", *(f"strength {strength_text(strength)}" for strength in strengths)),
        rows=tuple(
            Row(
                (
                    str(block),
                    *(
                        cite.plain(cells[block, strength], "y", digits)
                        if (block, strength) in cells
                        else NONE
                        for strength in strengths
                    ),
                )
            )
            for block in blocks[:_SEEDS_TABLED]
        ),
        note=note,
        sql=sql,
    )


def series_tables(
    cite: Citations,
    results: Results,
    measures: Iterable[str],
    caption: str,
    name: Callable[[Sequence[float]], str],
) -> tuple[Table, ...]:
    """Return measures' means over seeds with their intervals, by arm and ensemble.

    name: of an ensemble, by its teachers' strengths. One table for each size of ensemble.
    """
    wanted = list(measures)
    sizes = sorted({len(s.teacher_strengths) for s in results.series if s.measure in wanted})
    several = len(sizes) > 1
    return tuple(
        _series_table(
            cite,
            [s for s in results.series if len(s.teacher_strengths) == size],
            wanted,
            f"{caption}, {ensembles_label(size)}" if several else caption,
            name,
            means_sql(
                [measure for measure in dict.fromkeys(wanted) if measure in BY_NAME],
                size,
                rule=results.counts.failed_rule,
            ),
        )
        for size in sizes
    )


def _series_table(
    cite: Citations,
    series: Sequence[Series],
    wanted: Sequence[str],
    caption: str,
    name: Callable[[Sequence[float]], str],
    sql: str,
) -> Table:
    ensembles = sorted(
        {s.teacher_strengths: s.strength for s in series if s.measure in wanted}.items(),
        key=lambda one: (one[1], one[0]),
    )
    cells = {(s.measure, s.arm, s.teacher_strengths): s for s in series}
    keys = sorted(_series_keys(series, wanted), key=lambda key: wanted.index(key[0]))
    return Table(
        caption=caption,
        head=("Measure", "Arm", *(name(strengths) for strengths, _ in ensembles)),
        rows=tuple(
            Row(
                (
                    Markup("{}<small>{}</small>").format(
                        capitalized(measure_title(measure)), _unit(measure)
                    ),
                    _arms_alike(series, measure) or _arm(arm),
                    *(
                        _mean(cite, cells.get((measure, arm, strengths)))
                        for strengths, _ in ensembles
                    ),
                )
            )
            for measure, arm in keys
        ),
        words=2,
        note="Means over seeds; below them the 95 % t interval where there are three seeds.",
        sql=sql,
    )


def _arm(arm: str) -> str:
    return arm_word(arm).removesuffix(" arm")


def _series_keys(all_series: Sequence[Series], wanted: Sequence[str]) -> list[tuple[str, str]]:
    """Measures and arms that have series; once where a measure is the same in every arm."""
    keys = dict.fromkeys((s.measure, s.arm) for s in all_series if s.measure in wanted)
    first: dict[str, str] = {}
    for measure, arm in keys:
        first.setdefault(measure, arm)
    return [key for key in keys if key[1] == first[key[0]] or not _arms_alike(all_series, key[0])]


def _arms_alike(all_series: Sequence[Series], measure: str) -> str:
    """Return "any" where a measure, being of the teachers alone, is the same in every arm."""
    by_arm: dict[str, set[tuple[tuple[float, ...], tuple[float, ...]]]] = {}
    for series in all_series:
        if series.measure == measure:
            by_arm.setdefault(series.arm, set()).add((series.teacher_strengths, series.values))
    values = list(by_arm.values())
    return "any" if len(values) > 1 and all(item == values[0] for item in values) else ""


def _unit(measure: str) -> str:
    return f" {BY_NAME[measure].unit}" if measure in BY_NAME else ""


def _mean(cite: Citations, series: Series | None) -> Cell:
    if series is None:
        return NONE
    digits = interval_decimals(series.interval, series.mean)
    mean = cite.plain(series, "mean", digits)
    if series.interval is None:
        return mean
    return Markup("{}<small>{}</small>").format(mean, cite.interval(series.interval, digits))


def secondary_table(cite: Citations, results: Results) -> Table:
    """Trends of the measures that no primary claim is about, the surest first."""
    order = sorted(results.secondary, key=lambda one: (one.q_value is None, one.q_value or 0.0))
    return Table(
        caption="Measures that no primary claim is about, and whether they move with strength",
        head=("Measure", "Per unit of strength", "95 % interval", "p", "q", "n"),
        rows=tuple(
            Row(
                (
                    Markup("{}<small>{}</small>").format(
                        capitalized(measure_title(one.outcome)),
                        _unit(one.outcome)
                        if one.estimate is not None
                        else " ".join(one.caveats) or "no value",
                    ),
                    cite.plain(one, "estimate", evidence_decimals(one)),
                    cite.interval(one.interval, evidence_decimals(one)),
                    cite.p(one),
                    cite.p(one, "q_value"),
                    cite.count(one, "n"),
                )
            )
            for one in order
        ),
        note="q: p adjusted over all of these (Benjamini and Hochberg): of those called below a q, "
        "about that share is expected to be false. None has a verdict, for nothing was claimed of "
        "them beforehand.",
        sql=tests_of_sql(SECONDARY),
    )


def information_table(
    cite: Citations, results: Results, name: Callable[[Sequence[float]], str]
) -> Table:
    """Mutual information with everything needed to judge it.

    name: of an ensemble, by its teachers' strengths.
    """
    return Table(
        caption="Mutual information of the ensemble’s and the student’s predicted labels",
        head=(
            "Arm",
            "Teachers",
            "I, bits",
            "95 % interval",
            "Ceiling log₂ K",
            "H(T)",
            "H(S)",
            "Bias subtracted",
            "Images N",
            "Classes K",
            "Estimator",
        ),
        rows=tuple(
            Row(
                (
                    _arm(info.arm),
                    name(info.teacher_strengths),
                    cite.plain(info, "estimate", digits),
                    cite.interval(info.interval, digits),
                    cite.plain(info, "ceiling", 3),
                    cite.plain(info, "teacher_entropy", 3),
                    cite.plain(info, "student_entropy", 3),
                    cite.plain(info, "bias", 4),
                    cite.count(info, "images"),
                    cite.count(info, "classes"),
                    info.estimator,
                )
            )
            for info in results.mutual_information
            for digits in [interval_decimals(info.interval, info.estimate)]
        ),
        sql=information_sql(rule=results.counts.failed_rule),
    )


def missing_table(cite: Citations, results: Results) -> Table:
    """Values that could not be computed, and why."""
    return Table(
        caption="Missing values",
        head=("Measure", "Why", "Rows"),
        rows=tuple(
            Row((capitalized(measure_title(m.measure)), m.reason, cite.count(m, "rows")))
            for m in results.missing
        ),
        words=2,
        sql=missing_sql(list(dict.fromkeys(m.measure for m in results.missing))),
    )


def points_csv(fits: Sequence[FitLine]) -> str:
    """Return what a claim's figures draw as a CSV data URI, at full precision."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("arm", "form", "outcome", "predictor", "seed", "strength", "x", "y"))
    for fit in fits:
        drawn = set(sorted({point.block for point in fit.points})[:SEEDS_DRAWN])
        for point in fit.points:
            if point.block in drawn:
                writer.writerow(
                    (fit.arm, fit.form, fit.outcome, fit.predictor, point.block, point.strength,
                     repr(point.x), repr(point.y))
                )  # fmt: skip
    return data_uri(text.getvalue())


def series_csv(results: Results) -> str:
    """Return every series' values, one row per seed, as a CSV data URI."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("measure", "arm", "strength", "teachers", "seed", "value"))
    for series in results.series:
        for block, value in list(zip(series.blocks, series.values, strict=True))[:SEEDS_DRAWN]:
            teachers = " ".join(f"{strength:g}" for strength in series.teacher_strengths)
            writer.writerow(
                (series.measure, series.arm, series.strength, teachers, block, repr(value))
            )
    return data_uri(text.getvalue())
