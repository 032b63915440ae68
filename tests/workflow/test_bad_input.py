from pathlib import Path

import pytest
import running

from analyze.questions import questions_of
from store.errors import UserError
from store.study_file import load_design

pytestmark = pytest.mark.xdist_group("bad input")

FAULTS = {
    "an unknown key": ("seeds: 3", "sedes: 3", ["sedes", "3", "seeds"]),
    "an unknown key inside": ("teachers: 2}", "teecher: 2}", ["design.teecher", "2", "teachers"]),
    "a strength above 1": (
        "strengths: [0, 0.5, 1]",
        "strengths: [0, 1.5]",
        ["design.strengths.1", "1.5", "less than or equal to 1"],
    ),
    "no seeds": ("seeds: 3", "seeds: 0", ["seeds", "0", "greater than or equal to 1"]),
    "text for a number": ("seeds: 3", "seeds: many", ["seeds", "many", "integer"]),
    "another dataset": ("kind: digits", "kind: digitz", ["dataset", "digitz", "digits", "parquet"]),
    "a study that is not YAML": ("study: tiny", "study: [tiny", ["not YAML"]),
    "too many images": (
        "size: 100}",
        "size: 4000}",
        ["dataset", "train_subset.size", "4000", "at most 1717"],
    ),
    "a missing folder": (
        "kind: digits, image_size: 16,",
        "kind: parquet, path: /no/such/folder, classes: 10, image_size: 16,",
        ["dataset.path", "/no/such/folder", "train*.parquet"],
    ),
    "a published data set that is not there": (
        "kind: digits, image_size: 16,",
        "kind: cifar10, root: /no/such/folder, image_size: 16,",
        ["dataset.root", "/no/such/folder", "cifar-10-python.tar.gz", "download: true"],
    ),
    "a name with a path in it": ("study: tiny", "study: ../tiny", ["study", "../tiny", "pattern"]),
    "an unknown claim": ("  H4:", "  H9:", ["claims.H9", "H1"]),
    "an outcome that a claim has not": (
        "H1: {sesoi: {attention_iou_adjusted: 0.05}}",
        "H1: {sesoi: {accuracy: 0.05}}",
        ["claims.H1.sesoi", "accuracy", "attention_iou_adjusted"],
    ),
}

NEEDING_DATA = ("a missing folder", "a published data set that is not there")
STOPPED = ("an unknown key inside", "an outcome that a claim has not", *NEEDING_DATA)
"""Those that a whole Snakemake is started on: each stops at another place of the Snakefile."""


@pytest.mark.parametrize("given", ["pack_minutes=soon", "pack_minutes=0", "per_gpu=0", "packs=3"])
def test_a_wrong_key_of_the_command_is_one_line_and_nothing_is_written(tmp_path: Path, given: str):
    folder = running.prepare(tmp_path)
    done = running.run(folder, given)
    assert done.returncode != 0
    lines = [line for line in done.stdout.splitlines() if "profile" not in line and line.strip()]
    assert len(lines) == 1, done.stdout
    assert lines[0].startswith(f"error: --config {given.partition('=')[0]}")
    assert "allowed: " in lines[0]
    assert not (folder / "results").exists()


def faulty(folder: Path, fault: str) -> Path:
    """Put the tiny study with a fault into a folder; return its file."""
    old, new, _ = FAULTS[fault]
    study = running.prepare(folder) / "tiny.yaml"
    text = study.read_text()
    assert old in text
    study.write_text(text.replace(old, new))
    return study


@pytest.mark.parametrize("fault", STOPPED)
def test_wrong_input_is_one_line_and_nothing_is_written(tmp_path: Path, fault: str):
    study = faulty(tmp_path, fault)
    done = running.run(study.parent)
    assert done.returncode != 0
    lines = [line for line in done.stdout.splitlines() if "profile" not in line and line.strip()]
    assert len(lines) == 1, done.stdout
    assert lines[0].startswith("error: tiny.yaml: ")
    for word in FAULTS[fault][-1]:
        assert word in lines[0]
    assert not (study.parent / "results").exists()


@pytest.mark.parametrize("fault", [name for name in FAULTS if name not in NEEDING_DATA])
def test_what_is_wrong_in_a_study_file_is_said_in_one_line(tmp_path: Path, fault: str):
    # as the Snakefile reads it, which starts with this
    study = faulty(tmp_path, fault)
    with pytest.raises(UserError) as refused:
        questions_of(load_design(study))
    (line,) = str(refused.value).splitlines()
    for word in FAULTS[fault][-1]:
        assert word in line


def test_a_study_that_is_not_there_is_said_so(tmp_path: Path):
    done = running.run(tmp_path)
    assert done.returncode != 0
    assert "no such study file" in done.stdout
    assert "Traceback" not in done.stdout


def test_a_variable_that_is_not_set_is_named(tmp_path: Path, monkeypatch):
    monkeypatch.delenv("KD_DATA", raising=False)
    folder = running.prepare(
        tmp_path,
        dataset="{kind: parquet, path: '${KD_DATA}', classes: 10, test_size: 80, "
        "train_subset: {size: 40}}",
    )
    done = running.run(folder)
    assert done.returncode != 0
    assert "needs the environment variable KD_DATA" in done.stdout
