"""Runs the real workflow as a user's shell would."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import polars as pl

from store.database import open_reader
from store.frames import STORE_FRAMES

ROOT = Path(__file__).resolve().parents[2]
TINY = Path(__file__).with_name("tiny.yaml")


def command(
    folder: Path, *arguments: str, until: str | None = None, target: str = "all"
) -> list[str]:
    """Return the command that runs the study in ``folder``, up to a rule if one is named."""
    return [
        *(sys.executable, "-m", "snakemake", target, "--cores", "2"),
        *(("--until", until) if until else ()),
        *("--snakefile", str(ROOT / "Snakefile"), "--directory", str(folder)),
        *("--workflow-profile", str(ROOT / "profiles/default")),
        *("--config", f"study={folder / 'tiny.yaml'}", *arguments),
    ]


def prepare(folder: Path, **replaced: str) -> Path:
    """Put the tiny study into a folder, with some of its text replaced."""
    text = TINY.read_text(encoding="utf-8")
    for old, new in replaced.items():
        assert f"{old}:" in text
        lines = [
            f"{old}: {new}" if line.startswith(f"{old}:") else line for line in text.splitlines()
        ]
        text = "\n".join(lines) + "\n"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tiny.yaml").write_text(text, encoding="utf-8")
    return folder


def run(
    folder: Path, *arguments: str, until: str | None = None, target: str = "all"
) -> subprocess.CompletedProcess[str]:
    """Run the workflow to its end, or up to a rule; stdout and stderr together."""
    return subprocess.run(
        command(folder, *arguments, until=until, target=target),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=folder,
        check=False,
        timeout=240,
    )


def stop_while_training(
    folder: Path, sign: signal.Signals, models: int, *, head_only: bool = False
) -> int:
    """Start the workflow, send a signal to its processes once so many models are done.

    head_only: to Snakemake itself alone, so that the training processes live on as orphans.
    Returns how many models were done then.
    """
    process = _started(folder, subprocess.DEVNULL)
    progress = folder / "results/tiny/progress"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        done = _lines(progress)
        if done >= models:
            break
        time.sleep(0.02)
    assert process.poll() is None, "the workflow ended before it could be stopped"
    if head_only:
        process.send_signal(sign)
    else:
        os.killpg(process.pid, sign)
    process.wait(timeout=60)
    return _lines(progress)


def _lines(folder: Path) -> int:
    """Count the lines of all files of a folder; a file that takes another name counts as none."""
    lines = 0
    for path in folder.iterdir() if folder.is_dir() else ():
        with suppress(FileNotFoundError):
            lines += len(path.read_text().splitlines())
    return lines


def content(folder: Path) -> dict[str, pl.DataFrame]:
    """Return every table of the store without its volatile columns, sorted, and the measures."""
    tables: dict[str, pl.DataFrame] = {}
    with open_reader(folder / "results/tiny/store.duckdb") as reader:
        for frame in STORE_FRAMES:
            kept = [column.name for column in frame.columns if not column.volatile]
            columns = ", ".join(f'"{name}"' for name in kept)
            tables[frame.name] = reader.frame(f'SELECT {columns} FROM "{frame.name}"').sort(
                frame.key
            )
        for view in ("measures", "evidence", "finding"):
            rows = reader.frame(f'SELECT * FROM "{view}"')
            tables[view] = rows.sort(
                [name for name, kind in rows.schema.items() if not kind.is_nested()]
            )
    return tables


def interrupt_while(folder: Path, words: str) -> tuple[int, str]:
    """Start the workflow, press Ctrl-C once one of its processes, called by these words, imports.

    Before, Python itself is starting. Returns the exit status and all that was on the terminal.
    """
    process = _started(folder, subprocess.PIPE)
    while process.poll() is None and not _imports(words, session=process.pid):
        time.sleep(0.02)
    assert process.poll() is None, f"the workflow ended, and nothing in it was called {words}"
    os.killpg(process.pid, signal.SIGINT)
    said, _ = process.communicate(timeout=60)
    return process.returncode, said


def _started(folder: Path, terminal: int) -> subprocess.Popen[str]:
    """Start the workflow in a session of its own, all that it says going to one place."""
    return subprocess.Popen(
        command(folder),
        stdout=terminal,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=folder,
        start_new_session=True,
    )


def _imports(words: str, *, session: int) -> bool:
    """Tell whether a process of the session that was called so has polars in its memory."""
    for place in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            called = (place / "cmdline").read_text().replace("\0", " ")
            if words in called and os.getsid(int(place.name)) == session:
                return "polars" in (place / "maps").read_text()
    return False
