"""Quota use: the busiest minute of a step, as a share of what the provider allows in a minute."""

from collections import defaultdict
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.db import connection

from usage import partitions
from usage.measures import MODEL_OPERATIONS
from usage.metrics.asked import MetricQuery, QueryError
from usage.metrics.metric import Peak
from usage.metrics.source import Source
from usage.metrics.window import Segment

# Every series of model calls, once for each limit its calls count against, or once without any.
_COVERED = f"""
    (SELECT c.team_id, c.id, l.id AS limit_id, l.requests_per_minute, l.tokens_per_minute
    FROM usage_series c LEFT JOIN usage_providerlimit l ON l.provider = lower(c.provider)
        AND l.model IN ('', lower(c.model)) AND l.region IN ('', lower(c.region))
        AND l.environment IN ('', c.environment) AND (l.team_id = c.team_id OR l.team_id IS NULL AND NOT EXISTS (
            SELECT FROM usage_providerlimit o WHERE o.team_id = c.team_id AND o.provider = l.provider
            AND o.model = l.model AND o.region = l.region AND o.environment = l.environment))
    WHERE c.operation IN ({", ".join(repr(name) for name in MODEL_OPERATIONS)}))
"""
_JOIN = f" JOIN {_COVERED} l ON l.team_id = r.team_id AND l.id = r.series_id"
_USED = {
    "requests": "sum(r.events)::numeric / max(l.requests_per_minute)",
    "tokens": "(coalesce(sum(r.input_tokens), 0) + coalesce(sum(r.output_tokens), 0))::numeric"
    " / max(l.tokens_per_minute)",
}
_COLUMNS = ["events", "input_tokens", "output_tokens"]


def minutes(q: MetricQuery, start: datetime, end: datetime, now: datetime) -> Source:
    """The window in minutes. Raises QueryError where they are not kept, or cannot tell."""
    if q.by_tenant:
        raise QueryError("metric", "Quota use is not kept by tenant. Leave tenant out.")
    if start < partitions.minute_horizon(now):
        raise QueryError(
            "start",
            "Quota use is read from the minutes themselves, which are kept for "
            f"{settings.MINUTE_RETENTION_DAYS} days. Ask for a later start.",
        )
    return Source(q, [Segment("minute", start, end)], start, end)


def read_peaks(source: Source, wanted: list[Peak], groups: dict) -> None:
    """Put the share of its busiest minute into every group, by the Peak itself.

    Of several limits, the one used most counts. A group without a limit is None; one that has a limit in another
    bucket of the window, and no calls against it in this one, uses nothing of it.
    """
    found = {
        source.split(record)[0]: dict(zip(wanted, source.split(record)[1], strict=True))
        for record in _peaks(source, wanted)
    }
    limited = limited_keys((key, shares) for (key, _), shares in found.items())
    for place in groups.keys() | found.keys():
        known = {peak: Decimal(0) if place[0] in limited[peak] else None for peak in wanted}
        groups[place] |= known | {peak: share for peak, share in found.get(place, {}).items() if share is not None}


def limited_keys(shares) -> dict[Any, set]:
    """What was read → the groups that have a limit. Takes pairs of a group's key and its shares."""
    limited = defaultdict(set)
    for key, values in shares:
        for name, share in values.items():
            if share is not None:
                limited[name].add(key)
    return limited


def read_limits(source: Source, wanted: list[Peak]) -> dict[int | None, tuple[Decimal | None, ...]]:
    """Limit → the share of it that its busiest minute took, for each of `wanted`; None: calls without any limit."""
    return {limit: tuple(shares) for limit, *shares in _peaks(source, wanted, ("limit_id",))}


def _peaks(source: Source, wanted: list[Peak], by: tuple[str, ...] = ()) -> list[tuple]:
    """Records of the source's groups, and within them `by`, with the largest share of any minute and limit."""
    width = len(source.q.group_by) + (1 if source.q.step else 0)
    groups = [f"k{number}" for number in range(width)]
    names = [f"used_{peak.of}" for peak in wanted]
    inner = source.sql(
        _COLUMNS, ", ".join(_USED[peak.of] for peak in wanted), extra=("r.bucket", "l.limit_id"), join=_JOIN
    )
    keys = ", ".join([*groups, *by])
    select = ", ".join([*groups, *by, *(f"max({name})" for name in names)])
    columns = ", ".join([*groups, "minute", "limit_id", *names])
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {select} FROM ({inner}) p({columns}){f' GROUP BY {keys}' if keys else ''}", source.parameters
        )
        return cursor.fetchall()
