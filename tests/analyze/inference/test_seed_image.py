"""The seed x image bootstrap: against the primary test, and against the bootstrap drawn in full."""

from dataclasses import replace

import numpy as np
import pytest

from analyze.inference.associations import (
    split_half_within,
    split_halves,
    two_way,
    two_way_within,
)
from analyze.inference.estimate import Panel, Table
from analyze.inference.seed_image import (
    INSIDE,
    NO_TEST,
    SeedDraws,
    image_variance,
    seed_image_bootstrap,
    slope_draws,
    within_draws,
)
from analyze.inference.trends import per_seed_slopes, slope_t
from benchmarks.image_calibration import pigeonhole

DOSES = (0.0, 0.25, 0.5, 0.75, 1.0)
IMAGES = 100


def study(rng, *, seeds=8, draws=2000, of_images=0.0, of_both=0.0):
    """A panel, and how redrawn images move it: alike in all seeds, and in each seed apart."""
    slopes = 1 + rng.normal(size=(seeds, 1))
    values = slopes * DOSES + 0.2 * rng.normal(size=(seeds, 5))
    excess = rng.multinomial(IMAGES, np.full(IMAGES, 1 / IMAGES), size=draws) - 1.0
    answers = of_images * rng.normal(size=IMAGES) + of_both * rng.normal(size=(seeds, IMAGES))
    answers -= answers.mean(axis=1, keepdims=True)
    moved = np.einsum("si,ri,d->sdr", answers, excess / IMAGES, DOSES)
    return Panel(tuple(range(seeds)), DOSES, values), moved


def printed(panel, moved):
    return seed_image_bootstrap(slope_t(panel), slope_draws(panel, moved), images=IMAGES)


def test_images_without_variance_leave_the_primary_test_as_it_is():
    panel, moved = study(np.random.default_rng(1), draws=20)
    primary, found = slope_t(panel), printed(panel, 0 * moved)
    assert (found.standard_error, found.df) == (primary.standard_error, primary.df)
    assert found.interval == primary.interval
    assert found.estimate == primary.estimate
    assert (found.test, found.n, found.p_value) == ("seed_image_bootstrap", 8, None)
    assert "no variance" in found.caveats[0]
    resampled = per_seed_slopes(panel).std() / np.sqrt(8)
    assert found.standard_error == pytest.approx(resampled * np.sqrt(8 / 7))


def test_what_images_do_in_each_seed_apart_is_in_the_primary_test_already():
    """On average nothing is added: the primary test's spread over seeds holds it."""
    added = []
    for seed in range(30):
        panel, moved = study(np.random.default_rng(seed), draws=300, of_both=3.0)
        added.append(image_variance(slope_draws(panel, moved)))
    own = 3.0**2 / IMAGES / 8
    assert abs(np.mean(added)) < 0.1 * own
    assert np.mean([one < 0 for one in added]) > 0.2


def test_what_images_do_alike_in_all_seeds_is_added():
    panel, moved = study(np.random.default_rng(2), of_images=4.0, of_both=2.0)
    added = image_variance(slope_draws(panel, moved))
    assert added == pytest.approx(4.0**2 / IMAGES, rel=0.3)
    primary, found = slope_t(panel), printed(panel, moved)
    assert found.standard_error**2 == pytest.approx(primary.standard_error**2 + added)
    assert found.df > primary.df
    assert found.interval.low < primary.interval.low
    ratio = found.standard_error / primary.standard_error
    assert f"{ratio:.2f} times the primary test's" in found.caveats[0]


def test_the_bootstrap_drawn_in_full_has_these_parts_and_the_interaction_twice_more():
    """Owen (2007): seeds, images and three times the interaction, one of which is in the seeds."""
    rng = np.random.default_rng(3)
    panel, moved = study(rng, draws=15_000, of_images=3.0, of_both=6.0)
    drawn = slope_draws(panel, moved)
    full = pigeonhole(drawn, per_seed_slopes(panel), rng).var(ddof=1)
    seeds = slope_t(panel).standard_error ** 2 * 7 / 8
    together = drawn.moved.sum(axis=1).var(ddof=1)
    # what redrawn images move within a resample: the spread of seeds grows by their own part
    apart = 8 * drawn.moved - 8 * drawn.moved.mean(axis=1, keepdims=True)
    grown = (apart.var(axis=0, ddof=1)).mean() / 8
    assert full == pytest.approx(seeds + together + grown, rel=0.05)
    interaction = (8 * drawn.moved).var(axis=0, ddof=1).mean() / 8 - image_variance(drawn) / 8
    assert full == pytest.approx(seeds + image_variance(drawn) + 2 * interaction, rel=0.07)


def test_the_interval_is_never_inside_the_primary_tests():
    """Three seeds have t of 4.3: with images' many degrees of freedom it falls to 2."""
    rng = np.random.default_rng(4)
    panel, moved = study(rng, seeds=3, of_images=8.0)
    primary, found = slope_t(panel), printed(panel, moved)
    assert found.df > 3
    assert found.standard_error > primary.standard_error
    assert INSIDE in found.caveats
    assert found.interval == primary.interval


def test_a_primary_test_without_an_error_is_not_widened():
    panel, moved = study(np.random.default_rng(5), draws=10)
    for seeds, values in ((2, panel.values[:2]), (8, np.tile(DOSES, (8, 1)))):
        few = Panel(tuple(range(seeds)), DOSES, values)
        found = printed(few, moved[:seeds])
        assert (found.standard_error, found.interval, found.df) == (None, None, None)
        assert found.caveats == (NO_TEST,)
        assert found.estimate == slope_t(few).estimate
    exact = replace(slope_t(panel), estimate=None)
    assert seed_image_bootstrap(exact, slope_draws(panel, moved), images=9).caveats == (NO_TEST,)


def rows(rng, *, lost=0):
    block, dose = np.repeat(np.arange(6), 5), np.tile(DOSES, 6)
    kept = np.sort(rng.permutation(30)[: 30 - lost])
    x = rng.normal(size=30) + dose
    y = 0.5 * x + rng.normal(size=30) + block
    return Table(block[kept], dose[kept], x[kept], y[kept])


@pytest.mark.parametrize("lost", [0, 4])
def test_a_seeds_draws_are_what_it_does_to_the_slope_of_an_association(lost):
    rng = np.random.default_rng(6)
    table = rows(rng, lost=lost)
    dx, dy = rng.normal(size=(2, len(table.x), 3))
    primary = two_way_within(table)
    drawn = within_draws(two_way(table), primary.estimate, dx, dy)
    assert drawn.shares.sum() == pytest.approx(1)
    step = 1e-6
    for seed in range(6):
        own = table.block == seed
        for draw in range(3):
            shifted = replace_xy(table, step * own * dx[:, draw], step * own * dy[:, draw])
            change = (two_way_within(shifted).estimate - primary.estimate) / step
            assert drawn.moved[draw, seed] == pytest.approx(change, abs=1e-5)


def replace_xy(table, dx, dy):
    return Table(table.block, table.dose, table.x + dx, table.y + dy)


def test_halves_add_up_to_the_change_of_the_split_half_slope():
    rng = np.random.default_rng(7)
    first = rows(rng)
    second = replace_xy(first, 0.1 * rng.normal(size=30), 0.1 * rng.normal(size=30))
    dx, dy = rng.normal(size=(2, 2, 30))
    primary = split_half_within(first, second)
    drawn = within_draws(
        split_halves(first, second), primary.estimate, dx.reshape(-1, 1), dy.reshape(-1, 1)
    )
    step = 1e-6
    shifted = [
        replace_xy(table, step * dx[half], step * dy[half])
        for half, table in enumerate((first, second))
    ]
    change = (split_half_within(*shifted).estimate - primary.estimate) / step
    assert drawn.moved.sum() == pytest.approx(change, abs=1e-5)


def test_what_images_do_to_all_seeds_alike_cannot_move_an_association():
    """Strength is a factor: what is common to all seeds at one strength is taken out."""
    rng = np.random.default_rng(8)
    table = rows(rng)
    common = np.tile(rng.normal(size=(5, 50)), (6, 1))
    drawn = within_draws(two_way(table), two_way_within(table).estimate, common, common)
    assert drawn.moved.sum(axis=1) == pytest.approx(np.zeros(50), abs=1e-12)
    assert drawn.moved.std() > 0.01


def test_shares_that_differ_widen_to_the_whole_of_what_seeds_share():
    rng = np.random.default_rng(9)
    shares = np.array([0.6, 0.3, 0.1])
    common = rng.normal(size=(4000, 1))
    drawn = SeedDraws(moved=2 * common * shares, shares=shares)
    assert image_variance(drawn) == pytest.approx(4 * common.var(ddof=1), rel=1e-9)
