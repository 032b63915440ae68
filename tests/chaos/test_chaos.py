"""A few of the faults of ``make chaos``: what is left is what a quiet run leaves."""

import os
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]


@pytest.mark.skipif(
    not os.environ.get("KD_CHAOS"),
    reason="faults hit at moments that are the machine's: asked for with KD_CHAOS=1, by make chaos",
)
@pytest.mark.timeout(900)
def test_twenty_faults_leave_a_store_as_if_nothing_had_happened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    paths = [TESTS.parent, TESTS, TESTS / "store", TESTS / "chaos"]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(map(str, paths)))
    monkeypatch.setenv("POLARS_MAX_THREADS", "1")
    monkeypatch.setattr(sys, "path", [*map(str, paths), *sys.path])
    from chaos_log import Log
    from chaos_study import disturb

    log = Log(tmp_path / "chaos.jsonl", part="drawn", seed=5)
    tally = disturb(tmp_path, faults=20, seed=5, log=log, stages=(2, 3), in_one_life=(20, 21))
    assert tally.wrong == []
    assert tally.words.faults == []
    assert tally.total >= 20
    assert len(tally.injected) >= 5
