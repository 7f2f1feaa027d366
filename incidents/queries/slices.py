"""The slice of the traffic that an incident is about, over a time: what its figures are read from."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from incidents.models import Incident
from usage.measures import NARROW_DIMENSIONS
from usage.metrics import MetricQuery, MetricResult, query

# The metric of model calls for one of requests: an entry event names no provider and no model, so in such a slice
# there would be no request to speak of.
OF_CALLS = {
    "requests": "calls",
    "errors": "call_errors",
    "error_rate": "call_error_rate",
    "latency_p95": "call_latency_p95",
}
SHORTEST = timedelta(minutes=1)
WEEK = timedelta(weeks=1)
LEAD = timedelta(hours=1)
# What a page lets people narrow an incident by; machines may use any dimension of the metric query.
NARROWED_BY = ("feature", "provider", "model", "tenant", "environment")


@dataclass(frozen=True)
class Slice:
    """team_ids None: every team. filters: dimension → values. start, end: aware, end exclusive."""

    team_ids: tuple[int, ...] | None
    start: datetime
    end: datetime
    filters: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def asked(self, metrics: Iterable[str], group_by: tuple[str, ...] = (), step: str | None = None) -> MetricQuery:
        """The metric query of these metrics. Raises QueryError where the roll-ups cannot answer it."""
        return MetricQuery(
            metrics=tuple(metrics),
            start=self.start,
            end=self.end,
            step=step,
            group_by=group_by,
            filters=self.filters,
            team_ids=self.team_ids,
        )

    def query(self, metrics: Iterable[str], group_by: tuple[str, ...] = (), step: str | None = None) -> MetricResult:
        return query(self.asked(metrics, group_by, step))

    def earlier(self, by: timedelta) -> "Slice":
        return replace(self, start=self.start - by, end=self.end - by)

    def with_lead(self) -> "Slice":
        """The same with the hour before it, so that a chart shows what was usual."""
        return replace(self, start=self.start - LEAD)

    def metric(self, name: str) -> str:
        """The metric that says in this slice what `name` says of requests."""
        return OF_CALLS.get(name, name) if self.counts_calls else name

    @property
    def counts_calls(self) -> bool:
        """Whether model calls are counted instead of requests: where a filter picks a provider or model."""
        return bool({"provider", "model"} & set(self.filters))

    @property
    def noun(self) -> str:
        return "model calls" if self.counts_calls else "requests"

    @property
    def length(self) -> timedelta:
        return self.end - self.start

    @property
    def usual(self) -> "Slice":
        """The same hours the fewest whole weeks earlier."""
        return self.earlier(WEEK * -(-self.length // WEEK))

    @property
    def knows_tenants(self) -> bool:
        """Whether figures by tenant are kept for it."""
        return not set(self.filters) - NARROW_DIMENSIONS - {"team", "tenant"}


def filters_of(scope: dict[str, list[str]]) -> dict[str, tuple[str, ...]]:
    """An incident's scope as filters of a metric query."""
    return {name: tuple(values) for name, values in scope.items() if values}


def slice_of(incident: Incident, now: datetime) -> Slice:
    """The incident's slice from the beginning of its impact until that was over, or now."""
    start, end = incident.impact_started_at, incident.mitigated_at or incident.resolved_at or now
    team_ids = (incident.team_id,) if incident.team_id else None
    return Slice(team_ids, start, max(end, start + SHORTEST), filters_of(incident.scope))
