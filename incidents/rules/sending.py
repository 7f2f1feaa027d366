"""Decisions about sending: when, how often, and what becomes a digest."""

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

ATTEMPTS = 8
FIRST_WAIT = timedelta(seconds=10)
LONGEST_WAIT = timedelta(minutes=15)
# What a service may ask for with Retry-After.
LONGEST_PAUSE = timedelta(hours=1)
SEVERITIES = ("info", "warning", "critical")


def severities_up_to(severity: str) -> tuple[str, ...]:
    """Of a route's least severities those that let `severity` pass."""
    return SEVERITIES[: SEVERITIES.index(severity) + 1]


def wait_after(attempts: int, chance: float) -> timedelta:
    """How long to wait after that many failed attempts (1 and up): doubling from 10 s to 15 min, less up to half.

    `chance` from 0 to 1 spreads senders that failed together ("equal jitter").
    """
    whole = min(FIRST_WAIT * 2 ** (attempts - 1), LONGEST_WAIT)
    return whole * (0.5 + chance / 2)


def pause_of(retry_after: float | None) -> timedelta | None:
    """How long a channel rests when a service asked for so many seconds, at most an hour; None where it did not."""
    if retry_after is None:
        return None
    return min(timedelta(seconds=max(retry_after, 1)), LONGEST_PAUSE)


def quiet_until(at: datetime, start: time | None, end: time | None, zone: str) -> datetime | None:
    """When the quiet hours that `at` falls into end (UTC); None outside of them. They may span midnight."""
    if start is None or end is None:
        return None
    local = at.astimezone(ZoneInfo(zone))
    now = local.time()
    inside = start <= now < end if start < end else now >= start or now < end
    if not inside:
        return None
    day = local.date() + timedelta(days=1) if now >= end else local.date()
    return datetime.combine(day, end, ZoneInfo(zone)).astimezone(UTC)


def individually(due: int, room: int) -> int:
    """How many of `due` messages go out one by one where `room` more fit into this minute; the rest is one digest.

    The digest takes the last place. Nothing goes out where there is no room.
    """
    return due if due <= room else max(room - 1, 0)
