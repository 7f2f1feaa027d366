"""Deleting what is past its retention in the tables that are not partitioned."""

from datetime import datetime, timedelta

from django.conf import settings
from django.db import connection

from usage import partitions

# Rows deleted by one statement, so that no transaction is long.
CHUNK = 20_000


def expire(now: datetime) -> dict[str, int]:
    """Delete old hours, batch ledger rows and event stamps; returns rows deleted per table.

    The ledger and the stamps live as long as an event they guard could still be accepted.
    """
    hours = now - timedelta(days=settings.HOUR_RETENTION_DAYS)
    receipts = partitions.raw_horizon(now) - timedelta(days=1)
    return {
        "usage_hour": _delete("usage_hour", "bucket", hours),
        "usage_tenant_hour": _delete("usage_tenant_hour", "bucket", hours),
        "usage_batch_ledger": _delete("usage_batch_ledger", "created_at", receipts),
        "usage_event_stamp": _delete("usage_event_stamp", "occurred_at", receipts),
    }


def _delete(table: str, column: str, before: datetime) -> int:
    """Hours whose day is still to be recomputed are left for the next run."""
    drained = (
        f" AND NOT EXISTS (SELECT FROM usage_rollup_mark m WHERE m.team_id = {table}.team_id AND m.tier = 2"
        f" AND m.bucket = date_trunc('day', {table}.bucket, 'UTC'))"
        if column == "bucket"
        else ""
    )
    total = 0
    while deleted := _delete_chunk(table, f"{column} < %s{drained}", before):
        total += deleted
    return total


def _delete_chunk(table: str, where: str, before: datetime) -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            f"DELETE FROM {table} WHERE ctid IN (SELECT ctid FROM {table} WHERE {where} LIMIT {CHUNK})", [before]
        )
        return cursor.rowcount
