"""Tables as Markdown, the machine's name, and the place in a page that they are written to."""

import os
import platform
import re
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table; the first column is words, the others are figures."""
    marks = ["---", *["---:"] * (len(columns) - 1)]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (columns, marks, *rows))


def machine() -> str:
    """Name the processor, its cores, and the versions that the figures depend on."""
    libraries = ", ".join(f"{name} {_version(name)}" for name in ("torch", "torchvision"))
    return f"{processor()}, {os.cpu_count()} cores; Python {platform.python_version()}, {libraries}"


def processor() -> str:
    """Return the processor's model name, where the system tells it."""
    cpuinfo = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*: (.*)", cpuinfo.read_text()) if cpuinfo.exists() else None
    return found[1] if found else platform.processor() or platform.machine()


def write_between(page: Path, marker: str, text: str) -> None:
    """Put text between ``<!-- marker -->`` and ``<!-- end marker -->`` of a page.

    Raises ValueError where the page lacks the markers.
    """
    between = re.compile(
        rf"(<!-- {re.escape(marker)} -->\n).*?(<!-- end {re.escape(marker)} -->)", flags=re.DOTALL
    )
    content = page.read_text(encoding="utf-8")
    if not between.search(content):
        raise ValueError(f"{page} has no lines <!-- {marker} --> and <!-- end {marker} -->")
    page.write_text(
        between.sub(lambda marks: f"{marks[1]}{text}\n{marks[2]}", content), encoding="utf-8"
    )


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "unknown"
