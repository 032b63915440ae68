"""Every SQL measure once more, in plain loops over the shards' rows: what the views must give.

Nothing here reads the store or shares code with it.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
from scipy.special import log_softmax
from scipy.stats import entropy
from sklearn.metrics import cohen_kappa_score, mutual_info_score

BATCH = 128


@dataclass
class Block:
    """One shard's rows by key."""

    models: dict[int, dict]
    logits: dict[tuple[int, str, int], np.ndarray]
    maps: dict[tuple[int, str, str, int], list[int] | None]
    epochs: dict[int, list[dict]]
    cka: dict[tuple[int, int], float | None]
    labels: dict[int, int]
    test: dict[str, list[int]]
    tau: float
    method: str
    published: str = "cam_sum"

    @classmethod
    def read(
        cls, shard: Path, images: Path, *, tau: float, method: str, half: bool = False
    ) -> "Block":
        """half: read logits as a store that keeps halves does."""

        def rows(name: str) -> list[dict]:
            return pl.read_parquet(shard / f"{name}.parquet").to_dicts()

        shown = pl.read_parquet(images).drop("png").sort("image_id").to_dicts()
        test = [row for row in shown if row["split"] == "test"]
        epochs = defaultdict(list)
        for row in rows("epoch"):
            epochs[row["model_id"]].append(row)
        return cls(
            models={row["model_id"]: row for row in rows("model")},
            logits={
                (row["model_id"], row["view"], row["image_id"]): _spoken(row, half=half)
                for row in rows("prediction")
            },
            maps={
                (row["model_id"], row["view"], row["method"], row["image_id"]): _seen(row)
                for row in rows("attention")
            },
            epochs=epochs,
            cka={(row["model_a"], row["model_b"]): row["cka"] for row in rows("model_pair")},
            labels={row["image_id"]: row["label"] for row in shown},
            test={
                "all": [row["image_id"] for row in test],
                "a": [row["image_id"] for row in test if row["half"] == "a"],
                "b": [row["image_id"] for row in test if row["half"] == "b"],
            },
            tau=tau,
            method=method,
        )

    def train_of(self, model: int) -> list[int]:
        return sorted(
            image
            for (of, view, image) in self.logits
            if of == model and view == "clean" and image not in set(self.test["all"])
        )

    def students(self) -> list[int]:
        return sorted(m for m, row in self.models.items() if row["role"] == "student")


def _spoken(row: dict, *, half: bool) -> np.ndarray:
    logits = np.frombuffer(row["logits"], dtype="<f4")
    logits = logits.astype(np.float16 if half else np.float32).astype(np.float64)
    if half:
        # rounding may tie two classes; the one predicted before stays the predicted one
        logits[row["predicted"]] += 2**-42
    return logits


def _seen(row: dict) -> list[int] | None:
    return None if row["map"] is None else list(row["map"])


def measures(block: Block, student: int, half: str) -> dict[str, float | None]:
    """Every SQL measure that is taken by half, of one student whose models are all complete."""
    row = block.models[student]
    teachers, images = row["teacher_ids"], block.test[half]
    train = block.train_of(student)
    said = np.array([block.logits[student, "clean", i] for i in images])
    heard = ensemble(block, teachers, "clean", images)
    labels = np.array([block.labels[i] for i in images])
    e, s = heard.argmax(axis=1), said.argmax(axis=1)
    test_accuracy = float(np.mean(s == labels))
    train_accuracy = float(
        np.mean([block.logits[student, "clean", i].argmax() == block.labels[i] for i in train])
    )
    pairs = [(a, b) for n, a in enumerate(teachers) for b in teachers[n + 1 :]]
    return {
        "test_accuracy": test_accuracy,
        "train_accuracy": train_accuracy,
        "generalization_gap": train_accuracy - test_accuracy,
        "loss_gap_nats": loss(block, student, images) - loss(block, student, train),
        "entropy_nats": mean(entropy(softmax(z)) for z in said),
        "ece": calibration_by_width(said, labels, 15),
        "ece_adaptive": calibration_by_mass(said, labels, 15),
        "mask_area": area(block, student, images),
        "mask_area_teachers": mean(area(block, t, images) for t in teachers),
        "agreement": float(np.mean(e == s)),
        "error_consistency": kappa(e == labels, s == labels),
        "predictive_kl_nats": mean(
            entropy(softmax(p), softmax(q)) for p, q in zip(heard, said, strict=True)
        ),
        "attention_iou": mean(overlap(block, a, b, images) for a, b in pairs) if pairs else None,
        "attention_iou_teacher_student": mean(overlap(block, t, student, images) for t in teachers),
        "agreement_teacher_teacher": mean(
            np.mean(
                [
                    block.logits[a, "clean", i].argmax() == block.logits[b, "clean", i].argmax()
                    for i in images
                ]
            )
            for a, b in pairs
        )
        if pairs
        else None,
        "test_accuracy_teachers": mean(accuracy(block, t, "clean", images) for t in teachers),
        "test_accuracy_ensemble": float(np.mean(e == labels)),
    }


def whole_measures(block: Block, student: int) -> dict[str, float | None]:
    """Every SQL measure that needs all test images."""
    row = block.models[student]
    teachers, images, view = row["teacher_ids"], block.test["all"], row["view"]
    pairs = [(a, b) for n, a in enumerate(teachers) for b in teachers[n + 1 :]]
    levels = {t: block.models[t]["view"] for t in teachers}
    plain = [m for m, r in block.models.items() if r["role"] == "teacher" and r["strength"] == 0]
    evaluated = [r["test_accuracy"] for r in block.epochs[student] if r["test_accuracy"]]
    running = max(block.epochs[student], key=lambda r: r["epoch"])["train_accuracy"]
    return {
        "cka": mean(block.cka[pair] for pair in pairs) if pairs else None,
        "cka_teacher_student": mean(block.cka[t, student] for t in teachers),
        "affinity": mean(
            mean(
                accuracy(block, t, level, images) / accuracy(block, t, "clean", images)
                for t in plain
            )
            for level in levels.values()
        )
        if plain
        else None,
        "affinity_published": mean(
            accuracy(block, t, levels[t], images) / accuracy(block, t, "clean", images)
            for t in teachers
        ),
        "diversity": mean(final_loss(block, t) for t in teachers)
        / mean(final_loss(block, t) for t in plain)
        if plain
        else None,
        "test_accuracy_published": max(evaluated),
        "train_accuracy_published": running,
        "generalization_gap_published": running - max(evaluated),
        "ece_published": calibration_as_published(
            np.array([block.logits[student, "clean", i] for i in images]),
            np.array([block.labels[i] for i in images]),
            10,
        ),
        **published(block, student, teachers, pairs, view, images),
    }


def published(
    block: Block,
    student: int,
    teachers: Sequence[int],
    pairs: Sequence[tuple[int, int]],
    view: str,
    images: Sequence[int],
) -> dict[str, float | None]:
    """What is averaged over batches of the student's own view."""
    batches = [images[start : start + BATCH] for start in range(0, len(images), BATCH)]
    found: dict[str, list[float]] = defaultdict(list)
    for batch in batches:
        said = np.array([block.logits[student, view, i] for i in batch])
        heard = ensemble(block, teachers, view, batch)
        found["entropy_published_nats"].append(mean(entropy(softmax(z)) for z in said))
        found["agreement_published"].append(
            float(np.mean(said.argmax(axis=1) == heard.argmax(axis=1)))
        )
        found["predictive_kl_published_nats"].append(
            10 * mean(entropy(softmax(q), softmax(p)) for p, q in zip(heard, said, strict=True))
        )
        found["mutual_information_published_nats"].append(
            mutual_info_score(heard.argmax(axis=1), said.argmax(axis=1))
        )
    overlaps = []
    for a, b in pairs:
        by_batch = []
        for batch in batches:
            shared = joined = 0
            for image in batch:
                one, other = (
                    mask(block, model, view, block.published, image, block.tau) for model in (a, b)
                )
                if one is not None and other is not None:
                    shared += int((one & other).sum())
                    joined += int((one | other).sum())
            by_batch.append(shared / joined)
        overlaps.append(mean(by_batch))
    return {
        **{name: mean(values) for name, values in found.items()},
        "attention_iou_published": mean(overlaps) if overlaps else None,
    }


def mean(values: Iterable[float]) -> float:
    listed = [float(value) for value in values]
    return math.fsum(listed) / len(listed)


def softmax(logits: np.ndarray) -> np.ndarray:
    return np.exp(log_softmax(logits))


def ensemble(block: Block, teachers: Sequence[int], view: str, images: Sequence[int]) -> np.ndarray:
    return np.array(
        [sum(block.logits[t, view, i] for t in teachers) / len(teachers) for i in images]
    )


def accuracy(block: Block, model: int, view: str, images: Sequence[int]) -> float:
    return mean(block.logits[model, view, i].argmax() == block.labels[i] for i in images)


def loss(block: Block, model: int, images: Sequence[int]) -> float:
    return mean(-log_softmax(block.logits[model, "clean", i])[block.labels[i]] for i in images)


def final_loss(block: Block, model: int) -> float:
    return max(block.epochs[model], key=lambda row: row["epoch"])["train_loss"]


def kappa(one: np.ndarray, other: np.ndarray) -> float | None:
    if len(set(one.tolist())) == 1 or len(set(other.tolist())) == 1:
        return None
    return float(cohen_kappa_score(one, other))


def mask(
    block: Block, model: int, view: str, method: str, image: int, tau: float
) -> np.ndarray | None:
    cells = block.maps[model, view, method, image]
    return None if cells is None else np.array(cells) > 255 * tau


def area(block: Block, model: int, images: Sequence[int]) -> float:
    masks = [mask(block, model, "clean", block.method, i, block.tau) for i in images]
    return mean(m.mean() for m in masks if m is not None)


def ious(
    block: Block, a: int, b: int, method: str, images: Sequence[int], tau: float
) -> dict[int, float | None]:
    """IoU by image; None where a map is undefined or neither attends anywhere."""
    found: dict[int, float | None] = {}
    for image in images:
        one, other = (mask(block, model, "clean", method, image, tau) for model in (a, b))
        if one is None or other is None or not (one | other).any():
            found[image] = None
        else:
            found[image] = (one & other).sum() / (one | other).sum()
    return found


def overlap(block: Block, a: int, b: int, images: Sequence[int]) -> float:
    values = ious(block, a, b, block.method, images, block.tau).values()
    return mean(value for value in values if value is not None)


def calibration_by_width(logits: np.ndarray, labels: np.ndarray, bins: int) -> float:
    total = 0.0
    for right, sure in _bins(logits, labels, bins):
        if len(right):
            total += len(right) / len(labels) * abs(mean(right) - mean(sure))
    return total


def calibration_as_published(logits: np.ndarray, labels: np.ndarray, bins: int) -> float:
    return mean(
        abs(mean(right) - mean(sure)) if len(right) else 0
        for right, sure in _bins(logits, labels, bins)
    )


def calibration_by_mass(logits: np.ndarray, labels: np.ndarray, bins: int) -> float:
    sure = np.array([softmax(z).max() for z in logits])
    right = logits.argmax(axis=1) == labels
    order = np.argsort(sure, kind="stable")
    return sum(
        len(part) / len(labels) * abs(right[part].mean() - sure[part].mean())
        for part in np.array_split(order, bins)
        if len(part)
    )


def _bins(logits: np.ndarray, labels: np.ndarray, bins: int) -> list[tuple[np.ndarray, np.ndarray]]:
    sure = np.array([softmax(z).max() for z in logits])
    right = logits.argmax(axis=1) == labels
    edges = np.linspace(0, 1, bins + 1)
    return [
        (right[(sure > low) & (sure <= high)], sure[(sure > low) & (sure <= high)])
        for low, high in pairwise(edges)
    ]
