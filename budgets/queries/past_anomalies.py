"""Anomalies of the past as their alerts were: one for a slice at a time, about the worst of what was wrong with it."""

from collections import defaultdict
from collections.abc import Collection, Iterator
from datetime import datetime
from decimal import Decimal
from itertools import groupby, pairwise

from django.db.models import Q

from budgets.models import Anomaly, AnomalyWatch
from budgets.rules.episode import Watched
from incidents.sources import Course, Episode, Past
from usage.metrics import CATALOGUE, MetricQuery, query

# What is watched → the metric of the catalogue that is drawn.
METRICS = {
    Watched.SPEND: "cost_usd",
    Watched.TOKENS_PER_CALL: "tokens_per_call",
    Watched.COST_PER_CALL: "cost_per_call",
    Watched.REQUESTS: "requests",
    Watched.REFUSALS: "refusals",
    Watched.FAILURES: "call_errors",
    Watched.EMPTY_RETRIEVALS: "empty_retrievals",
}
NOT_LOOKED = "The detector has not looked at this traffic yet."
AS_FOUND = "As the detector found them, with the severity they came to; what was withdrawn is left out."


def past(team_ids: Collection[int | None], _budget: str, start: datetime, end: datetime) -> Past:
    """What the detector found in these teams."""
    teams = [one for one in team_ids if one is not None]
    if not AnomalyWatch.objects.filter(team__in=teams).exists():
        return Past([], None, NOT_LOOKED)
    rows = Anomaly.objects.filter(
        Q(ended_at=None) | Q(ended_at__gt=start), team__in=teams, up=True, is_withdrawn=False, started_at__lt=end
    )
    by_watch: dict[int, list[Anomaly]] = defaultdict(list)
    for row in rows.select_related("watch").defer("course", "watch__state"):
        by_watch[row.watch_id].append(row)
    episodes = [one for found in by_watch.values() for one in _turns(found, end)]
    return Past(episodes, first_seen(teams, start, end), AS_FOUND)


def first_seen(team_ids: Collection[int | None], start: datetime, end: datetime) -> datetime | None:
    """The first day in which these teams (None among them: any) sent anything; None without any."""
    teams = None if None in team_ids else tuple(one for one in team_ids if one is not None)
    days = query(MetricQuery(("events",), start, end, step="day", team_ids=teams)).points("events")
    return next((max(at, start) for at, events in days if events), None)


def _until(one: Anomaly, end: datetime) -> datetime:
    """When its alert was over: with the anomaly, or with the decision about it."""
    return min(moment for moment in (one.ended_at, one.decided_at, end) if moment)


def _turns(found: list[Anomaly], end: datetime) -> Iterator[Episode]:
    """The worst of a slice's anomalies from moment to moment."""
    moments = sorted({moment for one in found for moment in (one.started_at, _until(one, end))} | {end})
    parts = [(at, following, _worst(found, at, end)) for at, following in pairwise(moments)]
    for worst, group in groupby(parts, key=lambda part: part[2]):
        if worst:
            spans = list(group)
            yield _episode(worst, spans[0][0], spans[-1][1], end)


def _worst(found: list[Anomaly], at: datetime, end: datetime) -> Anomaly | None:
    return max(
        (one for one in found if one.started_at <= at < _until(one, end)), key=lambda one: one.gravity, default=None
    )


def _episode(one: Anomaly, start: datetime, until: datetime, now: datetime) -> Episode:
    labels = {"feature": one.watch.feature, "model": one.watch.model, "metric": one.metric}
    shown = {"feature": one.watch.feature, "model": one.watch.model, "metric": one.get_metric_display()}
    goes_on = until == now and one.is_running and not one.decision
    key = str(one.watch_id)
    return Episode(key, key, one.team_id, one.severity, labels, shown, start, None if goes_on else until)


def course(one: Episode, start: datetime, end: datetime) -> Course:
    """The metric of the slice by the hour."""
    metric = METRICS[Watched(one.labels["metric"])]
    filters: dict[str, tuple[str, ...]] = {name: (one.labels[name],) for name in ("feature", "model")}
    teams = (one.team_id,) if one.team_id else None
    answer = query(MetricQuery((metric,), start, end, step="hour", filters=filters, team_ids=teams))
    points = {at: None if value is None else Decimal(str(value)) for at, value in answer.points(metric)}
    return Course(CATALOGUE[metric].unit, points)
