"""When it failed: stretches of time in which more fails than may. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import sqrt

from aiops_site.incident.rules import MIN_FAILURES, exceeds

LIMIT = 0.05
WINDOW = 3  # slots judged together, so that a quarter of an hour of thin traffic can be told from chance
MAX_GAP = 3  # so many quiet slots do not end a spell
# Days that may hide a spell: with a share of failures near the limit, or with more of them than usual, by this share of
# the day's count and by so many standard deviations.
NEAR = 0.8 * LIMIT
EXCESS = 1 / 400
BEYOND_CHANCE = 3.0


@dataclass(frozen=True, slots=True)
class Slot:
    """What came between `start` and the next slot, and how much of it failed."""

    start: datetime
    count: int
    failed: int


@dataclass(frozen=True)
class Spell:
    """A stretch in which `subject` (a provider; "" is requests as the caller saw them) failed beyond the limit."""

    subject: str
    start: datetime
    end: datetime
    count: int
    failed: int
    ongoing: bool

    @property
    def share(self) -> float:
        return self.failed / self.count

    @property
    def length(self) -> timedelta:
        return self.end - self.start


def find(subject: str, slots: Sequence[Slot], end: datetime, limit: float = LIMIT) -> list[Spell]:
    """Spells of one subject, in time order. `slots` cover the time up to `end` without gaps."""
    near = (range(max(last - WINDOW + 1, 0), last + 1) for last, slot in enumerate(slots) if slot.failed)
    firsts = {first for window in near for first in window}
    failing = sorted({index for first in firsts for index in _failing(slots, first, limit)})
    return [_spell(subject, slots, run[0], run[-1], end) for run in _runs(failing)]


def _failing(slots: Sequence[Slot], first: int, limit: float) -> list[int]:
    """Those of WINDOW slots from `first` on that hold failures, when the slots together are beyond the limit."""
    window = slots[first : first + WINDOW]
    if not exceeds(sum([slot.failed for slot in window]), sum([slot.count for slot in window]), limit):
        return []
    return [i for i, slot in enumerate(window, first) if slot.failed and slot.failed / slot.count > limit]


def _runs(indexes: Iterable[int]) -> list[list[int]]:
    runs: list[list[int]] = []
    for index in indexes:
        if runs and index - runs[-1][-1] <= MAX_GAP + 1:
            runs[-1].append(index)
        else:
            runs.append([index])
    return runs


def _spell(subject: str, slots: Sequence[Slot], first: int, last: int, end: datetime) -> Spell:
    inside = slots[first : last + 1]
    ongoing = last >= len(slots) - WINDOW
    stop = end if ongoing else slots[last + 1].start
    count, failed = sum(slot.count for slot in inside), sum(slot.failed for slot in inside)
    return Spell(subject, slots[first].start, stop, count, failed, ongoing)


def suspects(days: Sequence[Slot]) -> list[int]:
    """Indexes of the days of one subject that may hold slots beyond the limit, though the day itself is not.

    A quarter of a day with the limit's share of failures has four times what EXCESS asks for. What is usual is the
    share of the lower quartile of the days, so that many bad days do not become usual.
    """
    shares = sorted(day.failed / day.count for day in days if day.count)
    usual = shares[len(shares) // 4] if shares else 0.0
    failed = [0, *(day.failed for day in days), 0]
    return [
        index
        for index, day in enumerate(days)
        if day.failed and day.failed + max(failed[index], failed[index + 2]) >= MIN_FAILURES and _unusual(day, usual)
    ]


def _unusual(day: Slot, usual: float) -> bool:
    expected = usual * day.count
    return day.failed > NEAR * day.count or (
        day.failed - expected > max(EXCESS * day.count, BEYOND_CHANCE * sqrt(expected))
    )


def worst(spells: Iterable[Spell]) -> Spell | None:
    """The spell to look at: an ongoing one before a past one, then the most failures.

    A provider's comes before that of the requests it fails: its failed calls are more, as some are rescued.
    """
    return max(spells, key=lambda s: (s.ongoing, s.failed, s.subject), default=None)
