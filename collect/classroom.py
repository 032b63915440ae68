"""Training of one block's models: who learns with whom, what is kept, what is done in need."""

import copy
import logging
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, TypeVar

import torch

from collect import checkpoint
from collect.checkpoint import Record
from collect.classifier import Classifier
from collect.engine import Runtime
from collect.environment import fingerprint
from collect.lease import Leases, always
from collect.memory import is_out_of_memory, release_memory
from collect.models import build, frozen
from collect.pretrained import CHANNELS, begin_with, read_weights
from collect.seeding import Purpose, Streams, model_streams, pool_teacher_streams
from collect.train import Trainee, TrainingSet, cross_entropy, distilled_from, train
from collect.turns import Task, in_turn
from store.atomic import write_text
from store.design import Design
from store.networks import Network
from store.plan import Student, Teacher
from store.training import Recipe
from store.vocabulary import Role

_log = logging.getLogger(__name__)

_SAVE_SECONDS: Final = 60.0
"""At most so much training is lost when a process is stopped, and one epoch."""

Learner = Teacher | Student
_T = TypeVar("_T")


@dataclass(slots=True)
class Member:
    """A model of the block and how its training ended."""

    plan: Learner
    model: Classifier
    record: Record


class Classroom:
    """Trains one block's models; those that share a view learn in lockstep.

    Teachers come first. Students of one strength see the same images in the same order, and
    are taught together: each teacher answers a batch once. Finished models, and how far the
    others have come, are kept in ``scratch``. Teachers that blocks share are kept in ``pools``
    too: whoever comes first trains them, on ``teachers_data``; with ``leases`` the others wait
    for that. finished: called with a model's ordinal when it is trained or found trained.
    may_go_on: called before every step; what it raises ends the training.
    """

    def __init__(
        self,
        design: Design,
        block: int,
        *,
        data: TrainingSet,
        teachers_data: TrainingSet,
        classes: int,
        runtime: Runtime,
        scratch: Path,
        pools: Path,
        finished: Callable[[int], None],
        may_go_on: Callable[[], None] = always,
        leases: Leases | None = None,
    ) -> None:
        self._design = design
        self._block = block
        self._data = data
        self._teachers_data = teachers_data
        self._pool = design.pool_of(block)
        self._classes = classes
        self._runtime = runtime
        self._scratch = scratch
        self._pools = pools
        self._finished = finished
        self._may_go_on = may_go_on
        self._leases = leases
        self._frozen: dict[int, Classifier] = {}
        # now, so that what is not there is said before anything is trained
        for network in design.own_training.networks.by_role().values():
            read_weights(network)

    def train(self) -> dict[int, Member]:
        """Train what is not trained yet; return every model by its ordinal, in order."""
        self._keep_to_one_engine()
        plan = self._design.plan()
        members = self._trained_teachers(
            _alike(plan.teachers, lambda teacher: (teacher.slot, teacher.strength))
        )
        # two arms may ask for the same student of the same teachers: it is trained once
        twins = _alike(plan.students, lambda student: (student.teachers, student.strength))
        first = [group[0] for group in twins]
        for group in _alike(first, lambda student: student.strength):
            members |= self._taught(group, members)
        self._frozen.clear()
        for original, *others in twins:
            for twin in others:
                found = members[original.ordinal]
                members[twin.ordinal] = Member(twin, found.model, found.record)
                self._finished(twin.ordinal)
        return dict(sorted(members.items()))

    def _trained_teachers(self, groups: list[list[Teacher]]) -> dict[int, Member]:
        """Train the teachers; of shared ones first those that no other process trains."""
        members: dict[int, Member] = {}
        groups = self._rotated(groups)
        if self._pool is None or self._leases is None:
            for group in groups:
                members |= self._taught(group, {})
            return members
        tasks = [self._shared_task(group) for group in groups]
        for found in in_turn(tasks, self._leases, while_waiting=self._may_go_on):
            members |= found
        return members

    def _shared_task(self, group: list[Teacher]) -> Task[dict[int, Member]]:
        path = self._path(group[0])

        def found() -> dict[int, Member] | None:
            there = all(self._path(teacher).exists() for teacher in group)
            return self._taught(group, {}) if there else None

        return Task(
            name=f"pool-{path.parent.name}-{path.stem}",
            words=f"shared teacher {path.parent.name}/{path.stem}",
            block=self._block,
            found=found,
            # under the block's lease; to lose this one costs nothing but time
            work=lambda _: self._taught(group, {}),
        )

    def _rotated(self, groups: list[list[Teacher]]) -> list[list[Teacher]]:
        """Let blocks of one pool begin at different teachers: so they share the work of them all.

        No bit depends on the order.
        """
        shared = self._design.shared_teachers
        if shared is None:
            return groups
        first = self._block // shared.pools % len(groups)
        return [*groups[first:], *groups[:first]]

    def _keep_to_one_engine(self) -> None:
        """Forget what another engine trained: within a block, rounding must not differ."""
        path, own = self._scratch / "engine.json", fingerprint(self._runtime)
        begun = path.read_text(encoding="utf-8", errors="replace") if path.exists() else own
        if begun != own:
            _log.warning(
                "block %d was begun by another engine, %s; this is %s. Its models are trained "
                "again",
                self._block,
                begun,
                own,
            )
            shutil.rmtree(self._scratch)
        self._scratch.mkdir(parents=True, exist_ok=True)
        write_text(path, own)

    def _taught(
        self, group: Sequence[Learner], teachers: Mapping[int, Member]
    ) -> dict[int, Member]:
        """Train a group of models that share a view, as many at once as memory allows."""
        members: dict[int, Member] = {}
        waiting: list[Learner] = []
        for learner in group:
            found = self._found(learner, teachers)
            if found is None:
                waiting.append(learner)
            else:
                members[learner.ordinal] = found
                self._finished(learner.ordinal)
        limits = self._runtime.limits
        while waiting:
            self._may_go_on()
            chunk = waiting[: limits.together]
            try:
                members |= self._in_lockstep(chunk, teachers)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
            else:
                waiting = waiting[len(chunk) :]
                continue
            # outside of the handler, which keeps alive what the failed attempt had allocated
            self._frozen.clear()
            release_memory(self._runtime.device)
            limits.lower_together(len(chunk))
        return members

    def _found(self, learner: Learner, teachers: Mapping[int, Member]) -> Member | None:
        """Return a model that is trained already, or cannot be; None where it is to be trained."""
        path = self._path(learner)
        failed = [t for t in _teachers_of(learner) if teachers[t].record.failure]
        if not (path.exists() or failed):
            return None
        model = self._built(learner)
        record = checkpoint.load(path, model)
        if record is None and failed:
            record = Record(
                failure=f"its teacher {failed[0]} failed",
                seconds=0.0,
                finished_at=datetime.now(UTC),
                epochs=(),
            )
            checkpoint.save(path, model, record)
        return None if record is None else Member(learner, model, record)

    def _in_lockstep(
        self, chunk: Sequence[Learner], teachers: Mapping[int, Member]
    ) -> dict[int, Member]:
        recipe = self._recipe(chunk[0])
        answering = self._answering(chunk, teachers)
        trainees = {learner.ordinal: self._trainee(learner, recipe) for learner in chunk}
        kept = self._scratch / f"unfinished-{chunk[0].ordinal:03d}.safetensors"
        before = checkpoint.load_unfinished(kept, trainees, teachers=answering)
        started = saved = time.perf_counter()

        def keep() -> None:
            nonlocal saved
            now = time.perf_counter()
            if now - saved >= _SAVE_SECONDS:
                checkpoint.save_unfinished(
                    kept, trainees, before + now - started, teachers=answering
                )
                saved = now

        train(
            list(trainees.values()),
            self._teachers_data if isinstance(chunk[0], Teacher) else self._data,
            recipe=recipe,
            policy=self._design.augmentation,
            strength=chunk[0].strength,
            streams=self._streams(chunk[0]),
            runtime=self._runtime,
            teachers=answering,
            before_step=self._may_go_on,
            after_epoch=keep,
        )
        share = (before + time.perf_counter() - started) / len(chunk)
        members: dict[int, Member] = {}
        for learner in chunk:
            trainee = trainees[learner.ordinal]
            record = Record(
                failure=trainee.failure,
                seconds=share,
                finished_at=datetime.now(UTC),
                epochs=tuple(trainee.epochs),
            )
            record = self._kept(learner, trainee.model, record)
            members[learner.ordinal] = Member(learner, trainee.model, record)
            self._finished(learner.ordinal)
        kept.unlink(missing_ok=True)
        return members

    def _kept(self, learner: Learner, model: Classifier, record: Record) -> Record:
        """Keep a finished model; of a shared teacher, the one that stood there first holds."""
        if self._pool is not None and isinstance(learner, Teacher):
            return checkpoint.publish(self._path(learner), model, record)
        checkpoint.save(self._path(learner), model, record)
        return record

    def _answering(
        self, chunk: Sequence[Learner], teachers: Mapping[int, Member]
    ) -> dict[int, Classifier]:
        """Copy the teachers of some students, as they answer; the trained ones stay as they are.

        Those that taught the students before stay the same copies. In train mode their statistics
        move while they teach, and start as trained in every group: so a student's bits do not
        depend on who learns beside it.
        """
        asked = sorted({ordinal for learner in chunk for ordinal in _teachers_of(learner)})
        if self._design.distillation.teacher_mode == "train":
            return {ordinal: copy.deepcopy(teachers[ordinal].model).train() for ordinal in asked}
        # others are let go first: no more copies are held than are asked for
        self._frozen = {
            ordinal: model for ordinal, model in self._frozen.items() if ordinal in asked
        }
        for ordinal in asked:
            if ordinal not in self._frozen:
                self._frozen[ordinal] = frozen(teachers[ordinal].model)
        return {ordinal: self._frozen[ordinal] for ordinal in asked}

    def _trainee(self, learner: Learner, recipe: Recipe) -> Trainee:
        teachers = _teachers_of(learner)
        loss = distilled_from(teachers, self._design.distillation) if teachers else cross_entropy
        return Trainee(self._built(learner), recipe, loss=loss, teachers=teachers)

    def _built(self, learner: Learner) -> Classifier:
        """Make a learner's network as it is before its first step, on the device."""
        network = self._network(learner)
        weights = read_weights(network)
        _, channels, side, _ = self._data.pixels.shape
        model = build(
            network,
            channels=channels if weights is None else CHANNELS,
            side=side,
            classes=self._classes,
            generator=self._streams(learner).torch(Purpose.INITIALIZATION),
        )
        if weights is not None:
            mean, std = self._runtime.mean.flatten(), self._runtime.std.flatten()
            begin_with(model, weights, mean=mean, std=std)
        model = model.to(self._runtime.device)
        return model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]

    def _streams(self, learner: Learner) -> Streams:
        seed = self._design.study_seed
        if isinstance(learner, Teacher):
            if self._pool is not None:
                return pool_teacher_streams(seed, self._pool, learner.slot)
            return model_streams(seed, self._block, Role.TEACHER, learner.slot)
        return model_streams(seed, self._block, Role.STUDENT, 0)

    def _network(self, learner: Learner) -> Network:
        networks = self._design.own_training.networks
        return networks.teacher if isinstance(learner, Teacher) else networks.student

    def _recipe(self, learner: Learner) -> Recipe:
        recipes = self._design.own_training.training
        return recipes.teacher if isinstance(learner, Teacher) else recipes.student

    def _path(self, learner: Learner) -> Path:
        if self._pool is not None and isinstance(learner, Teacher):
            key = self._design.teachers_key(self._pool, fingerprint(self._runtime))
            name = f"slot-{learner.slot}-strength-{learner.strength!r}.safetensors"
            return self._pools / f"{self._pool:05d}-{key}" / name
        return self._scratch / f"model-{learner.ordinal:03d}.safetensors"


def _teachers_of(learner: Learner) -> tuple[int, ...]:
    return learner.teachers if isinstance(learner, Student) else ()


def _alike(values: Sequence[_T], key: Callable[[_T], object]) -> list[list[_T]]:
    """Group values by a key, groups and members in the order of their first."""
    groups: dict[object, list[_T]] = {}
    for value in values:
        groups.setdefault(key(value), []).append(value)
    return list(groups.values())
