"""What tests of several packages share: a study that needs no training."""

import gc
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from synthetic import SyntheticStudy, make_study


@pytest.fixture
def synthetic_study(tmp_path: Path) -> Callable[..., SyntheticStudy]:
    """Factory of synthetic studies in a fresh folder; see ``synthetic.make_study``."""
    return partial(make_study, tmp_path)


TESTS = Path(__file__).parent
FIRST = ("workflow", "reports", "store", "analyze", "adapters")
"""Folders whose tests begin first: the longest, at the end, would leave workers idle."""


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep tests that share what takes long to make on one worker, which makes it once.

    Those are the tests of one file, and all that look at pages. Long tests make their own.
    """
    for item in items:
        folder = _folder(item)
        if not any(item.get_closest_marker(name) for name in ("xdist_group", "long")):
            name = folder if folder == "reports" else str(item.path.relative_to(TESTS))
            item.add_marker(pytest.mark.xdist_group(name))
    places = {name: place for place, name in enumerate(FIRST)}
    items.sort(key=lambda item: places.get(_folder(item), len(FIRST)))


def _folder(item: pytest.Item) -> str:
    return item.path.relative_to(TESTS).parts[0]


def pytest_collection_finish() -> None:
    """Spare what imports and collection left behind from every later collection of garbage.

    It lives to the end anyway, and to look it through takes most of a second each time.
    """
    gc.collect()
    gc.freeze()


def pytest_unconfigure() -> None:
    """Let what was spared be collected at the end, or libraries report it as leaked."""
    gc.unfreeze()
