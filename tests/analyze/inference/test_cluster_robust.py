import numpy as np
import pytest

from analyze.inference.cluster_robust import cr2
from analyze.inference.sample import t_interval
from analyze.inference.student_t import two_sided_p


def clustered(seed=0, clusters=8, per_cluster=5):
    rng = np.random.default_rng(seed)
    label = np.repeat(np.arange(clusters), per_cluster)
    x = rng.normal(size=label.size) + rng.normal(size=clusters)[label]
    y = 0.5 * x + rng.normal(size=clusters)[label] + rng.normal(size=label.size)
    return label, x, y


def slope_of(label, x, y):
    design = np.column_stack([np.ones(x.size), x])
    return cr2(design, y, label, np.array([0.0, 1.0]))


def test_the_cr2_variance_is_unbiased_for_independent_errors():
    # By construction E[V] = true variance under the working model; Monte Carlo error of a mean
    # of 1,000 variances is about 2 %, so 8 % is four standard errors.
    rng = np.random.default_rng(1)
    label, x, _ = clustered()
    true = 1 / np.sum((x - x.mean()) ** 2)
    found = [slope_of(label, x, rng.normal(size=x.size)) for _ in range(1000)]
    assert np.mean([one.standard_error**2 for one in found]) == pytest.approx(true, rel=0.08)


def test_satterthwaite_df_match_the_spread_of_the_variance():
    # df = 2 E[V]^2 / Var[V] under the working model, 2,000 draws: relative error of a sample
    # variance of a skewed quantity is about 5 %, so 20 % is four standard errors.
    rng = np.random.default_rng(2)
    label, x, _ = clustered()
    found = [slope_of(label, x, rng.normal(size=x.size)) for _ in range(2000)]
    variances = np.array([one.standard_error**2 for one in found])
    assert found[0].df == pytest.approx(2 * variances.mean() ** 2 / variances.var(), rel=0.2)


def test_one_row_per_cluster_and_one_mean_is_the_one_sample_t():
    values = np.random.default_rng(3).normal(size=9)
    robust = cr2(np.ones((9, 1)), values, np.arange(9), np.ones(1))
    assert robust.estimate == pytest.approx(values.mean(), rel=1e-12)
    assert robust.standard_error == pytest.approx(values.std(ddof=1) / 3, rel=1e-12)
    assert robust.df == pytest.approx(8, rel=1e-12)


def test_the_scale_of_the_columns_changes_nothing_but_the_unit():
    label, x, y = clustered()
    plain, scaled = slope_of(label, x, y), slope_of(label, x * 1e6, y)
    assert scaled.estimate * 1e6 == pytest.approx(plain.estimate, rel=1e-10)
    assert scaled.standard_error * 1e6 == pytest.approx(plain.standard_error, rel=1e-10)
    assert scaled.df == pytest.approx(plain.df, rel=1e-10)


def test_row_order_and_cluster_names_change_nothing():
    label, x, y = clustered()
    order = np.random.default_rng(4).permutation(x.size)
    renamed = slope_of(900 - 7 * label[order], x[order], y[order])
    plain = slope_of(label, x, y)
    assert renamed.standard_error == pytest.approx(plain.standard_error, rel=1e-10)
    assert renamed.df == pytest.approx(plain.df, rel=1e-10)


def test_redundant_columns_leave_an_identified_contrast_unchanged():
    label, x, y = clustered()
    strengths = np.tile(np.arange(5), 8)[:, None] == np.arange(1, 5)
    design = np.column_stack([x, label[:, None] == np.unique(label), strengths])
    doubled = np.column_stack([design, np.ones(x.size)])
    contrast = np.eye(1, design.shape[1]).ravel()
    plain = cr2(design, y, label, contrast)
    redundant = cr2(doubled, y, label, np.append(contrast, 0.0))
    assert redundant.estimate == pytest.approx(plain.estimate, rel=1e-9)
    assert redundant.standard_error == pytest.approx(plain.standard_error, rel=1e-9)


def test_taking_out_group_means_is_the_same_as_writing_out_their_columns():
    # two groups in every cluster, as the halves of the test images are
    label, x, y = clustered()
    groups = 2 * np.unique(label, return_inverse=True)[1] + (np.arange(x.size) % 2)
    written = np.column_stack([x, groups[:, None] == np.unique(groups)])
    plain = cr2(written, y, label, np.eye(1, written.shape[1]).ravel())
    absorbed = cr2(x[:, None], y, label, np.ones(1), groups=groups)
    assert absorbed.estimate == pytest.approx(plain.estimate, rel=1e-9)
    assert absorbed.standard_error == pytest.approx(plain.standard_error, rel=1e-9)
    assert absorbed.df == pytest.approx(plain.df, rel=1e-9)
    assert absorbed.testable


def test_a_contrast_that_the_rows_do_not_identify_has_no_answer():
    label, x, y = clustered()
    design = np.column_stack([x, 2 * x])
    assert cr2(design, y, label, np.array([1.0, 0.0])) is None
    assert cr2(design, y, label, np.array([1.0, 2.0])) is not None


def test_an_exact_fit_is_not_testable():
    label, x, _ = clustered()
    robust = slope_of(label, x, 3 - 2 * x)
    assert robust.estimate == pytest.approx(-2, rel=1e-9)
    assert not robust.testable


def test_a_saturated_design_is_not_testable():
    robust = cr2(np.eye(4), np.arange(4.0), np.array([0, 0, 1, 1]), np.eye(1, 4).ravel())
    assert not robust.testable


def test_one_cluster_is_refused():
    with pytest.raises(ValueError, match="two clusters"):
        cr2(np.ones((3, 1)), np.arange(3.0), np.zeros(3, int), np.ones(1))


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="design has shape"):
        cr2(np.ones((3, 2)), np.arange(3.0), np.arange(3), np.ones(1))
    with pytest.raises(ValueError, match="cluster labels"):
        cr2(np.ones((3, 1)), np.arange(3.0), np.arange(2), np.ones(1))


def test_the_interval_excludes_zero_exactly_when_p_is_below_its_level():
    p = two_sided_p(0.7 / 0.25, 5.3)
    assert t_interval(0.7, 0.25, 5.3, level=1 - p).low == pytest.approx(0, abs=1e-9)


def test_an_impossible_level_is_refused():
    with pytest.raises(ValueError, match="not in"):
        t_interval(1.0, 1.0, 5.0, level=95)


def test_clusters_of_unequal_sizes_count_as_each_by_itself():
    """Clusters are taken together by size; which rows stand where does not matter."""
    label, x, y = clustered(seed=4, clusters=9, per_cluster=6)
    kept = np.random.default_rng(5).random(label.size) < 0.7
    label, x, y = label[kept], x[kept], y[kept]
    assert len(set(np.bincount(label).tolist())) > 2
    order = np.random.default_rng(6).permutation(label.size)
    found, shuffled = slope_of(label, x, y), slope_of(label[order], x[order], y[order])
    # written out, cluster by cluster: Bell and McCaffrey (2002)
    design = np.column_stack([np.ones(x.size), x])
    bread = np.linalg.inv(design.T @ design)
    hat = design @ bread @ design.T
    residuals = y - hat @ y
    meat = np.zeros((2, 2))
    for one in np.unique(label):
        rows = label == one
        values, vectors = np.linalg.eigh(np.eye(rows.sum()) - hat[np.ix_(rows, rows)])
        adjusted = (vectors * values**-0.5) @ vectors.T @ residuals[rows]
        score = design[rows].T @ adjusted
        meat += np.outer(score, score)
    expected = np.sqrt((bread @ meat @ bread)[1, 1])
    assert found.standard_error == pytest.approx(expected, rel=1e-10)
    assert shuffled.standard_error == pytest.approx(found.standard_error, rel=1e-12)
    assert shuffled.df == pytest.approx(found.df, rel=1e-10)
