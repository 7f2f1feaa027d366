"""Rows → the database: events, roll-up marks and the ledger entry in one transaction.

A batch is copied straight into the table, which is fastest and nearly always right. Only when a key is already there
is the batch staged in a temporary table and merged. Everything happens inside one transaction, so it works behind
PgBouncer in transaction mode.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.db import IntegrityError, OperationalError, connection, transaction

from usage import partitions
from usage.ingest import ledger
from usage.ingest.ledger import Seal
from usage.ingest.rows import COLUMNS, Row
from usage.ingest.series import Known, RawKey, Resolved
from usage.models import RollupMark

LOCK_TIMEOUT, STATEMENT_TIMEOUT = "10s", "30s"
ATTEMPTS = 4
_COPY_LINES = 500  # per piece, so that a large batch is never whole in memory a second time
_UNIQUE_VIOLATION, _CHECK_VIOLATION = "23505", "23514"

_BEGIN = """
SELECT set_config('lock_timeout', %s, true), set_config('statement_timeout', %s, true),
    (SELECT count(*) FROM usage_series WHERE team_id = %s AND id = ANY(%s))
"""
_COPY = f"COPY usage_event ({COLUMNS}) FROM STDIN (FORMAT text, NULL '')"
_STAGE = "CREATE TEMP TABLE usage_event_stage (LIKE usage_event) ON COMMIT DROP"
_COPY_STAGED = f"COPY usage_event_stage ({COLUMNS}) FROM STDIN (FORMAT text, NULL '')"
_MERGE = f"""
WITH added AS (
    INSERT INTO usage_event ({COLUMNS}) SELECT {COLUMNS} FROM usage_event_stage ORDER BY occurred_at, event_id
    ON CONFLICT (team_id, occurred_at, event_id) DO NOTHING RETURNING occurred_at
)
SELECT date_bin('1 minute', occurred_at, TIMESTAMPTZ 'epoch'), count(*) FROM added GROUP BY 1
"""
_MARK = """
INSERT INTO usage_rollup_mark (tier, team_id, bucket, batch_id)
SELECT tier, %s, bucket, batch FROM unnest(%s::smallint[], %s::timestamptz[], %s::bigint[]) AS m (tier, bucket, batch)
"""


class SeriesGone(Exception):
    """A remembered series is no longer in the database."""


class AlreadyAnswered(Exception):
    """Another request with the same Idempotency-Key and body was first; it got `answer`."""

    def __init__(self, answer: dict[str, Any]):
        super().__init__()
        self.answer = answer


@dataclass
class Batch:
    """Rows of one team, sorted by (occurred_at, event_id), each key once. `known` has the series of every row.

    `answer` makes the JSON kept in the ledger from the number of rows accepted.
    """

    team_id: int
    batch_id: int
    rows: list[Row]
    known: Known
    now: datetime
    seal: Seal | None
    answer: Callable[[int], bytes]


def store(batch: Batch, relearn: Callable[[], Known]) -> int:
    """Commit a batch; returns how many rows were new. All or nothing.

    Raises AlreadyAnswered, and Django's database errors when the database is away, full, read-only or busy.
    """
    staged = False
    for _ in range(ATTEMPTS):
        try:
            with transaction.atomic():
                return _attempt(batch, staged=staged)
        except SeriesGone:
            batch.known = relearn()
        except IntegrityError as exc:
            if _sqlstate(exc) == _UNIQUE_VIOLATION:
                staged = True
            elif _no_partition(exc):
                partitions.ensure(batch.now)
            else:
                raise
    raise OperationalError("the batch could not be stored: series or partitions keep vanishing")


def _sqlstate(exc: Exception) -> str | None:
    return getattr(exc.__cause__, "sqlstate", None)


def _no_partition(exc: Exception) -> bool:
    diagnosis = getattr(exc.__cause__, "diag", None)
    return _sqlstate(exc) == _CHECK_VIOLATION and diagnosis is not None and not diagnosis.constraint_name


def _attempt(batch: Batch, *, staged: bool) -> int:
    ids = {series: _series_id(batch.known, series.raw) for series in {row.series for row in batch.rows}}
    with connection.cursor() as cursor:
        _begin(cursor, batch.team_id, set(ids.values()))
        if batch.seal and not ledger.claim(cursor, batch.seal):
            raise AlreadyAnswered(ledger.answered(batch.seal) or {})
        minutes = _merge(cursor, batch.rows, ids) if staged else _copy_direct(cursor, batch.rows, ids)
        accepted = minutes.total()
        _mark(cursor, batch, minutes)
        if batch.seal:
            ledger.settle(cursor, batch.seal, batch.answer(accepted))
    return accepted


def _series_id(known: Known, key: RawKey) -> int:
    found = known[key]
    if not isinstance(found, Resolved):
        raise TypeError(f"a row of a refused series: {found}")
    return found.id


def _begin(cursor, team_id: int, ids: set[int]) -> None:
    """Time limits for this transaction only, and a look that every series is still there, in one round trip."""
    cursor.execute(_BEGIN, [LOCK_TIMEOUT, STATEMENT_TIMEOUT, team_id, list(ids)])
    if cursor.fetchone()[2] != len(ids):
        raise SeriesGone


def _copy(cursor, statement: str, rows: list[Row], ids: dict[Resolved, int]) -> None:
    with connection.wrap_database_errors, cursor.copy(statement) as copy:
        for start in range(0, len(rows), _COPY_LINES):
            copy.write(
                "".join([f"{ids[series]}\t{line}" for _, _, series, line in rows[start : start + _COPY_LINES]]).encode()
            )


def _copy_direct(cursor, rows: list[Row], ids: dict[Resolved, int]) -> Counter[datetime]:
    _copy(cursor, _COPY, rows, ids)
    minutes = Counter([row[0][:16] for row in rows])
    return Counter({datetime.fromisoformat(minute).replace(tzinfo=UTC): count for minute, count in minutes.items()})


def _merge(cursor, rows: list[Row], ids: dict[Resolved, int]) -> Counter[datetime]:
    cursor.execute(_STAGE)
    _copy(cursor, _COPY_STAGED, rows, ids)
    cursor.execute(_MERGE)
    return Counter(dict(cursor.fetchall()))


def _mark(cursor, batch: Batch, minutes: Counter[datetime]) -> None:
    """Mark what to bring up to date: minutes with the batch that is new in them, or, where minutes are no longer kept,
    the hour as a whole, which is then made from the events."""
    horizon = partitions.minute_horizon(batch.now)
    marks = {
        (RollupMark.MINUTE, minute, batch.batch_id)
        if minute >= horizon
        else (RollupMark.HOUR, minute.replace(minute=0), None)
        for minute in minutes
    }
    if marks:
        cursor.execute(_MARK, [batch.team_id, *map(list, zip(*marks, strict=True))])
