"""Draining marks: claim them, recompute their buckets, mark the tier above; one transaction per team and tier.

A mark is appended in the transaction that changed the rows below it and deleted in the transaction that recomputes
its bucket. An advisory lock per team keeps two recomputes of a team apart and is taken before the snapshot of the
recompute, so the later one always sees at least what the earlier one saw. A crash rolls both back together.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.db import connection, transaction
from django.utils import timezone

from usage import partitions
from usage.models import RollupMark
from usage.rollups import sql

MINUTE, HOUR, DAY = RollupMark.MINUTE, RollupMark.HOUR, RollupMark.DAY
WIDTH = {MINUTE: timedelta(minutes=1), HOUR: timedelta(hours=1), DAY: timedelta(days=1)}
# Buckets of one run share a statement: at most so many, with gaps no wider than this many buckets.
RUN_LENGTH, RUN_GAP = 60, 5
# Marks claimed in one transaction, so that memory and transaction time stay bounded whatever the backlog.
CLAIM_LIMIT = 10_000
TEAM_LOCK = 7_301_002


@dataclass(frozen=True)
class Run:
    """A stretch of buckets recomputed by one statement, the few unmarked ones inside it too."""

    start: datetime
    end: datetime


def runs(buckets: set[datetime], width: timedelta) -> Iterator[Run]:
    """Group buckets into runs of at most RUN_LENGTH without wide gaps, in time order."""
    run: list[datetime] = []
    for bucket in sorted(buckets):
        if run and (bucket - run[-1] > width * RUN_GAP or bucket - run[0] >= width * RUN_LENGTH):
            yield Run(run[0], run[-1] + width)
            run = []
        run.append(bucket)
    if run:
        yield Run(run[0], run[-1] + width)


def drain(now: datetime | None = None) -> int:
    """Drain every mark of every tier, lowest first; returns how many marks were drained. Used by commands and tests."""
    total = 0
    while marks := sum(drain_tier(tier, now) for tier in (MINUTE, HOUR, DAY)):
        total += marks
    return total


def drain_tier(tier: int, now: datetime | None = None) -> int:
    """Drain the marks of one tier that stand now, team by team; returns how many. Safe to run twice at once."""
    now = now or timezone.now()
    with connection.cursor() as cursor:
        cursor.execute("SELECT DISTINCT team_id FROM usage_rollup_mark WHERE tier = %s ORDER BY 1", [tier])
        teams = [team for (team,) in cursor.fetchall()]
    return sum(_drain_team(team, tier, now) for team in teams)


def _drain_team(team: int, tier: int, now: datetime) -> int:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s, %s)", [TEAM_LOCK, team % 2**31])
        if not cursor.fetchone()[0]:
            return 0
        marks = _claim(cursor, team, tier)
        _RECOMPUTE[tier](cursor, team, set(marks), now)
    return len(marks)


def _claim(cursor, team: int, tier: int) -> list[datetime]:
    """Delete and return marks of the team, oldest first. A day waits until no hour of it is stale."""
    cursor.execute(
        """
        DELETE FROM usage_rollup_mark WHERE id IN (
            SELECT m.id FROM usage_rollup_mark m WHERE m.tier = %(tier)s AND m.team_id = %(team)s
            AND NOT (%(tier)s = 2 AND EXISTS (
                SELECT FROM usage_rollup_mark h WHERE h.tier = 1 AND h.team_id = m.team_id
                AND h.bucket >= m.bucket AND h.bucket < m.bucket + interval '1 day'))
            ORDER BY m.bucket LIMIT %(limit)s
        ) RETURNING bucket
        """,
        {"tier": tier, "team": team, "limit": CLAIM_LIMIT},
    )
    return [bucket.astimezone(UTC) for (bucket,) in cursor.fetchall()]


def _recompute_minutes(cursor, team: int, minutes: set[datetime], now: datetime) -> None:
    """Minutes still kept are recomputed; the hours of older ones are, straight from the events."""
    horizon = partitions.minute_horizon(now)
    kept = {minute for minute in minutes if minute >= horizon}
    _execute(cursor, sql.MINUTE_FROM_EVENTS, team, runs(kept, WIDTH[MINUTE]))
    hours = {minute.replace(minute=0) for minute in minutes}
    mark(cursor, team, HOUR, hours)
    mark(cursor, team, DAY, {hour.replace(hour=0) for hour in hours})


def _recompute_hours(cursor, team: int, hours: set[datetime], now: datetime) -> None:
    horizon = partitions.minute_horizon(now)
    # Nothing below is left to recompute a dropped day from: its hours stand as they are.
    floor = (
        (partitions.raw_horizon(now) - timedelta(days=1))
        .astimezone(UTC)
        .replace(hour=0, minute=0, second=0, microsecond=0)
    )
    from_minutes = {hour for hour in hours if hour >= horizon}
    from_events = {hour for hour in hours if floor <= hour < horizon}
    _execute(cursor, sql.HOUR_FROM_MINUTES, team, runs(from_minutes, WIDTH[HOUR]))
    _execute(cursor, sql.HOUR_FROM_EVENTS, team, runs(from_events, WIDTH[HOUR]))
    mark(cursor, team, DAY, {hour.replace(hour=0) for hour in hours})


def _recompute_days(cursor, team: int, days: set[datetime], now: datetime) -> None:
    _execute(cursor, sql.DAY_FROM_HOURS, team, runs(days, WIDTH[DAY]))


_RECOMPUTE = {MINUTE: _recompute_minutes, HOUR: _recompute_hours, DAY: _recompute_days}


def _execute(cursor, statements: tuple[sql.Statements, ...], team: int, parts: Iterator[Run]) -> None:
    # Enough memory to hash a hot minute; one process, so that ingest keeps the other cores.
    cursor.execute("SET LOCAL work_mem = '128MB'; SET LOCAL max_parallel_workers_per_gather = 0; SET LOCAL jit = off")
    for run in parts:
        parameters = {"team": team, "start": run.start, "end": run.end}
        for statement in statements:
            cursor.execute(statement.delete, parameters)
            cursor.execute(statement.insert, parameters)


def mark(cursor, team: int, tier: int, buckets: set[datetime]) -> None:
    """Append marks. Call it in the transaction that changes what the buckets are computed from."""
    if buckets:
        cursor.execute(
            "INSERT INTO usage_rollup_mark (tier, team_id, bucket) SELECT %s, %s, unnest(%s::timestamptz[])",
            [tier, team, sorted(buckets)],
        )


def lag_seconds() -> float:
    """Age in seconds of the oldest minute not yet rolled up; 0.0 when all are."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT coalesce(extract(epoch FROM clock_timestamp() - min(created_at)), 0) FROM usage_rollup_mark"
            " WHERE tier = %s",
            [MINUTE],
        )
        return float(cursor.fetchone()[0])
