"""Blocks that two processes trained: counted, and their contents compared."""

import json
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import TypeAdapter, ValidationError

from store.atomic import write_text
from store.shard import Manifest

_FOLDER: Final = "trained-twice"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedTwice:
    """One block that was trained twice. contents: hashes of the published and of the other."""

    block: int
    shard: str
    published: str
    other: str

    @property
    def equal(self) -> bool:
        """Whether both trainings gave the same."""
        return self.published == self.other


_RECORD = TypeAdapter(TrainedTwice)


def note_trained_twice(results: Path, *, shard: str, own: Manifest, published: Manifest) -> None:
    """Keep that a block was trained twice: a small file for each time."""
    record = {
        "block": own.block,
        "shard": shard,
        "published": published.content,
        "other": own.content,
    }
    name = f"{shard}.{uuid.uuid4().hex[:8]}.json"
    write_text(results / _FOLDER / name, json.dumps(record) + "\n")


def read_trained_twice(results: Path) -> list[TrainedTwice]:
    """Read what was kept, in the order of blocks; a file that is not whole is passed over."""
    found: list[TrainedTwice] = []
    for path in (results / _FOLDER).glob("block-*.json"):
        try:
            found.append(_RECORD.validate_json(path.read_bytes()))
        except (OSError, ValidationError):
            continue
    return sorted(found, key=lambda record: record.shard)


def unequal_words(block: int, own: Manifest, published: Manifest) -> str:
    """Say that one seed gave two contents, by whom, and what to do."""
    return (
        f"block {block} was trained twice with unequal content: {published.content} by pid "
        f"{published.environment.process} on {published.environment.host}, which stays, and "
        f"{own.content} by pid {own.environment.process} on {own.environment.host}. Two machines "
        "round differently, or one of them is faulty: compare their environments, and run the "
        "block on both alone"
    )
