"""Several stores of one study into one: two machines, or two labs, each with seeds of their own.

Blocks are read from the stores, checked against their ledgers' hashes and taken in as a build
takes in shards, so that the result is the store that all shards together would have given.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import polars as pl

from store.builder import build_of_blocks
from store.contents import rows_of_block
from store.database import Reader, open_reader
from store.design import Design
from store.errors import StoreError
from store.frame import Frame
from store.frames import FINDING_HISTORY, IMAGE, SHARD_FRAMES
from store.history import read_history, united, write_history
from store.inspection import expected_content
from store.ledger import ENVIRONMENT, SHARD, STUDY, StoredBlock, study_row
from store.schema import quoted, schema
from store.shard import content_hash, images_name

_MAY_DIFFER: Final = (
    "seeds",
    "pack_size",
    "dataset.path",
    "dataset.root",
    "dataset.download",
    "dataset.decoders",
)
"""Keys of a study file that say how much was run, or where, and change no number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Conflict:
    """A block that two stores hold with different content. differs: where, in words."""

    block: int
    first: Path
    second: Path
    differs: str

    def __str__(self) -> str:
        """One line that names the block, the stores and what differs."""
        return f"block {self.block} differs between {self.first} and {self.second}: {self.differs}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Merged:
    """What a merge gave. ledger: rows of SHARD, by block; None where conflicts stopped it.

    missing: blocks that the merged study declares and no store holds.
    """

    design: Design
    ledger: pl.DataFrame | None
    conflicts: tuple[Conflict, ...]
    missing: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Source:
    """One store to be merged, open. study: its row of STUDY; ledger: its SHARD, by block."""

    path: Path
    reader: Reader
    study: Mapping[str, Any]
    design: Design
    ledger: Mapping[int, Mapping[str, Any]]


def merge(stores: Sequence[Path], into: Path, *, prefer: Path | None = None) -> Merged:
    """Write a new store of all blocks that any of several stores of one study holds.

    A block that several hold with the same content is taken once. Where contents differ, the
    one of ``prefer`` counts where that store holds the block; otherwise nothing is written, and
    the conflicts say what differs. Estimates and findings are not merged, as they hold for the
    seeds that they saw; the history of findings is.

    Raises StoreError where the stores are of different studies, one is damaged, or there is a
    file ``into`` already.
    """
    _check_arguments(stores, into, prefer)
    sources: list[_Source] = []
    try:
        sources += map(_source, stores)
        _check_one_study(sources)
        taken, conflicts = _choice(sources, prefer)
        design = _united_design(sources[0].design, max(taken))
        missing = tuple(sorted(set(range(design.seeds)) - set(taken)))
        ledger = None if conflicts else _write(into, design, sources, taken)
    finally:
        for source in sources:
            source.reader.close()
    return Merged(design=design, ledger=ledger, conflicts=tuple(conflicts), missing=missing)


def _check_arguments(stores: Sequence[Path], into: Path, prefer: Path | None) -> None:
    places = [store.resolve() for store in stores]
    if len(set(places)) != len(places) or len(places) < 2:
        raise StoreError("merge needs two stores or more, each named once")
    if prefer is not None and prefer.resolve() not in places:
        raise StoreError(f"{prefer}: to be preferred, but it is not among the stores to merge")
    if into.exists():
        raise StoreError(f"{into}: exists already; name another file, or delete it")


def _source(path: Path) -> _Source:
    reader = open_reader(path)
    try:
        study = reader.frame(f"SELECT * FROM {quoted(STUDY.name)}").row(0, named=True)
        rows = reader.frame(f"SELECT * FROM {quoted(SHARD.name)} ORDER BY block").to_dicts()
        design = Design.model_validate_json(study["declaration"])
    except (StoreError, ValueError) as error:
        reader.close()
        raise StoreError(f"{path}: not a whole store: {' '.join(str(error).split())}") from None
    if not rows:
        reader.close()
        raise StoreError(f"{path}: holds no seed block")
    ledger = {row["block"]: row for row in rows}
    return _Source(path=path, reader=reader, study=study, design=design, ledger=ledger)


def _check_one_study(sources: Sequence[_Source]) -> None:
    """Refuse stores that are not of one study, seen through one version of this software."""
    digest = schema().digest
    for source in sources:
        if source.study["schema_hash"] != digest:
            raise StoreError(
                f"{source.path}: tables and views are of another version of this software; run "
                f"python -m store migrate {source.path} first"
            )
    first = sources[0]
    for other in sources[1:]:
        if differences := list(_differences(_declared(first), _declared(other))):
            shown = "; ".join(
                f"{key} is {_shown(one)} in {first.path} and {_shown(two)} in {other.path}"
                for key, one, two in differences[:5]
            )
            more = f" (and {len(differences) - 5} more)" if len(differences) > 5 else ""
            raise StoreError(f"these are stores of different studies: {shown}{more}")


def _declared(source: _Source) -> dict[str, object]:
    """Return what all stores must share, by key: the study file, flat, images and protocol."""
    flat = dict(_flattened(json.loads(source.study["declaration"]), ""))
    for key in _MAY_DIFFER:
        flat.pop(key, None)
    protocols = sorted({row["protocol"] for row in source.ledger.values()})
    return flat | {
        "images seen": source.study["images"],
        "classes": source.study["classes"],
        "training protocol": protocols,
    }


def _flattened(value: object, key: str) -> Iterator[tuple[str, object]]:
    if isinstance(value, dict):
        for name, item in value.items():
            yield from _flattened(item, f"{key}.{name}" if key else str(name))
    else:
        yield key, value


def _differences(
    one: Mapping[str, object], other: Mapping[str, object]
) -> Iterator[tuple[str, object, object]]:
    for key in sorted(one.keys() | other.keys()):
        if one.get(key) != other.get(key):
            yield key, one.get(key), other.get(key)


def _shown(value: object) -> str:
    return "not declared" if value is None else json.dumps(value, ensure_ascii=False)


def _choice(
    sources: Sequence[_Source], prefer: Path | None
) -> tuple[dict[int, _Source], list[Conflict]]:
    """Choose a store for every block; name those that cannot be chosen between."""
    taken: dict[int, _Source] = {}
    conflicts: list[Conflict] = []
    preferred = None if prefer is None else prefer.resolve()
    for block in sorted({block for source in sources for block in source.ledger}):
        holders = [source for source in sources if block in source.ledger]
        favoured = [source for source in holders if source.path.resolve() == preferred]
        taken[block] = (favoured or holders)[0]
        if favoured:
            continue
        conflicts += [
            Conflict(
                block=block,
                first=holders[0].path,
                second=other.path,
                differs=_what_differs(holders[0], other, block),
            )
            for other in holders[1:]
            if other.ledger[block]["content"] != holders[0].ledger[block]["content"]
        ]
    return taken, conflicts


def _what_differs(one: _Source, other: _Source, block: int) -> str:
    """Say which tables of a block differ, and how the environments did."""
    rows = one.ledger[block], other.ledger[block]
    tables = [
        frame.name
        for frame in SHARD_FRAMES
        if rows[0][f"{frame.name}_content"] != rows[1][f"{frame.name}_content"]
    ]
    environments = [
        _environment(source, row["environment_id"]).row(0, named=True)
        for source, row in zip((one, other), rows, strict=True)
    ]
    differing = [
        f"{name} {environments[0][name]} and {environments[1][name]}"
        for name in ENVIRONMENT.schema
        if name != "environment_id" and environments[0][name] != environments[1][name]
    ]
    trained = f"trained with {', '.join(differing)}" if differing else "in like environments"
    return f"table{'s' if len(tables) > 1 else ''} {', '.join(tables)}; {trained}"


def _united_design(design: Design, last: int) -> Design:
    """Declare as many seeds as the last block needs."""
    return Design.model_validate(design.declared() | {"seeds": last + 1})


def _write(
    into: Path, design: Design, sources: Sequence[_Source], taken: Mapping[int, _Source]
) -> pl.DataFrame:
    first = sources[0]
    histories = [
        history
        for source in sources
        for history in (
            source.reader.frame(f"SELECT * FROM {quoted(FINDING_HISTORY.name)}"),
            read_history(source.path),
        )
    ]
    history = united(histories, study=design.study)
    ledger = build_of_blocks(
        into,
        design=design,
        study=study_row(
            design,
            classes=first.study["classes"],
            images=first.study["images"],
            schema_hash=schema().digest,
        ),
        images=_images(first),
        history=history,
        blocks=(_block(source, block, design) for block, source in sorted(taken.items())),
    )
    write_history(into, history)
    return ledger


def _images(source: _Source) -> pl.DataFrame:
    images = source.reader.frame(f"SELECT * FROM {quoted(IMAGE.name)}").sort(IMAGE.key)
    if images_name(images) != source.study["images"]:
        raise StoreError(f"{source.path}: its images are not those that it names; {_damaged()}")
    return images


def _block(source: _Source, block: int, design: Design) -> StoredBlock:
    """Read one block from a store, whole and unchanged."""
    row = source.ledger[block]
    if row["key"] != design.shard_key(block):
        raise StoreError(
            f"{source.path}: block {block} has key {row['key']}; the study's is "
            f"{design.shard_key(block)}; {_damaged()}"
        )
    tables = {frame: _rows(source, frame, block) for frame in SHARD_FRAMES}
    for frame, table in tables.items():
        if content_hash(frame, table) != expected_content(frame, row):
            raise StoreError(
                f"{source.path}: table {frame.name} of block {block} is not what its ledger "
                f"says; {_damaged()}"
            )
    return StoredBlock(
        tables=tables,
        environment=_environment(source, row["environment_id"]),
        ledger=source.reader.frame(f"SELECT * FROM {quoted(SHARD.name)} WHERE block = ?", [block]),
    )


def _rows(source: _Source, frame: Frame, block: int) -> pl.DataFrame:
    """Read the rows that a block brought to a table; of attention the maps, as in its shard."""
    return rows_of_block(source.reader, frame, block).select(frame.schema.names())


def _environment(source: _Source, environment_id: str) -> pl.DataFrame:
    return source.reader.frame(
        f"SELECT * FROM {quoted(ENVIRONMENT.name)} WHERE environment_id = ?", [environment_id]
    )


def _damaged() -> str:
    return "run python -m store doctor on it"
