"""What a postmortem says in figures: read once from the incident and frozen, so that the document never changes."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from aiops_site import formats
from incidents.actions.incidents import moments_of
from incidents.models import FailureMode, Incident, TimelineEntry
from incidents.queries.runbook_figures import OF_REQUESTS, UNITS, without_calls, words
from incidents.queries.slices import Slice, slice_of
from incidents.rules.states import clocks
from usage.metrics import CATALOGUE, QueryError

LEAD = timedelta(minutes=30)
MOST_ENTRIES = 300
# The step of the charts for windows up to so long.
STEPS = ((timedelta(hours=12), "5min"), (timedelta(days=8), "hour"))
# What tells the story of a failure mode; the first two of all others fit any.
CHARTS = {
    FailureMode.PROVIDER: ("call_error_rate", "call_latency_p95", "fallback_rate"),
    FailureMode.RATE_LIMIT: ("rate_limited_rate", "calls", "retry_rate"),
    FailureMode.RETRIEVAL: ("empty_retrieval_rate", "citation_coverage", "call_latency_p95"),
    FailureMode.PROMPT: ("tokens_per_call", "refusal_rate", "cost_per_hour"),
    FailureMode.TOOL: ("tool_failure_rate", "error_rate", "tokens_per_call"),
    FailureMode.SAFETY: ("policy_hit_rate", "refusal_rate", "requests"),
    FailureMode.COST: ("cost_per_hour", "tokens_per_call", "calls"),
    FailureMode.MODEL: ("feedback_score", "output_tokens_per_call", "cost_per_request"),
}
USUAL_CHARTS = ("error_rate", "latency_p95", "cost_per_hour")
NUMBERS = ("calls", "call_errors", "cost_usd")
REQUEST_NUMBERS = ("requests", "errors", "error_rate")


def facts_of(incident: Incident, now: datetime) -> dict[str, Any]:
    """Times, clocks, numbers, charts and timeline of an incident, ready for JSON."""
    place = slice_of(incident, now)
    timeline, left_out = _timeline(incident)
    return {
        "times": _times(incident),
        "clocks": [
            [c.name, c.words, c.length.total_seconds() if c.length is not None else None]
            for c in clocks(moments_of(incident))
        ],
        "numbers": _numbers(place),
        "charts": [chart for metric in _metrics(incident) if (chart := _chart(metric, place, incident))],
        "timeline": timeline,
        "left_out": left_out,
    }


def _times(incident: Incident) -> dict[str, str | None]:
    names = ("impact_started_at", "detected_at", "acknowledged_at", "mitigated_at", "resolved_at")
    return {name: at.isoformat() if (at := getattr(incident, name)) else None for name in names}


def _timeline(incident: Incident) -> tuple[list[list[str]], int]:
    """[time, kind, text, author] of what was not struck out, without single runbook steps; how many were left out."""
    kept = incident.timeline.filter(struck_at=None).exclude(kind=TimelineEntry.Kind.RUNBOOK).order_by("at", "id")
    entries = kept.select_related("author")[:MOST_ENTRIES]
    rows = [[e.at.isoformat(), e.get_kind_display(), e.text, str(e.author) if e.author else ""] for e in entries]
    return rows, max(0, kept.count() - MOST_ENTRIES)


# --- Numbers ------------------------------------------------------------------------------------------------------
def _numbers(place: Slice) -> list[list[str]]:
    """[label, value, what it is compared with], in words; [] of what the roll-ups cannot answer."""
    whole = replace(place, filters=without_calls(place.filters))
    rows = [*_compared(whole, REQUEST_NUMBERS), *_compared(place, NUMBERS)]
    return [*rows, *_tenants(whole)]


def _compared(place: Slice, metrics: tuple[str, ...]) -> list[list[str]]:
    try:
        result, usual = place.query(metrics), place.usual.query(metrics)
    except QueryError:
        return []
    return [
        [CATALOGUE[name].label, words(name, result.value(name)), f"{words(name, usual.value(name))} a week earlier"]
        for name in metrics
    ]


def _tenants(place: Slice) -> list[list[str]]:
    if not place.knows_tenants:
        return []
    rows = [row for row in place.query(("errors",), ("tenant",)).ranked("errors") if row.values["errors"]]
    if not rows:
        return []
    most = ", ".join(f"{row.key[0]} ({formats.exact(row.values['errors'])})" for row in rows[:3])
    return [["Tenants with failed requests", formats.exact(len(rows)), f"most: {most}"]]


# --- Charts -------------------------------------------------------------------------------------------------------
def _metrics(incident: Incident) -> Iterable[str]:
    return CHARTS.get(FailureMode(incident.failure_mode), USUAL_CHARTS) if incident.failure_mode else USUAL_CHARTS


def _chart(metric: str, place: Slice, incident: Incident) -> dict[str, Any] | None:
    """A chart with its points, the hours a week earlier and marks; None of nothing but gaps and zeros."""
    lead = max(LEAD, place.length / 4)
    around = replace(place, start=place.start - lead, end=place.end + lead)
    if metric in OF_REQUESTS:
        around = replace(around, filters=without_calls(around.filters))
    step = next((name for longest, name in STEPS if around.length <= longest), "day")
    usual = around.usual
    try:
        points, before = (part.query((metric,), step=step).points(metric) for part in (around, usual))
    except QueryError:
        return None
    if not any(value for _, value in points):
        return None
    shift = around.start - usual.start
    unit = CATALOGUE[metric].unit
    return {
        "metric": metric,
        "title": _title(metric, points, before),
        "unit": UNITS.get(unit, unit),
        "step": step,
        "points": _frozen(points),
        "before": _frozen([(at + shift, value) for at, value in before]),
        "marks": _marks(incident),
    }


def _frozen(points: list[tuple[datetime, Any]]) -> list[list[Any]]:
    return [[at.isoformat(), None if value is None else float(value)] for at, value in points]


def _marks(incident: Incident) -> list[list[str]]:
    named = (("impact_started_at", "impact"), ("detected_at", "detected"), ("mitigated_at", "mitigated"))
    return [[at.isoformat(), label] for name, label in named if (at := getattr(incident, name))]


def _title(metric: str, points: list[tuple[datetime, Any]], before: list[tuple[datetime, Any]]) -> str:
    """The finding: the worst value, when, and the worst of a week earlier."""
    worst = min if CATALOGUE[metric].better == "up" else max
    at, value = worst(((at, value) for at, value in points if value is not None), key=lambda point: point[1])
    text = f"{CATALOGUE[metric].label} {words(metric, value)} at {at:%-d %b %H:%M} UTC"
    usual = [value for _, value in before if value is not None]
    return (
        f"{text}; a week earlier {'at least' if worst is min else 'at most'} {words(metric, worst(usual))}"
        if usual
        else text
    )
