"""Shards of a study that nobody trained, of a real one's numbers: see ``benchmarks.store``."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from store.design import Design
from store.frames import ATTENTION, EPOCH, IMAGE, MODEL, MODEL_PAIR, PREDICTION
from store.plan import Student, Teacher, model_id, planned_row
from store.shard import read_table, write_images
from store.vocabulary import CLEAN_VIEW, level_name
from tests.synthetic import publish, views_seen

CLASSES = 100


TEST_IMAGES = 2_500


TRAIN_IMAGES = 1_250


POOL = 2**16


GRID = 8


@dataclass(frozen=True, slots=True)
class Real:
    """Numbers of a trained study to draw from: logits, shape (2**16,), maps, shape (maps, 64)."""

    logits: NDArray[np.float32]
    maps: NDArray[np.uint8]


def read_real(shards: Path) -> Real:
    """Draw from the first two blocks."""
    blocks = sorted(shards.glob("block-*"))[:2]
    if not blocks:
        raise SystemExit(f"{shards}: no shards; run make report first, or name others by --real")
    logits = [read_table(b, PREDICTION)["logits"].explode() for b in blocks]
    maps = [read_table(b, ATTENTION)["map"].drop_nulls().explode() for b in blocks]
    rng = np.random.default_rng(0)
    spoken = np.concatenate([part.to_numpy() for part in logits])
    seen = np.concatenate([part.to_numpy().reshape(-1, GRID * GRID) for part in maps])
    return Real(rng.choice(spoken, POOL), seen[rng.permutation(len(seen))[:POOL]])


def study(blocks: int, *, logits: str) -> Design:
    """As the default study, with 100 classes and one kind of map beside the published one."""
    recipe = {"epochs": 4, "batch_size": 50, "learning_rate": 0.1}
    return Design.model_validate(
        {
            "study": "scale",
            "title": "Resampled numbers",
            "study_seed": 1,
            "seeds": blocks,
            "dataset": {
                "kind": "parquet",
                "path": "none",
                "classes": CLASSES,
                "test_size": TEST_IMAGES,
                "train_subset": {"size": TRAIN_IMAGES},
            },
            "networks": {
                "teacher": {"depth": 8, "width": 4},
                "student": {"depth": 8, "width": 4},
            },
            "training": {"teacher": recipe, "student": recipe},
            "design": {"strengths": [0, 0.25, 0.5, 0.75, 1]},
            "attention": {"methods": ["cam_label"]},
            "claims": {"H1": {"sesoi": {"attention_iou_adjusted": 0.05}}},
            "store": {"logits": logits},
        }
    )


def images_of(test: int, train: int) -> pl.DataFrame:
    labels = np.concatenate([np.arange(train) % CLASSES, np.arange(test) % CLASSES])
    halves = np.where(np.random.default_rng(0).permutation(test) < test // 2, "a", "b")
    return pl.DataFrame(
        {
            "image_id": np.arange(train + test),
            "split": ["train"] * train + ["test"] * test,
            "label": labels,
            "class_name": [str(label) for label in labels],
            "half": [None] * train + halves.tolist(),
            "png": [None] * train + [b"png"] * test,
        },
        schema=IMAGE.schema,
    )


class Drawn:
    """One block's tables."""

    def __init__(self, design: Design, block: int, images: pl.DataFrame, real: Real) -> None:
        self._design, self._block, self._real = design, block, real
        self._rng = np.random.default_rng([design.study_seed, block])
        pool = images.filter(pl.col("split") == "train")
        chosen = np.sort(self._rng.permutation(pool.height)[: design.dataset.train_subset.size])
        self._images = {
            "train": pool[chosen.tolist()],
            "test": images.filter(pl.col("split") == "test"),
        }
        plan = design.plan()
        self._models: list[Teacher | Student] = [*plan.teachers, *plan.students]
        self._shared: dict[tuple[str, str], NDArray[np.float32]] = {}

    def tables(self) -> dict[str, pl.DataFrame]:
        shown = [
            (model, *seen) for model in self._models for seen in views_seen(self._design, model)
        ]
        attention = self._design.attention
        return {
            "model": pl.DataFrame([self._row(model) for model in self._models], MODEL.schema),
            "model_pair": self._pairs(),
            "prediction": pl.concat([self._prediction(*seen) for seen in shown]),
            "attention": pl.concat(
                self._attention(model, view, str(method))
                for model, view, split in shown
                if split == "test"
                for method in (attention.kept if view == CLEAN_VIEW else (attention.published,))
            ),
            "epoch": pl.concat(self._epochs(model) for model in self._models),
        }

    def _id(self, ordinal: int) -> int:
        return model_id(self._block, ordinal)

    def _resampled(self, rows: int) -> NDArray[np.float32]:
        return self._real.logits[self._rng.integers(0, POOL, (rows, CLASSES), dtype=np.uint16)]

    def _prediction(self, model: Teacher | Student, view: str, split: str) -> pl.DataFrame:
        images = self._images[split]
        if (view, split) not in self._shared:
            self._shared[view, split] = self._resampled(images.height)
        logits = self._shared[view, split] + self._resampled(images.height)
        logits *= np.float32(0.5**0.5)
        logits[np.arange(images.height), images["label"].to_numpy()] += 9
        return pl.DataFrame(
            {
                **self._keys(model, view, images),
                "predicted": logits.argmax(axis=1),
                "logits": pl.Series(logits).arr.to_list(),
            },
            schema=PREDICTION.schema,
        )

    def _attention(self, model: Teacher | Student, view: str, method: str) -> pl.DataFrame:
        images = self._images["test"]
        maps = self._real.maps[self._rng.integers(0, len(self._real.maps), images.height)]
        return pl.DataFrame(
            {
                **self._keys(model, view, images),
                "method": [method] * images.height,
                "map": pl.Series(maps).arr.to_list(),
            },
            schema=ATTENTION.schema,
        )

    def _keys(self, model: Teacher | Student, view: str, images: pl.DataFrame) -> dict[str, object]:
        return {
            "model_id": np.full(images.height, self._id(model.ordinal), dtype=np.int32),
            "view": [view] * images.height,
            "image_id": images["image_id"],
        }

    def _row(self, model: Teacher | Student) -> dict[str, object]:
        return {
            **planned_row(self._block, model, view=level_name(model.strength)),
            "network": "drawn",
            "parameters": 1000,
            "epochs": 4,
            "status": "complete",
            "reason": None,
            "weights_hash": f"{self._id(model.ordinal):064x}",
            "train_seconds": 3.0,
            "finished_at": datetime(2026, 1, 1, tzinfo=UTC),
        }

    def _pairs(self) -> pl.DataFrame:
        return pl.DataFrame(
            [
                (self._id(a), self._id(b), str(kind), 0.5)
                for (a, b), kind in self._design.plan().pairs().items()
            ],
            schema=MODEL_PAIR.schema,
            orient="row",
        )

    def _epochs(self, model: Teacher | Student) -> pl.DataFrame:
        return pl.DataFrame(
            [
                (self._id(model.ordinal), epoch, 0.1, 2 / epoch, 1 - 0.5 / epoch, 1.0, 0.5)
                for epoch in range(1, 5)
            ],
            schema=EPOCH.schema,
            orient="row",
        )


def write_shards(folder: Path, real: Path, blocks: int) -> tuple[float, ...]:
    """Write the shards, and return the entropy of what they hold, in bits per number."""
    design, shards = study(blocks, logits="float32"), folder / "shards"
    numbers, images = read_real(real), images_of(TEST_IMAGES, 2 * TRAIN_IMAGES)
    name = write_images(shards, images)
    for block in range(blocks):
        tables = Drawn(design, block, images, numbers).tables()
        publish(design, shards, block, name, tables)
    logits = tables["prediction"]["logits"].explode().to_numpy()
    words = logits.astype(np.float16).view(np.uint16)
    maps = tables["attention"]["map"].explode().to_numpy()
    return entropy(words >> 8) + entropy(words & 255), entropy(maps)


def entropy(values: NDArray[np.integer]) -> float:
    """In bits, of values taken one by one."""
    shares = np.unique(values, return_counts=True)[1] / len(values)
    return float(-(shares * np.log2(shares)).sum())
