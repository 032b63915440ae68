"""Checks of what lies around a store: its shards, their packs, what killed jobs left."""

import fcntl
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from store.database import Reader
from store.design import Design
from store.errors import StaleShardError, StoreError
from store.faults import Fault, Kind
from store.frames import FINDING_HISTORY, SHARD_FRAMES
from store.history import history_file, read_history, united
from store.intake import checked_manifest, pack_of, read_images, repair, verified_table
from store.ledger import SHARD, STUDY, environment_id, ledger_text
from store.packing import packing_of
from store.schema import quoted
from store.shard import content_hash, read_manifest, shard_name

LEDGER_FILE = "ledger.json"
_BESIDE = (".next", ".recording", ".fresh", ".rebuilt", ".part", ".wal", ".tmp")
"""Ends of files that a killed job leaves beside a store, alone or one after another."""


_REPAIR_HISTORY = (
    "run python -m store doctor with --repair: the store and the file then hold what either knows"
)


def check_shards(reader: Reader, design: Design, shards: Path) -> Iterator[Fault]:
    """Check the shards that the ledger names, and look for others."""
    ledger = reader.frame(f"SELECT * FROM {quoted(SHARD.name)} ORDER BY block")
    name = reader.frame(f"SELECT images FROM {quoted(STUDY.name)}").item()
    for row in ledger.iter_rows(named=True):
        yield from _shard(shards / row["shard"], design, row, name)
    yield from check_images(shards / name)
    yield from _not_taken_in(design, shards, set(ledger["shard"]))
    if shards.is_dir():
        known = {*ledger["shard"], *shards_of(design), name}
        for path in sorted(shards.iterdir()):
            if not path.name.startswith(".") and path.name not in known:
                yield Fault(
                    f"{path}: not in the store",
                    "run snakemake again where it is of the study; else it may be deleted",
                    Kind.SURPLUS,
                    path,
                )


def shards_of(design: Design) -> list[str]:
    """Return the names of a study's shards, by block."""
    keys = design.shard_keys(range(design.seeds))
    return [shard_name(block, key) for block, key in enumerate(keys)]


def _not_taken_in(design: Design, shards: Path, held: set[str]) -> Iterator[Fault]:
    """Check shards of the study that the store does not hold yet."""
    for block, name in enumerate(shards_of(design)):
        shard = shards / name
        if name in held or not shard.is_dir():
            continue
        faults = list(check_shard(shard, design, block))
        yield from faults
        if not faults:
            yield Fault(
                f"{shard}: not in the store", "run snakemake again", Kind.MISSING, shard, block
            )


def _shard(shard: Path, design: Design, held: dict[str, Any], images: str) -> Iterator[Fault]:
    """Check one shard against its manifest, and that against the ledger's row.

    images: the name of the images that the store holds.
    """
    block = held["block"]
    if not shard.is_dir():
        yield Fault(
            f"{shard}: missing; the store holds block {block} from it",
            repair(shard, design, block),
            Kind.SHARD,
            shard,
            block,
        )
        return
    faults = list(check_shard(shard, design, block))
    yield from faults
    if faults:
        return
    manifest = read_manifest(shard)
    if manifest.images != images:
        yield Fault(
            f"{shard}: its manifest names the images {manifest.images}; the store has {images}",
            repair(shard, design, block),
            Kind.SHARD,
            shard,
            block,
        )
    elif manifest.content != held["content"]:
        yield Fault(
            f"{shard}: content {manifest.content[:16]}..., the store took in "
            f"{held['content'][:16]}...",
            "run snakemake again",
            # where the pack says what the store says, it is the shard that was changed
            Kind.SHARD if held["content"] == _packed_content(shard, design, block) else Kind.ROWS,
            shard,
            block,
        )
    elif environment_id(manifest.environment) != held["environment_id"]:
        yield Fault(
            f"{shard}: its manifest names another environment than the store's ledger",
            f"restore {shard}/manifest.json, or {repair(shard, design, block)}",
            Kind.SHARD,
            shard,
            block,
        )


def check_shard(shard: Path, design: Design, block: int) -> Iterator[Fault]:
    """Check one shard's files: whole, unchanged, of the study and of this block."""
    again = repair(shard, design, block)
    if _is_of_another_study(shard, design):
        yield Fault(
            f"{shard}: of the study as it was declared before",
            "run snakemake, which trains what is declared now; this shard may stay",
            Kind.SURPLUS,
            shard,
            block,
        )
        return
    try:
        manifest = checked_manifest(shard, design)
    except StaleShardError as error:
        yield Fault(str(error), again, Kind.SHARD, shard, block)
        return
    if shard.name != shard_name(manifest.block, manifest.key) or manifest.block != block:
        yield Fault(
            f"{shard}: its manifest is of block {manifest.block} with key {manifest.key}",
            again,
            Kind.SHARD,
            shard,
            block,
        )
    for frame in SHARD_FRAMES:
        try:
            table = verified_table(shard, frame, manifest, design)
        except StaleShardError as error:
            yield Fault(str(error), again, Kind.SHARD, shard, block)
            continue
        record = manifest.files[frame.name]
        if content_hash(frame, table) != record.content or table.height != record.rows:
            yield Fault(
                f"{shard}/{frame.name}.parquet: not the content of its manifest",
                again,
                Kind.SHARD,
                shard,
                block,
            )
    extra = sorted(
        {path.name for path in shard.iterdir()}
        - {"manifest.json", *(f"{frame.name}.parquet" for frame in SHARD_FRAMES)}
    )
    if extra:
        yield Fault(
            f"{shard}: holds {', '.join(extra)}, which no shard has",
            again,
            Kind.SHARD,
            shard,
            block,
        )


def _is_of_another_study(shard: Path, design: Design) -> bool:
    """Whether a shard is what its name says, and that is no block of the study as declared."""
    try:
        manifest = read_manifest(shard)
    except StaleShardError:
        return False
    named = shard_name(manifest.block, manifest.key) == shard.name
    return named and manifest.key != design.shard_key(manifest.block)


def check_images(path: Path) -> Iterator[Fault]:
    """Check the images file by the hash in its name."""
    try:
        read_images(path)
    except StoreError as error:
        yield Fault(str(error), f"see {path}", Kind.IMAGES, path)


def check_packs(design: Design, shards: Path) -> Iterator[Fault]:
    """Every pack must have a manifest that names its blocks' shards with their content."""
    if not (shards.parent / "packs").is_dir():
        return
    packing = packing_of(design, shards.parent)
    for pack in range(packing.packs):
        blocks = packing.blocks_of(pack)
        path = pack_of(shards, design, blocks[0])
        again = f"delete {path} if it is there and run snakemake, which writes it from the shards"
        try:
            named = _entries(path)
        except FileNotFoundError:
            yield Fault(f"{path}: missing", again, Kind.MISSING, path)
            continue
        except (OSError, ValueError, KeyError, TypeError):
            yield Fault(f"{path}: not a pack's manifest", again, Kind.PACK, path)
            continue
        expected = [_entry(shards, design, block) for block in blocks]
        if None not in expected and named != expected:
            yield Fault(f"{path}: names other shards or content", again, Kind.PACK, path)


def _entries(pack: Path) -> list[tuple[int, str, str, str]]:
    """Return what a pack's manifest says: block, key, shard and content of each.

    Raises OSError, ValueError, KeyError or TypeError where it is no such manifest.
    """
    entries = json.loads(pack.read_text(encoding="utf-8"))["blocks"]
    return [(e["block"], e["key"], e["shard"], e["content"]) for e in entries]


def _packed_content(shard: Path, design: Design, block: int) -> str | None:
    """Return the content that a block's pack says its shard has; None where it says nothing."""
    try:
        entries = _entries(pack_of(shard.parent, design, block))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return next((entry[3] for entry in entries if entry[2] == shard.name), None)


def _entry(shards: Path, design: Design, block: int) -> tuple[int, str, str, str] | None:
    """Return what a pack says of a block; None where its shard cannot be read."""
    key = design.shard_key(block)
    name = shard_name(block, key)
    try:
        return block, key, name, read_manifest(shards / name).content
    except StaleShardError:
        return None


def check_ledger_file(reader: Reader, store: Path, design: Design) -> Iterator[Fault]:
    """Compare the ledger file, where there is one, with what the store holds."""
    path = store.with_name(LEDGER_FILE)
    if not path.is_file():
        return
    ledger = reader.frame(f"SELECT * FROM {quoted(SHARD.name)} ORDER BY block")
    study_hash = reader.frame(f"SELECT study_hash FROM {quoted(STUDY.name)}").item()
    expected = ledger_text(design, ledger, study_hash=study_hash)
    if path.read_text(encoding="utf-8", errors="replace") != expected:
        yield Fault(
            f"{path}: not what the store holds",
            f"delete {path} and run snakemake again",
            Kind.LEDGER_FILE,
            path,
        )


def check_history(reader: Reader, store: Path, design: Design) -> Iterator[Fault]:
    """Compare the history of findings beside a store, where there is one, with the store's."""
    path = history_file(store)
    damage = list(check_history_file(store))
    yield from damage
    if damage or not path.is_file():
        return
    beside = united([read_history(store)], study=design.study)
    within = reader.frame(f"SELECT * FROM {quoted(FINDING_HISTORY.name)}")
    if not beside.equals(united([within], study=design.study)):
        yield Fault(
            f"{path}: not the history that the store holds", _REPAIR_HISTORY, Kind.HISTORY, path
        )


def check_history_file(store: Path) -> Iterator[Fault]:
    """Check the history of findings beside a store, where there is one, by itself."""
    try:
        read_history(store)
    except StoreError as error:
        yield Fault(str(error), _REPAIR_HISTORY, Kind.HISTORY, history_file(store))


def check_leftovers(store: Path, shards: Path | None, *, alone: bool = False) -> Iterator[Fault]:
    """Find what killed jobs left; nothing while one is at work.

    alone: no workflow is at work, since the caller keeps it out.
    """
    if not is_locked(store.with_name(f"{store.name}.lock")):
        for path in sorted(store.parent.glob(f"{store.name}.*")):
            if path.suffix in _BESIDE:
                yield _leftover(path)
    if shards is None or (not alone and is_locked(shards.parent / ".lock")):
        return
    folders = [shards, *(shards.parent / name for name in ("packs", "leases")), shards.parent]
    for folder in folders:
        if folder.is_dir():
            for path in sorted(folder.glob(".?*")):
                if path.name != ".lock":
                    yield _leftover(path)
    for path in sorted((shards.parent / "scratch").glob("block-*")):
        if (shards / path.name / "manifest.json").is_file():
            yield _leftover(path)


def _leftover(path: Path) -> Fault:
    return Fault(f"{path}: left by a killed job", f"delete {path}", Kind.LEFTOVER, path)


def is_locked(lock: Path) -> bool:
    """Whether a process holds a lock file."""
    if not lock.is_file():
        return False
    with lock.open() as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
