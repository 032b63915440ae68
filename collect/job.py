"""One pack, or an estimate of its cost: the only part of collecting that knows paths."""

import logging
import os
import shutil
import statistics
import sys
import time
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
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
from collect.lease import Lease, Leases, seen_afresh
from collect.process import this_process
from collect.progress import Progress
from collect.scratch import scratch_folder
from collect.slots import Slot, given_by_slurm, gpu_slot, visible_gpus
from collect.stand_in import write_stand_in
from collect.timing import design_to_measure, measure
from collect.trained_twice import note_trained_twice, unequal_words
from collect.turns import Task, in_turn
from collect.workload import workload
from store.design import TRAINING_PROTOCOL, Design
from store.errors import StaleShardError, UserError
from store.image_files import missing_images, to_be_fetched
from store.images import ForeignData, PublishedData, declared_train_images
from store.packing import Decision, decide, packing_of
from store.shard import Manifest, read_manifest, shard_name, write_images, write_pack, write_shard
from store.study_file import keep_declaration, load_design, nothing_to_train

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
    _log.info("pack %d: begun by %s", pack, this_process().words)
    keep_declaration(design, results)
    device = choose_device(design.device)
    shards = results / "shards"
    shards.mkdir(parents=True, exist_ok=True)
    progress = Progress(results / "progress", design.seeds * design.plan().size, pack=pack)
    data = load(design)
    runtime = start(design.engine, device, mean=data.mean, std=data.std)
    with Leases(results / "leases") as leases:
        blocks = [
            _BlockJob(
                design=design,
                data=data,
                block=block,
                results=results,
                runtime=runtime,
                progress=progress,
                leases=leases,
            )
            for block in packing.blocks_of(pack)
        ]
        manifests = in_turn([block.task() for block in blocks], leases)
    write_pack(results, pack, manifests)
    progress.close({manifest.key for manifest in manifests})
    _log.info("pack %d: done", pack)


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


@dataclass(frozen=True, slots=True, kw_only=True)
class _BlockJob:
    """One block of a pack: found published, or trained and published under a lease."""

    design: Design
    data: Data
    block: int
    results: Path
    runtime: Runtime
    progress: Progress
    leases: Leases

    def task(self) -> Task[Manifest]:
        return Task(
            name=self._name,
            words=f"block {self.block}",
            block=self.block,
            found=self._found,
            work=self._collect,
        )

    @property
    def _key(self) -> str:
        return self.design.shard_key(self.block)

    @property
    def _name(self) -> str:
        return shard_name(self.block, self._key)

    @property
    def _scratch(self) -> Path:
        return scratch_folder(self.results, self.design.study) / self._name

    def _found(self) -> Manifest | None:
        """Return what is published; None where nothing is yet."""
        shards, key = self.results / "shards", self._key
        shard = shards / self._name
        if not shard.exists():
            return None
        manifest = _own(read_manifest(shard), shard, self.block, key)
        _log.info("block %d: found %s, nothing to train", self.block, self._name)
        for ordinal in range(self.design.plan().size):
            self.progress.finished(key, ordinal)
        # left by a process that was killed once it had published
        self.leases.discard(self._name)
        shutil.rmtree(self._scratch, ignore_errors=True)
        return manifest

    def _collect(self, lease: Lease) -> Manifest:
        """Train, observe and publish. Raises LeaseLostError where that is another's to do now."""
        shards = self.results / "shards"
        seen_afresh(shards)
        published = self._found()
        if published is not None:
            return published
        started, clock = datetime.now(UTC), time.perf_counter()
        tables = Block(
            self.design,
            self.data,
            self.block,
            runtime=self.runtime,
            scratch=self._scratch,
            pools=self.results / "pools",
            finished=self._finished,
            may_go_on=lease.may_go_on,
            leases=self.leases,
        ).collect()
        images = write_images(shards, image_table(self.data, self.design.study_seed))
        lease.confirm()
        manifest = write_shard(
            shards,
            study=self.design.study,
            block=self.block,
            key=self._key,
            protocol=TRAINING_PROTOCOL,
            images=images,
            tables=tables,
            environment=observe_environment(
                self.runtime, started=started, seconds=time.perf_counter() - clock
            ),
            came_second=self._came_second,
        )
        shutil.rmtree(self._scratch, ignore_errors=True)
        _log.info("block %d: published %s, content %s", self.block, self._name, manifest.content)
        return manifest

    def _finished(self, ordinal: int) -> None:
        models = self.design.plan().size
        _log.info("block %d: model %d of %d finished", self.block, ordinal + 1, models)
        self.progress.finished(self._key, ordinal)

    def _came_second(self, own: Manifest, published: Manifest) -> None:
        """Note that a block was trained twice, and whether with one outcome."""
        note_trained_twice(self.results, shard=self._name, own=own, published=published)
        if own.content == published.content:
            _log.warning(
                "block %d was trained twice, by this process and by pid %d on %s, with equal "
                "content; the first one's shard stays",
                self.block,
                published.environment.process,
                published.environment.host,
            )
        else:
            text = unequal_words(self.block, own, published)
            _log.error("error: %s", text)
            sys.stderr.write(f"error: {text}\n")


def _own(manifest: Manifest, shard: Path, block: int, key: str) -> Manifest:
    if (manifest.block, manifest.key) != (block, key):
        raise StaleShardError(
            f"{shard} says that it is block {manifest.block} with key {manifest.key}; expected "
            f"block {block} with key {key}. Delete it and run snakemake again."
        )
    return manifest
