"""The hours of many slices in one query."""

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import Decimal

from budgets.rules.episode import Hour
from usage.metrics import MetricQuery, query

Slice = tuple[str, str, str]  # team (slug), feature, model
Hours = dict[Slice, dict[datetime, Hour]]

_METRICS = ("cost_usd", "calls", "requests", "refusals", "total_tokens", "call_errors", "empty_retrievals")
_SLICE = ("team", "feature", "model")
USUAL = timedelta(days=7)


def read_hours(team_ids: Iterable[int], start: datetime, end: datetime, now: datetime) -> Hours:
    """Figures of every slice of these teams by hour of [start, end); hours of nothing are left out."""
    asked = MetricQuery(_METRICS, start, end, step="hour", group_by=_SLICE, team_ids=tuple(team_ids))
    found: Hours = defaultdict(dict)
    for row in query(asked, now).rows:
        value = row.values
        if row.at is not None:
            found[row.key[0], row.key[1], row.key[2]][row.at] = Hour(
                at=row.at,
                cost=value["cost_usd"],
                calls=value["calls"],
                requests=value["requests"],
                refusals=value["refusals"],
                tokens=value["total_tokens"],
                failures=value["call_errors"],
                empty_retrievals=value["empty_retrievals"],
            )
    return found


def heard(start: datetime, end: datetime, now: datetime) -> set[datetime]:
    """Hours in which any team sent anything."""
    asked = MetricQuery(("events",), start, end, step="hour")
    return {row.at for row in query(asked, now).rows if row.at is not None and row.values["events"]}


def usual_cost(team_ids: Iterable[int], now: datetime) -> dict[str, Decimal]:
    """Team → USD an hour over the last seven days; teams without a known cost are left out."""
    asked = MetricQuery(("cost_usd",), now - USUAL, now, group_by=("team",), team_ids=tuple(team_ids))
    hours = USUAL / timedelta(hours=1)
    rows = query(asked, now).rows
    return {row.key[0]: row.values["cost_usd"] / int(hours) for row in rows if row.values["cost_usd"] is not None}


def nothing(at: datetime) -> Hour:
    """An hour in which the slice was not used."""
    return Hour(at=at, cost=Decimal(0), calls=0, requests=0, refusals=0, tokens=0, failures=0, empty_retrievals=0)
