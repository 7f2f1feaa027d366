"""How long the guard's rows are kept."""

from datetime import datetime, timedelta

from django.conf import settings
from django.db import connection

COUNTS_KEPT = timedelta(days=35)
_AT_ONCE = 20_000

_HOLDS = """
DELETE FROM budgets_hold WHERE id = ANY (ARRAY(
    SELECT id FROM budgets_hold WHERE created_at < %s AND state <> 'open' LIMIT %s))
"""
_COUNTS = "DELETE FROM budgets_guardcount WHERE minute < %s"
_COUNTERS = """
DELETE FROM budgets_ratecounter c WHERE in_flight = 0 AND second < extract(epoch FROM %s::timestamptz) - 86400
    AND second > 0
"""


def expire(now: datetime) -> None:
    """Remove holds that ended longer ago than events are accepted, old counts, and counters of nothing. Bounded."""
    with connection.cursor() as cursor:
        cursor.execute(_HOLDS, [now - timedelta(days=settings.RAW_RETENTION_DAYS), _AT_ONCE])
        cursor.execute(_COUNTS, [now - COUNTS_KEPT])
        cursor.execute(_COUNTERS, [now])
