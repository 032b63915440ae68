"""Random streams, one per purpose, derived from the study's seed.

Every stream is numpy's SeedSequence of the study's seed with a spawn key of (block, role,
slot, purpose), so no stream depends on what other streams drew, on the order in which
models are trained, or on how images are batched. Models of one role and slot share their
streams over all conditions of a block (common random numbers): conditions are paired.
"""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import torch

from store.vocabulary import Role


class Purpose(IntEnum):
    """What a stream is for."""

    SUBSET = 0
    INITIALIZATION = 1
    DATA_ORDER = 2
    AUGMENTATION = 3
    TEST_SET = 4
    HALVES = 5
    VIEWS = 6
    OBSERVED = 8
    LONG_TAIL = 9


_ROLES = {Role.TEACHER: 1, Role.STUDENT: 2}
_STUDY = 0
_POOL_TEACHER, _POOL = 3, 4


@dataclass(frozen=True, slots=True)
class Streams:
    """The random streams of one model slot in one block, or of the whole study."""

    study_seed: int
    key: tuple[int, ...]

    def sequence(self, purpose: Purpose, *index: int) -> np.random.SeedSequence:
        """Return the seed of one stream; ``index`` tells epochs or splits apart."""
        return np.random.SeedSequence(self.study_seed, spawn_key=(*self.key, int(purpose), *index))

    def numpy(self, purpose: Purpose, *index: int) -> np.random.Generator:
        """Return a stream's numpy generator, at its start."""
        return np.random.Generator(np.random.PCG64(self.sequence(purpose, *index)))

    def torch(self, purpose: Purpose, *index: int) -> torch.Generator:
        """Return a stream's torch generator on the CPU, at its start."""
        state = int(self.sequence(purpose, *index).generate_state(1, np.uint64)[0])
        return torch.Generator().manual_seed(state)


def study_streams(study_seed: int) -> Streams:
    """Streams that all blocks share: the test set, its halves, the evaluation views."""
    return Streams(study_seed, (_STUDY, 0, 0))


def block_streams(study_seed: int, block: int) -> Streams:
    """Streams of a block as a whole: its training subset."""
    return Streams(study_seed, (1 + block, 0, 0))


def model_streams(study_seed: int, block: int, role: Role, slot: int) -> Streams:
    """Streams of one role and slot of a block, the same over its conditions."""
    return Streams(study_seed, (1 + block, _ROLES[role], slot))


def pool_streams(study_seed: int, pool: int) -> Streams:
    """Streams of a pool of shared teachers as a whole: their training subset."""
    return Streams(study_seed, (1 + pool, _POOL, 0))


def pool_teacher_streams(study_seed: int, pool: int, slot: int) -> Streams:
    """Streams of one slot of a pool of shared teachers, the same over strengths."""
    return Streams(study_seed, (1 + pool, _POOL_TEACHER, slot))
