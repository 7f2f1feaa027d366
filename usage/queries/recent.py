"""How far back events themselves may be read: what the roll-ups do not keep costs time by the event."""

from datetime import UTC, timedelta

from django.db import connection

from usage.scope import Scope

DAY = timedelta(days=1)
# Added up in about 45 ms. A day with more is read back to where so many are reached, at least an hour.
EVENTS = 50_000


def recent(scope: Scope) -> Scope:
    """The end of the scope's window: a day of it, or fewer whole hours where its teams' events would be over EVENTS."""
    last = scope.last(min(DAY, scope.end - scope.start))
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT bucket, sum(events) FROM usage_hour WHERE team_id = ANY(%s) AND bucket >= %s AND bucket < %s"
            " GROUP BY 1 ORDER BY 1 DESC",
            [list(scope.team_ids), last.start, last.end],
        )
        total, start = 0, last.end
        for hour, events in cursor.fetchall():
            total += events
            if total > EVENTS and start < last.end:
                return last.between(start, last.end)
            start = hour.astimezone(UTC)
    return last
