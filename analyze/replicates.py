"""From one row per student to what a test takes: complete blocks, or rows in long form.

A student is one row of the view ``measures``: ``student_id``, ``block``, ``condition_id``, ``arm``,
``teacher_strength`` and one column per measure. ``measures_by_half`` has the same
columns and ``half``. What a test leaves out is named in its caveats, never dropped silently.

Conditions of one arm may share their teachers' mean strength (weak-strong and strong-weak). A
trend takes their mean, seed by seed; an association takes each as a condition of its own.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from analyze.inference.estimate import Panel, Table
from analyze.metrics.image_draws import ImageDraws
from analyze.metrics.variants import VARIANT
from analyze.results import MissingCount, ReplicateCounts
from store.frames import FINDING_HISTORY
from store.measures import BY_NAME
from store.vocabulary import Arm, Half, Role, Status

_NAMED_AT_MOST = 8
_CONDITION = ("teacher_strength", "condition_id")
_ROW = ("block", *_CONDITION)
"""What tells the students of one arm apart, in the order that they are laid out in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """What the store holds of a study, one frame per view or table.

    students: ``measures``. halves: ``measures_by_half``. models: ``model``. estimates:
    ``estimate``. contingency: ``contingency`` over all test images. images: of the test
    split. classes: that a label can take. image_draws: measures on resampled test images; None
    where they were not asked for. variants: measures under other choices than the study's.
    history: ``finding_history``, what earlier analyses of the study found.
    """

    students: pl.DataFrame
    halves: pl.DataFrame
    models: pl.DataFrame
    estimates: pl.DataFrame
    contingency: pl.DataFrame
    images: int
    classes: int
    image_draws: ImageDraws | None = None
    variants: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=VARIANT))
    history: pl.DataFrame = field(
        default_factory=lambda: pl.DataFrame(schema=FINDING_HISTORY.schema)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Replicates:
    """The students that the analysis may use, after the study's rule for failed runs.

    students, halves: of students that have teachers, on which every claim is tested. controls:
    rows of ``measures`` of those that have none. pools: of teachers, block b learning from pool b
    modulo that; None where every block has teachers of its own.
    """

    students: pl.DataFrame
    halves: pl.DataFrame
    controls: pl.DataFrame
    counts: ReplicateCounts
    pools: int | None = None

    def of_teachers(self) -> "Replicates":
        """Return one block of each pool: for what is measured of teachers alone, others repeat it.

        Where every block has teachers of its own, all of them.
        """
        if self.pools is None:
            return self
        pool = pl.col("block") % self.pools
        first = self.students.group_by(pool.alias("pool")).agg(pl.col("block").min())["block"]
        once = pl.col("block").is_in(first.implode())
        return replace(
            self, students=self.students.filter(once), halves=self.halves.filter(once), pools=None
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PanelChoice:
    """Complete blocks of one outcome (None where there are none) and what was left out."""

    panel: Panel | None
    caveats: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TableChoice:
    """Rows of predictor and outcome (None where there are none) and what was left out."""

    table: Table | None
    caveats: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class HalvesChoice:
    """Predictor on half a with outcome on half b, and swapped, of the same students."""

    a_on_b: Table | None
    b_on_a: Table | None
    caveats: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Runs:
    """Single runs by condition, in ascending order of its strength, which may repeat.

    values: for each measure and condition, one number per run.
    """

    doses: tuple[float, ...]
    values: tuple[tuple[NDArray[np.float64], ...], ...]


def select_replicates(
    stored: Stored, *, failed_runs: str, seeds_declared: int, pools: int | None = None
) -> Replicates:
    """Apply the study's rule for failed runs and count what it leaves.

    ``exclude_block`` leaves out every block in which a model failed; ``exclude_student`` only
    the students that failed or have a failed teacher. A student without teachers that failed
    leaves its block to the claims, which are not about it. pools: of teachers that blocks share.
    Raises ValueError for another rule.
    """
    if failed_runs not in ("exclude_block", "exclude_student"):
        raise ValueError(f"rule for failed runs {failed_runs!r} is unknown")
    failed = stored.models.filter(pl.col("status") == Status.FAILED).sort("model_id")
    if failed_runs == "exclude_block":
        blocks = failed.filter(pl.col("arm").ne_missing(str(Arm.CONTROL)))["block"].unique().sort()
        lost = pl.col("block").is_in(blocks.implode())
        excluded = tuple(f"seed block {block}: a model of it failed" for block in blocks.to_list())
    else:
        ids = _students_touched(stored.models, failed["model_id"].to_list())
        lost = pl.col("student_id").is_in(pl.Series(ids, dtype=pl.Int32).implode())
        excluded = tuple(_describe_student(stored.models, student) for student in ids)
    alone = pl.col("arm") == str(Arm.CONTROL)
    left = stored.students.filter(~lost)
    students = left.filter(~alone)
    counts = ReplicateCounts(
        seeds_declared=seeds_declared,
        seeds_stored=stored.models["block"].n_unique(),
        seeds_analyzed=students["block"].n_unique(),
        models_stored=stored.models.height,
        models_failed=failed.height,
        failed_rule=failed_runs,
        failures=tuple(_describe_failure(row) for row in failed.iter_rows(named=True)),
        excluded=excluded,
        teacher_pools=_pools_shared(students, pools),
    )
    return Replicates(
        students=students,
        halves=stored.halves.filter(~lost & ~alone),
        controls=left.filter(alone),
        counts=counts,
        pools=None if counts.teacher_pools is None else pools,
    )


def _pools_shared(students: pl.DataFrame, pools: int | None) -> int | None:
    """Count the pools that teach these students; None where no two blocks share one."""
    if pools is None:
        return None
    blocks = students["block"].unique()
    found = (blocks % pools).n_unique()
    return found if found < len(blocks) else None


def panel_of(students: pl.DataFrame, *, arm: str, outcome: str) -> PanelChoice:
    """Complete blocks of an outcome over the strengths of one arm.

    A strength at which no block has a value is left out, then every block that lacks
    one at a strength that remains. No panel below two strengths or without a complete block.
    """
    declared = students.filter(pl.col("arm") == arm)
    rows = mean_by_strength(finite_rows(declared, [outcome]), [outcome])
    doses = tuple(sorted(rows["teacher_strength"].unique().to_list()))
    caveats = _strengths_lost(declared, doses, outcome)
    panel = complete_panel(rows, dose="teacher_strength", outcome=outcome)
    complete = panel.blocks if panel else ()
    lost = sorted(set(declared["block"].to_list()) - set(complete))
    if lost and complete:
        caveats += (
            f"Seed {blocks_named(lost)} left out: no value of {_title(outcome)} at every strength.",
        )
    if panel is None:
        return PanelChoice(panel=None, caveats=(*caveats, _why_no_panel(doses, outcome)))
    return PanelChoice(panel=panel, caveats=caveats)


def complete_panel(rows: pl.DataFrame, *, dose: str, outcome: str) -> Panel | None:
    """Lay out the blocks that have the outcome at every dose; None where none has, or one dose.

    rows: columns ``block``, ``dose`` and ``outcome``, values finite, each block and dose once.
    """
    doses = tuple(sorted(rows[dose].unique().to_list()))
    counts = rows.group_by("block").agg(pl.col(dose).n_unique().alias("doses"))
    complete = counts.filter(pl.col("doses") == len(doses))["block"].sort()
    if complete.is_empty() or len(doses) < 2:
        return None
    ordered = rows.filter(pl.col("block").is_in(complete.implode())).sort("block", dose)
    values = ordered[outcome].to_numpy().astype(np.float64).reshape(len(complete), len(doses))
    return Panel(tuple(complete.to_list()), doses, values)


def trend_rows_of(students: pl.DataFrame, *, arm: str, outcome: str) -> Table:
    """Every seed and strength of one arm that has the outcome, with strength as its predictor."""
    rows = mean_by_strength(
        finite_rows(students.filter(pl.col("arm") == arm), [outcome]), [outcome]
    )
    return _table(rows.sort("block", "teacher_strength"), "teacher_strength", outcome)


def table_of(students: pl.DataFrame, *, arm: str, predictor: str, outcome: str) -> TableChoice:
    """Rows of one arm that have both predictor and outcome."""
    declared = students.filter(pl.col("arm") == arm)
    rows = finite_rows(declared, [predictor, outcome]).sort(_ROW)
    caveats = _rows_lost(declared, rows, predictor, outcome)
    if reason := _why_no_table(rows, predictor, outcome):
        return TableChoice(table=None, caveats=(*caveats, reason))
    return TableChoice(table=_table(rows, predictor, outcome), caveats=caveats)


def half_tables_of(halves: pl.DataFrame, *, arm: str, predictor: str, outcome: str) -> HalvesChoice:
    """Predictor and outcome on opposite halves, of the students that have both on both."""
    declared = halves.filter(pl.col("arm") == arm)
    keys = list(_ROW)
    finite = finite_rows(declared, [predictor, outcome])
    first = finite.filter(pl.col("half") == Half.A)
    second = finite.filter(pl.col("half") == Half.B)
    both = first.join(second, on=keys, how="inner", suffix="_b").sort(keys)
    caveats = _rows_lost(declared.filter(pl.col("half") == Half.A), both, predictor, outcome)
    if reason := _why_no_table(both, predictor, outcome):
        return HalvesChoice(a_on_b=None, b_on_a=None, caveats=(*caveats, reason))
    return HalvesChoice(
        a_on_b=_table(both, predictor, f"{outcome}_b"),
        b_on_a=_table(both, f"{predictor}_b", outcome),
        caveats=caveats,
    )


def runs_of(students: pl.DataFrame, *, arm: str, measures: Sequence[str]) -> Runs:
    """Every run of one arm that has all of the measures, by strength."""
    rows = finite_rows(students.filter(pl.col("arm") == arm), measures)
    cells = rows.sort(*_CONDITION, "block").partition_by(*_CONDITION, maintain_order=True)
    return Runs(
        doses=tuple(cell["teacher_strength"][0] for cell in cells),
        values=tuple(
            tuple(cell[measure].to_numpy().astype(np.float64) for cell in cells)
            for measure in measures
        ),
    )


def missing_counts(stored: Stored, measures: Sequence[str]) -> tuple[MissingCount, ...]:
    """Count, for every measure, the stored students without a value, by reason.

    Students without teachers are left out: nothing of what is drawn is about them.
    """
    failed = stored.models.filter(pl.col("status") == Status.FAILED)["model_id"].to_list()
    touched = set(_students_touched(stored.models, failed))
    reasons = {
        (row["student_id"], row["measure"]): row["reason"]
        for row in stored.estimates.filter(pl.col("half") == Half.ALL).iter_rows(named=True)
    }
    taught = stored.students.filter(pl.col("arm") != str(Arm.CONTROL))
    counted: list[MissingCount] = []
    for measure in measures:
        lacking = taught.filter(~_has_value(measure))["student_id"].to_list()
        found = Counter(
            "a model failed"
            if student in touched
            else reasons.get((student, measure)) or BY_NAME[measure].null
            for student in lacking
        )
        counted.extend(
            MissingCount(measure=measure, reason=reason, rows=rows)
            for reason, rows in sorted(found.items())
        )
    return tuple(counted)


def _has_value(measure: str) -> pl.Expr:
    return pl.col(measure).is_not_null() & pl.col(measure).cast(pl.Float64).is_finite()


def finite_rows(rows: pl.DataFrame, measures: Sequence[str]) -> pl.DataFrame:
    """Return the rows that have a value of every measure."""
    return rows.filter(pl.all_horizontal([_has_value(measure) for measure in measures]))


def mean_by_strength(rows: pl.DataFrame, columns: Sequence[str]) -> pl.DataFrame:
    """Average the conditions of each strength, block by block; one row per block and strength.

    rows: of one arm, with values. A strength of a block without a value of every condition that
    any block has is left out: the mean of others would speak of another mixture. Where every
    strength is one condition's, the rows are returned as they are.
    """
    counts = rows.group_by("teacher_strength").agg(
        pl.col("condition_id").n_unique().alias("conditions")
    )
    if counts.filter(pl.col("conditions") > 1).is_empty():
        return rows
    means = rows.sort(_ROW).group_by("block", "teacher_strength", maintain_order=True)
    averaged = means.agg(
        *(pl.col(column).cast(pl.Float64).mean() for column in columns), pl.len().alias("found")
    )
    return averaged.join(counts, on="teacher_strength", maintain_order="left").filter(
        pl.col("found") == pl.col("conditions")
    )


def _table(rows: pl.DataFrame, predictor: str, outcome: str) -> Table:
    shared = (
        "condition_id" in rows.columns
        and rows["condition_id"].n_unique() > rows["teacher_strength"].n_unique()
    )
    return Table(
        rows["block"].to_numpy().astype(np.int64),
        rows["teacher_strength"].to_numpy().astype(np.float64),
        rows[predictor].to_numpy().astype(np.float64),
        rows[outcome].to_numpy().astype(np.float64),
        rows["condition_id"].to_numpy().astype(np.int64) if shared else None,
    )


def _strengths_lost(
    declared: pl.DataFrame, doses: Sequence[float], outcome: str
) -> tuple[str, ...]:
    lost = sorted(set(declared["teacher_strength"].to_list()) - set(doses))
    if not lost or not doses:
        return ()
    named = ", ".join(f"{strength:g}" for strength in lost)
    return (f"Strength {named} left out: no student has a value of {_title(outcome)} there.",)


def _rows_lost(
    declared: pl.DataFrame, kept: pl.DataFrame, predictor: str, outcome: str
) -> tuple[str, ...]:
    lost = declared.height - kept.height
    if not lost or not kept.height:
        return ()
    blocks = declared.join(kept, on=list(_ROW), how="anti")["block"]
    named = blocks_named(sorted(set(blocks.to_list())))
    return (
        f"{lost} of {declared.height} students (seed {named}) left out: no value of "
        f"{_title(predictor)} or of {_title(outcome)}.",
    )


def _why_no_panel(doses: Sequence[float], outcome: str) -> str:
    if not doses:
        return f"No student has a value of {_title(outcome)}: {BY_NAME[outcome].null}."
    if len(doses) < 2:
        return f"Only strength {doses[0]:g}: a trend needs two strengths or more."
    return f"No seed block has a value of {_title(outcome)} at every strength."


def _why_no_table(rows: pl.DataFrame, predictor: str, outcome: str) -> str | None:
    if not rows.height:
        return (
            f"No student has a value both of {_title(predictor)} ({BY_NAME[predictor].null}) "
            f"and of {_title(outcome)} ({BY_NAME[outcome].null})."
        )
    if rows["condition_id"].n_unique() < 2:
        return "Only one strength: an association within seeds needs two strengths or more."
    return None


def _title(measure: str) -> str:
    return BY_NAME[measure].title


def blocks_named(blocks: Sequence[int]) -> str:
    """Name seed blocks in a sentence, the first few."""
    shown = ", ".join(str(block) for block in blocks[:_NAMED_AT_MOST])
    rest = len(blocks) - _NAMED_AT_MOST
    more = f" and {rest} more" if rest > 0 else ""
    return f"{'block' if len(blocks) == 1 else 'blocks'} {shown}{more}"


def _students_touched(models: pl.DataFrame, failed: Sequence[int]) -> list[int]:
    """model_id of the students that failed or have a failed teacher, ascending."""
    lost = set(failed)
    students = models.filter(pl.col("role") == Role.STUDENT).sort("model_id")
    return [
        row["model_id"]
        for row in students.iter_rows(named=True)
        if row["model_id"] in lost or lost.intersection(row["teacher_ids"])
    ]


def _describe_failure(row: dict[str, object]) -> str:
    what = f"{row['role']} {row['model_id']} of seed block {row['block']}"
    return f"{what}, strength {row['strength']:g}: {row['reason']}"


def _describe_student(models: pl.DataFrame, student: int) -> str:
    row = models.row(by_predicate=pl.col("model_id") == student, named=True)
    cause = "it failed" if row["status"] == Status.FAILED else "a teacher of it failed"
    if row["teacher_strength"] is None:
        return (
            f"student {student} of seed block {row['block']}, {row['arm']} arm, strength "
            f"{row['strength']:g}: {cause}"
        )
    return (
        f"student {student} of seed block {row['block']}, {row['arm']} arm, teachers at "
        f"{row['teacher_strength']:g}: {cause}"
    )
