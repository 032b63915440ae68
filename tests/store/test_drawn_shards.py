"""Shards drawn for the store's benchmark: a store builds from them, of numbers as they were said.

See ``benchmarks.store`` for what is said of them.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from synthetic import make_study

from benchmarks import drawn_shards
from benchmarks.drawn_shards import CLASSES, GRID, POOL, Real, entropy, read_real
from store.builder import build
from store.database import open_reader
from store.design import Design
from store.doctor import examine
from store.frames import ATTENTION, PREDICTION
from store.shard import read_table, shard_name
from store.vocabulary import CLEAN_VIEW

FEW = {"TEST_IMAGES": 60, "TRAIN_IMAGES": 10}
RAISED = 9
"""By so much is the label's logit higher."""


@dataclass(frozen=True)
class Stored:
    """One block of few images. told: entropies of logits and of maps, in bits per number."""

    design: Design
    shards: Path
    store: Path
    told: tuple[float, ...]

    def frame(self, sql: str) -> pl.DataFrame:
        with open_reader(self.store) as reader:
            return reader.frame(sql)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shards that stand for a trained study's."""
    folder = tmp_path_factory.mktemp("source")
    return make_study(folder, seeds=2, strengths=(0,), built=False).shards


@pytest.fixture(scope="module")
def real(source: Path) -> Real:
    return read_real(source)


@pytest.fixture(scope="module")
def stored(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Stored:
    folder = tmp_path_factory.mktemp("drawn")
    with pytest.MonkeyPatch.context() as patch:
        for name, images in FEW.items():
            patch.setattr(drawn_shards, name, images)
        told = drawn_shards.write_shards(folder, source, 1)
        design = drawn_shards.study(1, logits="float32")
    shards, store = folder / "shards", folder / "store.duckdb"
    members = [shards / shard_name(0, design.shard_key(0))]
    build(store, design=design, shards=shards, members=members)
    return Stored(design, shards, store, told)


@pytest.fixture(scope="module")
def answers(stored: Stored) -> pl.DataFrame:
    return stored.frame(
        "SELECT model_id, view, split, image_id, label, predicted, logits "
        "FROM prediction JOIN image USING (image_id) ORDER BY model_id, view, split, image_id"
    )


@pytest.fixture(scope="module")
def lowered(answers: pl.DataFrame) -> np.ndarray:
    """Logits without what the labels' are raised by, a row for each of the answers."""
    logits = np.stack(answers["logits"].to_list())
    logits[np.arange(len(logits)), answers["label"].to_numpy()] -= RAISED
    return logits


@pytest.fixture(scope="module")
def maps(stored: Stored) -> np.ndarray:
    return np.stack(stored.frame("SELECT map FROM attention")["map"].to_list())


def test_what_is_drawn_from_are_the_trained_studys_numbers(source: Path, real: Real):
    blocks = sorted(source.glob("block-*"))
    logits = pl.concat(read_table(b, PREDICTION) for b in blocks)["logits"]
    kept = pl.concat(read_table(b, ATTENTION) for b in blocks)["map"].drop_nulls()
    assert real.logits.shape == (POOL,)
    assert np.isin(real.logits, logits.explode().to_numpy()).all()
    assert real.maps.dtype == np.uint8
    assert sorted(map(bytes, real.maps)) == sorted(map(bytes, kept.to_list()))


def test_a_sound_store_builds_from_drawn_shards(stored: Stored, answers: pl.DataFrame):
    assert examine(stored.store, stored.shards) == []
    models = stored.design.plan().size
    clean = answers.filter(pl.col("view") == CLEAN_VIEW)
    rows = clean.group_by("split").len().sort("split")
    assert rows.rows() == [
        ("test", models * FEW["TEST_IMAGES"]),
        ("train", models * FEW["TRAIN_IMAGES"]),
    ]


def test_every_view_of_a_test_image_has_a_map_of_the_published_method(
    stored: Stored, answers: pl.DataFrame
):
    keys = ["model_id", "view", "image_id"]
    shown = answers.filter(pl.col("split") == "test").select(keys)
    mapped = stored.frame("SELECT model_id, view, image_id, method FROM attention")
    attention = stored.design.attention
    published = mapped.filter(pl.col("method") == attention.published).select(keys)
    assert published.sort(keys).equals(shown.sort(keys))
    others = mapped.filter(pl.col("method") != attention.published)
    assert set(others["view"]) == {CLEAN_VIEW}
    assert others.height == stored.design.plan().size * FEW["TEST_IMAGES"]


def test_drawn_logits_spread_and_reach_as_real_ones_do(real: Real, lowered: np.ndarray):
    assert lowered.shape[1] == CLASSES
    # the sum of two independent ones over the root of two
    root = 2**0.5
    spread = real.logits.std()
    assert lowered.mean() == pytest.approx(root * real.logits.mean(), abs=0.02 * spread)
    assert lowered.std() == pytest.approx(spread, rel=0.02)
    assert lowered.min() >= root * real.logits.min() - 1e-4
    assert lowered.max() <= root * real.logits.max() + 1e-4


def test_two_models_share_half_of_what_they_say_of_an_image(
    answers: pl.DataFrame, lowered: np.ndarray
):
    clean = (answers["view"] == CLEAN_VIEW) & (answers["split"] == "test")
    models = answers["model_id"].to_numpy()
    one, other = (lowered[clean.to_numpy() & (models == model)] for model in (0, 1))
    assert np.corrcoef(one.ravel(), other.ravel())[0, 1] == pytest.approx(0.5, abs=0.03)
    assert np.corrcoef(one[1:].ravel(), other[:-1].ravel())[0, 1] == pytest.approx(0, abs=0.03)


def test_drawn_answers_are_mostly_right(real: Real, answers: pl.DataFrame, lowered: np.ndarray):
    of_labels = lowered[np.arange(len(lowered)), answers["label"].to_numpy()]
    assert of_labels.mean() == pytest.approx(2**0.5 * real.logits.mean(), abs=0.3)
    logits = np.stack(answers["logits"].to_list())
    assert (answers["predicted"].to_numpy() == logits.argmax(axis=1)).all()
    right = answers["predicted"].to_numpy() == answers["label"].to_numpy()
    assert right.mean() > 0.9


def test_a_drawn_map_is_a_real_one_whole(real: Real, maps: np.ndarray):
    assert maps.shape[1] == GRID * GRID
    assert (maps.min(axis=1) == 0).all()
    assert (maps.max(axis=1) == 255).all()
    known, drawn = ({bytes(row.astype(np.uint8)) for row in rows} for rows in (real.maps, maps))
    assert drawn <= known
    # of so many draws with replacement, nearly every map's turn comes
    assert len(drawn) > 0.9 * len(known)


def test_entropies_are_told_in_bits_per_number(stored: Stored, real: Real):
    assert entropy(np.arange(256)) == pytest.approx(8)
    assert entropy(np.array([3, 3, 7, 7])) == pytest.approx(1)
    of_logits, of_maps = stored.told
    assert of_maps == pytest.approx(entropy(real.maps.ravel()), abs=0.05)
    # a half's low bits are as random as real ones: nearly all of the low byte's eight
    assert 10 < of_logits <= 16
