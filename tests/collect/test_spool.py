import numpy as np
import polars as pl
import pytest
from synthetic import environment

from collect.spool import Spool
from store.frames import PREDICTION, SHARD_FRAMES
from store.shard import content_hash, write_shard
from store.table_files import Parts, read_rows


def _rows(model_id: int, images: list[int], view: str = "clean") -> pl.DataFrame:
    generator = np.random.default_rng([model_id, *images])
    logits = generator.normal(size=(len(images), 3)).astype(np.float32)
    return pl.DataFrame(
        {
            "model_id": [model_id] * len(images),
            "view": [view] * len(images),
            "image_id": images,
            "predicted": [None if image % 4 == 0 else image % 3 for image in images],
            "logits": pl.Series(logits).arr.to_list(),
        },
        schema=PREDICTION.schema,
    )


BATCHES = {
    3: [_rows(3, [1, 2, 5]), _rows(3, [6, 9])],
    # as a view of which training and test images' ids lie between each other
    7: [_rows(7, [2, 8]), _rows(7, [4, 6]), _rows(7, [1], "graded-0.5")],
}

SIZES = [sum(int(batch.estimated_size()) for batch in batches) for batches in BATCHES.values()]
SMALLEST, LARGEST, TOGETHER = min(SIZES), max(SIZES), sum(SIZES)


def _spooled(folder, *, held_bytes: int = 0) -> pl.DataFrame | Parts:
    spool = Spool(folder, PREDICTION, held_bytes=held_bytes)
    for batches in BATCHES.values():
        rows = spool.model()
        for batch in batches:
            rows.add(batch)
        rows.close()
    return spool.table()


def _parts(folder, *, held_bytes: int = 0) -> Parts:
    found = _spooled(folder, held_bytes=held_bytes)
    assert isinstance(found, Parts)
    return found


def _whole() -> pl.DataFrame:
    return pl.concat([batch for batches in BATCHES.values() for batch in batches])


# bytes kept in memory: none; one model's rows but not the other's; of both, which then go together
@pytest.mark.parametrize(
    ("held", "files"), [(0, 2), (SMALLEST, 2), (LARGEST, 1), (TOGETHER - 1, 1)]
)
def test_parts_hold_what_came_in_batches_in_the_order_of_the_key(tmp_path, held, files):
    parts = _parts(tmp_path / "spool", held_bytes=held)
    found = [read_rows(parts.frame, file) for file in parts.files]
    assert pl.concat(found).equals(_whole().sort(PREDICTION.key))
    assert all(part.schema == PREDICTION.schema for part in found)
    assert len(found) == files


def test_few_rows_touch_no_disk(tmp_path):
    found = _spooled(tmp_path / "spool", held_bytes=TOGETHER)
    assert isinstance(found, pl.DataFrame)
    assert found.sort(PREDICTION.key).equals(_whole().sort(PREDICTION.key))
    assert not list((tmp_path / "spool").iterdir())


def test_no_model_gives_an_empty_table(tmp_path):
    assert (
        Spool(tmp_path / "spool", PREDICTION).table().equals(pl.DataFrame(schema=PREDICTION.schema))
    )


def _write(folder, prediction: pl.DataFrame | Parts):
    folder.mkdir()
    empty = {frame.name: pl.DataFrame(schema=frame.schema) for frame in SHARD_FRAMES}
    return write_shard(
        folder,
        study="tiny",
        block=0,
        key="0" * 16,
        protocol=1,
        images="images.parquet",
        tables={**empty, "prediction": prediction},
        environment=environment(0),
    )


def test_a_table_in_parts_is_written_and_hashed_as_the_whole_table_is(tmp_path):
    parted = _write(tmp_path / "a", _parts(tmp_path / "spool"))
    whole = _write(tmp_path / "b", _whole())
    assert parted.content == whole.content
    record = parted.files["prediction"]
    assert record.content == content_hash(PREDICTION, _whole())
    assert record.rows == 10
    (file,) = (tmp_path / "a").glob("*/prediction.parquet")
    assert read_rows(PREDICTION, file).equals(_whole().sort(PREDICTION.key))


def test_no_parts_are_an_empty_table(tmp_path):
    empty = _write(tmp_path / "a", Parts(PREDICTION, ()))
    assert empty.files["prediction"].rows == 0
    whole = pl.DataFrame(schema=PREDICTION.schema)
    assert empty.content == _write(tmp_path / "b", whole).content


def test_parts_out_of_order_or_with_rows_twice_are_refused(tmp_path):
    first, second = _parts(tmp_path / "spool").files
    with pytest.raises(ValueError, match="is not in the order of the key"):
        _write(tmp_path / "a", Parts(PREDICTION, (second, first)))
    with pytest.raises(ValueError, match="is not in the order of the key"):
        _write(tmp_path / "b", Parts(PREDICTION, (first, first)))


def test_what_an_interrupted_observation_left_is_thrown_away(tmp_path):
    (tmp_path / "spool").mkdir()
    (tmp_path / "spool/00000003.parquet").write_bytes(b"half a file")
    assert len(_parts(tmp_path / "spool").files) == 2
    assert len(list((tmp_path / "spool").iterdir())) == 2
