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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the workflow's tests begin first: the longest, at the end, would leave workers idle."""
    items.sort(key=lambda item: "/workflow/" not in item.nodeid)


def pytest_collection_finish() -> None:
    """Spare what imports and collection left behind from every later collection of garbage.

    It lives to the end anyway, and to look it through takes most of a second each time.
    """
    gc.collect()
    gc.freeze()


def pytest_unconfigure() -> None:
    """Let what was spared be collected at the end, or libraries report it as leaked."""
    gc.unfreeze()
