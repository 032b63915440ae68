"""Whether to trust it: what departs from the plan, earlier looks, and how often the tests err."""

from dataclasses import dataclass
from typing import Final

import polars as pl
from markupsafe import Markup

from analyze.calibration import NEGLIGIBLE, fails
from analyze.results import CalibratedCase, Calibration, Departure, Results, Verdict
from reports.names import VERDICTS, capitalized, test_name
from reports.numbers import Citations, Shown, percent_tenths, whole
from reports.provenance import minute
from reports.queries import ANALYSES, Store
from reports.tables import NONE, Row, Table

_DEPARTURES: Final = {
    Departure.SEEDS: "Number of seeds",
    Departure.LOOK: "Looking at the data",
    Departure.SESOI: "Too small to matter",
    Departure.ARM: "Arm that decides",
    Departure.CLAIM: "Claims",
    Departure.TOLD: "Told by the study file",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """What a careful reader asks before believing a verdict."""

    deviations: Table
    analyses: Table
    calibration: Table
    cases: tuple[Table, ...]
    calibrated: Markup


def trust_of(results: Results, cite: Citations, store: Store) -> Trust:
    """Select deviations, earlier analyses and the error rates of the tests."""
    return Trust(
        deviations=deviations_table(results),
        analyses=_analyses(store.frame(ANALYSES.sql)),
        calibration=calibration_table(cite, results),
        cases=tuple(_cases_table(cite, each) for each in results.calibration if each.cases),
        calibrated=_calibrated_words(cite, results),
    )


def deviations_table(results: Results) -> Table:
    """Return what was done otherwise than declared; no rows where nothing was."""
    return Table(
        caption="Deviations from what was declared",
        head=("What", "Declared", "Done", "What it does"),
        rows=tuple(
            Row(
                (
                    _DEPARTURES[each.departure],
                    capitalized(each.declared) or NONE,
                    capitalized(each.done),
                    each.meaning or NONE,
                )
            )
            for each in results.deviations
        ),
        words=4,
        sql=ANALYSES.sql,
    )


def _analyses(frame: pl.DataFrame) -> Table:
    """Return every analysis that the store remembers, the present one last."""
    return Table(
        caption="Every analysis of this study that its store remembers",
        head=("First made", "Study file", "Verdicts", "Seeds"),
        rows=tuple(
            Row(
                (
                    "not kept" if row["analysed_at"] is None else minute(row["analysed_at"]),
                    Markup("<code>{}</code>").format(row["study_hash"][:8]),
                    _verdicts(row["claims"], row["verdicts"]),
                    whole(row["seeds"]),
                )
            )
            for row in frame.iter_rows(named=True)
        ),
        words=3,
        note="Study file: the first digits of its hash, which differs where anything in the file "
        "does.",
        sql=ANALYSES.sql,
    )


def _verdicts(claims: list[str], verdicts: list[str]) -> str:
    return "; ".join(
        f"{claim} {VERDICTS[Verdict(verdict)].word.lower()}"
        for claim, verdict in zip(claims, verdicts, strict=True)
    )


def calibration_table(cite: Citations, results: Results) -> Table:
    """Return one row per test: how often it errs, over all kinds of studies simulated."""
    return Table(
        caption="How often the tests err, in simulated studies whose truth is known",
        head=(
            "Test",
            "Where it fails",
            "Errs (5 % allowed)",
            "At most (1.25 % allowed)",
            "95 % interval holds the truth",
            "Seeds",
            "Kinds of studies",
        ),
        rows=tuple(_calibration_row(cite, each) for each in results.calibration),
        words=2,
        note="To err is to find what is not there; of what is called negligible, to call so an "
        "effect just as large as the smallest that matters. Lowest to highest share over all "
        "kinds of studies. Rates of a test that is right scatter, too: fails, here, means more "
        "than three Monte Carlo standard errors beyond what is allowed.",
        linked=True,
    )


def _calibration_row(cite: Citations, each: Calibration) -> Row:
    mark = "primary" if each.decides else ""
    test = Markup("{}<small>{}</small>").format(test_name(each.test), ", ".join(each.decides))
    if not each.cases:
        return Row((test, "not simulated", NONE, NONE, NONE, NONE, whole(0)), mark)
    rejected = Markup("{} to {}").format(
        _share(cite, each, "least_rejected"), _share(cite, each, "most_rejected")
    )
    covered = each.least_covered is not None
    return Row(
        (
            test,
            _where(each),
            rejected,
            _share(cite, each, "most_rejected_strict"),
            Markup("{} and more").format(_share(cite, each, "least_covered")) if covered else NONE,
            _sizes(each),
            cite.count(each, "kinds"),
        ),
        mark,
    )


def _where(each: Calibration) -> str:
    return "; ".join(dict.fromkeys(case.truth for case in each.cases if fails(case))) or "nowhere"


def _sizes(each: Calibration) -> str:
    return " and ".join(map(str, sorted({case.seeds for case in each.cases})))


def _cases_table(cite: Citations, each: Calibration) -> Table:
    return Table(
        caption=f"Simulated studies: {test_name(each.test)}",
        head=(
            "What they were like",
            "Reading",
            "Errs (5 % allowed)",
            "Errs (1.25 % allowed)",
            "95 % interval holds the truth",
            "Seeds",
            "Studies",
        ),
        rows=tuple(
            Row(
                (
                    capitalized(case.truth),
                    case.reading,
                    _share(cite, case, "rejected"),
                    _share(cite, case, "rejected_strict"),
                    _share(cite, case, "covered"),
                    cite.count(case, "seeds"),
                    cite.count(case, "studies"),
                )
            )
            for case in each.cases
        ),
        words=2,
        linked=True,
    )


def _calibrated_words(cite: Citations, results: Results) -> Markup:
    """Say of each test that decides whether it holds its level."""
    said = [_held(cite, each) for each in results.calibration if each.decides]
    return Markup(" ").join(said)


def _held(cite: Citations, each: Calibration) -> Markup:
    name = test_name(each.test)
    if not each.cases:
        return Markup("<b>{}</b> was not simulated.").format(name)
    if each.failing:
        return Markup(
            "<b>{}</b> errs more often than it may in {} of the {} kinds of studies it was held to."
        ).format(name, cite.count(each, "failing"), cite.count(each, "kinds"))
    return Markup(
        "<b>{}</b> keeps its level in all {} kinds of studies it was held to, of {} seeds: {} in "
        "{} to {} of them."
    ).format(
        name,
        cite.count(each, "kinds"),
        _sizes(each),
        _error(each),
        _share(cite, each, "least_rejected"),
        _share(cite, each, "most_rejected"),
    )


def _error(each: Calibration) -> str:
    if each.test in NEGLIGIBLE.values():
        return "it called negligible what is just as large as the smallest effect that matters"
    return "where there was nothing to find it found something"


def _share(cite: Citations, owner: Calibration | CalibratedCase, field: str) -> Shown:
    value = getattr(owner, field)
    return NONE if value is None else cite.number(owner, field, percent_tenths(value))
