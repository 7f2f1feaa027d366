"""Steps of the calendar: no bucket is empty, none overlaps, and each begins where its day, week or month begins."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

from hypothesis import example, given
from hypothesis import strategies as st

from usage.metrics.window import CALENDAR_STEPS, FIXED_STEPS, STEPS, buckets, floor, following

# Clocks that change at midnight (Beirut, Havana), by half an hour (Lord Howe), by a whole day (Apia, end of 2011).
ZONES = ("UTC", "Europe/Berlin", "Asia/Beirut", "America/Havana", "Australia/Lord_Howe", "Asia/Kolkata", "Pacific/Apia")
moments = st.datetimes(datetime(2005, 1, 1), datetime(2035, 1, 1), timezones=st.just(UTC))
zones = st.sampled_from(ZONES).map(ZoneInfo)


@given(moments, st.sampled_from(STEPS), zones)
@example(datetime(2011, 12, 29, 12, tzinfo=UTC), "day", ZoneInfo("Pacific/Apia"))
@example(datetime(2025, 3, 29, 22, 30, tzinfo=UTC), "day", ZoneInfo("Asia/Beirut"))
@example(datetime(2025, 11, 2, 4, 30, tzinfo=UTC), "day", ZoneInfo("America/Havana"))
def test_a_moment_is_in_its_step_and_steps_follow_each_other(moment, step, zone):
    start = floor(moment, step, zone)
    end = following(start, step, zone)
    assert start <= moment < end
    assert floor(end, step, zone) == end
    assert floor(end - timedelta(seconds=1), step, zone) == start


@given(moments, st.sampled_from(CALENDAR_STEPS), zones)
def test_calendar_steps_begin_with_a_local_day(moment, step, zone):
    start = floor(moment, step, zone)
    local, before = start.astimezone(zone), (start - timedelta(seconds=1)).astimezone(zone)
    assert local.date() != before.date()
    if step == "week":
        assert local.weekday() == 0 or before.weekday() == 6 or zone.key == "Pacific/Apia"
    if step == "month":
        assert local.month != before.month


@given(moments, st.sampled_from(sorted(FIXED_STEPS)), st.integers(1, 50))
def test_buckets_cover_a_window_without_gaps(moment, step, number):
    zone, width = ZoneInfo("UTC"), FIXED_STEPS[step]
    found = list(buckets(moment, moment + number * width, step, zone))
    assert found[0] <= moment and found[-1] + width >= moment + number * width
    assert all(b - a == width for a, b in pairwise(found))
