"""Check a store against itself and against its shards; say how each fault is mended."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from store import inspection, surroundings
from store.database import Reader, open_reader
from store.design import Design
from store.errors import StoreError
from store.faults import Fault, Kind

_REBUILD: Final = "delete {store} and ledger.json beside it, then run snakemake again"


def examine(
    store: Path, shards: Path | None, study: Design | None = None, *, alone: bool = False
) -> list[Fault]:
    """Check a store, and the shards that it was made of where their folder is given.

    study: as its file declares it now, where that is to be compared too; shards are then those of
    this study. Leftovers are not looked for while a job is at work; alone: the caller keeps
    jobs out.

    Raises StoreError where the store cannot be opened at all.
    """
    with open_reader(store) as reader:
        design = inspection.design_of(reader, store)
        checks = _checks(reader, store, design, shards, study or design, alone=alone)
        if study is not None:
            checks.append(lambda: _declared(design, study, store))
        return [fault for check in checks for fault in _survived(check, store)]


def _checks(
    reader: Reader, store: Path, design: Design, shards: Path | None, study: Design, *, alone: bool
) -> list[Callable[[], Iterator[Fault]]]:
    checks: list[Callable[[], Iterator[Fault]]] = [
        lambda: inspection.check_schema(reader, store),
        lambda: inspection.check_study(reader, store, design),
        lambda: inspection.check_grain(reader, store),
        lambda: inspection.check_orphans(reader, store),
        lambda: inspection.check_completeness(reader, store, design),
        lambda: inspection.check_provenance(reader, store),
        lambda: inspection.check_ledger(reader, store),
        lambda: inspection.check_contents(reader, store, design.attention.tau),
        lambda: inspection.check_estimates(reader, store),
        lambda: surroundings.check_ledger_file(reader, store, design),
        lambda: surroundings.check_history(reader, store, design),
        lambda: surroundings.check_leftovers(store, shards, alone=alone),
    ]
    if shards is not None:
        checks.append(lambda: surroundings.check_shards(reader, study, shards))
        checks.append(lambda: surroundings.check_packs(study, shards))
    return checks


def _survived(check: Callable[[], Iterator[Fault]], store: Path) -> Iterator[Fault]:
    """Run one check; a file damaged within shows as a refusal to read."""
    try:
        yield from check()
    except StoreError as error:
        yield Fault(f"a check could not be made: {error}", _REBUILD.format(store=store), Kind.ROWS)


def _declared(stored: Design, study: Design, store: Path) -> Iterator[Fault]:
    """Compare the study as it is declared now with the one that the store was made for."""
    now, then = study.declared(), stored.declared()
    changed = sorted(key for key in now.keys() | then.keys() if now.get(key) != then.get(key))
    if changed:
        yield Fault(
            f"{store}: made for another declaration of the study; changed since: "
            f"{', '.join(changed)}",
            "run snakemake again, which does again what depends on it",
            Kind.SURPLUS,
        )
