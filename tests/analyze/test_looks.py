"""Seeds added by a declared rule: which look a study is at, its levels, and what it then says."""

import numpy as np
import pytest
from scipy import stats
from simulated import Truth, fail, simulate, study

from analyze.assemble import assemble
from analyze.inference.sequential import look_levels, spending
from analyze.looks import level_words, levels_at, look_at, rule_words, standing_words
from analyze.results import Finding, Results, Verdict
from analyze.serialize import results_from_json, results_to_json
from analyze.verdicts import WIDTH, verdict_lines

LOOKS = (4, 6, 8)
RULE = {"rule": "group_sequential", "looks": list(LOOKS)}
CLAIMS = {
    "H1": {"sesoi": {"attention_iou_adjusted": 0.05}},
    "H2a": {"sesoi": {"generalization_gap": 0.02}},
    "H2b": {"sesoi": {"generalization_gap": 0.1}},
    "H4": {"sesoi": {"conditional_mutual_information_bits": 0.1}},
}
FALLS = Truth(slopes={"attention_iou_adjusted": -0.12, "generalization_gap": -0.005})


def crossing(levels, information) -> float:
    """Chance under the null that some |z| is beyond its bound: a multivariate normal's."""
    bounds = stats.norm.isf(np.asarray(levels) / 2)
    times = np.asarray(information, dtype=float)
    correlation = np.sqrt(np.minimum.outer(times, times) / np.maximum.outer(times, times))
    inside = stats.multivariate_normal.cdf(
        bounds, lower_limit=-bounds, cov=correlation, abseps=1e-7, releps=1e-7, rng=1
    )
    return 1 - float(inside)


def analyzed_study(
    seeds: int, *, stored: int | None = None, lost: tuple[int, ...] = (), **changes
) -> Results:
    """A small study under the rule; stored: blocks, where not all are in yet."""
    small = {"design": {"strengths": [0, 0.5, 1]}, "claims": CLAIMS, "adding_seeds": RULE}
    design = study(seeds=seeds, **(small | changes))
    present = design.model_copy(update={"seeds": stored or seeds})
    rows = simulate(present, FALLS)
    for block in lost:
        rows = fail(rows, int(rows.models.filter(block=block)["model_id"][0]))
    return assemble(design, rows)


def deciding(results: Results, claim: str) -> Finding:
    return next(each for each in results.findings if each.hypothesis == claim and each.deciding)


@pytest.fixture(scope="module")
def interim() -> Results:
    return analyzed_study(6)


@pytest.fixture(scope="module")
def fixed() -> Results:
    return analyzed_study(4, adding_seeds={"rule": "none"})


def test_levels_as_declared_are_those_of_the_information_fractions():
    assert levels_at(0.05, (8, 16, 24), (8, 16)) == pytest.approx(
        look_levels(0.05, (1 / 3, 2 / 3, 1)), rel=1e-12
    )


def test_where_blocks_failed_the_levels_are_those_of_the_blocks_that_are_left():
    """15 of 16 at the second look: less is spent there, and the rest at the third."""
    levels = levels_at(0.05, (8, 16, 24), (8, 15))
    assert levels[:2] == pytest.approx(look_levels(0.05, (8 / 24, 15 / 24)), rel=1e-12)
    assert levels[1] < levels_at(0.05, (8, 16, 24), (8, 16))[1]
    assert crossing(levels[:2], (8, 15)) == pytest.approx(spending(0.05, 15 / 24), abs=2e-6)
    assert crossing(levels, (8, 15, 24)) == pytest.approx(0.05, abs=2e-6)


def test_the_last_look_spends_all_that_is_left_even_where_blocks_failed():
    levels = levels_at(0.05, (8, 16, 24), (7, 15, 21))
    assert crossing(levels, (7, 15, 21)) == pytest.approx(0.05, abs=2e-6)
    assert levels[:2] == pytest.approx(look_levels(0.05, (7 / 24, 15 / 24)), rel=1e-12)


def test_a_look_that_adds_no_block_is_the_one_before_and_one_without_blocks_reads_nothing():
    assert levels_at(0.05, (8, 16, 24), (8, 8))[:2] == pytest.approx(
        look_levels(0.05, [8 / 24]) * 2, rel=1e-12
    )
    assert levels_at(0.05, (8, 16, 24), (0, 16)) == pytest.approx(
        (0, *look_levels(0.05, (16 / 24, 1))), rel=1e-12
    )
    assert levels_at(0.05, (8, 16), (0, 0)) == (0, 0)


def test_a_claim_that_lost_more_blocks_than_its_study_keeps_its_error_rate():
    """Levels are the study's: another correlation of a claim's looks hardly moves its error."""
    levels = levels_at(0.05, (8, 16, 24), (8, 16, 24))
    for own in ((7, 15, 23), (6, 14, 22), (4, 16, 24), (3, 12, 18)):
        assert crossing(levels, own) == pytest.approx(0.05, abs=0.0006)


def test_the_error_rate_is_shared_equally_over_the_primary_claims():
    look = look_at((8, 16, 24), (8, 16), seeds=16, family=5)
    assert look.levels == levels_at(0.01, (8, 16, 24), (8, 16))
    assert (look.look, look.next_look, look.level) == (2, 24, look.levels[1])
    assert look.secondary_level == levels_at(0.05, (8, 16, 24), (8, 16))[1]


def test_between_looks_nothing_is_read_and_the_next_one_is_named():
    look = look_at((8, 16, 24), (8,), seeds=11, family=5)
    assert (look.look, look.level, look.secondary_level) == (None, None, None)
    words = "11 seeds: the declared looks are 8, 16, 24; not read before 16."
    assert rule_words(look, claim="primary claim") == words
    assert standing_words(Verdict.UNDECIDED, look) == "Not read before 16 seeds."


def test_a_look_needs_the_blocks_of_every_look_before():
    with pytest.raises(ValueError, match="1 numbers analyzed for 2 looks"):
        look_at((8, 16, 24), (8,), seeds=16, family=1)


@pytest.mark.parametrize(
    ("level", "words"),
    [
        (0.05, "level 0.0500"),
        (0.012024, "level 0.0120"),
        (0.00020701, "level 0.000207"),
        (4.358e-6, "level 0.00000436"),
        (1e-23, "a level below 0.000001"),
        (0.0, "a level below 0.000001"),
    ],
)
def test_levels_are_written_to_three_digits_and_never_as_zero(level, words):
    assert level_words(level) == words


def test_at_an_interim_look_claims_are_read_at_its_level_and_say_how_to_go_on(interim):
    results = interim
    look = results.sequential
    assert (look.look, look.next_look, look.analyzed, look.family) == (2, 8, (4, 6), 3)
    assert look.level == pytest.approx(look_levels(0.05 / 3, (0.5, 0.75))[1], rel=1e-12)
    shown = deciding(results, "H1")
    assert shown.verdict is Verdict.SUPPORTED
    assert "Decided at look 2 of 3: for this, the study may stop." in shown.sentence
    open_yet = deciding(results, "H2a")
    assert open_yet.verdict is Verdict.UNDECIDED
    assert open_yet.sentence.endswith("The next look is at 8 seeds.")
    for finding in results.findings:
        level = look.secondary_level if finding.hypothesis == "H4" else look.level
        assert (finding.alpha, finding.p_holm) == (level, None)
        for outcome in finding.outcomes:
            assert outcome.verdict_interval.level == 1 - level
            assert outcome.equivalence_interval.level == 1 - 2 * level
            assert outcome.seeds_to_decide is None
    assert any("This is look 2 of 3" in text for text in results.caveats)
    assert not any("Holm" in text for text in results.caveats)


def test_at_the_last_look_what_is_open_stays_open():
    results = analyzed_study(8)
    assert results.sequential.next_look is None
    assert deciding(results, "H2a").verdict is Verdict.UNDECIDED
    assert deciding(results, "H2a").sentence.endswith("the rule adds no more seeds.")
    assert "may stop" not in deciding(results, "H1").sentence


def test_a_verdict_needs_the_looks_level_not_five_percent(fixed):
    """What a study of a fixed number of seeds supports, the first look may leave undecided."""
    strict = analyzed_study(4)
    for at_look, alone in zip(strict.findings, fixed.findings, strict=True):
        for one, other in zip(at_look.outcomes, alone.outcomes, strict=True):
            assert one.p_value == other.p_value
            if one.verdict in (Verdict.SUPPORTED, Verdict.CONTRADICTED):
                assert one.p_value <= strict.sequential.secondary_level
    assert fixed.sequential is None
    assert deciding(fixed, "H1").verdict is Verdict.SUPPORTED
    assert deciding(fixed, "H1").outcomes[0].p_value > strict.sequential.level
    assert deciding(strict, "H1").verdict is Verdict.UNDECIDED


def test_with_a_number_of_seeds_that_is_no_look_there_is_no_verdict():
    results = analyzed_study(6, stored=5)
    assert {finding.verdict for finding in results.findings} == {Verdict.UNDECIDED}
    words = "5 seeds: the declared looks are 4, 6, 8; not read before 6."
    assert [text for text in results.caveats if "declared looks" in text] == [words]
    assert not any("raises the error rate" in text for text in results.caveats)
    for finding in results.findings:
        assert finding.alpha == 0
        assert all(outcome.verdict_interval is None for outcome in finding.outcomes)
        assert finding.sentence.endswith("Not read before 6 seeds.") == finding.deciding
    assert {each.holds for each in results.mediation} == {None}


def test_a_failed_block_leaves_the_look_and_moves_its_level():
    results = analyzed_study(6, lost=(1, 5))
    look = results.sequential
    assert (look.look, look.seeds, look.analyzed) == (2, 6, (3, 4))
    assert look.level == pytest.approx(look_levels(0.05 / 3, (3 / 8, 4 / 8))[1], rel=1e-12)
    assert any("look 2 of 3, with 4 of 6 seeds to analyze" in text for text in results.caveats)


def test_the_look_is_written_to_results_and_read_back(interim):
    results = interim
    assert results_from_json(results_to_json(results), source="text") == results


def test_the_terminal_states_rule_look_and_level(interim, fixed):
    results = interim
    lines = "\n".join(verdict_lines(results))
    assert "looks at 4, 6, 8 seeds" in lines
    assert "This is look 2 of 3" in " ".join(lines.split())
    assert "p (Holm)" not in lines
    rule = lines.partition("\n\nclaim ")[0]
    assert max(len(line) for line in rule.splitlines()) <= WIDTH
    assert "p (Holm)" in "\n".join(verdict_lines(fixed))
