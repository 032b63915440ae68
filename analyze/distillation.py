"""What distillation itself does: distilled students against those that had no teachers.

A control student starts and learns as the distilled students of its seed and strength do, from
the labels alone. The unit is the seed: each gives one difference, distilled minus control.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from analyze.answers import About, stream, tied
from analyze.inference.cells import paired_contrasts
from analyze.inference.estimate import Panel
from analyze.inference.trends import sign_flip
from analyze.replicates import Replicates
from analyze.results import DistillationEffect, Rank
from analyze.shared_teachers import means_of_pools, pool_means
from store.measures import BY_NAME
from store.vocabulary import Form

DISTILLATION: Final = "distillation"
"""Stands where other evidence names its claim."""

CONTROL: Final = "control"
"""Stands where other evidence names its predictor."""

OUTCOMES: Final = ("test_accuracy", "generalization_gap", "loss_gap_nats", "ece")

_NAMED_AT_MOST: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class _Paired:
    """Control and distilled students of the same seeds.

    values: control, distilled, shape (seeds, 2). rows: distilled students that went in.
    """

    blocks: tuple[int, ...]
    values: NDArray[np.float64]
    rows: int
    caveats: tuple[str, ...]


def distillation_effects(
    replicates: Replicates, *, study_seed: int
) -> tuple[DistillationEffect, ...]:
    """Compare distilled students with the controls of their seed and strength.

    By outcome, then arm: first averaged over the teachers' strengths within each seed, then
    strength by strength. Nothing where the study has no controls.
    """
    if replicates.controls.is_empty():
        return ()
    arms = replicates.students["arm"].unique(maintain_order=True).to_list()
    return tuple(
        effect
        for outcome in OUTCOMES
        for arm in arms
        for effect in _of_arm(replicates, arm, outcome, study_seed)
    )


def _of_arm(
    replicates: Replicates, arm: str, outcome: str, study_seed: int
) -> Iterator[DistillationEffect]:
    pairs = _pairs(replicates, arm, outcome)
    strengths = pairs["teacher_strength"].unique().drop_nulls().sort().to_list()
    for strength in (None, *strengths) if len(strengths) > 1 else (None,):
        some = pairs if strength is None else pairs.filter(teacher_strength=strength)
        rng = stream(study_seed, DISTILLATION, arm, outcome, f"{strength}")
        paired = _by_pool(_paired(some), replicates)
        yield _effect(paired, arm, outcome, strength, rng)


def _pairs(replicates: Replicates, arm: str, outcome: str) -> pl.DataFrame:
    """Every distilled student of an arm beside its control; NULL where one has no value.

    Columns: block, condition_id, teacher_strength, distilled, control.
    """
    value = pl.when(pl.col(outcome).cast(pl.Float64).is_finite()).then(pl.col(outcome))
    controls = replicates.controls.select("block", "student_strength", control=value)
    return (
        replicates.students.filter(pl.col("arm") == arm)
        .select("block", "condition_id", "teacher_strength", "student_strength", distilled=value)
        .join(controls, on=["block", "student_strength"], how="left")
        .sort("block", "condition_id")
    )


def _paired(pairs: pl.DataFrame) -> _Paired:
    """Mean over conditions within each seed, of the seeds that have both values in them all.

    A condition without both values in any seed is left out first.
    """
    known = pairs.drop_nulls(["distilled", "control"])
    means = (
        known.group_by("block")
        .agg(pl.col("control", "distilled").mean(), conditions=pl.len())
        .filter(pl.col("conditions") == known["condition_id"].n_unique())
        .sort("block")
    )
    return _Paired(
        blocks=tuple(means["block"].to_list()),
        values=means.select("control", "distilled").to_numpy().astype(np.float64),
        rows=int(means["conditions"].sum()),
        caveats=_left_out(pairs, known, means) if means.height else (),
    )


def _by_pool(paired: _Paired, replicates: Replicates) -> _Paired:
    """Average the seeds of each pool of shared teachers: their differences are not independent."""
    pools = replicates.pools
    if pools is None or not paired.blocks:
        return paired
    blocks = np.array(paired.blocks, dtype=np.int64)
    means = [pool_means(column, blocks, pools) for column in paired.values.T]
    return replace(
        paired,
        blocks=tuple(np.unique(blocks % pools).tolist()),
        values=np.column_stack(means),
        caveats=(
            *paired.caveats,
            means_of_pools(len(blocks)),
        ),
    )


def _left_out(pairs: pl.DataFrame, known: pl.DataFrame, means: pl.DataFrame) -> tuple[str, ...]:
    caveats: list[str] = []
    absent = pairs.join(known, on="condition_id", how="anti")["teacher_strength"]
    if len(absent):
        named = ", ".join(f"{strength:g}" for strength in absent.unique().drop_nulls().sort())
        caveats.append(f"Teachers at strength {named} left out: no seed has both values there.")
    lost = sorted(set(pairs["block"].to_list()) - set(means["block"].to_list()))
    if lost:
        shown = ", ".join(str(block) for block in lost[:_NAMED_AT_MOST])
        more = f" and {len(lost) - _NAMED_AT_MOST} more" if len(lost) > _NAMED_AT_MOST else ""
        caveats.append(
            f"Seed {'block' if len(lost) == 1 else 'blocks'} {shown}{more} left out: a distilled "
            "or a control student has no value."
        )
    return tuple(caveats)


def _effect(
    paired: _Paired,
    arm: str,
    outcome: str,
    strength: float | None,
    rng: np.random.Generator,
) -> DistillationEffect:
    """Test one set of pairs; without any there are no numbers, and a caveat says why."""
    seeds = len(paired.blocks)
    empty = DistillationEffect(
        arm=arm,
        outcome=outcome,
        unit=BY_NAME[outcome].unit,
        teacher_strength=strength,
        caveats=(*paired.caveats, *(() if seeds else ("No seed has both values.",))),
    )
    if not seeds:
        return empty
    # control at 0 and distilled at 1: a seed's slope is its difference
    panel = Panel(paired.blocks, (0.0, 1.0), paired.values)
    (contrast,) = paired_contrasts(panel)
    about = About(
        hypothesis=DISTILLATION, arm=arm, form=Form.PLAIN, outcome=outcome, predictor=CONTROL
    )
    place = "" if strength is None else f"_teachers_at_{strength:g}"
    estimates = [
        replace(
            contrast.difference,
            test=f"paired_t{place}",
            method="distilled minus control student of each seed, one-sample t over seeds",
            rows=paired.rows,
        ),
        replace(
            sign_flip(panel, generator=rng),
            test=f"sign_flip{place}",
            method="sign-flip permutation of the seeds' differences, their mean, two-sided",
            value_name="difference",
            statistic_name="mean difference",
            rows=paired.rows,
        ),
    ]
    unit = BY_NAME[outcome].unit
    return replace(
        empty,
        blocks=paired.blocks,
        differences=tuple((paired.values[:, 1] - paired.values[:, 0]).tolist()),
        control=float(paired.values[:, 0].mean()),
        distilled=float(paired.values[:, 1].mean()),
        d_z=contrast.d_z,
        hedges_g_av=contrast.hedges_g_av,
        evidence=tuple(tied(about, each, Rank.BESIDE, unit=unit) for each in estimates),
    )


def with_q_values(
    effects: Sequence[DistillationEffect], q_values: Sequence[float | None]
) -> tuple[DistillationEffect, ...]:
    """Give every effect's t test its adjusted p, in the order of ``p_values``."""
    return tuple(
        replace(each, evidence=(replace(each.evidence[0], q_value=q), *each.evidence[1:]))
        if each.evidence
        else each
        for each, q in zip(effects, q_values, strict=True)
    )


def p_values(effects: Sequence[DistillationEffect]) -> tuple[float | None, ...]:
    """Return the p of every effect's t test; None where it has none."""
    return tuple(each.evidence[0].p_value if each.evidence else None for each in effects)
