"""Simulated rows of ``measures`` with planted truths, so that an analysis can be checked whole."""

from dataclasses import dataclass, field, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from analyze.replicates import Stored
from analyze.results import Finding, Results
from store.design import Design
from store.frames import ESTIMATE, MODEL
from store.measures import MEASURES, Engine
from store.vocabulary import MODELS_PER_BLOCK_LIMIT, Half, Role, Status

CLAIMS = {
    "H1": {"sesoi": {"attention_iou_adjusted": 0.05}},
    "H2a": {"sesoi": {"generalization_gap": 0.02}},
    "H2b": {"sesoi": {"generalization_gap": 0.1}},
    "H3a": {"sesoi": {"agreement": 0.02, "conditional_mutual_information_bits": 0.02}},
    "H3b": {"sesoi": {"generalization_gap": 0.1}},
    "H4": {"sesoi": {"conditional_mutual_information_bits": 0.1}},
}


def study(**changes) -> Design:
    """A small declared study; ``changes`` replace keys of the study file."""
    network = {"depth": 8, "width": 4, "strides": [1, 2, 1]}
    recipe = {"epochs": 4, "batch_size": 10, "learning_rate": 0.1}
    declared = {
        "study": "simulated",
        "title": "Planted truths",
        "study_seed": 7,
        "seeds": 12,
        "dataset": {"kind": "digits", "train_subset": {"size": 200}},
        "networks": {"teacher": network, "student": network},
        "training": {"teacher": recipe, "student": recipe},
        "design": {"strengths": [0, 0.25, 0.5, 0.75, 1], "teachers": 2},
        "claims": CLAIMS,
    }
    return Design.model_validate(declared | changes)


OF_ONE_MODEL = ("test_accuracy", "train_accuracy", "generalization_gap", "loss_gap_nats", "ece")


@dataclass(frozen=True, kw_only=True)
class Truth:
    """What moves the measures.

    slopes: change per unit of strength, by measure. on_attention: of the gap and of the
    conditional information on what is the block's own in attention. spread: seed x strength
    noise; half_noise: sampling noise of a half. without_teachers: what a student that has
    none differs by.
    """

    slopes: dict[str, float] = field(default_factory=dict)
    on_attention: float = 0.0
    without_teachers: float = 0.0
    spread: float = 0.02
    half_noise: float = 0.01


AS_CLAIMED = Truth(
    slopes={
        "attention_iou_adjusted": -0.2,
        "generalization_gap": -0.1,
        "agreement": -0.1,
        "conditional_mutual_information_bits": -0.2,
    },
    on_attention=1.5,
)
COMMON_CAUSE = Truth(slopes={"attention_iou_adjusted": -0.3, "generalization_gap": -0.2})


def simulate(design: Design, truth: Truth, *, seed: int = 1) -> Stored:
    """Draw what the store would hold."""
    rng = np.random.default_rng(seed)
    rows: list[dict[str, object]] = []
    halves: list[dict[str, object]] = []
    for block in range(design.seeds):
        own = _teacher_noise(design, truth, rng)
        for student in design.plan().students:
            base = {
                "student_id": block * MODELS_PER_BLOCK_LIMIT + student.ordinal,
                "block": block,
                "condition_id": student.condition_id,
                "arm": str(student.arm),
                "teacher_strength": student.teacher_strength,
                "teacher_strengths": list(design.plan().strengths_of(student)),
                "student_strength": student.strength,
            }
            if student.teacher_strength is None:
                values = _alone(truth, rng)
            else:
                values = _values(truth, student.teacher_strength, own[student.teachers], rng)
            rows.append(base | values)
            noise = {name: truth.half_noise * rng.normal() for name in values}
            for half, way in ((Half.A, 1), (Half.B, -1)):
                halves.append(
                    base
                    | {"half": str(half)}
                    | {
                        name: None if value is None else value + way * noise[name]
                        for name, value in values.items()
                    }
                )
    students = pl.DataFrame(rows, infer_schema_length=None).with_columns(
        pl.col("student_id", "block").cast(pl.Int32)
    )
    return Stored(
        students=students,
        halves=pl.DataFrame(halves, infer_schema_length=None).with_columns(
            pl.col("student_id", "block").cast(pl.Int32)
        ),
        models=_models(design),
        estimates=_estimates(students),
        contingency=_contingency(students["student_id"].to_list()),
        images=897,
        classes=10,
    )


def fail(stored: Stored, model_id: int) -> Stored:
    """Let a model fail: its students' measures become NULL."""
    models = stored.models.with_columns(
        status=pl.when(pl.col("model_id") == model_id)
        .then(pl.lit(str(Status.FAILED)))
        .otherwise(pl.col("status")),
        reason=pl.when(pl.col("model_id") == model_id)
        .then(pl.lit("loss is not finite"))
        .otherwise(pl.col("reason")),
    )
    touched = models.filter(
        (pl.col("model_id") == model_id) | pl.col("teacher_ids").list.contains(model_id)
    )["model_id"].to_list()
    names = [measure.name for measure in MEASURES]
    return replace(
        stored,
        models=models,
        students=_without(stored.students, touched, names),
        halves=_without(stored.halves, touched, names),
    )


def find(results: Results, claim: str, arm: str = "fixed", form: str = "plain") -> Finding:
    found = [
        each
        for each in results.findings
        if (each.hypothesis, each.arm, each.form) == (claim, arm, form)
    ]
    assert len(found) == 1
    return found[0]


def _without(rows: pl.DataFrame, students: list[int], names: list[str]) -> pl.DataFrame:
    lost = pl.col("student_id").is_in(students)
    return rows.with_columns(
        pl.when(lost).then(None).otherwise(pl.col(name)).alias(name)
        for name in names
        if name in rows.columns
    )


def _teacher_noise(
    design: Design, truth: Truth, rng: np.random.Generator
) -> dict[tuple[int, ...], NDArray[np.float64]]:
    """Noise of the attention that all students of the same teachers share."""
    teams = dict.fromkeys(student.teachers for student in design.plan().students)
    return {team: truth.spread * rng.normal(size=1) for team in teams}


def _values(
    truth: Truth, strength: float, own: NDArray[np.float64], rng: np.random.Generator
) -> dict[str, float]:
    values: dict[str, float] = {}
    for measure in MEASURES:
        noise = truth.spread * float(rng.normal())
        if measure.name.startswith("attention_iou") and "student" not in measure.name:
            noise = float(own[0])
        if measure.name.startswith(("generalization_gap", "conditional_mutual")):
            noise += truth.on_attention * float(own[0])
        values[measure.name] = 0.5 + truth.slopes.get(measure.name, 0.0) * strength + noise
    return values


def _alone(truth: Truth, rng: np.random.Generator) -> dict[str, float | None]:
    """A student without teachers has measures of its own, and none of teachers."""
    return {
        measure.name: 0.5 + truth.without_teachers + truth.spread * float(rng.normal())
        if measure.name in OF_ONE_MODEL
        else None
        for measure in MEASURES
    }


def _models(design: Design) -> pl.DataFrame:
    rows = [
        {
            "model_id": block * MODELS_PER_BLOCK_LIMIT + model.ordinal,
            "block": block,
            "ordinal": model.ordinal,
            "role": str(role),
            "arm": getattr(model, "arm", None),
            "strength": model.strength,
            "teacher_strength": getattr(model, "teacher_strength", None),
            "teacher_ids": [
                block * MODELS_PER_BLOCK_LIMIT + teacher
                for teacher in getattr(model, "teachers", ())
            ],
            "status": str(Status.COMPLETE),
            "reason": None,
        }
        for block in range(design.seeds)
        for role, models in (
            (Role.TEACHER, design.plan().teachers),
            (Role.STUDENT, design.plan().students),
        )
        for model in models
    ]
    schema = {name: MODEL.schema[name] for name in rows[0]}
    return pl.DataFrame(rows, schema=schema)


def _estimates(students: pl.DataFrame) -> pl.DataFrame:
    names = [measure.name for measure in MEASURES if measure.engine is Engine.ESTIMATOR]
    return (
        students.select("student_id", *names)
        .unpivot(index="student_id", variable_name="measure", value_name="value")
        .with_columns(
            half=pl.lit(str(Half.ALL)),
            bias=pl.lit(0.01),
            estimator=pl.lit("jackknife"),
            reason=pl.lit(None, dtype=pl.String),
        )
        .select(ESTIMATE.schema.names())
    )


def _contingency(students: list[int]) -> pl.DataFrame:
    """Ensemble uniform over four classes, student over two of them."""
    cells = [
        {"student_id": student, "ensemble_class": first, "student_class": first % 2, "images": 200}
        for student in students
        for first in range(4)
    ]
    return pl.DataFrame(cells).with_columns(pl.col("student_id").cast(pl.Int32))
