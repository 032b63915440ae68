"""Logits kept at half precision: exact decoding, bounded change, the same software over both."""

import math
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from synthetic import SyntheticStudy, make_study

from store.builder import build
from store.database import Reader, open_reader
from store.doctor import examine
from store.errors import StoreError
from store.frames import PREDICTION
from store.halves import LARGEST_HALF, RELATIVE_ERROR, SMALLEST_ERROR, stored_as, to_halves
from store.vocabulary import LogitsType
from store.words import to_words

SMALL = {"seeds": 2, "strengths": (0, 1), "test_images": 40, "train_images": 20}
FROM_PREDICTED_OR_MAPS = (
    "test_accuracy",
    "train_accuracy",
    "generalization_gap",
    "mask_area",
    "mask_area_teachers",
    "attention_iou",
    "attention_iou_teacher_student",
    "agreement_teacher_teacher",
    "cka",
    "cka_teacher_student",
    "test_accuracy_teachers",
    "affinity",
    "diversity",
    "test_accuracy_published",
    "train_accuracy_published",
    "generalization_gap_published",
    "attention_iou_published",
    "affinity_published",
)
ANSWERS = "SELECT * FROM image_answer ORDER BY model_id, view, image_id"


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> SyntheticStudy:
    return make_study(tmp_path_factory.mktemp("floats"), **SMALL)


@pytest.fixture(scope="module")
def half_study(tmp_path_factory: pytest.TempPathFactory) -> SyntheticStudy:
    return make_study(tmp_path_factory.mktemp("halves"), **SMALL, logits="float16")


@pytest.fixture(scope="module")
def readers(study: SyntheticStudy, half_study: SyntheticStudy):
    """The same numbers as floats and as halves."""
    with open_reader(study.store) as floats, open_reader(half_study.store) as halves:
        yield floats, halves


@pytest.fixture(scope="module")
def largest_error(readers: tuple[Reader, Reader]) -> float:
    """How far rounding may move any logit of the study."""
    spoken = readers[0].frame("SELECT max(abs(logit)) FROM (SELECT unnest(logits) AS logit "
                              "FROM prediction)").item()  # fmt: skip
    return RELATIVE_ERROR * spoken


def test_every_half_is_decoded_to_the_float_that_it_is(readers: tuple[Reader, Reader]):
    found = readers[0].frame(
        "SELECT half_value(bits::USMALLINT) AS value FROM range(65536) AS all_halves(bits) "
        "ORDER BY bits"
    )["value"]
    assert found.dtype == pl.Float32
    expected = np.arange(65536, dtype=np.uint16).view(np.float16).astype(np.float32)
    nan = np.isnan(expected)
    assert nan.sum() == 2046
    np.testing.assert_array_equal(np.isnan(found.to_numpy()), nan)
    # as bits, so that -0 is not 0
    bits = found.to_numpy().view(np.uint32)
    np.testing.assert_array_equal(bits[~nan], expected.view(np.uint32)[~nan])


def test_rounding_keeps_to_its_bound_and_to_the_order_of_logits():
    generator = np.random.default_rng(3)
    magnitudes = 2.0 ** generator.uniform(-30, 15.9, size=(400, 100))
    logits = (magnitudes * generator.choice([-1, 1], size=(400, 100))).astype(np.float32)
    rounded = to_halves(logits).astype(np.float64)
    bound = np.maximum(RELATIVE_ERROR * np.abs(logits.astype(np.float64)), SMALLEST_ERROR)
    assert (np.abs(rounded - logits) <= bound).all()
    assert (np.abs(rounded - logits) > 0.9 * bound).any()
    order = np.argsort(logits, axis=1)
    assert (np.diff(np.take_along_axis(rounded, order, axis=1), axis=1) >= 0).all()


def test_around_every_half_what_is_stored_and_read_is_the_nearest_one_ties_to_even():
    halves = np.arange(2**16, dtype=np.uint16).view(np.float16).astype(np.float32)
    halves = np.unique(halves[np.isfinite(halves)])
    between = (halves[1:] + halves[:-1]) / 2
    at = np.concatenate([halves, [np.float32(-0.0)], between])
    below, above = (np.nextafter(at, np.float32(end)) for end in (-np.inf, np.inf))
    logits = np.concatenate([below, at, above])
    logits = logits[np.abs(logits) <= LARGEST_HALF]
    logits = np.resize(logits, (-(-len(logits) // 1000), 1000))
    expected = to_halves(logits)
    got = stored_as(LogitsType.FLOAT16, predictions(logits.tolist()))
    words = to_words(expected.view(np.uint16))
    np.testing.assert_array_equal(got.stored["halves"].to_list(), words)
    # as bits, so that -0 is not 0
    read = got.read["logits"].explode().to_numpy().reshape(logits.shape)
    np.testing.assert_array_equal(read.view(np.uint32), expected.astype(np.float32).view(np.uint32))


def test_measures_that_read_no_logit_are_the_same(readers: tuple[Reader, Reader]):
    names = ", ".join(("student_id", "half", *FROM_PREDICTED_OR_MAPS))
    floats, halves = (
        r.frame(f"SELECT {names} FROM measured ORDER BY student_id, half") for r in readers
    )
    assert floats.equals(halves)
    for table in ("model", "model_pair", "attention", "epoch", "confusion"):
        one, other = (r.frame(f"SELECT * FROM {table} ORDER BY ALL") for r in readers)
        assert one.equals(other), table


def test_what_is_said_of_one_image_moves_by_no_more_than_its_bound(
    readers: tuple[Reader, Reader], largest_error: float
):
    floats, halves = (r.frame(ANSWERS) for r in readers)
    moved = {
        name: (floats[name] - halves[name]).abs().max()
        for name in ("confidence", "entropy_nats", "cross_entropy_nats")
    }
    # gradients of softmax, of entropy and of cross-entropy by the logits, times the error
    assert 0 < moved["confidence"] <= largest_error / 2
    assert 0 < moved["entropy_nats"] <= 2 * math.log(10) * largest_error
    assert 0 < moved["cross_entropy_nats"] <= 2 * largest_error
    unchanged = ["model_id", "view", "image_id", "predicted", "correct"]
    assert floats.select(unchanged).equals(halves.select(unchanged))


def test_measures_of_logits_move_by_no_more_than_their_bound(
    readers: tuple[Reader, Reader], largest_error: float
):
    floats, halves = (r.frame("SELECT * FROM measures ORDER BY student_id") for r in readers)

    def moved(name: str) -> float:
        return float((floats[name] - halves[name]).abs().max())

    assert 0 < moved("entropy_nats") <= 2 * math.log(10) * largest_error
    assert 0 < moved("loss_gap_nats") <= 4 * largest_error
    spoken = largest_error / RELATIVE_ERROR
    assert 0 < moved("predictive_kl_nats") <= (2 + 4 * spoken) * largest_error


def test_the_ensembles_class_changes_only_where_two_were_nearly_tied(
    readers: tuple[Reader, Reader], largest_error: float
):
    floats, halves = (
        r.frame("SELECT * FROM ensemble_prediction ORDER BY student_id, view, image_id")
        for r in readers
    )
    differ = (floats["predicted"] != halves["predicted"]).to_numpy()
    said = np.sort(np.stack(floats["logits"].to_list()), axis=1)
    assert (said[differ, -1] - said[differ, -2] <= 2 * largest_error).all()
    assert differ.mean() < 0.01


def test_halves_change_no_shard_and_no_key(study: SyntheticStudy, half_study: SyntheticStudy):
    assert study.design.shard_key(1) == half_study.design.shard_key(1)
    assert study.design.study_hash() != half_study.design.study_hash()
    for one, other in zip(study.members, half_study.members, strict=True):
        assert (one / "prediction.parquet").read_bytes() == (
            other / "prediction.parquet"
        ).read_bytes()


def test_a_store_follows_the_choice_and_comes_back(study: SyntheticStudy, tmp_path: Path):
    store = tmp_path / "s.duckdb"
    halves = study.design.model_copy(
        update={"store": study.design.store.model_copy(update={"logits": LogitsType.FLOAT16})}
    )
    kept = []
    for design in (study.design, halves, study.design):
        build(store, design=design, shards=study.shards, members=study.members)
        with open_reader(store) as reader:
            kept.append(reader.frame("SELECT * FROM prediction ORDER BY ALL"))
            declared = reader.frame("SELECT logits_type FROM study").item()
        assert declared == design.store.logits
    assert kept[0].equals(kept[2])
    assert not kept[0].equals(kept[1])


def test_a_store_of_halves_is_sound_with_nan_among_its_logits(tmp_path: Path):
    study = make_study(tmp_path, **SMALL, logits="float16", not_finite=[(0, 5)])
    assert examine(study.store, study.shards) == []
    with open_reader(study.store) as reader:
        lost = reader.frame("SELECT * FROM prediction WHERE predicted IS NULL")
        student = reader.frame("SELECT * FROM measures WHERE student_id = 5")
    assert np.isnan(lost["logits"].item().to_numpy()).all()
    assert student["test_accuracy"].item() is None
    assert student["test_accuracy_ensemble"].item() is not None


def predictions(logits: list[list[float]]) -> pl.DataFrame:
    rows = len(logits)
    return pl.DataFrame(
        {
            "model_id": [1007] * rows,
            "view": ["clean"] * rows,
            "image_id": range(70, 70 + rows),
            "predicted": [0] * rows,
            "logits": logits,
        },
        schema=PREDICTION.schema,
    )


def test_a_logit_too_large_for_a_half_is_refused_by_name():
    fits = predictions([[1, LARGEST_HALF], [2, -65519.0]])
    assert stored_as(LogitsType.FLOAT16, fits).read["logits"][1].to_list() == [2, -LARGEST_HALF]
    with pytest.raises(StoreError, match=r"model 1007 .* -70000 on image 71 .*float32"):
        stored_as(LogitsType.FLOAT16, predictions([[1, 2], [3, -70000.0]]))


def test_what_is_not_finite_stays_what_it_is():
    inf = math.inf
    read = stored_as(LogitsType.FLOAT16, predictions([[inf, -inf], [math.nan, 1e-9]])).read
    assert read["logits"][0].to_list() == [inf, -inf]
    assert math.isnan(read["logits"][1][0])
    assert read["logits"][1][1] == 0


def test_floats_are_kept_as_they_come():
    rows = predictions([[1.1, 70000.0]])
    assert stored_as(LogitsType.FLOAT32, rows).read is rows
