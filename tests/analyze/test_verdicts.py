"""The terminal's table and the commands that print it."""

import pytest
from simulated import Truth, simulate, study

from analyze.__main__ import main
from analyze.assemble import assemble
from analyze.serialize import save_results
from analyze.verdicts import WIDTH, verdict_lines


@pytest.fixture(scope="module")
def results():
    design = study(seeds=4, design={"strengths": [0, 0.5, 1]})
    return assemble(design, simulate(design, Truth(slopes={"generalization_gap": -0.5})))


def test_the_table_has_one_row_per_claim_with_its_verdict(results):
    lines = verdict_lines(results)
    for claim, verdict in (("H2a", "supported"), ("H1", "undecided")):
        row = next(line for line in lines if line.startswith(f"{claim} "))
        assert verdict in row
    assert "4 of 4 seeds" in lines[0]


def test_sentences_are_wrapped(results):
    text = "\n".join(verdict_lines(results)).split("H1: ")[1]
    assert max(len(line) for line in text.splitlines()) <= WIDTH


def test_the_command_prints_the_table(results, tmp_path, capsys):
    save_results(tmp_path / "results.json", results)
    assert main(["verdicts", str(tmp_path / "results.json")]) == 0
    assert "H2a" in capsys.readouterr().out


def test_a_missing_file_is_one_line_on_stderr(tmp_path, capsys):
    assert main(["verdicts", str(tmp_path / "nothing.json")]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1


def test_without_a_command_the_usage_is_shown(capsys):
    with pytest.raises(SystemExit) as caught:
        main([])
    assert caught.value.code == 2
    assert "usage" in capsys.readouterr().err
