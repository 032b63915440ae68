"""What earlier analyses found: kept as a study grows, whatever becomes of the store.

The table ``finding_history`` holds it, and so does a small Parquet file beside the store, for
the day on which the store is deleted and made anew from its shards. Rows are only added: the
two hold the union of what either knew.
"""

import hashlib
import json
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import polars as pl

from store.atomic import whole
from store.errors import StoreError
from store.frames import FINDING, FINDING_HISTORY
from store.ledger import contents
from store.shard import content_hash

_HASH: Final = "hash"
"""The key under which a history's file says the hash of its rows."""


def history_file(store: Path) -> Path:
    """Return where the history lies beside a store."""
    return store.with_name(f"{store.stem}.finding_history.parquet")


def history_rows(
    findings: pl.DataFrame, *, study: pl.DataFrame, ledger: pl.DataFrame
) -> pl.DataFrame:
    """Rows of FINDING_HISTORY for one analysis, made now.

    findings, study, ledger: FINDING, STUDY and SHARD as the store holds them. The same findings
    of the same shards give rows of the same key.
    """
    name, study_hash = study["study"].item(), study["study_hash"].item()
    seen = sorted(contents(ledger).items())
    content = repr((name, study_hash, seen, content_hash(FINDING, findings)))
    return findings.select(
        pl.lit(hashlib.sha256(content.encode()).hexdigest()[:16]).alias("analysis"),
        pl.lit(datetime.now(UTC), dtype=pl.Datetime("us", "UTC")).alias("analysed_at"),
        pl.lit(name).alias("study"),
        pl.lit(study_hash).alias("study_hash"),
        pl.lit(ledger.height, dtype=pl.Int32).alias("seeds"),
        *[name for name in FINDING_HISTORY.schema if name in FINDING.schema],
    )


def united(histories: Iterable[pl.DataFrame], *, study: str) -> pl.DataFrame:
    """Rows of one study that any of several histories holds, each once, the earliest kept.

    histories: of this or an earlier version; columns that one lacks are NULL. A look whose time
    was not kept is an early one. Where two are of one time the first history counts.
    """
    known = [_aligned(history) for history in histories]
    rows = pl.concat([pl.DataFrame(schema=FINDING_HISTORY.schema), *known])
    own = rows.filter(pl.col("study") == study)
    return (
        own.sort("analysed_at", maintain_order=True)
        .unique(FINDING_HISTORY.key, keep="first", maintain_order=True)
        .sort(FINDING_HISTORY.key)
    )


def read_history(store: Path) -> pl.DataFrame:
    """Read the history beside a store; no rows where there is none.

    Raises StoreError where the file is damaged.
    """
    path = history_file(store)
    if not path.is_file():
        return pl.DataFrame(schema=FINDING_HISTORY.schema)
    try:
        rows = pl.read_parquet(path)
        # files of earlier versions say no hash
        said = pl.read_parquet_metadata(path).get(_HASH)
        if said is not None and said != _hash(rows):
            raise StoreError(_damaged(path, "its rows are not those that were written"))
        return _aligned(rows)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise StoreError(_damaged(path, " ".join(str(error).split()))) from None


def write_history(store: Path, history: pl.DataFrame) -> None:
    """Write the history beside a store, whole or not at all."""
    with whole(history_file(store)) as temporary:
        history.write_parquet(temporary, metadata={_HASH: _hash(history)})


def _hash(history: pl.DataFrame) -> str:
    """SHA-256 of a history's columns and rows, 64 hexadecimal digits."""
    text = json.dumps([history.columns, history.rows()], default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def _damaged(path: Path, why: str) -> str:
    return (
        f"{path}: cannot be read: {why}. It holds what earlier analyses found and the store may "
        "hold it too: move it away and try again, or run python -m store doctor with --repair."
    )


def _aligned(history: pl.DataFrame) -> pl.DataFrame:
    """Bring a history of another version to the columns of this one."""
    return history.select(
        pl.col(name).cast(dtype) if name in history.columns else pl.lit(None, dtype).alias(name)
        for name, dtype in FINDING_HISTORY.schema.items()
    )
