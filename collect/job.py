"""One pack: the only part of collecting that knows paths."""

import logging
import os
import shutil
import time
from datetime import UTC, datetime
from pathlib import Path

from collect.block import Block
from collect.datasets import Data, image_table, load
from collect.download import fetch
from collect.engine import Runtime, choose_device, start
from collect.environment import observe_environment
from collect.progress import Progress
from collect.stand_in import write_stand_in
from store.design import TRAINING_PROTOCOL, Design
from store.errors import StaleShardError, UserError
from store.images import PublishedData
from store.shard import Manifest, read_manifest, shard_name, write_images, write_pack, write_shard
from store.study_file import load_design

_log = logging.getLogger(__name__)


def collect_pack(study: Path, pack: int, results: Path) -> None:
    """Train every block of a pack that has no shard yet; then publish the pack's manifest.

    Raises UserError where the study has no such pack or its images cannot be read.
    """
    design = load_design(study)
    if not 0 <= pack < design.packs:
        raise UserError(f"pack {pack} does not exist; {study} has packs 0 to {design.packs - 1}")
    device = choose_device(design.device)
    shards = results / "shards"
    shards.mkdir(parents=True, exist_ok=True)
    progress = Progress(results / "progress", design.seeds * design.plan().size)
    data = load(design)
    runtime = start(design.engine, device, mean=data.mean, std=data.std)
    manifests = [
        _collect_block(design, data, block, results=results, runtime=runtime, progress=progress)
        for block in design.blocks_of(pack)
    ]
    write_pack(results, pack, manifests)


def make_stand_in(study: Path, folder: Path) -> None:
    """Make images for trying a study out, in a new folder, in its data set's layout.

    Raises UserError where the study needs none, or the folder holds something already.
    """
    # a study that leaves the place of its images open means this one
    os.environ.setdefault("KD_DATA", str(folder))
    write_stand_in(load_design(study), folder)


def download_images(study: Path) -> None:
    """Fetch the published images that a study names, where they are not there yet.

    Raises UserError where there is nothing to fetch, DataError where it fails.
    """
    dataset = load_design(study).dataset
    if not isinstance(dataset, PublishedData):
        raise UserError(f"{study}: dataset.kind {dataset.kind}: nothing of it can be downloaded")
    fetch(dataset)


def _collect_block(
    design: Design,
    data: Data,
    block: int,
    *,
    results: Path,
    runtime: Runtime,
    progress: Progress,
) -> Manifest:
    key = design.shard_key(block)
    name = shard_name(block, key)
    shard = results / "shards" / name
    scratch = results / "scratch" / name
    if shard.exists():
        _log.info("block %d: found %s, nothing to train", block, name)
        for ordinal in range(design.plan().size):
            progress.finished(key, ordinal)
        return _own(read_manifest(shard), shard, block, key)
    started, clock = datetime.now(UTC), time.perf_counter()

    def finished(ordinal: int) -> None:
        _log.info("block %d: model %d of %d finished", block, ordinal + 1, design.plan().size)
        progress.finished(key, ordinal)

    tables = Block(
        design, data, block, runtime=runtime, scratch=scratch, finished=finished
    ).collect()
    manifest = write_shard(
        results / "shards",
        study=design.study,
        block=block,
        key=key,
        protocol=TRAINING_PROTOCOL,
        images=write_images(results / "shards", image_table(data, design.study_seed)),
        tables=tables,
        environment=observe_environment(
            runtime, started=started, seconds=time.perf_counter() - clock
        ),
    )
    shutil.rmtree(scratch, ignore_errors=True)
    _log.info("block %d: published %s, content %s", block, name, manifest.content)
    return manifest


def _own(manifest: Manifest, shard: Path, block: int, key: str) -> Manifest:
    if (manifest.block, manifest.key) != (block, key):
        raise StaleShardError(
            f"{shard} says that it is block {manifest.block} with key {manifest.key}; expected "
            f"block {block} with key {key}. Delete it and run snakemake again."
        )
    return manifest
