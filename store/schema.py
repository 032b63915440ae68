"""The statements that make an empty store: tables from frames, views from ``store/sql``."""

import hashlib
import re
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Final

import polars as pl

from store.frame import Column, Frame
from store.frames import EVIDENCE, FINDING, FINDING_HISTORY, SPECIFICATION, STORE_FRAMES
from store.kept import KEPT, MAKING
from store.ledger import CONDITION, ENVIRONMENT, SHARD, STUDY
from store.measures import MEASURES
from store.vocabulary import MASK_WORD_BITS, Half

TABLES: Final = (
    STUDY,
    ENVIRONMENT,
    CONDITION,
    SHARD,
    *STORE_FRAMES,
    *KEPT,
    EVIDENCE,
    FINDING,
    SPECIFICATION,
    FINDING_HISTORY,
)

MACROS: Final = (
    "macros",
    "half_value",
    "unpacked",
    "shared_cells",
    "attention_iou_at",
    "attention_iou_by_method",
)
VIEWS: Final = (
    "prediction",
    "attention",
    "test_half",
    "student_teacher",
    "image_answer",
    "ensemble_prediction",
    "student_answer",
    "attention_iou",
    "contingency_again",
    "learning_curve",
    "confusion",
    "model_measures_by_half",
    "model_measures",
    "pair_measures_by_half",
    "level_measures",
    "published_measures",
    "measured_again",
    "measures_by_half",
    "measures",
    "undefined_counts",
    "attention_iou_by_class",
    "teacher_disagreement",
    "ensemble_gain",
    "diverged_models",
    "training_time",
)
"""Files of ``store/sql`` in an order in which each view stands after those it reads."""

_ONE_WORD: Final = "shared_cells_of_one_word"

_TYPES: Final[dict[pl.DataType, str]] = {
    pl.Int32(): "INTEGER",
    pl.Int64(): "BIGINT",
    pl.UInt64(): "UBIGINT",
    pl.Float32(): "FLOAT",
    pl.Float64(): "DOUBLE",
    pl.String(): "VARCHAR",
    pl.Binary(): "BLOB",
    pl.Boolean(): "BOOLEAN",
    pl.Datetime("us", "UTC"): "TIMESTAMPTZ",
}

_VIEW_COLUMNS: Final = {
    "student_id": "model_id of the student.",
    "teacher_id": "model_id of one of its teachers.",
    "half": f"Test images used: {' | '.join(Half)}.",
    "student_strength": "The student's own augmentation strength, a fraction of the maximum.",
    "correct": "Whether the predicted class is the label. NULL: the logits are not finite.",
    "confidence": "Probability of the predicted class. NULL: the logits are not finite.",
    "cross_entropy_nats": "Minus log probability of the label, nats. NULL: logits not finite.",
    "logits": "One logit per class.",
    "map": "Attention map, min-max scaled to 0..255, row by row. NULL: undefined: the map is "
    "constant or not finite.",
    "ensemble_class": "The class that the mean of the teachers' logits is largest for.",
    "student_class": "The class that the student predicts.",
    "kl_ensemble_student_nats": "KL(p_E || p_S), nats. NULL: logits not finite.",
    "kl_student_ensemble_nats": "KL(p_S || p_E), nats. NULL: logits not finite.",
    "iou": "|A and B| / |A or B|, a fraction. NULL: neither attends anywhere (0/0).",
    "images": "How many images, a count.",
    "of_images": "Test images in all, a count.",
    "measure": "The measure that is undefined.",
    "reason": "Why it is undefined.",
    "disagreement": "Share of pairs of teachers that name different classes, a fraction.",
    "pairs": "Pairs of teachers whose logits are finite, a count.",
    "test_accuracy_best_teacher": "Test accuracy of the best teacher, a fraction: chosen on the "
    "test images, so biased up. NULL: a teacher failed or its logits are not finite.",
    "gain_over_teachers": "test_accuracy_ensemble - test_accuracy_teachers, a fraction.",
    "gain_over_best_teacher": "test_accuracy_ensemble - test_accuracy_best_teacher, a fraction.",
    "divergence": "What went wrong: why training failed, or that logits are not finite.",
    "images_not_finite": "Clean test images with logits that are not finite, a count.",
    "students_trained": "Students trained, over all seeds, a count.",
    "student_seconds": "Wall time of their training, summed, s. Volatile.",
    "seconds_per_student": "Wall time of one student's training, mean, s. Volatile.",
    "teachers_trained": "Different teachers that they learned from, over all seeds, a count.",
    "teacher_seconds": "Wall time of those teachers' training, summed, s. Volatile.",
}

_MACRO: Final = re.compile(
    r"^(?P<words>(?:--[^\n]*\n)+)CREATE MACRO (?P<name>\w+)\([^)]*\) AS(?P<table> TABLE)?",
    re.MULTILINE,
)


@dataclass(frozen=True, slots=True)
class Reference:
    """A column whose values are found in another table's."""

    table: str
    column: str
    home: str
    key: str


REFERENCES: Final = (
    Reference("shard", "environment_id", "environment", "environment_id"),
    Reference("model", "block", "shard", "block"),
    Reference("model", "condition_id", "condition", "condition_id"),
    Reference("model_pair", "model_a", "model", "model_id"),
    Reference("model_pair", "model_b", "model", "model_id"),
    Reference("stored_prediction", "model_id", "model", "model_id"),
    Reference("stored_prediction", "image_id", "image", "image_id"),
    Reference("stored_attention", "model_id", "model", "model_id"),
    Reference("stored_attention", "image_id", "image", "image_id"),
    Reference("epoch", "model_id", "model", "model_id"),
    Reference("estimate", "student_id", "model", "model_id"),
    Reference("measured", "student_id", "model", "model_id"),
    Reference("contingency", "student_id", "model", "model_id"),
    Reference("finding_history", "study", "study", "study"),
)
"""How tables hang together. NULL refers to nothing."""


@dataclass(frozen=True, slots=True)
class Schema:
    """Statements that make an empty store."""

    statements: tuple[str, ...]

    @property
    def digest(self) -> str:
        """SHA-256 of all statements and comments and of ``MAKING``, 64 hexadecimal digits."""
        parts = (repr(MEASURES), repr(_VIEW_COLUMNS), view_text(_ONE_WORD), f"{MAKING}")
        text = "\n".join((*self.statements, *parts))
        return hashlib.sha256(text.encode()).hexdigest()


@cache
def schema(side: int | None = None) -> Schema:
    """Return the statements for all tables, macros and views, with their comments.

    side: of the attention maps, in cells: see ``view_statements``. The digest of a store is that
    of the schema of no particular side.
    """
    tables = [statement for frame in TABLES for statement in table_statements(frame)]
    return Schema((*tables, *view_statements(side)))


def table_statements(frame: Frame, name: str | None = None) -> list[str]:
    """Return the statements that make an empty table, under another name where one is given."""
    table = quoted(name or frame.name)
    columns = ", ".join(_column(column) for column in frame.columns)
    comment = f"Grain: {frame.grain} ({', '.join(frame.key)})."
    return [
        f"CREATE TABLE {table} ({columns})",
        f"COMMENT ON TABLE {table} IS {literal(comment)}",
        *(
            f"COMMENT ON COLUMN {table}.{quoted(column.name)} IS {literal(column.comment)}"
            for column in frame.columns
        ),
    ]


def view_statements(side: int | None = None) -> list[str]:
    """Return the statements that make all macros and views, with their comments.

    side: of the attention maps, in cells. Where masks fit into one word the others are not read,
    which changes no answer.
    """
    statements: list[str] = []
    for name in MACROS:
        text = macro_text(name, side)
        statements += [text, *_macro_comments(text)]
    for name in VIEWS:
        text = view_text(name)
        statements += [text, f"COMMENT ON VIEW {quoted(name)} IS {literal(_header(text))}"]
    return statements


def macro_text(name: str, side: int | None) -> str:
    """Return the statements of a file of macros; side: see ``view_statements``."""
    one_word = name == "shared_cells" and side is not None and side**2 <= MASK_WORD_BITS
    return view_text(_ONE_WORD if one_word else name)


def view_text(name: str) -> str:
    """Return the statement that makes a view."""
    return resources.files("store").joinpath("sql", f"{name}.sql").read_text(encoding="utf-8")


def column_comment(column: str) -> str | None:
    """Meaning of a view's column, from the measures, the frames or the views' own words."""
    measure = next((m for m in MEASURES if m.name == column), None)
    if measure is not None:
        source = f" Source: {measure.source}." if measure.source else ""
        return (
            f"{measure.definition} [{measure.unit}; {measure.range}]{source} NULL: {measure.null}."
        )
    if column in _VIEW_COLUMNS:
        return _VIEW_COLUMNS[column]
    for frame in TABLES:
        for known in frame.columns:
            if known.name == column:
                return known.comment
    return None


def quoted(name: str) -> str:
    """Write a name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Write text as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"


def _column(column: Column) -> str:
    required = " NOT NULL" if column.null is None else ""
    return f"{quoted(column.name)} {_type(column.dtype)}{required}"


def _type(dtype: pl.DataType) -> str:
    if isinstance(dtype, pl.List):
        inner = dtype.inner
        return f"{_type(inner() if isinstance(inner, type) else inner)}[]"
    return _TYPES[dtype]


def _macro_comments(text: str) -> list[str]:
    """Make the comment right above each macro of a file its COMMENT."""
    return [
        f"COMMENT ON MACRO{found['table'] or ''} {quoted(found['name'])} "
        f"IS {literal(_header(found['words']))}"
        for found in _MACRO.finditer(text)
    ]


def _header(text: str) -> str:
    """Return the comment at the top of a file, or of a part of it, as one line."""
    lines: list[str] = []
    for line in text.splitlines():
        if not line.startswith("--"):
            break
        lines.append(line.removeprefix("--").strip())
    return " ".join(lines)
