"""The rule for adding seeds holds its error over all looks: short form of ``make calibrate``."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from analyze.inference.estimate import Panel
from analyze.inference.sequential import look_levels
from analyze.inference.trends import per_seed_slopes
from benchmarks.adding_seeds import SHORT, Way, bounds_on_t, erred, table, ways
from benchmarks.simulated_studies import DOSES, Scenario, draw

SEED = 43
STUDIES = 1000
STANDARD_ERROR = (0.05 * 0.95 / STUDIES) ** 0.5


def way(name: str, truth: str = "slopes alike in all seeds", alpha: float = 0.05) -> Way:
    return next(
        one for one in ways() if (one.name, one.scenario.name, one.alpha) == (name, truth, alpha)
    )


@pytest.mark.parametrize(
    "chosen",
    [
        way("declared rule"),
        way("declared rule", "heavy tails (t, 3 df)"),
        way("declared rule, a fifth of the blocks fails"),
    ],
    ids=lambda chosen: f"{chosen.name}, {chosen.scenario.name}",
)
def test_the_declared_rule_referred_to_t_holds_its_level_over_all_looks(chosen):
    found = erred(chosen, studies=STUDIES, seed=SEED)
    assert found.rate.share <= 0.05 + 3 * STANDARD_ERROR


def test_the_association_holds_its_level_over_all_looks():
    chosen = next(one for one in ways() if one.test == "association")
    found = erred(chosen, studies=150, seed=SEED)
    assert found.rate.share <= stats.binom.isf(0.001, 150, 0.05) / 150


def test_an_effect_as_large_as_the_sesoi_is_seldom_called_negligible_at_any_look():
    chosen = next(one for one in ways() if one.sesoi is not None)
    found = erred(chosen, studies=STUDIES, seed=SEED)
    assert found.rate.share <= 0.05 + 3 * STANDARD_ERROR
    # a way that never called anything negligible would keep this too
    assert found.rate.share > 0.02


def test_z_bounds_used_on_t_and_looks_at_every_seed_err_far_too_often():
    on_t = erred(way("the rule's z bounds used on t"), studies=STUDIES, seed=SEED)
    assert on_t.rate.share == pytest.approx(0.114, abs=0.03)
    peeking = erred(way(".05 at every seed from 5 to 30"), studies=300, seed=SEED)
    assert peeking.rate.share == pytest.approx(0.228, abs=0.07)
    assert {on_t.reading(), peeking.reading()} == {"errs too often"}


def test_the_levels_of_z_bounds_on_t_are_those_of_t():
    bounds = stats.norm.isf(np.array(look_levels(0.05, (1 / 3, 2 / 3, 1))) / 2)
    for level, bound, look in zip(bounds_on_t(SHORT), bounds, SHORT, strict=True):
        assert 2 * stats.t.sf(bound, look - 1) == pytest.approx(level, rel=1e-9)


def test_the_rule_still_finds_what_is_there():
    chosen = replace(
        way("declared rule"), scenario=Scenario(name="planted", on_y=1.0), looks=(8, 16, 24)
    )
    assert erred(chosen, studies=100, seed=SEED).rate.share > 0.95


def test_every_look_tests_the_first_seeds_of_its_study():
    """One look at .05 errs where scipy's t of the same slopes does."""
    chosen = replace(way("one look, at the cap"), looks=(6,))
    studies = 60
    drawn = draw(chosen.scenario, seeds=6, studies=studies, effect=0.0, rng=chosen.stream(SEED))
    slopes = [
        per_seed_slopes(Panel(tuple(range(6)), tuple(DOSES), values.mean(axis=0)))
        for values in drawn.y
    ]
    expected = sum(stats.ttest_1samp(each, 0).pvalue <= 0.05 for each in slopes)
    assert erred(chosen, studies=studies, seed=SEED).rate.count == expected


def test_a_row_is_the_same_again_and_the_table_names_every_way():
    chosen = way("declared rule")
    first, again = (erred(chosen, studies=40, seed=SEED) for _ in range(2))
    assert first.rate == again.rate
    assert table([first]).count("\n") == 2
    assert "| declared rule | trend | slopes alike in all seeds | 4, 8, 12 | .05 |" in table(
        [first]
    )
