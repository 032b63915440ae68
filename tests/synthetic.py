"""A synthetic study in seconds: real shards and a real store, of numbers drawn, not trained.

Stronger augmentation of teachers moves their attention apart, lowers their training accuracy
and makes their students mimic less, so that every claim of a study has something to find.
"""

import atexit
import io
import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from PIL import Image

from store.builder import build
from store.design import TRAINING_PROTOCOL, Design
from store.frames import ATTENTION, EPOCH, IMAGE, MODEL, MODEL_PAIR, PREDICTION
from store.packing import declared_packing
from store.plan import Student, Teacher, model_id, planned_row
from store.shard import Environment, shard_name, write_images, write_shard
from store.vocabulary import CLEAN_VIEW, AttentionMethod, level_name

# by its whole name: benchmarks import this file as tests.synthetic
from tests.synthetic_study import write_study

CLASSES = 10
EPOCHS = 4
POOL = 60


@dataclass(frozen=True)
class SyntheticStudy:
    """Where everything lies. members: the shard folders, by block."""

    design: Design
    study_file: Path
    results: Path
    shards: Path
    members: tuple[Path, ...]
    packs: tuple[Path, ...]
    store: Path


def make_study(folder: Path, **shape: Any) -> SyntheticStudy:
    """Write a study file, its shards and pack manifests, and build its store.

    shape: what ``write_study`` takes, and failed, not_finite: (block, ordinal) of models that
    failed, or of which one clean test image's logits are NaN; built: whether a store is built, else
    True. Students of failed teachers fail too. A study of one shape is made once and copied.
    """
    return copied(_made(repr(sorted(shape.items())), **shape), folder)


def copied(study: SyntheticStudy, folder: Path) -> SyntheticStudy:
    """The same study in another folder, to do something to it."""
    shutil.copytree(study.results, folder / "results", dirs_exist_ok=True)
    shutil.copyfile(study.study_file, folder / study.study_file.name)
    return moved(study, folder)


def moved(study: SyntheticStudy, folder: Path) -> SyntheticStudy:
    """Where the study's files lie in another folder."""
    results = folder / "results"
    return replace(
        study,
        study_file=folder / study.study_file.name,
        results=results,
        shards=results / "shards",
        members=tuple(results / "shards" / shard.name for shard in study.members),
        packs=tuple(results / "packs" / pack.name for pack in study.packs),
        store=results / "store.duckdb",
    )


_studies: dict[str, SyntheticStudy] = {}


def _made(
    name: str,
    *,
    failed: Sequence[tuple[int, int]] = (),
    not_finite: Sequence[tuple[int, int]] = (),
    built: bool = True,
    **shape: Any,
) -> SyntheticStudy:
    """The study of a shape, made where it stays until this process ends."""
    if name not in _studies:
        folder = Path(tempfile.mkdtemp(prefix="synthetic-"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        design, study_file = write_study(folder, **shape)
        results = folder / "results"
        members = write_shards(design, results / "shards", failed=failed, not_finite=not_finite)
        store = results / "store.duckdb"
        if built:
            build(store, design=design, shards=results / "shards", members=members)
        _studies[name] = SyntheticStudy(
            design=design,
            study_file=study_file,
            results=results,
            shards=results / "shards",
            members=members,
            packs=tuple(write_packs(design, results)),
            store=store,
        )
    return _studies[name]


def write_shards(
    design: Design,
    shards: Path,
    *,
    failed: Sequence[tuple[int, int]] = (),
    not_finite: Sequence[tuple[int, int]] = (),
) -> tuple[Path, ...]:
    images = draw_images(design)
    name = write_images(shards, images)
    for block in range(design.seeds):
        drawn = _Drawn(
            design,
            block,
            images,
            failed={ordinal for place, ordinal in failed if place == block},
            not_finite={ordinal for place, ordinal in not_finite if place == block},
        )
        publish(design, shards, block, name, drawn.tables())
    return tuple(
        shards / shard_name(block, design.shard_key(block)) for block in range(design.seeds)
    )


def publish(
    design: Design, shards: Path, block: int, images: str, tables: Mapping[str, pl.DataFrame]
) -> None:
    """Write one block's tables as its shard."""
    write_shard(
        shards,
        study=design.study,
        block=block,
        key=design.shard_key(block),
        protocol=TRAINING_PROTOCOL,
        images=images,
        tables=tables,
        environment=environment(block),
    )


def write_packs(design: Design, results: Path) -> Iterator[Path]:
    (results / "packs").mkdir(exist_ok=True)
    for pack in range(declared_packing(design).packs):
        blocks = []
        for block in declared_packing(design).blocks_of(pack):
            shard = shard_name(block, design.shard_key(block))
            manifest = json.loads((results / "shards" / shard / "manifest.json").read_text())
            blocks.append(
                {
                    "block": block,
                    "key": manifest["key"],
                    "shard": shard,
                    "content": manifest["content"],
                }
            )
        path = results / "packs" / f"{pack:05d}.json"
        path.write_text(json.dumps({"pack": pack, "blocks": blocks}))
        yield path


def environment(block: int) -> Environment:
    return Environment(
        commit="0" * 40,
        python="3.11.0",
        torch="2.13.0",
        torchvision="0.28.0",
        numpy="2.4.6",
        polars="2.1.0",
        platform="Linux x86_64",
        processor="drawn",
        capability="AVX2",
        device="cpu",
        gpu=None,
        precision="fp32",
        memory_format="channels_last",
        threads=1,
        host=f"node-{block % 2}",
        process=1000 + block,
        started_at="2026-01-01T00:00:00+00:00",
        finished_at="2026-01-01T00:01:00+00:00",
        seconds=60.0,
    )


def draw_images(design: Design) -> pl.DataFrame:
    """The pool first, then the test images, every class in both, halves drawn."""
    generator = np.random.default_rng(design.study_seed)
    test = design.dataset.test_size
    pool = max(POOL, design.dataset.train_subset.size)
    labels = np.concatenate([np.arange(pool) % CLASSES, np.arange(test) % CLASSES])
    halves = np.where(generator.permutation(test) < test // 2, "a", "b")
    pixels = generator.integers(0, 255, (test, 16, 16), dtype=np.uint8)
    return pl.DataFrame(
        {
            "image_id": np.arange(pool + test),
            "split": ["train"] * pool + ["test"] * test,
            "label": labels,
            "class_name": [str(label) for label in labels],
            "half": [None] * pool + halves.tolist(),
            "png": [None] * pool + [_png(image) for image in pixels],
        },
        schema=IMAGE.schema,
    )


def _png(pixels: NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return buffer.getvalue()


def views_seen(design: Design, model: Teacher | Student) -> list[tuple[str, str]]:
    """As in a trained block: clean, its own, its students', all for clean teachers."""
    names = {CLEAN_VIEW, level_name(model.strength)}
    if isinstance(model, Teacher):
        students = design.plan().students
        names |= {level_name(s.strength) for s in students if model.ordinal in s.teachers}
        if model.strength == 0:
            names |= set(design.views())
    own = sorted({CLEAN_VIEW, level_name(model.strength)})
    return [(view, "test") for view in sorted(names)] + [(view, "train") for view in own]


class _Drawn:
    """One block's tables."""

    def __init__(
        self,
        design: Design,
        block: int,
        images: pl.DataFrame,
        *,
        failed: set[int],
        not_finite: set[int],
    ) -> None:
        self._design = design
        self._block = block
        self._generator = np.random.default_rng([design.study_seed, block])
        subset = self._generator.permutation(images.filter(pl.col("split") == "train").height)
        chosen = np.sort(subset[: design.dataset.train_subset.size])
        self._images = {
            "train": images.filter(pl.col("split") == "train")[chosen.tolist()],
            "test": images.filter(pl.col("split") == "test"),
        }
        self._not_finite = not_finite
        plan = design.plan()
        self._models: list[Teacher | Student] = [*plan.teachers, *plan.students]
        self._failed = failed | {
            s.ordinal for s in plan.students if failed.intersection(s.teachers)
        }
        # what every model of the block finds hard, and where every model looks
        self._shared = {
            split: self._generator.normal(size=(rows.height, CLASSES))
            for split, rows in self._images.items()
        }
        self._place = self._generator.uniform(2, 5, size=(self._images["test"].height, 2))
        self._spoken: dict[tuple[int, str, str], NDArray[np.float64]] = {}

    def tables(self) -> dict[str, pl.DataFrame]:
        alive = [model for model in self._models if model.ordinal not in self._failed]
        predictions = [
            self._prediction(model, view, split)
            for model in alive
            for view, split in views_seen(self._design, model)
        ]
        kept = self._design.attention.kept
        attention = [
            self._attention(model, view, method)
            for model in alive
            for view, split in views_seen(self._design, model)
            if split == "test"
            for method in (kept if view == CLEAN_VIEW else [self._design.attention.published])
        ]
        return {
            "model": pl.DataFrame([self._row(model) for model in self._models], MODEL.schema),
            "model_pair": self._pairs(),
            "prediction": pl.concat([pl.DataFrame(schema=PREDICTION.schema), *predictions]),
            "attention": pl.concat([pl.DataFrame(schema=ATTENTION.schema), *attention]),
            "epoch": pl.concat([self._epochs(model) for model in self._models]),
        }

    def _id(self, ordinal: int) -> int:
        return model_id(self._block, ordinal)

    def _logits(self, model: Teacher | Student, view: str, split: str) -> NDArray[np.float64]:
        """Students say what their teachers say, the less the stronger those were augmented."""
        known = (model.ordinal, view, split)
        if known not in self._spoken:
            labels = self._images[split]["label"].to_numpy()
            own = self._generator.normal(size=(len(labels), CLASSES))
            strength = self._strength(model)
            signal = 2.0 if split == "test" else 3.2 - 0.8 * strength
            signal -= 0.6 * (self._design.views()[view] - 0.3 * model.strength)
            drawn = signal * np.eye(CLASSES)[labels] + 0.6 * self._shared[split] + 0.7 * own
            taught_here = isinstance(model, Student) and model.teachers
            if taught_here and all((t, view, split) in self._spoken for t in model.teachers):
                taught = np.mean([self._spoken[t, view, split] for t in model.teachers], axis=0)
                drawn = (0.4 - 0.3 * strength) * taught + (0.6 + 0.3 * strength) * drawn
            self._spoken[known] = drawn
        return self._spoken[known]

    def _strength(self, model: Teacher | Student) -> float:
        if isinstance(model, Student) and model.teacher_strength is not None:
            return model.teacher_strength
        return model.strength

    def _prediction(self, model: Teacher | Student, view: str, split: str) -> pl.DataFrame:
        logits = self._logits(model, view, split).astype(np.float32)
        predicted: list[int | None] = logits.argmax(axis=1).tolist()
        if model.ordinal in self._not_finite and (view, split) == (CLEAN_VIEW, "test"):
            logits[3] = np.nan
            predicted[3] = None
        return pl.DataFrame(
            {
                "model_id": [self._id(model.ordinal)] * len(logits),
                "view": [view] * len(logits),
                "image_id": self._images[split]["image_id"],
                "predicted": predicted,
                "logits": pl.Series(logits).arr.to_list(),
            },
            schema=PREDICTION.schema,
        )

    def _attention(
        self, model: Teacher | Student, view: str, method: AttentionMethod
    ) -> pl.DataFrame:
        """A bump near the image's place; the stronger the augmentation, the farther off."""
        images = self._images["test"]
        side = self._design.grid
        spread = 0.3 + 1.2 * self._strength(model)
        centre = self._place + self._generator.normal(scale=spread, size=self._place.shape)
        cells = np.stack(np.meshgrid(np.arange(side), np.arange(side), indexing="ij"), axis=-1)
        distance = ((cells[None] - centre[:, None, None]) ** 2).sum(axis=-1)
        bumps = np.exp(-distance / 4) + 0.05 * self._generator.random((images.height, side, side))
        flat = bumps.reshape(images.height, -1)
        low, high = flat.min(axis=1, keepdims=True), flat.max(axis=1, keepdims=True)
        maps = pl.Series(((flat - low) / (high - low) * 255).round().astype(np.uint8))
        # every model has an image that it looks at evenly: no map
        even = pl.Series(np.arange(images.height) == model.ordinal % images.height)
        return pl.DataFrame(
            {
                "model_id": [self._id(model.ordinal)] * images.height,
                "view": [view] * images.height,
                "image_id": images["image_id"],
                "method": [str(method)] * images.height,
                "map": maps.arr.to_list(),
            },
            schema=ATTENTION.schema,
        ).with_columns(map=pl.when(even).then(None).otherwise(pl.col("map")))

    def _row(self, model: Teacher | Student) -> dict[str, object]:
        failed = model.ordinal in self._failed
        return {
            **planned_row(self._block, model, view=level_name(model.strength)),
            "network": "cifar_resnet depth 8 width 4",
            "parameters": 1000,
            "epochs": 2 if failed else EPOCHS,
            "status": "failed" if failed else "complete",
            "reason": "the loss is not finite in epoch 3" if failed else None,
            "weights_hash": None if failed else f"{self._id(model.ordinal):064x}",
            "train_seconds": 3.0,
            "finished_at": datetime(2026, 1, 1, tzinfo=UTC),
        }

    def _pairs(self) -> pl.DataFrame:
        return pl.DataFrame(
            [
                {
                    "model_a": self._id(a),
                    "model_b": self._id(b),
                    "kind": str(kind),
                    "cka": None if {a, b} & self._failed else 0.9 - 0.2 * self._generator.random(),
                }
                for (a, b), kind in self._design.plan().pairs().items()
            ],
            MODEL_PAIR.schema,
        )

    def _epochs(self, model: Teacher | Student) -> pl.DataFrame:
        last = 2 if model.ordinal in self._failed else EPOCHS
        noise = 0.02 * self._generator.random((last, 2))
        return pl.DataFrame(
            [
                {
                    "model_id": self._id(model.ordinal),
                    "epoch": epoch,
                    "learning_rate": 0.1 / epoch,
                    "train_loss": 2 / epoch + 0.3 * model.strength + noise[epoch - 1, 0],
                    "train_accuracy": 1 - 0.5 / epoch - 0.1 * model.strength,
                    "test_loss": 2.2 / epoch if epoch % 2 == 0 else None,
                    "test_accuracy": 0.8 - 0.4 / epoch + noise[epoch - 1, 1]
                    if epoch % 2 == 0
                    else None,
                }
                for epoch in range(1, last + 1)
            ],
            EPOCH.schema,
        )
