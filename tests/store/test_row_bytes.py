"""Rows of numbers as shards keep them: the bytes that NumPy would write, and back again."""

import numpy as np
import polars as pl
import pytest

from store.frame import Frame
from store.frames import ATTENTION, EPOCH, PREDICTION
from store.row_bytes import from_bytes, to_bytes
from store.table_files import Parts, in_memory, join, read_rows, write_rows

SPECIAL = np.array([0x80000000, 0x7F800000, 0xFF800000, 0x7FC00001, 0xFFFFFFFF], np.uint32)
"""-0, both infinities, and NaNs that are not the usual one."""


def predictions(rows: int = 7, classes: int = 5) -> pl.DataFrame:
    logits = np.random.default_rng(1).normal(size=(rows, classes)).astype(np.float32)
    logits[0] = np.resize(SPECIAL.view(np.float32), classes)
    return pl.DataFrame(
        {
            "model_id": [1] * rows,
            "view": ["clean"] * rows,
            "image_id": range(rows),
            "predicted": [0] * rows,
            "logits": logits.tolist(),
        },
        PREDICTION.schema,
    ).with_columns(logits=pl.Series(logits).arr.to_list())


def attention(maps: list[list[int] | None]) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "model_id": [1] * len(maps),
            "view": ["clean"] * len(maps),
            "image_id": range(len(maps)),
            "method": ["cam_label"] * len(maps),
            "map": maps,
        },
        ATTENTION.schema,
    )


def bits(rows: pl.DataFrame) -> list[list[int]]:
    return [row.to_numpy().view(np.uint32).tolist() for row in rows["logits"]]


def test_a_row_is_its_numbers_in_order_little_endian():
    rows = predictions()
    kept = to_bytes(PREDICTION, rows)
    assert kept.schema["logits"] == pl.Binary()
    expected = [row.to_numpy().astype("<f4").tobytes() for row in rows["logits"]]
    assert kept["logits"].to_list() == expected
    assert kept.drop("logits").equals(rows.drop("logits"))


def test_bytes_become_the_same_lists_bit_for_bit():
    rows = predictions()
    back = from_bytes(PREDICTION, to_bytes(PREDICTION, rows))
    assert back.schema == rows.schema
    assert bits(back) == bits(rows)
    assert set(SPECIAL.tolist()) <= {bit for row in bits(back) for bit in row}


@pytest.mark.parametrize(
    "maps",
    [
        [[0, 255, 3], [1, 2, 3]],
        [None, [0, 255, 3], None, [7, 8, 9], None],
        [None, None],
        [],
    ],
    ids=["all", "some", "none", "no rows"],
)
def test_maps_that_are_undefined_stay_so(maps: list[list[int] | None]):
    rows = attention(maps)
    kept = to_bytes(ATTENTION, rows)
    assert kept["map"].to_list() == [None if row is None else bytes(row) for row in maps]
    assert kept.schema["map"] == pl.Binary()
    assert from_bytes(ATTENTION, kept).equals(rows)


def test_lists_that_a_file_holds_stay_as_they_are():
    rows = attention([[1, 2], None])
    assert from_bytes(ATTENTION, rows).equals(rows)
    epochs = pl.DataFrame(schema=EPOCH.schema)
    assert to_bytes(EPOCH, epochs).equals(epochs)


@pytest.mark.parametrize("maps", [[[1, 2], [3]], [[], []]], ids=["two lengths", "empty"])
def test_lists_without_one_length_are_refused(maps: list[list[int]]):
    with pytest.raises(ValueError, match=r"attention\.map: rows of \d to \d numbers"):
        to_bytes(ATTENTION, attention(maps))


@pytest.mark.parametrize(
    "kept", [[b"1234", b"12345678"], [b"12345", None], [b""]], ids=["two sizes", "a part", "empty"]
)
def test_bytes_that_are_no_rows_of_numbers_are_refused(kept: list[bytes | None]):
    rows = predictions(len(kept)).with_columns(logits=pl.Series(kept, dtype=pl.Binary()))
    with pytest.raises(ValueError, match=r"prediction\.logits: rows of \d to \d bytes, of 4 a"):
        from_bytes(PREDICTION, rows)


def _parts(frame: Frame, rows: pl.DataFrame, folder) -> Parts:
    files = []
    for number, part in enumerate(rows.iter_slices(2)):
        files.append(folder / f"{number}.parquet")
        write_rows(frame, part, files[-1])
    return Parts(frame, tuple(files))


def test_files_of_parts_are_joined_where_one_has_no_map_at_all(tmp_path):
    rows = attention([[1, 2], [3, 4], None, None, None, [5, 6]])
    parts = _parts(ATTENTION, rows, tmp_path)
    assert in_memory(parts).equals(rows)
    join(ATTENTION, parts.files, tmp_path / "all.parquet")
    assert read_rows(ATTENTION, tmp_path / "all.parquet").equals(rows)
    assert read_rows(ATTENTION, tmp_path / "all.parquet", ["image_id"]).equals(
        rows.select("image_id")
    )
