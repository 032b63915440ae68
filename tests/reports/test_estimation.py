"""Paired differences as drawn, and what the page says beside a verdict."""

import dataclasses
import json
import re

import numpy as np
import pytest
from conftest import elements
from drawn_results import drawn_results

from analyze.differences import seed_differences
from analyze.results import FitPoint, Verdict
from reports.glossary import glossary
from reports.names import verdict_meaning


def charts(written):
    data = re.search(r'id="chart-data">(.*?)</script>', written.html, re.DOTALL)
    assert data is not None
    return json.loads(data[1])


def test_differences_are_from_the_weakest_strength_of_the_same_seed():
    points = [
        FitPoint(block=block, strength=strength, x=strength, y=y)
        for block, strength, y in [(0, 0.5, 4.0), (0, 0.0, 1.0), (1, 0.5, 7.0), (2, 0.0, 3.0)]
    ]
    assert seed_differences(points) == ((0, 0.5, 3.0),)
    assert seed_differences(()) == ()


def test_the_mean_of_the_drawn_differences_is_the_paired_test_s_estimate(analyzed):
    content = charts(analyzed)
    deciding = [f for f in analyzed.json["findings"] if f["deciding"]]
    checked = 0
    for finding in deciding:
        for outcome in finding["outcomes"]:
            name = f"differences-{finding['hypothesis']}-{outcome['outcome']}"
            if name not in content["charts"]:
                continue
            drawn, means = content["tables"][name], content["tables"][f"{name}-mean"]
            tests = {
                e["test"].split("_")[2]: e
                for e in finding["evidence"]
                if e["test"].startswith("paired_t_") and e["outcome"] == outcome["outcome"]
            }
            assert means["strength"] == list(tests)
            for place, strength in enumerate(means["strength"]):
                values = [
                    y for y, at in zip(drawn["y"], drawn["strength"], strict=True) if at == strength
                ]
                estimate = tests[strength]["estimate"]
                assert len(values) == tests[strength]["n"]
                assert np.mean(values) == pytest.approx(estimate, abs=1e-5)
                assert means["y"][place] == pytest.approx(estimate, rel=1e-5)
                assert means["low"][place] == pytest.approx(
                    tests[strength]["interval"]["low"], rel=1e-5
                )
                checked += 1
    assert checked >= 4


def test_where_outcomes_differ_each_verdict_is_said():
    finding = next(f for f in drawn_results().findings if len(f.outcomes) > 1)
    one, other = (
        dataclasses.replace(outcome, verdict=verdict)
        for outcome, verdict in zip(
            finding.outcomes, (Verdict.SUPPORTED, Verdict.CONTRADICTED), strict=True
        )
    )
    differing = dataclasses.replace(finding, verdict=Verdict.UNDECIDED, outcomes=(one, other))
    said = verdict_meaning(differing)
    assert "excludes neither zero" not in said
    assert ": supported; " in said
    assert said.endswith(": contradicted.")
    same = dataclasses.replace(differing, outcomes=(one, dataclasses.replace(one)))
    assert "outcomes" not in verdict_meaning(same)


def test_a_gap_that_moves_stands_with_both_accuracies(analyzed):
    moved = {e["outcome"]: e["estimate"] for e in analyzed.json["secondary"] if e["arm"] == "fixed"}
    told = [e for e in elements(analyzed.html) if e.tag == "p" and "training suffers" in e.text]
    assert len(told) == 1
    section = analyzed.html.partition('id="claim-H2a"')[2].partition("</section>")[0]
    paragraph = section.partition("training suffers")[2].partition("</p>")[0]
    cited = [float(v) for v in re.findall(r'<data value="([^"]+)"', paragraph)]
    assert moved["train_accuracy"] in cited
    assert moved["test_accuracy"] in cited


def test_the_words_of_every_claim_s_measures_are_explained():
    results = drawn_results()
    named = [name for name, _ in glossary(results)]
    assert len(named) == len(set(named))
    assert {"Supported", "Undecided", "Generalization gap"} <= set(named)
    assert all(meaning for _, meaning in glossary(results))
