"""Whose turn it is, over hand-overs, overrides and changes of the clocks."""

import itertools
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from incidents.rules.rotas import Cover, Rotation, span_from, spans, turn_at, turn_start

BERLIN = ZoneInfo("Europe/Berlin")
WEEKLY = Rotation("Europe/Berlin", time(9), date(2026, 3, 2), 7, (1, 2, 3))
MOMENTS = st.datetimes(datetime(2025, 1, 1), datetime(2028, 1, 1), timezones=st.just(UTC))
ROTATIONS = st.builds(
    Rotation,
    zone=st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"]),
    handover=st.times().map(lambda at: at.replace(microsecond=0)),
    starts_on=st.dates(date(2025, 1, 1), date(2026, 6, 1)),
    days=st.integers(1, 14),
    persons=st.lists(st.integers(1, 5), max_size=4).map(tuple),
    covers=st.lists(
        st.builds(
            lambda person, start, hours: Cover(person, start, start + timedelta(hours=hours)),
            st.integers(6, 9),
            MOMENTS,
            st.integers(1, 400),
        ),
        max_size=4,
    ).map(tuple),
)


def berlin(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=BERLIN)


def test_members_take_turns_from_the_first_hand_over_on():
    assert span_from(WEEKLY, berlin(2026, 3, 2, 8, 59)).person is None
    assert span_from(WEEKLY, berlin(2026, 3, 2, 9)).person == 1
    assert span_from(WEEKLY, berlin(2026, 3, 9, 8, 59)).person == 1
    assert span_from(WEEKLY, berlin(2026, 3, 9, 9)).person == 2
    assert span_from(WEEKLY, berlin(2026, 3, 23, 9)).person == 1


def test_hand_over_stays_at_nine_when_clocks_change_so_that_turn_is_an_hour_shorter():
    number = turn_at(WEEKLY, berlin(2026, 3, 27, 12))
    start, end = turn_start(WEEKLY, number), turn_start(WEEKLY, number + 1)
    assert (start.astimezone(BERLIN).hour, end.astimezone(BERLIN).hour) == (9, 9)
    assert end - start == timedelta(days=7, hours=-1)


def test_a_hand_over_in_the_hour_that_clocks_skip_happens_once():
    daily = Rotation("Europe/Berlin", time(2, 30), date(2026, 3, 1), 1, (1, 2))
    moments = [turn_start(daily, number) for number in range(27, 30)]
    assert [moment.astimezone(UTC).hour for moment in moments] == [1, 1, 0]


def test_the_override_made_last_counts():
    covers = (Cover(7, berlin(2026, 3, 3), berlin(2026, 3, 5)), Cover(8, berlin(2026, 3, 4), berlin(2026, 3, 4, 12)))
    rotation = Rotation("Europe/Berlin", time(9), date(2026, 3, 2), 7, (1, 2), covers)
    found = spans(rotation, berlin(2026, 3, 2, 9), berlin(2026, 3, 9, 9))
    assert [span.person for span in found] == [1, 7, 8, 7, 1]


def test_a_rota_without_members_is_one_gap():
    empty = Rotation("UTC", time(9), date(2026, 3, 2), 7, ())
    found = spans(empty, datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 4, 1, tzinfo=UTC))
    assert [(span.person, span.end - span.start) for span in found] == [(None, timedelta(days=31))]


@given(ROTATIONS, MOMENTS)
def test_every_moment_is_in_exactly_one_turn_whatever_the_clocks_do(rotation, at):
    number = turn_at(rotation, at)
    assert turn_start(rotation, number) <= at < turn_start(rotation, number + 1)


@given(ROTATIONS, MOMENTS, st.integers(1, 60))
def test_spans_cover_the_time_without_gap_or_overlap_and_agree_with_the_moment(rotation, start, days):
    end = start + timedelta(days=days)
    found = spans(rotation, start, end)
    assert (found[0].start, found[-1].end) == (start, end)
    assert all(one.end == other.start for one, other in itertools.pairwise(found))
    for span in found:
        middle = span.start + (span.end - span.start) / 2
        assert span_from(rotation, span.start).person == span_from(rotation, middle).person == span.person
