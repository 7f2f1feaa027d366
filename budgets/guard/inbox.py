"""Usage events that name a reservation settle it: taken from the inbox that ingest writes, each exactly once."""

from datetime import datetime

from django.db import connection

from usage.measures import MODEL_OPERATIONS, WRAPPER_OPERATIONS

TAKEN_AT_ONCE = 500
MOST_PIECES = 20

_SETTLE = "SELECT taken, last_id FROM guard_settle_events(%s, %s, %s, %s, %s)"
# What is left after settling, up to the last id looked at: events that name no reservation of their team.
_BOOK_STRAYS = "SELECT guard_book_strays(%s, %s, %s, %s)"
_CORRECT = "SELECT guard_correct(%s, %s)"


def settle_events(now: datetime) -> int:
    """Book what the inbox holds, in bounded pieces; returns how many events were looked at."""
    seen, last = 0, 0
    for _ in range(MOST_PIECES):
        with connection.cursor() as cursor:
            cursor.execute(_SETTLE, [last, TAKEN_AT_ONCE, now, list(MODEL_OPERATIONS), list(WRAPPER_OPERATIONS)])
            taken, upto = cursor.fetchone()
        if not taken:
            break
        seen, last = seen + taken, upto
        with connection.cursor() as cursor:
            cursor.execute(_BOOK_STRAYS, [upto, TAKEN_AT_ONCE, list(MODEL_OPERATIONS), list(WRAPPER_OPERATIONS)])
    return seen


def correct(now: datetime) -> int:
    """Book what re-pricing changed of events that name a reservation, in bounded pieces; returns how many they were."""
    seen = 0
    for _ in range(MOST_PIECES):
        with connection.cursor() as cursor:
            cursor.execute(_CORRECT, [TAKEN_AT_ONCE, now])
            taken = cursor.fetchone()[0]
        seen += taken
        if taken < TAKEN_AT_ONCE:
            break
    return seen
