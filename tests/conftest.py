"""What tests of several packages share: a study that needs no training."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from synthetic import SyntheticStudy, make_study


@pytest.fixture
def synthetic_study(tmp_path: Path) -> Callable[..., SyntheticStudy]:
    """Factory of synthetic studies in a fresh folder; see ``synthetic.make_study``."""
    return partial(make_study, tmp_path)
