"""Windows and steps: which buckets a query has, and which tier of the roll-ups answers each part of the window."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)

# Steps of fixed length, and those that follow the calendar of a zone.
FIXED_STEPS = {"minute": MINUTE, "5min": 5 * MINUTE, "15min": 15 * MINUTE, "hour": HOUR, "6hour": 6 * HOUR}
CALENDAR_STEPS = ("day", "week", "month")
STEPS = (*FIXED_STEPS, *CALENDAR_STEPS)
# The shortest a step can be.
SHORTEST = FIXED_STEPS | {
    "day": timedelta(hours=23),
    "week": timedelta(days=7) - HOUR,
    "month": timedelta(days=28) - HOUR,
}


@dataclass(frozen=True)
class Segment:
    """A stretch of the window read from one tier: minute, hour or day."""

    tier: str
    start: datetime
    end: datetime


def floor(moment: datetime, step: str, zone: ZoneInfo) -> datetime:
    """Start of the step that holds `moment`, as UTC. Days, weeks (from Monday) and months are those of `zone`."""
    if step in FIXED_STEPS:
        width = FIXED_STEPS[step]
        return moment - (moment.astimezone(UTC) - datetime(2001, 1, 1, tzinfo=UTC)) % width
    local = _midnight(moment.astimezone(zone))
    if step == "week":
        local -= timedelta(days=local.weekday())
    elif step == "month":
        local = local.replace(day=1)
    return local.astimezone(UTC)


def following(bucket: datetime, step: str, zone: ZoneInfo) -> datetime:
    """Start of the step after the one that starts at `bucket`."""
    if step in FIXED_STEPS:
        return bucket + FIXED_STEPS[step]
    local = _midnight(bucket.astimezone(zone))
    while True:
        if step == "month":
            local = local.replace(year=local.year + local.month // 12, month=local.month % 12 + 1)
        else:
            local += timedelta(days=7 if step == "week" else 1)
        # A zone that crossed the date line has a day without a moment in it.
        if (start := local.astimezone(UTC)) > bucket:
            return start


def _midnight(local: datetime) -> datetime:
    """The start of the local day: the first of two midnights, the moment of the jump where there is none."""
    return local.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)


def buckets(start: datetime, end: datetime, step: str, zone: ZoneInfo) -> Iterator[datetime]:
    """Starts of the steps that touch [start, end), in order."""
    bucket = floor(start, step, zone)
    while bucket < end:
        yield bucket
        bucket = following(bucket, step, zone)


def coarsest_tier(step: str | None, zone: ZoneInfo) -> str:
    """The coarsest roll-up whose buckets lie inside the buckets of `step` (but see `split_hours`)."""
    if step in ("minute", "5min", "15min"):
        return "minute"
    if step in ("hour", "6hour"):
        return "hour"
    return "day" if step is None or zone.key in ("UTC", "Etc/UTC") else "hour"


def split_hours(start: datetime, end: datetime, step: str | None, zone: ZoneInfo) -> set[datetime]:
    """Hours in which a calendar step begins: in zones that are not whole hours from UTC, they belong to two steps."""
    if step not in CALENDAR_STEPS:
        return set()
    return {bucket.replace(minute=0, second=0) for bucket in buckets(start, end, step, zone) if bucket.minute}


def up_to_hour(moment: datetime) -> datetime:
    """The next whole hour, `moment` itself if it is one."""
    return moment + (-(moment - datetime(2001, 1, 1, tzinfo=UTC)) % HOUR)


def segments(
    start: datetime,
    end: datetime,
    *,
    coarsest: str,
    stale_days: set[datetime],
    stale_hours: set[datetime],
) -> list[Segment]:
    """Cover [start, end) (whole minutes) by days where they are whole and fresh, else hours, else minutes."""
    parts: list[Segment] = []
    cursor = start
    while cursor < end:
        part = _next(cursor, end, coarsest, stale_days, stale_hours)
        if parts and parts[-1].tier == part.tier:
            parts[-1] = Segment(part.tier, parts[-1].start, part.end)
        else:
            parts.append(part)
        cursor = part.end
    return parts


def _next(
    cursor: datetime, end: datetime, coarsest: str, stale_days: set[datetime], stale_hours: set[datetime]
) -> Segment:
    starts_hour = cursor.minute == 0
    if coarsest == "day" and starts_hour and cursor.hour == 0 and cursor + DAY <= end and cursor not in stale_days:
        return Segment("day", cursor, cursor + DAY)
    if coarsest != "minute" and starts_hour and cursor + HOUR <= end and cursor not in stale_hours:
        return Segment("hour", cursor, cursor + HOUR)
    return Segment("minute", cursor, min(cursor.replace(minute=0) + HOUR, end))
