"""What is expected of a table of runs, and what its tests say: values without computation."""

from dataclasses import dataclass
from typing import Literal

from analyze.hypotheses import Direction
from analyze.inference.correlations import SignConflict
from analyze.results import Evidence, Interval, SequentialLook, Verdict
from analyze.serialize import strict_json
from analyze.table_rows import Columns, Dropped


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What is expected of one question.

    expected: None where either direction would do. sesoi: smallest effect size of interest in
    the slope's unit; None where none was declared, and nothing can be found negligible.
    """

    expected: Direction | None = None
    sesoi: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """What is expected of every question."""

    trend: Claim = Claim()
    predictor_trend: Claim = Claim()
    association: Claim = Claim()


@dataclass(frozen=True, slots=True, kw_only=True)
class TableAnswer:
    """What the tests say of one question.

    outcome, predictor: columns; of a trend the predictor is the dose. interval: at the level
    asked for; verdict_interval: at 1 - alpha, alpha being Holm's level over the questions, or the
    look's where looks are declared (p_holm is then None);
    equivalence_interval: at 1 - 2 alpha. seeds_to_decide: of an undecided question, as of a
    study's claim. n: seeds; rows: in the primary test. conflict: correlations at different levels
    of the data that point in different directions.
    """

    question: Literal["trend", "predictor_trend", "association"]
    outcome: str
    predictor: str
    expected: Direction | None
    sesoi: float | None
    verdict: Verdict
    size_uncertain: bool
    estimate: float | None
    unit: str
    p_value: float | None
    p_holm: float | None
    alpha: float
    interval: Interval | None
    verdict_interval: Interval | None
    equivalence_interval: Interval | None
    seeds_to_decide: int | None
    n: int
    rows: int
    evidence: tuple[Evidence, ...]
    conflict: SignConflict | None
    caveats: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TableResults:
    """All answers of one table: what ``--json`` writes.

    kind: ``descriptive`` below 3 seeds, where no p-value exists. level: of printed intervals;
    1 - level is the error rate over the questions. pools: of teachers; None where no column
    names them. sequential: the look that the table is, where looks are declared. mediation: whether
    the dose acts on the outcome through the predictor; without verdict, empty where not asked.
    """

    format_version: Literal[1]
    source: str
    columns: Columns
    kind: Literal["inferential", "descriptive"]
    level: float
    rows_read: int
    rows_chosen: int
    rows_analyzed: int
    dropped: tuple[Dropped, ...]
    seeds: int
    doses: tuple[float, ...]
    answers: tuple[TableAnswer, ...]
    pools: int | None = None
    sequential: SequentialLook | None = None
    mediation: tuple[Evidence, ...] = ()


def table_json(results: TableResults) -> str:
    """Return the results as strict JSON text at full precision."""
    return strict_json(results)
