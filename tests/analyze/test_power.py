"""Seeds needed: against closed forms, against the tests themselves, and by what must hold."""

import math
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from scipy import stats
from simulated import Truth as Planted
from simulated import fail, simulate, study

from analyze.decide import MINIMUM_SEEDS
from analyze.inference.associations import split_half_within, two_way_within
from analyze.power import find_seeds, hits_of, primary_tests, shifted
from analyze.power_looks import claim_levels, simulate_looks
from analyze.power_pilot import pilot_of_study
from analyze.power_plan import Goal, Plan, PlannedClaim, PlannedPart, goals_of
from analyze.power_truth import (
    AssociationBlocks,
    GivenAssociations,
    GivenTrends,
    PilotTruth,
    TrendBlocks,
    association_deviations,
    trend_deviations,
)
from store.errors import AnalysisError

DOSES = (0.0, 0.25, 0.5, 0.75, 1.0)
PER_LEVEL = 0.3
SLOPE = PER_LEVEL * (len(DOSES) - 1)
NEVER_NEGLIGIBLE = 1e-3


def trend(
    effect: float = SLOPE, sesoi: float = NEVER_NEGLIGIBLE, *, sign: int | None = 1, **changes
) -> PlannedClaim:
    part = PlannedPart(outcome="y", predictor="dose", unit="", sesoi=sesoi, effect=effect)
    return replace(
        PlannedClaim(id="trend", statement="", sign=sign, parts=(part,)),
        **changes,
    )


def rates(plan: Plan, truth, seeds: int) -> dict[Goal, tuple[float, float]]:
    """Power for every goal, averaged over the claims, and its Monte Carlo SE."""
    hits, _ = hits_of(plan, truth, (seeds, 0, plan.studies))
    share = hits.mean(axis=1)
    error = share.std(axis=0, ddof=1) / math.sqrt(plan.studies)
    return {
        goal: (float(share[:, at].mean()), max(float(error[at]), 1e-3))
        for at, goal in enumerate(goals_of(plan))
    }


def noncentral_power(
    seeds: int, alpha: float, *, residual_sd: float = 1.0, slope_sd: float = 0.0
) -> float:
    """Power of the slope t, two-sided, of finding the effect in its own direction."""
    spread = float(np.sum((np.array(DOSES) - np.mean(DOSES)) ** 2))
    sd = math.sqrt(slope_sd**2 + residual_sd**2 / spread)
    edge = stats.t.isf(alpha / 2, seeds - 1)
    return float(stats.nct.sf(edge, seeds - 1, SLOPE / sd * math.sqrt(seeds)))


@pytest.mark.parametrize(
    ("seeds", "claims", "planned"), [(12, 1, 0.85), (12, 4, 0.63), (20, 1, 0.98), (20, 4, 0.92)]
)
def test_the_plans_own_figures_come_out(seeds, claims, planned):
    plan = Plan(claims=(trend(),) * claims, studies=800 // claims, most=20, seed=1)
    found, error = rates(plan, GivenTrends(doses=DOSES, residual_sd=1.0, claims=claims), seeds)[
        Goal.SUPPORTED
    ]
    # the plan rounds to two places
    assert found == pytest.approx(planned, abs=0.005 + 3.3 * error)


@pytest.mark.parametrize(("seeds", "slope_sd"), [(4, 0.0), (9, 0.8), (15, 1.5)])
def test_power_of_a_trend_is_that_of_the_noncentral_t(seeds, slope_sd):
    plan = Plan(claims=(trend(),) * 2, studies=300, most=15, seed=2)
    truth = GivenTrends(doses=DOSES, residual_sd=0.7, slope_sd=slope_sd, claims=2)
    found, error = rates(plan, truth, seeds)[Goal.SUPPORTED]
    exact = noncentral_power(seeds, 0.025, residual_sd=0.7, slope_sd=slope_sd)
    assert found == pytest.approx(exact, abs=3.3 * error)


def test_the_seeds_needed_are_those_of_the_noncentral_t():
    plan = Plan(claims=(trend(),) * 4, studies=120, most=40, seed=3)
    found = find_seeds(plan, GivenTrends(doses=DOSES, residual_sd=1.0, claims=4))
    exact = next(n for n in range(3, 99) if noncentral_power(n, 0.0125) >= 0.8)
    assert [one.claim.id for one in found] == ["trend"]
    answer = found[0].of(Goal.SUPPORTED)
    assert answer.seeds == pytest.approx(exact, abs=1)
    at = {point.seeds: point.power for point in answer.points}
    assert at[answer.seeds] >= 0.8 > at[answer.seeds - 1]
    together = found[0].of(Goal.TOGETHER)
    assert together.seeds < answer.seeds
    assert found[0].of(Goal.CAUTIOUS) is None


def test_power_grows_with_the_seeds():
    plan = Plan(claims=(trend(effect=1.5, sesoi=1.0),), studies=200, most=24, seed=4)
    truth = GivenTrends(doses=DOSES, residual_sd=1.0)
    found = [rates(plan, truth, seeds) for seeds in (4, 8, 12, 24)]
    for goal in (Goal.TOGETHER, Goal.NEGLIGIBLE):
        power = [one[goal][0] for one in found]
        assert power == sorted(power)
        assert power[0] < 0.5 < 0.9 < power[-1]


def test_a_goal_out_of_reach_is_named_with_about_how_many_seeds_it_takes():
    plan = Plan(claims=(trend(effect=SLOPE / 8),), studies=60, most=16, seed=5)
    answer = find_seeds(plan, GivenTrends(doses=DOSES, residual_sd=1.0))[0].of(Goal.SUPPORTED)
    exact = ((stats.norm.isf(0.025) + stats.norm.isf(0.2)) * math.sqrt(1.6) / (SLOPE / 8)) ** 2
    assert answer.seeds is None
    assert answer.about == pytest.approx(exact, rel=0.15)


def test_a_claim_no_larger_than_its_sesoi_never_reaches_a_power_above_its_level():
    plan = Plan(claims=(trend(sesoi=SLOPE),), power=0.96, studies=40, most=12)
    answer = find_seeds(plan, GivenTrends(doses=DOSES, residual_sd=1.0))[0].of(Goal.SUPPORTED)
    assert (answer.seeds, answer.about) == (None, None)


def association(seeds: int, halves: int, *, seed: int = 6) -> AssociationBlocks:
    given = GivenAssociations(
        doses=DOSES,
        predictor_sd=1.0,
        residual_sd=0.5,
        predictor_slope_sd=1.0,
        slope_sd=0.7,
        reliability=0.6 if halves == 2 else None,
    )
    drawn = given.draw(np.random.default_rng(seed), seeds)[0]
    assert isinstance(drawn, AssociationBlocks)
    return drawn


@pytest.mark.parametrize("halves", [1, 2])
@pytest.mark.parametrize("stretch", [1.0, 1.7])
def test_an_effect_is_added_as_if_the_outcome_held_it(halves, stretch):
    blocks = association(7, halves)
    held = replace(blocks, y=0.4 * blocks.x + stretch * blocks.y)
    test = two_way_within if halves == 1 else split_half_within
    expected = test(*held.tables(7))
    found = shifted(blocks.test(7), 0.4, stretch=stretch)
    for name in ("estimate", "standard_error", "df", "statistic", "p_value"):
        assert getattr(found, name) == pytest.approx(getattr(expected, name), rel=1e-9)


def test_a_trend_is_added_as_if_the_outcome_held_it():
    truth = GivenTrends(doses=DOSES, residual_sd=1.0, slope_sd=0.4)
    blocks = truth.draw(np.random.default_rng(7), 6)[0]
    held = replace(blocks, values=0.9 * np.array(DOSES) + 1.3 * blocks.values)
    found, expected = shifted(blocks.test(6), 0.9, stretch=1.3), held.test(6)
    for name in ("estimate", "standard_error", "df", "p_value"):
        assert getattr(found, name) == pytest.approx(getattr(expected, name), rel=1e-9)


def test_a_small_study_is_the_beginning_of_a_large_one():
    truth = GivenTrends(doses=DOSES, residual_sd=1.0)
    plan = Plan(claims=(trend(),), most=20)
    small = primary_tests(plan, truth, 3, seeds=6, most=20)[0][0]
    whole = truth.draw(np.random.default_rng((0, 3)), 20)[0]
    assert small == TrendBlocks(doses=DOSES, values=whole.values[:6]).test(6)


def test_it_does_not_matter_how_studies_are_shared_out():
    plan = Plan(claims=(trend(),) * 2, most=10)
    truth = GivenTrends(doses=DOSES, residual_sd=1.0, claims=2)
    whole = hits_of(plan, truth, (8, 0, 12))
    parts = [hits_of(plan, truth, (8, *task)) for task in ((0, 5), (5, 12))]
    for at in (0, 1):
        assert np.array_equal(whole[at], np.concatenate([part[at] for part in parts]))


def test_a_claim_has_the_first_level_alone_and_the_last_beside_a_certain_one():
    certain = trend(effect=50.0, id="certain")
    weak = trend(effect=0.8, id="weak")
    truth = GivenTrends(doses=DOSES, residual_sd=1.0, claims=2)
    plan = Plan(claims=(certain, weak), studies=300, most=10, seed=8)
    hits, _ = hits_of(plan, truth, (10, 0, 300))
    p_values = np.array(
        [
            shifted(primary_tests(plan, truth, at, seeds=10, most=10)[1][0], 0.8).p_value
            for at in range(300)
        ]
    )
    goals = goals_of(plan)
    alone, beside = (hits[:, 1, goals.index(goal)] for goal in (Goal.SUPPORTED, Goal.TOGETHER))
    assert np.array_equal(alone, p_values <= 0.025)
    assert np.array_equal(beside, p_values <= 0.05)
    assert alone.sum() < beside.sum()


def test_a_claim_with_two_outcomes_needs_both():
    parts = [
        PlannedPart(outcome=name, predictor="dose", unit="", sesoi=sesoi, effect=SLOPE)
        for name, sesoi in (("one", 0.01), ("other", 0.01))
    ]
    both = PlannedClaim(id="both", statement="", sign=1, parts=tuple(parts))
    truth = GivenTrends(doses=DOSES, residual_sd=1.0, claims=2)
    plan = Plan(claims=(both,), studies=200, most=8)
    apart = Plan(
        claims=tuple(replace(both, id=part.outcome, parts=(part,)) for part in parts),
        alpha=0.1,
        studies=200,
        most=8,
    )
    together, _ = hits_of(plan, truth, (8, 0, 200))
    single, _ = hits_of(apart, truth, (8, 0, 200))
    assert np.array_equal(together[:, 0, 0], single[:, 0, 0] & single[:, 1, 0])


def test_a_claim_without_data_stays_in_the_family():
    lacking = trend(id="lacking", parts=(), why_not="nothing")
    plan = Plan(claims=(trend(), lacking))
    assert plan.first_level(plan.claims[0]) == 0.025
    found = find_seeds(
        replace(plan, studies=40, most=12), GivenTrends(doses=DOSES, residual_sd=1.0)
    )
    assert found[1].goals == ()
    assert found[0].goals


def test_the_cautious_variance_is_above_the_truth_for_four_pilots_in_five():
    part = PlannedPart(outcome="y", predictor="x", unit="", sesoi=1.0, effect=1.0, df=5.0)
    found = np.random.default_rng(9).normal(size=(4000, 6)).std(axis=1, ddof=1)
    covered = float((found * part.stretch >= 1).mean())
    assert covered == pytest.approx(0.8, abs=4 * math.sqrt(0.16 / 4000))


def test_new_seeds_have_the_standard_error_of_the_pilot():
    own = np.random.default_rng(10).normal(size=(6, len(DOSES))) * np.array([1, 1, 1, 2, 3])
    slopes = TrendBlocks(doses=DOSES, values=own)
    pairs = association(6, 2, seed=11)
    parts = (trend_deviations(slopes), association_deviations(pairs, pairs.test(6)))
    truth = PilotTruth(parts=parts, blocks=6)
    drawn = [truth.draw(np.random.default_rng(at), 6) for at in range(700)]
    found = [
        [blocks[0].test(6).estimate for blocks in drawn],
        # far from where the predictor's own spread, drawn anew, would matter
        [_slope(blocks[1]) for blocks in drawn],
    ]
    pilots = (slope_t_of(slopes), pairs.test(6))
    for estimates, pilot, room in zip(found, pilots, (0.1, 0.3), strict=True):
        assert np.mean(estimates) == pytest.approx(0, abs=4 * pilot.standard_error / math.sqrt(700))
        assert np.std(estimates) == pytest.approx(pilot.standard_error, rel=room)


def slope_t_of(blocks: TrendBlocks):
    return blocks.test(len(blocks.values))


def _slope(blocks: AssociationBlocks) -> float:
    x = blocks.x - blocks.x.mean(axis=1, keepdims=True) - blocks.x.mean(axis=2, keepdims=True)
    x = x + blocks.x.mean(axis=(1, 2), keepdims=True)
    return float((x * blocks.y).sum() / (x**2).sum())


def test_power_from_a_pilot_is_that_of_the_noncentral_t_at_its_own_variance():
    values = np.random.default_rng(12).normal(size=(5, len(DOSES)))
    pilot = slope_t_of(TrendBlocks(doses=DOSES, values=values))
    parts = (trend_deviations(TrendBlocks(doses=DOSES, values=values)),)
    plan = Plan(claims=(trend(),), studies=500, most=10, seed=13)
    found, error = rates(plan, PilotTruth(parts=parts, blocks=5), 10)[Goal.SUPPORTED]
    shift = SLOPE / (pilot.standard_error * math.sqrt(5)) * math.sqrt(10)
    exact = float(stats.nct.sf(stats.t.isf(0.025, 9), 9, shift))
    assert 0.2 < exact < 0.98
    # five slopes of either sign are nearly, not quite, the normal's
    assert found == pytest.approx(exact, abs=0.03 + 3.3 * error)


def test_measures_keep_their_correlation_in_new_seeds():
    rng = np.random.default_rng(14)
    one = rng.normal(size=(12, len(DOSES)))
    other = one + 0.3 * rng.normal(size=one.shape)
    parts = tuple(trend_deviations(TrendBlocks(doses=DOSES, values=v)) for v in (one, other))
    blocks = PilotTruth(parts=parts, blocks=12).draw(np.random.default_rng(15), 4000)
    found = np.corrcoef(blocks[0].values.ravel(), blocks[1].values.ravel())[0, 1]
    pilot = np.corrcoef((one - one.mean(0)).ravel(), (other - other.mean(0)).ravel())[0, 1]
    assert found == pytest.approx(pilot, abs=0.01)


def test_noise_of_the_halves_leaves_the_share_that_is_given():
    given = GivenAssociations(
        doses=DOSES, predictor_sd=2.0, residual_sd=1.0, predictor_slope_sd=3.0, reliability=0.5
    )
    blocks = given.draw(np.random.default_rng(16), 3000)[0]
    assert blocks.reliability() == pytest.approx(given.shown(), abs=0.02)
    assert given.shown() > 0.5


def test_one_look_is_a_study_of_fixed_size():
    plan = Plan(claims=(trend(),) * 2, studies=100, most=9, seed=17)
    truth = GivenTrends(doses=DOSES, residual_sd=1.0, claims=2)
    found = simulate_looks(plan, truth, (9,))
    assert found.claims[0].levels == pytest.approx((0.025,))
    assert found.claims[0].effect.supported == rates(plan, truth, 9)[Goal.SUPPORTED][0]
    assert found.seeds_none == found.claims[0].none.seeds == 9


def test_looks_keep_the_error_rate_and_spare_seeds_where_the_effect_is_large():
    plan = Plan(claims=(trend(effect=2 * SLOPE),) * 2, studies=300, most=18, seed=18)
    truth = GivenTrends(doses=DOSES, residual_sd=1.0, claims=2)
    found = simulate_looks(plan, truth, (6, 12, 18))
    claim = found.claims[0]
    assert claim.levels == claim_levels(plan, plan.claims[0], (6, 12, 18))
    assert claim.effect.supported > 0.95
    assert claim.effect.seeds < found.seeds_effect < 18
    limit = stats.binom.isf(0.001, plan.studies, 0.05) / plan.studies
    assert found.family_error <= limit
    for world in (claim.effect, claim.none):
        ends = (world.supported, world.negligible, world.contradicted, world.undecided)
        assert sum(ends) == pytest.approx(1)


def stored(seeds: int = 6):
    design = study(seeds=seeds)
    return design, simulate(design, Planted(slopes={"generalization_gap": -0.05}))


def test_a_study_is_planned_for_its_own_claims_at_their_sesoi():
    design, found = stored()
    pilot = pilot_of_study(design, found, chosen=(), times_sesoi=2)
    assert [claim.id for claim in pilot.claims] == ["H1", "H2a", "H2b", "H3a", "H3b", "H4"]
    assert [claim.id for claim in pilot.claims if not claim.primary] == ["H4"]
    gap = pilot.claims[1].parts[0]
    assert (gap.effect, gap.sesoi) == (-0.04, 0.02)
    assert [part.outcome for part in pilot.claims[3].parts] == [
        "agreement",
        "conditional_mutual_information_bits",
    ]
    assert 0 <= pilot.claims[2].parts[0].reliability <= 1
    assert pilot.blocks == 6
    assert len(pilot.truth.parts) == 7


def test_the_pilots_estimate_is_the_truth_only_where_it_is_asked_for():
    design, found = stored()
    observed = pilot_of_study(design, found, chosen=("H2a",), times_sesoi=None)
    part = observed.claims[0].parts[0]
    assert part.effect == part.estimate != -part.sesoi
    students = found.students.filter(pl.col("arm") == "fixed").sort("block", "teacher_strength")
    values = students["generalization_gap"].to_numpy().reshape(6, -1)
    assert part.estimate == slope_t_of(TrendBlocks(doses=DOSES, values=values)).estimate


def test_blocks_that_failed_are_no_part_of_the_pilot():
    design, found = stored()
    pilot = pilot_of_study(design, fail(found, 0), chosen=(), times_sesoi=1)
    assert (pilot.blocks, pilot.stored) == (5, 6)


def test_a_pilot_of_two_seeds_is_refused():
    design, found = stored(2)
    with pytest.raises(AnalysisError, match=f"2 of 2 seeds.*takes {MINIMUM_SEEDS}"):
        pilot_of_study(design, found, chosen=(), times_sesoi=1)


def test_a_claim_that_the_study_does_not_make_is_refused():
    design, found = stored(3)
    with pytest.raises(AnalysisError, match="H9: the study's claims are H1, H2a"):
        pilot_of_study(design, found, chosen=("H1", "H9"), times_sesoi=1)


def test_an_outcome_that_does_not_vary_leaves_its_claim_unplanned():
    design, found = stored()
    flat = replace(found, students=found.students.with_columns(generalization_gap=pl.lit(0.1)))
    pilot = pilot_of_study(design, flat, chosen=("H1", "H2a"), times_sesoi=1)
    assert pilot.claims[1].parts == ()
    assert "rounding error" in pilot.claims[1].why_not
    assert len(pilot.truth.parts) == 1
    with pytest.raises(AnalysisError, match="nothing of how seeds vary"):
        pilot_of_study(design, flat, chosen=("H2a",), times_sesoi=1)
