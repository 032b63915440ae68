"""Estimates of small blocks, each value against scikit-learn, SciPy or a loop over images."""

import math
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest
from scipy.stats import spearmanr
from sklearn.metrics import adjusted_mutual_info_score, mutual_info_score

from analyze.metrics.estimates import ESTIMATED, estimates
from store.frames import ESTIMATE, MODEL, MODEL_PAIR
from store.masks import with_masks
from store.vocabulary import Half, PairKind, Role, Status

TAU = 0.4
IMAGES, CELLS, CLASSES = 60, 16, 4
HALVES = (Half.ALL, Half.A, Half.B)


def model(block, ordinal, *, teachers=(), status=Status.COMPLETE):
    number = block * 1000 + ordinal
    is_student = bool(teachers)
    return {
        "model_id": number,
        "block": block,
        "ordinal": ordinal,
        "role": Role.STUDENT if is_student else Role.TEACHER,
        "slot": None if is_student else ordinal,
        "condition_id": 0 if is_student else None,
        "arm": "fixed" if is_student else None,
        "strength": 0.5,
        "view": "graded-0.5",
        "teacher_strength": 0.5 if is_student else None,
        "teacher_ids": list(teachers) if is_student else None,
        "network": "resnet",
        "parameters": 1,
        "epochs": 1,
        "status": status,
        "reason": None if status is Status.COMPLETE else "loss is not finite",
        "weights_hash": "0" if status is Status.COMPLETE else None,
        "train_seconds": 1.0,
        "finished_at": datetime(2024, 1, 1, tzinfo=UTC),
    }


@dataclass(frozen=True)
class Store:
    """Frames as a store gives them, and the arrays that they were made of."""

    contingency: pl.DataFrame
    attention: pl.DataFrame
    models: pl.DataFrame
    pairs: pl.DataFrame
    images: pl.DataFrame
    maps: dict[int, np.ndarray]
    answers: dict[int, tuple[np.ndarray, np.ndarray, np.ndarray]]

    def estimated(self):
        return estimates(
            self.contingency,
            self.attention,
            self.models,
            self.pairs,
            self.images,
            classes=CLASSES,
        )


def half_of(ids):
    return np.where(ids % 3 == 0, "a", "b")


def in_half(half, ids):
    return np.ones(len(ids), np.bool_) if half == Half.ALL else half_of(ids) == half


def make_store(blocks=1, *, teachers=2, failed=(), pictures=IMAGES, cells=CELLS, students=2):
    generator = np.random.default_rng(0)
    ids = np.arange(100, 100 + pictures)
    label = generator.integers(0, CLASSES, pictures)
    rows, pairs, maps, answers = [], [], {}, {}
    for block in range(blocks):
        own = [block * 1000 + slot for slot in range(teachers)]
        rows += [model(block, slot) for slot in range(teachers)]
        pairs += [(a, b, PairKind.TEACHER_TEACHER) for a in own for b in own if a < b]
        for ordinal in range(teachers, teachers + students):
            student = block * 1000 + ordinal
            rows.append(model(block, ordinal, teachers=own))
            pairs += [(teacher, student, PairKind.TEACHER_STUDENT) for teacher in own]
            ensemble = np.where(generator.random(pictures) < 0.8, label, 0)
            answers[student] = (label, ensemble, np.where(label == 1, ensemble, label))
        common = generator.integers(0, 200, (pictures, cells))
        for row in rows[-teachers - students :]:
            noise = generator.integers(0, 56, (pictures, cells))
            maps[row["model_id"]] = (common + noise).astype(np.uint8)
    for row in rows:
        if row["model_id"] in failed:
            row.update(status=Status.FAILED, reason="loss is not finite", weights_hash=None)
    return Store(
        contingency=contingency_of(answers, ids),
        attention=attention_of(maps, ids),
        models=pl.DataFrame(rows, schema=MODEL.schema),
        pairs=pl.DataFrame(
            [(a, b, str(kind), 0.5) for a, b, kind in pairs], schema=MODEL_PAIR.schema, orient="row"
        ),
        images=pl.DataFrame({"image_id": ids, "half": half_of(ids)}).cast({"image_id": pl.Int32}),
        maps=maps,
        answers=answers,
    )


def contingency_of(answers, ids):
    frames = [
        pl.DataFrame({"label": y, "ensemble_class": e, "student_class": s})
        .filter(in_half(half, ids))
        .group_by(pl.all())
        .agg(images=pl.len().cast(pl.Int64))
        .with_columns(student_id=pl.lit(student, pl.Int32), half=pl.lit(str(half)))
        for student, (y, e, s) in answers.items()
        for half in HALVES
    ]
    return pl.concat(frames)


def attention_of(maps, ids):
    frames = [
        pl.DataFrame(
            {
                "model_id": [number] * len(ids),
                "view": ["clean"] * len(ids),
                "image_id": ids,
                "method": ["cam_label"] * len(ids),
                "map": one.tolist(),
            }
        )
        for number, one in maps.items()
    ]
    frame = pl.concat(frames).cast(
        {"model_id": pl.Int32, "image_id": pl.Int32, "map": pl.List(pl.UInt8)}
    )
    return with_masks(frame, TAU)


def value(frame, student, half, measure):
    return row(frame, student, half, measure)["value"]


def row(frame, student, half, measure):
    return frame.row(
        by_predicate=(pl.col("student_id") == student)
        & (pl.col("half") == str(half))
        & (pl.col("measure") == measure),
        named=True,
    )


def without(frame, model_id, image_id):
    """Make one image's map and mask undefined for one model."""
    there = (pl.col("model_id") == model_id) & (pl.col("image_id") == image_id)
    gone = [
        pl.when(~there).then(pl.col(name)).alias(name)
        for name in ("map", "mask_0", "mask_1", "mask_2", "mask_3", "mask_cells")
    ]
    return frame.with_columns(gone)


def loop_adjusted(one, other):
    same, different = [], []
    for i, a in enumerate(one > 255 * TAU):
        for j, b in enumerate(other > 255 * TAU):
            (same if i == j else different).append((a & b).sum() / (a | b).sum())
    return (np.mean(same) - np.mean(different)) / (1 - np.mean(different))


def test_every_student_half_and_measure_has_one_row():
    store = make_store(2)
    found = store.estimated()
    assert found.schema == ESTIMATE.schema
    assert found.height == 4 * 3 * len(ESTIMATED)
    assert set(found["measure"]) == set(ESTIMATED)
    assert found.select("student_id", "half", "measure").is_unique().all()
    assert found["value"].null_count() == 0
    assert found["reason"].null_count() == found.height


@pytest.mark.parametrize("half", HALVES)
def test_information_is_that_of_the_labels_themselves(half):
    store = make_store()
    found = store.estimated()
    ids = store.images["image_id"].to_numpy()
    for student, answers in store.answers.items():
        _, ensemble, own = (labels[in_half(half, ids)] for labels in answers)
        information = row(found, student, half, "mutual_information_bits")
        plug_in = mutual_info_score(ensemble, own) / math.log(2)
        assert information["value"] + information["bias"] == pytest.approx(plug_in, abs=1e-12)
        assert information["bias"] != 0
        assert "jackknife" in information["estimator"]
        adjusted = row(found, student, half, "adjusted_mutual_information")
        assert adjusted["value"] == pytest.approx(
            adjusted_mutual_info_score(ensemble, own), abs=1e-9
        )
        assert adjusted["bias"] is None


def test_conditional_information_is_what_the_labels_leave_unexplained():
    store = make_store()
    found = store.estimated()
    for student, (label, ensemble, own) in store.answers.items():
        inside = [
            (label == y).mean() * mutual_info_score(ensemble[label == y], own[label == y])
            for y in range(CLASSES)
        ]
        conditional = row(found, student, Half.ALL, "conditional_mutual_information_bits")
        assert conditional["value"] + conditional["bias"] == pytest.approx(
            sum(inside) / math.log(2), abs=1e-12
        )
        assert conditional["bias"] > 0


@pytest.mark.parametrize("half", HALVES)
def test_attention_is_averaged_over_pairs_of_teachers_and_over_teachers(half):
    store = make_store(teachers=3)
    found = store.estimated()
    chosen = in_half(half, store.images["image_id"].to_numpy())
    maps = {number: one[chosen] for number, one in store.maps.items()}

    def rho(a, b):
        pairs = zip(maps[a], maps[b], strict=True)
        return np.mean([spearmanr(x, y).statistic for x, y in pairs])

    between, across = [(0, 1), (0, 2), (1, 2)], [(0, 4), (1, 4), (2, 4)]
    for pairs, suffix in ((between, ""), (across, "_teacher_student")):
        assert value(found, 4, half, f"attention_iou_adjusted{suffix}") == pytest.approx(
            np.mean([loop_adjusted(maps[a], maps[b]) for a, b in pairs]), abs=1e-12
        )
        assert value(found, 4, half, f"attention_rank_correlation{suffix}") == pytest.approx(
            np.mean([rho(a, b) for a, b in pairs]), abs=1e-12
        )


def test_students_of_the_same_teachers_share_the_teachers_values():
    found = make_store().estimated()
    for half in HALVES:
        for measure in ("attention_iou_adjusted", "attention_rank_correlation"):
            assert value(found, 2, half, measure) == value(found, 3, half, measure)
            own = f"{measure}_teacher_student"
            assert value(found, 2, half, own) != value(found, 3, half, own)


def test_one_teacher_has_no_pair_but_all_else():
    found = make_store(teachers=1).estimated()
    alone = found.filter(pl.col("value").is_null())
    assert set(alone["measure"]) == {"attention_iou_adjusted", "attention_rank_correlation"}
    assert set(alone["reason"]) == {"one teacher only"}
    assert alone.height == 2 * 3 * 2


def test_a_failed_student_loses_its_values_and_its_teachers_keep_theirs():
    found = make_store(failed=[2]).estimated()
    lost = found.filter(pl.col("value").is_null())
    assert set(lost["student_id"]) == {2}
    assert set(lost["reason"]) == {"a model failed"}
    assert lost["bias"].null_count() == lost.height
    assert set(lost["measure"]) == set(ESTIMATED) - {
        "attention_iou_adjusted",
        "attention_rank_correlation",
    }


def test_a_failed_teacher_leaves_no_partial_mean():
    found = make_store(teachers=3, failed=[1]).estimated()
    assert found["value"].null_count() == found.height
    assert set(found["reason"]) == {"a model failed"}


def test_predictions_that_are_not_finite_or_missing_give_a_reason_on_their_half_alone():
    store = make_store()
    holes = {
        "null": store.contingency.with_columns(
            student_class=pl.when(pl.col("half") != "a").then(pl.col("student_class"))
        ),
        "fewer": store.contingency.with_columns(
            images=pl.col("images") - (pl.col("half") == "a").cast(pl.Int64)
        ),
        "absent": store.contingency.filter(pl.col("half") != "a"),
    }
    for contingency in holes.values():
        found = replace(store, contingency=contingency).estimated()
        lost = found.filter(pl.col("value").is_null())
        assert set(lost["half"]) == {"a"}
        assert lost.height == 2 * 4
        assert all("not finite" in reason for reason in lost["reason"])


def test_undefined_maps_are_left_out_and_the_estimator_says_how_many():
    store = make_store()
    gone = without(without(store.attention, 0, 101), 1, 103)
    found = replace(store, attention=gone).estimated()
    kept = ~np.isin(store.images["image_id"].to_numpy(), [101, 103])
    one = row(found, 2, Half.ALL, "attention_iou_adjusted")
    assert one["value"] == pytest.approx(
        loop_adjusted(store.maps[0][kept], store.maps[1][kept]), abs=1e-12
    )
    assert "2 of 60 images" in one["estimator"]
    assert "left out" not in row(found, 2, Half.A, "attention_iou_adjusted")["estimator"]
    absent_rows = store.attention.filter(
        ~((pl.col("model_id") == 0) & (pl.col("image_id") == 101)),
        ~((pl.col("model_id") == 1) & (pl.col("image_id") == 103)),
    )
    assert replace(store, attention=absent_rows).estimated().equals(found)


OVERLAP, RANKS = "attention_iou_adjusted", "attention_rank_correlation"
CONDITIONAL = "conditional_mutual_information_bits"
SECOND = "mutual_information_second_bits"


def reasons(store, measure):
    """Reasons of the teachers' and the teacher-student form, on all test images."""
    found = store.estimated()
    assert row(found, 2, Half.ALL, "mutual_information_bits")["reason"] is None
    return [
        row(found, 2, Half.ALL, f"{measure}{suffix}")["reason"]
        for suffix in ("", "_teacher_student")
    ]


def with_teacher_map(store, cell_values):
    """Give the first teacher the same map on every image."""
    ids = store.images["image_id"].to_numpy()
    maps = store.maps | {0: np.tile(np.array(cell_values, dtype=np.uint8), (len(ids), 1))}
    return replace(store, attention=attention_of(maps, ids))


def test_a_model_without_maps_and_a_pair_that_was_not_recorded_are_named():
    store = make_store()
    unseen = replace(store, attention=store.attention.filter(pl.col("model_id") != 0))
    unpaired = replace(store, pairs=store.pairs.filter(pl.col("model_a") != 0))
    for measure in (OVERLAP, RANKS):
        assert reasons(unseen, measure) == ["no attention maps are stored"] * 2
        assert reasons(unpaired, measure) == ["the two models are not a recorded pair"] * 2


def test_constant_maps_have_no_rank_correlation_and_may_have_an_overlap():
    found = with_teacher_map(make_store(), [200] * CELLS)
    assert all("constant" in reason for reason in reasons(found, RANKS))
    assert reasons(found, OVERLAP) == [None, None]


def test_equal_masks_on_all_images_are_all_chance():
    store = make_store()
    ids = store.images["image_id"].to_numpy()
    same = np.tile(np.arange(CELLS, dtype=np.uint8) * 16, (len(ids), 1))
    found = replace(store, attention=attention_of({m: same for m in store.maps}, ids))
    assert all("IoU0 = 1" in reason for reason in reasons(found, OVERLAP))
    assert value(found.estimated(), 2, Half.A, RANKS) == pytest.approx(1, abs=1e-14)


def test_maps_below_the_threshold_everywhere_are_undefined_not_zero():
    store = make_store()
    ids = store.images["image_id"].to_numpy()
    low = {number: (one // 3).astype(np.uint8) for number, one in store.maps.items()}
    found = replace(store, attention=attention_of(low, ids))
    assert all("0/0" in reason for reason in reasons(found, OVERLAP))


def test_maps_of_different_sizes_are_not_compared():
    store, coarse = make_store(), make_store(cells=9)
    mixed = pl.concat(
        [
            coarse.attention.filter(pl.col("model_id") == 0),
            store.attention.filter(pl.col("model_id") != 0),
        ]
    )
    sizes = ["the models' maps have different sizes"] * 2
    assert reasons(replace(store, attention=mixed), OVERLAP) == sizes


def test_a_half_without_images_and_a_single_image_have_reasons_everywhere():
    store = make_store(pictures=1)
    found = store.estimated()
    assert store.images["half"].to_list() == ["b"]
    assert set(found.filter(pl.col("half") == "a")["reason"]) == {"no test image in this half"}
    defined = found.filter(pl.col("value").is_not_null())
    assert set(defined["measure"]) == {RANKS, f"{RANKS}_teacher_student", CONDITIONAL, SECOND}
    overlap = row(found, 2, Half.ALL, OVERLAP)
    assert overlap["reason"] == "no two different images where either attends anywhere (0/0)"


def test_blocks_may_be_estimated_one_at_a_time_and_rows_come_in_any_order():
    store = make_store(3)
    whole = store.estimated()
    by_block = [
        estimates(
            store.contingency.filter(pl.col("student_id") // 1000 == block),
            store.attention.filter(pl.col("model_id") // 1000 == block),
            store.models.filter(pl.col("block") == block),
            store.pairs.filter(pl.col("model_a") // 1000 == block),
            store.images,
            classes=CLASSES,
        )
        for block in range(3)
    ]
    assert pl.concat(by_block).equals(whole)
    shuffled = replace(
        store,
        contingency=store.contingency.sample(fraction=1, shuffle=True, seed=1),
        attention=store.attention.sample(fraction=1, shuffle=True, seed=2),
        images=store.images.sample(fraction=1, shuffle=True, seed=3),
        pairs=store.pairs.sample(fraction=1, shuffle=True, seed=4),
    )
    again = shuffled.estimated().join(whole, on=["student_id", "half", "measure"], validate="1:1")
    assert again.height == whole.height
    assert (again["value"] - again["value_right"]).abs().max() < 1e-12


def test_attention_of_two_methods_at_once_is_refused():
    store = make_store()
    with pytest.raises(ValueError, match="one method"):
        replace(store, attention=pl.concat([store.attention, store.attention])).estimated()


def test_no_students_give_no_rows():
    store = make_store()
    found = replace(store, models=store.models.filter(pl.col("role") == "teacher")).estimated()
    assert found.schema == ESTIMATE.schema
    assert found.is_empty()
