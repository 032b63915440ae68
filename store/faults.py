"""What can be wrong with a store and the files it was made of."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class Kind(StrEnum):
    """Where a fault lies, which decides how it can be mended.

    ``rows``: what a table holds; the shards have it. ``derived``: masks, views, comments and
    layout, which follow from the rows. ``shard``, ``images``, ``pack``, ``ledger_file``: that
    file. ``leftover``: of a killed job. ``missing``: what a run of snakemake has yet to bring.
    ``surplus``: sound, and of no use to the study as it is declared. ``history``: of findings,
    which the store and a file beside it both hold.
    """

    ROWS = "rows"
    DERIVED = "derived"
    SHARD = "shard"
    IMAGES = "images"
    PACK = "pack"
    LEDGER_FILE = "ledger_file"
    LEFTOVER = "leftover"
    MISSING = "missing"
    SURPLUS = "surplus"
    HISTORY = "history"


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong, and what to do. path, block: the file and the seed block, where it has one."""

    what: str
    repair: str
    kind: Kind
    path: Path | None = None
    block: int | None = None
