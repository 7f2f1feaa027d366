"""Intervals and the health score of the product view."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiops_site.product import health
from aiops_site.product.rules import difference, verdict, wilson
from aiops_site.product.versions import natural

COUNTS = st.integers(1, 100_000)


@st.composite
def shares(draw):
    count = draw(COUNTS)
    return draw(st.integers(0, count)) / count, count


def test_wilson_agrees_with_the_published_example():
    # Newcombe (1998), "Two-sided confidence intervals for the single proportion", table I: 81 of 263.
    low, high = wilson(81 / 263, 263)
    assert (round(low, 4), round(high, 4)) == (0.2553, 0.3662)


def test_the_difference_agrees_with_the_published_example():
    # Newcombe (1998), "Interval estimation for the difference", table II, method 10: 56/70 - 48/80.
    low, high = difference(48 / 80, 80, 56 / 70, 70)
    assert (round(low, 4), round(high, 4)) == (0.0524, 0.3339)


@given(shares())
def test_an_interval_holds_its_share_and_stays_a_share(share):
    low, high = wilson(*share)
    assert 0 <= low <= share[0] <= high <= 1


@given(shares(), shares())
def test_a_difference_holds_itself_and_turns_with_its_sides(first, second):
    there, back = difference(*first, *second), difference(*second, *first)
    assert there.low <= second[0] - first[0] <= there.high
    assert there.low == pytest.approx(-back.high)


@given(st.floats(0, 1), COUNTS)
def test_more_answers_make_a_narrower_interval(share, count):
    few, many = wilson(share, count), wilson(share, 10 * count)
    assert many.high - many.low <= few.high - few.low


def test_nothing_has_no_interval_and_no_verdict():
    assert wilson(None, 0) is None
    assert wilson(0.5, 0) is None
    assert verdict(difference(None, 0, 0.5, 10), "up", 0) == ""


@pytest.mark.parametrize(
    ("before", "after", "better", "expected"),
    [
        ((0.10, 1000), (0.02, 1000), "down", "better"),
        ((0.10, 1000), (0.02, 1000), "up", "worse"),
        ((0.10, 1000), (0.02, 1000), "", "changed"),
        ((0.10, 1000), (0.11, 1000), "down", "within chance"),
        ((0.0, 5), (1.0, 5), "up", "too few"),
    ],
)
def test_a_verdict_waits_for_enough_answers(before, after, better, expected):
    assert verdict(difference(*before, *after), better, min(before[1], after[1])) == expected


def test_v9_comes_before_v14():
    assert sorted(["v14", "4.20.0", "v9", "4.3.0"], key=natural) == ["4.3.0", "4.20.0", "v9", "v14"]


# --- Health score -------------------------------------------------------------------------------------------------
def figures(**values):
    return dict.fromkeys(health.METRICS) | {"requests": 1000} | values


PERFECT = figures(error_rate=0, latency_p95=900, cost_per_success=0.01, refusal_rate=0, refusal_checks=500)


def test_a_faultless_day_scores_100():
    assert health.measure(PERFECT, PERFECT).score == 100


def test_each_part_falls_in_a_straight_line():
    day = PERFECT | {"error_rate": 0.025, "latency_p95": 1350, "cost_per_success": 0.02, "refusal_rate": 0.05}
    assert [round(part.score) for part in health.measure(day, PERFECT).parts] == [50, 50, 50, 0]


def test_unknown_parts_are_left_out_and_said():
    found = health.measure(figures(error_rate=0.01), figures())
    assert [part.label for part in found.missing] == ["Response quality", "Latency", "Cost"]
    assert found.score == pytest.approx(80)


def test_no_part_is_no_score():
    assert health.measure(figures(requests=0), figures(requests=0)).score is None


def test_a_signal_of_too_few_answers_is_left_out():
    day = PERFECT | {"feedback_score": 0.0, "feedback_count": 3}
    assert health.measure(day, PERFECT).score == 100
