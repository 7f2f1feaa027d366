"""The figures of each section, by a handful of metric queries of the week and the week before."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from django.db.models import Count, F, Q, QuerySet, Sum
from django.urls import reverse

from accounts.models import User
from aiops_site.charts import Bar, Bars, Chart, Series
from aiops_site.executive import objectives
from aiops_site.operations.rules import WEEK, Line, Value, Week, largest, trend
from budgets.models import GuardCount
from incidents.controls import visible_controls
from incidents.models import Alert
from incidents.queries.alerts import visible_alerts
from incidents.queries.incidents import visible_incidents
from incidents.queries.postmortems import visible_items
from usage.metrics import MetricResult
from usage.scope import UNTAGGED, Scope

SHOWN = 8
TOTALS = ("requests", "error_rate", "latency_p95", "cost_usd", "retries")
# The page behind a total and its filters; of the others the incident view.
BEHIND = {
    "error_rate": ("event-list", {"status": "error", "entries": "1"}),
    "cost_usd": ("spend", {}),
    "retries": ("event-list", {"retried": "1"}),
}
# A page that resolved by itself within so long woke somebody for nothing.
BRIEF = timedelta(minutes=10)


@dataclass(frozen=True)
class Review:
    """What is looked at: the week as far as it has gone, and the same stretch of the week before."""

    week: Week
    scope: Scope
    before: Scope
    user: User

    @property
    def window(self) -> dict[str, datetime]:
        return {"from": self.scope.start, "to": self.scope.end}

    def url(self, path: str, **filters: str) -> str:
        team = {"team": self.scope.team.slug} if self.scope.team else {}
        moments = {name: moment.isoformat().replace("+00:00", "Z") for name, moment in self.window.items()}
        return f"{path}?{urlencode(moments | team | filters)}"

    def of_team(self, found: QuerySet) -> QuerySet:
        return found.filter(Q(team=self.scope.team)) if self.scope.team else found


def stats(review: Review) -> dict[str, tuple[Value, Value, str]]:
    """Metric of TOTALS → (this week, the week before, the page behind it)."""
    now, before = review.scope.query(TOTALS), review.before.query(TOTALS)
    return {name: (now.value(name), before.value(name), _behind(review, name)) for name in TOTALS}


def _behind(review: Review, metric: str) -> str:
    page, filters = BEHIND.get(metric, ("incident", {}))
    return review.url(reverse(page), **filters)


# --- Errors and latency -------------------------------------------------------------------------------------------
def reliability(review: Review, totals: dict[str, tuple[Value, Value, str]]) -> dict[str, Any]:
    metrics = ("error_rate", "latency_p95")
    now, before = review.scope.query(metrics, step="day"), review.before.query(metrics, step="day")
    charts = [
        _chart(review, "error_rate", "Error rate", "%", now, before, totals),
        _chart(review, "latency_p95", "p95 latency", "ms", now, before, totals),
    ]
    return {"charts": charts, "objectives": objectives.read(review.scope, review.user)}


def _chart(review: Review, metric: str, name: str, unit: str, now: MetricResult, before: MetricResult, totals) -> Chart:
    points, (value, earlier, _) = now.points(metric), totals[metric]
    worst = max(((at, value) for at, value in points if value is not None), key=lambda pair: pair[1], default=None)
    return Chart(
        id=metric.replace("_", "-"),
        title=trend(name, value, earlier, unit, worst),
        unit=unit,
        series=[
            Series(name, points, tone="bad" if unit == "%" else "accent"),
            Series("week before", [(at + WEEK, value) for at, value in before.points(metric)], previous=True),
        ],
        tz=review.scope.zone,
        start=review.week.start,
        end=review.week.end,
        step="day",
        height="small",
        source_url=review.url(reverse("incident")),
    )


# --- Spend --------------------------------------------------------------------------------------------------------
def spend(review: Review) -> dict[str, Any]:
    return {"bars": [_bars(review, "feature"), _bars(review, "tenant")]}


def _bars(review: Review, dimension: str) -> Bars:
    now, before = (one.query(("cost_usd",), group_by=(dimension,)) for one in (review.scope, review.before))
    lines = largest(
        _pairs(now, "cost_usd"),
        dict(_pairs(before, "cost_usd")),
        SHOWN,
        lambda names: review.url(reverse("spend"), by=dimension, **{dimension: names[0] or UNTAGGED}),
    )
    bars = [Bar(line.names[0] or UNTAGGED, line.value, previous=line.before, url=line.url) for line in lines]
    more = review.url(reverse("spend"), by=dimension)
    return Bars(f"By {dimension}", "USD", bars, note="The tick is the week before.", url=more, share=False)


def _pairs(result: MetricResult, metric: str) -> list[tuple[tuple[str, ...], Value]]:
    return [(row.key, row.values[metric]) for row in result.rows]


# --- Retries and failures -----------------------------------------------------------------------------------------
def failures(review: Review) -> dict[str, list[Line]]:
    return {
        "failures": _largest(review, "errors", ("feature", "error_type"), status="error", entries="1"),
        "retries": _largest(review, "retries", ("provider", "model"), retried="1"),
    }


def _largest(review: Review, metric: str, by: tuple[str, ...], **filters: str) -> list[Line]:
    """With the events behind each, which `filters` choose besides its names."""

    def events(names: tuple[str, ...]) -> str:
        named = {name: value or UNTAGGED for name, value in zip(by, names, strict=True)}
        return review.url(reverse("event-list"), **filters, **named)

    now, before = (one.query((metric,), group_by=by) for one in (review.scope, review.before))
    return largest(_pairs(now, metric), dict(_pairs(before, metric)), SHOWN, events)


# --- Incidents and follow-ups -------------------------------------------------------------------------------------
def incidents(review: Review) -> dict[str, Any]:
    """Those that began in the week or were open in it, and what postmortems promised and is still open."""
    start, end = review.scope.start, review.scope.end
    mine = review.of_team(visible_incidents(review.user)).filter(is_drill=False, merged_into=None)
    found = mine.filter(Q(resolved_at__isnull=True) | Q(resolved_at__gte=start), detected_at__lt=end)
    items = visible_items(review.user).filter(Q(closed_at=None) | Q(closed_at__gte=end), created_at__lt=end)
    if review.scope.team:
        items = items.filter(postmortem__incident__team=review.scope.team)
    return {
        "incidents": list(found.order_by("severity", "-detected_at")[: 2 * SHOWN]),
        "items": list(items[: 2 * SHOWN]),
        "today": end.date(),
    }


# --- Guardrails ---------------------------------------------------------------------------------------------------
def guardrails(review: Review) -> dict[str, Any]:
    """What the guard denied and degraded, controls that were set, and which alerts told whom how often."""
    start, end = review.scope.start, review.scope.end
    counts = GuardCount.objects.filter(minute__gte=start, minute__lt=end, team_id__in=review.scope.team_ids)
    controls = review.of_team(visible_controls(review.user)).filter(created_at__gte=start, created_at__lt=end)
    alerts = review.of_team(visible_alerts(review.user)).filter(started_at__gte=start, started_at__lt=end)
    return {
        "answers": list(counts.values("decision", "code").annotate(calls=Sum("count")).order_by("-calls")[:SHOWN]),
        "controls": list(controls.order_by("-created_at")[:SHOWN]),
        "alerts": list(_by_rule(alerts)),
        "alert_count": alerts.count(),
        "page_count": alerts.filter(route=Alert.Route.PAGE, muted_by="").count(),
    }


def _by_rule(alerts: QuerySet[Alert]) -> QuerySet:
    """The rules and sources that raised most, with how many of theirs were over within BRIEF."""
    brief = Count("pk", filter=Q(resolved_at__lt=F("started_at") + BRIEF))
    named = alerts.order_by().values("rule_id", "rule__name", "source_kind")
    return named.annotate(raised=Count("pk"), brief=brief).order_by("-raised", "source_kind")[:SHOWN]
