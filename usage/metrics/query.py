"""`query`: any metrics × breakdown × filters × window × step, with the previous period beside it.

It reads the day, hour and minute roll-ups, each part of the window from the coarsest tier that is whole and fresh, so
the cost grows with the points shown and a figure is never older than the minute roll-ups.
"""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cached_property
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
from django.conf import settings
from django.db import connection
from django.utils import timezone

from usage import partitions
from usage.histogram import quantile
from usage.measures import DIMENSIONS, NARROW_DIMENSIONS
from usage.metrics.catalogue import CATALOGUE, Metric, Percentile, Sum
from usage.metrics.window import (
    CALENDAR_STEPS,
    DAY,
    FIXED_STEPS,
    HOUR,
    MINUTE,
    SHORTEST,
    STEPS,
    Segment,
    buckets,
    coarsest_tier,
    floor,
    following,
    segments,
    split_hours,
    up_to_hour,
)

DIMENSION_NAMES = ("team", *DIMENSIONS, "tenant")
MAX_POINTS = 2_000
# int for counts and tokens, Decimal for USD and ratios, float for ms; None is unknown. Which one it is depends on the
# metric's name, which no static type can say, and a union would make every reader cast.
Value = Any
UTC_ZONE = ZoneInfo("UTC")


class QueryError(ValueError):
    """A query that cannot be answered; `field` names what to change and the message says how."""

    def __init__(self, field_name: str, message: str) -> None:
        super().__init__(message)
        self.field = field_name


@dataclass(frozen=True)
class MetricQuery:
    """What to read.

    start, end: aware datetimes, end exclusive; snapped outward to whole minutes, to whole steps where there is a step,
    and to whole hours or days where finer roll-ups are no longer kept. So a day of a zone that is not whole hours from
    UTC begins at the next whole hour once its minutes are gone, and every day at 0:00 UTC once its hours are.
    team_ids: None means every team (only for callers that may see all). filters: dimension → accepted values.
    """

    metrics: tuple[str, ...]
    start: datetime
    end: datetime
    step: str | None = None
    group_by: tuple[str, ...] = ()
    filters: dict[str, tuple[str, ...]] = field(default_factory=dict)
    team_ids: tuple[int, ...] | None = None
    zone: ZoneInfo = UTC_ZONE

    def __post_init__(self) -> None:
        _check_names(self)
        _check_window(self)

    @property
    def by_tenant(self) -> bool:
        return "tenant" in self.group_by or "tenant" in self.filters

    def shifted(self, start: datetime) -> "MetricQuery":
        """The same query over a window as long, starting at `start`."""
        return replace(self, start=start, end=start + (self.end - self.start))


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
        return values[metric] if values else _value_of_nothing(CATALOGUE[metric])

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
    start, end = _snap(q, now)
    if q.team_ids == ():
        return MetricResult(q, start, end, [])
    source = _Source(q, _plan(q, start, end, now), start, end)
    metrics = [CATALOGUE[name] for name in q.metrics]
    groups: dict[tuple, dict[str, Any]] = defaultdict(dict)
    if sums := _sums(metrics):
        _read_sums(source, sums, groups)
    if percentiles := [metric for metric in metrics if isinstance(metric.value, Percentile)]:
        _read_percentiles(source, percentiles, groups)
    rows = [
        Row(key, at, {metric.name: _value(metric, totals, _length(q, at, start, end, now)) for metric in metrics})
        for (key, at), totals in sorted(groups.items(), key=lambda item: (item[0][0], item[0][1] or start))
    ]
    return MetricResult(q, start, end, rows)


# --- Checking ---------------------------------------------------------------------------------------------------
def _check_names(q: MetricQuery) -> None:
    for name in q.metrics:
        if name not in CATALOGUE:
            raise QueryError("metric", f"There is no metric {name!r}. Known metrics: {', '.join(CATALOGUE)}.")
    for field_name, names in (("group_by", q.group_by), ("filters", tuple(q.filters))):
        for name in names:
            if name not in DIMENSION_NAMES:
                raise QueryError(field_name, f"There is no dimension {name!r}. Known: {', '.join(DIMENSION_NAMES)}.")
    if q.by_tenant and (wide := {*q.group_by, *q.filters} - NARROW_DIMENSIONS - {"team", "tenant"}):
        raise QueryError(
            "group_by",
            f"Figures by tenant are not kept by {', '.join(sorted(wide))}. Combine tenant with "
            f"{', '.join(sorted(NARROW_DIMENSIONS))} or team.",
        )


def _check_window(q: MetricQuery) -> None:
    if q.start.tzinfo is None or q.end.tzinfo is None:
        raise QueryError("start", "Times need a zone, e.g. 2026-01-31T00:00:00Z.")
    if q.end <= q.start:
        raise QueryError("end", "The end of the window must be after its start.")
    if q.step is not None and q.step not in STEPS:
        raise QueryError("step", f"There is no step {q.step!r}. Known: {', '.join(STEPS)}.")
    if q.step and (q.end - q.start) / SHORTEST[q.step] > MAX_POINTS:
        raise QueryError("step", f"That is more than {MAX_POINTS} points. Use a wider step or a shorter window.")


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


def _snap(q: MetricQuery, now: datetime) -> tuple[datetime, datetime]:
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


def _plan(q: MetricQuery, start: datetime, end: datetime, now: datetime) -> list[Segment]:
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
class _Source:
    """The FROM … WHERE … GROUP BY of a query, with its parameters."""

    def __init__(self, q: MetricQuery, parts: list[Segment], start: datetime, end: datetime) -> None:
        self.q = q
        self.parts = parts
        # Calendar steps are told to the database as bounds: its own zone tables may be of another year than ours.
        self.bounds = list(buckets(start, end, q.step, q.zone)) if q.step in CALENDAR_STEPS else []
        self.parameters: dict[str, Any] = {"teams": list(q.team_ids or ()), "bounds": self.bounds}

    def sql(self, columns: list[str], select: str) -> str:
        tenant = ["tenant"] if self.q.by_tenant else []
        tiers = " UNION ALL ".join(
            self._tier(tier, ["team_id", "series_id", "bucket", *tenant, *columns])
            for tier in dict.fromkeys(part.tier for part in self.parts)
        )
        keys = self._keys()
        grouping = f" GROUP BY {', '.join(str(n + 1) for n in range(len(keys)))}" if keys else ""
        return (
            f"SELECT {', '.join([*keys, select])} FROM ({tiers}) r"
            f" LEFT JOIN {self._series()} s ON s.team_id = r.team_id AND s.id = r.series_id"
            f"{self._team_join()}{self._where()}{grouping}"
        )

    def split(self, record: tuple) -> tuple[tuple[tuple[str, ...], datetime | None], tuple]:
        """A fetched record as ((group key, bucket), the rest)."""
        at, rest = (self._start_of(record[0]), record[1:]) if self.q.step else (None, record)
        width = len(self.q.group_by)
        return (tuple(rest[:width]), at), rest[width:]

    def _start_of(self, bucket: datetime | int) -> datetime:
        return self.bounds[bucket - 1] if isinstance(bucket, int) else bucket.astimezone(UTC)

    def _tier(self, tier: str, columns: list[str]) -> str:
        ranges = []
        for number, part in enumerate(self.parts):
            if part.tier == tier:
                self.parameters |= {f"start{number}": part.start, f"end{number}": part.end}
                ranges.append(f"(bucket >= %(start{number})s AND bucket < %(end{number})s)")
        teams = "" if self.q.team_ids is None else " AND team_id = ANY(%(teams)s)"
        table = f"usage_{'tenant_' if self.q.by_tenant else ''}{tier}"
        return f"SELECT {', '.join(columns)} FROM {table} WHERE ({' OR '.join(ranges)}){teams}"

    def _keys(self) -> list[str]:
        return [*([self._bucket()] if self.q.step else []), *(self._column(name) for name in self.q.group_by)]

    def _bucket(self) -> str:
        step = self.q.step
        if step in FIXED_STEPS:
            seconds = int(FIXED_STEPS[step].total_seconds())
            return f"date_bin('{seconds} seconds', r.bucket, timestamptz '2001-01-01 00:00+00')"
        return "width_bucket(r.bucket, %(bounds)s::timestamptz[])"

    def _column(self, name: str) -> str:
        return {"team": "t.slug", "tenant": "r.tenant"}.get(name, f"s.{name}")

    def _team_join(self) -> str:
        named = "team" in self.q.group_by or "team" in self.q.filters
        return " LEFT JOIN accounts_team t ON t.id = r.team_id" if named else ""

    def _series(self) -> str:
        """The series that pass the filters."""
        conditions = self._conditions(lambda name: name not in ("team", "tenant"))
        return f"(SELECT * FROM usage_series s{' WHERE ' if conditions else ''}{' AND '.join(conditions)})"

    def _where(self) -> str:
        conditions = self._conditions(lambda name: name in ("team", "tenant"))
        if self.q.filters.keys() - {"team", "tenant"}:
            # An outer join, and a condition that the planner does not see through: else it may put the series first
            # and read the roll-ups once for each of them. With stale statistics it did, at a hundred times the cost.
            conditions.append("(s.id IS NULL) IS FALSE")
        return f" WHERE {' AND '.join(conditions)}" if conditions else ""

    def _conditions(self, wanted: Callable[[str], bool]) -> list[str]:
        chosen = {name: list(values) for name, values in self.q.filters.items() if wanted(name)}
        self.parameters |= {f"filter_{name}": values for name, values in chosen.items()}
        return [f"{self._column(name)} = ANY(%(filter_{name})s)" for name in chosen]


def _sums(metrics: list[Metric]) -> list[Sum]:
    """Every distinct sum the metrics need, in a fixed order."""
    parts = [
        part
        for metric in metrics
        for part in (metric.value, metric.per, metric.known, metric.unknown)
        if isinstance(part, Sum)
    ]
    return list(dict.fromkeys(parts))


def _read_sums(source: _Source, sums: list[Sum], groups: dict) -> None:
    columns = list(dict.fromkeys(measure for part in sums for measure in part.measures))
    sql = source.sql(columns, ", ".join(part.sql() for part in sums))
    with connection.cursor() as cursor:
        cursor.execute(sql, source.parameters)
        for record in cursor.fetchall():
            key, values = source.split(record)
            groups[key] |= dict(zip(sums, values, strict=True))


def _read_percentiles(source: _Source, metrics: list[Metric], groups: dict) -> None:
    """Merge the packed histograms in SQL (they are put behind each other) and read the quantiles here."""
    wanted = [(m.name, m.value) for m in metrics if isinstance(m.value, Percentile)]
    parts = list(dict.fromkeys((value.histogram, value.where) for _, value in wanted))
    columns = list(dict.fromkeys(f"{name}_histogram" for name, _ in parts))
    select = [
        f"string_agg(r.{name}_histogram, ''){f' FILTER (WHERE {where})' if where else ''}" for name, where in parts
    ]
    connection.ensure_connection()
    # Not Django's cursor, which cannot receive binary: text would double and then decode every histogram.
    with connection.wrap_database_errors, psycopg.Cursor(connection.connection) as cursor:
        sql = source.sql(columns, ", ".join(select))
        cursor.execute(sql, source.parameters, prepare=False, binary=True)
        for record in cursor:
            key, values = source.split(record)
            packed = dict(zip(parts, values, strict=True))
            for name, value in wanted:
                groups[key][name] = quantile(packed[value.histogram, value.where], value.quantile)


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
    if metric.unknown and not totals.get(metric.known) and totals.get(metric.unknown):
        return None
    total = totals.get(metric.value, 0)
    if metric.per:
        base = totals.get(metric.per, 0)
        return Decimal(total) * metric.scale / Decimal(base) if base else None
    if metric.per_time:
        return Decimal(total) / Decimal(str(length / _PER_TIME[metric.per_time]))
    return total if metric.unit == "USD" else int(total)


def _value_of_nothing(metric: Metric) -> Value:
    return None if metric.per or isinstance(metric.value, Percentile) else 0
