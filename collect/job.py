"""One pack, or an estimate of its cost: the only part of collecting that knows paths."""

import logging
import os
import shutil
import time
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from collect.block import Block, training_subset
from collect.cost import cost, cost_text
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
from store.shard import Manifest, read_manifest, shard_name, write_images, write_pack, write_shard
from store.study_file import load_design, nothing_to_train

_log = logging.getLogger(__name__)


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


def estimate_cost(study: Path, *, jobs: int, seconds: float) -> str:
    """Say what a study will cost on this machine; nothing is trained for a result.

    jobs: at a time; on GPUs no more than one for each, since several share its speed. seconds:
    about how long to measure. Where the study's images are not here, it measures on made-up ones.
    Raises UserError where nothing says how many images there are, or there is nothing to train.
    """
    design = load_design(study)
    if isinstance(design.dataset, ForeignData):
        raise nothing_to_train(design)
    if missing_images(design.dataset) is None and not to_be_fetched(design.dataset):
        began = time.perf_counter()
        data = load(design)
        train_images = len(training_subset(design, data, block=0))
        loading = time.perf_counter() - began
        return _estimated(design, data, train_images, loading, jobs=jobs, seconds=seconds)
    declared = declared_train_images(design.dataset)
    if declared is None:
        raise UserError(
            f"{study}: {missing_images(design.dataset)}; without them, and without train_subset, "
            "nothing says how many images are trained on"
        )
    with TemporaryDirectory() as folder:
        data = load(write_stand_in(design_to_measure(design), Path(folder) / "images"))
        said = _estimated(design, data, declared, 0.0, jobs=jobs, seconds=seconds)
    return (
        f"{said}\nimages   the study's are not here: measured on small ones that were made up; "
        "the time to read the real ones is not in it"
    )


def _estimated(
    design: Design, data: Data, train_images: int, loading: float, *, jobs: int, seconds: float
) -> str:
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
    return cost_text(found, where=device_words(runtime))


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
