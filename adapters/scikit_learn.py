# pyright: basic
"""Train a study's models with scikit-learn and write them as ``store.foreign`` has it.

    python -m adapters.scikit_learn config/digits-mlp.yaml --out runs/digits-mlp

An example of how other software's runs come into a store, and small enough to be read. Teachers are
classifiers trained on labels. Students are regressors trained on the mean of their teachers'
logits on the images that they are shown, with the square as loss (Ba and Caruana 2014), since
scikit-learn's classifiers take no soft targets. It knows the contract and nothing of the store.
"""

import argparse
import hashlib
import io
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import shift
from scipy.special import log_softmax
from sklearn.datasets import load_digits
from sklearn.neural_network import MLPClassifier, MLPRegressor

from store.design import Design
from store.errors import STOPPING, StudyError, explained
from store.foreign import EPOCHS, IMAGES, MODELS, PREDICTIONS
from store.plan import Student, Teacher
from store.study_file import load_design
from store.vocabulary import CLEAN_VIEW, Role, Split

_EPOCHS: Final = 60
_BATCH: Final = 40
_RATE: Final = 1e-2
_SHIFT: Final = 1.0
_NOISE: Final = 0.2
_HIDDEN: Final = {Role.TEACHER: 64, Role.STUDENT: 48}
_FLOOR: Final = 1e-4
"""Least probability that a logit is taken of."""

Pixels = NDArray[np.float64]
Labels = NDArray[np.int64]
Logits = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Digits:
    """The images. pixels: fractions, shape (images, 8, 8). pool, test: rows of either split."""

    pixels: Pixels
    labels: Labels
    pool: Labels
    test: Labels


@dataclass(frozen=True, slots=True)
class Trained:
    """One model. epochs: rows of EPOCHS, without its name."""

    network: MLPClassifier | MLPRegressor
    epochs: list[dict[str, object]]
    seconds: float

    def logits(self, pixels: Pixels) -> Logits:
        """One row per image, one column per class."""
        return logits_of(self.network, pixels)


def main(words: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m adapters.scikit_learn",
        description="Train a study's models with scikit-learn; write them for python -m store "
        "adopt.",
        epilog="example: python -m adapters.scikit_learn config/digits-mlp.yaml --out "
        "runs/digits-mlp",
    )
    parser.add_argument("study", type=Path, help="a study file with a section foreign")
    parser.add_argument("--out", type=Path, required=True, help="folder for the Parquet files")
    chosen = parser.parse_args(words)
    try:
        write_runs(load_design(chosen.study), chosen.out)
    except STOPPING as error:
        sys.stderr.write(f"error: {explained(error)}\n")
        return 2
    return 0


def write_runs(design: Design, out: Path, *, epochs: int = _EPOCHS) -> None:
    """Train every model of every seed and write the tables of the contract.

    Raises StudyError where the study is not of models that others train, or not of the digits.
    """
    if design.foreign is None:
        raise StudyError(f"{design.study}: has no section foreign; see docs/foreign.md")
    digits = read_digits(design)
    tables: dict[str, list[pl.DataFrame]] = {
        frame.name: [] for frame in (MODELS, PREDICTIONS, EPOCHS)
    }
    for seed in range(design.seeds):
        for name, rows in train_seed(design, digits, seed, epochs=epochs).items():
            tables[name].append(rows)
    out.mkdir(parents=True, exist_ok=True)
    image_rows(digits).write_parquet(out / f"{IMAGES.name}.parquet")
    for name, parts in tables.items():
        pl.concat(parts).write_parquet(out / f"{name}.parquet")


def read_digits(design: Design) -> Digits:
    """Split the digits into test images and a pool that seeds draw their training images from."""
    bunch: Any = load_digits()
    order = np.random.default_rng([design.study_seed, 0]).permutation(len(bunch.target))
    size, subset = design.dataset.test_size, design.dataset.train_subset
    if size + (subset.size if subset else 1) > len(order):
        raise StudyError(
            f"{design.study}: test_size and train_subset.size need more than the {len(order)} "
            "digits that there are"
        )
    return Digits(
        pixels=np.asarray(bunch.images, dtype=np.float64) / 16,
        labels=np.asarray(bunch.target, dtype=np.int64),
        pool=np.sort(order[size:]),
        test=np.sort(order[:size]),
    )


def train_seed(
    design: Design, digits: Digits, seed: int, *, epochs: int
) -> dict[str, pl.DataFrame]:
    """Train one seed's teachers, then its students; return its rows of every table."""
    rng = np.random.default_rng([design.study_seed, 1, seed])
    declared = design.dataset.train_subset
    drawn = len(digits.pool) if declared is None else declared.size
    subset = np.sort(rng.choice(digits.pool, drawn, replace=False))
    shown = np.concatenate([subset, digits.test])
    views = [(CLEAN_VIEW, shown, digits.pixels[shown]), *test_views(design, digits)]
    plan = design.plan()
    trained: dict[int, Trained] = {}
    models: list[dict[str, object]] = []
    tables: dict[str, list[pl.DataFrame]] = {PREDICTIONS.name: [], EPOCHS.name: []}
    for planned in (*plan.teachers, *plan.students):
        student = planned if isinstance(planned, Student) else None
        teachers = [trained[ordinal] for ordinal in student.teachers] if student else []
        one = train(planned, teachers, digits, subset, rng, epochs=epochs)
        trained[planned.ordinal] = one
        name = f"seed{seed}-model{planned.ordinal}"
        models.append(_model_row(name, seed, planned, one, epochs))
        tables[PREDICTIONS.name] += [
            pl.DataFrame(
                {
                    "model": name,
                    "view": view,
                    "image_id": images,
                    "logits": one.logits(pixels),
                }
            )
            for view, images, pixels in views
        ]
        tables[EPOCHS.name].append(pl.DataFrame([{"model": name, **row} for row in one.epochs]))
    return {
        MODELS.name: pl.DataFrame(models, infer_schema_length=None),
        **{name: pl.concat(parts) for name, parts in tables.items()},
    }


def train(
    planned: Teacher | Student,
    teachers: Sequence[Trained],
    digits: Digits,
    subset: Labels,
    rng: np.random.Generator,
    *,
    epochs: int,
) -> Trained:
    """Train one model, on labels or on the mean of its teachers' logits.

    Every epoch shows every image once, shifted and with noise as the strength has it; a teacher
    is asked about the very images that its student is shown.
    """
    started = time.perf_counter()
    kind = MLPRegressor if teachers else MLPClassifier
    role = Role.STUDENT if isinstance(planned, Student) else Role.TEACHER
    network = kind(
        hidden_layer_sizes=(_HIDDEN[role],),
        learning_rate_init=_RATE,
        batch_size=min(_BATCH, len(subset)),  # pyright: ignore[reportArgumentType]
        random_state=int(rng.integers(2**31)),
    )
    labels, rows = digits.labels[subset], []
    for epoch in range(1, epochs + 1):
        seen = augmented(digits.pixels[subset], planned.strength, rng)
        flat = seen.reshape(len(seen), -1)
        if isinstance(network, MLPRegressor):
            network.partial_fit(flat, np.mean([t.logits(seen) for t in teachers], axis=0))
        else:
            network.partial_fit(flat, labels, classes=np.unique(digits.labels))
        rows.append(_epoch_row(epoch, network, seen, labels, digits))
    return Trained(network, rows, time.perf_counter() - started)


def augmented(pixels: Pixels, strength: float, rng: np.random.Generator) -> Pixels:
    """Shift every image and add noise, each by an amount of its own up to the strength's."""
    if strength == 0:
        return pixels
    offsets = rng.uniform(-_SHIFT, _SHIFT, (len(pixels), 2)) * strength
    moved = np.stack([shift(one, by, order=1) for one, by in zip(pixels, offsets, strict=True)])
    noise = rng.normal(0, _NOISE * strength * pixels.std(), pixels.shape)
    return np.clip(moved + noise, 0, 1)


def test_views(design: Design, digits: Digits) -> list[tuple[str, Labels, Pixels]]:
    """Return every augmented view of the test images: its name, the images, the pixels.

    The same for every model of the study: the published measures compare answers to them.
    """
    return [
        (
            name,
            digits.test,
            augmented(
                digits.pixels[digits.test],
                strength,
                np.random.default_rng([design.study_seed, 2, round(1000 * strength)]),
            ),
        )
        for name, strength in design.views().items()
        if strength > 0
    ]


def logits_of(network: MLPClassifier | MLPRegressor, pixels: Pixels) -> Logits:
    """Return what a network says of images, shape (images, classes).

    A classifier's logits are the logarithms of its probabilities, which differ from those that
    it computed within by a number that is the same for every class.
    """
    flat = pixels.reshape(len(pixels), -1)
    if isinstance(network, MLPRegressor):
        return np.asarray(network.predict(flat))
    return np.log(np.maximum(network.predict_proba(flat), _FLOOR))


def image_rows(digits: Digits) -> pl.DataFrame:
    """Table IMAGES of the contract."""
    rows = np.concatenate([digits.pool, digits.test])
    return pl.DataFrame(
        {
            "image_id": rows,
            "split": [str(Split.TRAIN)] * len(digits.pool) + [str(Split.TEST)] * len(digits.test),
            "label": digits.labels[rows],
            "class_name": digits.labels[rows].astype(str),
            "png": [_png(digits.pixels[row]) for row in rows],
        }
    )


def _png(pixels: Pixels) -> bytes:
    stream = io.BytesIO()
    Image.fromarray((255 * pixels).round().astype(np.uint8)).save(stream, format="png")
    return stream.getvalue()


def _model_row(
    name: str, seed: int, planned: Teacher | Student, one: Trained, epochs: int
) -> dict[str, object]:
    student = planned if isinstance(planned, Student) else None
    weights = [*one.network.coefs_, *one.network.intercepts_]
    digest = hashlib.sha256(b"".join(np.ascontiguousarray(part).tobytes() for part in weights))
    return {
        "model": name,
        "seed": seed,
        "role": str(Role.STUDENT if student else Role.TEACHER),
        "slot": planned.slot if isinstance(planned, Teacher) else None,
        "arm": str(student.arm) if student else None,
        "strength": planned.strength,
        "teacher_strength": student.teacher_strength if student else None,
        "parameters": sum(part.size for part in weights),
        "epochs": epochs,
        "failure": None,
        "weights_hash": digest.hexdigest(),
        "train_seconds": one.seconds,
        "finished_at": datetime.now(UTC),
    }


def _epoch_row(
    epoch: int,
    network: MLPClassifier | MLPRegressor,
    seen: Pixels,
    labels: Labels,
    digits: Digits,
) -> dict[str, object]:
    """Row of EPOCHS: on the images that the epoch showed, once it is over, and on test images."""
    shown, test = (logits_of(network, pixels) for pixels in (seen, digits.pixels[digits.test]))
    truth = digits.labels[digits.test]
    return {
        "epoch": epoch,
        "learning_rate": _RATE,
        "train_loss": _cross_entropy(shown, labels),
        "train_accuracy": float((shown.argmax(axis=1) == labels).mean()),
        "test_loss": _cross_entropy(test, truth),
        "test_accuracy": float((test.argmax(axis=1) == truth).mean()),
    }


def _cross_entropy(logits: Logits, labels: Labels) -> float:
    """Mean over images, nats."""
    return float(-log_softmax(logits, axis=1)[np.arange(len(labels)), labels].mean())


if __name__ == "__main__":
    sys.exit(main())
