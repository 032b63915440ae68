"""One seed block: its teachers, the students distilled from them, what they all say."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import combinations
from pathlib import Path

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from collect import checkpoint
from collect.checkpoint import Record
from collect.datasets import Data
from collect.engine import Runtime
from collect.models import CifarResNet, build, parameter_count
from collect.observe import Observation, View, Views, fractions, observe
from collect.seeding import Purpose, block_streams, model_streams, study_streams
from collect.similarity import cka
from collect.train import BatchLoss, TrainingSet, cross_entropy, distilled_from, train
from store.design import BlockPlan, Design, Network, Recipe, Student, Teacher
from store.frames import ATTENTION, EPOCH, MODEL, MODEL_PAIR, PREDICTION
from store.vocabulary import (
    CLEAN_VIEW,
    MODELS_PER_BLOCK_LIMIT,
    PairKind,
    Role,
    Split,
    Status,
)


@dataclass(slots=True)
class _Member:
    """A model of the block and how its training ended."""

    plan: Teacher | Student
    model: CifarResNet
    record: Record


class Block:
    """Trains and observes one block; finished models are kept in ``scratch``.

    finished: called with a model's ordinal when it is trained or found trained.
    """

    def __init__(
        self,
        design: Design,
        data: Data,
        block: int,
        *,
        runtime: Runtime,
        scratch: Path,
        finished: Callable[[int], None],
    ) -> None:
        self._design = design
        self._block = block
        self._runtime = runtime
        self._scratch = scratch
        self._finished = finished
        self._classes = len(data.class_names)
        subset = training_subset(design, data, block)
        self._channels = data.pool.pixels.shape[1]
        self._views = Views(design, data, subset, runtime)
        clean = self._views.view(CLEAN_VIEW, Split.TEST)
        self._training_set = TrainingSet(
            pixels=fractions(data.pool.pixels[subset], runtime.device),
            labels=torch.from_numpy(data.pool.labels[subset]).to(runtime.device),
            test_pixels=clean.images,
            test_labels=clean.labels,
        )

    def collect(self) -> dict[str, pl.DataFrame]:
        """Train what is not trained yet, observe every model, return the shard's tables."""
        plan = self._design.plan()
        members = {teacher.ordinal: self._teacher(teacher) for teacher in plan.teachers}
        twins: dict[tuple[tuple[int, ...], float], _Member] = {}
        for student in plan.students:
            treatment = (student.teachers, student.strength)
            if treatment in twins:
                # two arms ask for the same student of the same teachers: it is trained once
                twin = twins[treatment]
                members[student.ordinal] = _Member(student, twin.model, twin.record)
                self._finished(student.ordinal)
            else:
                teachers = [members[ordinal] for ordinal in student.teachers]
                twins[treatment] = members[student.ordinal] = self._student(student, teachers)
        return self._tables(plan, members)

    def _teacher(self, teacher: Teacher) -> _Member:
        return self._trained(
            teacher, Role.TEACHER, self._design.networks.teacher, cross_entropy, None
        )

    def _student(self, student: Student, teachers: list[_Member]) -> _Member:
        failed = [member.plan.ordinal for member in teachers if member.record.failure]
        loss = distilled_from(
            [member.model for member in teachers], self._design.distillation, self._runtime
        )
        failure = f"its teacher {failed[0]} failed" if failed else None
        return self._trained(student, Role.STUDENT, self._design.networks.student, loss, failure)

    def _trained(
        self,
        plan: Teacher | Student,
        role: Role,
        network: Network,
        loss: BatchLoss,
        failure: str | None,
    ) -> _Member:
        slot = plan.slot if isinstance(plan, Teacher) else 0
        streams = model_streams(self._design.study_seed, self._block, role, slot)
        model = build(
            network,
            channels=self._channels,
            classes=self._classes,
            generator=streams.torch(Purpose.INITIALIZATION),
        ).to(self._runtime.device)
        model = model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        path = self._scratch / f"model-{plan.ordinal:03d}.safetensors"
        record = checkpoint.load(path, model)
        if record is None:
            started = time.perf_counter()
            epochs = []
            if failure is None:
                trained = train(
                    model,
                    self._training_set,
                    recipe=self._recipe(role),
                    policy=self._design.augmentation,
                    strength=plan.strength,
                    streams=streams,
                    loss=loss,
                    runtime=self._runtime,
                )
                epochs, failure = trained.epochs, trained.failure
            record = Record(
                failure=failure,
                seconds=time.perf_counter() - started,
                finished_at=datetime.now(UTC),
                epochs=tuple(epochs),
            )
            checkpoint.save(path, model, record)
        self._finished(plan.ordinal)
        return _Member(plan, model, record)

    def _recipe(self, role: Role) -> Recipe:
        recipes = self._design.training
        return recipes.teacher if role is Role.TEACHER else recipes.student

    def _tables(self, plan: BlockPlan, members: dict[int, _Member]) -> dict[str, pl.DataFrame]:
        observations = {
            ordinal: observe(
                member.model,
                self._id(ordinal),
                self._seen(member),
                methods=self._design.attention.kept,
                runtime=self._runtime,
            )
            for ordinal, member in members.items()
            if member.record.failure is None
        }
        return {
            MODEL.name: pl.DataFrame(
                [self._model_row(member) for member in members.values()],
                schema=MODEL.schema,
                orient="row",
            ),
            MODEL_PAIR.name: self._pairs(plan, observations),
            PREDICTION.name: _stacked(
                [o.prediction for o in observations.values()], PREDICTION.schema
            ),
            ATTENTION.name: _stacked(
                [o.attention for o in observations.values()], ATTENTION.schema
            ),
            EPOCH.name: pl.DataFrame(
                [
                    {"model_id": self._id(ordinal), **row}
                    for ordinal, member in members.items()
                    for row in checkpoint.epoch_values(member.record)
                ],
                schema=EPOCH.schema,
            ),
        }

    def _seen(self, member: _Member) -> list[View]:
        """List the views a model is shown: clean, its own strength's, its students', and more.

        Teachers trained without augmentation are shown every view: the affinity of an
        augmentation is their accuracy on it.
        """
        plan = member.plan
        names = {CLEAN_VIEW, self._design.level(plan.strength)}
        if isinstance(plan, Teacher):
            students = self._design.plan().students
            names |= {
                self._design.level(s.strength) for s in students if plan.ordinal in s.teachers
            }
            if plan.strength == 0:
                names |= set(self._design.views())
        test = [self._views.view(name, Split.TEST) for name in sorted(names)]
        own = sorted({CLEAN_VIEW, self._design.level(plan.strength)})
        return test + [self._views.view(name, Split.TRAIN) for name in own]

    def _model_row(self, member: _Member) -> dict[str, object]:
        plan, record = member.plan, member.record
        student = plan if isinstance(plan, Student) else None
        role = Role.STUDENT if student else Role.TEACHER
        networks = self._design.networks
        network = networks.student if student else networks.teacher
        return {
            "model_id": self._id(plan.ordinal),
            "block": self._block,
            "ordinal": plan.ordinal,
            "role": str(role),
            "slot": plan.slot if isinstance(plan, Teacher) else None,
            "condition_id": student.condition_id if student else None,
            "arm": str(student.arm) if student else None,
            "strength": plan.strength,
            "view": self._design.level(plan.strength),
            "teacher_strength": student.teacher_strength if student else None,
            "teacher_ids": [self._id(t) for t in student.teachers] if student else None,
            "network": f"{network.family} depth {network.depth} width {network.width}",
            "parameters": parameter_count(member.model),
            "epochs": len(record.epochs),
            "status": str(Status.FAILED if record.failure else Status.COMPLETE),
            "reason": record.failure,
            "weights_hash": None if record.failure else checkpoint.weights_hash(member.model),
            "train_seconds": record.seconds,
            "finished_at": record.finished_at,
        }

    def _pairs(self, plan: BlockPlan, observations: dict[int, Observation]) -> pl.DataFrame:
        """Every two teachers of one ensemble, and every student with each of its teachers."""
        teams = sorted({student.teachers for student in plan.students})
        pairs = {
            (a, b): PairKind.TEACHER_TEACHER for team in teams for a, b in combinations(team, 2)
        }
        for student in plan.students:
            pairs |= {(t, student.ordinal): PairKind.TEACHER_STUDENT for t in student.teachers}
        rows = [
            (
                self._id(a),
                self._id(b),
                str(kind),
                cka(observations[a].features, observations[b].features)
                if a in observations and b in observations
                else None,
            )
            for (a, b), kind in pairs.items()
        ]
        return pl.DataFrame(rows, schema=MODEL_PAIR.schema, orient="row")

    def _id(self, ordinal: int) -> int:
        return self._block * MODELS_PER_BLOCK_LIMIT + ordinal


def training_subset(design: Design, data: Data, block: int) -> NDArray[np.int64]:
    """Rows of the pool that a block trains on, ascending, shape (size,)."""
    subset = design.dataset.train_subset
    per_block = subset.resample == "per_block"
    streams = (
        block_streams(design.study_seed, block) if per_block else study_streams(design.study_seed)
    )
    rows = streams.numpy(Purpose.SUBSET).permutation(len(data.pool.labels))[: subset.size]
    return np.sort(rows)


def _stacked(frames: list[pl.DataFrame], schema: pl.Schema) -> pl.DataFrame:
    return pl.concat(frames) if frames else pl.DataFrame(schema=schema)
