"""The order of a table's key, and rows that repeat it."""

import random

import polars as pl
import pytest

from store.frames import MODEL_PAIR


def pairs(keys: list[tuple[int | None, int | None]]) -> pl.DataFrame:
    rows = [(a, b, "teacher_teacher", None) for a, b in keys]
    return pl.DataFrame(rows, MODEL_PAIR.schema, orient="row")


IN_ORDER = [(0, 1), (0, 2), (1, 0), (1, 2), (3, 1)]


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        (IN_ORDER, True),
        (IN_ORDER[:1], True),
        ([], True),
        ([(0, 1), (0, 1)], False),
        ([(0, 2), (0, 1)], False),
        ([(1, 0), (0, 1)], False),
        ([(0, 1), (None, 2)], False),
        ([(0, 1), (0, None), (0, 2)], False),
    ],
)
def test_whether_rows_stand_in_order(keys: list[tuple[int | None, int | None]], expected: bool):
    assert MODEL_PAIR.is_in_order(pairs(keys)) is expected


def test_rows_come_in_order_however_they_stood():
    ordered = pairs(IN_ORDER)
    for seed in range(20):
        keys = random.Random(seed).sample(IN_ORDER, k=len(IN_ORDER))
        assert MODEL_PAIR.in_order(pairs(keys)).equals(ordered)


@pytest.mark.parametrize("keys", [[(0, 1), (0, 1)], [(1, 2), (0, 1), (1, 2)]])
def test_a_key_that_repeats_is_refused(keys: list[tuple[int, int]]):
    with pytest.raises(ValueError, match=r"model_pair: rows repeat the key \(model_a, model_b\)"):
        MODEL_PAIR.check(pairs(keys))
    assert MODEL_PAIR.check(pairs(IN_ORDER[::-1])).height == len(IN_ORDER)
