"""Which shards may enter a store: whole, unchanged, and of the study as it is declared."""

import hashlib
import re
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path

import polars as pl

from store.design import TRAINING_PROTOCOL, Design
from store.errors import StaleShardError, StoreError
from store.frame import Frame
from store.frames import IMAGE
from store.images import DigitsData
from store.packing import packing_of
from store.shard import (
    Manifest,
    combined_hash,
    images_name,
    read_manifest,
)
from store.table_files import read_rows

_BLOCK = re.compile(r"block-(\d+)-")

_REPAIR_IMAGES = (
    "Delete it, one shard and that shard's pack manifest, then run snakemake again: the block "
    "writes the images anew."
)


def pack_of(shards: Path, design: Design, block: int) -> Path:
    """Return the manifest of the pack that a block is trained in."""
    pack = packing_of(design, shards.parent).pack_of(block)
    return shards.parent / "packs" / f"{pack:05d}.json"


def repair(shard: Path, design: Design, block: int) -> str:
    """Say how a block is trained again: its shard and its pack's manifest have to go."""
    pack = pack_of(shard.parent, design, block)
    return f"Delete {shard} and {pack}, then run snakemake again."


def checked_manifest(shard: Path, design: Design) -> Manifest:
    """Read a shard's manifest and check that it is the study's.

    Raises StaleShardError where it is damaged, of another study or under another protocol.
    """
    named = _BLOCK.match(shard.name)
    remedy = repair(shard, design, int(named[1])) if named else None
    manifest = read_manifest(shard, remedy=remedy)
    key = design.shard_key(manifest.block)
    again = repair(shard, design, manifest.block)
    if manifest.protocol != TRAINING_PROTOCOL:
        raise StaleShardError(
            f"{shard} was written under training protocol {manifest.protocol}; this study is at "
            f"{TRAINING_PROTOCOL}. {again}"
        )
    if manifest.key != key or not 0 <= manifest.block < design.seeds:
        raise StaleShardError(
            f"{shard} is block {manifest.block} with key {manifest.key}; this study has blocks "
            f"0 to {design.seeds - 1}, and that block's key is {key}. {again}"
        )
    if manifest.content != combined_hash(manifest.files):
        raise StaleShardError(f"{shard}: its manifest contradicts itself. {again}")
    return manifest


def verified_table(shard: Path, frame: Frame, manifest: Manifest, design: Design) -> pl.DataFrame:
    """Read one table of a shard; its bytes must be those that were written.

    Raises StaleShardError where they are not.
    """
    path = shard / f"{frame.name}.parquet"
    again = repair(shard, design, manifest.block)
    try:
        written = path.read_bytes()
    except OSError as error:
        raise StaleShardError(f"{path}: {error.strerror}. {again}") from None
    found = hashlib.sha256(written).hexdigest()
    expected = manifest.files[frame.name].sha256
    if found != expected:
        raise StaleShardError(
            f"{path} is damaged: its hash is {found[:16]}..., the manifest says "
            f"{expected[:16]}.... {again}"
        )
    try:
        # of what was hashed, whatever has become of the file since
        return frame.check(read_rows(frame, BytesIO(written)))
    except (ValueError, pl.exceptions.PolarsError) as error:
        raise StaleShardError(f"{path}: {' '.join(str(error).split())}. {again}") from None


def images_of(shards: Path, manifests: Mapping[Path, Manifest]) -> Path:
    """Return the one images file that all shards name.

    Raises StoreError where they name several, or it is missing or damaged.
    """
    named = {manifest.images: shard for shard, manifest in manifests.items()}
    if len(named) > 1:
        (one, shard), (other, another) = sorted(named.items())[:2]
        raise StoreError(
            f"{shard} saw the images {one}, but {another} saw {other}: the data set changed "
            "between them. Delete the shards of the former data and run snakemake again."
        )
    path = shards / next(iter(named))
    if not path.is_file():
        raise StoreError(f"{path}: missing. {_REPAIR_IMAGES}")
    return path


def read_images(path: Path) -> pl.DataFrame:
    """Read an images file; its name holds the hash of its content.

    Raises StoreError where it is damaged.
    """
    try:
        images = IMAGE.check(pl.read_parquet(path))
    except (OSError, ValueError, pl.exceptions.PolarsError) as error:
        raise StoreError(
            f"{path}: cannot be read: {' '.join(str(error).split())}. {_REPAIR_IMAGES}"
        ) from None
    found = images_name(images)
    if found != path.name:
        raise StoreError(f"{path} is damaged: its content is that of {found}. {_REPAIR_IMAGES}")
    return images


def count_classes(design: Design, images: Path) -> int:
    """Return the number of classes: declared, or those that the images show.

    Raises StoreError as ``read_images`` does, where the images are asked.
    """
    if not isinstance(design.dataset, DigitsData):
        return design.dataset.classes
    return int(read_images(images)["label"].n_unique())
