"""The watch panel: after each mitigation of an incident, the signal that shows whether it helped."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from incidents.models import Control, Incident, TimelineEntry
from incidents.queries.triage import MADE
from incidents.rules.triage.signals import LOAD, WATCHED, Signal
from incidents.rules.triage.watch import Verdict, is_back, judge
from usage.metrics import MetricQuery, MetricResult, kept_step, query
from usage.metrics.window import FIXED_STEPS

BEFORE = timedelta(hours=1)  # the trouble just before the mitigation, no earlier than the impact began
RECENT = timedelta(minutes=30)  # what "now" is, once so much has passed
LEAST = timedelta(minutes=5)
MINUTE = timedelta(minutes=1)
MOST = 12
POINTS = (12, 200)  # fewest and most buckets of a chart
ENOUGH = 8  # events in a bucket that make a rate worth a point


@dataclass(frozen=True)
class Watched:
    """One mitigation and what became of its signal. points: (bucket, rate or None); in_force: its control, if it is."""

    entry: TimelineEntry
    title: str
    signal: Signal
    control: Control | None
    until: datetime | None
    verdict: Verdict
    back: bool
    points: list[tuple[datetime, float | None]]
    usual: float | None
    step: str
    start: datetime
    end: datetime

    def in_force(self, now: datetime) -> bool:
        return self.control is not None and self.control.is_in_force(now)


def watched(incident: Incident, now: datetime) -> list[Watched]:
    """The incident's mitigations, newest first (at most MOST), two or three metric queries each."""
    told = incident.timeline.filter(
        kind=TimelineEntry.Kind.MITIGATION, data__has_key="mitigation", struck_at=None
    ).select_related("author")
    entries = list(told.order_by("-at", "-id")[:MOST])
    keys = [entry.data["mitigation"].get("control") for entry in entries]
    controls = Control.objects.select_related("team").in_bulk([key for key in keys if key])
    return [_watched(incident, entry, controls.get(key), now) for entry, key in zip(entries, keys, strict=True)]


def _watched(incident: Incident, entry: TimelineEntry, control: Control | None, now: datetime) -> Watched:
    facts = entry.data["mitigation"]
    signal = WATCHED[facts["signal"]]
    until = _until(incident, control, entry.at, now)
    usual = tuple(facts["usual"]) if facts.get("usual") else None
    first = max(min(incident.impact_started_at, entry.at - LEAST), entry.at - BEFORE)
    border = entry.at.replace(second=0, microsecond=0) + MINUTE  # the minute it was set in counts as before
    end = max(until, border + MINUTE)
    rate = usual[0] / usual[1] if usual and usual[1] else None
    before = _counts(incident, facts, signal, first, border)
    after = _counts(incident, facts, signal, max(border, end - RECENT), end)
    expected = before[1] * ((end - border) / (border - first)) if _may_stop(control) else 0.0
    verdict = judge(signal, before, after, rate, until - entry.at, expected)
    if verdict.outcome == "early" and end - border > RECENT:  # thin traffic: all of it since
        after = _counts(incident, facts, signal, border, end)
        verdict = judge(signal, before, after, rate, until - entry.at, expected)
    start, last = first - BEFORE / 2, min(max(until, entry.at + BEFORE / 2), now)
    rate_of_events = (before[1] + after[1]) / ((border - first) / MINUTE + (end - border) / MINUTE)
    step = kept_step(_readable(last - start, rate_of_events), start, now)
    return Watched(
        entry,
        facts["title"],
        signal,
        control,
        until,
        verdict,
        is_back(signal, after, usual),
        _points(incident, facts, signal, start, last, step),
        rate,
        step,
        start,
        last,
    )


def _may_stop(control: Control | None) -> bool:
    """Whether it takes away what is counted, so that none at all is what it is for."""
    return control is not None and control.kind == Control.Kind.KILL_SWITCH


def _readable(length: timedelta, by_minute: float) -> str:
    """A step whose buckets hold enough events, as far as that leaves a line to look at."""
    fewest, most = POINTS
    fitting = [name for name, width in FIXED_STEPS.items() if length / width <= most] or ["day"]
    full = (name for name in fitting if name != "day" and by_minute * (FIXED_STEPS[name] / MINUTE) >= ENOUGH)
    lasting = [name for name in fitting if name != "day" and length / FIXED_STEPS[name] >= fewest]
    return next(full, lasting[-1] if lasting else fitting[0])


def _until(incident: Incident, control: Control | None, at: datetime, now: datetime) -> datetime:
    """When its effect ended: the control's end, the incident's, or now; never before a minute has passed."""
    ends = [now, incident.resolved_at, *((control.ended_at, control.expires_at) if control else ())]
    return max(min(end for end in ends if end), at + MINUTE)


def _names(signal: Signal) -> tuple[str, ...]:
    counted = () if signal.base == LOAD.base else (signal.base,)
    return tuple(dict.fromkeys((*MADE.get(signal.bad, (signal.bad,)), *counted)))


def _read(incident: Incident, facts: dict[str, Any], signal: Signal, start, end, step=None) -> MetricResult:
    filters = {name: tuple(values) for name, values in facts.get("watched", {}).items()}
    teams = (incident.team_id,) if incident.team_id else None
    return query(MetricQuery(_names(signal), start, end, step, (), filters, team_ids=teams))


def _bad(result: MetricResult, signal: Signal, at: datetime | None = None) -> int:
    if signal.bad in MADE:
        whole, part = MADE[signal.bad]
        return result.value(whole, at=at) - result.value(part, at=at)
    return result.value(signal.bad, at=at)


def _counts(incident: Incident, facts: dict[str, Any], signal: Signal, start, end) -> tuple[int, int]:
    """(bad, base) of a window; its ends are whole minutes."""
    result = _read(incident, facts, signal, start, end)
    base = round((end - start) / MINUTE) if signal.base == LOAD.base else result.value(signal.base)
    return _bad(result, signal), base


def _points(incident, facts, signal: Signal, start, end, step: str) -> list[tuple[datetime, float | None]]:
    result = _read(incident, facts, signal, start, end, step)
    width = FIXED_STEPS.get(step, timedelta(days=1))
    return [(at, _rate(result, signal, at, min(at + width, end) - max(at, start))) for at in result.buckets]


def _rate(result: MetricResult, signal: Signal, at: datetime, length: timedelta) -> float | None:
    """Of one bucket, `length` of which lies in the window."""
    base = length / MINUTE if signal.base == LOAD.base else result.value(signal.base, at=at)
    return _bad(result, signal, at) / base if base and base > 0 else None
