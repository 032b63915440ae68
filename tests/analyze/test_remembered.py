"""Is nothing remembered that was made from something else?"""

from pathlib import Path

import polars as pl
import pytest
from synthetic import make_study

from analyze import remembered
from analyze.remembered import BlockMemory, Measured, Remembered, code_hash
from store.database import open_reader

SCHEMA = pl.Schema({"student_id": pl.Int32, "value": pl.Float64})


class _Maker:
    """Makes rows, and counts how often."""

    def __init__(self, value: float | None = 0.1) -> None:
        self.made = 0
        self._value = value

    def __call__(self) -> pl.DataFrame:
        self.made += 1
        rows = [(1, self._value), (2, float("nan")), (3, None)]
        return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def _remembered(path: Path, **follows_from: object) -> Remembered:
    return Remembered(path, SCHEMA, follows_from)


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    path = tmp_path / "measured/kind.parquet"
    first = _remembered(path, tau=0.4)
    first.rows("a", _Maker())
    first.rows("b", _Maker())
    first.keep()
    return path


def test_rows_come_back_as_they_were_made(kept: Path):
    maker = _Maker()
    again = _remembered(kept, tau=0.4).rows("a", maker)
    assert maker.made == 0
    assert again.equals(_Maker()(), null_equal=True)


@pytest.mark.parametrize("content", ["a", "c"])
def test_other_shards_and_other_declarations_are_made_anew(kept: Path, content: str):
    maker = _Maker()
    _remembered(kept, tau=0.4 if content == "c" else 0.5).rows(content, maker)
    assert maker.made == 1


def test_other_code_makes_anew(kept: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(remembered, "code_hash", lambda: "other")
    maker = _Maker()
    _remembered(kept, tau=0.4).rows("a", maker)
    assert maker.made == 1


def test_the_code_is_every_file_that_measures_come_from(tmp_path, monkeypatch):
    for name in ("analyze/metrics/attention.py", "store/sql/measures.sql"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("as it was")
    monkeypatch.setattr(remembered, "__file__", str(tmp_path / "analyze/remembered.py"))
    hashes = set()
    for name in ("analyze/metrics/attention.py", "store/sql/measures.sql"):
        code_hash.cache_clear()
        hashes.add(code_hash())
        (tmp_path / name).write_text("changed")
    code_hash.cache_clear()
    hashes.add(code_hash())
    code_hash.cache_clear()
    assert len(hashes) == 3


def test_what_nobody_asked_for_is_forgotten(kept: Path):
    later = _remembered(kept, tau=0.4)
    later.rows("b", _Maker())
    later.keep()
    maker = _Maker()
    _remembered(kept, tau=0.4).rows("a", maker)
    assert maker.made == 1


def test_rows_of_another_schema_are_made_anew(kept: Path):
    pl.DataFrame({"made_from": ["x"], "value": ["text"]}).write_parquet(kept)
    maker = _Maker()
    _remembered(kept, tau=0.4).rows("a", maker)
    assert maker.made == 1


def test_draws_of_images_are_remembered_for_the_arms_they_are_of(tmp_path: Path):
    study = make_study(tmp_path, seeds=1, strengths=(0, 1), test_images=20)
    schema = pl.Schema({"block": pl.Int64})
    rows = pl.DataFrame({"block": [0]}, schema=schema)
    with open_reader(study.store) as reader:

        def memory(*arms: str, seed: int = 1) -> tuple[Measured, BlockMemory]:
            measured = Measured(tmp_path / "measured", reader, study.design)
            asked = {"study_seed": seed, "arms": arms, "measures": ["agreement"]}
            return measured, measured.image_draws(schema, **asked)

        measured, made = memory("fixed")
        assert not made.has(0)
        assert made.rows(0, lambda: rows).equals(rows)
        measured.keep()
        assert memory("fixed")[1].has(0)
        assert not memory("fixed", "matched")[1].has(0)
        assert not memory("fixed", seed=2)[1].has(0)
