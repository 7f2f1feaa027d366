"""How many hours of a window stayed within a limit, counted in the database: of hundreds of limits at once, the hours
themselves would be a hundred thousand rows."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from django.db import connection
from django.utils import timezone

from usage.metrics.asked import MetricQuery, QueryError
from usage.metrics.catalogue import CATALOGUE
from usage.metrics.metric import Metric, Sum
from usage.metrics.query import plan, snap
from usage.metrics.source import Source

# The current hour is judged by the time passed, as the metric query does.
LENGTH = "greatest(least(x.at + interval '1 hour', %(now)s) - x.at, interval '1 minute')"
PER_TIME = {"hour": 3600, "minute": 60}


class Limit(NamedTuple):
    """The most a metric may be in an hour, for the group `key` (in the order of the query's group_by)."""

    id: int
    key: tuple[str, ...]
    most: Decimal


class Judged(NamedTuple):
    """Hours within the limit, hours over it, and the events of them all."""

    within: int
    over: int
    events: int


def can_judge(name: str) -> bool:
    """Whether the metric is made of sums only, which the database can compare."""
    metric = CATALOGUE[name]
    return isinstance(metric.value, Sum) and (isinstance(metric.per, Sum) or metric.per_time in PER_TIME)


def hours_within(q: MetricQuery, limits: Sequence[Limit], now: datetime | None = None) -> dict[int, Judged]:
    """Id of the limit → its hours. `q` asks by the hour for the metric that is limited and for a count of events.

    Hours without an event, or in which the metric is unknown, are not judged; a limit without any other is not there.
    Raises QueryError where the roll-ups cannot answer, or the metric is made of more than sums.
    """
    name, counted = q.metrics
    if q.step != "hour" or not can_judge(name):
        raise QueryError("metric", f"{name} cannot be judged by the hour.")
    if q.team_ids == () or not limits:
        return {}
    now = now or timezone.now()
    start, end = snap(q, now)
    source = Source(q, plan(q, start, end, now), start, end)
    sql = _sql(source, CATALOGUE[name], CATALOGUE[counted])
    keys = {f"key{place}": [limit.key[place] for limit in limits] for place in range(len(q.group_by))}
    asked = {"ids": [limit.id for limit in limits], "most": [limit.most for limit in limits], "now": now}
    with connection.cursor() as cursor:
        cursor.execute(sql, source.parameters | keys | asked)
        return {row[0]: Judged(*map(int, row[1:])) for row in cursor.fetchall()}


def _sql(source: Source, metric: Metric, counted: Metric) -> str:
    parts = (metric.value, metric.per, metric.known, metric.unknown, counted.value)
    columns = dict.fromkeys(measure for part in parts if isinstance(part, Sum) for measure in part.measures)
    sums = [part.sql() if isinstance(part, Sum) else default for part, default in zip(parts, "01101", strict=True)]
    keys = [f"key{place}" for place in range(len(source.q.group_by))]
    names = ", ".join(["at", *keys, "total", "base", "known", "unknown", "events"])
    limits = ", ".join(["%(ids)s::bigint[]", "%(most)s::numeric[]", *(f"%({key})s::text[]" for key in keys)])
    same = " AND ".join(f"x.{key} = l.{key}" for key in keys) or "true"
    base = "x.base" if metric.per else f"extract(epoch FROM {LENGTH}) / {PER_TIME[metric.per_time]}"
    return (
        f"SELECT l.id, count(*) FILTER (WHERE x.total * {metric.scale} <= l.most * {base}),"
        f" count(*) FILTER (WHERE x.total * {metric.scale} > l.most * {base}), sum(x.events)"
        f" FROM ({source.sql(list(columns), ', '.join(sums))}) x ({names})"
        f" JOIN unnest({limits}) l ({', '.join(['id', 'most', *keys])}) ON {same}"
        " WHERE x.events > 0 AND x.base > 0 AND (x.known > 0 OR x.unknown = 0) GROUP BY 1"
    )
