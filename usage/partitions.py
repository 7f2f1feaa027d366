"""Daily partitions of the raw events and the minute roll-ups: made ahead, summarised, dropped by retention.

Every function is safe to run twice and at the same time as ingest.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from django.conf import settings
from django.db import connection, transaction

AHEAD = timedelta(days=3)
MINUTE_TABLES = ("usage_minute", "usage_tenant_minute")
# Serialises partition upkeep between processes (an arbitrary constant of this module).
UPKEEP_LOCK = 7_301_001


@dataclass(frozen=True)
class Upkeep:
    """What one run of `maintain` did: names of the partitions made and dropped."""

    made: list[str]
    dropped: list[str]


def raw_horizon(now: datetime) -> datetime:
    """The oldest `occurred_at` still accepted: raw retention before now."""
    return now - timedelta(days=settings.RAW_RETENTION_DAYS)


def minute_horizon(now: datetime) -> datetime:
    """Start of the oldest day whose minute roll-ups are kept. Older minutes are never recomputed, only their hours."""
    day = (now - timedelta(days=settings.MINUTE_RETENTION_DAYS)).astimezone(UTC)
    return day.replace(hour=0, minute=0, second=0, microsecond=0)


def partition_name(table: str, day: date) -> str:
    return f"{table}_{day:%Y%m%d}"


def existing(table: str) -> dict[date, str]:
    """Day → name of the partitions of `table`."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
            " WHERE i.inhparent = %s::regclass ORDER BY 1",
            [table],
        )
        names = [name for (name,) in cursor.fetchall()]
    return {datetime.strptime(name[-8:], "%Y%m%d").date(): name for name in names}


def ensure(now: datetime) -> list[str]:
    """Make every missing partition between the horizons and `AHEAD` of now; returns the names made."""
    made: list[str] = []
    spans = {"usage_event": raw_horizon(now) - timedelta(days=1)} | dict.fromkeys(MINUTE_TABLES, minute_horizon(now))
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [UPKEEP_LOCK])
        for table, first in spans.items():
            there = existing(table)
            for day in _days(first.date(), (now + AHEAD).date()):
                if day not in there:
                    made.append(_create(cursor, table, day))
    return made


def _days(first: date, last: date) -> list[date]:
    return [first + timedelta(days=offset) for offset in range((last - first).days + 1)]


def _create(cursor, table: str, day: date) -> str:
    name = partition_name(table, day)
    bounds = [f"{day.isoformat()} 00:00+00", f"{(day + timedelta(days=1)).isoformat()} 00:00+00"]
    cursor.execute(f"CREATE TABLE {name} PARTITION OF {table} FOR VALUES FROM (%s) TO (%s)", bounds)
    return name


def drop_old(now: datetime) -> list[str]:
    """Drop partitions wholly past retention whose marks are drained; returns the names dropped.

    A day is kept one day longer than its events are accepted, so no ingest in flight can still write to it.
    """
    dropped: list[str] = []
    limits = {"usage_event": (raw_horizon(now) - timedelta(days=1)).date()}
    limits |= dict.fromkeys(MINUTE_TABLES, minute_horizon(now).date())
    for table, limit in limits.items():
        for day, name in existing(table).items():
            if day < limit and _drop_if_drained(name, day):
                dropped.append(name)
    return dropped


def _drop_if_drained(name: str, day: date) -> bool:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [UPKEEP_LOCK])
        cursor.execute(
            "SELECT EXISTS (SELECT FROM usage_rollup_mark WHERE bucket >= %s AND bucket < %s)",
            [
                datetime(day.year, day.month, day.day, tzinfo=UTC),
                datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1),
            ],
        )
        if cursor.fetchone()[0]:
            return False
        cursor.execute("SET LOCAL lock_timeout = '5s'")
        cursor.execute(f"DROP TABLE IF EXISTS {name}")
    return True


def summarise() -> None:
    """Summarise the bloom indexes, so that look-ups by id skip their pages; costs little where nothing is new."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT brin_summarize_new_values(i.indexrelid) FROM pg_index i"
            " JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am a ON a.oid = c.relam"
            " WHERE a.amname = 'brin' AND i.indrelid IN"
            " (SELECT inhrelid FROM pg_inherits WHERE inhparent = 'usage_event'::regclass)"
        )


def maintain(now: datetime) -> Upkeep:
    """Everything partitions need, run by beat every few minutes."""
    made = ensure(now)
    summarise()
    return Upkeep(made, drop_old(now))
