from pathlib import Path

import pytest

from collect.scratch import scratch_folder
from store.errors import UserError


def test_unfinished_models_lie_with_the_results_unless_a_place_is_named(tmp_path, monkeypatch):
    monkeypatch.delenv("KD_SCRATCH", raising=False)
    assert scratch_folder(tmp_path, "mine") == tmp_path / "scratch"


def test_a_place_may_be_named_by_the_jobs_own_variables(tmp_path, monkeypatch):
    monkeypatch.setenv("KD_SCRATCH", "$JOBS_OWN/kd")
    monkeypatch.setenv("JOBS_OWN", str(tmp_path / "node"))
    folder = scratch_folder(tmp_path / "results", "mine")
    assert folder.parent == tmp_path / "node/kd"
    assert folder.name.startswith("mine-")
    assert scratch_folder(tmp_path / "other results", "mine") != folder
    monkeypatch.chdir(tmp_path)
    assert scratch_folder(Path("results"), "mine") == folder


@pytest.mark.parametrize(
    ("declared", "words"), [("$NOT_SET_HERE/kd", "NOT_SET_HERE is not set"), ("kd", "absolute")]
)
def test_a_place_that_is_none_is_named(tmp_path, monkeypatch, declared, words):
    monkeypatch.delenv("NOT_SET_HERE", raising=False)
    monkeypatch.setenv("KD_SCRATCH", declared)
    with pytest.raises(UserError, match=words):
        scratch_folder(tmp_path, "mine")
