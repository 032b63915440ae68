"""Where the numbers come from: environments, times and failures, as the store recorded them."""

from dataclasses import dataclass
from typing import Final

import polars as pl

from reports.numbers import whole
from reports.queries import FAILURES, TIMES, Query, Store
from reports.tables import Row, Table

ENVIRONMENTS: Final = Query(
    "environments",
    """\
SELECT * EXCLUDE (environment_id)
FROM environment
ORDER BY ALL
LIMIT 20""",
)

_WORDS: Final = {"gpu": "GPU", "commit": "code, commit", "capability": "instruction set or GPU"}


@dataclass(frozen=True, slots=True)
class Provenance:
    """What the store says of how its numbers were made."""

    environments: Table
    failures: Table
    trained: str


def read_provenance(store: Store) -> Provenance:
    """Read environments, training times and failed models."""
    return Provenance(
        environments=_environments(store.frame(ENVIRONMENTS.sql)),
        failures=_failures(store.frame(FAILURES.sql)),
        trained=_trained(store.frame(TIMES.sql)),
    )


def _environments(frame: pl.DataFrame) -> Table:
    """One row per property, one column per environment that differed."""
    places = range(frame.height)
    return Table(
        caption="Environment" if frame.height == 1 else f"{frame.height} environments",
        head=("Property", *(f"environment {place + 1}" for place in places)),
        rows=tuple(
            Row(
                (
                    _WORDS.get(name, name.replace("_", " ")),
                    *(_observed(name, v) for v in frame[name]),
                )
            )
            for name in frame.columns
        ),
        words=1 + frame.height,
        sql=ENVIRONMENTS.sql,
    )


def _observed(name: str, value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "not noted" if value is None and name == "allocator" else _text(value)


def _text(value: object) -> str:
    return "none" if value is None else str(value)


def _failures(frame: pl.DataFrame) -> Table:
    return Table(
        caption="Models whose training failed",
        head=("Model", "Seed block", "Role", "Arm", "Strength", "Reason"),
        rows=tuple(
            Row(tuple(_text(value) or "–" for value in values)) for values in frame.iter_rows()
        ),
        words=6,
        sql=FAILURES.sql,
    )


def _trained(frame: pl.DataFrame) -> str:
    row = frame.row(0, named=True)
    if not row["models"]:
        return "The store holds no model."
    return (
        f"{whole(row['models'])} models of {whole(row['blocks'])} seed blocks, trained from "
        f"{minute(row['first_finished'])} to {minute(row['last_finished'])}, "
        f"{_duration(row['train_seconds'])} of training in all."
    )


def minute(when: object) -> str:
    """Write a time of the store to the minute."""
    return f"{when:%Y-%m-%d %H:%M} UTC"  # type: ignore[str-format]


def _duration(seconds: float) -> str:
    if seconds < 600:
        return f"{seconds:.0f} seconds"
    if seconds < 7200:
        return f"{seconds / 60:.0f} minutes"
    return f"{seconds / 3600:.1f} hours"
