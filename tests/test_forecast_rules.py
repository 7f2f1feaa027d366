"""The forecast of a daily series: rhythm, events, gaps, spikes, intervals, short histories."""

from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from budgets.rules.forecast import forecast
from budgets.rules.outlook import Band, Event, History, Method, OutlookDay, Scenario, exhausted

MONDAY = date(2026, 3, 2)
WEEK = [100.0, 110.0, 120.0, 110.0, 100.0, 40.0, 30.0]


def weekly(days: int, noise: float = 0.0, seed: int = 1) -> list[float]:
    random = np.random.default_rng(seed)
    return (np.resize(WEEK, days) * random.lognormal(0, noise, days)).tolist()


def expected(made) -> list[float]:
    return [day.day.expected for day in made.days]


def test_a_weekly_rhythm_is_continued():
    made = forecast(History(MONDAY, weekly(84)), 14)
    assert made.method is Method.RHYTHM
    assert expected(made) == pytest.approx(WEEK * 2, rel=0.02)
    assert made.days[0].date == MONDAY + timedelta(84)


def test_an_unknown_day_is_not_a_day_of_nothing():
    values: list[float | None] = list(weekly(84))
    values[70:77] = [None] * 7
    gap = forecast(History(MONDAY, values), 7)
    values[70:77] = [0.0] * 7
    nothing = forecast(History(MONDAY, values), 7)
    assert expected(gap) == pytest.approx(WEEK, rel=0.02)
    assert sum(expected(nothing)) < 0.92 * sum(WEEK)


def test_a_gap_at_the_end_is_said_and_widens_the_interval():
    known = forecast(History(MONDAY, weekly(84, 0.1)), 7)
    late = forecast(History(MONDAY, [*weekly(84, 0.1), *[None] * 14]), 7)
    assert "nothing known of the last 14 days" in late.reason
    assert late.days[0].date == MONDAY + timedelta(98)
    assert _width(late) > _width(known)


def _width(made) -> float:
    band = made.days[-1].total
    return (band.high80 - band.low80) / band.expected


def test_one_spike_does_not_lift_the_days_after_it():
    values = weekly(84, 0.05)
    calm = sum(expected(forecast(History(MONDAY, values), 28)))
    values[80] *= 20
    assert sum(expected(forecast(History(MONDAY, values), 28))) == pytest.approx(calm, rel=0.05)


def test_a_lasting_rise_is_followed_within_three_weeks():
    values = weekly(84, 0.05)
    doubled = values[:63] + [2 * value for value in values[63:]]
    assert sum(expected(forecast(History(MONDAY, doubled), 7))) > 1.7 * sum(WEEK)


def test_a_known_event_ahead_is_put_on_its_days_only():
    plain = expected(forecast(History(MONDAY, weekly(84)), 14))
    launch = Event(MONDAY + timedelta(88), MONDAY + timedelta(90), 1.4)
    made = expected(forecast(History(MONDAY, weekly(84)), 14, [launch]))
    ratios = [a / b for a, b in zip(made, plain, strict=True)]
    assert ratios == pytest.approx([1.0] * 4 + [1.4] * 3 + [1.0] * 7)


def test_events_that_overlap_multiply():
    day = MONDAY + timedelta(84)
    both = [Event(day, day, 1.5), Event(day - timedelta(1), day + timedelta(1), 2.0)]
    plain = expected(forecast(History(MONDAY, weekly(84)), 1))
    past = [*weekly(83), weekly(84)[83] * 2]
    assert expected(forecast(History(MONDAY, past), 1, both)) == pytest.approx([plain[0] * 3])


def test_an_event_of_the_past_is_no_level():
    values = weekly(84)
    campaign = Event(MONDAY + timedelta(70), MONDAY + timedelta(83), 3.0)
    lifted = values[:70] + [3 * value for value in values[70:]]
    assert expected(forecast(History(MONDAY, lifted), 7, [campaign])) == pytest.approx(WEEK, rel=0.02)


def test_the_year_end_counts_as_sundays():
    start = date(2026, 9, 7)
    days = (date(2026, 12, 21) - start).days
    made = forecast(History(start, weekly(days)), 14)
    christmas = next(day for day in made.days if day.date == date(2026, 12, 25))
    monday = next(day for day in made.days if day.date == date(2026, 12, 21))
    assert christmas.day.expected == pytest.approx(30, rel=0.05)
    assert monday.day.expected == pytest.approx(100, rel=0.05)


def test_a_quiet_year_end_is_no_lower_level_afterwards():
    start = date(2026, 9, 7)
    dates = [start + timedelta(n) for n in range((date(2027, 1, 4) - start).days)]
    values = [
        30.0 if (day.month, day.day) >= (12, 24) or day == date(2027, 1, 1) else WEEK[day.weekday()] for day in dates
    ]
    assert expected(forecast(History(start, values), 7)) == pytest.approx(WEEK, rel=0.05)


@pytest.mark.parametrize(
    ("days", "method"),
    [
        (0, Method.NONE),
        (2, Method.NONE),
        (3, Method.MEAN),
        (13, Method.MEAN),
        (14, Method.WEEKDAYS),
        (27, Method.WEEKDAYS),
        (28, Method.RHYTHM),
        (400, Method.RHYTHM),
    ],
)
def test_a_short_history_gets_a_humbler_method_and_says_so(days, method):
    made = forecast(History(MONDAY, weekly(days, 0.1)), 30)
    assert made.method is method
    assert f"{days} known days" in made.reason
    assert len(made.days) == (0 if method is Method.NONE else 30)


def test_the_less_is_known_the_wider_the_interval():
    widths = [_width(forecast(History(MONDAY, weekly(days, 0.1)), 28)) for days in (3, 10, 20, 56, 180)]
    assert widths == sorted(widths, reverse=True)
    assert widths[0] > 2 * widths[-1]


def test_the_interval_of_a_sum_is_narrower_than_the_sum_of_intervals():
    made = forecast(History(MONDAY, weekly(180, 0.3)), 28)
    of_days = sum(day.day.high80 - day.day.low80 for day in made.days)
    total = made.days[-1].total
    assert total.high80 - total.low80 < 0.7 * of_days


def test_intervals_hold_what_they_say_on_days_of_known_noise():
    """A level that walks 2 % a day under 20 % noise; 60 series, four weeks ahead."""
    random = np.random.default_rng(7)
    inside, sums = [], []
    for _ in range(60):
        level = np.exp(np.cumsum(random.normal(0, 0.02, 208)))
        values = np.resize(WEEK, 208) * level * random.lognormal(0, 0.2, 208)
        made, future = forecast(History(MONDAY, values[:180].tolist()), 28), values[180:]
        inside += [day.day.low80 <= value <= day.day.high80 for day, value in zip(made.days, future, strict=True)]
        sums.append(made.days[-1].total.low80 <= future.sum() <= made.days[-1].total.high80)
    assert 0.75 <= np.mean(inside) <= 0.88
    assert 0.7 <= np.mean(sums) <= 0.95


def test_a_series_used_on_few_days_gets_the_mean_of_four_weeks():
    values = [0.0] * 84
    values[3::7] = [70.0] * 12
    made = forecast(History(MONDAY, values), 28)
    assert made.method is Method.SPARSE
    assert made.days[-1].total.expected == pytest.approx(280)


def test_nothing_used_stays_nothing():
    made = forecast(History(MONDAY, [0.0] * 60), 7)
    assert expected(made) == [0.0] * 7
    assert made.days[-1].total.high95 == 0


def test_of_the_first_day_only_what_is_left_counts():
    whole = forecast(History(MONDAY, weekly(84)), 2)
    rest = forecast(History(MONDAY, weekly(84)), 2, first_day_left=0.25)
    assert rest.days[0].day.expected == pytest.approx(whole.days[0].day.expected / 4)
    assert rest.days[1].day.expected == whole.days[1].day.expected


def test_unknown_days_before_the_first_known_one_are_no_history():
    assert expected(forecast(History(MONDAY, [*[None] * 28, *weekly(84)]), 7)) == expected(
        forecast(History(MONDAY + timedelta(28), weekly(84)), 7)
    )


def test_the_same_history_gives_the_same_forecast():
    history = History(MONDAY, weekly(100, 0.3))
    assert forecast(history, 31) == forecast(history, 31)


def test_a_horizon_below_one_day_is_refused():
    with pytest.raises(ValueError, match="days must be at least 1, not 0"):
        forecast(History(MONDAY, weekly(28)), 0)


@settings(max_examples=60)
@given(st.lists(st.none() | st.floats(0, 1e9) | st.just(0.0), max_size=70), st.integers(1, 40))
def test_any_history_gives_ordered_finite_bands(values, days):
    made = forecast(History(MONDAY, values), days)
    for day in made.days:
        for band in (day.day, day.total):
            assert 0 <= band.low95 <= band.low80 <= band.high80 <= band.high95 < np.inf
            assert 0 <= band.expected < np.inf


def steady(days: int) -> list[OutlookDay]:
    def band(number: int) -> Band:
        return Band(10.0 * number, 8.0 * number, 12.0 * number, 6.0 * number, 14.0 * number)

    return [OutlookDay(MONDAY + timedelta(n), band(1), band(n + 1)) for n in range(days)]


def test_the_day_a_limit_is_used_up_has_a_range():
    found = exhausted(steady(30), spent=50.0, limit=150.0)
    assert found.expected == MONDAY + timedelta(10)
    assert found.earliest == MONDAY + timedelta(8)
    assert found.latest == MONDAY + timedelta(12)


def test_a_limit_that_holds_is_never_used_up():
    found = exhausted(steady(30), spent=0.0, limit=310.0)
    assert found.expected is None and found.latest is None
    assert found.earliest == MONDAY + timedelta(25)


def test_a_scenario_multiplies_what_is_ahead_and_not_what_is_spent():
    risk = Scenario("risk", "Risk", traffic=1.2, unit_cost=1.5)
    band = Band(100.0, 80.0, 120.0, 60.0, 140.0).scaled(risk.factor, spent=50.0)
    assert band.figures == pytest.approx((230.0, 194.0, 266.0, 158.0, 302.0))
