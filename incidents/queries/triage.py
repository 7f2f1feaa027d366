"""Reads of triage: a fixed number of metric queries over the window and its baseline, whatever happened in it."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np

from incidents.rules.triage.picture import Baseline, Failures, Impact, Picture
from incidents.rules.triage.radius import Radius
from incidents.rules.triage.tables import Key, Table
from usage.changes import changes_between
from usage.histogram import bucket_of
from usage.measures import NARROW_DIMENSIONS
from usage.metrics import MetricQuery, MetricResult, histograms, kept_step, query
from usage.models import ChangeMarker, Series
from usage.queries.explain import FEW, MANY_SERIES
from usage.rules.onset import Change, Onset, Point, onset
from usage.rules.spend import Window

DIMENSIONS = (
    "team", "environment", "feature", "service", "endpoint", "provider", "model", "region", "release",
    "prompt_version", "tool_name",
)  # fmt: skip
# Counters read as the catalogue has them, and those made of two.
READ = (
    "events", "requests", "errors", "successes", "blocked", "calls", "call_errors", "rate_limited", "fallbacks",
    "retried_calls", "total_tokens", "empty_retrievals", "retrieval_checks", "low_similarity", "similarity_checks",
    "refusals", "refusal_checks", "policy_hits", "policy_checks", "tool_failures", "tool_executions", "schema_checks",
    "citation_checks",
)  # fmt: skip
MADE = {"invalid_answers": ("schema_checks", "valid_answers"), "uncited_answers": ("citation_checks", "cited_answers")}
COUNTERS = (*READ, *MADE)
OF_FEATURES = ("total_tokens",)  # says nothing by tenant: it follows which features and models one uses
METRICS = (*READ, "valid_answers", "cited_answers")
# Dimensions that name a model call or a tool: an incident's scope by them says what to look for, it hides nothing,
# for a request's other stages name none.
OF_CALLS = frozenset({"provider", "model", "region", "tool_name", "prompt_version", "release"})
# By these a scope says where it was seen: signals are read there, the blast radius is sought beyond them too.
OF_REQUESTS = frozenset({"feature", "service", "endpoint"})

HOUR, WEEK = timedelta(hours=1), timedelta(weeks=1)
WEEKS = 3
AROUND = timedelta(hours=1)  # a short window's baseline reaches this much further on both sides
SHORT = timedelta(hours=12)
ENOUGH = 50  # events in a baseline worth the name
LEAD = (timedelta(hours=3), timedelta(hours=24))  # the stretch before is as long as the window, within these
STEPS = ((timedelta(hours=6), "minute"), (timedelta(hours=36), "5min"), (timedelta(days=21), "hour"))
WIDTH = {"minute": timedelta(minutes=1), "5min": timedelta(minutes=5), "hour": HOUR}
LOOK_BACK = timedelta(hours=6)  # change markers sought before the onset


@dataclass(frozen=True)
class Asked:
    """Whose traffic, which slice of it (dimension → values), and when."""

    team_ids: tuple[int, ...]
    scope: dict[str, list[str]]
    window: Window
    at: datetime

    def read(self, metrics: tuple[str, ...], window: Window, group_by=(), step=None, **filters) -> MetricQuery:
        return MetricQuery(
            metrics, window.start, window.end, step, group_by, self.filters | filters, team_ids=self.team_ids
        )

    def wide(self, window: Window, names: tuple[str, ...]) -> MetricQuery:
        """All counters by these dimensions, beyond the features of the scope too."""
        filters = {name: values for name, values in self.filters.items() if name not in OF_REQUESTS}
        return MetricQuery(METRICS, window.start, window.end, None, names, filters, team_ids=self.team_ids)

    @property
    def filters(self) -> dict[str, tuple[str, ...]]:
        return {name: tuple(values) for name, values in self.scope.items() if values and name not in OF_CALLS}

    @property
    def dimensions(self) -> tuple[str, ...]:
        """Of a tenant fewer are kept; of very many series few are looked at."""
        if "tenant" in self.filters:
            return tuple(name for name in DIMENSIONS if name in NARROW_DIMENSIONS | {"team"})
        many = Series.objects.filter(team_id__in=self.team_ids)[: MANY_SERIES + 1].count() > MANY_SERIES
        return tuple(name for name in DIMENSIONS if name in FEW) if many else DIMENSIONS


def picture(asked: Asked) -> Picture:
    """Everything of one window. Raises QueryError where the roll-ups cannot answer."""
    names = asked.dimensions
    now = _counted(query(asked.wide(asked.window, names), asked.at))
    before = _counted(query(asked.wide(_before(asked.window), names), asked.at))
    baseline, usual = _baseline(asked, names, before)
    everything = Table.of(names, COUNTERS, now, usual)
    return Picture(
        asked.window,
        baseline,
        everything.within({name: values for name, values in asked.filters.items() if name in OF_REQUESTS}),
        everything,
        _tenants(asked, baseline),
        _slow(asked, baseline),
        _talks(asked, baseline),
        Table.of(names, COUNTERS, before, {}),
        _failures(asked),
        _quota(asked),
        _impact(asked, baseline),
        told_lately(asked),
    )


# --- Baseline -------------------------------------------------------------------------------------------------------
def _before(window: Window) -> Window:
    length = min(max(window.end - window.start, LEAD[0]), LEAD[1])
    return Window(window.start - length, window.start)


def _baseline(asked: Asked, names: tuple[str, ...], before: dict[Key, list[int]]):
    """The same hours of earlier weeks where enough is known of them, else the stretch before the window."""
    found = [
        (window, counts)
        for window in _earlier(asked.window)
        if _events(counts := _counted(query(asked.wide(window, names), asked.at))) >= ENOUGH
    ]
    if found:
        return Baseline("weeks", tuple(window for window, _ in found)), _added(counts for _, counts in found)
    if _events(before) >= ENOUGH:
        return Baseline("before", (_before(asked.window),)), before
    return Baseline("none"), {}


def _earlier(window: Window) -> list[Window]:
    """The window in the weeks before, whole hours; a short one with some more around it, as one hour is chance."""
    around = AROUND if window.end - window.start < SHORT else timedelta()
    start = (window.start - around).astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    end = (window.end + around + HOUR - timedelta(microseconds=1)).astimezone(UTC)
    end = end.replace(minute=0, second=0, microsecond=0)
    first = -(-(window.end - window.start) // WEEK)
    shifts = [WEEK * number for number in range(first, first + WEEKS)]
    return [Window(start - shift, end - shift) for shift in shifts]


def _counted(result: MetricResult) -> dict[Key, list[int]]:
    found = {}
    for row in result.rows:
        made = [row.values[whole] - row.values[part] for whole, part in MADE.values()]
        found[row.key] = [row.values[name] for name in READ] + made
    return found


def _events(counts: dict[Key, list[int]]) -> int:
    return sum(row[0] for row in counts.values())


def _added(sides: Iterable[dict[Key, list[int]]]) -> dict[Key, list[int]]:
    found: dict[Key, list[int]] = {}
    for side in sides:
        for key, row in side.items():
            found[key] = [a + b for a, b in zip(found[key], row, strict=True)] if key in found else row
    return found


# --- The smaller tables ---------------------------------------------------------------------------------------------
def _tenants(asked: Asked, baseline: Baseline) -> Table:
    """By tenant, where figures by tenant are kept; the first window of the baseline stands for it."""
    if set(asked.filters) - NARROW_DIMENSIONS - {"team", "tenant"}:
        return Table.of(("tenant",), COUNTERS, {}, {}).without(*OF_FEATURES)
    windows = (asked.window, *baseline.windows[:1])
    sides = [_counted(query(asked.read(METRICS, window, ("tenant",)), asked.at)) for window in windows]
    whole = Table.of(("tenant",), COUNTERS, sides[0], sides[1] if len(sides) > 1 else {})
    return whole.without(*OF_FEATURES)


def _slow(asked: Asked, baseline: Baseline) -> Table:
    """How many model calls were slower than their provider's and model's usual p95."""
    names = ("provider", "model")
    sides = [
        histograms(asked.read(("call_latency_p95",), window, names), asked.at)
        for window in (asked.window, *baseline.windows[:1])
    ]
    usual = sides[1] if len(sides) > 1 else {}
    bars = {key: bucket for key, counts in usual.items() if (bucket := bucket_of(counts, 0.95)) is not None}
    slow = [{key: _over(side[key], bar) for key, bar in bars.items() if key in side} for side in (sides[0], usual)]
    return Table.of(names, ("slow_calls", "timed_calls"), slow[0], slow[1])


def _over(counts: np.ndarray, bar: int) -> list[int]:
    return [int(counts[bar + 1 :].sum()), int(counts.sum())]


def _talks(asked: Asked, baseline: Baseline) -> Table:
    """Requests and conversations by feature, of those that have conversations: do people ask again?"""
    sides: list[dict[Key, list[int]]] = [{}, {}]
    for place, window in enumerate((asked.window, *baseline.windows[:1])):
        result = query(asked.read(("requests", "conversations"), window, ("feature",)), asked.at)
        sides[place] = {
            row.key: [row.values["requests"], row.values["conversations"]]
            for row in result.rows
            if row.values["conversations"]
        }
    return Table.of(("feature",), ("talk_requests", "conversations"), *sides)


def _failures(asked: Asked) -> Failures:
    result = query(asked.read(("call_errors", "failures"), asked.window, ("error_type", "provider")), asked.at)
    calls = {row.key: row.values["call_errors"] for row in result.rows if row.values["call_errors"]}
    stages: dict[str, int] = {}
    for row in result.rows:
        if row.values["failures"]:
            stages[row.key[0]] = stages.get(row.key[0], 0) + row.values["failures"]
    return Failures({(kind, provider): count for (kind, provider), count in calls.items()}, stages)


def _quota(asked: Asked) -> dict[str, Decimal]:
    """Provider → the busiest minute's use of its limit, where minutes are kept and a limit is recorded."""
    names = ("quota_use_requests", "quota_use_tokens")
    if kept_step("minute", asked.window.start, asked.at) != "minute":
        return {}
    result = query(asked.read(names, asked.window, ("provider",)), asked.at)
    known = {row.key[0]: [v for name in names if (v := row.values.get(name)) is not None] for row in result.rows}
    return {provider: max(values) for provider, values in known.items() if provider and values}


def _impact(asked: Asked, baseline: Baseline) -> Impact:
    names = ("requests", "errors", "error_rate", "latency_p95", "cost_usd")
    sides = [query(asked.read(names, window), asked.at) for window in (asked.window, *baseline.windows[:1])]
    now, usual = sides[0], sides[1] if len(sides) > 1 else None
    return Impact(
        now.value("requests"),
        now.value("errors"),
        now.value("error_rate"),
        usual.value("error_rate") if usual else None,
        now.value("latency_p95"),
        usual.value("latency_p95") if usual else None,
        _by_hour(now),
        _by_hour(usual) if usual else None,
    )


def _by_hour(result: MetricResult) -> Decimal | None:
    cost = result.value("cost_usd")
    return None if cost is None else cost / Decimal(str((result.end - result.start) / HOUR))


# --- When -----------------------------------------------------------------------------------------------------------
def began(asked: Asked, found: Radius) -> tuple[Onset | None, timedelta]:
    """When the signal rose inside the blast radius, and how wide the steps are in which that was sought."""
    window, signal = asked.window, found.signal
    parts = {"slow_calls": "call_latency_p95", "talk_requests": "requests"}
    bad, base = (
        parts.get(signal.bad, signal.bad),
        {"timed_calls": "", "conversations": ""}.get(signal.base, signal.base),
    )
    lead = Window(min(window.start - (window.end - window.start) / 2, window.start - HOUR), window.end)
    step = next((step for most, step in STEPS if lead.end - lead.start <= most), "day")
    step = kept_step(step, lead.start, asked.at)
    names = tuple(dict.fromkeys(name for name in (*MADE.get(bad, (bad,)), base) if name))
    result = query(asked.read(names, lead, (), step, **_filters(asked, found)), asked.at)
    points = [point for at in result.buckets if (point := _point(result, at, bad, base))]
    return onset(points, 1), WIDTH.get(step, timedelta(days=1))


def _filters(asked: Asked, found: Radius) -> dict[str, tuple[str, ...]]:
    """What to ask the metric query for to get the radius: all its clauses if of one dimension, else the first."""
    names = {tuple(name for name, _ in clause) for clause in found.clauses}
    if len(names) == 1 and len(names.pop()) == 1:
        return {found.clauses[0][0][0]: tuple(clause[0][1] for clause in found.clauses)}
    return {name: (value,) for name, value in found.clauses[0]} if found.clauses else {}


def _point(result: MetricResult, at: datetime, bad: str, base: str) -> Point | None:
    if bad in MADE:
        whole, part = MADE[bad]
        amount: Any = result.value(whole, at=at) - result.value(part, at=at)
    else:
        amount = result.value(bad, at=at)
    if not base:
        return None if amount is None else Point(at, float(amount))
    weight = result.value(base, at=at)
    return Point(at, float(amount or 0) / weight, weight) if weight else None


def changes_near(asked: Asked, at: datetime, step: timedelta) -> list[Change]:
    """Change markers of the hours before the onset, up to two steps after it."""
    kept = {name: values for name, values in asked.filters.items() if name in ("environment", "feature")}
    found = changes_between(asked.team_ids, at - max(LOOK_BACK, 12 * step), at + 2 * step, kept)[:200]
    return [_change(marker) for marker in found]


def told_lately(asked: Asked) -> frozenset[str]:
    """The words of the changes recorded in the window and the hours before it."""
    found = changes_between(asked.team_ids, asked.window.start - LOOK_BACK, asked.window.end)[:200]
    return frozenset(word for marker in found for word in _words(marker))


def _words(marker: ChangeMarker) -> list[str]:
    return f"{marker.ref} {marker.title.replace(':', ' ')}".split()


def _change(marker: ChangeMarker) -> Change:
    names = {"environment": marker.environment, "service": marker.service, "feature": marker.feature}
    names["team"] = marker.team.slug if marker.team else ""
    words = frozenset(_words(marker))
    return Change(
        marker.pk, marker.at, marker.kind, marker.title, {k: v for k, v in names.items() if v}, words, marker.url
    )
