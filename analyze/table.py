"""Any table of runs, tested as a study's claims are: rows in, typed result out, no paths.

Two questions, and a third with a predictor: does the outcome move with the dose, does the
predictor, and do both move together once seed and dose are held fixed? Holm's method holds
the error rate over the questions asked.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from analyze.answers import About, flagged, number, stream, tied, unit_in
from analyze.association_answers import Rows, beside_association, complete_blocks
from analyze.decide import MINIMUM_SEEDS, HolmLevel, Ruling, holm, rule_primary, t_interval
from analyze.inference.associations import two_way_within
from analyze.inference.correlations import SignConflict, correlate
from analyze.inference.crossed import crossed_slope, crossed_within
from analyze.inference.estimate import Estimate, Panel, Table
from analyze.inference.mediation import mediate
from analyze.inference.mixed import mixed_slope
from analyze.inference.trends import slope_t
from analyze.looks import look_at
from analyze.replicates import complete_panel
from analyze.resample import Resample, resample_slopes, resample_within
from analyze.results import Evidence, Rank, SequentialLook, Verdict
from analyze.seeds import seeds_to_decide
from analyze.table_pools import OneRowADose, one_row_a_dose, taken_as_fresh
from analyze.table_results import Claim, Claims, TableAnswer, TableResults
from analyze.table_rows import Columns, Runs
from analyze.trend_beside import beside_trend, trend_diagnostics
from store.errors import AnalysisError

_NAMED_AT_MOST: Final = 8
_DRAWS: Final = 9999
_FEWEST_DRAWS: Final = 999
_DRAWN: Final = 10_000_000
"""Seeds that the bootstrap of a mediation draws at most, all draws together."""
_SHARED: Final = (
    "If predictor and outcome are measured on the same test images, they share those images' "
    "noise, which no test here removes."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tests:
    """One question's tests before its level is known.

    resample: the primary test on resampled seeds, of which ``blocks`` are complete; None where
    the number of seeds that would decide is not asked for.
    """

    question: Literal["trend", "predictor_trend", "association"]
    outcome: str
    predictor: str
    claim: Claim
    primary: Estimate | None
    beside: tuple[Estimate, ...] = ()
    rows: int = 0
    conflict: SignConflict | None = None
    caveats: tuple[str, ...] = ()
    resample: Resample | None = None
    blocks: int = 0

    @property
    def p_value(self) -> float | None:
        return number(self.primary.p_value) if self.primary else None


def analyze_table(
    runs: Runs,
    columns: Columns,
    claims: Claims,
    *,
    level: float,
    source: str,
    looks: Sequence[int] = (),
    thorough: bool = True,
) -> TableResults:
    """Test every question of a table.

    level: in (.5, 1); raises ValueError elsewhere. looks: numbers of seeds at which the table was
    declared to be looked at while seeds are added, ascending, the last being the cap; raises
    AnalysisError where its number of seeds is none of them. thorough: also what takes longer than
    all the rest: every two doses compared, and the seeds that would decide what is undecided.
    """
    if not 0.5 < level < 1:
        raise ValueError(f"level {level} is not in (.5, 1); write .95 for 95 %")
    tested = [_trend(runs, columns, columns.outcome, claims.trend, level, thorough=thorough)]
    if columns.predictor is not None:
        tested.append(
            _trend(
                runs, columns, columns.predictor, claims.predictor_trend, level, thorough=thorough
            )
        )
        tested.append(
            _association(
                runs, columns, columns.predictor, claims.association, level, thorough=thorough
            )
        )
    seeds = runs.rows["block"].n_unique()
    look = _look(looks, seeds, len(tested), 1 - level, source) if looks else None
    levels = (
        holm([one.p_value for one in tested], 1 - level)
        if look is None
        else [HolmLevel(look.level or 0.0, None)] * len(tested)
    )
    return TableResults(
        format_version=1,
        source=source,
        columns=columns,
        kind="inferential" if seeds >= MINIMUM_SEEDS else "descriptive",
        level=level,
        rows_read=runs.read,
        rows_chosen=runs.chosen,
        rows_analyzed=runs.rows.height,
        dropped=runs.dropped,
        seeds=seeds,
        doses=tuple(sorted(runs.rows["dose"].unique().to_list())),
        answers=tuple(
            _answer(one, at, columns.dose, level) for one, at in zip(tested, levels, strict=True)
        ),
        pools=None if columns.pool is None else runs.rows["pool"].n_unique(),
        sequential=look,
        mediation=_mediation(runs, columns, level),
    )


def _look(
    looks: Sequence[int], seeds: int, family: int, alpha: float, source: str
) -> SequentialLook:
    if seeds not in looks:
        raise AnalysisError(
            f"{source}: {seeds} seeds, and the declared looks are {_named(looks)}; read it at one "
            "of them. Where seeds of a look are lost, name those that are left in its place: the "
            "levels follow"
        )
    reached = [look for look in looks if look <= seeds]
    return look_at(looks, reached, seeds=seeds, family=family, alpha=alpha)


def _trend(
    runs: Runs, columns: Columns, measure: str, claim: Claim, level: float, *, thorough: bool
) -> _Tests:
    """Test whether a measure moves with the dose."""
    name = "outcome" if measure == columns.outcome else "predictor"
    rows = runs.rows.drop_nulls(name)
    single = one_row_a_dose(rows, [name])
    panel = complete_panel(single.rows, dose="dose", outcome=name)
    several = rows["dose"].n_unique() > 1
    tests = _Tests(
        question="trend" if name == "outcome" else "predictor_trend",
        outcome=measure,
        predictor=columns.dose,
        claim=claim,
        primary=slope_t(panel, level=level) if panel else None,
        rows=rows.height,
        caveats=(
            *_left_out(runs.rows, rows, panel, columns, measure),
            *_averaged(single, columns),
        ),
    )
    if columns.pool is not None and several:
        crossed = crossed_slope(_table(rows, "dose", name), _pools(rows), level=level)
        tests = replace(tests, primary=crossed)
        beside = _beside_crossed(tests, single.rows, panel, name, level, thorough=thorough)
        return replace(tests, beside=taken_as_fresh(beside))
    table = _table(rows, "dose", name)
    if panel is None or tests.primary is None or tests.primary.n < MINIMUM_SEEDS:
        mixed = (mixed_slope(table, level=level),) if panel is None and several else ()
        return replace(tests, beside=mixed)
    found = trend_diagnostics(panel, table)
    sign = claim.expected.sign if claim.expected else 1
    rng = stream(0, "table", tests.question)
    beside = beside_trend(
        panel, table, found, sign=sign, sesoi=claim.sesoi, rng=rng, pairs=thorough, level=level
    )
    return replace(
        tests,
        beside=beside,
        caveats=(*tests.caveats, *flagged(found)),
        resample=resample_slopes(panel) if thorough else None,
        blocks=len(panel.blocks),
    )


def _beside_crossed(
    tests: _Tests,
    rows: pl.DataFrame,
    panel: Panel | None,
    name: str,
    level: float,
    *,
    thorough: bool,
) -> tuple[Estimate, ...]:
    """Run the tests that count seeds, of complete ones; diagnostics are of a primary t alone."""
    if panel is None or len(panel.blocks) < MINIMUM_SEEDS:
        return ()
    sign = tests.claim.expected.sign if tests.claim.expected else 1
    table = _table(rows, "dose", name)
    rng = stream(0, "table", tests.question)
    beside = beside_trend(
        panel, table, (), sign=sign, sesoi=tests.claim.sesoi, rng=rng, pairs=thorough, level=level
    )
    return (slope_t(panel, level=level), *beside)


def _association(
    runs: Runs, columns: Columns, predictor: str, claim: Claim, level: float, *, thorough: bool
) -> _Tests:
    """Test whether outcome and predictor move together at fixed seed and dose."""
    rows = runs.rows.drop_nulls(["outcome", "predictor"])
    tests = _Tests(
        question="association",
        outcome=columns.outcome,
        predictor=predictor,
        claim=claim,
        primary=None,
        rows=rows.height,
    )
    if rows.is_empty():
        words = f"No row has both {columns.outcome} and {predictor}."
        return replace(tests, caveats=(words,))
    table = _table(rows, "predictor", "outcome")
    shared = columns.pool is not None
    primary = (
        crossed_within(table, _pools(rows), level=level)
        if shared
        else two_way_within(table, level=level)
    )
    single = one_row_a_dose(rows, ["outcome", "predictor"])
    caveats = (*_unpaired(runs.rows, rows), _SHARED, *_averaged(single, columns))
    tests = replace(tests, primary=primary, caveats=caveats)
    seeds = single.rows["block"].n_unique()
    if seeds < MINIMUM_SEEDS or single.rows["dose"].n_unique() < 2:
        return tests
    table = _table(single.rows, "predictor", "outcome")
    correlations = correlate(table, level=level)
    whole = Rows(whole=table, halves=None, caveats=())
    names = single.rows["block"].unique().sort().to_list()
    # diagnostics are of a primary test that counts seeds
    found = () if shared else whole.looked_at(primary, names)
    beside = beside_association(
        whole, correlations, found, stream(0, "table", tests.question), level=level
    )
    if shared:
        beside = taken_as_fresh((two_way_within(table, level=level), *beside))
    return replace(
        tests,
        beside=beside,
        conflict=correlations.conflict,
        caveats=(*tests.caveats, *flagged(found)),
        resample=resample_within((table,)) if thorough and not shared else None,
        blocks=complete_blocks(table),
    )


def _mediation(runs: Runs, columns: Columns, level: float) -> tuple[Evidence, ...]:
    """Test whether the dose acts on the outcome through the predictor, of fresh teachers."""
    if columns.predictor is None or columns.pool is not None:
        return ()
    rows = runs.rows.drop_nulls(["outcome", "predictor"])
    seeds = rows["block"].n_unique()
    if seeds < MINIMUM_SEEDS or rows["dose"].n_unique() < 2:
        return ()
    paths = mediate(
        _table(rows, "predictor", "outcome"),
        rng=stream(0, "table", "mediation"),
        level=level,
        draws=max(_FEWEST_DRAWS, min(_DRAWS, _DRAWN // seeds)),
    )
    whole = [paths.joint, paths.acme, paths.ade, paths.total, paths.proportion, paths.rho]
    return (
        *_tied("mediation", columns.outcome, columns.dose, whole),
        *_tied("mediation", columns.predictor, columns.dose, [paths.a]),
        *_tied("mediation", columns.outcome, columns.predictor, [paths.b]),
    )


def _tied(
    question: str, outcome: str, predictor: str, estimates: Sequence[Estimate]
) -> tuple[Evidence, ...]:
    """Tie estimates that stand beside to the columns that they relate."""
    subject = About(
        hypothesis=question, arm="all", form="plain", outcome=outcome, predictor=predictor
    )
    per = f"unit of {predictor}"
    return tuple(
        tied(subject, one, Rank.BESIDE, unit=unit_in(one.value_name, outcome, per))
        for one in estimates
    )


def _pools(rows: pl.DataFrame) -> NDArray[np.int64]:
    return np.unique(rows["pool"].to_numpy(), return_inverse=True)[1].astype(np.int64)


def _table(rows: pl.DataFrame, x: str, y: str) -> Table:
    codes = np.unique(rows["block"].to_numpy(), return_inverse=True)[1].astype(np.int64)
    return Table(
        codes,
        rows["dose"].to_numpy(),
        rows[x].to_numpy(),
        rows[y].to_numpy(),
    )


def _answer(tests: _Tests, at: HolmLevel, dose: str, level: float) -> TableAnswer:
    """Read one question's primary test at its level."""
    primary, claim = tests.primary, tests.claim
    ruling = _ruling(tests, at.alpha)
    tested = primary if primary and primary.n >= MINIMUM_SEEDS else None
    return TableAnswer(
        question=tests.question,
        outcome=tests.outcome,
        predictor=tests.predictor,
        expected=claim.expected,
        sesoi=claim.sesoi,
        verdict=ruling.verdict,
        size_uncertain=ruling.size_uncertain,
        estimate=number(primary.estimate) if primary else None,
        unit=unit_in("slope", tests.outcome, f"unit of {tests.predictor}"),
        p_value=tests.p_value,
        p_holm=at.p_adjusted,
        alpha=at.alpha,
        interval=t_interval(tested, level) if tested else None,
        verdict_interval=t_interval(tested, 1 - at.alpha) if tested else None,
        equivalence_interval=t_interval(tested, 1 - 2 * at.alpha) if tested else None,
        seeds_to_decide=_more_seeds(tests, ruling, at.alpha),
        n=primary.n if primary else 0,
        rows=primary.rows if primary else 0,
        evidence=_evidence(tests),
        conflict=tests.conflict,
        caveats=(*tests.caveats, *(primary.caveats if primary else ())),
    )


def _more_seeds(tests: _Tests, ruling: Ruling, alpha: float) -> int | None:
    """Look for the number of seeds that would decide; without a SESOI, that would exclude 0."""
    if ruling.verdict is not Verdict.UNDECIDED or tests.resample is None or not alpha:
        return None
    sesoi = tests.claim.sesoi or 0.0
    return seeds_to_decide(tests.blocks, tests.resample, alpha=alpha, sesoi=sesoi, seed=0)


def _ruling(tests: _Tests, alpha: float) -> Ruling:
    """Judge by the expected direction; where none is expected, by the one that was found."""
    primary, claim = tests.primary, tests.claim
    estimate = number(primary.estimate) if primary else None
    sign = claim.expected.sign if claim.expected else (-1 if estimate and estimate < 0 else 1)
    return rule_primary(primary, alpha=alpha, sesoi=claim.sesoi, sign=sign)


def _evidence(tests: _Tests) -> tuple[Evidence, ...]:
    subject = About(
        hypothesis=tests.question,
        arm="all",
        form="plain",
        outcome=tests.outcome,
        predictor=tests.predictor,
    )
    ranked = [(tests.primary, Rank.PRIMARY)] if tests.primary else []
    ranked += [(one, Rank.BESIDE) for one in tests.beside]
    per = f"unit of {tests.predictor}"
    return tuple(
        tied(subject, one, rank, unit=unit_in(one.value_name, tests.outcome, per))
        for one, rank in ranked
    )


def _left_out(
    runs: pl.DataFrame, rows: pl.DataFrame, panel: Panel | None, columns: Columns, measure: str
) -> tuple[str, ...]:
    """Name what the tests of complete blocks leave out, or why there are none."""
    doses = sorted(rows["dose"].unique().to_list())
    if len(doses) < 2:
        only = f"Only {columns.dose} {doses[0]:g}" if doses else f"No value of {measure}"
        return (f"{only}: a trend needs two or more.",)
    every = f"every {columns.dose}"
    of_pool = "" if columns.pool is None else f" of one {columns.pool}"
    if panel is None:
        return (
            f"No {columns.block} has {measure} at {every} ({_named(doses)}){of_pool}: the "
            "mixed model alone takes incomplete seeds. Leave out what few seeds have.",
        )
    lost = sorted(set(runs["block"].to_list()) - set(panel.blocks))
    if not lost:
        return ()
    return (
        f"{len(lost)} of {len(lost) + len(panel.blocks)} seeds left out of the tests of complete "
        f"seeds ({columns.block} {_named(lost)}): no value of {measure} at {every}{of_pool}. "
        "The mixed model takes them.",
    )


def _averaged(single: OneRowADose, columns: Columns) -> tuple[str, ...]:
    if not single.averaged:
        return ()
    return (
        f"Seeds have several pools: beside the primary test, all tests average over the pools of a "
        f"seed that have every {columns.dose}, and count seeds, not pools.",
    )


def _unpaired(runs: pl.DataFrame, rows: pl.DataFrame) -> tuple[str, ...]:
    lost = runs.height - rows.height
    if not lost:
        return ()
    return (f"{lost} of {runs.height} rows left out: not both predictor and outcome.",)


def _named(values: Sequence[object]) -> str:
    shown = ", ".join(
        f"{value:g}" if isinstance(value, float) and math.isfinite(value) else str(value)
        for value in values[:_NAMED_AT_MOST]
    )
    rest = len(values) - _NAMED_AT_MOST
    return f"{shown} and {rest} more" if rest > 0 else shown
