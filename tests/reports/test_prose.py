"""Do tests have names that a reader knows, whatever strengths they compare?"""

import pytest

from reports import prose


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
    assert prose.test_name(test) == name
