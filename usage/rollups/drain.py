"""Draining marks: claim them, bring their buckets up to date, mark the tier above; one transaction per team and tier.

A mark is appended in the transaction that changed the rows below it and deleted in the transaction that brings its
bucket up to date, so a crash rolls both back together. An advisory lock per team keeps two drains of a team apart; it
is taken before the marks are claimed.

New batches are *folded* into their minutes: only their events are read and added, because recomputing a busy minute
every few seconds would read it ten times over. Everything else (re-pricing, deletion, hours, days) is *recomputed*.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from django.db import connection, transaction
from django.utils import timezone

from usage import partitions
from usage.models import RollupMark
from usage.rollups import late, sql
from usage.rollups.write import roll_up

MINUTE, HOUR, DAY = RollupMark.MINUTE, RollupMark.HOUR, RollupMark.DAY
WIDTH = {MINUTE: timedelta(minutes=1), HOUR: timedelta(hours=1), DAY: timedelta(days=1)}
# Buckets of one run share a statement: at most so many, with gaps no wider than this many buckets.
RUN_LENGTH, RUN_GAP = 60, 5
# A fold reads only claimed batches, so it may leap wider gaps; it is bounded by the batches it takes instead.
FOLD_LENGTH, FOLD_GAP, FOLD_BATCHES = 240, 30, 400
# Marks claimed in one transaction, so that memory and transaction time stay bounded whatever the backlog.
CLAIM_LIMIT = 10_000
TEAM_LOCK = 7_301_002


class Mark(NamedTuple):
    """A claimed mark: a bucket, and the batch that is new in it (None: the whole bucket)."""

    bucket: datetime
    batch: int | None


@dataclass(frozen=True)
class Run:
    """A stretch of buckets brought up to date by one statement; a recompute does the unmarked ones inside it too."""

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
    """Drain every mark of every tier, lowest first, waiting for drains under way; returns how many marks it drained.

    For commands and tests.
    """
    total = 0
    while marks := sum(drain_tier(tier, now, wait=True) for tier in (MINUTE, HOUR, DAY)):
        total += marks
    return total


def drain_tier(tier: int, now: datetime | None = None, *, wait: bool = False) -> int:
    """Drain the marks of one tier that stand now, team by team; returns how many. Safe to run twice at once.

    A team another process is draining is passed over, or waited for with `wait`.
    """
    now = now or timezone.now()
    with connection.cursor() as cursor:
        cursor.execute("SELECT DISTINCT team_id FROM usage_rollup_mark WHERE tier = %s ORDER BY 1", [tier])
        teams = [team for (team,) in cursor.fetchall()]
    return sum(_drain_team(team, tier, now, wait) for team in teams)


def _drain_team(team: int, tier: int, now: datetime, wait: bool) -> int:
    with transaction.atomic(), connection.cursor() as cursor:
        lock = "pg_advisory_xact_lock" if wait else "pg_try_advisory_xact_lock"
        cursor.execute(f"SELECT {lock}(%s, %s)", [TEAM_LOCK, team % 2**31])
        if cursor.fetchone()[0] is False:
            return 0
        # Enough memory to hash a hot minute; one process, so that ingest keeps the other cores.
        cursor.execute(
            "SET LOCAL work_mem = '128MB'; SET LOCAL max_parallel_workers_per_gather = 0; SET LOCAL jit = off"
        )
        marks = _claim(cursor, team, tier)
        _CATCH_UP[tier](cursor, team, marks, now)
    return len(marks)


def _claim(cursor, team: int, tier: int) -> list[Mark]:
    """Delete and return marks of the team, oldest bucket first. A day waits until no hour of it is stale."""
    cursor.execute(
        """
        DELETE FROM usage_rollup_mark WHERE id IN (
            SELECT m.id FROM usage_rollup_mark m WHERE m.tier = %(tier)s AND m.team_id = %(team)s
            AND NOT (%(tier)s = 2 AND EXISTS (
                SELECT FROM usage_rollup_mark h WHERE h.tier = 1 AND h.team_id = m.team_id
                AND h.bucket >= m.bucket AND h.bucket < m.bucket + interval '1 day'))
            ORDER BY m.bucket LIMIT %(limit)s
        ) RETURNING bucket, batch_id
        """,
        {"tier": tier, "team": team, "limit": CLAIM_LIMIT},
    )
    return [Mark(bucket.astimezone(UTC), batch) for bucket, batch in cursor.fetchall()]


def _catch_up_minutes(cursor, team: int, marks: list[Mark], now: datetime) -> None:
    """Minutes no longer kept are left to their hours, which are then computed from the events."""
    horizon = partitions.minute_horizon(now)
    whole = {mark.bucket for mark in marks if mark.batch is None}
    batches: dict[datetime, set[int]] = defaultdict(set)
    for claimed in marks:
        if claimed.batch is not None and claimed.bucket not in whole:
            batches[claimed.bucket].add(claimed.batch)
    _recompute(cursor, sql.MINUTE_FROM_EVENTS, team, {m for m in whole if m >= horizon}, MINUTE, sql.EXCEPT_PENDING)
    _fold(cursor, team, {minute: new for minute, new in batches.items() if minute >= horizon})
    late.note(cursor, team, batches, now)
    hours = {claimed.bucket.replace(minute=0) for claimed in marks}
    mark(cursor, team, HOUR, hours)
    mark(cursor, team, DAY, {hour.replace(hour=0) for hour in hours})


def _fold(cursor, team: int, batches: dict[datetime, set[int]]) -> None:
    """Add the events of new batches to their minutes."""
    pairs = [(minute, batch) for minute in sorted(batches) for batch in sorted(batches[minute])]
    for part in _fold_parts(pairs):
        for rollup in sql.MINUTE_FROM_EVENTS:
            roll_up(
                cursor,
                rollup,
                team=team,
                start=part[0][0],
                end=part[-1][0] + WIDTH[MINUTE],
                replace=False,
                condition=sql.OF_CLAIMED,
                minutes=[minute for minute, _ in part],
                batches=[batch for _, batch in part],
            )


def _fold_parts(pairs: list[tuple[datetime, int]]) -> Iterator[list[tuple[datetime, int]]]:
    """(minute, batch) pairs in order, cut where a gap is wide, and where a statement would read too much at once."""
    part: list[tuple[datetime, int]] = []
    for pair in pairs:
        if part and (
            len(part) == FOLD_BATCHES
            or pair[0] - part[-1][0] > WIDTH[MINUTE] * FOLD_GAP
            or pair[0] - part[0][0] >= WIDTH[MINUTE] * FOLD_LENGTH
        ):
            yield part
            part = []
        part.append(pair)
    if part:
        yield part


def _catch_up_hours(cursor, team: int, marks: list[Mark], now: datetime) -> None:
    hours = {claimed.bucket for claimed in marks}
    horizon = partitions.minute_horizon(now)
    # Nothing below is left to recompute a dropped day from: its hours stand as they are.
    floor = (
        (partitions.raw_horizon(now) - timedelta(days=1))
        .astimezone(UTC)
        .replace(hour=0, minute=0, second=0, microsecond=0)
    )
    _recompute(cursor, sql.HOUR_FROM_MINUTES, team, {hour for hour in hours if hour >= horizon}, HOUR)
    _recompute(cursor, sql.HOUR_FROM_EVENTS, team, {hour for hour in hours if floor <= hour < horizon}, HOUR)
    mark(cursor, team, DAY, {hour.replace(hour=0) for hour in hours})


def _catch_up_days(cursor, team: int, marks: list[Mark], now: datetime) -> None:
    _recompute(cursor, sql.DAY_FROM_HOURS, team, {claimed.bucket for claimed in marks}, DAY)


_CATCH_UP = {MINUTE: _catch_up_minutes, HOUR: _catch_up_hours, DAY: _catch_up_days}


def _recompute(
    cursor, rollups: tuple[sql.Rollup, ...], team: int, buckets: set[datetime], tier: int, condition: str = ""
) -> None:
    for run in runs(buckets, WIDTH[tier]):
        for rollup in rollups:
            roll_up(cursor, rollup, team=team, start=run.start, end=run.end, replace=True, condition=condition)


def mark(cursor, team: int, tier: int, buckets: set[datetime]) -> None:
    """Append marks to recompute whole buckets. Call it in the transaction that changes what they are computed from."""
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
