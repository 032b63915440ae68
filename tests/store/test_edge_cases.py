"""What is undefined stays NULL: failed models, NaN logits, absent classes, one teacher."""

from pathlib import Path

import polars as pl
import pytest
from synthetic import SyntheticStudy, draw_images, make_study, publish
from synthetic_study import write_study

from store.builder import build
from store.database import open_reader
from store.frames import SHARD_FRAMES
from store.measures import MEASURES
from store.shard import read_table, write_images

SMALL = {"seeds": 2, "strengths": (0, 1), "test_images": 40, "train_images": 20}
# ordinals of a block: teachers 0, 1 at strength 0 and 2, 3 at strength 1; students 4 to 7
OF_TEACHERS_ALONE = {
    "mask_area_teachers",
    "attention_iou",
    "agreement_teacher_teacher",
    "cka",
    "test_accuracy_teachers",
    "affinity",
    "diversity",
    "attention_iou_published",
    "affinity_published",
}
ESTIMATED = {m.name for m in MEASURES if m.engine.value == "estimator"}
MEASURED = {m.name for m in MEASURES} - ESTIMATED


def measured(study: SyntheticStudy, student: int) -> set[str]:
    """Which measures of a student are not NULL."""
    with open_reader(study.store) as reader:
        row = reader.frame("SELECT * FROM measures WHERE student_id = ?", [student])
    assert row.height == 1
    return {name for name in MEASURED if row[name].item() is not None}


def test_a_failed_student_keeps_its_row_and_what_is_of_its_teachers(tmp_path: Path):
    study = make_study(tmp_path, **SMALL, failed=[(0, 5)])
    assert measured(study, 5) == OF_TEACHERS_ALONE
    assert measured(study, 4) == MEASURED
    assert measured(study, 1005) == MEASURED


def test_a_failed_teacher_leaves_its_students_nothing_that_uses_it(tmp_path: Path):
    study = make_study(tmp_path, **SMALL, failed=[(0, 2)])
    assert measured(study, 5) == measured(study, 7) == {"affinity"}
    assert measured(study, 4) == measured(study, 6) == MEASURED


def test_a_failed_clean_teacher_leaves_the_level_measures_of_all_undefined(tmp_path: Path):
    study = make_study(tmp_path, **SMALL, failed=[(0, 0)])
    assert measured(study, 5) == MEASURED - {"affinity", "diversity"}


def test_a_failed_models_epochs_are_kept_and_count_for_no_measure(tmp_path: Path):
    study = make_study(tmp_path, **SMALL, failed=[(0, 5)])
    with open_reader(study.store) as reader:
        curve = reader.frame("SELECT * FROM learning_curve WHERE model_id = 5")
        model = reader.frame("SELECT * FROM model_measures WHERE model_id = 5")
    assert curve.height == 2
    assert model["status"].item() == "failed"
    assert model["test_accuracy"].item() is None


def test_one_nan_among_a_students_logits_makes_its_measures_null_not_smaller(tmp_path: Path):
    study = make_study(tmp_path, **SMALL, not_finite=[(0, 5)])
    own_view = {
        "entropy_published_nats",
        "agreement_published",
        "predictive_kl_published_nats",
        "mutual_information_published_nats",
    }
    left = {
        "train_accuracy",
        "mask_area",
        "attention_iou_teacher_student",
        "cka_teacher_student",
        "test_accuracy_ensemble",
        "test_accuracy_published",
        "train_accuracy_published",
        "generalization_gap_published",
    }
    assert measured(study, 5) == OF_TEACHERS_ALONE | left | own_view
    with open_reader(study.store) as reader:
        halves = reader.frame(
            "SELECT half, test_accuracy FROM measures_by_half WHERE student_id = 5 ORDER BY half"
        )
        where = reader.frame("SELECT half FROM image WHERE split = 'test' ORDER BY image_id")[3, 0]
        counted = reader.frame("SELECT DISTINCT half FROM contingency WHERE student_id = 5")
        undefined = reader.frame("SELECT * FROM undefined_counts WHERE measure = 'test_accuracy'")
    defined = set(halves.filter(pl.col("test_accuracy").is_not_null())["half"])
    assert defined == {"a", "b"} - {where}
    assert set(counted["half"]) == defined
    assert undefined.select("model_a", "images", "reason").rows() == [
        (5, 1, "the logits are not finite")
    ]


def test_one_nan_among_a_teachers_logits_reaches_its_ensemble_and_no_other(tmp_path: Path):
    study = make_study(tmp_path, **SMALL, not_finite=[(0, 3)])
    lost = MEASURED - measured(study, 5)
    assert {"agreement", "test_accuracy_ensemble", "test_accuracy_teachers"} <= lost
    assert {"test_accuracy", "ece", "attention_iou"}.isdisjoint(lost)
    assert measured(study, 4) == MEASURED


def test_one_teacher_has_no_pairs(tmp_path: Path):
    study = make_study(tmp_path, **SMALL, teachers=1)
    alone = {"attention_iou", "agreement_teacher_teacher", "cka", "attention_iou_published"}
    assert measured(study, 2) == MEASURED - alone


def test_no_teacher_without_augmentation_leaves_no_level_measure(tmp_path: Path):
    study = make_study(tmp_path, seeds=1, strengths=(0.5, 1), test_images=30, train_images=20)
    assert measured(study, 4) == MEASURED - {"affinity", "diversity"}


@pytest.fixture
def rewritten(tmp_path: Path):
    """Build a study of one block after its tables have been changed."""

    def make(change, images_change=lambda images: images) -> SyntheticStudy:
        source = make_study(tmp_path, **{**SMALL, "seeds": 1}, built=False)
        tables = {f.name: read_table(source.members[0], f) for f in SHARD_FRAMES}
        shards = tmp_path / "rewritten"
        name = write_images(shards, images_change(draw_images(source.design)))
        publish(source.design, shards, 0, name, change(tables))
        members = (shards / source.members[0].name,)
        build(source.store, design=source.design, shards=shards, members=members)
        return source

    return make


def test_a_model_that_says_one_class_has_accuracy_and_no_error_consistency_when_constant(
    rewritten,
):
    """A student always wrong: its errors cannot be more or less consistent than chance."""

    def always_wrong(tables):
        labels = draw_images(write_design()).select("image_id", "label")
        wrong = tables["prediction"].join(labels, on="image_id")
        said = (pl.col("label") + 1) % 10
        logits = pl.concat_list(
            pl.when(said == k).then(5.0).otherwise(0.0).cast(pl.Float32) for k in range(10)
        )
        wrong = wrong.with_columns(
            predicted=pl.when(pl.col("model_id") == 4).then(said).otherwise("predicted"),
            logits=pl.when(pl.col("model_id") == 4).then(logits).otherwise("logits"),
        ).drop("label")
        return tables | {"prediction": wrong}

    study = rewritten(always_wrong)
    with open_reader(study.store) as reader:
        row = reader.frame("SELECT * FROM measures WHERE student_id = 4").row(0, named=True)
    assert row["test_accuracy"] == 0
    assert row["generalization_gap"] == 0
    assert row["error_consistency"] is None


def test_one_class_only_gives_zero_information_and_the_chance_of_its_class(rewritten):
    def zero(tables):
        flat = pl.concat_list(pl.lit(1.0 if k == 0 else 0.0, pl.Float32) for k in range(10))
        return tables | {
            "prediction": tables["prediction"].with_columns(
                predicted=pl.lit(0, pl.Int32), logits=flat
            )
        }

    study = rewritten(zero)
    with open_reader(study.store) as reader:
        row = reader.frame("SELECT * FROM measures WHERE student_id = 4").row(0, named=True)
        cells = reader.frame("SELECT * FROM contingency WHERE student_id = 4 AND half = 'all'")
    assert row["agreement"] == row["agreement_published"] == 1
    assert row["predictive_kl_nats"] == pytest.approx(0, abs=1e-12)
    assert row["mutual_information_published_nats"] == pytest.approx(0, abs=1e-12)
    assert row["test_accuracy"] == pytest.approx(0.1)
    assert cells.height == 10
    assert set(cells["ensemble_class"]) == set(cells["student_class"]) == {0}


def test_a_class_absent_from_the_test_images_changes_no_definition(rewritten):
    def absent(images):
        moved = (pl.col("split") == "test") & (pl.col("label") == 9)
        return images.with_columns(label=pl.when(moved).then(8).otherwise("label").cast(pl.Int32))

    study = rewritten(lambda tables: tables, absent)
    assert measured(study, 4) == MEASURED
    with open_reader(study.store) as reader:
        assert 9 not in reader.frame("SELECT label FROM confusion")["label"].to_list()
        assert reader.frame("SELECT classes FROM study").item() == 10


def test_no_map_at_all_gives_null_and_every_image_is_counted(rewritten):
    def blank(tables):
        maps = tables["attention"]
        nothing = pl.when(pl.col("model_id") < 2).then(None).otherwise("map")
        return tables | {"attention": maps.with_columns(map=nothing)}

    study = rewritten(blank)
    lost = MEASURED - measured(study, 4)
    assert lost == {
        "mask_area_teachers",
        "attention_iou",
        "attention_iou_published",
        "attention_iou_teacher_student",
    }
    with open_reader(study.store) as reader:
        counted = reader.frame(
            "SELECT images, of_images FROM undefined_counts "
            "WHERE measure = 'attention_iou' AND model_a = 0"
        )
    assert counted.rows() == [(40, 40)]


def test_huge_logits_do_not_overflow(rewritten):
    def huge(tables):
        scaled = tables["prediction"].with_columns(
            logits=pl.col("logits").list.eval(pl.element() * 1e30)
        )
        return tables | {"prediction": scaled}

    study = rewritten(huge)
    with open_reader(study.store) as reader:
        row = reader.frame("SELECT * FROM measures WHERE student_id = 4").row(0, named=True)
    assert row["entropy_nats"] == pytest.approx(0, abs=1e-12)
    assert row["loss_gap_nats"] is not None
    assert abs(row["loss_gap_nats"]) < 1e32


def write_design():
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        return write_study(Path(folder), **{**SMALL, "seeds": 1})[0]


def _said_by(model_id: int, right: pl.Expr, confidence: float):
    """Make a model right on some clean test images, and as sure of every answer as told."""

    def change(tables):
        images = (
            draw_images(write_design())
            .filter(pl.col("split") == "test")
            .sort("image_id")
            .select("image_id", "label")
            .with_row_index("place")
        )
        rows = tables["prediction"].join(images, on="image_id", how="left")
        mine = (
            (pl.col("model_id") == model_id)
            & (pl.col("view") == "clean")
            & pl.col("place").is_not_null()
        )
        said = pl.when(right).then("label").otherwise((pl.col("label") + 1) % 10)
        shares = [
            pl.when(said == k).then(confidence).otherwise((1 - confidence) / 9).log()
            for k in range(10)
        ]
        logits = pl.concat_list(share.cast(pl.Float32) for share in shares)
        rows = rows.with_columns(
            predicted=pl.when(mine).then(said.cast(pl.Int32)).otherwise("predicted"),
            logits=pl.when(mine).then(logits).otherwise("logits"),
        ).drop("place", "label")
        return tables | {"prediction": rows}

    return change


def _measures_of_student_4(study: SyntheticStudy) -> dict[str, float]:
    with open_reader(study.store) as reader:
        return reader.frame("SELECT * FROM measures WHERE student_id = 4").row(0, named=True)


@pytest.mark.parametrize(("shift", "kappa"), [(1, 0.0), (0, 1.0), (2, -1.0)])
def test_independent_errors_have_an_error_consistency_of_0_and_equal_ones_of_1(
    rewritten, shift, kappa
):
    teachers_right = pl.col("place") % 4 < 2
    student_right = (pl.col("place") + shift) % 4 < 2

    def change(tables):
        for teacher in (0, 1):
            tables = _said_by(teacher, teachers_right, 0.9)(tables)
        return _said_by(4, student_right, 0.9)(tables)

    row = _measures_of_student_4(rewritten(change))
    assert row["test_accuracy"] == row["test_accuracy_ensemble"] == 0.5
    assert row["error_consistency"] == pytest.approx(kappa, abs=1e-12)


@pytest.mark.parametrize(("right_of_four", "expected"), [(3, 0.0), (2, 0.25), (4, 0.25)])
def test_calibration_error_is_the_distance_of_confidence_from_accuracy(
    rewritten, right_of_four, expected
):
    change = _said_by(4, pl.col("place") % 4 < right_of_four, 0.75)
    row = _measures_of_student_4(rewritten(change))
    assert row["test_accuracy"] == right_of_four / 4
    # logits are single precision: confidence is 0.75 to seven digits
    assert row["ece"] == pytest.approx(expected, abs=1e-6)
