"""What every job imports, imported once; nothing here may start a thread."""

import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS.parent), str(TESTS), str(TESTS / "store"), str(TESTS / "chaos")]

import synthetic  # noqa: E402, F401

import analyze.job  # noqa: E402, F401
import collect.__main__  # noqa: E402
import collect.job  # noqa: E402, F401
import store.__main__  # noqa: E402
import store.job  # noqa: E402, F401
