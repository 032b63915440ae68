import numpy as np
import pytest
from scipy import stats

from analyze.inference.studentized_range import quantile, survival

DF = [1.05, 2, 2.7, 7.3, 30, 1000]


@pytest.mark.parametrize("df", DF)
@pytest.mark.parametrize("means", [2, 3, 10])
def test_the_tail_is_scipy_s(means, df):
    for value in (0.5, 3.5, 9, 50):
        expected = stats.studentized_range.sf(value, means, df)
        assert survival(value, means, df) == pytest.approx(expected, rel=0, abs=1e-10)


@pytest.mark.parametrize("df", DF)
@pytest.mark.parametrize("level", [0.8, 0.95, 0.999])
def test_of_two_means_it_is_student_s_t(level, df):
    expected = 2**0.5 * stats.t.ppf((1 + level) / 2, df)
    assert quantile(level, 2, df) == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize("df", [df for df in DF if df >= 2])
@pytest.mark.parametrize("level", [1 - 1e-6, 1 - 1e-8])
def test_a_far_quantile_of_two_means_is_student_s_t_too(level, df):
    expected = 2**0.5 * stats.t.isf((1 - level) / 2, df)
    assert quantile(level, 2, df) == pytest.approx(expected, rel=1e-8)


def test_a_small_tail_keeps_its_digits():
    # mpmath's quad of the same density, 25 digits
    assert survival(30, 4, 7.5) == pytest.approx(2.6507461047e-7, rel=1e-10)
    # two means: Student's t
    expected = 2 * stats.t.sf(300 / 2**0.5, 5)
    assert survival(300, 2, 5) == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize(("means", "df"), [(3, 7.3), (10, 2)])
def test_the_quantile_is_the_root_of_scipy_s_tail(means, df):
    found = quantile(0.95, means, df)
    assert stats.studentized_range.sf(found, means, df) == pytest.approx(0.05, rel=1e-8)


def test_of_many_degrees_of_freedom_it_is_the_range_of_normals():
    # two means: their difference over the square root of two is normal
    expected = 2**0.5 * stats.norm.ppf(0.975)
    assert quantile(0.95, 2, 1e9) == pytest.approx(expected, rel=1e-6)


def test_beyond_all_means_nothing_is_left():
    assert survival(0, 5, 10) == pytest.approx(1)
    assert survival(1e6, 5, 10) == pytest.approx(0, abs=1e-10)
    assert np.isfinite(quantile(0.999, 10, 1.05))
