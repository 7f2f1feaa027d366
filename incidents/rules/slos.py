"""Arithmetic of service level objectives: error budgets, burn rates and the pairs of windows that alert on them.

A burn rate of 1 uses the error budget up exactly by the end of the SLO's window (Google SRE workbook, chapter 5).
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import NamedTuple

from usage.histogram import BOUNDS

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
ONE = Decimal(1)
# A rule that fires while the budget lasts longer than the window would be noise.
SLOWEST = Decimal("0.9")
# Less of the budget left than this is a risk.
LOW = Decimal("0.25")


@dataclass(frozen=True)
class Tally:
    """Good and bad units of a window. `events`: how many requests (checks of quality) the figure stands on.

    Units are requests, calls or checks, each an event of its own; of a spend they are hours.
    """

    good: int = 0
    bad: int = 0
    events: int = 0

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(self.good + other.good, self.bad + other.bad, self.events + other.events)

    @property
    def total(self) -> int:
        return self.good + self.bad

    @property
    def bad_share(self) -> Decimal | None:
        """None where there is nothing to judge."""
        return Decimal(self.bad) / self.total if self.total else None

    @property
    def attained(self) -> Decimal | None:
        return Decimal(self.good) / self.total if self.total else None

    def burn(self, target: Decimal) -> "Burn":
        """How fast these units use the error budget of `target`."""
        share = self.bad_share
        return Burn(share, None if share is None else share / (ONE - target), self.events)

    def left(self, target: Decimal) -> Decimal | None:
        """Share of the error budget that is left when this is the whole window; negative when it is overspent."""
        return None if self.bad_share is None else ONE - self.bad_share / (ONE - target)


NOTHING = Tally()


def added(tallies: Iterable[Tally]) -> Tally:
    return sum(tallies, NOTHING)


class Burn(NamedTuple):
    """Of one window: share of bad units and burn rate (None without any), and the events behind them."""

    bad_share: Decimal | None
    burn_rate: Decimal | None
    events: int


@dataclass(frozen=True)
class Pair:
    """A long and a short window that must both burn: the long one says it matters, the short one that it goes on."""

    route: str
    severity: str
    long: timedelta
    short: timedelta
    budget_share: Decimal

    @property
    def clear(self) -> timedelta:
        """How long both must be well until it is over, or it would come and go while it burns at about the rate."""
        return self.long / 4

    def rate(self, window: timedelta) -> Decimal:
        """The burn rate that uses `budget_share` of the budget of `window` in the long one: 14.4 = 2 % × 30 d / 1 h."""
        return self.budget_share * Decimal(window // HOUR) / Decimal(self.long // HOUR)


PAIRS = (
    Pair("page", "critical", HOUR, timedelta(minutes=5), Decimal("0.02")),
    Pair("page", "critical", 6 * HOUR, timedelta(minutes=30), Decimal("0.05")),
    Pair("ticket", "warning", DAY, 2 * HOUR, Decimal("0.10")),
    Pair("ticket", "warning", 3 * DAY, 6 * HOUR, Decimal("0.10")),
)
WINDOWS = tuple(sorted({int(one.total_seconds()) for pair in PAIRS for one in (pair.long, pair.short)}))


def pairs(target: Decimal, window: timedelta) -> list[Pair]:
    """The pairs that make sense for an SLO.

    Not those that could never fire, as even a total failure burns no faster than 1 / (1 - target), nor those that
    would while the budget lasts.
    """
    return [pair for pair in PAIRS if SLOWEST <= pair.rate(window) < ONE / (ONE - target)]


def is_burning(long: Burn, short: Burn, rate: Decimal, min_events: int) -> bool:
    """Whether both windows burn at `rate` or faster, and the long one stands on enough events."""
    if long.burn_rate is None or short.burn_rate is None or long.events < min_events:
        return False
    return long.burn_rate >= rate and short.burn_rate >= rate


def firings(hours: Sequence[Tally], target: Decimal, pair: Pair, rate: Decimal, min_events: int) -> list[int]:
    """Places of the hours in which a pair would have begun to fire, from figures by the hour.

    A short window below an hour is taken as the hour itself, so a burn that ended within its hour counts too. As the
    rules do, it goes on until it was well for `pair.clear`.
    """
    long, short, clear = (max(length // HOUR, 1) for length in (pair.long, pair.short, pair.clear))
    began: list[int] = []
    well = clear
    for place in range(len(hours)):
        last = [added(hours[max(place + 1 - width, 0) : place + 1]).burn(target) for width in (long, short)]
        fires = is_burning(last[0], last[1], rate, min_events)
        if fires and well >= clear:
            began.append(place)
        well = 0 if fires else well + 1
    return began


def lasts(left: Decimal | None, rate: Decimal | None, window: timedelta) -> timedelta | None:
    """How long the rest of the budget lasts at a burn rate; None where it does not shrink, or is gone."""
    if left is None or rate is None or left <= 0 or rate <= 1:
        return None
    return timedelta(seconds=int(left / rate * Decimal(int(window.total_seconds()))))


def standing(tally: Tally, target: Decimal, now: Burn) -> tuple[str, str]:
    """(tone, word) of an SLO: by what is left of its budget, then by how fast the last hour uses it."""
    left = tally.left(target)
    if left is None:
        return "neutral", "No requests"
    if left < 0:
        return "bad", "Missed"
    if now.burn_rate is not None and now.burn_rate > 1 and left < LOW:
        return "bad", "Nearly gone"
    if left < LOW:
        return "warn", "Little left"
    return ("warn", "Burning") if now.burn_rate is not None and now.burn_rate >= 6 else ("ok", "On target")


def within(counts: Sequence[float], limit_ms: Decimal) -> tuple[int, int]:
    """(faster, slower) of values counted by bucket (usage.histogram.sizes).

    The limit is read at the nearest bound of a bucket, so at most 2 % off.
    """
    place = bisect_left(BOUNDS, float(limit_ms))
    if place and (place == len(BOUNDS) or float(limit_ms) ** 2 < BOUNDS[place - 1] * BOUNDS[place]):
        place -= 1
    faster = round(sum(counts[: place + 1]))
    return faster, round(sum(counts)) - faster


def budget_course(tallies: Sequence[Tally], target: Decimal) -> list[Decimal | None]:
    """The share of the budget left after each of these parts of a window, by the budget of the whole window.

    It begins near 1 and ends with what is left now; None while nothing was counted, and where nothing ever is.
    """
    allowed = (ONE - target) * added(tallies).total
    so_far, course = NOTHING, []
    for tally in tallies:
        so_far += tally
        course.append(ONE - so_far.bad / allowed if allowed and so_far.total else None)
    return course
