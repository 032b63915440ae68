"""Numbers: what is shown is the value, rounded."""

import math
import re

import pytest
from drawn_results import drawn_results

from reports.numbers import (
    MINUS,
    Citations,
    Number,
    decimals_for,
    fixed,
    level_text,
    look_level_text,
    p_text,
    percent,
    whole,
)


@pytest.mark.parametrize("value", [0.0, 1.5, -2.25, 123.456, -0.0004, 1e-9, 3e7, -4.5e8])
@pytest.mark.parametrize("decimals", [0, 2, 4])
def test_a_number_is_shown_within_half_a_unit_of_its_last_digit(value, decimals):
    shown = fixed(value, decimals).replace(MINUS, "-")
    power = re.fullmatch(r"(-?[\d.]+)\s*×\s*10([⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+)", shown)
    if power:
        digits = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")
        read = float(power[1]) * 10 ** int(power[2].translate(digits))
        assert read == pytest.approx(value, rel=0.06)
    else:
        places = len(shown.partition(".")[2])
        assert abs(float(shown) - value) <= 0.5 * 10**-places + 1e-12


def test_a_number_that_is_not_zero_never_reads_as_zero():
    for value in (0.0004, -0.0004, 1e-8, -3e-12):
        assert re.search(r"[1-9]", fixed(value, 2))


def test_zero_has_no_minus_sign():
    assert fixed(-0.0, 2) == "0.00"


def test_numbers_that_are_not_finite_are_said_in_words_or_signs():
    assert fixed(math.inf, 2) == "∞"
    assert fixed(-math.inf, 2) == f"{MINUS}∞"
    assert fixed(math.nan, 2) == "undefined"
    assert p_text(math.nan) == "undefined"


@pytest.mark.parametrize(
    ("p", "shown"),
    [
        (0.0123, ".012"),
        (0.5, ".500"),
        (1.0, "1"),
        (0.00099, "<\u202f.001"),
        (0.001, ".001"),
        (0.0499, ".0499"),
        (0.0501, ".0501"),
        (0.9999, ">\u202f.999"),
    ],
)
def test_p_values_are_written_without_hiding_their_side_of_five_percent(p, shown):
    expected = {0.0499: ".0499", 0.0501: ".0501"}.get(p, shown)
    assert p_text(p) == expected


@pytest.mark.parametrize(("error", "decimals"), [(0.034, 3), (0.34, 2), (3.4, 1), (34.0, 0)])
def test_digits_follow_two_digits_of_the_error(error, decimals):
    assert decimals_for(error, 1.0) == decimals


def test_only_exact_shares_read_as_none_or_all():
    assert percent(1.0) == "100\u202f%"
    assert percent(0.9996) == ">\u202f99\u202f%"
    assert percent(0.0) == "0\u202f%"
    assert percent(1e-5) == "<\u202f1\u202f%"


@pytest.mark.parametrize(
    ("alpha", "shown"),
    [(0.05, "95"), (0.0125, "98.75"), (0.00021, "99.979"), (4.4e-6, "99.99956"), (0.0, "100")],
)
def test_only_certainty_reads_as_a_level_of_all(alpha, shown):
    assert level_text(1 - alpha) == f"{shown}\u202f%"


@pytest.mark.parametrize(
    ("level", "shown"),
    [(0.05, ".0500"), (0.012024, ".0120"), (4.36e-6, ".00000436"), (1e-9, "<\u202f.000001")],
)
def test_levels_of_looks_keep_three_digits_however_small(level, shown):
    assert look_level_text(level) == shown


def test_counts_set_thousands_apart():
    assert whole(32768) == "32\u202f768"
    assert whole(897) == "897"


def test_a_cited_number_carries_its_full_value_and_place():
    results = drawn_results()
    outcome = results.findings[3].outcomes[0]
    number = Citations(results).number(outcome, "estimate", "0.15")
    assert number.source == "findings[3].outcomes[0].estimate"
    assert f'value="{outcome.estimate!r}"' in number.__html__()


def test_what_is_shown_cannot_leave_its_element():
    assert "<b>" not in Number(1.0, '"><b>', "<b>").__html__()


def test_a_part_of_other_results_cannot_be_cited():
    with pytest.raises(KeyError):
        Citations(drawn_results()).path(drawn_results(seeds=4).findings[0], "n")
