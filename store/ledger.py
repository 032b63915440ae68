"""What the store says of itself: its study, its design, its shards and their environments."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import polars as pl

from store.design import Design
from store.frame import Column, Frame
from store.frames import ARM, MEAN_STRENGTH, MODEL, SHARD_FRAMES
from store.shard import Environment, Manifest

SCHEMA_VERSION: Final = 7
"""Raised when a reader of the former version would misread the tables or views."""

_VOLATILE_ENVIRONMENT: Final = ("host", "process", "started_at", "finished_at", "seconds")

_ADDED_TO_ENVIRONMENT: Final[Mapping[str, object]] = {"compiled": False, "allocator": None}
"""Columns that came after environments had their ids, and what holds where they are not noted."""

_ENVIRONMENT_ID = Column(
    name="environment_id",
    dtype=pl.String(),
    meaning="The environment observed: a hash of its other columns.",
)
_CONDITION_ID = next(column for column in MODEL.columns if column.name == "condition_id")


def _text(name: str, meaning: str) -> Column:
    return Column(name=name, dtype=pl.String(), meaning=meaning)


def _count(name: str, meaning: str, unit: str | None = None) -> Column:
    return Column(name=name, dtype=pl.Int32(), meaning=meaning, unit=unit)


STUDY: Final = Frame(
    "study",
    "the study, one row",
    (
        _text("study", "Its name."),
        _text("title", "Its title."),
        _text("study_hash", "SHA-256 of everything that the study file declares."),
        _text("declaration", "The study file with all defaults, as JSON."),
        _count("classes", "Number of classes."),
        _count("grid", "Side of the attention maps.", "cells"),
        _text("attention_method", "Which attention map the claims are tested on."),
        Column(
            name="tau",
            dtype=pl.Float64(),
            meaning="Threshold of the attention masks.",
            unit="fraction of the map's range",
        ),
        _text("logits_type", "How logits are stored: float32 | float16."),
        _count("seeds", "Seed blocks declared; the ledger holds those stored."),
        _text("images", "Name of the images file, made from its content."),
        _count("schema_version", "Version of tables and views."),
        _text("schema_hash", "SHA-256 of the statements that made tables and views."),
    ),
    ("study",),
)

ENVIRONMENT: Final = Frame(
    "environment",
    "one distinct environment that blocks were trained in; model.block leads to shard, and "
    "that here",
    (
        _ENVIRONMENT_ID,
        _text("commit", "Commit of this code; -dirty where files differed."),
        _text("python", "Version."),
        _text("torch", "Version."),
        _text("torchvision", "Version."),
        _text("numpy", "Version."),
        _text("polars", "Version."),
        _text("platform", "System and machine."),
        _text("processor", "Model name of the processor."),
        _text("capability", "Instruction set or GPU capability that torch used."),
        _text("device", "Kind of device: cpu or cuda."),
        Column(name="gpu", dtype=pl.String(), meaning="Name of the GPU.", null="no GPU was used"),
        _text("precision", "Declared arithmetic."),
        _text("memory_format", "Layout of images in memory."),
        _count("threads", "Threads of the training process."),
        Column(
            name="compiled",
            dtype=pl.Boolean(),
            meaning="Whether the network was run through torch.compile.",
        ),
        Column(
            name="allocator",
            dtype=pl.String(),
            meaning="The process's memory allocator, with ' tuned' where it was told otherwise "
            "than by default.",
            null="not noted",
        ),
    ),
    ("environment_id",),
)

CONDITION: Final = Frame(
    "condition",
    "one cell of the design: how a student and its teachers are augmented",
    (
        Column(name="condition_id", dtype=pl.Int32(), meaning=_CONDITION_ID.meaning),
        _text("arm", ARM),
        Column(
            name="teacher_strength",
            dtype=pl.Float64(),
            meaning=MEAN_STRENGTH,
            unit="fraction of the policy's maximum",
            null="students without teachers",
        ),
        Column(
            name="teacher_strengths",
            dtype=pl.List(pl.Float64()),
            meaning="Augmentation strength of each teacher, in slot order: the composition of the "
            "ensemble.",
            unit="fractions of the policy's maximum",
        ),
        Column(
            name="student_strength",
            dtype=pl.Float64(),
            meaning="Augmentation strength of the student.",
            unit="fraction of the policy's maximum",
        ),
        _count("teachers", "Teachers in the ensemble."),
    ),
    ("condition_id",),
)

SHARD: Final = Frame(
    "shard",
    "one seed block that the store holds: the ledger",
    (
        _count("block", "The seed block, from 0."),
        _text("key", "What the block's numbers depend on, hashed."),
        _text("shard", "Folder name of the shard."),
        _text("content", "SHA-256 of its content, columns not volatile."),
        _count("protocol", "Training protocol that it was written under."),
        Column(
            name="pool",
            dtype=pl.Int32(),
            meaning="The pool that its teachers are of: blocks of one pool have the same teachers.",
            null="its teachers are its own",
        ),
        _ENVIRONMENT_ID,
        *(
            Column(
                name=f"{frame.name}_rows",
                dtype=pl.Int64(),
                meaning=f"Rows that it brought to table {frame.name}.",
                unit="rows",
            )
            for frame in SHARD_FRAMES
        ),
        *(
            Column(
                name=f"{frame.name}_content",
                dtype=pl.String(),
                meaning=f"SHA-256 of what it brought to table {frame.name}, columns not volatile.",
            )
            for frame in SHARD_FRAMES
        ),
        Column(
            name="halves_content",
            dtype=pl.String(),
            meaning="SHA-256 of its predictions as they read from half-precision logits.",
            null="logits are stored as they were computed",
        ),
        Column(name="host", dtype=pl.String(), meaning="Machine it ran on.", volatile=True),
        Column(name="process", dtype=pl.Int64(), meaning="Process number.", volatile=True),
        Column(name="started_at", dtype=pl.String(), meaning="Start, UTC.", volatile=True),
        Column(name="finished_at", dtype=pl.String(), meaning="End, UTC.", volatile=True),
        Column(name="seconds", dtype=pl.Float64(), meaning="Wall time.", unit="s", volatile=True),
    ),
    ("block",),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredBlock:
    """What one block brings to a store.

    tables: of SHARD_FRAMES. environment, ledger: one row each of ENVIRONMENT and SHARD.
    """

    tables: Mapping[Frame, pl.DataFrame]
    environment: pl.DataFrame
    ledger: pl.DataFrame


def study_row(design: Design, *, classes: int, images: str, schema_hash: str) -> pl.DataFrame:
    """Table STUDY."""
    return pl.DataFrame(
        {
            "study": [design.study],
            "title": [design.title],
            "study_hash": [design.study_hash()],
            "declaration": [json.dumps(design.declared(), sort_keys=True)],
            "classes": [classes],
            "grid": [design.grid],
            "attention_method": [str(design.attention.primary)],
            "tau": [design.attention.tau],
            "logits_type": [str(design.store.logits)],
            "seeds": [design.seeds],
            "images": [images],
            "schema_version": [SCHEMA_VERSION],
            "schema_hash": [schema_hash],
        },
        schema=STUDY.schema,
    )


def condition_rows(design: Design) -> pl.DataFrame:
    """Table CONDITION: one row per student of a block's plan."""
    plan = design.plan()
    return pl.DataFrame(
        [
            {
                "condition_id": student.condition_id,
                "arm": str(student.arm),
                "teacher_strength": student.teacher_strength,
                "teacher_strengths": list(plan.strengths_of(student)),
                "student_strength": student.strength,
                "teachers": len(student.teachers),
            }
            for student in plan.students
        ],
        schema=CONDITION.schema,
    )


def environment_id(environment: Environment) -> str:
    """Return the hash of what a block's bits may depend on, 16 hexadecimal digits."""
    return environment_hash(_stable(environment))


def environment_hash(columns: Mapping[str, object]) -> str:
    """Return environment_id from the other columns of a row of ENVIRONMENT.

    What was not noted when an id was made first does not change it.
    """
    noted = {
        name: value
        for name, value in columns.items()
        if name not in _ADDED_TO_ENVIRONMENT or value != _ADDED_TO_ENVIRONMENT[name]
    }
    return hashlib.sha256(json.dumps(noted, sort_keys=True).encode()).hexdigest()[:16]


def environment_row(environment: Environment) -> pl.DataFrame:
    """One row of table ENVIRONMENT."""
    row = {"environment_id": environment_id(environment), **_stable(environment)}
    return pl.DataFrame([row], schema=ENVIRONMENT.schema)


def ledger_row(manifest: Manifest, shard: str, *, pool: int | None) -> pl.DataFrame:
    """One row of table SHARD; pool: of the block's teachers."""
    environment = manifest.environment
    files = manifest.files
    row: dict[str, object] = {
        "block": manifest.block,
        "key": manifest.key,
        "shard": shard,
        "content": manifest.content,
        "protocol": manifest.protocol,
        "pool": pool,
        "environment_id": environment_id(environment),
        **{f"{frame.name}_rows": files[frame.name].rows for frame in SHARD_FRAMES},
        **{f"{frame.name}_content": files[frame.name].content for frame in SHARD_FRAMES},
        "halves_content": None,
        **{name: getattr(environment, name) for name in _VOLATILE_ENVIRONMENT},
    }
    return pl.DataFrame([row], schema=SHARD.schema)


def ledger_text(design: Design, ledger: pl.DataFrame, *, study_hash: str) -> str:
    """Return ledger.json: what a store of the study holds, for the jobs that come after."""
    rows = ledger.select("block", "key", "shard", "content", "environment_id").to_dicts()
    content = {
        "study": design.study,
        "study_hash": study_hash,
        "tau": design.attention.tau,
        "shards": rows,
    }
    return json.dumps(content, indent=2) + "\n"


def _stable(environment: Environment) -> Mapping[str, object]:
    return environment.model_dump(exclude=set(_VOLATILE_ENVIRONMENT))


def contents(ledger: pl.DataFrame) -> dict[str, str]:
    """Content hash of every shard in a ledger, by the shard's folder name."""
    return dict(zip(ledger["shard"].to_list(), ledger["content"].to_list(), strict=True))


def blocks_named(blocks: Sequence[int]) -> str:
    """Name a few blocks in a message."""
    shown = ", ".join(str(block) for block in blocks[:5])
    return shown + (f" and {len(blocks) - 5} more" if len(blocks) > 5 else "")
