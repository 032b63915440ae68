"""Whether doctor names a corruption, and whether what it mends is as it was."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from corruptions import Corruption, finish
from synthetic import SyntheticStudy, copied, make_study, write_packs, write_shards
from synthetic_study import write_study

from store.doctor import examine
from store.faults import Fault
from store.mend import Mended, mend
from store.shard import shard_name

CORRUPTED = {"seeds": 3, "strengths": (0, 1), "test_images": 24, "train_images": 20}


def finished(folder: Path, **shape: object) -> SyntheticStudy:
    """A synthetic study, with its store and ledger file."""
    study = make_study(folder, **shape, built=False)
    finish(study)
    return study


def corrupt(
    sound: SyntheticStudy, corruption: Corruption, folder: Path, seed: int
) -> tuple[SyntheticStudy, list[Fault]]:
    """Corrupt a copy of a study; return it and what doctor finds."""
    study = copied(sound, folder)
    corruption.apply(study, np.random.default_rng(seed))
    return study, examine(study.store, study.shards)


def mended(study: SyntheticStudy) -> Mended:
    """Have it mended, with the study file where the store does not know what it is."""
    return mend(study.store, study.shards, study.design)


def train_what_is_missing(study: SyntheticStudy, sound: SyntheticStudy) -> list[int]:
    """Do what snakemake does: train missing blocks, write missing packs, build the store.

    Blocks of one seed come out the same, so a block is trained by copying it.
    """
    trained = [block for block, shard in enumerate(study.members) if not shard.exists()]
    for block in trained:
        shutil.copytree(sound.members[block], study.members[block])
    for images in sound.shards.glob("images-*"):
        if not (study.shards / images.name).exists():
            shutil.copyfile(images, study.shards / images.name)
    if not all(pack.exists() for pack in study.packs):
        list(write_packs(study.design, study.results))
    finish(study)
    return trained


def healthy(folder: Path, seed: int) -> SyntheticStudy:
    """A sound study of a drawn shape: failed models, one seed, NaN logits, grown, shrunken."""
    generator = np.random.default_rng([2026, seed])
    seeds = int(generator.integers(1, 5))
    strengths = ((0,), (0, 1), (0.5, 1), (0, 0.5, 1))[int(generator.integers(4))]
    teachers = int(generator.integers(1, 4))
    models = np.arange(len(strengths) * (teachers + 1))
    drawn = [(b, int(m)) for b in range(seeds) for m in generator.choice(models, 2)]
    shape = {
        "strengths": strengths,
        "teachers": teachers,
        "arms": (("fixed",), ("fixed", "matched"), ("matched",))[int(generator.integers(3))],
        "test_images": int(generator.integers(20, 40)),
        "train_images": int(generator.integers(10, 30)),
        "tau": float(generator.choice([0.2, 0.4, 0.7])),
    }
    failed = drawn[: int(generator.integers(3))]
    not_finite = [m for m in drawn[-int(generator.integers(1, 3)) :] if m not in failed]
    study = make_study(
        folder, seeds=seeds, **shape, failed=failed, not_finite=not_finite, built=False
    )
    finish(study)
    for grown in _other_sizes(generator, seeds):
        design, file = write_study(folder, seeds=grown, **shape)
        present = {shard.name for shard in study.shards.glob("block-*")}
        wanted = [shard_name(block, design.shard_key(block)) for block in range(grown)]
        if not present.issuperset(wanted):
            write_shards(design, study.shards, failed=failed, not_finite=not_finite)
        for name in present - set(wanted):
            shutil.rmtree(study.shards / name)
        shutil.rmtree(study.results / "packs")
        packs = tuple(write_packs(design, study.results))
        members = tuple(study.shards / name for name in wanted)
        study = replace(study, design=design, study_file=file, packs=packs, members=members)
        finish(study)
    return study


def _other_sizes(generator: np.random.Generator, seeds: int) -> Iterator[int]:
    """Sizes that a study takes after its first: none, or grown, or grown and shrunken."""
    steps = int(generator.integers(3))
    if steps:
        yield seeds + int(generator.integers(1, 3))
    if steps == 2:
        yield max(1, seeds - 1)
