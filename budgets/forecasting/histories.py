"""Daily histories of many subjects in few queries: one for each kind of slice and zone."""

from collections import defaultdict
from collections.abc import Iterable
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings

from budgets.forecasting.subjects import Subject
from budgets.queries.used import BY_USER, METRICS
from budgets.rules.outlook import History
from usage.metrics import MetricQuery, MetricResult, query
from usage.models.scopes import SCOPE_FIELDS

HISTORY_DAYS = 180


def histories(subjects: Iterable[Subject], now: datetime) -> dict[Subject, History]:
    """Days of each subject's slice, in its unit and zone, from its first use to yesterday.

    A day with calls none of which has a known cost is unknown. Slices of one user are left out: the roll-ups do
    not keep users.
    """
    alike: dict[tuple, list[Subject]] = defaultdict(list)
    for subject in subjects:
        budget = subject.budget
        named = tuple(name for name in SCOPE_FIELDS if getattr(budget, name))
        alike[(budget.time_zone, named, budget.team_id is not None)].append(subject)
    found: dict[Subject, History] = {}
    for (zone, named, of_team), group in alike.items():
        if BY_USER not in named:
            found |= _read(group, ZoneInfo(zone), named, of_team, now)
    return found


def _read(
    group: list[Subject], zone: ZoneInfo, named: tuple[str, ...], of_team: bool, now: datetime
) -> dict[Subject, History]:
    budgets, today = [subject.budget for subject in group], now.astimezone(zone).date()
    # Days of a zone are made of hours, which may be kept for a shorter time.
    days = min(HISTORY_DAYS, settings.HOUR_RETENTION_DAYS - 2)
    answer = query(
        MetricQuery(
            metrics=tuple({METRICS[budget.unit] for budget in budgets}),
            start=midnight(today - timedelta(days=days), zone),
            end=midnight(today, zone),
            step="day",
            group_by=(*(("team",) if of_team else ()), *named),
            filters={name: tuple(sorted({getattr(budget, name) for budget in budgets})) for name in named},
            team_ids=tuple(sorted({budget.team.pk for budget in budgets if budget.team})) if of_team else None,
            zone=zone,
        ),
        now,
    )
    return {subject: _history(answer, subject, named) for subject in group}


def _history(answer: MetricResult, subject: Subject, named: tuple[str, ...]) -> History:
    budget = subject.budget
    slug = (budget.team.slug,) if budget.team else ()
    points = answer.points(METRICS[budget.unit], (*slug, *(getattr(budget, name) for name in named)))
    return used_days([(at.astimezone(answer.query.zone).date(), value) for at, value in points])


def used_days(points: list[tuple[date, Any]]) -> History:
    """From the first day of any use on: what lies before was not yet there, which is not a day of nothing."""
    first = next((place for place, (_, value) in enumerate(points) if value != 0), len(points))
    start = points[first][0] if first < len(points) else points[-1][0] + timedelta(days=1)
    return History(start, [None if value is None else float(value) for _, value in points[first:]])


def midnight(day: date, zone: ZoneInfo) -> datetime:
    """The moment a day begins in a zone."""
    return datetime(day.year, day.month, day.day, tzinfo=zone)
