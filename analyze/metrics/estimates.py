"""From what the store holds to the rows of ``estimate``: measures that SQL cannot compute.

A block's rows follow from that block alone, so a caller may pass the blocks one at a time and
append: no pair of models crosses blocks.
"""

from collections.abc import Iterator, Mapping

import polars as pl

from analyze.metrics.answers import HALVES, Answer
from analyze.metrics.attention_answers import BlockAttention, TestImages
from analyze.metrics.label_answers import label_answers
from store.frames import ESTIMATE
from store.measures import MEASURES, Engine
from store.vocabulary import Half, Role, Status

ESTIMATED = tuple(measure.name for measure in MEASURES if measure.engine is Engine.ESTIMATOR)
"""The measures of the data dictionary that are estimated here."""


def estimates(
    contingency: pl.DataFrame,
    attention: pl.DataFrame,
    models: pl.DataFrame,
    pairs: pl.DataFrame,
    images: pl.DataFrame,
    *,
    classes: int,
) -> pl.DataFrame:
    """Estimate every measure of ``ESTIMATED`` for every student, on all test images and each half.

    contingency: student_id, half (all | a | b), label, ensemble_class, student_class, images:
    clean test images counted by label and predicted classes, NULL classes where logits are not
    finite. attention: rows of MASKED_ATTENTION of one method and the clean view. models: rows of
    MODEL. pairs: rows of MODEL_PAIR. images: image_id and half of the test images.

    Returns rows of ESTIMATE: students that have teachers x halves x measures, without exception;
    what cannot be estimated has a reason. The mean over pairs of models is undefined where
    one of them is.
    Raises ValueError when attention holds an image of a model twice or maps of two sizes.
    """
    test_images = TestImages.from_frame(images)
    cells = {
        (int(frame["student_id"][0]), Half(frame["half"][0])): frame
        for frame in contingency.partition_by("student_id", "half")
    }
    maps = {int(frame["model_id"][0]): frame for frame in attention.partition_by("model_id")}
    failed = frozenset(models.filter(pl.col("status") == Status.FAILED)["model_id"].to_list())
    recorded = frozenset(
        (min(pair), max(pair)) for pair in pairs.select("model_a", "model_b").iter_rows()
    )
    known = frozenset(models["model_id"].to_list())
    rows: list[tuple[object, ...]] = []
    taught = (pl.col("role") == Role.STUDENT) & (pl.col("teacher_ids").list.len() > 0)
    for block in models.filter(taught).partition_by("block"):
        compared = BlockAttention(maps, test_images, recorded=recorded, failed=failed)
        for student, teachers in block.select("model_id", "teacher_ids").iter_rows():
            broken = not known.issuperset(teachers) or not failed.isdisjoint({student, *teachers})
            answers = (
                *_labels(cells, student, test_images, classes=classes, failed=broken),
                *compared.answers(student, teachers),
            )
            rows.extend(_row(student, answer) for answer in answers)
    return ESTIMATE.check(pl.DataFrame(rows, schema=ESTIMATE.schema, orient="row"))


def _labels(
    cells: Mapping[tuple[int, Half], pl.DataFrame],
    student: int,
    images: TestImages,
    *,
    classes: int,
    failed: bool,
) -> Iterator[Answer]:
    for half in HALVES:
        yield from label_answers(
            cells.get((student, half)),
            half,
            images=images.count(half),
            classes=classes,
            failed=failed,
        )


def _row(student: int, answer: Answer) -> tuple[object, ...]:
    return (
        student,
        str(answer.half),
        answer.measure,
        answer.value,
        answer.bias,
        answer.estimator,
        answer.reason,
    )
