"""Do tests have names that a reader knows, whatever strengths they compare?"""

from collections.abc import Sequence

import pytest

from reports import names
from reports.figures import epoch_ticks


@pytest.mark.parametrize(
    ("test", "name"),
    [
        ("jzs_bayes_factor_r0.707", "JZS Bayes factor, scale 0.707"),
        ("paired_t_1_against_0", "Paired t, 1 against 0"),
        ("d_z_0.666667_against_0.5", "Cohen’s d_z, 0.667 against 0.5"),
        ("hedges_g_av_teachers_at_1", "Hedges’ g_av, teachers at 1"),
        ("a_test_of_tomorrow", "A test of tomorrow"),
    ],
)
def test_a_test_is_named_as_a_reader_would(test: str, name: str):
    assert names.test_name(test) == name


def test_what_a_test_estimates_is_named_as_a_reader_would(analyzed):
    assert "Bayes factor BF₁₀" in analyzed.html
    assert "bayes factor 10" not in analyzed.html


@pytest.mark.parametrize(
    ("epochs", "named"),
    [
        ([1, 2, 3], [1, 2, 3]),
        ([2, 4], [2, 3, 4]),
        (range(1, 9), [2, 4, 6, 8]),
        ([5], [5]),
        (range(10, 301, 10), [50, 100, 150, 200, 250, 300]),
    ],
)
def test_an_axis_names_whole_epochs_few_enough_to_read(epochs: Sequence[int], named: list[int]):
    assert epoch_ticks(list(epochs)) == named
