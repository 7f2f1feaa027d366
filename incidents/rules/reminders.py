"""When somebody is reminded of an action item. Pure."""

from datetime import date, timedelta

AHEAD = timedelta(days=2)
AGAIN = timedelta(days=7)


def is_due(due: date, reminded_on: date | None, today: date) -> bool:
    """Two days ahead, the day after it was due, then every week."""
    if due - today > AHEAD:
        return False
    if reminded_on is None:
        return True
    return today > due and (reminded_on <= due or today - reminded_on >= AGAIN)


def words(text: str, due: date | None, today: date) -> str:
    """E.g. "Overdue by 3 days: Add a failover order"."""
    late = (today - due).days if due else 0
    if late > 0:
        when = f"Overdue by {late} day{'s' if late > 1 else ''}"
    else:
        when = {0: "Due today", -1: "Due tomorrow"}.get(late, f"Due in {-late} days")
    return f"{when}: {text}"[:200]
