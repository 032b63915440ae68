"""A student's fidelity to an ensemble by the other rule: the mean of its probabilities."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from analyze.metrics.answers import HALVES
from analyze.metrics.attention_answers import TestImages
from analyze.metrics.contingency import Contingency, LabelledContingency, UndefinedError
from analyze.metrics.information import (
    choose_estimator,
    conditional_mutual_information,
    mutual_information,
    second_estimator,
)
from analyze.metrics.variants import VARIANT, variant_name
from store.vocabulary import Role

PROBABILITIES: Final = "probabilities"
FIDELITY: Final = (
    "agreement",
    "error_consistency",
    "predictive_kl_nats",
    "mutual_information_bits",
    "mutual_information_second_bits",
    "conditional_mutual_information_bits",
)
"""Measures of an ensemble and a student, named as in ``measures``."""

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What an ensemble and its student say of some images.

    label, ensemble, student: classes, shape (images,). divergence: KL(p_E || p_S) per image, nats.
    """

    label: Labels
    ensemble: Labels
    student: Labels
    divergence: Floats

    def of(self, chosen: NDArray[np.bool_]) -> "Answers":
        """Keep some of the images."""
        return Answers(
            label=self.label[chosen],
            ensemble=self.ensemble[chosen],
            student=self.student[chosen],
            divergence=self.divergence[chosen],
        )


def label_variants(
    predictions: pl.DataFrame, models: pl.DataFrame, images: pl.DataFrame, *, classes: int
) -> pl.DataFrame:
    """Every measure of ``FIDELITY`` with the mean of the teachers' probabilities as the ensemble.

    predictions: model_id, image_id and logits of the clean test images. models: rows of MODEL.
    images: image_id, label and half of the test images.

    Returns rows of VARIANT for every student of two teachers or more (of one teacher, the rules
    are one). A value is NULL where a model failed, any logits of the half are not finite or not
    there, or the measure is undefined.
    """
    test_images = TestImages.from_frame(images)
    label = images.sort("image_id")["label"].cast(pl.Int64).to_numpy()
    logits = {
        int(frame["model_id"][0]): _logits(frame, test_images)
        for frame in predictions.partition_by("model_id")
    }
    students = models.filter(pl.col("role") == Role.STUDENT).select("model_id", "teacher_ids")
    rows = [
        (student, half, variant_name(measure, PROBABILITIES), value)
        for student, teachers in students.iter_rows()
        if len(teachers) > 1
        for half, measure, value in _measured(
            student, teachers, logits, label, test_images, classes=classes
        )
    ]
    return pl.DataFrame(rows, schema=VARIANT, orient="row")


def _logits(frame: pl.DataFrame, images: TestImages) -> Floats:
    """Logits in the order of the test images, NaN where there are none, shape (images, K)."""
    known = frame.filter(pl.col("image_id").cast(pl.Int64).is_in(images.ids.tolist()))
    classes = int(frame["logits"].list.len().max() or 0)  # pyright: ignore[reportArgumentType]
    arranged = np.full((len(images.ids), classes), np.nan)
    at = np.searchsorted(images.ids, known["image_id"].cast(pl.Int64).to_numpy())
    arranged[at] = known["logits"].explode().to_numpy().reshape(-1, classes)
    return arranged


def _measured(
    student: int,
    teachers: Sequence[int],
    logits: Mapping[int, Floats],
    label: Labels,
    images: TestImages,
    *,
    classes: int,
) -> Iterator[tuple[str, str, float | None]]:
    """Half, measure and value of one student."""
    if any(model not in logits for model in (student, *teachers)):
        return
    said = [logits[model] for model in (*teachers, student)]
    finite = np.all([np.isfinite(one).all(axis=1) for one in said], axis=0)
    known = [np.where(finite[:, None], one, 0.0) for one in said]
    answers = _answers(label, known[:-1], known[-1])
    for half, chosen in zip(HALVES, images.subsets, strict=True):
        defined = bool(chosen.any() and finite[chosen].all())
        case = _Case.of(answers.of(chosen), classes=classes) if defined else None
        for measure in FIDELITY:
            yield half, measure, None if case is None else _value(measure, case)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Case:
    """Some answers and how many images have which, with the labels and without."""

    answers: Answers
    classes: int
    table: LabelledContingency
    pooled: Contingency

    @classmethod
    def of(cls, answers: Answers, *, classes: int) -> "_Case":
        table = LabelledContingency.from_labels(answers.label, answers.ensemble, answers.student)
        return cls(answers=answers, classes=classes, table=table, pooled=table.pooled())


def _answers(label: Labels, teachers: Sequence[Floats], student: Floats) -> Answers:
    probabilities = np.mean([np.exp(_log_softmax(one)) for one in teachers], axis=0)
    gap = np.log(np.maximum(probabilities, np.finfo(np.float64).tiny)) - _log_softmax(student)
    return Answers(
        label=label,
        ensemble=probabilities.argmax(axis=1),
        student=student.argmax(axis=1),
        divergence=(probabilities * gap).sum(axis=1),
    )


def _log_softmax(logits: Floats) -> Floats:
    shifted = logits - logits.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def _value(measure: str, case: _Case) -> float | None:
    try:
        return _MEASURES[measure](case)
    except UndefinedError:
        return None


def _agreement(case: _Case) -> float:
    return float((case.answers.ensemble == case.answers.student).mean())


def _error_consistency(case: _Case) -> float:
    """Return Cohen's kappa of right or wrong. Raises UndefinedError where one is always either."""
    ensemble = case.answers.ensemble == case.answers.label
    student = case.answers.student == case.answers.label
    first, second = float(ensemble.mean()), float(student.mean())
    if first in (0, 1) or second in (0, 1):
        raise UndefinedError("one of the two is always right or always wrong (0/0)")
    chance = first * second + (1 - first) * (1 - second)
    return (float((ensemble == student).mean()) - chance) / (1 - chance)


def _divergence(case: _Case) -> float:
    return float(case.answers.divergence.mean())


def _information(case: _Case) -> float:
    return mutual_information(case.pooled, choose_estimator(case.classes)).estimate_bits


def _second_information(case: _Case) -> float:
    return mutual_information(case.pooled, second_estimator(case.classes)).estimate_bits


def _given_label(case: _Case) -> float:
    return conditional_mutual_information(case.table).estimate_bits


_MEASURES: Final[Mapping[str, Callable[[_Case], float]]] = {
    "agreement": _agreement,
    "error_consistency": _error_consistency,
    "predictive_kl_nats": _divergence,
    "mutual_information_bits": _information,
    "mutual_information_second_bits": _second_information,
    "conditional_mutual_information_bits": _given_label,
}
