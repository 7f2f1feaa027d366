"""Making the forecasts of every subject. Loads the statistics library: imported by the command only."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from budgets.forecasting.histories import histories, midnight
from budgets.forecasting.shares import events_of
from budgets.forecasting.subjects import Subject
from budgets.models import Forecast, PlannedEvent
from budgets.rules.forecast import forecast
from budgets.rules.outlook import Band, Event, Exhausted, History, Method, OutlookDay, exhausted

BY_USER = "Use by one user is not kept by day"


def forecasts(subjects: Sequence[Subject], events: Sequence[PlannedEvent], now: datetime) -> list[Forecast]:
    """Unsaved forecasts of all subjects, in their order."""
    found, acting = histories(subjects, now), events_of(subjects, events, now)
    return [_made(subject, found.get(subject), acting[subject], now) for subject in subjects]


def _made(subject: Subject, history: History | None, events: list[Event], now: datetime) -> Forecast:
    row = _bare(subject, now)
    if history is None:
        row.method, row.reason = Method.NONE.value, BY_USER
        return row
    days, left = ahead(subject, now)
    made = forecast(history, days, events, left)
    row.method, row.reason = made.method.value, made.reason
    if made.days:
        _fill(row, made.days)
    return row


def _bare(subject: Subject, now: datetime) -> Forecast:
    budget = subject.budget
    return Forecast(
        budget=budget if budget.pk else None,
        team=None if budget.pk else budget.team,
        unit=budget.unit,
        time_zone=budget.time_zone,
        period_start=subject.start,
        period_end=subject.end,
        made_at=now,
        limit=subject.limit,
        spent=subject.spent,
        unknown_calls=subject.unknown_calls,
        days=[],
    )


def ahead(subject: Subject, now: datetime) -> tuple[int, float]:
    """Days from today to the end of the period in the subject's zone, and the share of today that is left.

    A day of a changing clock has 23 or 25 hours.
    """
    zone = ZoneInfo(subject.budget.time_zone)
    today = now.astimezone(zone).date()
    last = (subject.end - timedelta(microseconds=1)).astimezone(zone).date()
    start, end = (midnight(day, zone).timestamp() for day in (today, today + timedelta(days=1)))
    return (last - today).days + 1, (end - now.timestamp()) / (end - start)


def _fill(row: Forecast, days: Sequence[OutlookDay]) -> None:
    total = days[-1].total
    for name in Band.__slots__:
        setattr(row, name, row.spent + _amount(getattr(total, name)))
    row.days = [[day.date.isoformat(), _short(day.day), _short(day.total)] for day in days]
    if row.limit is not None:
        found = used_up(row, days)
        row.exhausted_on, row.exhausted_earliest = found.expected, found.earliest
        row.exhausted_latest = found.latest


def used_up(row: Forecast, days: Sequence[OutlookDay]) -> Exhausted:
    """When the row's limit is used up."""
    return exhausted(days, float(row.spent), float(row.limit or 0))


def _amount(value: float) -> Decimal:
    return Decimal(f"{value:.6f}")


def _short(band: Band) -> list[float]:
    return [float(f"{value:.6g}") for value in band.figures]
