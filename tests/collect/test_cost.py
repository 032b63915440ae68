import json
import re
from collections import Counter
from pathlib import Path

import pytest
import synthetic
import torch

from collect import train
from collect.__main__ import main
from collect.block import Block
from collect.cost import cost, cost_text, duration
from collect.datasets import load
from collect.engine import Runtime, start
from collect.timing import Rates, measure
from collect.workload import workload
from store.design import Design
from store.sections import Engine, SharedTeachers
from store.shard import read_manifest
from store.study_file import load_design
from store.table_files import in_memory

TINY = Path(__file__).parents[1] / "workflow/tiny.yaml"
TRAIN, TEST, SHOWN = 40, 60, 25


def _study() -> Design:
    """The tiny study with five seeds in packs of two, students trained longer, and fewer shown."""
    declared = load_design(TINY).declared()
    recipe = {**declared["training"]["teacher"], "epochs": 3, "evaluate_every": 2}
    return Design.model_validate(
        {
            **declared,
            "seeds": 5,
            "pack_size": 2,
            "dataset": {
                "kind": "digits",
                "test_size": TEST,
                "train_subset": {"size": TRAIN},
                "train_observed": SHOWN,
            },
            "training": {"teacher": recipe, "student": {**recipe, "epochs": 4}},
        }
    )


@pytest.fixture(scope="module")
def data():
    return load(_study())


@pytest.fixture(scope="module")
def runtime(data):
    return start(Engine(precision="fp32"), torch.device("cpu"), mean=data.mean, std=data.std)


@pytest.fixture(scope="module")
def done(data, runtime, tmp_path_factory):
    """What a block really did, in images, by kind of work; and its tables."""
    counts: Counter[str] = Counter()
    patch = pytest.MonkeyPatch()
    logits, plain, augmented = Runtime.training_logits, Runtime.logits, train.augmented_batches

    def training_logits(self, model, images):
        counts["learned" if torch.is_grad_enabled() else "answers"] += len(images)
        return logits(self, model, images)

    def evaluated(self, model, images):
        counts["evaluated"] += len(images)
        return plain(self, model, images)

    def drawn(pixels, order, choices, **options):
        counts["augmented"] += len(order)
        return augmented(pixels, order, choices, **options)

    patch.setattr(Runtime, "training_logits", training_logits)
    patch.setattr(Runtime, "logits", evaluated)
    patch.setattr(train, "augmented_batches", drawn)
    scratch = tmp_path_factory.mktemp("scratch")
    block = Block(
        _study(), data, 0, runtime=runtime, scratch=scratch, finished=lambda _ordinal: None
    )
    tables = block.collect()
    patch.undo()
    return counts, {name: in_memory(tables[name]).height for name in ("prediction", "attention")}


def test_the_work_counted_is_the_work_that_a_block_does(done):
    counts, rows = done
    work = workload(_study(), train_images=TRAIN, test_images=TEST)
    # fixed and matched ask for one student of the teachers at 0.5
    assert (work.teachers, work.students) == (6, 5)
    assert work.teacher_training + work.student_training == counts["learned"]
    assert work.answers == counts["answers"]
    assert work.teachers_augmented + work.students_augmented == counts["augmented"]
    assert work.teacher_evaluated + work.student_evaluated == counts["evaluated"]
    assert work.teacher_observed + work.student_observed == rows["prediction"]
    assert work.maps == rows["attention"]


def _rates(seconds: float) -> Rates:
    return Rates(
        teacher_training=seconds,
        student_training=0,
        answers=0,
        augmented=0,
        teacher_evaluated=0,
        student_evaluated=0,
        teacher_observed=0,
        student_observed=0,
    )


def test_time_is_that_of_the_longest_row_of_jobs():
    design = _study()
    work = workload(design, train_images=TRAIN, test_images=TEST)
    found = cost(design, work, _rates(0.01), classes=10, start_seconds=4, jobs=2)
    block = 6 * 3 * TRAIN * 0.01
    # three packs, the largest of two blocks, two at a time: two rounds
    assert found.seconds == pytest.approx(2 * (4 + 2 * block))
    alone = cost(design, work, _rates(0.01), classes=10, start_seconds=4, jobs=64)
    assert (alone.jobs, alone.seconds) == (3, pytest.approx(4 + 2 * block))


def test_teachers_that_seeds_share_are_counted_once_for_each_pool():
    design = _study().model_copy(update={"shared_teachers": SharedTeachers(pools=2)})
    work = workload(design, train_images=TRAIN, test_images=TEST)
    found = cost(design, work, _rates(0.01), classes=10, start_seconds=0, jobs=1)
    trained = 2 * 6 * 3 * TRAIN
    assert found.block_seconds["teachers"] * design.seeds == pytest.approx(trained * 0.01)
    assert (
        f"{12 + design.seeds * 5}: 2 pools x 6 teachers + {design.seeds} seeds x 5 students"
        in cost_text(found, where="a machine")
    )


def test_what_is_measured_is_positive_and_leaves_nothing_behind(data, runtime, tmp_path):
    rates = measure(_study(), data, runtime, seconds=0.1)
    assert all(getattr(rates, name) > 0 for name in Rates.__slots__)
    assert not list(tmp_path.iterdir())


def test_the_command_says_models_passes_time_and_disk(capsys):
    asked = ["--jobs", "2", "--seconds", "0.1", "--pack-minutes", "600"]
    assert main(["cost", str(TINY), *asked]) == 0
    said = capsys.readouterr().out
    assert re.search(r"packs    pack_size: \d{3,} makes 1 jobs of about", said)
    assert "models   33: 3 seeds x (6 teachers + 5 students), in 3 jobs" in said
    assert all(word in said for word in ("passes ", "time ", "2 at a time", "disk "))


def test_packs_are_decided_by_what_finished_blocks_took(tmp_path, capsys):
    study = synthetic.make_study(tmp_path, seeds=3, built=False)
    seconds = read_manifest(study.members[0]).environment.seconds
    asked = ["--results", str(study.results), "--pack-minutes", str(4.5 * seconds / 60)]
    assert main(["packing", str(study.study_file), *asked]) == 0
    assert "packs: 4 blocks a job" in capsys.readouterr().out
    decided = json.loads((study.results / "packing.json").read_text())
    assert decided["measured"] == "3 finished blocks"
    assert decided["block_seconds"] == seconds


def test_a_study_that_is_trained_elsewhere_costs_nothing_here(capsys):
    assert main(["cost", str(TINY.parents[2] / "config/digits-mlp.yaml")]) == 2
    assert "trained elsewhere" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.4, "0 s"), (119, "119 s"), (121, "2.0 min"), (7300, "2.0 h"), (2e6, "23 d")],
)
def test_durations_are_in_the_unit_that_a_person_would_use(seconds, words):
    assert duration(seconds) == words


def test_every_share_of_the_time_is_named(data, runtime):
    design = _study()
    work = workload(design, train_images=TRAIN, test_images=TEST)
    found = cost(design, work, _rates(0.01), classes=10, start_seconds=1, jobs=1)
    said = cost_text(found, where="a machine")
    assert "100%  teachers" in said
    assert "on a machine" in said
