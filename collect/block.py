"""One seed block: its teachers, the students distilled from them, what they all say."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from collect import checkpoint
from collect.classroom import Classroom, Member
from collect.datasets import Data
from collect.engine import Runtime
from collect.models import parameter_count
from collect.observe import View, Views, observe
from collect.pretrained import read_weights
from collect.seeding import Purpose, block_streams, study_streams
from collect.similarity import cka
from collect.spool import Spool
from collect.train import TrainingSet
from store.design import Design
from store.frames import ATTENTION, EPOCH, MODEL, MODEL_PAIR, PREDICTION
from store.networks import Network
from store.plan import BlockPlan, Student, Teacher, model_id, planned_row
from store.shard import Parts
from store.vocabulary import (
    CLEAN_VIEW,
    Split,
    Status,
)


class Block:
    """Trains and observes one block; what is trained is kept in ``scratch`` until it is whole.

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
        self._views = Views(design, data, training_subset(design, data, block), runtime)
        pixels, labels = self._views.pixels(Split.TRAIN)
        test_pixels, test_labels = self._views.pixels(Split.TEST)
        self._classroom = Classroom(
            design,
            block,
            data=TrainingSet(pixels, labels, test_pixels, test_labels),
            classes=len(data.class_names),
            runtime=runtime,
            scratch=scratch,
            finished=finished,
        )

    def collect(self) -> dict[str, pl.DataFrame | Parts]:
        """Train what is not trained yet, observe every model, return the shard's tables.

        Those in parts lie in ``scratch``.
        """
        return self._tables(self._design.plan(), self._classroom.train())

    def _tables(
        self, plan: BlockPlan, members: dict[int, Member]
    ) -> dict[str, pl.DataFrame | Parts]:
        prediction = Spool(self._scratch / PREDICTION.name, PREDICTION)
        attention = Spool(self._scratch / ATTENTION.name, ATTENTION)
        features = {
            ordinal: observe(
                member.model,
                self._id(ordinal),
                self._seen(member),
                methods=self._design.attention.kept,
                published=self._design.attention.published,
                runtime=self._runtime,
                prediction=prediction,
                attention=attention,
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
            MODEL_PAIR.name: self._pairs(plan, features),
            PREDICTION.name: prediction.parts(),
            ATTENTION.name: attention.parts(),
            EPOCH.name: pl.DataFrame(
                [
                    {"model_id": self._id(ordinal), **row}
                    for ordinal, member in members.items()
                    for row in checkpoint.epoch_values(member.record)
                ],
                schema=EPOCH.schema,
            ),
        }

    def _seen(self, member: Member) -> list[View]:
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
        own = {CLEAN_VIEW, self._design.level(plan.strength)}
        # in the order of the rows' key, where training images have the lower ids
        return [
            self._views.view(name, split)
            for name in sorted(names)
            for split in (Split.TRAIN, Split.TEST)
            if split is Split.TEST or name in own
        ]

    def _model_row(self, member: Member) -> dict[str, object]:
        plan, record = member.plan, member.record
        networks = self._design.own_training.networks
        network = networks.student if isinstance(plan, Student) else networks.teacher
        return {
            **planned_row(self._block, plan, view=self._design.level(plan.strength)),
            "network": network.record + _begun_with(network),
            "parameters": parameter_count(member.model),
            "epochs": len(record.epochs),
            "status": str(Status.FAILED if record.failure else Status.COMPLETE),
            "reason": record.failure,
            "weights_hash": None if record.failure else checkpoint.weights_hash(member.model),
            "train_seconds": record.seconds,
            "finished_at": record.finished_at,
        }

    def _pairs(self, plan: BlockPlan, features: dict[int, NDArray[np.float32]]) -> pl.DataFrame:
        rows = [
            (
                self._id(a),
                self._id(b),
                str(kind),
                cka(features[a], features[b]) if a in features and b in features else None,
            )
            for (a, b), kind in plan.pairs().items()
        ]
        return pl.DataFrame(rows, schema=MODEL_PAIR.schema, orient="row")

    def _id(self, ordinal: int) -> int:
        return model_id(self._block, ordinal)


def _begun_with(network: Network) -> str:
    """Say which weights a network began with, by the hash of their file."""
    weights = read_weights(network)
    return "" if weights is None else f" weights sha256:{weights.sha256}"


def training_subset(design: Design, data: Data, block: int) -> NDArray[np.int64]:
    """Rows of the pool that a block trains on, ascending, shape (size,)."""
    subset = design.dataset.train_subset
    per_block = subset.resample == "per_block"
    streams = (
        block_streams(design.study_seed, block) if per_block else study_streams(design.study_seed)
    )
    rows = streams.numpy(Purpose.SUBSET).permutation(len(data.pool.labels))[: subset.size]
    return np.sort(rows)
