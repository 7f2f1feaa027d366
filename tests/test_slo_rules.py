"""The arithmetic of SLOs: budgets, burn rates, the pairs of windows, and the limit read from a histogram."""

from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from incidents.rules.slos import (
    NOTHING,
    PAIRS,
    WINDOWS,
    Burn,
    Tally,
    added,
    budget_course,
    firings,
    is_burning,
    lasts,
    pairs,
    standing,
    within,
)
from usage.histogram import pack_values, sizes

DAY = timedelta(days=1)
counts = st.integers(0, 10**9)
tallies = st.builds(Tally, counts, counts, counts)
targets = st.decimals("0.5", "0.9999", places=4)


@pytest.mark.parametrize(
    ("days", "rates"), [(30, ["14.4", "6", "3", "1"]), (28, ["13.44", "5.6", "2.8", "0.93"])], ids=["30d", "28d"]
)
def test_the_rates_are_those_of_the_workbook_scaled_to_the_window(days, rates):
    assert [round(pair.rate(days * DAY), 2) for pair in PAIRS] == [Decimal(rate) for rate in rates]


def test_a_pair_that_could_never_fire_is_left_out():
    assert [pair.long for pair in pairs(Decimal("0.9"), 30 * DAY)] == [timedelta(hours=6), DAY, 3 * DAY]


def test_a_pair_that_would_fire_while_the_budget_lasts_is_left_out():
    assert [pair.route for pair in pairs(Decimal("0.999"), 7 * DAY)] == ["page", "page"]


@given(targets, st.integers(7, 90))
def test_every_pair_that_is_kept_can_fire_and_matters(target, days):
    for pair in pairs(target, days * DAY):
        assert Decimal("0.9") <= pair.rate(days * DAY) < 1 / (1 - target)


def test_an_hour_at_the_first_rate_uses_two_percent_of_the_budget():
    target, rate = Decimal("0.999"), PAIRS[0].rate(30 * DAY)
    bad = Tally(good=1_000_000 - 14_400, bad=14_400)
    assert bad.burn(target).burn_rate == rate
    assert rate * (PAIRS[0].long / timedelta(hours=1)).__int__() / (30 * 24) == Decimal("0.02")


@given(st.lists(tallies, max_size=8))
def test_tallies_add_up_in_any_order(parts):
    whole = added(parts)
    assert whole == added(reversed(parts))
    assert whole.total == sum(part.total for part in parts)


@given(tallies, targets)
def test_what_is_left_and_the_burn_of_the_whole_window_are_the_same_fact(tally, target):
    if tally.total:
        assert tally.left(target) == 1 - tally.burn(target).burn_rate
        assert (tally.left(target) < 0) == (tally.attained < target)


@given(targets)
def test_nothing_is_unknown_not_perfect(target):
    assert (NOTHING.attained, NOTHING.left(target), NOTHING.burn(target)) == (None, None, Burn(None, None, 0))


def test_exactly_on_target_leaves_an_empty_budget_that_is_not_overspent():
    assert Tally(good=999, bad=1).left(Decimal("0.999")) == 0


@given(st.lists(tallies, min_size=1, max_size=20), targets)
def test_the_course_of_the_budget_never_rises_and_ends_with_what_is_left(parts, target):
    course = [left for left in budget_course(parts, target) if left is not None]
    assert course == sorted(course, reverse=True)
    if added(parts).total:
        assert abs(course[-1] - added(parts).left(target)) < Decimal("1e-9")


def burning(share: str, events: int = 1000) -> Burn:
    return Burn(Decimal(share), Decimal(share) / Decimal("0.001"), events)


@pytest.mark.parametrize(
    ("long", "short", "fires"),
    [
        (burning("0.02"), burning("0.02"), True),
        (burning("0.02"), burning("0.001"), False),
        (burning("0.001"), burning("0.02"), False),
        (burning("0.02"), Burn(None, None, 0), False),
        (burning("0.02", events=9), burning("0.02", events=1), False),
        (burning("0.0144"), burning("0.0144"), True),
    ],
    ids=["both", "over-again", "a-blip", "no-traffic-now", "too-few", "exactly"],
)
def test_both_windows_must_burn_and_the_long_one_stand_on_enough(long, short, fires):
    assert is_burning(long, short, Decimal("14.4"), 10) is fires


def test_one_failure_at_ten_requests_an_hour_pages_nobody():
    """PEERS, pain 17: it burns 100 times the budget of that hour, and 13.9 % of the month's."""
    one = Tally(good=9, bad=1, events=10).burn(Decimal("0.999"))
    assert one.burn_rate == 100
    assert not is_burning(one, one, Decimal("14.4"), min_events=100)


def test_a_burn_that_lasts_begins_once_and_a_second_one_again():
    calm, bad = Tally(1000, 0, 1000), Tally(900, 100, 1000)
    hours = [calm, bad, bad, calm, calm, bad]
    assert firings(hours, Decimal("0.999"), PAIRS[0], Decimal("14.4"), 100) == [1, 5]
    assert firings(hours, Decimal("0.999"), PAIRS[0], Decimal("14.4"), 5000) == []
    assert firings(hours, Decimal("0.999"), PAIRS[1], Decimal(6), 100) == [1, 5]


def test_a_ticket_about_the_rate_is_one_until_it_was_well_for_a_quarter_of_the_long_window():
    calm, bad = Tally(1000, 0, 1000), Tally(900, 100, 1000)
    # The short window of two hours is well from the second calm hour on.
    assert firings([bad, *[calm] * 6, bad], Decimal("0.99"), PAIRS[2], Decimal(1), 100) == [0]
    assert firings([bad, *[calm] * 7, bad], Decimal("0.99"), PAIRS[2], Decimal(1), 100) == [0, 8]


def test_how_long_the_rest_lasts():
    assert lasts(Decimal("0.5"), Decimal(3), 30 * DAY) == 5 * DAY
    assert lasts(Decimal("0.5"), Decimal(1), 30 * DAY) is None
    assert lasts(Decimal("-0.1"), Decimal(3), 30 * DAY) is None


@pytest.mark.parametrize(
    ("tally", "rate", "word"),
    [
        (NOTHING, None, "No requests"),
        (Tally(990, 10), "1", "Missed"),
        (Tally(9999, 1), "0", "On target"),
        (Tally(9999, 1), "20", "Burning"),
        (Tally(9991, 9), "0", "Little left"),
        (Tally(9991, 9), "2", "Nearly gone"),
    ],
    ids=["nothing", "missed", "fine", "burning", "little", "nearly-gone"],
)
def test_how_an_slo_stands(tally, rate, word):
    now = Burn(Decimal(0), Decimal(rate), 1000) if rate else Burn(None, None, 0)
    assert standing(tally, Decimal("0.999"), now)[1] == word


@given(st.lists(st.integers(1, 60_000), min_size=1, max_size=200), st.integers(2, 50_000))
def test_the_limit_of_a_latency_is_read_two_percent_off_at_most(values, limit):
    faster, slower = within(sizes(pack_values(values)), Decimal(limit))
    assert faster + slower == len(values)
    assert sum(value <= limit * 0.98 for value in values) <= faster <= sum(value <= limit * 1.0201 for value in values)


def test_a_limit_beyond_the_last_bucket_counts_all_as_faster():
    assert within(sizes(pack_values([1, 86_000_000])), Decimal(10**11)) == (2, 0)


def test_the_windows_of_the_pairs_are_known_by_their_seconds():
    assert WINDOWS == (300, 1800, 3600, 7200, 21600, 86400, 259200)
