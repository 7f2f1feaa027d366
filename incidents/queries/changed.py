"""What changed round an incident: change markers, and its figures taken apart against the same hours a week earlier."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from accounts.models import Team
from incidents.models import Incident
from incidents.queries.slices import Slice, slice_of
from usage.changes import changes_between
from usage.models import ChangeMarker
from usage.queries.explain import Question, explain
from usage.queries.explained import EXPLAINED
from usage.rules.spend import Window
from usage.views.explain_shown import summary

BEFORE = timedelta(hours=2)
LONGEST = timedelta(hours=6)  # of the incident that is taken apart: what it began with
LISTED = 8
# Which figure tells most of a failure mode.
TELLING = {
    "provider": "call_errors",
    "rate_limit": "rate_limited",
    "retrieval": "empty_retrieval_rate",
    "prompt": "tokens_per_call",
    "model": "call_latency",
    "cost": "spend",
}


@dataclass(frozen=True)
class Changes:
    """Markers from two hours before the impact on, and the summary for usage/explain/summary.html."""

    markers: list[ChangeMarker]
    summary: Any


def changed_of(incident: Incident, now: datetime, zone: ZoneInfo) -> Changes:
    where = slice_of(incident, now)
    teams = where.team_ids or tuple(Team.objects.values_list("pk", flat=True))
    first = Slice(where.team_ids, where.start, min(where.end, where.start + LONGEST), where.filters)
    found = changes_between(teams, where.start - BEFORE, first.end, where.filters)[:LISTED]
    question = Question(
        EXPLAINED[telling(incident, first)],
        Window(first.start, first.end),
        Window(first.usual.start, first.usual.end),
        where.team_ids,
        where.filters,
        zone,
    )
    return Changes(list(found), summary(explain(question), zone, team=incident.team.slug if incident.team else ""))


def telling(incident: Incident, where: Slice) -> str:
    """That of the failure mode; without one failed requests, if any failed, else latency."""
    if known := TELLING.get(incident.failure_mode):
        return known
    failed = where.metric("errors")
    if where.query((failed,)).value(failed):
        return failed
    return "call_latency" if where.counts_calls else "latency"
