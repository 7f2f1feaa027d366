"""Reads of the kept forecasts, and the days that were beside those ahead."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from django.db.models import Q, QuerySet

from accounts.access import visible_teams
from accounts.models import Team
from budgets.models import Budget, Forecast, PlannedEvent
from budgets.queries.used import BY_USER, METRICS
from budgets.queries.visible import sees_organisation, visible_budgets
from usage.metrics import MetricQuery, query

Points = list[tuple[datetime, Decimal | None]]


@dataclass(frozen=True)
class Days:
    """Use by day (by hour in a budget of one day) at the bucket's start, and the running sum at its end."""

    each: Points
    running: list[tuple[datetime, Decimal]]


def of_budgets(budgets: Iterable[Budget], now: datetime) -> dict[int, Forecast]:
    """Budget id → its forecast where there is one of its present period, without the single days."""
    found = Forecast.objects.filter(budget__in=[budget.pk for budget in budgets], period_end__gt=now).defer("days")
    return {one.budget_id: one for one in found if one.budget_id is not None}


def of_spend(team: Team | None, now: datetime) -> Forecast | None:
    """The month's spend of a team, or of all teams; None where none was made this month."""
    return Forecast.objects.filter(budget=None, team=team, period_end__gt=now).first()


def visible_forecasts(user, now: datetime) -> list[Forecast]:
    """Forecasts of now that the user may see, by name, without their single days."""
    seen = Q(budget__in=visible_budgets(user).filter(is_active=True)) | Q(budget=None, team__in=visible_teams(user))
    if sees_organisation(user):
        seen |= Q(budget=None, team=None)
    found = Forecast.objects.filter(seen, period_end__gt=now).select_related("budget__team", "team").defer("days")
    return sorted(found, key=lambda one: one.name.lower())


def events_for(scope: Budget, start: datetime, end: datetime) -> list[PlannedEvent]:
    """Planned events between two moments that a slice has calls in common with, by their first day."""
    found = PlannedEvent.objects.filter(removed_at=None, ends_on__gte=start.date(), starts_on__lte=end.date())
    if scope.team_id:
        found = found.filter(Q(team=scope.team_id) | Q(team=None))
    if scope.feature:
        found = found.filter(feature__in=[scope.feature, ""])
    return list(found.select_related("team").order_by("starts_on", "name"))


def visible_events(user) -> QuerySet[PlannedEvent]:
    """Events of teams the user may see and of all teams, latest first."""
    found = PlannedEvent.objects.filter(Q(team__in=visible_teams(user)) | Q(team=None), removed_at=None)
    return found.select_related("team", "created_by")


def days(scope: Budget, start: datetime, end: datetime, now: datetime) -> Days:
    """What a slice used from `start` to now or `end`, in its unit and zone."""
    if getattr(scope, BY_USER) or start >= now:
        return Days([], [])
    metric, zone = METRICS[scope.unit], ZoneInfo(scope.time_zone)
    answer = query(
        MetricQuery(
            metrics=(metric,),
            start=start,
            end=min(end, now),
            step="hour" if scope.period == Budget.Period.DAY else "day",
            filters=scope.filters,
            team_ids=(scope.team_id,) if scope.team_id else None,
            zone=zone,
        ),
        now,
    )
    points = answer.points(metric)
    ends = [*(at for at, _ in points[1:]), min(end, now)]
    return Days(points, _running(start, ends, [value for _, value in points]))


def _running(
    start: datetime, ends: Sequence[datetime], values: Sequence[Decimal | None]
) -> list[tuple[datetime, Decimal]]:
    total, points = Decimal(0), [(start, Decimal(0))]
    for at, value in zip(ends, values, strict=True):
        total += value or 0
        points.append((at, total))
    return points


def day_end(day, zone: ZoneInfo) -> datetime:
    """The moment a day of a zone is over."""
    after = day + timedelta(days=1)
    return datetime(after.year, after.month, after.day, tzinfo=zone)
