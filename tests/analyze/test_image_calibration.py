"""The interval for new test images covers: a short form of ``benchmarks.image_calibration``."""

import numpy as np
import pytest
from scipy import stats

from benchmarks.image_calibration import CASES, calibrate_images

SEED = 41
STUDIES = 120
# an interval that holds its word covers less than this in 1 of 1,000 runs; the seeds are fixed
LEAST_COVERED = 1 - stats.binom.isf(0.001, STUDIES, 0.05) / STUDIES


def run(name, *, seeds=8, studies=STUDIES):
    case = next(one for one in CASES if one.name == name)
    return calibrate_images(case, seeds=seeds, studies=studies, seed=SEED)


@pytest.mark.parametrize("seeds", [3, 8])
@pytest.mark.parametrize("name", ["a mean; images alike", "a mean; images add as much as 8 seeds"])
def test_the_interval_covers_over_new_seeds_and_new_images(name, seeds):
    assert run(name, seeds=seeds).printed.share >= LEAST_COVERED


def test_where_images_dominate_the_primary_interval_covers_too_seldom_and_this_one_does():
    found = run("a mean; images dominate")
    assert found.primary.share < LEAST_COVERED - 0.05
    assert found.printed.share >= LEAST_COVERED
    assert found.variance_ratio == pytest.approx(1, abs=0.4)


def test_what_images_do_in_each_seed_apart_is_not_counted_again():
    """The bootstrap of both has three times the interaction in its own error."""
    found = run("a mean; images act in each seed apart")
    assert found.printed.share >= LEAST_COVERED
    assert found.variance_ratio == pytest.approx(1, abs=0.4)
    assert found.plain_error.share > found.printed.share


def test_an_association_covers_too():
    found = run("association on halves; images' slopes vary")
    assert found.printed.share >= max(LEAST_COVERED, found.primary.share)


def test_a_row_is_the_same_alone_and_again():
    first, again = (run("attention IoU above chance", seeds=3, studies=4) for _ in range(2))
    assert (first.printed, first.variance_ratio) == (again.printed, again.variance_ratio)
    assert np.isfinite(first.variance_ratio)
