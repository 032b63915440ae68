"""Every view against plain loops over the shards."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import plain_measures
import polars as pl
import pytest
from plain_measures import Block
from synthetic import SyntheticStudy, make_study
from synthetic_study import TRANSFORMER

from store.database import open_reader
from store.measures import MEASURES, Engine

# doubles summed in another order
CLOSE = {"rtol": 1e-10, "atol": 1e-12}


@pytest.fixture(
    scope="module",
    params=[(1, 1, "float32"), (2, 2, "float32"), (3, 1, "float32"), (2, 1, "float16")],
    ids=["one", "two", "three", "halves"],
)
def study(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory):
    # 150 test images: the second batch of the published computations is not full
    teachers, seeds, logits = request.param
    folder = tmp_path_factory.mktemp("study")
    return make_study(folder, seeds=seeds, test_images=150, teachers=teachers, logits=logits)


@pytest.fixture(scope="module")
def blocks(study: SyntheticStudy) -> list[Block]:
    return [read_block(study, shard) for shard in study.members]


def read_block(study: SyntheticStudy, shard: Path) -> Block:
    images = next(study.shards.glob("images-*.parquet"))
    half = study.design.store.logits == "float16"
    return Block.read(shard, images, tau=0.4, method="cam_label", half=half)


def rows(study: SyntheticStudy, sql: str) -> pl.DataFrame:
    with open_reader(study.store) as reader:
        return reader.frame(sql)


def same(found: float | None, expected: float | None) -> bool:
    if found is None or expected is None:
        return found is expected
    return bool(np.isclose(found, expected, **CLOSE))


def test_measures_has_one_row_per_student_and_every_measure_in_order(study: SyntheticStudy):
    found = rows(study, "SELECT * FROM measures")
    assert found.columns[8:] == [measure.name for measure in MEASURES]
    assert found["student_id"].n_unique() == found.height == len(study.members) * 6
    assert set(found.schema.dtypes()[8:]) == {pl.Float64()}


def test_measures_by_half_has_what_the_dictionary_says_is_by_half(study: SyntheticStudy):
    found = rows(study, "SELECT * FROM measures_by_half")
    assert found.columns[9:] == [measure.name for measure in MEASURES if measure.by_half]
    assert found.height == len(study.members) * 6 * 3


def test_every_sql_measure_equals_its_plain_loop(study: SyntheticStudy, blocks: list[Block]):
    found = rows(study, "SELECT * FROM measures_by_half")
    compared = set()
    for block in blocks:
        for student in block.students():
            for half in ("all", "a", "b"):
                expected = plain_measures.measures(block, student, half)
                row = found.row(
                    by_predicate=(pl.col("student_id") == student) & (pl.col("half") == half),
                    named=True,
                )
                wrong = {
                    name: (row[name], value)
                    for name, value in expected.items()
                    if not same(row[name], value)
                }
                assert not wrong, (student, half)
                compared |= set(expected)
    assert compared == {m.name for m in MEASURES if m.by_half and m.engine is Engine.SQL}


def test_every_measure_of_all_images_equals_its_plain_loop(
    study: SyntheticStudy, blocks: list[Block]
):
    found = rows(study, "SELECT * FROM measures")
    by_half = rows(study, "SELECT * FROM measures_by_half WHERE half = 'all'")
    compared = set()
    for block in blocks:
        for student in block.students():
            expected = plain_measures.whole_measures(block, student)
            row = found.row(by_predicate=pl.col("student_id") == student, named=True)
            wrong = {
                name: (row[name], value)
                for name, value in expected.items()
                if not same(row[name], value)
            }
            assert not wrong, student
            compared |= set(expected)
    assert compared == {m.name for m in MEASURES if not m.by_half}
    shared = [name for name in by_half.columns if name != "half"]
    assert found.select(shared).sort("student_id").equals(by_half.select(shared).sort("student_id"))


def test_rollout_stands_for_the_published_map_of_transformers(tmp_path: Path):
    study = make_study(tmp_path, seeds=1, test_images=150, network=TRANSFORMER)
    images = next(study.shards.glob("images-*.parquet"))
    read = Block.read(study.members[0], images, tau=0.4, method="rollout")
    block = replace(read, published="rollout")
    found = rows(study, "SELECT * FROM measures")
    for student in block.students():
        row = found.row(by_predicate=pl.col("student_id") == student, named=True)
        expected = plain_measures.measures(block, student, "all")
        expected |= plain_measures.whole_measures(block, student)
        assert expected["attention_iou_published"] is not None
        assert expected["attention_iou"] is not None
        wrong = {n: (row[n], value) for n, value in expected.items() if not same(row[n], value)}
        assert not wrong, student
    overlaps = rows(study, "SELECT DISTINCT method FROM attention_iou ORDER BY method")
    assert overlaps["method"].to_list() == ["class_token", "rollout"]


def test_what_a_student_is_stands_beside_its_measures(study: SyntheticStudy):
    found = rows(study, "SELECT * FROM measures ORDER BY student_id").head(6)
    assert found["block"].to_list() == [0] * 6
    assert found["arm"].to_list() == ["fixed"] * 3 + ["matched"] * 3
    assert found["teacher_strength"].to_list() == [0, 0.5, 1] * 2
    assert found["student_strength"].to_list() == [0.5, 0.5, 0.5, 0, 0.5, 1]
    assert found["condition_id"].to_list() == [0, 1, 2, 3, 4, 5]


def test_the_ensemble_says_the_mean_of_its_teachers_logits(
    study: SyntheticStudy, blocks: list[Block]
):
    found = rows(study, "SELECT * FROM ensemble_prediction")
    answers = {row[:3]: row[3:] for row in found.iter_rows()}
    expected = 0
    for block in blocks:
        for student in block.students():
            row = block.models[student]
            for view in {"clean", row["view"]}:
                means = plain_measures.ensemble(block, row["teacher_ids"], view, block.test["all"])
                for image, mean in zip(block.test["all"], means, strict=True):
                    logits, predicted = answers[student, view, image]
                    np.testing.assert_allclose(logits, mean, rtol=1e-14, atol=1e-12)
                    assert predicted == mean.argmax()
                    expected += 1
    assert found.height == expected


def test_attention_iou_equals_a_loop_over_cells_for_every_method(
    study: SyntheticStudy, blocks: list[Block]
):
    found = rows(study, "SELECT * FROM attention_iou")
    values = {row[:4]: row[4] for row in found.iter_rows()}
    expected = {
        (a, b, method, image): iou
        for block in blocks
        for a, b in block.cka
        for method in ("cam_label", "cam_predicted", "cam_sum")
        for image, iou in plain_measures.ious(block, a, b, method, block.test["all"], 0.4).items()
    }
    assert values.keys() == expected.keys()
    assert all(same(values[key], value) for key, value in expected.items())
    assert None in expected.values()


@pytest.mark.parametrize("tau", [0.2, 0.6, 0.999])
def test_iou_at_another_threshold_is_one_query(
    study: SyntheticStudy, blocks: list[Block], tau: float
):
    found = rows(study, f"SELECT * FROM attention_iou_at({tau}) WHERE method = 'cam_sum'")
    values = {(row[0], row[1], row[3]): row[4] for row in found.iter_rows()}
    pair = next(iter(blocks[0].cka))
    expected = plain_measures.ious(blocks[0], *pair, "cam_sum", blocks[0].test["all"], tau)
    assert all(same(values[*pair, image], iou) for image, iou in expected.items())


def test_iou_at_the_studys_own_threshold_is_attention_iou(study: SyntheticStudy):
    order = "ORDER BY model_a, model_b, method, image_id"
    view = rows(study, f"SELECT * FROM attention_iou {order}")
    macro = rows(study, f"SELECT * FROM attention_iou_at(0.4) {order}")
    assert view.equals(macro.cast(dict(view.schema)))


def test_contingency_counts_every_image_once_per_half(study: SyntheticStudy, blocks: list[Block]):
    found = rows(study, "SELECT * FROM contingency")
    block = blocks[-1]
    for student in block.students():
        teachers = block.models[student]["teacher_ids"]
        for half, images in block.test.items():
            heard = plain_measures.ensemble(block, teachers, "clean", images).argmax(axis=1)
            expected: dict[tuple[int, int, int], int] = {}
            for image, e in zip(images, heard.tolist(), strict=True):
                s = int(block.logits[student, "clean", image].argmax())
                key = (block.labels[image], e, s)
                expected[key] = expected.get(key, 0) + 1
            part = found.filter(student_id=student, half=half)
            assert {row[2:5]: row[5] for row in part.iter_rows()} == expected


def test_confusion_counts_labels_against_predictions(study: SyntheticStudy, blocks: list[Block]):
    found = rows(study, "SELECT * FROM confusion")
    assert found["images"].sum() == 150 * sum(len(block.models) for block in blocks)
    model = next(iter(blocks[0].models))
    expected = np.zeros((10, 10), dtype=int)
    for image in blocks[0].test["all"]:
        predicted = blocks[0].logits[model, "clean", image].argmax()
        expected[blocks[0].labels[image], predicted] += 1
    cells = found.filter(model_id=model)
    counted = np.zeros((10, 10), dtype=int)
    counted[cells["label"], cells["predicted"]] = cells["images"]
    np.testing.assert_array_equal(counted, expected)


def test_learning_curve_has_every_epoch_of_every_model(study: SyntheticStudy, blocks: list[Block]):
    found = rows(study, "SELECT * FROM learning_curve ORDER BY model_id, epoch")
    expected = [row for block in blocks for m in block.models for row in block.epochs[m]]
    names = list(expected[0])
    assert found.select(names).to_dicts() == expected


def test_model_measures_agree_with_the_students_measures(study: SyntheticStudy):
    models = rows(study, "SELECT * FROM model_measures")
    students = rows(study, "SELECT * FROM measures ORDER BY student_id")
    shared = ["test_accuracy", "generalization_gap", "entropy_nats", "ece", "mask_area"]
    own = models.filter(role="student").sort("model_id")
    assert own.select(shared).equals(students.select(shared))
    assert (
        models.height == models["model_id"].n_unique() == rows(study, "SELECT * FROM model").height
    )


def test_undefined_maps_are_counted_by_pair(study: SyntheticStudy, blocks: list[Block]):
    found = rows(study, "SELECT * FROM undefined_counts WHERE measure LIKE 'attention_iou%'")
    counted = {row[1:3]: row[4] for row in found.iter_rows()}
    expected = {
        (a, b): sum(
            iou is None
            for iou in plain_measures.ious(
                block, a, b, "cam_label", block.test["all"], 0.4
            ).values()
        )
        for block in blocks
        for a, b in block.cka
    }
    assert counted == expected
    assert found["of_images"].unique().to_list() == [150]


def test_published_affinity_is_of_teachers_trained_with_the_augmentation(
    study: SyntheticStudy,
):
    found = rows(study, "SELECT * FROM measures")
    assert (found.filter(teacher_strength=0)["affinity"] == 1).all()
    assert (found.filter(teacher_strength=0)["affinity_published"] == 1).all()
    strong = found.filter(teacher_strength=1)
    assert (strong["affinity"] != strong["affinity_published"]).any()


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> SyntheticStudy:
    """Weak is no augmentation, so that affinity is defined; ensembles of two and of three."""
    conditions = "{kind: factorial, teachers: [2, 3], weak: 0, strong: 1}"
    folder = tmp_path_factory.mktemp("mixed")
    return make_study(folder, seeds=1, test_images=40, train_images=20, conditions=conditions)


def test_measures_of_mixed_ensembles_equal_their_plain_loops(mixed: SyntheticStudy):
    block = read_block(mixed, mixed.members[0])
    found = rows(mixed, "SELECT * FROM measures")
    assert found.height == len(block.students()) == 24
    for student in block.students():
        row = found.row(by_predicate=pl.col("student_id") == student, named=True)
        expected = plain_measures.measures(block, student, "all")
        expected |= plain_measures.whole_measures(block, student)
        assert not {name for name, value in expected.items() if not same(row[name], value)}, student


def test_the_composition_of_every_ensemble_stands_in_slot_order(mixed: SyntheticStudy):
    found = rows(
        mixed,
        "SELECT measures.teacher_strengths, measures.teachers, measures.teacher_strength, "
        "list(teacher.strength ORDER BY teacher.slot) AS trained "
        "FROM measures INNER JOIN student_teacher USING (student_id) "
        "INNER JOIN model AS teacher ON student_teacher.teacher_id = teacher.model_id "
        "GROUP BY measures.student_id, measures.teacher_strengths, measures.teachers, "
        "measures.teacher_strength",
    )
    assert found.height == 24
    for strengths, teachers, mean, trained in found.iter_rows():
        assert strengths == trained
        assert teachers == len(strengths)
        assert mean == pytest.approx(sum(strengths) / teachers)


def test_disagreement_is_of_one_composition_and_counts_a_pair_once(mixed: SyntheticStudy):
    """Weak and strong students learn from one pair; WS and SW are no one ensemble."""
    found = rows(mixed, "SELECT * FROM teacher_disagreement")
    pairs = {
        tuple(strengths): set(rows["pairs"].to_list())
        for (strengths,), rows in found.group_by("teacher_strengths")
    }
    assert len(pairs) == 4 + 8
    assert {len(team): counts for team, counts in pairs.items()} == {2: {1}, 3: {3}}
    assert all(counts == ({1} if len(team) == 2 else {3}) for team, counts in pairs.items())
