"""Which seed blocks one job trains: as many as the study declares, or as its results have it.

A decision is kept beside the results, so that the same blocks are together at every start.
Another one trains nothing again: a job takes the shards that it finds.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field, ValidationError

from store.atomic import write_text
from store.declared import Declared
from store.design import Design
from store.errors import UserError

_FILE = "packing.json"


@dataclass(frozen=True, slots=True)
class Packing:
    """How blocks are dealt to packs: in their order, ``size`` to each, the last pack the rest."""

    seeds: int
    size: int

    @property
    def packs(self) -> int:
        """Number of packs, which is that of the jobs that train."""
        return -(-self.seeds // self.size)

    def blocks_of(self, pack: int) -> range:
        """Return the seed blocks that a pack trains."""
        return range(pack * self.size, min((pack + 1) * self.size, self.seeds))

    def pack_of(self, block: int) -> int:
        """Return the pack that trains a block."""
        return block // self.size


class Decision(Declared):
    """Why a pack has as many blocks as it has.

    pack_minutes: that a pack should take. block_seconds: that a block was found to take.
    measured: on what, in words. pack_size: blocks of a pack.
    """

    pack_minutes: float = Field(gt=0)
    block_seconds: float = Field(gt=0)
    measured: str
    pack_size: int = Field(ge=1)


def declared_packing(design: Design) -> Packing:
    """Return the packing that the study file declares."""
    return Packing(design.seeds, design.pack_size)


def packing_of(design: Design, results: Path) -> Packing:
    """Return the packing of a study's results: as decided there, else as declared.

    Raises UserError where the decision cannot be read.
    """
    decision = read_decision(results)
    return (
        declared_packing(design) if decision is None else Packing(design.seeds, decision.pack_size)
    )


def read_decision(results: Path) -> Decision | None:
    """Read what was decided for these results; None where nothing was.

    Raises UserError where the file is damaged.
    """
    path = results / _FILE
    try:
        return Decision.model_validate_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (UnicodeDecodeError, ValidationError):
        raise UserError(
            f"{path}: not a packing; delete it, and run with pack_minutes to decide again"
        ) from None


def decide(
    results: Path, *, pack_minutes: float, block_seconds: Callable[[], tuple[float, str]]
) -> Decision:
    """Decide how many blocks take so many minutes, and keep it; what is decided already stays.

    block_seconds: tells how long a block takes, and where that was measured. It is asked only
    where no earlier decision says it. Packs take at most so long, and have one block at least.
    """
    found = read_decision(results)
    if found is not None and found.pack_minutes == pack_minutes:
        return found
    seconds, measured = block_seconds() if found is None else (found.block_seconds, found.measured)
    decision = Decision(
        pack_minutes=pack_minutes,
        block_seconds=seconds,
        measured=measured,
        pack_size=pack_size(pack_minutes, seconds),
    )
    write_text(results / _FILE, decision.model_dump_json(indent=2) + "\n")
    return decision


def pack_size(pack_minutes: float, block_seconds: float) -> int:
    """Return how many blocks of so many seconds fit into a pack of so many minutes; 1 at least."""
    return max(1, int(60 * pack_minutes / block_seconds))
