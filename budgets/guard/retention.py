"""How long the guard's rows are kept."""

from datetime import datetime, timedelta

from django.conf import settings
from django.db import connection

COUNTS_KEPT = timedelta(days=35)
_AT_ONCE = 20_000

# The index that is there leads with the team, and another one would cost every call: so team by team, also of teams
# that are gone.
_HOLDS = """
WITH RECURSIVE teams (id) AS (
    SELECT min(team_id) FROM budgets_hold
    UNION ALL SELECT (SELECT min(h.team_id) FROM budgets_hold h WHERE h.team_id > teams.id) FROM teams
    WHERE teams.id IS NOT NULL
)
DELETE FROM budgets_hold WHERE id = ANY (ARRAY(
    SELECT old.id FROM teams CROSS JOIN LATERAL (
        SELECT h.id FROM budgets_hold h WHERE h.team_id = teams.id AND h.created_at < %(before)s AND h.state <> 'open'
        ORDER BY h.created_at LIMIT %(most)s) old
    LIMIT %(most)s))
"""
_STRAYS = "DELETE FROM budgets_strayevent WHERE occurred_at < %s"
_COUNTS = "DELETE FROM budgets_guardcount WHERE minute < %s"
_COUNTERS = """
DELETE FROM budgets_ratecounter c WHERE in_flight = 0 AND second < extract(epoch FROM %s::timestamptz) - 86400
    AND second > 0
"""


def expire(now: datetime) -> None:
    """Remove holds that ended longer ago than events are accepted, old counts, and counters of nothing. Bounded."""
    with connection.cursor() as cursor:
        before = now - timedelta(days=settings.RAW_RETENTION_DAYS)
        cursor.execute(_HOLDS, {"before": before, "most": _AT_ONCE})
        cursor.execute(_STRAYS, [before])
        cursor.execute(_COUNTS, [now - COUNTS_KEPT])
        cursor.execute(_COUNTERS, [now])
