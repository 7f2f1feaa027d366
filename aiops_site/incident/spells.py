"""When it failed: stretches of time in which more fails than may. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from aiops_site.incident.rules import exceeds

LIMIT = 0.05
WINDOW = 3  # slots judged together, so that a quarter of an hour of thin traffic can be told from chance
MAX_GAP = 3  # so many quiet slots do not end a spell


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


def worst(spells: Iterable[Spell]) -> Spell | None:
    """The spell to look at: an ongoing one before a past one, then the most failures.

    A provider's comes before that of the requests it fails: its failed calls are more, as some are rescued.
    """
    return max(spells, key=lambda s: (s.ongoing, s.failed, s.subject), default=None)
