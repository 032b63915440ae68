"""One seed block: its teachers, the students distilled from them, what they all say."""

import shutil
import uuid
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from collect import checkpoint
from collect.classroom import Classroom, Member
from collect.datasets import Data
from collect.engine import Runtime
from collect.lease import Leases, always
from collect.long_tail import long_tailed_rows
from collect.models import parameter_count
from collect.observe import View, Views, observe, views_shown
from collect.pretrained import read_weights
from collect.seeding import Purpose, Streams, block_streams, pool_streams, study_streams
from collect.similarity import cka
from collect.spool import Spool
from collect.train import TrainingSet
from store.design import Design
from store.frames import ATTENTION, EPOCH, MODEL, MODEL_PAIR, PREDICTION
from store.images import ForeignData, OwnImages, drawn_per_block
from store.networks import Network
from store.plan import BlockPlan, Student, Teacher, model_id, planned_row
from store.table_files import Parts
from store.vocabulary import Split, Status


class Block:
    """Trains and observes one block; what is trained is kept in ``scratch`` until it is whole.

    pools: where teachers that blocks share are kept for other blocks; by default nobody else
    finds them. finished: called with a model's ordinal when it is trained or found trained.
    may_go_on: called before every step and every pass; what it raises ends the work there. leases:
    keep other processes from training a shared teacher at the same time.
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
        pools: Path | None = None,
        may_go_on: Callable[[], None] = always,
        leases: Leases | None = None,
    ) -> None:
        self._design = design
        self._block = block
        self._runtime = runtime
        self._scratch = scratch
        self._may_go_on = may_go_on
        subset, teachers = (of(design, data, block) for of in (training_subset, teachers_subset))
        self._views = Views(design, data, subset, runtime)
        self._teachers_views = (
            self._views
            if np.array_equal(subset, teachers)
            else Views(design, data, teachers, runtime)
        )
        self._classroom = Classroom(
            design,
            block,
            data=_training_set(self._views),
            teachers_data=_training_set(self._teachers_views),
            classes=len(data.class_names),
            runtime=runtime,
            scratch=scratch,
            pools=pools or scratch / "pools",
            finished=finished,
            may_go_on=may_go_on,
            leases=leases,
        )

    def collect(self) -> dict[str, pl.DataFrame | Parts]:
        """Train what is not trained yet, observe every model, return the shard's tables.

        Those in parts lie in ``scratch``.
        """
        return self._tables(self._design.plan(), self._classroom.train())

    def _tables(
        self, plan: BlockPlan, members: dict[int, Member]
    ) -> dict[str, pl.DataFrame | Parts]:
        # in a folder of its own: a process that was suspended, and has lost its block meanwhile,
        # cannot write into another one's
        observed = self._scratch / "observed"
        shutil.rmtree(observed, ignore_errors=True)
        own = observed / uuid.uuid4().hex
        prediction = Spool(own / PREDICTION.name, PREDICTION)
        attention = Spool(own / ATTENTION.name, ATTENTION)
        features = {
            ordinal: observe(
                member.model,
                self._id(ordinal),
                self._seen(member.plan),
                methods=self._design.attention.kept,
                published=self._design.attention.published,
                runtime=self._runtime,
                prediction=prediction,
                attention=attention,
                may_go_on=self._may_go_on,
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
            PREDICTION.name: prediction.table(),
            ATTENTION.name: attention.table(),
            EPOCH.name: pl.DataFrame(
                [
                    {"model_id": self._id(ordinal), **row}
                    for ordinal, member in members.items()
                    for row in checkpoint.epoch_values(member.record)
                ],
                schema=EPOCH.schema,
            ),
        }

    def _seen(self, model: Teacher | Student) -> list[View]:
        """Return the views that a model is shown, of the images that it was trained on."""
        views = self._teachers_views if isinstance(model, Teacher) else self._views
        return [views.view(*shown) for shown in views_shown(self._design, model)]

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
    """Rows of the pool of images that a block's students train on, ascending, shape (size,).

    The long tail is drawn first, then a subset of it.
    """
    if drawn_per_block(_trained(design)):
        return _subset(design, data, block_streams(design.study_seed, block))
    return _subset(design, data, study_streams(design.study_seed))


def teachers_subset(design: Design, data: Data, block: int) -> NDArray[np.int64]:
    """Rows that a block's teachers train on: the students', or their own where they are shared."""
    pool = design.pool_of(block)
    if pool is None or not drawn_per_block(_trained(design)):
        return training_subset(design, data, block)
    return _subset(design, data, pool_streams(design.study_seed, pool))


def _subset(design: Design, data: Data, streams: Streams) -> NDArray[np.int64]:
    dataset = _trained(design)
    rows = np.arange(len(data.pool.labels))
    if dataset.imbalance is not None and drawn_per_block(dataset):
        # one that all blocks share is the pool itself
        rows = long_tailed_rows(
            data.pool.labels,
            len(data.class_names),
            dataset.imbalance,
            streams.numpy(Purpose.LONG_TAIL),
        )
    if dataset.train_subset is None:
        return rows
    order = streams.numpy(Purpose.SUBSET).permutation(len(rows))[: dataset.train_subset.size]
    return np.sort(rows[order])


def _trained(design: Design) -> OwnImages:
    """Return the declaration of the images; a study that trains has its own."""
    dataset = design.dataset
    assert not isinstance(dataset, ForeignData)
    return dataset


def _training_set(views: Views) -> TrainingSet:
    return TrainingSet(*views.pixels(Split.TRAIN), *views.pixels(Split.TEST))
