"""Shards: one seed block's result as a folder of Parquet files and a manifest.

A shard is written to a temporary name and renamed, so it is whole or absent; the first to
be published wins. Its content hash covers every column not declared volatile, so two
runs of one seed can be compared by one value.
"""

import hashlib
import json
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from store.atomic import write_text
from store.errors import StaleShardError
from store.frame import Frame
from store.frames import IMAGE, SHARD_FRAMES
from store.table_files import Parts, flush, join, read_rows, write_plain, write_rows

MANIFEST: Final = "manifest.json"
SHARD_FORMAT: Final = 2
"""Logits and maps are rows of bytes; in format 1, which is read as well, they were lists."""


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

    format: Literal[1, 2]
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
    ordered = frame.in_order(data)
    return _content_hash(frame, lambda column: iter([ordered[column]]))


def _content_hash(frame: Frame, pieces: Callable[[str], Iterator[pl.Series]]) -> str:
    """Hash of a table of which a column's values come in pieces, as often as they are asked."""
    digest = hashlib.sha256()
    for column in frame.columns:
        if column.volatile:
            continue
        digest.update(column.name.encode())
        _hash_values(digest, lambda name=column.name: pieces(name))
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
            write_plain(checked.sort(IMAGE.key), temporary)
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
    tables: Mapping[str, pl.DataFrame | Parts],
    environment: Environment,
    came_second: Callable[[Manifest, Manifest], None] | None = None,
) -> Manifest:
    """Write one block's tables and publish them under the block's name.

    tables: by the names of SHARD_FRAMES; of one in parts, memory holds a part at a time. Returns
    the published manifest: of this writing, or of one that another process published before.
    came_second: called with this writing's manifest and the published one where they are two.
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
        flush(path)
        try:
            temporary.rename(target)
        except OSError:
            if not (target / MANIFEST).exists():
                raise
            published = read_manifest(target)
            # the answer to a rename that was done may be lost on the way from a file server
            if came_second is not None and published != manifest:
                came_second(manifest, published)
            return published
        return manifest
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_pack(results: Path, pack: int, manifests: Sequence[Manifest]) -> None:
    """Write a pack's manifest: which shards it stands for.

    results: the study's folder. manifests: of the pack's blocks, in order.
    """
    blocks = [
        {
            "block": manifest.block,
            "key": manifest.key,
            "shard": shard_name(manifest.block, manifest.key),
            "content": manifest.content,
        }
        for manifest in manifests
    ]
    text = json.dumps({"pack": pack, "blocks": blocks}, indent=2) + "\n"
    write_text(results / "packs" / f"{pack:05d}.json", text)


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
            f"{path}: not a manifest of a shard of format 1 to {SHARD_FORMAT} "
            f"({' '.join(str(error).split())[:200]}). "
            f"{remedy or f'Delete {shard} and run snakemake again.'}"
        ) from None


def read_table(shard: Path, frame: Frame) -> pl.DataFrame:
    """Read and check one table of a shard."""
    return frame.check(read_rows(frame, shard / f"{frame.name}.parquet"))


def file_hash(path: Path) -> str:
    """SHA-256 of a file's bytes, 64 hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _write_table(
    folder: Path, frame: Frame, tables: Mapping[str, pl.DataFrame | Parts]
) -> FileRecord:
    table, path = tables[frame.name], folder / f"{frame.name}.parquet"
    if isinstance(table, Parts):
        return _write_parts(path, frame, table.files)
    checked = frame.in_order(frame.check(table))
    write_rows(frame, checked, path)
    return FileRecord(
        sha256=file_hash(path), content=content_hash(frame, checked), rows=checked.height
    )


def _write_parts(path: Path, frame: Frame, files: Sequence[Path]) -> FileRecord:
    """Put parts together. Raises ValueError where a part is not as declared, or out of order."""
    if not files:
        return _write_table(path.parent, frame, {frame.name: pl.DataFrame(schema=frame.schema)})
    rows, last = 0, None
    for file in files:
        keys = frame.check(read_rows(frame, file)).select(frame.key)
        if not keys.height:
            continue
        if not frame.is_in_order(keys) or (last is not None and keys.row(0) <= last):
            raise ValueError(f"{frame.name}: {file.name} is not in the order of the key")
        rows, last = rows + keys.height, keys.row(-1)
    join(frame, files, path)

    def pieces(column: str) -> Iterator[pl.Series]:
        for file in files:
            yield read_rows(frame, file, [column])[column]

    return FileRecord(sha256=file_hash(path), content=_content_hash(frame, pieces), rows=rows)


def _hash_values(digest: Any, pieces: Callable[[], Iterator[pl.Series]]) -> None:
    """Feed a column: which rows are NULL, then lists' lengths, then the values of the rest."""
    for values in pieces():
        digest.update(values.is_null().to_numpy().tobytes())
    for values in pieces():
        present = values.drop_nulls()
        if isinstance(present.dtype, pl.List):
            digest.update(present.list.len().to_numpy().tobytes())
    for values in pieces():
        present = values.drop_nulls()
        if isinstance(present.dtype, pl.List):
            # lists of length 0 have no items; explode would make a NULL of each
            present = present.filter(present.list.len() > 0).explode()
        _hash_present(digest, present)


def _bytes(values: pl.Series) -> NDArray[np.uint8]:
    """Return the values' bytes; of numbers no copy is made."""
    return np.ascontiguousarray(values.to_numpy()).view(np.uint8)


def _hash_present(digest: Any, present: pl.Series) -> None:
    if present.dtype == pl.String:
        present = present.cast(pl.Binary)
    if present.dtype == pl.Binary:
        # tables lie in the order of their keys: words such as a view's come in long runs
        for times, item in present.rle().struct.unnest().iter_rows():
            digest.update((len(item).to_bytes(8, "little") + item) * times)
    elif isinstance(present.dtype, pl.Datetime):
        digest.update(_bytes(present.to_physical()))
    else:
        digest.update(_bytes(present))
