"""Models that scikit-learn trains come to a report, as those that are trained here do."""

import hashlib
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from sklearn.datasets import load_digits

from adapters.scikit_learn import write_runs
from analyze.job import analyze
from reports.job import main as report
from store.adopt import adopt
from store.database import open_reader
from store.doctor import examine
from store.job import update_store
from store.study_file import load_design

# one worker, so that one study serves all its tests
pytestmark = pytest.mark.xdist_group("scikit_learn")

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The study of the page on foreign runs, with fewer seeds and epochs, to its report."""
    folder = tmp_path_factory.mktemp("foreign")
    study = folder / "digits-mlp.yaml"
    text = (ROOT / "config" / "digits-mlp.yaml").read_text(encoding="utf-8")
    study.write_text(text.replace("seeds: 8", "seeds: 3"), encoding="utf-8")
    design = load_design(study)
    write_runs(design, folder / "runs", epochs=20)
    adopt(folder / "runs", design, folder)
    store, ledger = folder / "store.duckdb", folder / "ledger.json"
    update_store(study, packs=sorted((folder / "packs").iterdir()), store=store, ledger=ledger)
    analyze(study, store=store, ledger=ledger, out=folder / "results.json")
    return folder


def test_the_store_of_scikit_learn_s_models_is_sound(folder: Path):
    design = load_design(folder / "digits-mlp.yaml")
    assert examine(folder / "store.duckdb", folder / "shards", design) == []


def test_students_learn_from_their_teachers_and_measures_are_defined(folder: Path):
    with open_reader(folder / "store.duckdb") as reader:
        rows = reader.frame("SELECT * FROM measures")
        findings = reader.frame("SELECT hypothesis, n FROM finding WHERE deciding ORDER BY ALL")
    assert rows.height == 3 * 6
    assert rows["test_accuracy"].min() > 0.5
    assert rows["agreement"].min() > 0.5
    defined = ("generalization_gap", "conditional_mutual_information_bits", "affinity")
    assert rows.select(defined).null_count().row(0) == (0, 0, 0)
    assert rows["attention_iou"].null_count() == rows.height
    assert set(findings["hypothesis"]) == {"H2a", "H3a", "H3b"}
    assert set(findings["n"]) == {3}


def test_logits_are_those_of_the_digits_in_the_order_of_the_classes(folder: Path):
    with open_reader(folder / "store.duckdb") as reader:
        rows = reader.frame("SELECT image_id, label FROM image")
    assert load_digits().target[rows["image_id"].to_numpy()].tolist() == rows["label"].to_list()


def test_the_report_says_who_trained_what(folder: Path):
    code = report(
        [
            *(str(folder / "digits-mlp.yaml"), "--results", str(folder / "results.json")),
            *("--store", str(folder / "store.duckdb"), "--out", str(folder / "report.html")),
        ]
    )
    assert code == 0
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "were trained afresh by scikit-learn at each of three strengths" in page
    assert "No pictures" in page


def test_hostile_words_of_a_study_stay_text_in_its_report(folder: Path, tmp_path: Path):
    words = "<b onload=alert(1)>{{ 7 * 7 }}</script><script>alert(1)</script>"
    study = tmp_path / "digits-mlp.yaml"
    text = (folder / "digits-mlp.yaml").read_text(encoding="utf-8")
    study.write_text(
        text.replace("  trainer: scikit-learn\n", f"  trainer: '{words}'\n"), encoding="utf-8"
    )
    report(
        [
            *(str(study), "--results", str(folder / "results.json")),
            *("--store", str(folder / "store.duckdb"), "--out", str(tmp_path / "report.html")),
        ]
    )
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "&lt;b onload=alert(1)&gt;{{ 7 * 7 }}&lt;/script&gt;" in page
    assert "<b onload" not in page
    assert "<script>alert(1)" not in page


def test_one_seed_gives_the_same_answers_again(folder: Path, tmp_path: Path):
    design = load_design(folder / "digits-mlp.yaml").model_copy(update={"seeds": 1})
    write_runs(design, tmp_path, epochs=20)

    def digest(runs: Path) -> str:
        rows = pl.read_parquet(runs / "predictions.parquet")
        rows = rows.filter(pl.col("model").str.starts_with("seed0-"))
        logits = np.array(rows["logits"].to_list())
        return hashlib.sha256(np.ascontiguousarray(logits).tobytes()).hexdigest()

    assert digest(tmp_path) == digest(folder / "runs")
