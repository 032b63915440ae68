"""Ctrl-C while a command imports: it ends, and nobody sees the insides of a library."""

import ast
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("analyze", "reports", "store")
"""collect's command imports what takes long once it knows what was asked, and says it there."""
OF_MAKE_DOCS = "dictionary"
"""Modules of this name write pages of docs/, which no user of a study has done."""


def interrupted(code: str, *, before: signal.Handlers = signal.SIG_DFL) -> tuple[int, str]:
    """Interrupt Python once it has printed a line; its status and all that it said.

    before: what Ctrl-C does as Python starts, whatever it does in the shell of these tests.
    """
    process = subprocess.Popen(
        [sys.executable, "-c", f"import time\nfrom store.importing import importing\n{code}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=ROOT,
        preexec_fn=lambda: signal.signal(signal.SIGINT, before),
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "now\n"
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=60)
    return process.returncode, said


def test_it_ends_at_once_and_says_nothing():
    code = "with importing():\n    print('now', flush=True)\n    time.sleep(60)"
    assert interrupted(code) == (130, "")


def test_no_library_catches_it():
    code = """
with importing():
    try:
        print('now', flush=True)
        time.sleep(60)
    except KeyboardInterrupt as error:
        raise RuntimeError("of a library") from error
"""
    assert interrupted(code) == (130, "")


@pytest.mark.parametrize("imported", ["json", "polars", "duckdb, polars, scipy.stats"])
def test_afterwards_it_is_raised_as_ever(imported: str):
    code = f"""
with importing():
    import {imported}
try:
    print('now', flush=True)
    time.sleep(60)
except KeyboardInterrupt:
    print('caught')
"""
    assert interrupted(code) == (0, "caught\n")


def test_where_it_is_ignored_it_stays_so():
    code = "with importing():\n    print('now', flush=True)\n    time.sleep(1)\nprint('done')"
    assert interrupted(code, before=signal.SIG_IGN) == (0, "done\n")


def commands() -> list[Path]:
    """Modules that users, and the workflow, run as commands."""
    return [
        path
        for package in PACKAGES
        for path in sorted((ROOT / package).rglob("*.py"))
        if path.stem != OF_MAKE_DOCS
        and '\nif __name__ == "__main__":' in path.read_text(encoding="utf-8")
    ]


def test_there_are_commands_to_look_at():
    assert {"store/job.py", "store/__main__.py", "analyze/job.py"} <= {
        path.relative_to(ROOT).as_posix() for path in commands()
    }


@pytest.mark.parametrize("command", commands(), ids=lambda path: f"{path.parent.name}.{path.stem}")
def test_every_command_imports_what_takes_long_so(command: Path):
    names: list[str] = []
    for statement in ast.parse(command.read_text(encoding="utf-8")).body:
        if isinstance(statement, ast.Import):
            names += [alias.name for alias in statement.names]
        elif isinstance(statement, ast.ImportFrom):
            names.append(statement.module or "")
    slow = {name for name in names if name.split(".")[0] not in sys.stdlib_module_names}
    assert slow == {"store.importing"}
