"""Mend what ``store.doctor`` finds, where that is safe: nothing is deleted that is kept only once.

In this order: what killed jobs left goes; damaged shards, images and packs' manifests move to
``quarantine`` beside the shards, and where the store's own rows have the right hash the shard is
written again from them; the store and the file beside it come to hold the same history of
findings; masks, views and comments are made anew from the rows; a store whose rows
are wrong is made anew from the shards, or moves to the quarantine until snakemake has trained
what is missing.
"""

import fcntl
import shutil
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import polars as pl

from store.atomic import write_text
from store.builder import build, changing, replacing
from store.contents import rows_of_block
from store.database import Reader, open_reader, renew_file
from store.design import TRAINING_PROTOCOL, Design
from store.doctor import examine
from store.errors import StoreError, UserError
from store.faults import Fault, Kind
from store.files import copy_file
from store.frames import FINDING_HISTORY, IMAGE, MASKED_ATTENTION, SHARD_FRAMES, STORED_ATTENTION
from store.history import history_file, read_history, united, write_history
from store.inspection import design_of, is_as_declared, stored
from store.intake import pack_of
from store.keeping import fill_kept
from store.ledger import ENVIRONMENT, SHARD, STUDY, ledger_text
from store.masks import in_words, with_masks
from store.schema import quoted
from store.shard import (
    Environment,
    content_hash,
    contents_hash,
    images_name,
    shard_name,
    write_images,
    write_shard,
)
from store.surroundings import (
    LEDGER_FILE,
    check_history_file,
    check_images,
    check_packs,
    check_shard,
    shards_of,
)

_QUARANTINE: Final = "quarantine"


@dataclass(frozen=True, slots=True)
class Mended:
    """What was done, in words, and the faults that are left."""

    done: tuple[str, ...]
    left: tuple[Fault, ...]


class _Ward:
    """One store and what lies around it, while it is mended. said: what was done so far."""

    def __init__(self, store: Path, shards: Path | None) -> None:
        self.store = store
        self.shards = shards
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)

    def quarantine(self, path: Path) -> None:
        """Move a file or folder out of the way, under a name that is free."""
        folder = (self.shards or self.store).parent / _QUARANTINE
        folder.mkdir(parents=True, exist_ok=True)
        target, copy = folder / path.name, 1
        while target.exists():
            copy += 1
            target = folder / f"{path.name}.{copy}"
        path.rename(target)
        self.say(f"moved {path} to {target}")


def mend(store: Path, shards: Path | None, study: Design | None = None) -> Mended:
    """Mend what is safe to mend; tell what was done and what is left.

    shards: the study's shards folder; without it only what the store itself holds is mended.
    study: as its file declares it, needed where the store cannot say so itself.

    Raises StoreError where a job is at work, or the store cannot be opened and there is no study
    or no shard to make it anew from.
    """
    ward = _Ward(store, shards)
    with _alone(store if shards is None else shards):
        faults, design, sure = _examined(store, shards, study)
        _remove_leftovers(ward, faults)
        if shards is not None:
            _mend_images(ward, faults, design)
            _mend_shards(ward, faults, design)
            _mend_packs(ward, list(check_packs(design, shards)))
        if any(fault.kind in (Kind.HISTORY, Kind.ROWS) for fault in faults):
            _mend_history(ward, design)
        if any(fault.kind is Kind.ROWS for fault in faults):
            if sure:
                _mend_rows(ward, design)
            else:
                ward.say(f"{store} no longer says of which study it is; name it with --study")
        elif any(fault.kind is Kind.DERIVED for fault in faults):
            # of rows that are right
            _mend_derived(ward, faults, design)
            if any(fault.kind is Kind.MISSING for fault in faults):
                _take_in(ward, design)
            else:
                _write_ledger(ward, design)
        elif any(fault.kind is Kind.MISSING for fault in faults):
            _take_in(ward, design)
        elif any(fault.kind is Kind.LEDGER_FILE for fault in faults):
            _write_ledger(ward, design)
        left = examine(store, shards, study, alone=True) if store.is_file() else _absent(store)
    return Mended(tuple(ward.said), tuple(left))


@contextmanager
def _alone(place: Path) -> Generator[None, None, None]:
    """Keep the workflow out, as a run of it keeps others out."""
    with (place.parent / ".lock").open("w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StoreError(
                f"another run is working on {place.parent}; wait until it has ended"
            ) from None
        yield


def _examined(
    store: Path, shards: Path | None, study: Design | None
) -> tuple[list[Fault], Design, bool]:
    """Examine a store, or what is left of it when it cannot even be opened.

    Returns the faults, the study and whether it is surely the one that the store is of.
    """
    try:
        with open_reader(store) as reader:
            design = study or design_of(reader, store)
            sure = study is not None or is_as_declared(reader)
        return examine(store, shards, study, alone=True), design, sure
    except StoreError as error:
        if shards is None or study is None:
            raise StoreError(
                f"{error}. To have it made anew from its shards, name them with --shards and the "
                "study file with --study, or move it away and run snakemake"
            ) from None
        faults = [Fault(str(error), "", Kind.ROWS)]
        for block in range(study.seeds):
            shard = shards / shard_name(block, study.shard_key(block))
            if shard.is_dir():
                faults += check_shard(shard, study, block)
        for path in sorted(shards.glob("images-*.parquet")):
            faults += check_images(path)
        faults += check_history_file(store)
        return faults, study, True


def _absent(store: Path) -> list[Fault]:
    return [
        Fault(
            f"{store}: was moved away, since blocks that it holds can no longer be proved right",
            "run snakemake, which trains what is missing and makes the store anew",
            Kind.ROWS,
        )
    ]


def _remove_leftovers(ward: _Ward, faults: Sequence[Fault]) -> None:
    """Delete what killed jobs left; a database among it only where the store itself is sound."""
    doubtful = any(fault.kind is Kind.ROWS for fault in faults)
    for fault in faults:
        if fault.kind is not Kind.LEFTOVER or fault.path is None:
            continue
        if doubtful and fault.path.parent == ward.store.parent:
            ward.quarantine(fault.path)
        elif fault.path.is_dir():
            shutil.rmtree(fault.path)
            ward.say(f"deleted {fault.path}, left by a killed job")
        else:
            fault.path.unlink(missing_ok=True)
            ward.say(f"deleted {fault.path}, left by a killed job")


def _mend_images(ward: _Ward, faults: Sequence[Fault], design: Design) -> None:
    """Write a damaged images file again from the store, or have one block write it anew."""
    for fault in faults:
        if fault.kind is not Kind.IMAGES or fault.path is None or ward.shards is None:
            continue
        images = _stored_images(ward.store, fault.path.name)
        if fault.path.exists():
            ward.quarantine(fault.path)
        if images is not None:
            write_images(ward.shards, images)
            ward.say(f"wrote {fault.path} again from the store, whose images have that hash")
            continue
        shard = ward.shards / shard_name(0, design.shard_key(0))
        for path in (shard, pack_of(ward.shards, design, 0)):
            if path.exists():
                ward.quarantine(path)


def _stored_images(store: Path, name: str) -> pl.DataFrame | None:
    try:
        with open_reader(store) as reader:
            images = IMAGE.check(reader.frame(f"SELECT * FROM {quoted(IMAGE.name)}"))
    except (StoreError, ValueError):
        return None
    return images if images_name(images) == name else None


def _mend_shards(ward: _Ward, faults: Sequence[Fault], design: Design) -> None:
    """Move damaged shards away; write them again from the store, or have them trained again."""
    broken = {
        fault.block: fault.path
        for fault in faults
        if fault.kind is Kind.SHARD and fault.block is not None and fault.path is not None
    }
    for block, shard in sorted(broken.items()):
        if shard.exists():
            ward.quarantine(shard)
        if _restore(ward, design, block):
            ward.say(f"wrote {shard} again from the store, whose rows have the ledger's hash")
            continue
        pack = pack_of(shard.parent, design, block)
        if pack.exists():
            ward.quarantine(pack)
        ward.say(f"block {block} has to be trained again; snakemake does so")


def _restore(ward: _Ward, design: Design, block: int) -> bool:
    """Write a block's shard from the store's rows, where these have the ledger's hash."""
    assert ward.shards is not None
    try:
        with open_reader(ward.store) as reader:
            return _restored(reader, ward.shards, design, block)
    except (StoreError, ValueError):
        # rows that cannot be read or are not of their form prove nothing
        return False


def _restored(reader: Reader, shards: Path, design: Design, block: int) -> bool:
    held = reader.frame(f"SELECT * FROM {quoted(SHARD.name)} WHERE block = ?", [block])
    if held.height != 1:
        return False
    row = held.row(0, named=True)
    key = design.shard_key(block)
    if row["key"] != key or row["protocol"] != TRAINING_PROTOCOL:
        return False
    tables = {
        frame.name: rows_of_block(reader, stored(frame), block).select(frame.schema.names())
        for frame in SHARD_FRAMES
    }
    found = {frame.name: content_hash(frame, tables[frame.name]) for frame in SHARD_FRAMES}
    if contents_hash(found) != row["content"]:
        return False
    environment = reader.frame(
        f"SELECT * FROM {quoted(ENVIRONMENT.name)} WHERE environment_id = ?",
        [row["environment_id"]],
    )
    if environment.height != 1:
        return False
    observed = environment.drop("environment_id").row(0, named=True)
    volatile = {name: row[name] for name in Environment.model_fields if name not in observed}
    study = reader.frame(f"SELECT study, images FROM {quoted(STUDY.name)}").row(0, named=True)
    write_shard(
        shards,
        study=study["study"],
        block=block,
        key=key,
        protocol=row["protocol"],
        images=study["images"],
        tables=tables,
        environment=Environment.model_validate(observed | volatile),
    )
    return True


def _mend_packs(ward: _Ward, faults: Sequence[Fault]) -> None:
    for fault in faults:
        if fault.kind is Kind.PACK and fault.path is not None and fault.path.exists():
            ward.quarantine(fault.path)
            ward.say("snakemake writes it anew from the shards")


def _mend_history(ward: _Ward, design: Design) -> None:
    """Have the store and the file beside it hold what either knows of earlier findings.

    Where they contradict each other the file counts, whose hash proves it.
    """
    path = history_file(ward.store)
    if list(check_history_file(ward.store)):
        ward.quarantine(path)
    beside = read_history(ward.store)
    try:
        with open_reader(ward.store) as reader:
            within = reader.frame(f"SELECT * FROM {quoted(FINDING_HISTORY.name)}")
        unknown = within.join(beside, on=FINDING_HISTORY.key, how="anti")
        history = united([beside, unknown], study=design.study)
        if not history.equals(beside):
            write_history(ward.store, history)
            ward.say(f"wrote {path} anew")
        if not history.equals(within.sort(FINDING_HISTORY.key)):
            _replace_history(ward.store, history)
            ward.say(f"made the history of findings in {ward.store} anew from {path}")
    except (StoreError, pl.exceptions.PolarsError) as error:
        ward.say(f"could not mend the history of findings: {error}")


def _replace_history(store: Path, history: pl.DataFrame) -> None:
    with replacing(store) as fresh:
        copy_file(store, fresh)
        with changing(fresh) as tables:
            tables.run(f"DELETE FROM {quoted(FINDING_HISTORY.name)}")
            tables.insert(FINDING_HISTORY, history)


def _mend_derived(ward: _Ward, faults: Sequence[Fault], design: Design) -> None:
    """Make masks of the blocks at fault, and all that follows from rows, anew from the rows."""
    blocks = sorted({f.block for f in faults if f.kind is Kind.DERIVED and f.block is not None})
    try:
        with replacing(ward.store) as fresh:
            copy_file(ward.store, fresh)
            renew_file(fresh)
            for block in blocks:
                _make_masks(fresh, block, design.attention.tau)
            if blocks:
                with changing(fresh) as tables:
                    fill_kept(tables)
    except StoreError as error:
        ward.say(f"could not make masks and views anew: {error}")
        return
    ward.say(f"made views, comments and kept measures of {ward.store} anew")
    if blocks:
        ward.say(f"made the masks of {len(blocks)} blocks anew from their maps")


def _make_masks(path: Path, block: int, tau: float) -> None:
    with open_reader(path) as reader:
        rows = rows_of_block(reader, MASKED_ATTENTION, block)
    masked = in_words(with_masks(rows, tau))
    low, high = masked["model_id"].min(), masked["model_id"].max()
    with changing(path) as tables:
        tables.run(
            f"DELETE FROM {quoted(STORED_ATTENTION.name)} WHERE model_id BETWEEN {low} AND {high}"
        )
        tables.insert(STORED_ATTENTION, masked)


def _mend_rows(ward: _Ward, design: Design) -> None:
    """Make a store anew from its shards, the former one kept; or move it away until that can be."""
    if ward.shards is None:
        return
    members = _members(ward.shards, design)
    rebuilt = ward.store.with_name(f"{ward.store.name}.rebuilt")
    try:
        build(rebuilt, design=design, shards=ward.shards, members=members, former=ward.store)
    except UserError as error:
        ward.say(f"cannot make the store anew yet: {error}")
        _give_way(ward, members, design)
        return
    finally:
        rebuilt.with_name(f"{rebuilt.name}.lock").unlink(missing_ok=True)
    with replacing(ward.store) as fresh:
        rebuilt.replace(fresh)
        if ward.store.exists():
            ward.quarantine(ward.store)
    ward.say(
        f"made {ward.store} anew from {len(members)} shards; what was concluded has to be "
        "concluded again, which snakemake does"
    )
    _write_ledger(ward, design)


def _take_in(ward: _Ward, design: Design) -> None:
    """Take shards in that are there and not in the store, which is sound."""
    if ward.shards is None:
        return
    try:
        build(ward.store, design=design, shards=ward.shards, members=_members(ward.shards, design))
    except UserError as error:
        ward.say(f"snakemake has to be run: {error}")
        return
    ward.say(f"brought {ward.store} up to date with its shards")
    _write_ledger(ward, design)


def _members(shards: Path, design: Design) -> list[Path]:
    return [shards / name for name in shards_of(design)]


def _give_way(ward: _Ward, members: Sequence[Path], design: Design) -> None:
    """Move a store that is wrong out of snakemake's way, once nothing sound is in it alone."""
    sound = [
        shard
        for block, shard in enumerate(members)
        if shard.is_dir() and not list(check_shard(shard, design, block))
    ]
    if not sound or not ward.store.exists():
        return
    ward.quarantine(ward.store)
    ledger = ward.store.with_name(LEDGER_FILE)
    if ledger.exists():
        ward.quarantine(ledger)


def _write_ledger(ward: _Ward, design: Design) -> None:
    """Write the ledger file anew, so that snakemake analyzes what the store holds now."""
    path = ward.store.with_name(LEDGER_FILE)
    if not path.exists():
        return
    with open_reader(ward.store) as reader:
        ledger = reader.frame(f"SELECT * FROM {quoted(SHARD.name)} ORDER BY block")
        study_hash = reader.frame(f"SELECT study_hash FROM {quoted(STUDY.name)}").item()
    write_text(path, ledger_text(design, ledger, study_hash=study_hash))
    ward.say(f"wrote {path} anew")
