import polars as pl
import pytest
import torch

from collect import block as block_module
from collect.block import Block, training_subset
from collect.datasets import load
from collect.engine import Runtime
from store.design import Design
from store.frames import SHARD_FRAMES
from store.shard import content_hash


def _study(**changes: object) -> Design:
    network = {"depth": 8, "width": 4, "strides": [1, 2, 1]}
    recipe = {"epochs": 2, "batch_size": 20, "learning_rate": 0.05, "evaluate_every": 1}
    return Design.model_validate(
        {
            "study": "tiny",
            "title": "Tiny",
            "study_seed": 3,
            "seeds": 2,
            "dataset": {"kind": "digits", "test_size": 60, "train_subset": {"size": 40}},
            "networks": {"teacher": network, "student": network},
            "training": {"teacher": recipe, "student": recipe},
            "design": {"strengths": [0, 0.5]},
            "claims": {"H1": {"sesoi": {"attention_iou_adjusted": 0.1}}},
            **changes,
        }
    )


def _collect(design: Design, block: int, scratch, finished=None) -> dict[str, pl.DataFrame]:
    data = load(design)
    runtime = Runtime(
        torch.device("cpu"),
        "fp32",
        torch.from_numpy(data.mean)[None, :, None, None],
        torch.from_numpy(data.std)[None, :, None, None],
    )
    done = finished or (lambda ordinal: None)
    return Block(design, data, block, runtime=runtime, scratch=scratch, finished=done).collect()


def _hashes(tables: dict[str, pl.DataFrame]) -> list[str]:
    return [content_hash(frame, frame.check(tables[frame.name])) for frame in SHARD_FRAMES]


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    return _collect(_study(), 0, tmp_path_factory.mktemp("scratch"))


def test_a_block_holds_every_model_view_and_map_that_the_design_asks_for(tables):
    models = tables["model"]
    assert models["role"].to_list() == ["teacher"] * 4 + ["student"] * 4
    assert models.filter(pl.col("role") == "student")["teacher_ids"].to_list() == [
        [0, 1],
        [2, 3],
        [0, 1],
        [2, 3],
    ]
    rows = tables["prediction"].group_by("model_id", "view").len().sort("model_id", "view")
    both = 60 + 40
    # clean-trained teachers see every view of the test images, but train on clean ones
    assert rows.filter(pl.col("model_id") == 0).rows() == [
        (0, "clean", both),
        (0, "graded-0.5", 60),
    ]
    assert rows.filter(pl.col("model_id") == 2).rows() == [
        (2, "clean", both),
        (2, "graded-0.5", both),
    ]
    assert rows.filter(pl.col("model_id") == 6).rows() == [(6, "clean", both)]
    maps = tables["attention"].group_by("view", "method").len().sort("view", "method")
    assert maps["method"].to_list() == ["cam_label", "cam_predicted", "cam_sum", "cam_sum"]
    assert tables["attention"]["map"].list.len().unique().to_list() == [64]
    assert tables["model_pair"].height == 2 + 4 * 2


def test_the_same_seed_gives_the_same_content(tables, tmp_path):
    assert _hashes(_collect(_study(), 0, tmp_path)) == _hashes(tables)


def test_another_seed_gives_other_content(tables, tmp_path):
    other = _collect(_study(), 1, tmp_path)
    assert other["model"]["weights_hash"].to_list() != tables["model"]["weights_hash"].to_list()
    assert set(other["model"]["model_id"]) == set(range(1000, 1008))


class _StoppedError(Exception):
    pass


def test_a_stopped_block_goes_on_where_it_was_and_ends_the_same(tables, tmp_path, monkeypatch):
    def stop(ordinal: int) -> None:
        if ordinal == 5:
            raise _StoppedError

    with pytest.raises(_StoppedError):
        _collect(_study(), 0, tmp_path, stop)
    (tmp_path / "model-002.safetensors").write_bytes(b"truncated")
    trained = []
    original = block_module.train

    def counted(model, data, **arguments):
        trained.append(arguments["strength"])
        return original(model, data, **arguments)

    monkeypatch.setattr(block_module, "train", counted)
    assert _hashes(_collect(_study(), 0, tmp_path)) == _hashes(tables)
    # ordinals 0 to 5 were kept but for the damaged one; student 7 is student 5's twin
    assert trained == [0.5, 0.0]


def test_arms_that_ask_for_the_same_student_get_the_same_student(tables):
    hashes = tables["model"].filter(pl.col("role") == "student")["weights_hash"].to_list()
    fixed, matched = hashes[:2], hashes[2:]
    assert fixed[1] == matched[1]
    assert fixed[0] != matched[0]


def test_teachers_of_one_slot_start_alike_and_those_of_two_slots_do_not(tmp_path):
    recipe = {"epochs": 1, "batch_size": 40, "learning_rate": 1e-9, "warmup_epochs": 0}
    study = _study(training={"teacher": recipe, "student": recipe})
    hashed = _collect(study, 0, tmp_path)["prediction"].filter(pl.col("view") == "clean")
    logits = {
        model: rows["logits"].explode().to_numpy()
        for (model,), rows in hashed.partition_by("model_id", as_dict=True).items()
    }
    # running statistics differ with the augmentation, weights hardly: slots are farther apart
    within = abs(logits[0] - logits[2]).mean()
    between = abs(logits[0] - logits[1]).mean()
    assert within < 0.5 * between


def test_a_failed_teacher_fails_its_students_and_keeps_the_rest(tmp_path, monkeypatch):
    original = block_module.train

    def fail_the_third(model, data, **arguments):
        result = original(model, data, **arguments)
        if len(list(tmp_path.iterdir())) == 2:
            result.failure = "the training loss became nan in epoch 1, step 1"
        return result

    monkeypatch.setattr(block_module, "train", fail_the_third)
    tables = _collect(_study(), 0, tmp_path)
    status = tables["model"].select("ordinal", "status", "reason").rows()
    assert [row[1] for row in status] == [
        "complete",
        "complete",
        "failed",
        "complete",
        "complete",
        "failed",
        "complete",
        "failed",
    ]
    assert status[5][2] == "its teacher 2 failed"
    assert set(tables["prediction"]["model_id"]) == {0, 1, 3, 4, 6}
    _hashes(tables)


def test_blocks_draw_their_own_subset_unless_the_study_fixes_it():
    design = _study()
    data = load(design)
    first, second = (training_subset(design, data, block) for block in (0, 1))
    assert len(set(first)) == 40
    assert set(first) != set(second)
    fixed = _study(
        dataset={
            "kind": "digits",
            "test_size": 60,
            "train_subset": {"size": 40, "resample": "fixed"},
        }
    )
    first, second = (training_subset(fixed, data, block) for block in (0, 1))
    assert list(first) == list(second)
