"""Students without teachers, and teachers that blocks share, in plan, store and exports."""

import polars as pl
import pytest
from synthetic import make_study

from store.builder import changing
from store.database import open_reader
from store.design import Design
from store.doctor import examine
from store.huggingface import export_huggingface
from store.ledger import condition_rows
from store.mlflow_runs import export_mlflow
from store.plan import with_controls
from store.recipes import recipes
from store.vocabulary import Arm


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return make_study(tmp_path_factory.mktemp("controls"), seeds=3, control=True)


def _measures(study) -> pl.DataFrame:
    with open_reader(study.store) as reader:
        return reader.frame("SELECT * FROM measures ORDER BY student_id")


def test_controls_stand_last_in_the_plan_one_for_every_students_strength(study):
    plan = study.design.plan()
    without = study.design.design.plan()
    assert with_controls(without) == plan
    assert (plan.teachers, plan.students[: len(without.students)]) == (
        without.teachers,
        without.students,
    )
    controls = plan.students[len(without.students) :]
    assert [control.strength for control in controls] == [0, 0.5, 1]
    assert all((c.arm, c.teachers, c.teacher_strength) == (Arm.CONTROL, (), None) for c in controls)
    assert plan.pairs() == without.pairs()


def test_a_control_has_measures_of_its_own_and_none_of_teachers(study):
    measures = _measures(study)
    controls = measures.filter(pl.col("arm") == "control")
    assert controls.height == 9
    own = ("test_accuracy", "train_accuracy", "generalization_gap", "loss_gap_nats", "ece")
    of_teachers = ("agreement", "predictive_kl_nats", "attention_iou", "cka", "affinity")
    assert all(controls[name].null_count() == 0 for name in own)
    assert all(controls[name].null_count() == 9 for name in of_teachers)
    taught = measures.filter(pl.col("arm") != "control")
    assert all(taught[name].null_count() == 0 for name in of_teachers)


def test_the_condition_of_a_control_has_no_teachers_strength(study):
    rows = condition_rows(study.design).filter(pl.col("arm") == "control")
    assert rows["teacher_strength"].to_list() == [None] * 3
    assert rows["teachers"].to_list() == [0] * 3


def test_doctor_finds_a_store_with_controls_sound(study):
    assert examine(study.store, shards=study.shards) == []


def test_views_and_recipes_read_controls(study):
    with open_reader(study.store) as reader:
        time = reader.frame("SELECT * FROM training_time ORDER BY condition_id")
        curves = reader.frame("SELECT DISTINCT arm FROM learning_curve ORDER BY arm")
    assert time.filter(pl.col("arm") == "control")["teachers_trained"].to_list() == [0] * 3
    assert time.height == len(study.design.plan().students)
    assert curves["arm"].to_list() == ["control", "fixed", "matched", None]


def test_every_recipe_of_the_cookbook_reads_a_store_with_controls(study):
    with open_reader(study.store) as reader:
        for recipe in recipes():
            reader.frame(recipe.sql)


def test_exports_name_controls_by_their_own_strength(study, tmp_path):
    with open_reader(study.store) as reader:
        export_mlflow(reader, tmp_path / "mlflow")
        export_huggingface(reader, tmp_path / "hub")
    names = {
        tag.read_text(encoding="utf-8").strip()
        for tag in (tmp_path / "mlflow").rglob("mlflow.runName")
    }
    assert {f"seed 0 student control strength {s:g}" for s in (0, 0.5, 1)} <= names


def test_the_store_says_the_pool_of_every_block_and_doctor_compares_it(tmp_path):
    study = make_study(tmp_path, seeds=3, strengths=(0, 1), more="shared_teachers: {pools: 2}")
    with open_reader(study.store) as reader:
        rows = reader.frame("SELECT block, pool FROM shard ORDER BY block").rows()
    assert rows == [(0, 0), (1, 1), (2, 0)]
    # the drawn teachers of blocks 0 and 2 are two sets, which shared ones cannot be
    said = [fault.what for fault in examine(study.store, shards=study.shards)]
    assert said == [
        f"model: teacher {n} of pool 0 is not the same network in all of its blocks"
        for n in range(4)
    ]
    with changing(study.store) as tables:
        tables.run("UPDATE shard SET pool = 1 WHERE block = 0")
        tables.run("UPDATE model SET weights_hash = 'one' WHERE role = 'teacher'")
    said = [fault.what for fault in examine(study.store, shards=None)]
    assert "shard: block 0 says pool 1; the study gives it 0" in said
    assert not any("not the same network" in text for text in said)


def test_a_study_keeps_its_shards_and_a_control_gives_others(study):
    declared = study.design.declared()
    conditions = {key: value for key, value in declared["design"].items() if key != "control"}
    without = Design.model_validate({**declared, "design": conditions})
    said = Design.model_validate({**declared, "design": {**conditions, "control": False}})
    assert without.shard_key(0) == said.shard_key(0) != study.design.shard_key(0)
    with pytest.raises(ValueError, match="control is no arm to list; write control: true"):
        Design.model_validate({**declared, "design": {**conditions, "arms": ["control"]}})
