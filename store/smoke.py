"""A smoke run: a study cut to a few images and steps, to see that it goes the whole way."""

from pathlib import Path
from typing import Any, Final

import yaml

from store.atomic import write_text
from store.design import Design

SEEDS: Final = 3
EPOCHS: Final = 2
BATCH: Final = 16
TRAIN_IMAGES: Final = 48
TEST_IMAGES: Final = 40
LARGEST_SIDE: Final = 64
"""Larger images are made smaller: networks at 224 pixels take minutes for what this shows."""

_FOLDERS: Final = ("path", "root")


def smoke_design(design: Design, *, images: Path | None) -> Design:
    """Cut a study down: same networks, conditions, losses and claims, no finding.

    images: folder of stand-in images; None where the study's own are at hand. Pretrained
    weights are left out, since they may have to be downloaded. Another name and title keep its
    results apart from the study's. Raises ValueError where the study cannot be cut.
    """
    declared = design.declared()
    declared |= {
        "study": f"{design.study[:56]}-smoke",
        "title": f"A smoke run, not a study: {design.title}"[:300],
        "seeds": SEEDS,
        "pack_size": 1,
    }
    declared.pop("adding_seeds")
    declared["engine"]["compile"] = False
    declared["dataset"] = _dataset(declared["dataset"], images)
    declared["training"] = {role: _recipe(recipe) for role, recipe in declared["training"].items()}
    for network in declared["networks"].values():
        network.pop("weights", None)
    return Design.model_validate(declared)


def write_smoke(design: Design, file: Path) -> None:
    """Write a study file, unless it says so already."""
    text = "# made from another study by smoke=true\n" + yaml.safe_dump(
        design.declared(), sort_keys=False, allow_unicode=True
    )
    if not file.exists() or file.read_text(encoding="utf-8") != text:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_text(file, text)


def _dataset(declared: dict[str, Any], images: Path | None) -> dict[str, Any]:
    subset = declared.get("train_subset") or {}
    cut: dict[str, Any] = {
        **declared,
        "test_size": TEST_IMAGES,
        "train_subset": {**subset, "size": TRAIN_IMAGES},
    }
    if cut.get("image_size") is not None:
        cut["image_size"] = min(cut["image_size"], LARGEST_SIDE)
    if images is not None:
        cut |= {key: str(images) for key in _FOLDERS if key in cut}
    if "download" in cut:
        cut["download"] = False
    return cut


def _recipe(declared: dict[str, Any]) -> dict[str, Any]:
    """Two epochs: a learning rate that falls in steps falls after the first."""
    step = declared["schedule"] == "step"
    return {
        **declared,
        "epochs": EPOCHS,
        "batch_size": BATCH,
        "warmup_epochs": min(declared["warmup_epochs"], 0.5),
        "milestones": [1] if step else [],
        "evaluate_every": 1,
    }
