"""The store's job: from the packs' manifests to a store and its ledger file."""

import argparse
import json
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from store.importing import importing

with importing():
    from store.atomic import write_text
    from store.builder import build
    from store.design import Design
    from store.errors import STOPPING, StaleShardError, StoreError, explained
    from store.ledger import ledger_text
    from store.packing import packing_of
    from store.shard import read_manifest
    from store.study_file import load_design

_log = logging.getLogger(__name__)


def update_store(
    study: Path, *, packs: Sequence[Path], store: Path, ledger: Path, partial: bool = False
) -> None:
    """Bring a study's store in line with its packs, then write what it holds.

    packs: manifests in ``results/<study>/packs``, beside ``results/<study>/shards``, or that
    folder, for the manifests of the study's packs; of their blocks those count that the study
    declares, under their present key. partial: do with the blocks that the packs hold, where
    other machines hold the others.

    Raises UserError where a block is missing or a shard is not what its pack says.
    """
    design = load_design(study)
    packs = _manifests(design, packs)
    shards = _shards(packs)
    members = _members(design, packs, shards, partial=partial)
    held = build(store, design=design, shards=shards, members=members)
    _log.info("%s holds %d blocks of %s", store, held.height, design.study)
    write_text(ledger, ledger_text(design, held, study_hash=design.study_hash()))


def _manifests(design: Design, named: Sequence[Path]) -> list[Path]:
    """Name the packs' manifests; in a folder all that the study has and that are there."""
    found: list[Path] = []
    for path in named:
        if path.is_dir():
            packs = packing_of(design, path.absolute().parent).packs
            of_study = (path / f"{pack:05d}.json" for pack in range(packs))
            found += [manifest for manifest in of_study if manifest.exists()]
        else:
            found.append(path)
    if not found:
        raise StoreError(f"{named[0]}: no pack of {design.study} is there. Run snakemake.")
    return found


def _shards(packs: Sequence[Path]) -> Path:
    folders = {pack.absolute().parent.parent / "shards" for pack in packs}
    if len(folders) != 1:
        raise StoreError(
            f"the packs lie in {len(folders)} results folders; name packs of one study"
        )
    return folders.pop()


def _members(design: Design, packs: Sequence[Path], shards: Path, *, partial: bool) -> list[Path]:
    """Shard folders of the blocks that the study declares, by block."""
    found: dict[int, Path] = {}
    declared = set(enumerate(design.shard_keys(range(design.seeds))))
    for pack in sorted(packs):
        for entry in _entries(pack):
            block = entry["block"]
            if (block, entry["key"]) in declared:
                found[block] = shards / entry["shard"]
                _check_content(pack, shards / entry["shard"], entry["content"])
    missing = sorted(set(range(design.seeds)) - set(found))
    if missing and not (partial and found):
        named = ", ".join(str(block) for block in missing[:8])
        raise StoreError(
            f"{len(missing)} of {design.seeds} seed blocks of {design.study} are in no pack as "
            f"the study is declared now: {named}{' ...' if len(missing) > 8 else ''}. Run "
            "snakemake, which trains them."
        )
    return [found[block] for block in sorted(found)]


def _entries(pack: Path) -> list[dict[str, Any]]:
    """Read a pack's manifest."""
    try:
        entries = json.loads(pack.read_text(encoding="utf-8"))["blocks"]
        return [
            {
                "block": int(entry["block"]),
                "key": str(entry["key"]),
                "shard": str(entry["shard"]),
                "content": str(entry["content"]),
            }
            for entry in entries
        ]
    except FileNotFoundError:
        raise StaleShardError(
            f"{pack}: no such file. Run snakemake, which trains the pack's blocks."
        ) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StaleShardError(
            f"{pack}: not a pack's manifest ({type(error).__name__}: {error}). Delete it and run "
            "snakemake again."
        ) from None


def _check_content(pack: Path, shard: Path, content: str) -> None:
    remedy = f"Delete {shard} and {pack}, then run snakemake again."
    found = read_manifest(shard, remedy=remedy).content
    if found != content:
        raise StaleShardError(
            f"{shard} has content {found[:16]}..., its pack {pack} says {content[:16]}.... "
            f"Delete {pack} and run snakemake again."
        )


def main() -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m store.job",
        description="Build a study's store from its packs, or bring it up to date.",
        epilog="example: python -m store.job config/digits.yaml --packs "
        "results/digits/packs --store results/digits/store.duckdb "
        "--ledger results/digits/ledger.json",
    )
    parser.add_argument("study", type=Path, help="the study file")
    parser.add_argument(
        "--packs", type=Path, nargs="+", required=True, help="packs' manifests, or their folder"
    )
    parser.add_argument("--store", type=Path, required=True, help="the store, made where absent")
    parser.add_argument("--ledger", type=Path, required=True, help="file to write: what it holds")
    parser.add_argument(
        "--partial",
        action="store_true",
        help="take the blocks that the packs hold, though the study declares more: other machines "
        "hold those, and python -m store merge joins the stores",
    )
    parser.add_argument("--log", type=Path, help="file that the log goes to")
    arguments = parser.parse_args()
    if arguments.log:
        arguments.log.parent.mkdir(parents=True, exist_ok=True)
    logging.basicConfig(
        filename=arguments.log,
        level=logging.INFO if arguments.log else logging.CRITICAL,
        format="%(asctime)s %(message)s",
    )
    try:
        update_store(
            arguments.study,
            packs=arguments.packs,
            store=arguments.store,
            ledger=arguments.ledger,
            partial=arguments.partial,
        )
    except STOPPING as error:
        _log.error("error: %s", explained(error))
        print(f"error: {explained(error)}", file=sys.stderr)  # noqa: T201
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
