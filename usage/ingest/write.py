"""Rows → the database: events, roll-up marks and the ledger entry in one transaction.

A batch is copied straight into the table, which is fastest and nearly always right. Only when a key is already there
is the batch staged in a temporary table and merged. Everything happens inside one transaction, so it works behind
PgBouncer in transaction mode. A few events take one statement instead, `usage_ingest_small`, which is its own
transaction: it does the same, for a COPY and what belongs to it are as many round trips as a page.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import chain
from typing import Any

from django.db import IntegrityError, OperationalError, connection, transaction

from usage import partitions
from usage.ingest import ledger
from usage.ingest.ledger import Seal
from usage.ingest.rows import COLUMNS, CSV_FORMAT, EVENT_ID, OCCURRED_AT, RESERVATION, SERIES, Row, as_csv, as_json
from usage.models import PriceBook, RollupMark
from usage.pricing.book import BOOK_ID

LOCK_TIMEOUT, STATEMENT_TIMEOUT = "10s", "30s"
ATTEMPTS = 3
# Up to so many events go by one statement. Its cost per event is higher, so beyond it COPY costs less in all.
SMALL = 20
_COPY_LINES = 500  # per piece, so that a large batch is never whole in memory a second time
_UNIQUE_VIOLATION, _CHECK_VIOLATION = "23505", "23514"

# The limits hold for the whole message but not its first statement, hence two.
_SMALL = """
SELECT set_config('statement_timeout', %s, true);
SELECT usage_ingest_small(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
"""
_BOOK_MOVED, _SERIES_GONE, _KEY_USED = -1, -2, -3
_BEGIN = f"""
SELECT set_config('lock_timeout', %s, true), set_config('statement_timeout', %s, true),
    coalesce((SELECT version FROM {PriceBook._meta.db_table} WHERE id = {BOOK_ID}), 0),
    (SELECT count(*) FROM usage_series WHERE team_id = %s AND id = ANY(%s))
"""
_COLUMNS = ", ".join(COLUMNS)
_COPY = f"COPY usage_event ({_COLUMNS}) FROM STDIN ({CSV_FORMAT})"
_STAGE = "CREATE TEMP TABLE usage_event_stage (LIKE usage_event) ON COMMIT DROP"
_COPY_STAGED = f"COPY usage_event_stage ({_COLUMNS}) FROM STDIN ({CSV_FORMAT})"
_MERGE = f"""
WITH added AS (
    INSERT INTO usage_event ({_COLUMNS}) SELECT {_COLUMNS} FROM usage_event_stage ORDER BY occurred_at, event_id
    ON CONFLICT (team_id, occurred_at, event_id) DO NOTHING RETURNING team_id, occurred_at, event_id, reservation_id
), named AS (
    INSERT INTO usage_reservation_event (team_id, occurred_at, event_id)
    SELECT team_id, occurred_at, event_id FROM added WHERE reservation_id IS NOT NULL
)
SELECT date_bin('1 minute', occurred_at, TIMESTAMPTZ 'epoch'), count(*) FROM added GROUP BY 1
"""
# What the guard settles from; the small statement and the merge write it themselves.
_NAMED = """
INSERT INTO usage_reservation_event (team_id, occurred_at, event_id)
SELECT %s, occurred_at, event_id FROM unnest(%s::timestamptz[], %s::text[]) AS e (occurred_at, event_id)
"""
_MARK = """
INSERT INTO usage_rollup_mark (tier, team_id, bucket, batch_id)
SELECT tier, %s, bucket, batch FROM unnest(%s::smallint[], %s::timestamptz[], %s::bigint[]) AS m (tier, bucket, batch)
"""


class Outdated(Exception):
    """The rows were made from what is no longer so; nothing was stored. To be made again."""


class SeriesGone(Outdated):
    """A remembered series is no longer in the database."""


class BookMoved(Outdated):
    """A price was changed after the price book of the rows was read."""


class AlreadyAnswered(Exception):
    """Another request with the same Idempotency-Key and body was first; it got `answer`."""

    def __init__(self, answer: dict[str, Any]):
        super().__init__()
        self.answer = answer


@dataclass
class Batch:
    """Rows of one team, sorted by (occurred_at, event_id), each key once.

    `book_version` is that of the prices they were made with, `escapes` as in `Parsed`; `answer` makes the JSON kept
    in the ledger from the number of rows accepted.
    """

    team_id: int
    batch_id: int
    rows: list[Row]
    book_version: int
    escapes: bool
    now: datetime
    seal: Seal | None
    answer: Callable[[int], bytes]

    @property
    def series(self) -> list[int]:
        """Ids of the series of the rows."""
        return list({row[SERIES] for row in self.rows})


def store(batch: Batch) -> int:
    """Commit a batch; returns how many rows were new. All or nothing.

    Raises AlreadyAnswered, Outdated, and Django's database errors when the database is away, full, read-only or busy.
    """
    staged = False
    for _ in range(ATTEMPTS):
        try:
            return _by_statement(batch) if len(batch.rows) <= SMALL else _by_copy(batch, staged=staged)
        except IntegrityError as exc:
            if _sqlstate(exc) == _UNIQUE_VIOLATION:
                staged = True
            elif _no_partition(exc):
                partitions.ensure(batch.now)
            else:
                raise
    raise OperationalError("the batch could not be stored: partitions keep vanishing")


def _sqlstate(exc: Exception) -> str | None:
    return getattr(exc.__cause__, "sqlstate", None)


def _no_partition(exc: Exception) -> bool:
    diagnosis = getattr(exc.__cause__, "diag", None)
    return _sqlstate(exc) == _CHECK_VIOLATION and diagnosis is not None and not diagnosis.constraint_name


def _by_statement(batch: Batch) -> int:
    """Store a few rows in one round trip: a transaction of its own, or part of the caller's where there is one."""
    sealed = (batch.seal.key, batch.seal.digest, batch.answer(0).decode()) if batch.seal else (None, None, None)
    horizon = partitions.minute_horizon(batch.now)
    series = f"{{{','.join(map(str, batch.series))}}}"
    whole = (batch.team_id, batch.batch_id, batch.book_version, series, horizon, as_json(batch.rows))
    with transaction.atomic() if connection.in_atomic_block else nullcontext(), connection.cursor() as cursor:
        cursor.execute(_SMALL, [STATEMENT_TIMEOUT, *whole, LOCK_TIMEOUT, *sealed])
        cursor.nextset()
        accepted: int = cursor.fetchone()[0]
    if accepted == _KEY_USED and batch.seal:
        raise AlreadyAnswered(ledger.answered(batch.seal) or {})
    if accepted < 0:
        raise BookMoved if accepted == _BOOK_MOVED else SeriesGone
    return accepted


def _by_copy(batch: Batch, *, staged: bool) -> int:
    with transaction.atomic(), connection.cursor() as cursor:
        _begin(cursor, batch)
        minutes = _merge(cursor, batch) if staged else _copy_direct(cursor, batch)
        accepted = sum(minutes.values())
        _finish(cursor, batch, minutes, accepted)
    return accepted


def _begin(cursor, batch: Batch) -> None:
    """Time limits for this transaction only, a look that prices and series are still so, and the ledger's key, in one
    round trip."""
    series, seal = batch.series, batch.seal
    values = [LOCK_TIMEOUT, STATEMENT_TIMEOUT, batch.team_id, series]
    if seal:
        cursor.execute(f"{_BEGIN};{ledger.CLAIM}", values + ledger.claim_values(seal))
    else:
        cursor.execute(_BEGIN, values)
    _, _, book_version, present = cursor.fetchone()
    if book_version != batch.book_version:
        raise BookMoved
    if present != len(series):
        raise SeriesGone
    if seal and cursor.nextset() and not cursor.rowcount:
        raise AlreadyAnswered(ledger.answered(seal) or {})


def _copy(cursor, statement: str, batch: Batch) -> None:
    with connection.wrap_database_errors, cursor.copy(statement) as copy:
        for start in range(0, len(batch.rows), _COPY_LINES):
            copy.write(as_csv(batch.rows[start : start + _COPY_LINES], escapes=batch.escapes))


def _copy_direct(cursor, batch: Batch) -> dict[datetime, int]:
    _copy(cursor, _COPY, batch)
    if named := [(row[OCCURRED_AT], row[EVENT_ID]) for row in batch.rows if row[RESERVATION]]:
        cursor.execute(_NAMED, [batch.team_id, *map(list, zip(*named, strict=True))])
    return _per_minute(batch.rows)


def _per_minute(rows: list[Row]) -> dict[datetime, int]:
    """How many rows each minute has; they are in the order of time."""
    counts, start = {}, 0
    while start < len(rows):
        minute = rows[start][OCCURRED_AT].replace(second=0, microsecond=0)
        end = bisect_left(rows, (minute + timedelta(minutes=1),), lo=start)
        counts[minute], start = end - start, end
    return counts


def _merge(cursor, batch: Batch) -> dict[datetime, int]:
    cursor.execute(_STAGE)
    _copy(cursor, _COPY_STAGED, batch)
    cursor.execute(_MERGE)
    return dict(cursor.fetchall())


def _finish(cursor, batch: Batch, minutes: dict[datetime, int], accepted: int) -> None:
    """Marks and the ledger's answer, in one round trip."""
    marks = _marks(batch, minutes)
    statements = [(_MARK, [batch.team_id, *map(list, zip(*marks, strict=True))])] if marks else []
    if batch.seal:
        statements.append((ledger.SETTLE, ledger.settle_values(batch.seal, batch.answer(accepted))))
    if statements:
        texts, values = zip(*statements, strict=True)
        cursor.execute(";".join(texts), list(chain.from_iterable(values)))


def _marks(batch: Batch, minutes: Iterable[datetime]) -> set[tuple[int, datetime, int | None]]:
    """What to bring up to date: minutes with the batch that is new in them, or, where minutes are no longer kept, the
    hour as a whole, which is then made from the events."""
    horizon = partitions.minute_horizon(batch.now)
    return {
        (RollupMark.MINUTE, minute, batch.batch_id)
        if minute >= horizon
        else (RollupMark.HOUR, minute.replace(minute=0), None)
        for minute in minutes
    }
