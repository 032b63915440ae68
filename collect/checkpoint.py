"""Models of an unfinished block: kept, so that they are not trained again.

One safetensors file per finished model, one per group of models that are in training, written
to a temporary name and renamed. Nothing is ever unpickled.
"""

import hashlib
import json
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

import torch
from pydantic import TypeAdapter, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from collect.classifier import Classifier
from collect.train import EpochRow, Trainee
from store.errors import UserError, advice


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """How one model's training ended, beside its weights."""

    failure: str | None
    seconds: float
    finished_at: datetime
    epochs: tuple[EpochRow, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Unfinished:
    """How far a group in lockstep has come: curves and failures by ordinal."""

    seconds: float
    epochs: dict[int, tuple[EpochRow, ...]]
    failures: dict[int, str | None]


_RECORD = TypeAdapter(Record)
_UNFINISHED = TypeAdapter(_Unfinished)


def save(path: Path, model: Classifier, record: Record) -> None:
    """Write a model's weights and its record, whole or not at all."""
    _write(path, dict(_state(model)), _RECORD.dump_json(record).decode())


def save_unfinished(path: Path, trainees: Mapping[int, Trainee], seconds: float) -> None:
    """Write what a group needs to go on: weights, momenta, curves; whole or not at all.

    trainees: by ordinal. seconds: spent on them so far.
    """
    tensors = {
        f"{ordinal}/{name}": value
        for ordinal, trainee in trainees.items()
        for name, value in (*_state(trainee.model), *_momenta(trainee))
    }
    record = _Unfinished(
        seconds=seconds,
        epochs={ordinal: tuple(trainee.epochs) for ordinal, trainee in trainees.items()},
        failures={ordinal: trainee.failure for ordinal, trainee in trainees.items()},
    )
    _write(path, tensors, _UNFINISHED.dump_json(record).decode())


def load_unfinished(path: Path, trainees: Mapping[int, Trainee]) -> float:
    """Bring a group to where it was; return the seconds spent on it before.

    Leaves it at its start, and returns 0, where there is no sound file of this very group.
    """
    read = _read(path)
    if read is None:
        return 0.0
    text, tensors = read
    try:
        record = _UNFINISHED.validate_json(text)
        if record.epochs.keys() != trainees.keys():
            return 0.0
        parts = {
            (ordinal, name): tensors[f"{ordinal}/{name}"]
            for ordinal, trainee in trainees.items()
            for name in (
                *trainee.model.state_dict(),
                *(name for name, _ in _momentum_places(trainee)),
            )
        }
    except (KeyError, ValidationError):
        return 0.0
    for ordinal, trainee in trainees.items():
        names = trainee.model.state_dict()
        trainee.model.load_state_dict({name: parts[ordinal, name] for name in names})
        for name, parameter in _momentum_places(trainee):
            # of the parameter's own memory format, as the optimizer would have made it
            buffer = torch.empty_like(parameter).copy_(parts[ordinal, name])
            trainee.optimizer.state[parameter]["momentum_buffer"] = buffer.detach()
        trainee.epochs = list(record.epochs[ordinal])
        trainee.failure = record.failures[ordinal]
    return record.seconds


def load(path: Path, model: Classifier) -> Record | None:
    """Read weights into a model and return its record; None where there is no sound file."""
    read = _read(path)
    if read is None:
        return None
    text, tensors = read
    try:
        record = _RECORD.validate_json(text)
        model.load_state_dict(tensors)
    except (ValidationError, RuntimeError):
        return None
    return record


def weights_hash(model: Classifier) -> str:
    """SHA-256 of all parameters and buffers with their names, 64 hexadecimal digits."""
    digest = hashlib.sha256()
    for name, value in sorted(_state(model)):
        digest.update(json.dumps([name, list(value.shape), str(value.dtype)]).encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _state(model: Classifier) -> list[tuple[str, torch.Tensor]]:
    return list(model.state_dict().items())


def _write(path: Path, tensors: Mapping[str, torch.Tensor], record: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    on_cpu = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    try:
        save_file(on_cpu, temporary, {"record": record})
        temporary.rename(path)
    except SafetensorError as error:
        refusal = " ".join(str(error).split())
        raise UserError(f"{path}: cannot be written: {refusal}. {advice(refusal)}") from None
    finally:
        temporary.unlink(missing_ok=True)


def _read(path: Path) -> tuple[str, dict[str, torch.Tensor]] | None:
    """Return a file's record and tensors; None where it is not there or damaged."""
    try:
        with safe_open(path, framework="pt") as file:
            record = (file.metadata() or {})["record"]
            return record, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError, KeyError):
        return None


def _momentum_places(trainee: Trainee) -> list[tuple[str, torch.nn.Parameter]]:
    """Each parameter whose optimizer keeps a momentum, with the momentum's name in the file."""
    if not trainee.optimizer.defaults["momentum"]:
        return []
    return [(f"momentum/{name}", parameter) for name, parameter in trainee.model.named_parameters()]


def _momenta(trainee: Trainee) -> list[tuple[str, torch.Tensor]]:
    state = trainee.optimizer.state
    return [
        (name, state[parameter]["momentum_buffer"]) for name, parameter in _momentum_places(trainee)
    ]


def epoch_values(record: Record) -> list[dict[str, object]]:
    """Return the record's curve as rows of the table EPOCH, without the model."""
    return [asdict(row) for row in record.epochs]
