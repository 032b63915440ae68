"""One pack, or an estimate of its cost: the only part of collecting that knows paths."""

import logging
import os
import shutil
import statistics
import time
from contextlib import AbstractContextManager, suppress
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import torch

from collect.block import Block, training_subset
from collect.cost import Cost, cost, cost_text
from collect.datasets import Data, image_table, load
from collect.download import fetch
from collect.engine import Runtime, choose_device, start
from collect.environment import device_words, observe_environment
from collect.progress import Progress
from collect.scratch import scratch_folder
from collect.slots import Slot, given_by_slurm, gpu_slot, visible_gpus
from collect.stand_in import write_stand_in
from collect.timing import design_to_measure, measure
from collect.workload import workload
from store.design import TRAINING_PROTOCOL, Design
from store.errors import StaleShardError, UserError
from store.image_files import missing_images, to_be_fetched
from store.images import ForeignData, PublishedData, declared_train_images
from store.packing import Decision, decide, packing_of
from store.shard import Manifest, read_manifest, shard_name, write_images, write_pack, write_shard
from store.study_file import load_design, nothing_to_train

_log = logging.getLogger(__name__)

_MEASURING_SECONDS: Final = 6.0
"""About how long to measure before packs are decided."""


def own_gpu(study: Path, results: Path, *, per_gpu: int) -> AbstractContextManager[Slot | None]:
    """Return what holds a GPU for this process, if the study may train on one and there is one.

    per_gpu: processes of this machine that may share a GPU; where all are taken, it waits.
    torch must not have looked for GPUs before.
    """
    given = given_by_slurm(os.environ)
    usable = load_design(study).device != "cpu" and (given or torch.version.cuda is not None)
    gpus = visible_gpus(os.environ) if usable else ()
    return gpu_slot(gpus, per_gpu=per_gpu, exclusive=given, record=results / "slots")


def collect_pack(study: Path, pack: int, results: Path) -> None:
    """Train every block of a pack that has no shard yet; then publish the pack's manifest.

    Raises UserError where the study has no such pack or its images cannot be read.
    """
    design = load_design(study)
    packing = packing_of(design, results)
    if not 0 <= pack < packing.packs:
        raise UserError(f"pack {pack} does not exist; {study} has packs 0 to {packing.packs - 1}")
    device = choose_device(design.device)
    shards = results / "shards"
    shards.mkdir(parents=True, exist_ok=True)
    progress = Progress(results / "progress", design.seeds * design.plan().size)
    data = load(design)
    runtime = start(design.engine, device, mean=data.mean, std=data.std)
    manifests = [
        _collect_block(design, data, block, results=results, runtime=runtime, progress=progress)
        for block in packing.blocks_of(pack)
    ]
    write_pack(results, pack, manifests)


def decide_packs(study: Path, results: Path, *, minutes: float) -> Decision:
    """Decide how many blocks a job trains in so many minutes, and keep it with the results.

    A block takes what finished ones took (the median), else what a short measurement says here.
    """
    design = load_design(study)

    def block_seconds() -> tuple[float, str]:
        taken = _seconds_of_finished(design, results / "shards")
        if taken:
            return statistics.median(taken), f"{len(taken)} finished blocks"
        found, where, _ = _measured_cost(study, jobs=1, seconds=_MEASURING_SECONDS)
        return sum(found.block_seconds.values()), f"a short measurement on {where}"

    return decide(results, pack_minutes=minutes, block_seconds=block_seconds)


def _seconds_of_finished(design: Design, shards: Path) -> list[float]:
    """Return how long the study's finished blocks took, as their manifests say."""
    found: list[float] = []
    for block in range(design.seeds):
        with suppress(StaleShardError):
            shard = shards / shard_name(block, design.shard_key(block))
            if shard.exists():
                found.append(read_manifest(shard).environment.seconds)
    return found


def estimate_cost(
    study: Path, *, jobs: int, seconds: float, pack_minutes: float | None = None
) -> str:
    """Say what a study will cost on this machine; nothing is trained for a result.

    jobs: at a time; on GPUs no more than one for each, since several share its speed. seconds:
    about how long to measure. Where the study's images are not here, it measures on made-up ones.
    pack_minutes: adds how many blocks a job of so many minutes trains.
    Raises UserError where nothing says how many images there are, or there is nothing to train.
    """
    found, where, made_up = _measured_cost(study, jobs=jobs, seconds=seconds)
    said = cost_text(found, where=where, pack_minutes=pack_minutes)
    if not made_up:
        return said
    return (
        f"{said}\nimages   the study's are not here: measured on small ones that were made up; "
        "the time to read the real ones is not in it"
    )


def _measured_cost(study: Path, *, jobs: int, seconds: float) -> tuple[Cost, str, bool]:
    """Return the cost, the device in words, and whether it was measured on made-up images."""
    design = load_design(study)
    if isinstance(design.dataset, ForeignData):
        raise nothing_to_train(design)
    if missing_images(design.dataset) is None and not to_be_fetched(design.dataset):
        began = time.perf_counter()
        data = load(design)
        train_images = len(training_subset(design, data, block=0))
        loading = time.perf_counter() - began
        return (
            *_estimated(design, data, train_images, loading, jobs=jobs, seconds=seconds),
            False,
        )
    declared = declared_train_images(design.dataset)
    if declared is None:
        raise UserError(
            f"{study}: {missing_images(design.dataset)}; without them, and without train_subset, "
            "nothing says how many images are trained on"
        )
    with TemporaryDirectory() as folder:
        data = load(write_stand_in(design_to_measure(design), Path(folder) / "images"))
        return (*_estimated(design, data, declared, 0.0, jobs=jobs, seconds=seconds), True)


def _estimated(
    design: Design, data: Data, train_images: int, loading: float, *, jobs: int, seconds: float
) -> tuple[Cost, str]:
    began = time.perf_counter()
    runtime = start(design.engine, choose_device(design.device), mean=data.mean, std=data.std)
    # what every job does before it trains: starting Python took about what it has used so far
    starting = loading + time.perf_counter() - began + time.process_time()
    if runtime.device.type == "cuda":
        jobs = min(jobs, torch.cuda.device_count())
    found = cost(
        design,
        workload(design, train_images=train_images, test_images=design.dataset.test_size),
        measure(design, data, runtime, seconds=seconds),
        classes=len(data.class_names),
        start_seconds=starting,
        jobs=jobs,
    )
    return found, device_words(runtime)


def make_stand_in(study: Path, folder: Path) -> None:
    """Make images for trying a study out, in a new folder, in its data set's layout.

    Raises UserError where the study needs none, or the folder holds something already.
    """
    # a study that leaves the place of its images open means this one
    write_stand_in(load_design(study, unset=str(folder)), folder)


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
    scratch = scratch_folder(results, design.study) / name
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
        design,
        data,
        block,
        runtime=runtime,
        scratch=scratch,
        pools=results / "pools",
        finished=finished,
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
