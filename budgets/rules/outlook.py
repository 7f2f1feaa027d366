"""What goes into a forecast and what it says: days, events, bands, scenarios. No statistics library here."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum


class Method(StrEnum):
    """How a forecast was made."""

    RHYTHM = "rhythm"
    WEEKDAYS = "weekdays"
    MEAN = "mean"
    SPARSE = "sparse"
    NONE = "none"


METHOD_WORDS = {
    Method.RHYTHM: "Weekly rhythm on a robust level",
    Method.WEEKDAYS: "Cautious weekly rhythm (short history)",
    Method.MEAN: "Mean of the days known (very short history)",
    Method.SPARSE: "Mean of four weeks (used on few days)",
    Method.NONE: "No forecast yet",
}


@dataclass(frozen=True, slots=True)
class History:
    """Daily values from `start` on; None is a day nobody knows, which is not a day of nothing."""

    start: date
    values: Sequence[float | None]

    @property
    def end(self) -> date:
        """The first day after it."""
        return self.start + timedelta(len(self.values))


@dataclass(frozen=True, slots=True)
class Band:
    """Expected amount with the interval that holds it in 80 and in 95 of 100 cases."""

    expected: float
    low80: float
    high80: float
    low95: float
    high95: float

    def scaled(self, factor: float, spent: float = 0.0) -> "Band":
        """`spent` + `factor` × each figure."""
        return Band(*(spent + factor * value for value in self.figures))

    @property
    def figures(self) -> tuple[float, float, float, float, float]:
        """Expected, 80 % low and high, 95 % low and high."""
        return (self.expected, self.low80, self.high80, self.low95, self.high95)


@dataclass(frozen=True, slots=True)
class OutlookDay:
    """One day ahead: its own amount, and the sum from the first day ahead to its end."""

    date: date
    day: Band
    total: Band


@dataclass(frozen=True, slots=True)
class Event:
    """Known in advance: from `start` to `end` inclusive the amount is `factor` times what it would be (1.4: +40 %)."""

    start: date
    end: date
    factor: float


def event_factor(events: Iterable[Event], day: date) -> float:
    """Product of the factors of the events that hold on a day; 1 without any."""
    product = 1.0
    for event in events:
        if event.start <= day <= event.end:
            product *= event.factor
    return product


@dataclass(frozen=True, slots=True)
class Scenario:
    """What if, from the first day ahead on: traffic and unit cost as multiples of the baseline."""

    key: str
    label: str
    traffic: float = 1.0
    unit_cost: float = 1.0

    @property
    def factor(self) -> float:
        """Multiple of the baseline's spend."""
        return self.traffic * self.unit_cost


@dataclass(frozen=True, slots=True)
class Exhausted:
    """When a limit is used up: expected, earliest and latest of the 80 % interval; None: not within the days ahead."""

    expected: date | None
    earliest: date | None
    latest: date | None


def exhausted(days: Sequence[OutlookDay], spent: float, limit: float, factor: float = 1.0) -> Exhausted:
    """First days on which `spent` + `factor` × the sum so far passes the limit."""

    def first(of: str) -> date | None:
        return next((day.date for day in days if spent + factor * getattr(day.total, of) > limit), None)

    return Exhausted(first("expected"), first("high80"), first("low80"))
