"""Finished models of an unfinished block: kept, so that they are not trained again.

One safetensors file per model, written to a temporary name and renamed. Nothing is
ever unpickled.
"""

import hashlib
import json
import uuid
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

import torch
from pydantic import TypeAdapter, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from collect.models import CifarResNet
from collect.train import EpochRow
from store.errors import UserError, advice


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """How one model's training ended, beside its weights."""

    failure: str | None
    seconds: float
    finished_at: datetime
    epochs: tuple[EpochRow, ...]


_RECORD = TypeAdapter(Record)


def save(path: Path, model: CifarResNet, record: Record) -> None:
    """Write a model's weights and its record, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    weights = {name: value.detach().cpu().contiguous() for name, value in _state(model)}
    try:
        save_file(weights, temporary, {"record": _RECORD.dump_json(record).decode()})
        temporary.rename(path)
    except SafetensorError as error:
        refusal = " ".join(str(error).split())
        raise UserError(f"{path}: cannot be written: {refusal}. {advice(refusal)}") from None
    finally:
        temporary.unlink(missing_ok=True)


def load(path: Path, model: CifarResNet) -> Record | None:
    """Read weights into a model and return its record; None where there is no sound file."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            record = _RECORD.validate_json(metadata["record"])
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        model.load_state_dict(weights)
    except (OSError, SafetensorError, KeyError, ValidationError, RuntimeError):
        return None
    return record


def weights_hash(model: CifarResNet) -> str:
    """SHA-256 of all parameters and buffers with their names, 64 hexadecimal digits."""
    digest = hashlib.sha256()
    for name, value in sorted(_state(model)):
        digest.update(json.dumps([name, list(value.shape), str(value.dtype)]).encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _state(model: CifarResNet) -> list[tuple[str, torch.Tensor]]:
    return list(model.state_dict().items())


def epoch_values(record: Record) -> list[dict[str, object]]:
    """Return the record's curve as rows of the table EPOCH, without the model."""
    return [asdict(row) for row in record.epochs]
