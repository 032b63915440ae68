"""Every shipped study is planned without fault, and a smoke run goes the whole way."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import running

from store.image_files import STAND_IN

CONFIG = running.ROOT / "config"
STUDIES = sorted(
    path.stem for path in CONFIG.glob("*.yaml") if "kind: foreign" not in path.read_text("utf-8")
)


def snakemake(folder: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the workflow on a shipped study, as in a fresh copy of the project."""
    variables = {key: value for key, value in os.environ.items() if key != "KD_DATA"}
    return subprocess.run(
        [
            *(sys.executable, "-m", "snakemake", "--cores", "2"),
            *("--snakefile", str(running.ROOT / "Snakefile"), "--directory", str(folder)),
            *("--workflow-profile", str(running.ROOT / "profiles/default")),
            *words,
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=folder,
        env=variables | environment,
        check=False,
        timeout=240,
    )


@pytest.mark.parametrize("study", STUDIES)
def test_a_study_passes_its_check_and_a_dry_run(tmp_path: Path, study: str):
    done = snakemake(tmp_path, "--dry-run", "--config", f"study={study}", KD_DATA="/no/images")
    assert done.returncode == 0, done.stdout
    assert "report" in done.stdout
    assert not (tmp_path / "results").exists()


def test_a_dry_smoke_run_makes_no_images(tmp_path: Path):
    done = snakemake(tmp_path, "--dry-run", "--config", "study=paper-imagenet-lt", "smoke=true")
    assert done.returncode == 0, done.stdout
    (results,) = (tmp_path / "results").iterdir()
    assert [path.name for path in results.iterdir()] == ["study.yaml"]


@pytest.mark.long
def test_a_smoke_run_goes_from_no_images_to_a_report(tmp_path: Path):
    text = running.TINY.read_text(encoding="utf-8")
    assert "kind: digits" in text
    (tmp_path / "mine.yaml").write_text(text.replace("kind: digits", "kind: svhn, root: nowhere"))
    done = snakemake(tmp_path, "--config", "study=mine.yaml", "smoke=true")
    assert done.returncode == 0, done.stdout
    results = tmp_path / "results/tiny-smoke-made-up"
    assert (results / "images" / STAND_IN).exists()
    found = json.loads((results / "results.json").read_text())
    assert found["counts"]["seeds_analyzed"] == 3
    assert found["title"].startswith("A smoke run, not a study, on made-up images")
    assert "A smoke run, not a study" in (results / "report.html").read_text()
    again = snakemake(tmp_path, "--config", "study=mine.yaml", "smoke=true")
    assert "Nothing to be done" in again.stdout


@pytest.mark.parametrize("value", ["yes", "2"])
def test_smoke_is_true_or_false(tmp_path: Path, value: str):
    done = snakemake(tmp_path, "--config", "study=digits", f"smoke={value}")
    assert done.returncode != 0
    assert f"error: --config smoke={value}: allowed: true, false" in done.stdout


def test_images_that_are_not_there_are_one_line_that_says_what_to_download(tmp_path: Path):
    text = (CONFIG / "cifar10.yaml").read_text(encoding="utf-8")
    (tmp_path / "cifar10.yaml").write_text(text.replace("download: true ", "download: false "))
    done = snakemake(tmp_path, "--config", "study=cifar10.yaml")
    lines = [line for line in done.stdout.splitlines() if "profile" not in line and line.strip()]
    assert len(lines) == 1, done.stdout
    assert "cifar-10-python.tar.gz and unpack it in data" in lines[0]
