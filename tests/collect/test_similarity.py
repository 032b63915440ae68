import numpy as np
import pytest

from collect.similarity import cka

RNG = np.random.default_rng(2)
A = RNG.gamma(2.0, size=(40, 6)).astype(np.float32)
B = (A @ RNG.normal(size=(6, 4)) + RNG.normal(size=(40, 4))).astype(np.float32)


def _hsic_loops(k: np.ndarray, m: np.ndarray) -> float:
    """Song et al. 2012, equation 5, over kernel matrices with empty diagonals."""
    n = len(k)
    k, m = k - np.diag(np.diag(k)), m - np.diag(np.diag(m))
    ones = np.ones(n)
    first = np.trace(k @ m)
    second = (ones @ k @ ones) * (ones @ m @ ones) / ((n - 1) * (n - 2))
    third = 2 / (n - 2) * (ones @ k @ m @ ones)
    return (first + second - third) / (n * (n - 3))


def test_cka_equals_the_kernel_matrix_formula():
    x, y = A.astype(float), B.astype(float)
    k, m = x @ x.T, y @ y.T
    expected = _hsic_loops(k, m) / np.sqrt(_hsic_loops(k, k) * _hsic_loops(m, m))
    # the kernel matrices are uncentred, so their sums cancel at about 1e-6 relative
    assert cka(A, B) == pytest.approx(expected, rel=1e-5)


def test_cka_does_not_change_under_rotation_scale_and_shift():
    rotation, _ = np.linalg.qr(RNG.normal(size=(6, 6)))
    moved = (3 * A @ rotation + 5).astype(np.float32)
    assert cka(moved, B) == pytest.approx(cka(A, B), rel=1e-4)
    assert cka(A, moved) == pytest.approx(1, abs=1e-4)


def test_unrelated_features_have_a_cka_of_about_zero():
    values = []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        pair = [rng.normal(size=(30, 20)).astype(np.float32) for _ in range(2)]
        values.append(cka(*pair))
    assert abs(np.mean(values)) < 4 * np.std(values) / np.sqrt(len(values))


def test_features_that_do_not_vary_have_no_cka():
    assert cka(np.ones((10, 3), np.float32), B[:10]) is None
    assert cka(np.full((10, 3), np.nan, np.float32), B[:10]) is None
    with pytest.raises(ValueError, match="at least 4"):
        cka(A[:3], B[:3])
