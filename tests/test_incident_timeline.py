"""Long windows read from the days to the hours: the same failing stretches as when every hour is read."""

from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from aiops_site.incident import situation, spells, timeline
from aiops_site.incident.spells import Slot
from tests.traffic import event
from usage import partitions
from usage.actions import record_events
from usage.rollups import drain
from usage.scope import Scope

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
MIDNIGHT = datetime(2026, 1, 1, tzinfo=UTC)
EVERY_SLOT = ""  # no step is read by way of the days


def days(*pairs: tuple[int, int]) -> list[Slot]:
    return [Slot(MIDNIGHT + DAY * number, *pair) for number, pair in enumerate(pairs)]


# --- Which days are looked into -----------------------------------------------------------------------------------
def test_days_as_usual_are_not_looked_into():
    assert spells.suspects(days(*[(75_000, 1_300 + 7 * number % 40) for number in range(30)])) == []


def test_a_day_with_more_failures_than_usual_is_looked_into_though_it_is_within_the_limit():
    assert spells.suspects(days(*[(1_000, 10)] * 12, (1_000, 45), *[(1_000, 10)] * 12)) == [12]


def test_a_share_that_is_always_near_the_limit_is_always_looked_into():
    assert spells.suspects(days(*[(1_000, 45)] * 10)) == list(range(10))


def test_failures_on_most_days_do_not_become_usual():
    assert spells.suspects(days(*[(1_000, 0), (1_000, 30), (1_000, 30)] * 8)) == [n for n in range(24) if n % 3]


def test_fewer_failures_than_a_spell_has_hide_none():
    assert spells.suspects(days((10, 0), (10, 2), (10, 0), (10, 0), (10, 2), (10, 1))) == [4, 5]


@given(
    each=st.integers(400, 20_000),
    usual=st.floats(0, 0.02),
    share=st.floats(0.08, 1.0),
    place=st.integers(0, 119),
    length=st.integers(1, 12),
)
def test_the_days_of_a_failing_stretch_are_looked_into(each, usual, share, place, length):
    failing = range(place, min(place + length, 120))
    parts = [(each, round(each * (share if number in failing else usual))) for number in range(120)]
    summed = [tuple(map(sum, zip(*parts[n : n + 4], strict=True))) for n in range(0, 120, 4)]
    assert {number // 4 for number in failing} <= set(spells.suspects(days(*summed)))


# --- The same as with every slot read -----------------------------------------------------------------------------
def calls(start: datetime, end: datetime, **fields) -> list[dict]:
    """Four calls of openai and two of anthropic an hour; `fields` go on those of openai."""
    hours = [start + HOUR * number for number in range((end - start) // HOUR)]
    openai = [event(at + timedelta(minutes=14 * n), **fields) for at in hours for n in range(4)]
    other = {"provider": "anthropic", "model": "claude-sonnet-4-5"}
    return openai + [event(at + timedelta(minutes=25 * n), **other) for at in hours for n in range(2)]


def seen(scope: Scope, monkeypatch, step: str) -> timeline.Timeline:
    monkeypatch.setattr(timeline, "FROM_DAYS", step)
    return timeline.read(scope, timezone.now())


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("first", "last"),
    [
        pytest.param(None, None, id="none"),
        pytest.param(300, 302, id="two hours"),
        pytest.param(300, 318, id="across midnight"),
        pytest.param(200, 280, id="days"),
        pytest.param(10, 22, id="in the first days"),
        pytest.param(20 * 24 - 5, 20 * 24, id="now"),
    ],
)
def test_a_failing_stretch_is_told_as_when_every_slot_is_read(cast, monkeypatch, first, last):
    end = timezone.now().replace(minute=0, second=0, microsecond=0)
    start = end - 20 * DAY
    partitions.ensure(timezone.now())
    stretches = [(start, end, {})] if first is None else [
        (start, start + HOUR * first, {}),
        (start + HOUR * first, start + HOUR * last, {"status": "error", "error_type": "provider_5xx"}),
        (start + HOUR * last, end, {}),
    ]  # fmt: skip
    made = [one for since, until, fields in stretches if since < until for one in calls(since, until, **fields)]
    assert record_events(team=cast.support, environment="", api_key_id=None, events=made).accepted == len(made)
    drain()
    scope = Scope(start=start, end=end, zone=UTC, teams=(cast.support,), range="custom")
    coarse, fine = (seen(scope, monkeypatch, step) for step in ("6hour", EVERY_SLOT))
    assert situation.all_spells(coarse) == situation.all_spells(fine)
    assert bool(situation.all_spells(coarse)) == (first is not None)
    for subject, slots in fine.subjects.items():
        assert _sums(coarse.subjects[subject]) == _sums(slots)


def _sums(slots: list[Slot]) -> tuple[int, int]:
    return sum(slot.count for slot in slots), sum(slot.failed for slot in slots)
