"""Periods of budgets: calendars, time zones and the days on which clocks change."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from budgets.rules.periods import period_of, previous_period


@dataclass
class Asked:
    period: str
    time_zone: str = "UTC"
    anchor: int = 1


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("asked", "at", "start", "end"),
    [
        (Asked("hour"), "2026-03-01T10:59:59", "2026-03-01T10:00", "2026-03-01T11:00"),
        (Asked("hour", "Asia/Kolkata"), "2026-03-01T10:15", "2026-03-01T09:30", "2026-03-01T10:30"),
        (Asked("day"), "2026-03-01T00:00", "2026-03-01", "2026-03-02"),
        (Asked("day", "Asia/Tokyo"), "2026-03-01T15:00", "2026-03-01T15:00", "2026-03-02T15:00"),
        (Asked("week"), "2026-11-21T12:00", "2026-11-16", "2026-11-23"),
        (Asked("week", anchor=7), "2026-11-21T12:00", "2026-11-15", "2026-11-22"),
        (Asked("month"), "2026-02-28T23:59", "2026-02-01", "2026-03-01"),
        (Asked("month"), "2028-02-29T23:59", "2028-02-01", "2028-03-01"),
        (Asked("month"), "2026-12-31T23:59", "2026-12-01", "2027-01-01"),
        (Asked("month", anchor=28), "2026-02-27T12:00", "2026-01-28", "2026-02-28"),
        (Asked("month", anchor=28), "2026-03-01T12:00", "2026-02-28", "2026-03-28"),
        (Asked("quarter"), "2026-03-31T12:00", "2026-01-01", "2026-04-01"),
        (Asked("quarter", anchor=2), "2026-01-31T12:00", "2025-11-01", "2026-02-01"),
    ],
)
def test_a_period_holds_its_moment(asked, at, start, end):
    assert period_of(asked, utc(at)) == (utc(start), utc(end))


def test_the_day_the_clock_goes_forward_has_23_hours():
    start, end = period_of(Asked("day", "Europe/Berlin"), utc("2026-03-29T12:00"))
    assert (start, end - start) == (utc("2026-03-28T23:00"), timedelta(hours=23))


def test_the_day_the_clock_goes_back_has_25_hours():
    start, end = period_of(Asked("day", "America/New_York"), utc("2026-11-01T12:00"))
    assert (start, end - start) == (utc("2026-11-01T04:00"), timedelta(hours=25))


def test_a_day_without_a_midnight_begins_when_the_clock_jumps():
    """In Beirut the clock goes from 0:00 to 1:00."""
    assert period_of(Asked("day", "Asia/Beirut"), utc("2026-03-29T10:00"))[0] == utc("2026-03-28T22:00")


def test_a_month_with_summer_time_is_an_hour_short():
    start, end = period_of(Asked("month", "Europe/Berlin"), utc("2026-03-15T12:00"))
    assert end - start == timedelta(days=31) - timedelta(hours=1)


ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Asia/Beirut", "America/Havana", "Asia/Kolkata",
         "Australia/Lord_Howe", "Pacific/Chatham", "Africa/Cairo", "America/Santiago"]  # fmt: skip


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize(
    ("period", "anchor"),
    [("hour", 1), ("day", 1), ("week", 1), ("week", 7), ("month", 1), ("month", 28), ("quarter", 1), ("quarter", 3)],
)
def test_periods_follow_each_other_without_gap_or_overlap(zone, period, anchor):
    asked = Asked(period, zone, anchor)
    at, last = utc("2026-01-01"), None
    while at < utc("2027-01-01"):
        start, end = period_of(asked, at)
        assert start <= at < end
        if last and last[0] != start:
            assert last[1] == start and previous_period(asked, start) == last
        last = start, end
        at += timedelta(minutes=45 if period == "hour" else 660)
