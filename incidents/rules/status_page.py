"""What the public status page says of a component: its state now and its uptime by day. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

DAYS = 90
OPERATIONAL, DEGRADED, PARTIAL, MAJOR = "operational", "degraded", "partial outage", "major outage"
RECOVERING, UNKNOWN = "recovering", "unknown"
WORST_FIRST = (MAJOR, PARTIAL, RECOVERING, DEGRADED, OPERATIONAL)
# Severities whose minutes are no uptime.
DOWN = (1, 2)
_STATE = {1: MAJOR, 2: PARTIAL, 3: DEGRADED}
_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Span:
    """The impact of one incident on a component: until it was mitigated, else resolved, else now."""

    start: datetime
    end: datetime
    severity: int
    is_open: bool = False
    is_mitigated: bool = False


@dataclass(frozen=True)
class Day:
    """down, degraded: minutes in which an incident of SEV1 or SEV2, of SEV3, touched it. None: not recorded."""

    day: date
    down: int | None
    degraded: int | None
    length: int

    @property
    def uptime(self) -> float | None:
        return None if self.down is None or not self.length else 1 - self.down / self.length


def state_of(spans: Iterable[Span]) -> str:
    """The worst that an open incident makes of it; one whose impact is over leaves it recovering. SEV4 does nothing."""
    found = {
        RECOVERING if span.is_mitigated else _STATE[span.severity]
        for span in spans
        if span.is_open and span.severity in _STATE
    }
    return next((state for state in WORST_FIRST if state in found), OPERATIONAL)


def worst(states: Iterable[str]) -> str:
    """Of all components; where none is listed, nothing is known."""
    found = set(states)
    return next((state for state in WORST_FIRST if state in found), UNKNOWN)


def days_of(spans: Sequence[Span], recorded_since: datetime, now: datetime) -> list[Day]:
    """The last 90 days in UTC, the oldest first; minutes of overlapping incidents count once."""
    down = _union(span for span in spans if span.severity in DOWN)
    degraded = _union(span for span in spans if span.severity == 3)
    today = now.astimezone(UTC).date()
    return [_day(today - timedelta(days=back), down, degraded, recorded_since, now) for back in range(DAYS - 1, -1, -1)]


def uptime(days: Iterable[Day]) -> float | None:
    """The share of all recorded minutes that were not down; None where none are."""
    known = [day for day in days if day.down is not None]
    length = sum(day.length for day in known)
    return 1 - sum(day.down or 0 for day in known) / length if length else None


def _union(spans: Iterable[Span]) -> list[tuple[datetime, datetime]]:
    found: list[tuple[datetime, datetime]] = []
    for span in sorted(spans, key=lambda one: one.start):
        if found and span.start <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], span.end))
        else:
            found.append((span.start, span.end))
    return found


def _day(day: date, down: list, degraded: list, recorded_since: datetime, now: datetime) -> Day:
    start = datetime.combine(day, time.min, UTC)
    first, end = max(start, recorded_since), min(start + _DAY, now)
    if end <= first:
        return Day(day, None, None, 0)
    return Day(day, _minutes(down, first, end), _minutes(degraded, first, end), _whole(end - first))


def _minutes(spans: list[tuple[datetime, datetime]], start: datetime, end: datetime) -> int:
    parts = (min(last, end) - max(first, start) for first, last in spans)
    return _whole(sum((part for part in parts if part > timedelta()), timedelta()))


def _whole(length: timedelta) -> int:
    return -(-length // timedelta(minutes=1))
