"""Series of one API key: where a rule asks by which key calls came, that key's calls get series of their own.

Once a key has had a rule it keeps them; without a rule they are attributed as their events say.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import connection, transaction
from django.utils import timezone

from usage import partitions
from usage.attribution.apply import apply_to_new, lock_series
from usage.measures import DIMENSIONS
from usage.models import AttributionRule, RollupMark
from usage.rollups.drain import TEAM_LOCK, mark

# An ingest under way when the rule was made may still write for so long (its statements time out before).
SETTLED_AFTER = timedelta(seconds=60)
HOUR = timedelta(hours=1)

_SENT = ", ".join(f"coalesce(s.sent_{name}, s.{name})" if name in ("feature", "cost_center") else f"s.{name}"
                  for name in DIMENSIONS)  # fmt: skip
_MAKE = f"""
    WITH fresh AS MATERIALIZED (
        SELECT nextval('usage_series_id_seq') AS id, s.id AS base,
            md5('key ' || %(key)s::text || ' of ' || s.key::text)::uuid AS key
        FROM usage_series s WHERE s.team_id = %(team)s AND s.id = ANY(%(series)s::bigint[])
    )
    INSERT INTO usage_series (team_id, id, key, narrow_id, api_key_id, entry, {", ".join(DIMENSIONS)})
    SELECT s.team_id, f.id, f.key, coalesce(s.sent_narrow_id, s.narrow_id), %(key)s, s.entry, {_SENT}
    FROM fresh f JOIN usage_series s ON s.team_id = %(team)s AND s.id = f.base
    ORDER BY f.key ON CONFLICT (team_id, key) DO NOTHING RETURNING id
"""
_FIND = """
    SELECT s.id, k.id FROM usage_series s JOIN usage_series k
        ON k.team_id = s.team_id AND k.key = md5('key ' || %(key)s::text || ' of ' || s.key::text)::uuid
    WHERE s.team_id = %(team)s AND s.id = ANY(%(series)s::bigint[])
"""
_SHARED = """
    SELECT DISTINCT e.series_id FROM usage_event e
    JOIN usage_series s ON s.team_id = e.team_id AND s.id = e.series_id AND s.api_key_id IS NULL
    WHERE e.team_id = %(team)s AND e.api_key_id = %(key)s AND e.occurred_at >= %(start)s AND e.occurred_at < %(end)s
"""
_MOVE = """
    WITH moved AS (
        UPDATE usage_event e SET series_id = v.own FROM unnest(%(shared)s::bigint[], %(own)s::bigint[]) v (shared, own)
        WHERE e.team_id = %(team)s AND e.api_key_id = %(key)s AND e.series_id = v.shared
            AND e.occurred_at >= %(start)s AND e.occurred_at < %(end)s RETURNING e.occurred_at
    )
    SELECT DISTINCT date_trunc('minute', occurred_at, 'UTC') FROM moved
"""


def series_of_key(team_id: int, api_key: int, series: Iterable[int]) -> dict[int, int]:
    """Series → the one for calls of that key, made where it is new."""
    values: dict[str, Any] = {"team": team_id, "key": api_key, "series": list(series)}
    found = _find(values)
    if len(found) < len(set(values["series"])):
        with transaction.atomic(), connection.cursor() as cursor:
            lock_series(team_id)
            cursor.execute(_MAKE, values)
            apply_to_new(team_id, [one for (one,) in cursor.fetchall()])
        found = _find(values)
    return found


def _find(values: dict) -> dict[int, int]:
    with connection.cursor() as cursor:
        cursor.execute(_FIND, values)
        return dict(cursor.fetchall())


def waiting_rules(now: datetime) -> list[AttributionRule]:
    """Rules by API key whose events of before the rule are still in shared series."""
    found = AttributionRule.objects.filter(api_key__isnull=False, created_at__lte=now - SETTLED_AFTER)
    return list(found.filter(moved_through=None).order_by("id"))


def move_history(rule: AttributionRule, now: datetime | None = None) -> int:
    """Move the kept events of the rule's key into series of their own, hour by hour; returns how many minutes changed.

    Killed in between, it is begun again and finds only what is left.
    """
    now = now or timezone.now()
    start = partitions.raw_horizon(now).astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    minutes = 0
    while start < now + HOUR:
        minutes += _move_hour(rule, start, partitions.minute_horizon(now))
        start += HOUR
    AttributionRule.objects.filter(pk=rule.pk).update(moved_through=now)
    return minutes


def _move_hour(rule: AttributionRule, start: datetime, minutes_from: datetime) -> int:
    team = rule.team_id or 0
    values: dict[str, Any] = {"team": team, "key": rule.api_key_id, "start": start, "end": start + HOUR}
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_SHARED, values)
        shared = [series for (series,) in cursor.fetchall()]
        if not shared:
            return 0
        own = series_of_key(team, rule.api_key_id or 0, shared)
        # A roll-up under way would have read the events as they were.
        cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", [TEAM_LOCK, team % 2**31])
        cursor.execute(_MOVE, values | {"shared": list(own), "own": list(own.values())})
        minutes = {minute for (minute,) in cursor.fetchall()}
        if start >= minutes_from:
            mark(cursor, team, RollupMark.MINUTE, minutes)
        elif minutes:
            mark(cursor, team, RollupMark.HOUR, {start})
    return len(minutes)
