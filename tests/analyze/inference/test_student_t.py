"""The t distribution is scipy's, to the bit, at every df that a test can have."""

import numpy as np
import pytest
from scipy import stats

from analyze.inference.student_t import two_sided_p, upper_quantile, upper_tail

DEGREES = [0.3, 1.0, 2.0, 3.7, 11.0, 199.0, 1e6, float("inf")]


@pytest.mark.parametrize("df", DEGREES)
def test_tails_and_quantiles_are_scipys(df):
    for t in (-40.0, -2.2, 0.0, 0.3, 1.96, 12.5, 300.0):
        assert upper_tail(t, df) == stats.t.sf(t, df)
        assert two_sided_p(t, df) == 2 * stats.t.sf(abs(t), df)
    for p in (1e-12, 0.0125, 0.025, 0.4, 0.5):
        assert upper_quantile(p, df) == stats.t.isf(p, df)


@pytest.mark.parametrize("df", [0.0, -1.0, float("nan")])
def test_without_degrees_of_freedom_there_is_no_number(df):
    assert np.isnan(upper_tail(1.0, df))
    assert np.isnan(upper_quantile(0.025, df))
