"""Months as reports and exports name them: "2026-11", whole days of UTC. Pure."""

from datetime import UTC, datetime, timedelta

MOST_DAYS = 400


def month_of(text: str, now: datetime) -> tuple[datetime, datetime]:
    """[start, end) of a month written YYYY-MM; the current one where it is empty.

    Raises ValueError that says what to write instead.
    """
    if not text:
        return bounds(now.astimezone(UTC))
    try:
        first = datetime.strptime(text, "%Y-%m").replace(tzinfo=UTC)
    except ValueError:
        raise ValueError(f"“{text[:20]}” is not a month: write it as {now:%Y-%m}.") from None
    if not 2000 <= first.year <= 2200:
        raise ValueError(f"“{text[:20]}” is out of range.")
    return bounds(first)


def bounds(moment: datetime) -> tuple[datetime, datetime]:
    """The month that a moment (UTC) lies in, as [start, end)."""
    start = moment.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return start, (start + timedelta(days=32)).replace(day=1)


def days_of(start: str, end: str) -> tuple[datetime, datetime]:
    """[start, end) of two dates YYYY-MM-DD, the second exclusive. Raises ValueError that says what to write instead."""
    first, last = _date("start", start), _date("end", end)
    if last <= first:
        raise ValueError("end must be after start.")
    if last - first > timedelta(days=MOST_DAYS):
        raise ValueError(f"That is more than {MOST_DAYS} days. Export it in parts.")
    return first, last


def _date(name: str, text: str) -> datetime:
    try:
        found = datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        raise ValueError(f"{name} must be a day like 2026-01-31.") from None
    if not 2000 <= found.year <= 2200:
        raise ValueError(f"{name} is out of range.")
    return found


def recent_months(now: datetime, number: int = 13) -> list[str]:
    """Names of the last months, the current one first."""
    found, moment = [], now.astimezone(UTC)
    for _ in range(number):
        start, _ = bounds(moment)
        found.append(f"{start:%Y-%m}")
        moment = start - timedelta(days=1)
    return found
