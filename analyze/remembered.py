"""Measures of blocks that an earlier analysis made, kept so that a grown study makes only the new.

What a block's measures follow from is hashed: its shard's content, what the study declares of
maps and logits, and the very code, with the libraries' versions. Rows under another hash are made
anew, so nothing is ever older than what it was made from. The files may be deleted at any time.
"""

import hashlib
import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Final

import polars as pl

from analyze.metrics.variants import VARIANT
from store.atomic import whole
from store.database import Reader
from store.design import Design
from store.frames import ESTIMATE

_log = logging.getLogger(__name__)

_CODE: Final = ("analyze", "store")
_LIBRARIES: Final = ("duckdb", "numpy", "polars", "scipy")
_KEY: Final = "made_from"


ByBlock = Callable[[int, Callable[[], pl.DataFrame]], pl.DataFrame]
"""Takes a block and what makes its rows; returns them, remembered or made."""


class Measured:
    """What is remembered of each block's measures, by kind.

    folder: where. Raises what reading the store raises.
    """

    def __init__(self, folder: Path, reader: Reader, design: Design) -> None:
        study = reader.frame("SELECT images, classes, logits_type FROM study").row(0, named=True)
        attention = design.attention.model_dump(mode="json")
        contents = reader.frame("SELECT block, content FROM shard ORDER BY block")
        self._folder = folder
        self._common = {**study, "attention": attention}
        self._contents: dict[int, str] = dict(contents.iter_rows())
        self._kinds = {
            kind: self._kind(kind, schema)
            for kind, schema in (("estimates", ESTIMATE.schema), ("variants", VARIANT))
        }

    def _kind(self, kind: str, schema: pl.Schema, **follows_from: object) -> "Remembered":
        return Remembered(
            self._folder / f"{kind}.parquet", schema, {**self._common, **follows_from, "kind": kind}
        )

    def estimates(self, block: int, make: Callable[[], pl.DataFrame]) -> pl.DataFrame:
        """Return a block's rows of ESTIMATE."""
        return self._kinds["estimates"].rows(self._contents[block], make)

    def variants(self, block: int, make: Callable[[], pl.DataFrame]) -> pl.DataFrame:
        """Return a block's rows of VARIANT."""
        return self._kinds["variants"].rows(self._contents[block], make)

    def image_draws(
        self, schema: pl.Schema, *, study_seed: int, arms: Sequence[str], measures: Sequence[str]
    ) -> "BlockMemory":
        """Return what is remembered of measures on resampled test images.

        schema: of the rows, which tells how many draws they hold. arms: of the students measured.
        """
        asked = {"seed": study_seed, "arms": list(arms), "measures": list(measures)}
        kind = self._kind("image_draws", schema, **asked, rows=str(schema))
        self._kinds["image_draws"] = kind
        return BlockMemory(kind, self._contents)

    def keep(self) -> None:
        """Keep what this analysis asked for."""
        for kind in self._kinds.values():
            kind.keep()


class BlockMemory:
    """What is remembered of one kind, by block."""

    def __init__(self, kind: "Remembered", contents: Mapping[int, str]) -> None:
        self._kind = kind
        self._contents = contents

    def has(self, block: int) -> bool:
        """Say whether a block's rows need not be made."""
        return self._kind.has(self._contents[block])

    def rows(self, block: int, make: Callable[[], pl.DataFrame]) -> pl.DataFrame:
        """Return a block's rows: remembered, else made."""
        return self._kind.rows(self._contents[block], make)


class Remembered:
    """Rows of one kind, by block, in one Parquet file.

    path: the file; where it is not there or not whole, nothing is remembered. schema: of the
    rows. follows_from: what all blocks' rows follow from beside their shards and the code.
    """

    def __init__(self, path: Path, schema: pl.Schema, follows_from: Mapping[str, object]) -> None:
        self._path = path
        self._schema = schema
        self._common = json.dumps([dict(follows_from), code_hash()], sort_keys=True)
        self._before = self._read()
        self._now: dict[str, pl.DataFrame] = {}

    def rows(self, content: str, make: Callable[[], pl.DataFrame]) -> pl.DataFrame:
        """Return a block's rows: remembered, else made.

        content: hash of all that the block's shard holds.
        """
        key = self._key(content)
        found = self._before.get(key)
        self._now[key] = make() if found is None else found
        return self._now[key]

    def has(self, content: str) -> bool:
        """Say whether a block's rows are remembered."""
        return self._key(content) in self._before

    def _key(self, content: str) -> str:
        return hashlib.sha256(f"{self._common} {content}".encode()).hexdigest()

    def keep(self) -> None:
        """Write what was asked for, and nothing else, for the next analysis."""
        if self._now.keys() == self._before.keys():
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        blocks = [frame.with_columns(pl.lit(key).alias(_KEY)) for key, frame in self._now.items()]
        with whole(self._path) as temporary:
            pl.concat(blocks).write_parquet(temporary)

    def _read(self) -> dict[str, pl.DataFrame]:
        try:
            kept = pl.read_parquet(self._path)
        except FileNotFoundError:
            return {}
        except (OSError, pl.exceptions.PolarsError) as error:
            _log.warning("%s cannot be read and is made anew: %s", self._path, error)
            return {}
        if kept.schema != pl.Schema({**self._schema, _KEY: pl.String()}):
            return {}
        return {
            str(key): frame.drop(_KEY)
            for (key,), frame in kept.partition_by(_KEY, as_dict=True, maintain_order=True).items()
        }


@cache
def code_hash() -> str:
    """Hash every line of code and SQL that measures come from, and the libraries' versions."""
    digest = hashlib.sha256()
    root = Path(__file__).resolve().parents[1]
    for path in sorted(path for name in _CODE for path in _sources(root / name)):
        digest.update(f"{path.relative_to(root)}\n".encode())
        digest.update(path.read_bytes())
    for name in _LIBRARIES:
        digest.update(f"{name} {metadata.version(name)}\n".encode())
    return digest.hexdigest()


def _sources(folder: Path) -> Iterator[Path]:
    for suffix in ("py", "sql"):
        yield from folder.rglob(f"*.{suffix}")
