"""`query`: any metrics × breakdown × filters × window × step, with the previous period beside it.

It reads the day, hour and minute roll-ups, each part of the window from the coarsest tier that is whole and fresh, so
the cost grows with the points shown and a figure is never older than the minute roll-ups.
"""

from collections import defaultdict
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
from django.conf import settings
from django.db import connection
from django.utils import timezone

from usage import partitions
from usage.metrics.asked import UTC_ZONE, MetricQuery, QueryError
from usage.metrics.catalogue import CATALOGUE
from usage.metrics.metric import Distinct, Metric, Peak, Percentile, Sum
from usage.metrics.packed import read_distinct, read_histograms, read_percentiles
from usage.metrics.quota import limited_keys, minutes, read_peaks
from usage.metrics.source import Source
from usage.metrics.window import (
    CALENDAR_STEPS,
    DAY,
    FIXED_STEPS,
    HOUR,
    MINUTE,
    Segment,
    buckets,
    coarsest_tier,
    floor,
    following,
    segments,
    split_hours,
    up_to_hour,
)

# int for counts and tokens, Decimal for USD and ratios, float for ms; None is unknown. Which one it is depends on the
# metric's name, which no static type can say, and a union would make every reader cast.
Value = Any
Part = TypeVar("Part", Sum, Distinct, Peak)


@dataclass(frozen=True)
class Row:
    """Values of one group (`key`, in the order of group_by) in one bucket (`at`; None without a step)."""

    key: tuple[str, ...]
    at: datetime | None
    values: dict[str, Value]


@dataclass(frozen=True)
class MetricResult:
    """Rows ordered by group and time. `start` and `end` are the window as answered."""

    query: MetricQuery
    start: datetime
    end: datetime
    rows: list[Row]

    @cached_property
    def _index(self) -> dict[tuple[tuple[str, ...], datetime | None], dict[str, Value]]:
        return {(row.key, row.at): row.values for row in self.rows}

    @cached_property
    def _limited(self) -> dict[str, set]:
        return limited_keys((row.key, row.values) for row in self.rows)

    @property
    def buckets(self) -> list[datetime]:
        """Every bucket of the window, empty ones too; [] without a step."""
        step = self.query.step
        return list(buckets(self.start, self.end, step, self.query.zone)) if step else []

    @property
    def keys(self) -> list[tuple[str, ...]]:
        """The groups, in order of first appearance."""
        return list(dict.fromkeys(row.key for row in self.rows))

    def value(self, metric: str, key: tuple[str, ...] = (), at: datetime | None = None) -> Value:
        """One figure; a count or sum of nothing is 0, anything else of nothing is None."""
        values = self._index.get((key, at))
        return values[metric] if values else self._value_of_nothing(CATALOGUE[metric], key)

    def _value_of_nothing(self, metric: Metric, key: tuple[str, ...]) -> Value:
        if isinstance(metric.value, Peak):  # no calls use nothing of a limit that is known
            return Decimal(0) if key in self._limited[metric.name] else None
        if metric.per or isinstance(metric.value, Percentile):
            return None
        return Decimal(0) if metric.per_time or metric.unit == "USD" else 0

    def points(self, metric: str, key: tuple[str, ...] = ()) -> list[tuple[datetime, Value]]:
        """(bucket, value) over the whole window, gaps included."""
        return [(at, self.value(metric, key, at)) for at in self.buckets]

    def ranked(self, metric: str, limit: int | None = None) -> list[Row]:
        """Rows by a metric, largest first, unknown last."""
        known = [row for row in self.rows if row.values[metric] is not None]
        unknown = [row for row in self.rows if row.values[metric] is None]
        return (sorted(known, key=lambda row: row.values[metric], reverse=True) + unknown)[:limit]


def query(q: MetricQuery, now: datetime | None = None) -> MetricResult:
    """Answer a MetricQuery. Raises QueryError where the roll-ups cannot answer it."""
    now = now or timezone.now()
    q = _in_kept_days(q, now)
    start, end = snap(q, now)
    if q.team_ids == ():
        return MetricResult(q, start, end, [])
    source = Source(q, plan(q, start, end, now), start, end)
    metrics = [CATALOGUE[name] for name in q.metrics]
    groups: dict[tuple, dict[str, Any]] = defaultdict(dict)
    sums = _parts(metrics, Sum)
    if percentiles := {metric.name: metric.value for metric in metrics if isinstance(metric.value, Percentile)}:
        read_percentiles(source, percentiles, sums, groups)
    elif sums:
        _read_sums(source, sums, groups)
    if distinct := _parts(metrics, Distinct):
        read_distinct(source, distinct, groups)
    if peaks := _parts(metrics, Peak):
        read_peaks(minutes(q, start, end, now), peaks, groups)
    lengths = {at: _length(q, at, start, end, now) for at in {at for _, at in groups}}
    rows = [
        Row(key, at, {metric.name: _value(metric, totals, lengths[at]) for metric in metrics})
        for (key, at), totals in sorted(groups.items(), key=lambda item: (item[0][0], item[0][1] or start))
    ]
    return MetricResult(q, start, end, rows)


def histograms(q: MetricQuery, now: datetime | None = None) -> dict[tuple[str, ...], np.ndarray]:
    """Group → values per bucket (usage.histogram.sizes) behind the one percentile of a query without a step."""
    return {key: values for (key, _), values in histograms_by_step(q, now).items()}


def histograms_by_step(
    q: MetricQuery, now: datetime | None = None
) -> dict[tuple[tuple[str, ...], datetime | None], np.ndarray]:
    """(group, bucket) → values per bucket of the histogram behind the one percentile of a query; empty ones are not
    there. Without a step the bucket is None."""
    (value,) = (CATALOGUE[name].value for name in q.metrics)
    now = now or timezone.now()
    q = _in_kept_days(q, now)
    start, end = snap(q, now)
    if q.team_ids == () or not isinstance(value, Percentile):
        return {}
    return read_histograms(Source(q, plan(q, start, end, now), start, end), value)


def kept_step(step: str, start: datetime, now: datetime) -> str:
    """`step`, or the next wider one that the roll-ups still have for a window from `start` on."""
    width = FIXED_STEPS.get(step)
    if width and width < HOUR and start < partitions.minute_horizon(now):
        step, width = "hour", HOUR
    if width and start < now - timedelta(days=settings.HOUR_RETENTION_DAYS - 1):
        return "day"
    return step


# --- Planning ---------------------------------------------------------------------------------------------------
def _in_kept_days(q: MetricQuery, now: datetime) -> MetricQuery:
    """The query in UTC where a calendar step reaches back further than the hours that other zones' days are made of."""
    return replace(q, zone=UTC_ZONE) if q.step in CALENDAR_STEPS and q.start < _kept_hours(now) else q


def _kept_hours(now: datetime) -> datetime:
    return now - timedelta(days=settings.HOUR_RETENTION_DAYS - 1)


def snap(q: MetricQuery, now: datetime) -> tuple[datetime, datetime]:
    """The window in whole steps (minutes without one), coarser where finer roll-ups are gone."""
    step, start, end = q.step or "minute", q.start.astimezone(UTC), q.end.astimezone(UTC)
    kept_minutes = partitions.minute_horizon(now)
    kept_hours = _kept_hours(now)
    if start < kept_minutes and step in ("minute", "5min", "15min"):
        if q.step:
            raise QueryError(
                "step", f"Steps under an hour are kept for {settings.MINUTE_RETENTION_DAYS} days. Use hour."
            )
        step = "hour"
    if start < kept_hours and step in ("hour", "6hour"):
        if q.step:
            raise QueryError("step", f"Hours are kept for {settings.HOUR_RETENTION_DAYS} days. Use day.")
        step = "day"
    zone = UTC_ZONE if start < kept_hours else q.zone
    first, last = floor(start, step, zone), floor(end, step, zone)
    if not q.step:  # without steps, each end is snapped by what is kept at that end
        last = floor(end, "minute" if end >= kept_minutes else "hour" if end >= kept_hours else "day", zone)
    return first, last if last == end else following(last, q.step or _end_step(end, kept_minutes, kept_hours), zone)


def _end_step(end: datetime, kept_minutes: datetime, kept_hours: datetime) -> str:
    return "minute" if end >= kept_minutes else "hour" if end >= kept_hours else "day"


def plan(q: MetricQuery, start: datetime, end: datetime, now: datetime) -> list[Segment]:
    """Segments of the window. A stale bucket is read from the tier below, where that is still kept."""
    coarsest = coarsest_tier(q.step, q.zone)
    if coarsest == "minute":
        return [Segment("minute", start, end)]
    horizon = partitions.minute_horizon(now)
    first, last = (moment if moment >= horizon else up_to_hour(moment) for moment in (start, end))
    stale = _stale(q.team_ids, start, end)
    by_minute = stale[1] | split_hours(start, end, q.step, q.zone)
    return segments(
        first,
        last,
        coarsest=coarsest,
        stale_days={day for day in stale[2] if day >= _kept_hours(now)},
        stale_hours={hour for hour in by_minute if hour >= horizon},
    )


def _stale(team_ids: tuple[int, ...] | None, start: datetime, end: datetime) -> dict[int, set[datetime]]:
    """Tier → buckets of the window that still wait to be recomputed, for any of the teams."""
    where, parameters = ("", []) if team_ids is None else (" AND team_id = ANY(%s)", [list(team_ids)])
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT DISTINCT tier, bucket FROM usage_rollup_mark"
            f" WHERE tier IN (1, 2) AND bucket >= %s AND bucket < %s{where}",
            [start - DAY, end, *parameters],
        )
        stale: dict[int, set[datetime]] = {1: set(), 2: set()}
        for tier, bucket in cursor.fetchall():
            stale[tier].add(bucket.astimezone(UTC))
    return stale


# --- Reading ----------------------------------------------------------------------------------------------------
def _parts(metrics: list[Metric], kind: type[Part]) -> list[Part]:
    """Every distinct part of that kind which the metrics need, in a fixed order."""
    parts = [part for m in metrics for part in (m.value, m.per, m.known, m.unknown) if isinstance(part, kind)]
    return list(dict.fromkeys(parts))


def _read_sums(source: Source, sums: list[Sum], groups: dict) -> None:
    columns = list(dict.fromkeys(measure for part in sums for measure in part.measures))
    sql = source.sql(columns, ", ".join(part.sql() for part in sums))
    with connection.cursor() as cursor:
        cursor.execute(sql, source.parameters)
        for record in cursor.fetchall():
            key, values = source.split(record)
            groups[key] |= dict(zip(sums, values, strict=True))


# --- Values -----------------------------------------------------------------------------------------------------
def _length(q: MetricQuery, at: datetime | None, start: datetime, end: datetime, now: datetime) -> timedelta:
    """How much time a bucket has had so far: rates of the current bucket are by the time passed."""
    first = at or start
    last = following(first, q.step, q.zone) if q.step else end
    return max(min(last, now) - first, MINUTE)


_PER_TIME = {"ms": timedelta(milliseconds=1), "minute": MINUTE, "hour": HOUR}


def _value(metric: Metric, totals: dict, length: timedelta) -> Value:
    if isinstance(metric.value, Percentile):
        return totals.get(metric.name)
    if isinstance(metric.value, Peak):
        return totals[metric.value]
    if metric.unknown and not totals.get(metric.known) and totals.get(metric.unknown):
        return None
    total = totals.get(metric.value, 0)
    if metric.per:
        base = totals.get(metric.per, 0)
        return Decimal(total) * metric.scale / Decimal(base) if base else None
    if metric.per_time:
        return Decimal(total) / Decimal(str(length / _PER_TIME[metric.per_time]))
    return Decimal(total) if metric.unit == "USD" else int(total)
