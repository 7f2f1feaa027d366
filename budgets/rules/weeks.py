"""ISO weeks of UTC, as weekly reports are made for. Pure."""

import re
from datetime import UTC, datetime, timedelta

WEEK = timedelta(weeks=1)


def week_of(moment: datetime) -> datetime:
    """Monday 0:00 UTC of the week a moment lies in."""
    day = moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return day - timedelta(days=day.weekday())


def week_name(start: datetime) -> str:
    """E.g. "2026-W47"."""
    year, week, _ = start.isocalendar()
    return f"{year}-W{week:02d}"


def is_week(text: str) -> bool:
    """Whether it is written as `week_name` does."""
    return re.fullmatch(r"\d{4}-W(0[1-9]|[1-4]\d|5[0-3])", text, re.ASCII) is not None
