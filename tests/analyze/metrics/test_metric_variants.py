"""Measures under other choices, against loops over images, SciPy and scikit-learn."""

import numpy as np
import polars as pl
import pytest
from scipy.special import log_softmax, softmax
from sklearn.metrics import cohen_kappa_score, mutual_info_score

from analyze.metrics.attention_variants import attention_variants
from analyze.metrics.contingency import Contingency
from analyze.metrics.information import Estimator, mutual_information
from analyze.metrics.label_variants import FIDELITY, label_variants
from analyze.metrics.masking import AboveTau, TopCells, masks_at

IMAGES, CELLS, CLASSES = 30, 16, 4
METHODS = ("cam_label", "cam_sum")
THRESHOLDS = (AboveTau(0.2), AboveTau(0.6), TopCells(20))
IDS = np.arange(50, 50 + IMAGES)
HALF = np.where(IDS % 3 == 0, "a", "b")
LABEL = np.random.default_rng(9).integers(0, CLASSES, IMAGES)
HALVES = {"all": np.ones(IMAGES, bool), "a": HALF == "a", "b": HALF == "b"}


def models(teachers=3, failed=()):
    rows = [
        {"model_id": number, "role": "teacher", "teacher_ids": None} for number in range(teachers)
    ]
    rows += [
        {"model_id": 10, "role": "student", "teacher_ids": list(range(teachers))},
        {"model_id": 11, "role": "student", "teacher_ids": list(range(teachers))},
    ]
    return pl.DataFrame(
        rows, schema={"model_id": pl.Int32, "role": pl.String, "teacher_ids": pl.List(pl.Int32)}
    ).with_columns(
        status=pl.when(pl.col("model_id").is_in(list(failed)))
        .then(pl.lit("failed"))
        .otherwise(pl.lit("complete"))
    )


def pairs(teachers=3):
    found = [(a, b) for a in range(teachers) for b in range(a + 1, teachers)]
    return pl.DataFrame(found, schema=["model_a", "model_b"], orient="row")


def images():
    return pl.DataFrame({"image_id": IDS, "half": HALF, "label": LABEL})


def draw_maps(teachers=3):
    generator = np.random.default_rng(3)
    return {
        (model, method): generator.integers(0, 12, (IMAGES, CELLS)).astype(np.uint8) * 23
        for model in range(teachers)
        for method in METHODS
    }


def attention(maps):
    frames = [
        pl.DataFrame(
            {
                "model_id": [model] * IMAGES,
                "image_id": IDS,
                "method": [method] * IMAGES,
                "map": one.tolist(),
            }
        )
        for (model, method), one in maps.items()
    ]
    return pl.concat(frames).cast({"map": pl.List(pl.UInt8)})


def found_of(frame):
    return {
        (row["student_id"], row["half"], row["variant"]): row["value"]
        for row in frame.iter_rows(named=True)
    }


def iou(one, other):
    return (one & other).sum() / (one | other).sum()


def test_overlap_at_every_map_and_threshold_is_that_of_plain_loops():
    maps = draw_maps()
    found = found_of(
        attention_variants(attention(maps), models(), pairs(), images(), thresholds=THRESHOLDS)
    )
    assert len(found) == 2 * 3 * len(METHODS) * len(THRESHOLDS) * 2
    for method in METHODS:
        for threshold in THRESHOLDS:
            for half, rows in HALVES.items():
                plain, adjusted = [], []
                for a, b in ((0, 1), (0, 2), (1, 2)):
                    one, other = (masks_at(maps[m, method], threshold)[rows] for m in (a, b))
                    same = np.mean([iou(x, y) for x, y in zip(one, other, strict=True)])
                    apart = [
                        iou(x, y) for i, x in enumerate(one) for j, y in enumerate(other) if i != j
                    ]
                    plain.append(same)
                    adjusted.append((same - np.mean(apart)) / (1 - np.mean(apart)))
                name = f"[{method}, {threshold.name}]"
                for student in (10, 11):
                    value = found[student, half, f"attention_iou{name}"]
                    above = found[student, half, f"attention_iou_adjusted{name}"]
                    assert value == pytest.approx(np.mean(plain), abs=1e-12)
                    assert above == pytest.approx(np.mean(adjusted), abs=1e-12)


def test_a_failed_teacher_or_one_that_has_no_maps_leaves_no_value():
    maps = draw_maps()
    broken = attention_variants(
        attention(maps), models(failed=[1]), pairs(), images(), thresholds=THRESHOLDS
    )
    assert broken.is_empty()
    del maps[2, "cam_sum"]
    found = attention_variants(attention(maps), models(), pairs(), images(), thresholds=THRESHOLDS)
    assert {name.partition("[")[2].partition(",")[0] for name in found["variant"]} == {"cam_label"}
    alone = attention_variants(
        attention(maps), models(teachers=1), pairs(1), images(), thresholds=THRESHOLDS
    )
    assert alone.is_empty()


def draw_logits(models_said=(0, 1, 2, 10, 11)):
    generator = np.random.default_rng(4)
    signal = 0.7 * np.eye(CLASSES)[LABEL]
    return {
        model: (signal + generator.normal(size=(IMAGES, CLASSES))).astype(np.float32)
        for model in models_said
    }


def predictions(logits):
    frames = [
        pl.DataFrame({"model_id": [model] * IMAGES, "image_id": IDS, "logits": one.tolist()})
        for model, one in logits.items()
    ]
    return pl.concat(frames).cast({"logits": pl.List(pl.Float32)})


def test_fidelity_to_the_mean_of_probabilities_is_scikit_learns_and_scipys():
    logits = draw_logits()
    found = found_of(label_variants(predictions(logits), models(), images(), classes=CLASSES))
    assert len(found) == 2 * 3 * len(FIDELITY)
    said = np.mean([softmax(logits[t].astype(float), axis=1) for t in (0, 1, 2)], axis=0)
    own = log_softmax(logits[10].astype(float), axis=1)
    divergence = (said * (np.log(said) - own)).sum(axis=1)
    ensemble, student = said.argmax(axis=1), own.argmax(axis=1)
    for half, rows in HALVES.items():

        def value(measure, half=half):
            return found[10, half, f"{measure}[probabilities]"]

        e, s, y = ensemble[rows], student[rows], LABEL[rows]
        jackknife = mutual_information(Contingency.from_labels(e, s), Estimator.JACKKNIFE)
        assert value("agreement") == pytest.approx(np.mean(e == s))
        assert value("error_consistency") == pytest.approx(cohen_kappa_score(e == y, s == y))
        assert value("predictive_kl_nats") == pytest.approx(divergence[rows].mean(), rel=1e-12)
        assert value("mutual_information_bits") == jackknife.estimate_bits
        plug_in = jackknife.estimate_bits + jackknife.bias_bits
        assert plug_in == pytest.approx(mutual_info_score(e, s) / np.log(2))
        assert value("conditional_mutual_information_bits") is not None


def test_logits_that_are_not_finite_leave_their_half_and_the_whole_without_a_value():
    logits = draw_logits()
    logits[1][int(np.flatnonzero(HALF == "a")[0]), 2] = np.nan
    found = found_of(label_variants(predictions(logits), models(), images(), classes=CLASSES))
    known = {half for (_, half, _), value in found.items() if value is not None}
    assert known == {"b"}


def test_a_failed_student_has_no_value_and_one_teacher_has_no_rules_to_choose_from():
    logits = draw_logits(models_said=(0, 1, 2, 11))
    found = label_variants(predictions(logits), models(), images(), classes=CLASSES)
    assert set(found["student_id"]) == {11}
    single = label_variants(predictions(logits), models(teachers=1), images(), classes=CLASSES)
    assert single.is_empty()
