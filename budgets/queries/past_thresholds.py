"""When the thresholds of budgets would have raised their alerts: budgets as they are set now, on what was used."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from itertools import accumulate, groupby, product
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from django.db.models import Q, QuerySet

from budgets.facts import draft_of
from budgets.models import Budget
from budgets.queries.past_anomalies import first_seen
from budgets.queries.used import BY_USER, METRICS
from budgets.rules.periods import period_of
from budgets.rules.thresholds import Step, reached, severity_of
from incidents.sources import Course, Episode, Past
from usage.metrics import MetricQuery, query

# So many budgets are looked at in one go.
MOST = 30
AS_SET = "Budgets as they are set now, without grants and what was rolled over, on what was used"
ONLY_OF_USERS = "What a single user uses is not kept by the hour, so such a budget cannot be looked at."


class Point(NamedTuple):
    """At the end of an hour (of a quarter: a day): used by limit, and how much of the period is over."""

    start: datetime
    at: datetime
    share: Decimal
    elapsed: float


@dataclass(frozen=True)
class Period:
    """A period of a budget as far as it was looked at."""

    end: datetime
    points: list[Point]


def past(team_ids: Collection[int | None], subject: str, start: datetime, end: datetime) -> Past:
    """What the budgets of these teams, or the one of them that is named, would have told."""
    budgets = list(_active(team_ids, subject).prefetch_related("thresholds"))
    readable = [one for one in budgets if not one.user_hash][:MOST]
    if not readable:
        return Past([], None, ONLY_OF_USERS if budgets else "There is no such budget yet.")
    found = [one for budget in readable for one in _episodes(budget, _periods(budget, start, end), end)]
    few = f", {len(readable)} of {len(budgets)} budgets" if len(readable) < len(budgets) else ""
    seen = first_seen({one.team_id for one in readable}, start, end)
    return Past(found, seen, f"{AS_SET}{few}.")


def _active(team_ids: Collection[int | None] | None, subject: str = "") -> QuerySet[Budget]:
    found = Budget.objects.filter(is_active=True).select_related("team", "owner")
    if team_ids is not None:
        mine = Q(team__in=[one for one in team_ids if one is not None])
        found = found.filter(mine | Q(team=None) if None in team_ids else mine)
    return found.filter(pk=int(subject)) if subject else found


def subjects(team_ids: Collection[int | None] | None) -> list[tuple[str, str, int | None]]:
    """(key, name, team) of the budgets in force."""
    return [(str(one.pk), one.name, one.team_id) for one in _active(team_ids)]


def course(one: Episode, start: datetime, end: datetime) -> Course:
    """How much of the budget was used, against the threshold."""
    periods = _periods(Budget.objects.get(pk=int(one.labels["budget"])), start, end)
    points: dict[datetime, Decimal | None] = {point.at: point.share for period in periods for point in period.points}
    return Course("ratio", points, Decimal(one.labels["percent"]) / 100)


# --- Reading ------------------------------------------------------------------------------------------------------
def _periods(budget: Budget, start: datetime, end: datetime) -> list[Period]:
    """Sums within each period. A part whose use is unknown adds nothing, as nothing is known of it."""
    metric, by_day = METRICS[budget.unit], budget.period == Budget.Period.QUARTER
    asked = MetricQuery(
        metrics=(metric,),
        start=period_of(budget, start)[0],
        end=end,
        step="day" if by_day else "hour",
        filters={name: values for name, values in budget.filters.items() if name != BY_USER},
        team_ids=(budget.team_id,) if budget.team_id else None,
        zone=ZoneInfo(budget.time_zone),
    )
    used = query(asked, end).points(metric)
    parts = groupby(used, key=lambda point: period_of(budget, point[0]))
    return [Period(last, _points(budget, list(part), (first, last), start, end)) for (first, last), part in parts]


def _points(
    budget: Budget, used: list[tuple[datetime, Any]], period: tuple[datetime, datetime], start: datetime, now: datetime
) -> list[Point]:
    first, last = period
    ends = [*(at for at, _ in used[1:]), min(last, now)]
    sums = accumulate(Decimal(amount or 0) for _, amount in used)
    points = [
        Point(begin, at, total / budget.limit, (at - first) / (last - first))
        for (begin, _), at, total in zip(used, ends, sums, strict=True)
    ]
    return [point for point in points if point.at >= start]


def _episodes(budget: Budget, periods: list[Period], now: datetime) -> Iterator[Episode]:
    """One alert for each threshold and period, as the budgets' automation raises and ends them."""
    for step, period in product(draft_of(budget).thresholds, periods):
        since: datetime | None = None
        for point in period.points:
            holds = reached(step, point.share, point.elapsed, entered=since is not None)
            if since is not None and not holds:
                yield _episode(budget, step, period, since, point.at)
            since = (since or point.start) if holds else None
        if since is not None:
            yield _episode(budget, step, period, since, period.end if period.end <= now else None)


def _episode(budget: Budget, step: Step, period: Period, start: datetime, end: datetime | None) -> Episode:
    labels = {"budget": str(budget.pk), "percent": f"{step.percent.normalize():f}"}
    shown = {"budget": budget.name, "threshold": f"at {step.words}"}
    severity, _ = severity_of(step)
    key = f"{budget.pk}:{step.key}"
    return Episode(key, f"{key}:{period.end}", budget.team_id, severity, labels, shown, start, end)
