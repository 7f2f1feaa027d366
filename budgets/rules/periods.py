"""When a budget's period begins and ends. Pure: no ORM, no clock."""

from datetime import UTC, datetime, timedelta
from typing import Protocol
from zoneinfo import ZoneInfo

HOUR = timedelta(hours=1)
_MONTHS = {"month": 1, "quarter": 3}


class Periodic(Protocol):
    """What a budget, or a form that is to become one, says about its periods."""

    period: str
    time_zone: str
    anchor: int


def period_of(budget: Periodic, at: datetime) -> tuple[datetime, datetime]:
    """(start, end) in UTC of the period that holds `at` (aware); the end is exclusive and the next start.

    Days and longer begin at midnight of the budget's zone; where the clock jumps over midnight, at the moment of the
    jump, and where midnight comes twice, at the first. So a day has 23 to 25 hours and a month 28 to 31 days. Hours are
    the zone's clock hours and always 60 minutes.
    """
    zone = ZoneInfo(budget.time_zone)
    if budget.period == "hour":
        start = _hour(at, zone)
        return start, start + HOUR
    first = _first_day(budget, at.astimezone(zone))
    start = _midnight(first, zone)
    if at < start:  # the hour that comes twice, before a first midnight
        first = _step(budget, first, -1)
    return _midnight(first, zone), _midnight(_step(budget, first, 1), zone)


def previous_period(budget: Periodic, start: datetime) -> tuple[datetime, datetime]:
    """The period before the one that begins at `start`."""
    return period_of(budget, start - timedelta(microseconds=1))


def _hour(at: datetime, zone: ZoneInfo) -> datetime:
    """The zone's standard offset decides, so that summer time of half an hour (Lord Howe) leaves no odd hour."""
    local = at.astimezone(zone)
    standard = (local.utcoffset() or timedelta()) - (local.dst() or timedelta())
    epoch = datetime(2001, 1, 1, tzinfo=UTC) - standard % HOUR
    return at.astimezone(UTC) - (at - epoch) % HOUR


def _first_day(budget: Periodic, local: datetime) -> datetime:
    """The local day, without a zone, that the period of that local moment begins on."""
    day = datetime(local.year, local.month, local.day)
    if budget.period == "week":
        return day - timedelta(days=(day.isoweekday() - budget.anchor) % 7)
    if budget.period == "month":
        return _months(day, 0 if day.day >= budget.anchor else -1).replace(day=budget.anchor)
    if budget.period == "quarter":
        return _months(day, -((day.month - budget.anchor) % 3))
    return day


def _step(budget: Periodic, first: datetime, steps: int) -> datetime:
    if months := _MONTHS.get(budget.period):
        return _months(first, months * steps).replace(day=first.day)
    return first + timedelta(days=(7 if budget.period == "week" else 1) * steps)


def _months(day: datetime, months: int) -> datetime:
    """The first of the month so many months on."""
    count = day.year * 12 + day.month - 1 + months
    return datetime(count // 12, count % 12 + 1, 1)


def _midnight(day: datetime, zone: ZoneInfo) -> datetime:
    """Fold 0 is the first of two midnights, and before a gap the offset before it: the moment of the jump."""
    return day.replace(tzinfo=zone).astimezone(UTC)
