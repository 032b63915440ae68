import logging
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest
import torch
from PIL import Image

from collect import classroom
from collect.block import Block, training_subset
from collect.checkpoint import Record, publish
from collect.datasets import Data, load
from collect.engine import Runtime, start
from collect.memory import Limits
from collect.models import build, frozen
from collect.pixels import InMemory
from store.design import TRAINING_PROTOCOL, Design
from store.errors import UserError
from store.frames import SHARD_FRAMES
from store.sections import Engine
from store.shard import content_hash
from store.table_files import Parts, in_memory

GOLDEN = [2.294506, 2.257438, 2.307168, 2.263375, 1.388969, 1.389225, 1.390990, 1.389225]


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


def _runtime(data: Data, **changes: object) -> Runtime:
    runtime = start(Engine(precision="fp32"), torch.device("cpu"), mean=data.mean, std=data.std)
    return replace(runtime, **changes)


def _collect(
    design: Design, block: int, scratch, finished=None, **changes: object
) -> dict[str, pl.DataFrame]:
    data = load(design)
    runtime = _runtime(data, **changes)
    done = finished or (lambda ordinal: None)
    return _read(
        Block(design, data, block, runtime=runtime, scratch=scratch, finished=done).collect()
    )


def _read(found: dict[str, pl.DataFrame | Parts]) -> dict[str, pl.DataFrame]:
    return {name: in_memory(table) for name, table in found.items()}


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
    original = classroom.train

    def counted(trainees, data, **arguments):
        trained.append((arguments["strength"], len(trainees)))
        return original(trainees, data, **arguments)

    monkeypatch.setattr(classroom, "train", counted)
    assert _hashes(_collect(_study(), 0, tmp_path)) == _hashes(tables)
    # ordinals 0 to 5 were kept but for the damaged one; student 7 is student 5's twin
    assert trained == [(0.5, 1), (0.0, 1)]


def test_models_begun_by_another_engine_are_trained_again(tables, tmp_path, caplog):
    def stop(ordinal: int) -> None:
        if ordinal == 2:
            raise _StoppedError

    with pytest.raises(_StoppedError):
        _collect(_study(), 0, tmp_path, stop, precision="bf16")
    with caplog.at_level(logging.WARNING):
        assert _hashes(_collect(_study(), 0, tmp_path)) == _hashes(tables)
    assert "block 0 was begun by another engine" in caplog.text


def test_models_of_an_engine_that_cannot_be_read_are_trained_again(tables, tmp_path, caplog):
    (tmp_path / "engine.json").write_bytes(b"{\xa0")
    with caplog.at_level(logging.WARNING):
        assert _hashes(_collect(_study(), 0, tmp_path)) == _hashes(tables)
    assert "block 0 was begun by another engine" in caplog.text


def _running_out(monkeypatch, name: str, fits: int, size) -> list[int]:
    """Let a function of the engine find no memory for more than ``fits``; list what it tried."""
    tried = []
    original = getattr(Runtime, name)

    def limited(runtime, model, images):
        tried.append(size(images))
        if tried[-1] > fits:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return original(runtime, model, images)

    monkeypatch.setattr(Runtime, name, limited)
    return tried


def test_out_of_memory_halves_the_images_observed_at_once_and_changes_no_bit(
    tables, tmp_path, monkeypatch, caplog
):
    tried = _running_out(monkeypatch, "features", 30, len)
    limits = Limits()
    with caplog.at_level(logging.WARNING):
        found = _collect(_study(), 0, tmp_path, limits=limits)
    assert _hashes(found) == _hashes(tables)
    assert limits == Limits(observation_batch=30)
    assert tried[:3] == [60, 30, 30]
    assert "out of memory with 60 images in one pass; going on with 30" in caplog.text


def test_out_of_memory_halves_the_models_in_lockstep_and_never_the_training_batch(
    tables, tmp_path, monkeypatch, caplog
):
    # three students of fixed and matched arms share strength 0.5, two of them with one treatment
    original, sizes, batches = classroom.train, [], set()

    def limited(trainees, data, **arguments):
        sizes.append(len(trainees))
        batches.add(arguments["recipe"].batch_size)
        if len(trainees) > 1:
            raise RuntimeError(
                "[enforce fail at alloc_cpu.cpp:121] err == 0. DefaultCPUAllocator: "
                "can't allocate memory: you tried to allocate 4096 bytes."
            )
        return original(trainees, data, **arguments)

    monkeypatch.setattr(classroom, "train", limited)
    limits = Limits()
    with caplog.at_level(logging.WARNING):
        found = _collect(_study(), 0, tmp_path, limits=limits)
    assert _hashes(found) == _hashes(tables)
    assert sizes == [1, 1, 1, 1, 2, 1, 1, 1]
    assert (limits.together, batches) == (1, {20})
    assert "out of memory with 2 models in lockstep; going on with 1" in caplog.text


def test_teachers_that_teach_in_train_mode_are_measured_as_trained_and_lockstep_hides_nothing(
    tables, tmp_path
):
    study = _study(distillation={"teacher_mode": "train"})
    together = _collect(study, 0, tmp_path / "together")
    alone = _collect(study, 0, tmp_path / "alone", limits=Limits(together=1))
    assert _hashes(alone) == _hashes(together)
    hashes, drifted = (
        found["model"].sort("ordinal")["weights_hash"].to_list() for found in (tables, together)
    )
    # the teachers' statistics drift in a copy; what is kept and measured is the trained teacher
    assert drifted[:4] == hashes[:4]
    assert not set(drifted[4:]) & set(hashes[4:])


def test_teachers_of_two_groups_of_students_are_copied_once(tables, tmp_path, monkeypatch):
    copied = []

    def counted(model):
        copied.append(model)
        return frozen(model)

    monkeypatch.setattr(classroom, "frozen", counted)
    # two groups, by the students' own strengths; each asks for teachers 2 and 3, the first for all
    assert _hashes(_collect(_study(), 0, tmp_path)) == _hashes(tables)
    assert len(copied) == len({id(model) for model in copied}) == 4


def test_a_model_that_does_not_fit_alone_is_an_error_that_says_what_to_do(tmp_path, monkeypatch):
    tried = _running_out(monkeypatch, "training_logits", 0, len)
    with pytest.raises(UserError, match="the training batch is not made smaller"):
        _collect(_study(), 0, tmp_path)
    assert tried == [20]


def test_images_that_do_not_fit_by_fours_are_an_error_that_says_what_to_do(tmp_path, monkeypatch):
    tried = _running_out(monkeypatch, "features", 0, len)
    with pytest.raises(UserError, match="out of memory while observing 4 images at once"):
        _collect(_study(), 0, tmp_path)
    assert tried == [60, 30, 15, 7, 4]


def test_an_error_that_is_not_about_memory_is_not_swallowed(tmp_path, monkeypatch):
    def broken(*_):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    monkeypatch.setattr(Runtime, "features", broken)
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        _collect(_study(), 0, tmp_path)


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
    original = classroom.train

    def fail_the_third(trainees, data, **arguments):
        original(trainees, data, **arguments)
        if len(list(tmp_path.glob("model-*"))) == 2:
            trainees[0].failure = "the training loss became nan in epoch 1, step 1"

    monkeypatch.setattr(classroom, "train", fail_the_third)
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


SHARED = {"seeds": 4, "shared_teachers": {"pools": 2}}


def _pooled(scratch, block: int, pools) -> dict[str, pl.DataFrame]:
    study = _study(**SHARED)
    data = load(study)
    runtime = _runtime(data)
    place = scratch / f"block-{block}"
    made = Block(
        study, data, block, runtime=runtime, scratch=place, pools=pools, finished=lambda _: None
    )
    return _read(made.collect())


@pytest.fixture(scope="module")
def pooled(tmp_path_factory):
    """Blocks 0, 1 and 2 of a study with two pools, which 0 and 2 share, and how often was trained.

    Block 2 comes first, and trains what block 0 finds.
    """
    scratch, trained = tmp_path_factory.mktemp("pooled"), {}
    original = classroom.train
    with pytest.MonkeyPatch.context() as patch:
        for block in (2, 0, 1):
            runs = trained.setdefault(block, [])
            patch.setattr(
                classroom,
                "train",
                lambda *args, runs=runs, **named: (runs.append(1), original(*args, **named)),
            )
            trained[block] = runs
            tables = _pooled(scratch, block, scratch / "pools")
            trained[block] = (tables, len(runs))
    return trained


def _weights(tables: dict[str, pl.DataFrame], role: str) -> list[str]:
    return tables["model"].filter(pl.col("role") == role)["weights_hash"].to_list()


def test_blocks_of_one_pool_have_the_same_teachers_and_students_of_their_own(pooled):
    (first, few), (other, _), (second, all_of_them) = (pooled[block] for block in (0, 1, 2))
    assert _weights(first, "teacher") == _weights(second, "teacher")
    assert not set(_weights(first, "teacher")) & set(_weights(other, "teacher"))
    assert not set(_weights(first, "student")) & set(_weights(second, "student"))
    # four teachers and two groups of students; the second block of a pool finds the teachers
    assert (all_of_them, few) == (6, 2)


def test_a_pools_teachers_are_measured_on_the_images_that_they_were_trained_on(pooled):
    def seen(tables, model: int) -> set[int]:
        rows = tables["prediction"].filter(pl.col("model_id") == model, pl.col("view") == "clean")
        return set(rows["image_id"])

    (first, _), (second, _) = pooled[0], pooled[2]
    assert seen(first, 0) == seen(second, 2000)
    assert seen(first, 4) != seen(second, 2004)
    assert seen(first, 0) != seen(first, 4)


def test_a_shared_teachers_bits_do_not_depend_on_who_trained_it(pooled, tmp_path):
    alone = _pooled(tmp_path, 0, None)
    assert _hashes(alone) == _hashes(pooled[0][0])


def test_shared_teachers_are_others_than_those_of_the_seeds_own(pooled, tables):
    assert not set(_weights(pooled[0][0], "teacher")) & set(_weights(tables, "teacher"))


def test_who_publishes_a_teacher_first_is_believed(tmp_path):
    network = _study().own_training.networks.teacher
    first, second = (
        build(network, channels=1, side=8, classes=10, generator=torch.Generator().manual_seed(1))
        for _ in range(2)
    )
    records = [
        Record(failure=None, seconds=seconds, finished_at=datetime.now(UTC), epochs=())
        for seconds in (1.0, 2.0)
    ]
    place = tmp_path / "pool" / "teacher.safetensors"
    assert publish(place, first, records[0]) == records[0]
    assert publish(place, second, records[1]) == records[0]
    place.write_bytes(b"damaged")
    assert publish(place, second, records[1]) == records[1]
    assert [path.name for path in place.parent.iterdir()] == ["teacher.safetensors"]


def test_numbers_change_only_with_the_training_protocol(tables):
    # where this fails and nothing else does, raise TRAINING_PROTOCOL and write the new numbers
    # here: shards of before and after must not be mixed. Processors differ in the last digits.
    losses = tables["epoch"].filter(pl.col("epoch") == 2)["train_loss"].to_list()
    assert (TRAINING_PROTOCOL, losses) == (2, pytest.approx(GOLDEN, rel=2e-5))


def test_a_block_of_images_in_files_is_collected_as_one_from_memory(tmp_path):
    # 60 images of two classes, told apart by their halves, in torchvision's layout
    generator = np.random.default_rng(0)
    for split, images in (("train", 30), ("test", 30)):
        for index in range(images):
            pixels = generator.integers(0, 120, size=(16, 16, 3), dtype=np.uint8)
            pixels[8 * (index % 2) : 8 * (index % 2) + 8] += 120
            place = tmp_path / split / str(index % 2)
            place.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(place / f"{index:02d}.png")
    folder = {"kind": "imagefolder", "path": str(tmp_path), "image_size": 16, "classes": 2}
    study = _study(dataset={**folder, "test_size": 20, "train_subset": {"size": 24}})
    streamed = _collect(study, 0, tmp_path / "a")
    in_files = load(study)
    kept = [
        replace(part, pixels=InMemory(part.pixels.read(np.arange(len(part.labels)))))
        for part in (in_files.pool, in_files.test)
    ]
    data = replace(in_files, pool=kept[0], test=kept[1])
    from_memory = _read(
        Block(
            study, data, 0, runtime=_runtime(data), scratch=tmp_path / "b", finished=lambda _: None
        ).collect()
    )
    assert _hashes(streamed) == _hashes(from_memory)
    assert streamed["model"]["status"].unique().to_list() == ["complete"]
