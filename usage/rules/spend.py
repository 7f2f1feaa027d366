"""Arithmetic of spend figures: what adds up, and what is told apart from it. Pure."""

from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from usage.metrics.window import floor, following


@dataclass(frozen=True)
class Figures:
    """What some calls cost and used. `known` is the USD of the calls with a known cost; the others are counted."""

    known: Decimal = Decimal(0)
    requests: int = 0
    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    unpriced: int = 0
    unmetered: int = 0

    @property
    def cost(self) -> Decimal | None:
        """USD; None where nothing but unknown costs was found. Unknown is never 0."""
        return None if self.unknown and not self.known else self.known

    @property
    def unknown(self) -> int:
        """Calls whose cost is not known: no price, or no usage reported."""
        return self.unpriced + self.unmetered

    @property
    def tokens(self) -> int:
        return self.input_tokens + self.output_tokens

    @property
    def per_request(self) -> Decimal | None:
        """USD per request; None without requests or without a known cost."""
        return None if self.cost is None or not self.requests else self.cost / self.requests

    @property
    def per_1k_tokens(self) -> Decimal | None:
        """USD per thousand tokens; None without tokens or without a known cost."""
        return None if self.cost is None or not self.tokens else self.cost * 1000 / self.tokens

    def __add__(self, other: "Figures") -> "Figures":
        return Figures(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    def __sub__(self, other: "Figures") -> "Figures":
        return Figures(*(getattr(self, f.name) - getattr(other, f.name) for f in fields(self)))

    def __bool__(self) -> bool:
        return any(getattr(self, f.name) for f in fields(self))


@dataclass(frozen=True)
class Window:
    """A stretch of time, UTC, end exclusive."""

    start: datetime
    end: datetime

    @classmethod
    def in_minutes(cls, start: datetime, end: datetime) -> "Window":
        """In whole minutes, as the roll-ups have them: moved back where it is whole minutes long, else widened."""
        first, last = (moment.astimezone(UTC).replace(second=0, microsecond=0) for moment in (start, end))
        if last - first == end - start:
            return cls(first, last)
        return cls(first, last if last == end else last + timedelta(minutes=1))


def step_for(length: timedelta) -> str:
    """The chart step of a window: never so fine that bars cannot be told apart."""
    limits = ((2, "minute"), (12, "5min"), (72, "hour"), (24 * 93, "day"))
    return next((step for hours, step in limits if length <= timedelta(hours=hours)), "week")


def whole_steps(window: Window, step: str, zone: ZoneInfo, now: datetime, rolling: bool) -> Window:
    """The window in whole steps, so that chart and table add up to the same.

    A rolling window ("last 7 days") keeps its length in steps: the current one and those before it. Another one is
    widened. No window reaches beyond `now`.
    """
    start = floor(window.start, step, zone)
    if rolling and start < window.start:
        start = following(start, step, zone)
    end = floor(window.end, step, zone)
    end = end if end == window.end else following(end, step, zone)
    return Window(start, max(min(end, now), start + timedelta(minutes=1)))


def month_so_far(now: datetime, zone: ZoneInfo) -> Window:
    return Window(floor(now, "month", zone), now)


def month_before(window: Window, zone: ZoneInfo) -> Window:
    """The same stretch of the month before a month so far; the whole of it where it is shorter."""
    start = floor(window.start - timedelta(days=1), "month", zone)
    elapsed = _wall(window.end, zone) - _wall(window.start, zone)
    return Window(start, min(_instant(_wall(start, zone) + elapsed, zone), window.start))


def steps_earlier(window: Window, step: str, zone: ZoneInfo) -> Window:
    """The window moved back by its number of steps, by the clock on the wall: the same time of day, days before."""
    width = {"minute": 1, "5min": 5, "hour": 60, "day": 1_440, "week": 10_080}[step]
    length = _wall(window.end, zone) - _wall(window.start, zone)
    return _earlier(window, -(-length // timedelta(minutes=width)) * timedelta(minutes=width), zone)


def weeks_earlier(window: Window, zone: ZoneInfo) -> Window:
    """The window moved back by the fewest whole weeks that keep it clear of itself."""
    length = _wall(window.end, zone) - _wall(window.start, zone)
    return _earlier(window, -(-length // timedelta(weeks=1)) * timedelta(weeks=1), zone)


def _earlier(window: Window, shift: timedelta, zone: ZoneInfo) -> Window:
    return Window(*(_instant(_wall(moment, zone) - shift, zone) for moment in (window.start, window.end)))


def _wall(moment: datetime, zone: ZoneInfo) -> datetime:
    return moment.astimezone(zone).replace(tzinfo=None)


def _instant(wall: datetime, zone: ZoneInfo) -> datetime:
    return wall.replace(tzinfo=zone).astimezone(UTC)
