"""results.json: strict, exact, checked, and described by its schema."""

import errno
import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
from simulated import Truth, simulate, study

from analyze.assemble import assemble
from analyze.results import Interval, Results
from analyze.serialize import (
    load_results,
    results_from_json,
    results_schema,
    results_to_json,
    save_results,
)
from store.errors import AnalysisError

SCHEMA = Path(__file__).parents[2] / "docs" / "results.schema.json"


@pytest.fixture(scope="module")
def results() -> Results:
    design = study(seeds=4, design={"strengths": [0, 0.5, 1]})
    return assemble(design, simulate(design, Truth()))


def refuse(constant: str) -> float:
    raise AssertionError(f"{constant} is no JSON")


def test_results_come_back_equal_to_the_last_bit(results, tmp_path):
    path = tmp_path / "new" / "results.json"
    save_results(path, results)
    assert load_results(path) == results
    assert [entry.name for entry in path.parent.iterdir()] == ["results.json"]


def test_infinite_bounds_are_strict_json_and_come_back(results):
    whole = Interval(low=-math.inf, high=math.inf, level=0.95)
    first = replace(results.findings[0], outcomes=())
    evidence = tuple(replace(each, interval=whole) for each in first.evidence)
    changed = replace(results, findings=(replace(first, evidence=evidence),))
    text = results_to_json(changed)
    json.loads(text, parse_constant=refuse)
    assert results_from_json(text, source="text") == changed


def test_what_is_not_a_number_is_strict_json_too(results):
    text = results_to_json(replace(results, alpha=math.nan))
    json.loads(text, parse_constant=refuse)
    assert math.isnan(results_from_json(text, source="text").alpha)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"alpha": "much"}, "alpha"),
        ({"findings": [{}]}, r"findings\.0"),
        ({"format_version": 2}, "format_version"),
        ({"kind": "guess"}, "kind"),
        ({"surplus": 1}, "another version"),
    ],
)
def test_what_no_analysis_writes_is_refused_in_one_line(results, change, complaint):
    content = json.loads(results_to_json(results)) | change
    with pytest.raises(AnalysisError, match=complaint) as caught:
        results_from_json(json.dumps(content), source="results.json")
    assert "\n" not in str(caught.value)


def test_what_is_no_json_or_not_there_is_refused(tmp_path):
    with pytest.raises(AnalysisError, match="run the analysis first"):
        load_results(tmp_path / "results.json")
    (tmp_path / "results.json").write_text("{")
    with pytest.raises(AnalysisError, match="not JSON"):
        load_results(tmp_path / "results.json")
    with pytest.raises(AnalysisError, match="NaN is no JSON"):
        results_from_json('{"alpha": NaN}', source="text")


def test_a_write_that_fails_leaves_the_old_results_alone(results, tmp_path, monkeypatch):
    path = tmp_path / "results.json"
    save_results(path, results)
    before = path.read_bytes()
    full = OSError(errno.ENOSPC, "disk full")
    monkeypatch.setattr("os.fsync", lambda _: (_ for _ in ()).throw(full))
    with pytest.raises(OSError, match="disk full"):
        save_results(path, replace(results, title="other"))
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["results.json"]


def test_the_schema_in_docs_is_current():
    assert SCHEMA.read_text(encoding="utf-8") == results_schema(), (
        "run: python -m analyze schema > docs/results.schema.json"
    )
