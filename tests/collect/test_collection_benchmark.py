"""The benchmarks of collection run, and compare what they say they compare."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from PIL import Image
from scipy import stats

from benchmarks.accuracy import power
from benchmarks.collection_training import (
    Sizes,
    precisions_and_formats,
    share_of_the_bare_step,
)
from benchmarks.engines import Trial
from benchmarks.packing import (
    GroupedNetwork,
    VmappedReplicates,
    optimizer_of,
)
from benchmarks.pages import write_between
from benchmarks.published_way import PublishedRecipe, PublishedTraining, TwoViews
from collect.models import build
from store.networks import CifarNetwork

ROOT = Path(__file__).resolve().parents[2]
LONG = pytest.mark.skipif(
    not os.environ.get("KD_BENCHMARKS"), reason="up to half a minute each: make test-benchmarks"
)
REPLICATES = 3


def _run(*words: str, path: Path = ROOT) -> str:
    done = subprocess.run(
        [sys.executable, *words],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def _tables(output: str) -> list[list[str]]:
    """Every row of figures in Markdown, cell by cell."""
    lines = [line for line in output.splitlines() if line.startswith("| ")]
    rows = [line.strip("| ").split(" | ") for line in lines if "---" not in line]
    return [row for row in rows if any(cell[:1].isdigit() for cell in row)]


@LONG
def test_the_benchmark_of_collection_gives_a_row_for_every_way():
    output = _run("-m", "benchmarks.collection", "--quick", "--only", "published", "bits")
    found = _tables(output)
    assert sum("published way" in row[1] for row in found) == 4
    assert sum("this project" in row[1] for row in found) == 6
    bits = {row[0]: row[1:] for row in found if len(row) == 5}
    assert bits == {
        "observed 37 images at a time": ["8", "0", "8", "0"],
        "stopped and resumed": ["8", "0", "8", "0"],
    }


@LONG
@pytest.mark.parametrize("make", [precisions_and_formats, share_of_the_bare_step])
def test_training_and_the_bare_step_are_measured_in_every_precision(make):
    small = Trial(width=2, side=8, images=8, batch=4)
    arguments = {"compiled": False} if make is precisions_and_formats else {}
    found = _tables(make(Sizes(trial=small, rounds=1, cores=1, depths=(8,)), **arguments))
    assert len(found) == (3 if arguments else 2)
    assert all(float(row[-1]) > 0 for row in found)


@LONG
def test_the_benchmark_of_one_gpu_runs_without_the_study_files_packages(tmp_path):
    refused = ["pydantic", "yaml", "polars", "duckdb", "safetensors", "sklearn", "pandas", "scipy"]
    script = f"import sys\nsys.modules.update(dict.fromkeys({refused}))\n"
    (tmp_path / "sitecustomize.py").write_text(script, encoding="utf-8")
    output = _run("-m", "benchmarks.gpu", "--device", "cpu", "--quick", path=tmp_path)
    assert "needs CUDA" in output
    assert "needs pydantic" in output
    assert "failed" not in output
    processes = next(line for line in output.splitlines() if "processes" in line)
    assert processes.endswith("| 2 of 2 |")


def _networks():
    declared = CifarNetwork(depth=8, width=4, strides=(1, 2, 2))
    generator = torch.Generator().manual_seed(0)
    return [
        build(declared, channels=3, side=32, classes=5, generator=generator).double()
        for _ in range(REPLICATES)
    ]


def _alone(images, labels):
    """Weights of every replicate after some steps on its own images."""
    found = []
    for model, batch, truth in zip(_networks(), images, labels, strict=True):
        model.logits = lambda features, head=model.head: head(features.mean(dim=(2, 3)))
        optimizer = optimizer_of(list(model.parameters()))
        for _ in range(3):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model.logits(model.body(batch)), truth).backward()
            optimizer.step()
        found.append([*model.body.parameters(), *model.head.parameters()])
    return found


@pytest.fixture
def batches():
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(REPLICATES, 6, 3, 8, 8, generator=generator, dtype=torch.float64)
    return images, torch.randint(5, (REPLICATES, 6), generator=generator)


def _same(packed, alone) -> bool:
    return all(
        torch.allclose(a, b, rtol=1e-9, atol=1e-11)
        for replicate in range(REPLICATES)
        for a, b in zip(packed.apart(replicate), alone[replicate], strict=True)
    )


def test_grouped_replicates_learn_what_each_learns_alone(batches):
    images, labels = batches
    packed = GroupedNetwork(_networks())
    optimizer = optimizer_of(list(packed.parameters()))
    joined = images.transpose(0, 1).flatten(1, 2)
    assert not _same(packed, _alone(images, labels))
    for _ in range(3):
        logits = packed.logits(packed.features(joined))
        losses = torch.nn.functional.cross_entropy(
            logits.flatten(0, 1), labels.T.flatten(), reduction="none"
        )
        optimizer.zero_grad()
        (losses.sum() / 6).backward()
        optimizer.step()
    assert _same(packed, _alone(images, labels))


def test_vmapped_replicates_learn_what_each_learns_alone(batches):
    images, labels = batches
    packed = VmappedReplicates(_networks(), images, labels, bf16=False)
    for _ in range(3):
        packed.step()
    assert _same(packed, _alone(images, labels))


def test_the_published_way_learns_and_its_teachers_statistics_drift():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 64)
    pixels = (rng.integers(0, 60, (64, 3, 16, 16)) + 150 * labels[:, None, None, None]).astype(
        np.uint8
    )
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    declared = CifarNetwork(depth=8, width=4, strides=(1, 2, 2))
    student, teacher = (
        build(declared, channels=3, side=32, classes=2, generator=generator) for _ in range(2)
    )
    images = TwoViews(pixels, labels)
    weights = [value.clone() for value in teacher.parameters()]
    statistics = [value.clone() for value in teacher.buffers()]
    alone = PublishedTraining(student, [], images, PublishedRecipe(batch_size=16, workers=0))
    losses = [alone.epoch() for _ in range(6)]
    assert losses[-1] < losses[0]
    distilled = PublishedTraining(
        student, [teacher], images, PublishedRecipe(batch_size=16, workers=0)
    )
    assert np.isfinite(distilled.epoch())
    assert all(torch.equal(a, b) for a, b in zip(weights, teacher.parameters(), strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(statistics, teacher.buffers(), strict=True))


def test_both_published_views_are_made_of_every_image():
    pixels = np.random.default_rng(0).integers(0, 256, (2, 3, 32, 32), dtype=np.uint8)
    torch.manual_seed(0)
    weak, strong, label = TwoViews(pixels, np.array([1, 0]))[0]
    assert weak.shape == strong.shape == (3, 32, 32)
    assert label == 1
    # cutout: a square of one value, which standardized images hardly have elsewhere
    assert (strong == 0).sum() >= 3 * 8 * 8
    assert (weak == 0).sum() < 3 * 8 * 8


@LONG
def test_the_accuracy_benchmark_runs_on_a_folder_of_images(tmp_path):
    rng = np.random.default_rng(0)
    for split in ("train", "test"):
        rows = []
        for label in range(60):
            pixels = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
            path = tmp_path / "image.png"
            Image.fromarray(pixels).save(path)
            rows.append({"img": {"bytes": path.read_bytes()}, "label": label % 10})
        pl.DataFrame(rows).write_parquet(tmp_path / f"{split}.parquet")
    output = _run("-m", "benchmarks.accuracy", "--quick", "--data", str(tmp_path))
    assert "Digits: 900 images" in output
    assert "TOST p = " in output


def test_the_power_of_an_equivalence_test_nears_its_closed_form_with_many_seeds():
    # with the standard deviation known: 2 Phi(bound sqrt(n) / sd - z) - 1
    seeds, spread = 400, 8.0
    known = 2 * stats.norm.cdf(seeds**0.5 / spread - stats.norm.isf(0.05)) - 1
    assert power(seeds, spread, bound=1.0) == pytest.approx(known, abs=0.01)
    # with few, the standard deviation has to be estimated, which costs power
    few = 2 * stats.norm.cdf(12**0.5 / 1.2 - stats.norm.isf(0.05)) - 1
    assert power(12, 1.2, bound=1.0) < few - 0.02


def test_a_page_without_the_place_for_a_table_is_not_written(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("text\n", encoding="utf-8")
    with pytest.raises(ValueError, match="no lines <!-- collection -->"):
        write_between(page, "collection", "table")
    page.write_text("<!-- collection -->\nold\n<!-- end collection -->\n", encoding="utf-8")
    write_between(page, "collection", "table")
    assert page.read_text() == "<!-- collection -->\ntable\n<!-- end collection -->\n"
