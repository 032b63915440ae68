"""Models as runs of MLflow's file store: one run per model, in one experiment per study.

    FOLDER/<experiment>/meta.yaml
    FOLDER/<experiment>/<run>/{meta.yaml, params/, metrics/, tags/, artifacts/}

Every file below a run holds one value, or one line ``moment value step`` per epoch. MLflow 2.22 to
3.12 were tried and read it as it stands; 3.13 to 3.17 open a file store only with
MLFLOW_ALLOW_FILE_STORE=true, or take it over by ``mlflow migrate-filestore``.
"""

import hashlib
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import polars as pl
import yaml

from store.atomic import whole_folder
from store.database import Reader
from store.errors import StoreError
from store.measures import BY_NAME
from store.vocabulary import Role, Status

_FINISHED: Final = 3
_FAILED: Final = 4
"""MLflow's numbers of a run's status."""

_PARAMS: Final = (
    "block",
    "ordinal",
    "role",
    "slot",
    "condition_id",
    "arm",
    "strength",
    "teacher_strength",
    "view",
    "network",
    "parameters",
    "epochs",
)
_CURVES: Final = ("learning_rate", "train_loss", "train_accuracy", "test_loss", "test_accuracy")
_CURVE: Final = "epoch_"
"""Put before the names of learning curves: ``test_accuracy`` is the measure, taken at the end."""


def export_mlflow(reader: Reader, folder: Path) -> Path:
    """Write a study's models as runs; return the experiment's folder, whole or absent.

    A model's measures are metrics at its last epoch, its learning curves metrics over epochs.
    What is NULL is left out, as MLflow has no NULL.

    Raises StoreError where the study stands in that folder already.
    """
    study = reader.frame(
        "SELECT study.*, max(model.finished_at) AS trained_at FROM study CROSS JOIN model "
        "GROUP BY ALL"
    ).row(0, named=True)
    experiment = experiment_id(study["study"])
    place = folder / experiment
    if place.exists():
        raise StoreError(f"{place}: exists already; name another folder, or delete it")
    with whole_folder(place) as temporary:
        _write_yaml(temporary / "meta.yaml", _experiment(study, place))
        _write_values(
            temporary / "tags",
            {"mlflow.note.content": study["title"], "study_hash": study["study_hash"]},
        )
        measured = _measured(reader)
        for model, epochs in _models(reader):
            _write_run(temporary, place, study, model, measured.get(model["model_id"], {}), epochs)
    return place


def experiment_id(study: str) -> str:
    """Return the experiment's number for a study's name: 18 digits, the first not 0."""
    return str(10**17 + int(hashlib.sha256(study.encode()).hexdigest(), 16) % (9 * 10**17))


def run_id(study: str, model_id: int) -> str:
    """Return a model's run: 32 hexadecimal digits, the same at every export."""
    return hashlib.sha256(f"{study}/{model_id}".encode()).hexdigest()[:32]


def run_name(model: Mapping[str, Any]) -> str:
    """Name a run so that a list of them can be read."""
    if model["role"] == str(Role.TEACHER):
        return f"seed {model['block']} teacher {model['slot']} strength {model['strength']:g}"
    return f"seed {model['block']} student {model['arm']} strength {_strength(model)}"


def _strength(model: Mapping[str, Any]) -> str:
    """Name the strength of a student's teachers, each where they differ; its own without any."""
    strengths = model["teacher_strengths"]
    if not strengths:
        return f"{model['strength']:g}"
    if len(set(strengths)) == 1:
        return f"{model['teacher_strength']:g}"
    return "+".join(f"{strength:g}" for strength in strengths)


def _models(reader: Reader) -> Iterator[tuple[dict[str, Any], pl.DataFrame]]:
    """Every model with its epochs, block by block."""
    for (block,) in reader.frame("SELECT block FROM shard ORDER BY block").iter_rows():
        models = reader.frame(
            "SELECT model.*, condition.teacher_strengths FROM model "
            "LEFT JOIN condition ON model.condition_id = condition.condition_id "
            "WHERE model.block = ? ORDER BY model.model_id",
            [block],
        )
        epochs = reader.frame(
            "SELECT epoch.* FROM epoch INNER JOIN model ON epoch.model_id = model.model_id "
            "WHERE model.block = ? ORDER BY epoch.model_id, epoch.epoch",
            [block],
        )
        for model in models.iter_rows(named=True):
            yield model, epochs.filter(pl.col("model_id") == model["model_id"])


def _measured(reader: Reader) -> dict[int, dict[str, float]]:
    """Measures by model: of students all, of teachers those of one model alone."""
    students = reader.frame("SELECT * FROM measures").rename({"student_id": "model_id"})
    teachers = reader.frame("SELECT * FROM model_measures WHERE role = 'teacher'")
    return {
        row["model_id"]: {name: row[name] for name in BY_NAME if row.get(name) is not None}
        for rows in (students, teachers)
        for row in rows.iter_rows(named=True)
    }


def _write_run(
    experiment: Path,
    final: Path,
    study: Mapping[str, Any],
    model: Mapping[str, Any],
    measured: Mapping[str, float],
    epochs: pl.DataFrame,
) -> None:
    run = run_id(study["study"], model["model_id"])
    folder = experiment / run
    for name in ("params", "metrics", "tags", "artifacts"):
        (folder / name).mkdir(parents=True)
    _write_yaml(folder / "meta.yaml", _run(run, final, model))
    _write_values(folder / "params", {name: model[name] for name in ("model_id", *_PARAMS)})
    teachers = [run_id(study["study"], teacher) for teacher in model["teacher_ids"] or ()]
    _write_values(
        folder / "tags",
        {
            "mlflow.runName": run_name(model),
            "mlflow.source.name": "kd-evidence",
            "study": study["study"],
            "study_hash": study["study_hash"],
            "weights_hash": model["weights_hash"],
            "failed_because": model["reason"],
            "teacher_runs": " ".join(teachers) or None,
        },
    )
    moment = _milliseconds(model["finished_at"])
    for name, value in measured.items():
        (folder / "metrics" / name).write_text(f"{moment} {value!r} {model['epochs']}\n")
    for name in _CURVES:
        said = epochs.select("epoch", name).drop_nulls()
        lines = "".join(f"{moment} {value!r} {epoch}\n" for epoch, value in said.iter_rows())
        if lines:
            (folder / "metrics" / f"{_CURVE}{name}").write_text(lines)


def _experiment(study: Mapping[str, Any], place: Path) -> dict[str, Any]:
    moment = _milliseconds(study["trained_at"])
    return {
        "artifact_location": _uri(place),
        "creation_time": moment,
        "experiment_id": place.name,
        "last_update_time": moment,
        "lifecycle_stage": "active",
        "name": study["study"],
    }


def _run(run: str, place: Path, model: Mapping[str, Any]) -> dict[str, Any]:
    end = _milliseconds(model["finished_at"])
    return {
        "artifact_uri": f"{_uri(place)}/{run}/artifacts",
        "end_time": end,
        "entry_point_name": "",
        "experiment_id": place.name,
        "lifecycle_stage": "active",
        "run_id": run,
        "run_name": run_name(model),
        "run_uuid": run,
        "source_name": "",
        "source_type": 4,
        "source_version": "",
        "start_time": end - round(1000 * model["train_seconds"]),
        "status": _FINISHED if model["status"] == str(Status.COMPLETE) else _FAILED,
        "tags": [],
        "user_id": "",
    }


def _uri(place: Path) -> str:
    return f"file://{quote(str(place.absolute()))}"


def _milliseconds(moment: datetime) -> int:
    return round(1000 * moment.timestamp())


def _write_values(folder: Path, values: Mapping[str, object]) -> None:
    """Write one file per value that there is; names are this module's own, values any text."""
    folder.mkdir(exist_ok=True)
    for name, value in values.items():
        if value is not None:
            (folder / name).write_text(str(value), encoding="utf-8")


def _write_yaml(path: Path, content: Mapping[str, Any]) -> None:
    text = yaml.safe_dump(dict(content), default_flow_style=False, allow_unicode=True)
    path.write_text(text, encoding="utf-8")
