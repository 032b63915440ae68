"""What of a study's results was made for another declaration of it.

Snakemake's own notes, which say so too, lie in a hidden folder of the place it was started in:
they stay behind where results are moved or copied.
"""

import json
from pathlib import Path
from typing import Any

from store.design import Design
from store.packing import packing_of


def outdated(design: Design, results: Path) -> list[Path]:
    """Name the packs' manifests and the ledger file that are of another declaration.

    results: the study's folder. What is not there, or cannot be read, is not named: to make it,
    or to say what is wrong with it, is for others.
    """
    ledger = results / "ledger.json"
    held = _read(ledger)
    if held is None or held.get("study_hash") == design.study_hash():
        return []
    packing = packing_of(design, results)
    packs = (results / "packs" / f"{pack:05d}.json" for pack in range(packing.packs))
    return [
        *(
            path
            for pack, path in enumerate(packs)
            if _other_blocks(design, packing.blocks_of(pack), _read(path))
        ),
        ledger,
    ]


def _other_blocks(design: Design, blocks: range, manifest: dict[str, Any] | None) -> bool:
    """Tell whether a pack's manifest stands for other shards than the study declares."""
    if manifest is None:
        return False
    expected = [*zip(blocks, design.shard_keys(blocks), strict=True)]
    try:
        return [(each["block"], each["key"]) for each in manifest["blocks"]] != expected
    except (KeyError, TypeError):
        return False


def _read(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None
