"""Numbers packed several to a word: NumPy packs, SQL packs, SQL takes apart, and all agree."""

from collections.abc import Iterator

import duckdb
import numpy as np
import pytest
from numpy.typing import NDArray

from store.schema import schema
from store.words import packed, to_words, words_of

KINDS = {
    8: (np.uint8, "UTINYINT", "unpacked_bytes"),
    16: (np.uint16, "USMALLINT", "unpacked_halves"),
}
LENGTHS = (1, 3, 4, 5, 7, 8, 9, 10, 49, 64, 100, 1000)


@pytest.fixture(scope="module")
def store() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        for statement in schema().statements:
            connection.execute(statement)
        yield connection


def drawn(bits: int, numbers: int) -> NDArray[np.uint8] | NDArray[np.uint16]:
    rows = np.random.default_rng(numbers).integers(0, 2**bits, (20, numbers))
    rows[0], rows[1] = 0, 2**bits - 1
    return rows.astype(KINDS[bits][0])


@pytest.mark.parametrize("numbers", LENGTHS)
@pytest.mark.parametrize("bits", KINDS)
def test_what_is_packed_is_taken_apart_again(
    store: duckdb.DuckDBPyConnection, bits: int, numbers: int
):
    rows = drawn(bits, numbers)
    _, kind, macro = KINDS[bits]
    words = to_words(rows)
    assert words.shape == (20, words_of(numbers, bits=bits))
    assert words.shape[1] * 64 - numbers * bits < 64
    for row, word in zip(rows.tolist(), words.tolist(), strict=True):
        sql = f"SELECT {packed('list', bits=bits)} FROM (SELECT ?::{kind}[] AS list)"
        assert store.execute(sql, [row]).fetchall() == [(word,)]
        apart = store.execute(f"SELECT {macro}(?::UBIGINT[], ?)", [word, numbers]).fetchall()
        assert apart == [(row,)]


@pytest.mark.parametrize("bits", KINDS)
def test_what_is_not_there_stays_so(store: duckdb.DuckDBPyConnection, bits: int):
    _, kind, macro = KINDS[bits]
    sql = f"SELECT {packed('list', bits=bits)} FROM (SELECT NULL::{kind}[] AS list)"
    assert store.execute(sql).fetchall() == [(None,)]
    assert store.execute(f"SELECT {macro}(NULL::UBIGINT[], NULL)").fetchall() == [(None,)]


def test_no_rows_are_no_words():
    assert to_words(np.zeros((0, 10), dtype=np.uint16)).shape == (0, 3)
    assert to_words(np.zeros((0, 0), dtype=np.uint8)).shape == (0, 0)
