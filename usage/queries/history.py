"""How far back figures go: what lies before is unknown, not nothing."""

from datetime import datetime, timedelta

from django.db import connection

# The first rows by their keys, one team after the other, so that no table is read.
_FIRST = """
    SELECT min(hour), min(day) FROM unnest(%s::bigint[]) AS t (id)
    LEFT JOIN LATERAL (SELECT bucket AS hour FROM usage_hour WHERE team_id = t.id ORDER BY bucket LIMIT 1) h ON true
    LEFT JOIN LATERAL (SELECT bucket AS day FROM usage_day WHERE team_id = t.id ORDER BY bucket LIMIT 1) d ON true
"""


def known_since(team_ids: tuple[int, ...]) -> datetime | None:
    """Start of the first hour with an event of these teams; of the first day, where its hours are no longer kept.

    None where no event is rolled up yet.
    """
    with connection.cursor() as cursor:
        cursor.execute(_FIRST, [list(team_ids)])
        hour, day = cursor.fetchone()
    if hour is None or day is None:
        return hour or day
    return day if day <= hour - timedelta(days=1) else hour
