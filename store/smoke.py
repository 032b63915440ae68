"""A smoke run: a study cut to a few images and steps, to see that it goes the whole way."""

from pathlib import Path, PurePath
from typing import Any, Final

import yaml

from store.atomic import write_text
from store.design import Design
from store.errors import StudyError
from store.image_files import missing_images, to_be_fetched
from store.images import ForeignData
from store.study_file import load_design

SEEDS: Final = 3
EPOCHS: Final = 2
BATCH: Final = 8
TRAIN_IMAGES: Final = 16
TEST_IMAGES: Final = 20
LARGEST_SIDE: Final = 128
"""Larger images are made smaller; still smaller ones leave ImageNet's networks no feature map."""

_FOLDERS: Final = ("path", "root")
_LISTS: Final = ("train_list", "test_list", "class_names_file")


def prepare_smoke(study: Path, results: str | None) -> Path:
    """Write the study file of a study's smoke run, beside where its results go; return it.

    results: that folder; None for results/NAME, where NAME is the smoke run's. Where the study's
    images are not at hand, or would have to be fetched, the run is one of made-up images, in
    ``images`` there, which the caller makes. Raises UserError for a study that cannot be cut.
    """
    # a study that leaves the place of its images open is as good as one without them
    design = load_design(study, unset="not-said")
    if isinstance(design.dataset, ForeignData):
        raise StudyError(
            f"{study}: dataset.kind foreign: a smoke run trains, and these models are trained "
            "elsewhere"
        )
    made_up = missing_images(design.dataset) is not None or to_be_fetched(design.dataset)
    name = _name(design, made_up=made_up)
    folder = Path(results or f"results/{name}")
    smoke = smoke_design(design, images=folder / "images" if made_up else None)
    file = folder / "study.yaml"
    text = f"# made from {study.name} by smoke=true\n" + yaml.safe_dump(
        smoke.declared(), sort_keys=False, allow_unicode=True
    )
    if not file.exists() or file.read_bytes() != text.encode("utf-8"):
        file.parent.mkdir(parents=True, exist_ok=True)
        write_text(file, text)
    return file


def smoke_design(design: Design, *, images: Path | None) -> Design:
    """Cut a study down: same networks, conditions, losses and claims, no finding.

    images: folder of made-up images; None where the study's own are at hand. Pretrained
    weights are left out, since they may have to be downloaded. Another name and title keep its
    results apart from the study's, and those of made-up images from those of real ones.
    """
    cut = design if images is None else design_with_images_in(images, design)
    declared = cut.declared()
    made_up = "" if images is None else ", on made-up images"
    declared |= {
        "study": _name(design, made_up=images is not None),
        "title": f"A smoke run, not a study{made_up}: {design.title}"[:300],
        "seeds": SEEDS,
        "pack_size": 1,
    }
    declared.pop("adding_seeds")
    declared["engine"]["compile"] = False
    declared["dataset"] = _dataset(declared["dataset"])
    declared["training"] = {role: _recipe(recipe) for role, recipe in declared["training"].items()}
    for network in declared["networks"].values():
        for key in ("weights", "weights_sha256"):
            network.pop(key, None)
    return Design.model_validate(declared)


def design_with_images_in(folder: Path, design: Design) -> Design:
    """Return a study with its images in a folder; lists keep their names and lie in it."""
    declared = design.declared()
    changed: dict[str, Any] = declared["dataset"]
    changed |= {key: PurePath(changed[key]).name for key in _LISTS if changed.get(key) is not None}
    changed |= {key: str(folder) for key in _FOLDERS if key in changed}
    if "download" in changed:
        changed["download"] = False
    return Design.model_validate(declared)


def _name(design: Design, *, made_up: bool) -> str:
    ending = "-smoke-made-up" if made_up else "-smoke"
    return design.study[: 63 - len(ending)] + ending


def _dataset(declared: dict[str, Any]) -> dict[str, Any]:
    subset = declared.get("train_subset") or {}
    return {
        **declared,
        "test_size": min(declared["test_size"], TEST_IMAGES),
        "train_subset": {**subset, "size": min(subset.get("size", TRAIN_IMAGES), TRAIN_IMAGES)},
        "train_observed": None,
        "image_size": min(declared["image_size"], LARGEST_SIDE),
    }


def _recipe(declared: dict[str, Any]) -> dict[str, Any]:
    """Two epochs: a learning rate that falls in steps falls after the first."""
    step = declared["schedule"] == "step"
    return {
        **declared,
        "epochs": EPOCHS,
        "batch_size": min(declared["batch_size"], BATCH),
        "warmup_epochs": min(declared["warmup_epochs"], 0.5),
        "milestones": [1] if step else [],
        "evaluate_every": 1,
    }
