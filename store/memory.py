"""Environments of processes that keep memory once they have it, for what comes next.

To be given by the system anew a page at a time costs as much as a large part of the work on small
tables: the more so on virtual machines. A process reads them as it starts.
"""

from collections.abc import Mapping
from typing import Final

GLIBC: Final[Mapping[str, str]] = {
    "MALLOC_TRIM_THRESHOLD_": "1073741824",
    "MALLOC_MMAP_THRESHOLD_": "1073741824",
}
"""Of NumPy and torch: up to 1 GiB that was freed is kept, and nothing smaller is mapped anew."""

_KEPT: Final = "dirty_decay_ms:-1,muzzy_decay_ms:-1"

POLARS: Final[Mapping[str, str]] = {"_RJEM_MALLOC_CONF": _KEPT}
"""Of polars, which brings jemalloc: what was freed is kept."""

DUCKDB: Final[Mapping[str, str]] = {"DUCKDB_JE_MALLOC_CONF": _KEPT}
"""Of DuckDB, which brings another."""


def in_shell(*environments: Mapping[str, str]) -> str:
    """Return environments as they stand before a command in a shell."""
    return " ".join(f"{name}={value}" for one in environments for name, value in one.items())
