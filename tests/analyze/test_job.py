"""The analysis job end to end: a real store in, results.json and tables out."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from synthetic import make_study

from analyze.job import _variants, main
from analyze.metrics.estimates import ESTIMATED
from analyze.results import Verdict
from analyze.serialize import load_results
from store.database import open_reader

ROOT = Path(__file__).parents[2]


def run(study, out: Path | None = None, study_file: Path | None = None) -> int:
    ledger = study.results / "ledger.json"
    ledger.write_text("{}", encoding="utf-8")
    return main(
        [
            str(study_file or study.study_file),
            "--store",
            str(study.store),
            "--ledger",
            str(ledger),
            "--out",
            str(out or study.results / "results.json"),
        ]
    )


def test_a_stored_study_becomes_results_and_tables(synthetic_study):
    study = synthetic_study(seeds=4)
    assert run(study) == 0
    results = load_results(study.results / "results.json")
    assert results.kind == "inferential"
    assert results.counts.seeds_analyzed == 4
    assert results.study_hash == study.design.study_hash()
    assert not {each.verdict for each in results.findings} & {Verdict.NO_DATA}
    assert len(results.mutual_information) == 6
    counted = {curve.hypothesis: curve.counted for curve in results.multiverse}
    assert counted == {"H1": 48, "H2a": 2, "H2b": 96, "H3a": 12, "H3b": 4, "H4": 288}
    assert {curve.caveats for curve in results.multiverse} == {()}
    with open_reader(study.store) as reader:
        findings = reader.frame("SELECT * FROM finding ORDER BY ALL")
        evidence = reader.frame("SELECT * FROM evidence ORDER BY ALL")
        estimates = reader.frame("SELECT count(*) AS rows FROM estimate")["rows"].item()
    stored = {
        (row["hypothesis"], row["arm"], row["form"], row["outcome"]): row["p_value"]
        for row in findings.iter_rows(named=True)
    }
    told = {
        (each.hypothesis, each.arm, each.form, outcome.outcome): outcome.p_value
        for each in results.findings
        for outcome in each.outcomes
    }
    assert stored == told
    listed = sum(len(each.evidence) for each in (*results.findings, *results.mediation))
    listed += len(results.secondary)
    assert evidence.height == listed
    # 4 seeds x 6 students x 3 sets of images x 7 estimated measures
    assert estimates == 4 * 6 * 3 * len(ESTIMATED)


def test_overlaps_at_other_thresholds_are_those_that_the_stores_sql_gives(synthetic_study):
    study = synthetic_study(seeds=3)
    assert run(study) == 0
    with open_reader(study.store) as reader:
        variants = pl.concat(_variants(reader, study.design, classes=10))
        at = reader.frame(
            "SELECT student.model_id AS student_id, method, avg(iou) AS iou "
            "FROM attention_iou_at(0.6) AS overlap JOIN model AS student "
            "ON list_contains(student.teacher_ids, model_a) "
            "AND list_contains(student.teacher_ids, model_b) GROUP BY ALL"
        )
        own = reader.frame("SELECT student_id, attention_iou, attention_iou_adjusted FROM measures")
    whole = variants.filter(pl.col("half") == "all")
    assert at["method"].n_unique() == len(study.design.attention.kept)
    for student, method, iou in at.iter_rows():
        name = f"attention_iou[{method}, tau_0.6]"
        found = whole.filter(student_id=student, variant=name)["value"].item()
        assert found == pytest.approx(iou, abs=1e-12)
    primary = str(study.design.attention.primary)
    for student, *stored in own.iter_rows():
        for measure, value in zip(("attention_iou", "attention_iou_adjusted"), stored, strict=True):
            name = f"{measure}[{primary}, tau_0.4]"
            found = whole.filter(student_id=student, variant=name)["value"].item()
            assert found == pytest.approx(value, abs=1e-12)


@pytest.mark.long
def test_running_again_gives_the_same_results(synthetic_study):
    study = synthetic_study(seeds=3)
    first, second = study.results / "first.json", study.results / "second.json"
    assert run(study, first) == 0
    assert run(study, second) == 0
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.long
def test_one_seed_more_measures_one_block_more_and_gives_what_a_first_analysis_gives(
    tmp_path, caplog
):
    caplog.set_level("INFO")
    for name in ("whole", "grown"):
        (tmp_path / name).mkdir()
    whole = make_study(tmp_path / "whole", seeds=4, strengths=(0, 1), test_images=30)
    grown = make_study(tmp_path / "grown", seeds=3, strengths=(0, 1), test_images=30)
    assert run(grown) == 0
    caplog.clear()
    shutil.copy(whole.store, grown.store)
    assert run(grown, study_file=whole.study_file) == 0
    assert _measured_blocks(caplog) == [3]
    assert [m for m in caplog.messages if "resampling" in m] == [
        "resampling test images of blocks 3 to 3"
    ]
    caplog.clear()
    assert run(whole) == 0
    assert _measured_blocks(caplog) == [0, 1, 2, 3]
    first, again = (study.results / "results.json" for study in (whole, grown))
    assert again.read_bytes() == first.read_bytes()


def test_measures_in_a_damaged_file_are_made_anew(tmp_path, caplog):
    caplog.set_level("INFO")
    study = make_study(tmp_path, seeds=3, strengths=(0, 1), test_images=30)
    assert run(study) == 0
    expected = (study.results / "results.json").read_bytes()
    kept = study.results / "measured/estimates.parquet"
    kept.write_bytes(kept.read_bytes()[:200])
    caplog.clear()
    assert run(study) == 0
    assert "cannot be read and is made anew" in caplog.text
    assert _measured_blocks(caplog) == [0, 1, 2]
    assert (study.results / "results.json").read_bytes() == expected


def _measured_blocks(caplog) -> list[int]:
    return [
        int(number) for number in re.findall(r"estimating measures of block (\d+)", caplog.text)
    ]


def test_a_failed_model_is_counted_and_its_block_left_out(synthetic_study):
    study = synthetic_study(seeds=4, failed=[(2, 7)])
    assert run(study) == 0
    results = load_results(study.results / "results.json")
    assert results.counts.models_failed == 1
    assert results.counts.seeds_analyzed == 3
    assert any("models failed" in text for text in results.caveats)


def test_logits_that_are_not_finite_leave_out_their_block_and_say_so(synthetic_study):
    study = synthetic_study(seeds=4, not_finite=[(1, 6)])
    assert run(study) == 0
    results = load_results(study.results / "results.json")
    gap = next(each for each in results.findings if each.hypothesis == "H2a" and each.deciding)
    assert gap.n == 3
    assert any("block 1" in text for text in gap.outcomes[0].caveats)
    assert any(each.measure == "generalization_gap" for each in results.missing)


def test_one_seed_is_described(synthetic_study):
    study = synthetic_study(seeds=1)
    assert run(study) == 0
    results = load_results(study.results / "results.json")
    assert results.kind == "descriptive"
    with open_reader(study.store) as reader:
        tested = reader.frame("SELECT count(p_value) AS tested FROM evidence")["tested"].item()
    assert tested == 0


def test_one_teacher_leaves_claims_about_pairs_without_data(synthetic_study):
    study = synthetic_study(seeds=3, teachers=1)
    assert run(study) == 0
    results = load_results(study.results / "results.json")
    verdicts = {each.hypothesis: each.verdict for each in results.findings if each.deciding}
    assert verdicts["H1"] is verdicts["H2b"] is Verdict.NO_DATA
    assert verdicts["H2a"] is not Verdict.NO_DATA


@pytest.mark.parametrize("missing", ["study", "store", "ledger"])
def test_what_is_not_there_is_one_line(synthetic_study, capsys, missing, tmp_path):
    study = synthetic_study(seeds=1)
    paths = {
        "study": study.study_file,
        "store": study.store,
        "ledger": study.results / "ledger.json",
    }
    paths["ledger"].write_text("{}", encoding="utf-8")
    paths[missing] = tmp_path / "nothing"
    out = tmp_path / "results.json"
    arguments = [str(paths["study"]), "--store", str(paths["store"])]
    assert main([*arguments, "--ledger", str(paths["ledger"]), "--out", str(out)]) == 2
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1
    assert said[0].startswith("error: ")
    assert "nothing" in said[0]
    assert not out.exists()


def test_a_store_made_with_another_threshold_is_refused(synthetic_study, capsys, tmp_path):
    study = synthetic_study(seeds=1)
    changed = tmp_path / "changed.yaml"
    text = study.study_file.read_text(encoding="utf-8")
    changed.write_text(text.replace("tau: 0.4", "tau: 0.3"), encoding="utf-8")
    assert run(study, study_file=changed) == 2
    assert "tau 0.4; the study file says 0.3" in capsys.readouterr().err


def test_a_log_that_cannot_be_written_is_one_line(tmp_path, capsys):
    (tmp_path / "logs").touch()
    log = tmp_path / "logs/analyze.log"
    arguments = ["study.yaml", "--store", "s", "--ledger", "l", "--out", "o", "--log", str(log)]
    assert main(arguments) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert said.count("\n") == 1
    assert str(tmp_path / "logs") in said


@pytest.mark.long
def test_as_a_process_it_tells_its_progress_and_logs_where_it_is_told_to(synthetic_study):
    study = synthetic_study(seeds=3)
    ledger, log = study.results / "ledger.json", study.results / "logs" / "analyze.log"
    ledger.write_text("{}", encoding="utf-8")
    command = [sys.executable, "-m", "analyze.job", str(study.study_file)]
    command += ["--store", str(study.store), "--ledger", str(ledger)]
    command += ["--out", str(study.results / "results.json")]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stderr
    assert "block 2 (3 of 3)" in told.stderr
    assert told.stdout == ""
    logged = [*command, "--log", str(log)]
    quiet = subprocess.run(logged, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (quiet.returncode, quiet.stderr) == (0, "")
    assert "testing claims" in log.read_text(encoding="utf-8")
    study.store.unlink()
    failed = subprocess.run(logged, cwd=ROOT, capture_output=True, text=True, check=False)
    assert failed.returncode == 2
    assert failed.stderr.startswith("error: ")
    assert failed.stderr.strip() in log.read_text(encoding="utf-8")
