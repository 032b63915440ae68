"""Shards: one seed block's result as a folder of Parquet files and a manifest.

A shard is written to a temporary name and renamed, so it is whole or absent; the first to
be published wins. Its content hash covers every column not declared volatile, so two
runs of one seed can be compared by one value.
"""

import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal

import polars as pl
from pydantic import BaseModel, ConfigDict

from store.errors import StaleShardError, StoreError, advice
from store.frames import IMAGE, SHARD_FRAMES, Frame

MANIFEST: Final = "manifest.json"
SHARD_FORMAT: Final = 1


class FileRecord(BaseModel):
    """One Parquet file of a shard: the hash of its bytes and of its content."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sha256: str
    content: str
    rows: int


class Environment(BaseModel):
    """Where and with what a block was trained: what its bits may depend on.

    threads: of the training process. capability: the instruction set or GPU that torch used.
    compiled: whether torch.compile made the network's code. allocator: which one gave the process
    its memory; None where it was not noted. Volatile: host, process and times.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    commit: str
    python: str
    torch: str
    torchvision: str
    numpy: str
    polars: str
    platform: str
    processor: str
    capability: str
    device: str
    gpu: str | None
    precision: str
    memory_format: str
    threads: int
    compiled: bool = False
    allocator: str | None = None
    host: str
    process: int
    started_at: str
    finished_at: str
    seconds: float


class Manifest(BaseModel):
    """What a shard is: whose, of which protocol, with which content."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal[1]
    study: str
    block: int
    key: str
    protocol: int
    images: str
    content: str
    files: dict[str, FileRecord]
    environment: Environment


def shard_name(block: int, key: str) -> str:
    """Return the folder name of a block's shard."""
    return f"block-{block:05d}-{key}"


def content_hash(frame: Frame, data: pl.DataFrame) -> str:
    """Hash of a table's content: rows sorted by key, columns not declared volatile.

    SHA-256, 64 hexadecimal digits. Equal content gives an equal hash whatever the order
    of rows, the file's compression or the library's version.
    """
    digest = hashlib.sha256()
    ordered = data.sort(frame.key)
    for column in frame.columns:
        if column.volatile:
            continue
        digest.update(column.name.encode())
        _hash_values(digest, ordered[column.name])
    return digest.hexdigest()


def write_images(shards: Path, images: pl.DataFrame) -> str:
    """Publish the study's images once; return the name they go by.

    The name is made from their content, so blocks that saw other images name another
    file. Writing what is there already does nothing.
    """
    checked = IMAGE.check(images)
    name = images_name(checked)
    target = shards / name
    if not target.exists():
        shards.mkdir(parents=True, exist_ok=True)
        temporary = shards / f".{name}.{uuid.uuid4().hex}"
        try:
            write_table(checked.sort(IMAGE.key), temporary)
            temporary.rename(target)
        finally:
            temporary.unlink(missing_ok=True)
    return name


def images_name(images: pl.DataFrame) -> str:
    """Return the file name of a study's images, made from their content."""
    return f"images-{content_hash(IMAGE, images)[:16]}.parquet"


def write_shard(
    shards: Path,
    *,
    study: str,
    block: int,
    key: str,
    protocol: int,
    images: str,
    tables: Mapping[str, pl.DataFrame],
    environment: Environment,
) -> Manifest:
    """Write one block's tables and publish them under the block's name.

    tables: by the names of SHARD_FRAMES. Returns the published manifest: of this writing,
    or of one that another process published before.
    """
    target = shards / shard_name(block, key)
    temporary = shards / f".{target.name}.{uuid.uuid4().hex}"
    temporary.mkdir(parents=True)
    try:
        files = {frame.name: _write_table(temporary, frame, tables) for frame in SHARD_FRAMES}
        manifest = Manifest(
            format=SHARD_FORMAT,
            study=study,
            block=block,
            key=key,
            protocol=protocol,
            images=images,
            content=combined_hash(files),
            files=files,
            environment=environment,
        )
        path = temporary / MANIFEST
        path.write_text(manifest.model_dump_json(indent=2) + "\n", encoding="utf-8")
        _flush(path)
        try:
            temporary.rename(target)
        except OSError:
            if not (target / MANIFEST).exists():
                raise
            return read_manifest(target)
        return manifest
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def combined_hash(files: Mapping[str, FileRecord]) -> str:
    """Hash of a whole shard from its files' records, 64 hexadecimal digits."""
    return contents_hash({name: record.content for name, record in files.items()})


def contents_hash(tables: Mapping[str, str]) -> str:
    """Hash of a whole shard from its tables' content hashes, 64 hexadecimal digits."""
    lines = "".join(f"{name} {tables[name]}\n" for name in sorted(tables))
    return hashlib.sha256(lines.encode()).hexdigest()


def read_manifest(shard: Path, *, remedy: str | None = None) -> Manifest:
    """Read a shard's manifest.

    remedy: what to do where it cannot be read, if it is more than to delete the shard. Raises
    StaleShardError where it is missing, damaged or of another format.
    """
    path = shard / MANIFEST
    try:
        content: Any = json.loads(path.read_text(encoding="utf-8"))
        return Manifest.model_validate(content)
    except (OSError, ValueError) as error:
        raise StaleShardError(
            f"{path}: not a manifest of shard format {SHARD_FORMAT} "
            f"({' '.join(str(error).split())[:200]}). "
            f"{remedy or f'Delete {shard} and run snakemake again.'}"
        ) from None


def read_table(shard: Path, frame: Frame) -> pl.DataFrame:
    """Read and check one table of a shard."""
    return frame.check(pl.read_parquet(shard / f"{frame.name}.parquet"))


def write_table(table: pl.DataFrame, path: Path) -> None:
    """Write a table as Parquet, down to the disk.

    Raises StoreError where that fails: a full disk, a folder that is not writable.
    """
    try:
        table.write_parquet(path, compression="zstd")
        _flush(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        refusal = " ".join(str(error).split())
        raise StoreError(f"{path}: cannot be written: {refusal}. {advice(refusal)}") from None


def file_hash(path: Path) -> str:
    """SHA-256 of a file's bytes, 64 hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _write_table(folder: Path, frame: Frame, tables: Mapping[str, pl.DataFrame]) -> FileRecord:
    checked = frame.check(tables[frame.name]).sort(frame.key)
    path = folder / f"{frame.name}.parquet"
    write_table(checked, path)
    return FileRecord(
        sha256=file_hash(path), content=content_hash(frame, checked), rows=checked.height
    )


def _hash_values(digest: Any, values: pl.Series) -> None:
    """Feed a column: which rows are NULL, then the values of the rest."""
    digest.update(values.is_null().to_numpy().tobytes())
    present = values.drop_nulls()
    if isinstance(present.dtype, pl.List):
        digest.update(present.list.len().to_numpy().tobytes())
        # lists of length 0 have no items; explode would make a NULL of each
        present = present.filter(present.list.len() > 0).explode()
    if present.dtype == pl.String:
        present = present.cast(pl.Binary)
    if present.dtype == pl.Binary:
        for item in present:
            digest.update(len(item).to_bytes(8, "little"))
            digest.update(item)
    elif isinstance(present.dtype, pl.Datetime):
        digest.update(present.to_physical().to_numpy().tobytes())
    else:
        digest.update(present.to_numpy().tobytes())


def _flush(path: Path) -> None:
    with path.open("rb") as stream:
        os.fsync(stream.fileno())
