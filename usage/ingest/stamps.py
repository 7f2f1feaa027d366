"""Start times for events that came without one: the time of receipt, remembered so that a retry gets the same."""

from datetime import UTC, datetime

from django.db import connection


def stamp(team_id: int, event_ids: list[str], now: datetime) -> dict[str, datetime]:
    """event_id → start. The first receipt wins, whoever asks; sorted, so that two writers cannot deadlock."""
    if not event_ids:
        return {}
    names = sorted(set(event_ids))
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO usage_event_stamp (team_id, event_id, occurred_at)"
            ' SELECT %s, name, %s FROM unnest(%s::text[]) AS name ORDER BY name COLLATE "C"'
            " ON CONFLICT (team_id, event_id) DO NOTHING",
            [team_id, now, names],
        )
        cursor.execute(
            "SELECT event_id, occurred_at FROM usage_event_stamp WHERE team_id = %s AND event_id = ANY(%s)",
            [team_id, names],
        )
        return {name: at.astimezone(UTC) for name, at in cursor.fetchall()}
