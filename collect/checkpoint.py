"""Models of an unfinished block: kept, so that they are not trained again.

One safetensors file per finished model, one per group of models that are in training, written
to a temporary name and renamed. Nothing is ever unpickled.
"""

import hashlib
import json
import os
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

import torch
from pydantic import TypeAdapter, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch.optim import AdamW

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


def publish(path: Path, model: Classifier, record: Record) -> Record:
    """Write a model for others to use, unless one of them was first; return whose record holds.

    Whoever is first, weights are the same; what stands is read back into the model.
    """
    own = path.with_name(f".{path.name}.{uuid.uuid4().hex}.own")
    save(own, model, record)
    try:
        os.link(own, path)
    except FileExistsError:
        found = load(path, model)
        if found is not None:
            return found
        own.replace(path)  # what stood there is damaged
    except OSError:
        own.replace(path)  # a file system without links: whole, if not the first
    finally:
        own.unlink(missing_ok=True)
    return record


def save_unfinished(
    path: Path,
    trainees: Mapping[int, Trainee],
    seconds: float,
    *,
    teachers: Mapping[int, Classifier] | None = None,
) -> None:
    """Write what a group needs to go on: weights, momenta, curves; whole or not at all.

    trainees: by ordinal. seconds: spent on them so far. teachers: theirs, by ordinal; of those
    in train mode the statistics, which teaching moves, are kept.
    """
    tensors = {
        f"{ordinal}/{name}": value
        for ordinal, trainee in trainees.items()
        for name, value in (*_state(trainee.model), *_momenta(trainee))
    }
    tensors |= _statistics(teachers or {})
    record = _Unfinished(
        seconds=seconds,
        epochs={ordinal: tuple(trainee.epochs) for ordinal, trainee in trainees.items()},
        failures={ordinal: trainee.failure for ordinal, trainee in trainees.items()},
    )
    _write(path, tensors, _UNFINISHED.dump_json(record).decode())


def load_unfinished(
    path: Path,
    trainees: Mapping[int, Trainee],
    *,
    teachers: Mapping[int, Classifier] | None = None,
) -> float:
    """Bring a group and its teachers to where they were; return the seconds spent before.

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
                *(place.name for place in _momentum_places(trainee)),
            )
        }
        moved = {name: tensors[name] for name in _statistics(teachers or {})}
    except (KeyError, ValidationError):
        return 0.0
    for ordinal, trainee in trainees.items():
        names = trainee.model.state_dict()
        trainee.model.load_state_dict({name: parts[ordinal, name] for name in names})
        for place in _momentum_places(trainee):
            value = place.like(parts[ordinal, place.name])
            trainee.optimizer.state[place.parameter][place.key] = value
        trainee.epochs = list(record.epochs[ordinal])
        trainee.failure = record.failures[ordinal]
    for name, buffer in _statistics(teachers or {}).items():
        buffer.copy_(moved[name])
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


@dataclass(frozen=True, slots=True)
class _MomentumPlace:
    """Where an optimizer keeps a number or a tensor for a parameter, and its name in the file."""

    key: str
    name: str
    parameter: torch.nn.Parameter

    def like(self, value: torch.Tensor) -> torch.Tensor:
        """Copy a value that was read, as the optimizer would have made it."""
        if value.shape != self.parameter.shape:
            return value.to(self.parameter.device)
        # of the parameter's own memory format
        return torch.empty_like(self.parameter).copy_(value).detach()


def _momentum_places(trainee: Trainee) -> list[_MomentumPlace]:
    """Everything that the optimizer keeps from step to step."""
    optimizer = trainee.optimizer
    if isinstance(optimizer, AdamW):
        keys = ["step", "exp_avg", "exp_avg_sq"]
    else:
        keys = ["momentum_buffer"] if optimizer.defaults["momentum"] else []
    return [
        _MomentumPlace(key, f"{key}/{name}", parameter)
        for name, parameter in trainee.model.named_parameters()
        for key in keys
    ]


def _momenta(trainee: Trainee) -> list[tuple[str, torch.Tensor]]:
    state = trainee.optimizer.state
    return [(place.name, state[place.parameter][place.key]) for place in _momentum_places(trainee)]


def _statistics(teachers: Mapping[int, Classifier]) -> dict[str, torch.Tensor]:
    """Find the running statistics of teachers in train mode, by their names in the file."""
    return {
        f"teacher-{ordinal}/{name}": buffer
        for ordinal, teacher in teachers.items()
        if teacher.training
        for name, buffer in teacher.named_buffers()
    }


def epoch_values(record: Record) -> list[dict[str, object]]:
    """Return the record's curve as rows of the table EPOCH, without the model."""
    return [asdict(row) for row in record.epochs]
