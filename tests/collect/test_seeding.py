import numpy as np
import torch

from collect.seeding import Purpose, Streams, block_streams, model_streams, study_streams
from store.vocabulary import Role


def _first(streams: Streams, purpose: Purpose, *index: int) -> float:
    return float(streams.numpy(purpose, *index).random())


def test_the_same_stream_starts_at_the_same_place_every_time():
    streams = model_streams(7, 3, Role.TEACHER, 1)
    assert _first(streams, Purpose.DATA_ORDER, 4) == _first(streams, Purpose.DATA_ORDER, 4)
    drawn = [torch.rand(3, generator=streams.torch(Purpose.INITIALIZATION)) for _ in range(2)]
    assert torch.equal(*drawn)


def test_streams_differ_by_seed_block_role_slot_purpose_and_epoch():
    values = [
        _first(model_streams(seed, block, role, slot), purpose, epoch)
        for seed in (1, 2)
        for block in (0, 1)
        for role in Role
        for slot in (0, 1)
        for purpose in Purpose
        for epoch in (0, 1)
    ]
    values += [_first(study_streams(1), purpose) for purpose in Purpose]
    values += [_first(block_streams(1, 0), purpose) for purpose in Purpose]
    assert len(set(values)) == len(values)


def test_streams_are_numpys_seed_sequences():
    expected = np.random.Generator(
        np.random.PCG64(np.random.SeedSequence(9, spawn_key=(3, 2, 0, int(Purpose.SUBSET))))
    )
    streams = model_streams(9, 2, Role.STUDENT, 0)
    assert streams.numpy(Purpose.SUBSET).random() == expected.random()
