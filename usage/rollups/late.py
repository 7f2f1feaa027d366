"""Minutes that got events long after they were over: whoever judged them before saw too little and may look again."""

from collections.abc import Iterable
from datetime import datetime, timedelta

# A minute is late from so long after its beginning: clients send every few seconds, roll-ups follow in a few more.
AFTER = timedelta(minutes=3)
# Older ones are history that was loaded, or of no use to anybody on call.
LOOK_BACK = timedelta(hours=24)

_NOTE = """
INSERT INTO usage_lateminute (team_id, bucket, noticed_at) SELECT %s, unnest(%s::timestamptz[]), %s
ON CONFLICT (team_id, bucket) DO UPDATE SET noticed_at = excluded.noticed_at
"""


def note(cursor, team: int, minutes: Iterable[datetime], now: datetime) -> None:
    """Remember those of the minutes that are late. Call it in the transaction that brings them up to date."""
    late = sorted(minute for minute in minutes if AFTER < now - minute <= LOOK_BACK)
    if late:
        cursor.execute(_NOTE, [team, late, now])
