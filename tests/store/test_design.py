import json
from pathlib import Path

import pytest
import yaml

from store.design import Design
from store.errors import DataError, StudyError
from store.packing import declared_packing
from store.study_file import (
    design_from_declaration,
    keep_declaration,
    kept_declaration,
    load_design,
    require_data,
)
from store.vocabulary import Arm, PairKind

ROOT = Path(__file__).resolve().parents[2]
DIGITS = ROOT / "config/digits.yaml"


def _changed(**changes: object) -> Design:
    declared = yaml.safe_load(DIGITS.read_text())
    return Design.model_validate({**declared, **changes})


def test_teachers_of_one_ensemble_and_each_student_with_its_teachers_are_pairs():
    design = {"strengths": [0, 1], "teachers": 3, "arms": ["matched"]}
    pairs = _changed(design=design).plan().pairs()
    teachers = [(0, 1), (0, 2), (1, 2), (3, 4), (3, 5), (4, 5)]
    students = [(0, 6), (1, 6), (2, 6), (3, 7), (4, 7), (5, 7)]
    assert pairs == {
        **dict.fromkeys(teachers, PairKind.TEACHER_TEACHER),
        **dict.fromkeys(students, PairKind.TEACHER_STUDENT),
    }


def _looks(*looks: int) -> dict[str, object]:
    return {"rule": "group_sequential", "looks": list(looks)}


def test_the_default_study_is_the_declared_one():
    design = load_design(DIGITS)
    plan = design.plan()
    assert (design.seeds, len(plan.teachers), len(plan.students)) == (12, 10, 10)
    assert [teacher.strength for teacher in plan.teachers[::2]] == [0, 0.25, 0.5, 0.75, 1]
    assert {s.strength for s in plan.students if s.arm is Arm.FIXED} == {0.5}
    assert all(s.strength == s.teacher_strength for s in plan.students if s.arm is Arm.MATCHED)
    assert design.grid == 8


def test_students_of_both_arms_have_the_same_teachers_and_those_have_the_students_strength():
    plan = load_design(DIGITS).plan()
    strengths = {teacher.ordinal: teacher.strength for teacher in plan.teachers}
    for student in plan.students:
        assert {strengths[ordinal] for ordinal in student.teachers} == {student.teacher_strength}
    by_arm = {
        arm: [student.teachers for student in plan.students if student.arm is arm] for arm in Arm
    }
    assert by_arm[Arm.FIXED] == by_arm[Arm.MATCHED]


@pytest.mark.parametrize(
    "changes",
    [
        {"seeds": 13},
        {"title": "Another title"},
        {"pack_size": 4},
        {"attention": {"tau": 0.5}},
        {"claims": {"H1": {"sesoi": {"attention_iou_adjusted": 0.2}}}},
        {"failed_runs": "exclude_student"},
        {"adding_seeds": {"rule": "group_sequential", "looks": [6, 12, 18]}},
    ],
)
def test_what_cannot_change_a_shards_numbers_leaves_its_key(changes):
    assert _changed(**changes).shard_key(3) == _changed().shard_key(3)
    assert _changed(**changes).study_hash() != _changed().study_hash()


@pytest.mark.parametrize(
    "changes",
    [
        {"study_seed": 1},
        {"device": "cpu"},
        {"engine": {"precision": "bf16"}},
        {"distillation": {"temperature": 4}},
        {"design": {"strengths": [0, 1]}},
        {"augmentation": {"maximum": {"cutout": 0.3}}},
        {"dataset": {"kind": "digits", "train_subset": {"size": 100}}},
    ],
)
def test_what_can_change_a_shards_numbers_changes_its_key(changes):
    assert _changed(**changes).shard_key(3) != _changed().shard_key(3)


def test_a_declaration_that_is_no_text_any_more_is_kept_anew(tmp_path):
    study = _changed()
    keep_declaration(study, tmp_path)
    (file,) = tmp_path.iterdir()
    text = file.read_bytes()
    file.write_bytes(text[:9] + bytes([text[9] ^ 0x80]) + text[10:])
    with pytest.raises(StudyError, match="cannot be read"):
        kept_declaration(tmp_path)
    keep_declaration(study, tmp_path)
    assert file.read_bytes() == text
    assert kept_declaration(tmp_path) == study


def test_keys_that_a_study_does_not_use_are_left_out_of_what_it_declares():
    declared = _changed(distillation={"teacher_mode": "eval"}).declared()
    assert declared["distillation"] == {"loss": "kl", "temperature": 3, "alpha": 0.6}
    assert "optimizer" not in declared["training"]["teacher"]
    assert _changed(distillation={"teacher_mode": "train"}).shard_key(3) != _changed().shard_key(3)


def _recipe(**changes):
    return {"training": {"teacher": RECIPE, "student": {**RECIPE, **changes}}}


STEPS = {"schedule": "step", "milestones": [5, 8]}
RECIPE = {"epochs": 10, "batch_size": 32, "learning_rate": 0.1}


@pytest.mark.parametrize(
    "changes",
    [
        {"distillation": {"loss": "mse", "alpha": 0.2, "teacher_mode": "train"}},
        {"distillation": {"loss": "ensemble", "average": "logits", "temperature": 2}},
        _recipe(optimizer="adamw", betas=[0.8, 0.99], epsilon=1e-6),
        _recipe(**STEPS, gamma=0.2, warmup_epochs=2, warmup_by="epoch"),
    ],
)
def test_what_a_study_declares_reads_as_the_same_study(changes):
    design = _changed(**changes)
    read = design_from_declaration(json.dumps(design.declared()), source="a store")
    assert read == design
    assert read.shard_key(3) == design.shard_key(3) != _changed().shard_key(3)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"distillation": {"loss": "mse", "temperature": 3}},
            r"distillation.temperature: unknown key \(value 3\); allowed: alpha, teacher_mode, lo",
        ),
        ({"distillation": {"average": "logits"}}, "distillation.average: unknown key .* temperat"),
        ({"distillation": {"loss": "ensemble"}}, "distillation.average: missing"),
        (
            {"distillation": {"loss": "ensemble", "average": "votes"}},
            "distillation.average: value 'votes': .*'logits' or 'probabilities'",
        ),
        ({"distillation": {"loss": "hinge"}}, "distillation: .*'hinge'.*'kl', 'ensemble', 'mse'"),
        ({"distillation": {"teacher_mode": "test"}}, "teacher_mode: value 'test': .*'eval' or"),
        (_recipe(**{**STEPS, "milestones": [8, 5]}), r"training.student: .*allowed: \[5, 8\]"),
        (_recipe(**{**STEPS, "milestones": [5, 5]}), r"not ascending and distinct; allowed: \[5\]"),
        (_recipe(**{**STEPS, "milestones": [5, 10]}), "at least 1 and below epochs 10"),
        (_recipe(**{**STEPS, "milestones": [0]}), "at least 1 and below epochs 10"),
        (_recipe(gamma=0.2), "gamma: not for schedule cosine; leave out"),
        (_recipe(**STEPS, gamma=0), "gamma: value 0: .*greater than 0"),
        (_recipe(**STEPS, gamma=1.5), "gamma: value 1.5: .*less than or equal to 1"),
        (_recipe(warmup_by="epoch", warmup_epochs=1.5), "warmup_epochs 1.5 is no whole number"),
        (_recipe(optimizer="adamw", momentum=0.5), "momentum: not for optimizer adamw; leave out"),
        (_recipe(betas=[0.8, 0.9]), "betas: not for optimizer sgd; leave out"),
        (_recipe(optimizer="adam"), "optimizer: value 'adam': .*'sgd' or 'adamw'"),
    ],
)
def test_a_fault_in_how_networks_are_trained_is_one_clear_line(tmp_path, changes, words):
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump({**yaml.safe_load(DIGITS.read_text()), **changes}))
    with pytest.raises(StudyError, match=words) as caught:
        load_design(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_blocks_take_turns_at_the_pools_of_shared_teachers():
    shared = _changed(shared_teachers={"pools": 3})
    assert [shared.pool_of(block) for block in range(5)] == [0, 1, 2, 0, 1]
    assert _changed().pool_of(4) is None
    assert shared.shard_key(0) != _changed().shard_key(0)
    assert "shared_teachers" not in _changed().declared()
    # a teacher is the same whatever its students are, and however many pools there are
    other = _changed(
        shared_teachers={"pools": 5},
        distillation={"temperature": 5},
        design={"strengths": [0, 1], "control": True},
    )
    assert other.teachers_key(1, "engine") == shared.teachers_key(1, "engine")
    assert shared.teachers_key(1, "engine") != shared.teachers_key(2, "engine")
    assert shared.teachers_key(1, "engine") != shared.teachers_key(1, "another")
    with pytest.raises(ValueError, match="more seeds bring no new teachers"):
        _changed(shared_teachers={"pools": 3}, adding_seeds=_looks(6, 12))
    with pytest.raises(ValueError, match="greater than or equal to 1"):
        _changed(shared_teachers={"pools": 0})


def test_how_logits_are_stored_changes_the_study_and_no_key():
    halves = _changed(store={"logits": "float16"})
    assert halves.shard_key(3) == _changed().shard_key(3)
    assert halves.study_hash() != _changed().study_hash()
    with pytest.raises(ValueError, match="'float32' or 'float16'"):
        _changed(store={"logits": "float8"})


def test_blocks_have_keys_of_their_own_and_each_belongs_to_one_pack():
    design = _changed(seeds=10, pack_size=4)
    assert len({design.shard_key(block) for block in range(10)}) == 10
    packing = declared_packing(design)
    assert [list(packing.blocks_of(pack)) for pack in range(packing.packs)] == [
        [0, 1, 2, 3],
        [4, 5, 6, 7],
        [8, 9],
    ]


def test_where_the_data_lie_does_not_change_the_key(monkeypatch):
    keys = set()
    for place in ("/a", "/b"):
        monkeypatch.setenv("KD_DATA", place)
        design = load_design(ROOT / "config/cifar10-cut.yaml")
        assert design.dataset.kind == "parquet"
        assert design.dataset.path == place
        keys.add(design.shard_key(0))
    assert len(keys) == 1


def test_data_that_are_not_there_are_named(monkeypatch, tmp_path):
    monkeypatch.setenv("KD_DATA", str(tmp_path))
    design = load_design(ROOT / "config/cifar10-cut.yaml")
    with pytest.raises(DataError, match="does not hold"):
        require_data(design)
    for split in ("train", "test"):
        (tmp_path / f"{split}-0.parquet").touch()
    require_data(design)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "must hold keys and values"),
        ("- a\n- b\n", "found list"),
        ("a: [1", "not YAML"),
        ("study: x\n\tseeds: 1\n", "not YAML"),
        ("\x00", "not YAML"),
        ("sudy: x\n", "sudy: unknown key"),
        ("!!python/object/apply:os.getcwd []", "not YAML"),
    ],
)
def test_a_file_that_is_no_study_is_one_clear_line(tmp_path, text, words):
    path = tmp_path / "study.yaml"
    path.write_text(text)
    with pytest.raises(StudyError, match=words) as caught:
        load_design(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"networks": {"teacher": {"depth": 9, "width": 4}}}, "6n \\+ 2"),
        ({"design": {"strengths": [0, 0]}}, "repeat a value"),
        ({"design": {"strengths": []}}, "at least 1 item"),
        ({"study_seed": -1}, "greater than or equal to 0"),
        ({"distillation": {"alpha": float("nan")}}, "finite number"),
        ({"attention": {"tau": 1}}, "less than 1"),
        ({"claims": {}}, "at least 1 item"),
        ({"adding_seeds": {"rule": "peek"}}, "'none' or 'group_sequential'"),
        ({"adding_seeds": {"looks": [6, 12]}}, "without their rule"),
        ({"adding_seeds": {"rule": "group_sequential"}}, "needs looks"),
        ({"adding_seeds": _looks(12, 6)}, r"not ascending and distinct; allowed: \[6, 12\]"),
        ({"adding_seeds": _looks(12, 12)}, "not ascending and distinct"),
        ({"adding_seeds": _looks(2, 12)}, "greater than or equal to 3"),
        ({"adding_seeds": _looks(*range(3, 34))}, "at most 30 items"),
        ({"adding_seeds": _looks(8, 16)}, r"seeds is 12, .* allowed: 8, 16 "),
    ],
)
def test_values_outside_their_range_are_refused(changes, words):
    with pytest.raises(ValueError, match=words):
        _changed(**changes)


def test_seeds_may_be_any_declared_look_and_no_other_number(tmp_path):
    for seeds in (6, 12, 18):
        design = _changed(seeds=seeds, adding_seeds=_looks(6, 12, 18))
        assert design.shard_key(0) == _changed().shard_key(0)
    study = yaml.safe_load(DIGITS.read_text()) | {"seeds": 7, "adding_seeds": _looks(6, 12)}
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(study))
    with pytest.raises(StudyError, match=r"seeds is 7, .* allowed: 6, 12") as caught:
        load_design(path)
    assert "\n" not in str(caught.value)


def test_without_a_rule_the_number_of_seeds_is_fixed():
    assert _changed().adding_seeds.rule == "none"
    assert _changed(adding_seeds={"rule": "none"}) == _changed()


def test_grids_outside_8_to_16_or_unequal_are_refused():
    small = {"depth": 8, "width": 4, "strides": [2, 2, 2]}
    with pytest.raises(ValueError, match="2 x 2"):
        _changed(networks={"teacher": small, "student": small})
    coarse = {"depth": 8, "width": 4, "strides": [1, 2, 1]}
    fine = {"depth": 8, "width": 4, "strides": [1, 1, 1]}
    with pytest.raises(ValueError, match=r"teacher is 8, of the student 16 .* give both the same"):
        _changed(networks={"teacher": coarse, "student": fine})


LEVELS = {"strengths": [0, 0.5, 1]}


def test_a_study_without_a_policy_is_graded():
    declared = {"maximum": {"cutout": 0.3}, "horizontal_flip": True}
    assert _changed(augmentation=declared) == _changed(
        augmentation={"policy": "graded", **declared}
    )


def test_policies_have_keys_of_their_own():
    keys = {
        _changed(augmentation=augmentation, design=LEVELS).shard_key(0)
        for augmentation in (
            {"policy": "graded"},
            {"policy": "published"},
            {"policy": "published", "cutout_pixels": 8},
            {"policy": "published_imagenet"},
            {"policy": "randaugment"},
            {"policy": "randaugment", "num_ops": 3},
            {"policy": "trivialaugment"},
        )
    }
    assert len(keys) == 7


@pytest.mark.parametrize("policy", ["published", "published_imagenet"])
def test_a_published_policy_has_three_strengths_and_no_other(policy: str):
    published = {"policy": policy}
    design = _changed(augmentation=published, design=LEVELS)
    assert {teacher.strength for teacher in design.plan().teachers} == {0, 0.5, 1}
    assert design.views() == {"clean": 0, f"{policy}-0.5": 0.5, f"{policy}-1": 1}
    words = (
        rf"0\.25 is no strength of the {policy} policy; "
        r"allowed: 0 \(none\), 0\.5 \(weak\), 1 \(strong\)"
    )
    with pytest.raises(ValueError, match=f"design.strengths: {words}"):
        _changed(augmentation=published, design={"strengths": [0, 0.25, 1]})
    with pytest.raises(ValueError, match=f"design.fixed_strength: {words}"):
        _changed(augmentation=published, design={**LEVELS, "fixed_strength": 0.25})
    # a strength that no student has is no fault
    _changed(augmentation=published, design={**LEVELS, "fixed_strength": 0.25, "arms": ["matched"]})


@pytest.mark.parametrize(
    ("augmentation", "words"),
    [
        (
            {"policy": "publishd"},
            "augmentation: .*'publishd'.*'graded', 'published', 'published_imagenet', ",
        ),
        ({"polcy": "published"}, "augmentation.polcy: unknown key .* allowed: policy, maximum, "),
        ({"policy": "published", "maximum": {}}, "maximum: unknown key .* policy, cutout_pixels$"),
        ({"maximum": {"cutot": 1}}, "augmentation.maximum.cutot: unknown .* contrast, cutout$"),
        (
            {"policy": "published_imagenet", "cutout_pixels": 16},
            "cutout_pixels: unknown key .* policy$",
        ),
        ({"policy": "randaugment", "num_ops": 0}, "augmentation.num_ops: value 0: .* equal to 1"),
        ("published", "augmentation: value 'published'"),
    ],
)
def test_a_fault_in_the_augmentation_is_one_clear_line(tmp_path, augmentation, words):
    study = {**yaml.safe_load(DIGITS.read_text()), "augmentation": augmentation}
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(study))
    with pytest.raises(StudyError, match=words) as caught:
        load_design(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"tset_size": 80}, "dataset.tset_size: unknown key .* allowed: kind, image_size, test_si"),
        ({"kind": "imagefolder"}, "dataset.path: missing; it has no default .and 1 more"),
        ({"kind": "cifra"}, "dataset: .*'digits', 'parquet', 'imagefolder', 'foreign'"),
    ],
)
def test_a_fault_in_the_data_set_is_one_clear_line(tmp_path, changes, words):
    study = yaml.safe_load(DIGITS.read_text())
    study["dataset"] |= changes
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(study))
    with pytest.raises(StudyError, match=words) as caught:
        load_design(path)
    assert "\n" not in str(caught.value)
