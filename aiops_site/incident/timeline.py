"""What came and what failed, slot by slot, over the window a page looks at.

Long windows are read from the coarse to the fine: the days first, which are few rows, then the hours of those days in
which more failed than usual, and of the last ones. A stretch that fails is found to the same slots as if every hour had
been read, unless it is so small in its day that its failures are lost among the usual ones (`spells.suspects`).
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import pairwise

from aiops_site.incident import population, spells
from aiops_site.incident.population import MODEL_CALLS, Population
from aiops_site.incident.spells import Slot
from usage.metrics import MetricResult, kept_step
from usage.metrics.asked import UTC_ZONE
from usage.metrics.window import FIXED_STEPS, floor
from usage.scope import Scope

DAY = timedelta(days=1)
REQUESTS = ""  # the subject of spells of requests, beside the providers' names
# The step of the slots for windows up to so long.
STEPS = ((DAY, "5min"), (timedelta(days=8), "hour"), (timedelta(days=35), "6hour"))
FROM_DAYS = "6hour"  # slots of this step are read by way of the days
PARTS = DAY // FIXED_STEPS[FROM_DAYS]
MOST_RUNS = 4  # more stretches of suspected days are read as one: a query costs as much as some days of hours

# Subject → start of a slot → [count, failed].
Totals = dict[str, dict[datetime, list[int]]]


@dataclass(frozen=True)
class Timeline:
    """Slots of requests and, by provider, of model calls; `width` is their length.

    known_by: the shortest time of which every figure is known; within it, some slots are equal parts of it.
    """

    start: datetime
    end: datetime
    width: timedelta
    known_by: timedelta
    subjects: dict[str, list[Slot]]

    @property
    def requests(self) -> list[Slot]:
        return self.subjects[REQUESTS]

    @property
    def seen(self) -> bool:
        """Whether any request or call came at all."""
        return any(slot.count for slots in self.subjects.values() for slot in slots)


def read(scope: Scope, now: datetime) -> Timeline:
    """The scope's window, at least 24 h of it, in slots as short as the roll-ups still allow."""
    length = max(scope.end - scope.start, DAY)
    window = scope.between(scope.end - length, scope.end)
    step = kept_step(next((step for limit, step in STEPS if length <= limit), "day"), window.start, now)
    if step == FROM_DAYS:
        return _by_way_of_days(replace(window, zone=UTC_ZONE))
    result = _counts(window, step)
    starts = [start for start in result.buckets if start < scope.end]
    width = min((b - a for a, b in pairwise(starts)), default=scope.end - result.start)
    return _timeline(starts, scope.end, width, width, _totals([result], population.of(scope)))


def _counts(scope: Scope, step: str) -> MetricResult:
    return scope.query(population.COUNTED, step=step, group_by=("provider",))


def _totals(results: Iterable[MetricResult], counts: Population) -> Totals:
    totals: Totals = defaultdict(lambda: defaultdict(lambda: [0, 0]))
    for row, at in ((row, row.at) for result in results for row in result.rows if row.at):
        _add(totals[REQUESTS][at], population.counted(row.values, counts))
        if row.key[0]:
            _add(totals[row.key[0]][at], population.counted(row.values, MODEL_CALLS))
    return totals


def _add(total: list[int], counted: tuple[int, int]) -> None:
    total[0] += counted[0]
    total[1] += counted[1]


def _timeline(starts: list[datetime], end: datetime, width: timedelta, known_by: timedelta, totals: Totals) -> Timeline:
    nothing = (0, 0)
    slots = {
        subject: [Slot(start, *by_start.get(start, nothing)) for start in starts]
        for subject, by_start in totals.items()
    }
    slots.setdefault(REQUESTS, [Slot(start, 0, 0) for start in starts])
    return Timeline(starts[0], end, width, known_by, slots)


# --- From the days to their parts ---------------------------------------------------------------------------------
def _by_way_of_days(scope: Scope) -> Timeline:
    """Days of UTC, as those are kept. The last ones are always read by their parts: what lasts is seen there."""
    first, today = (floor(moment, "day", UTC_ZONE) for moment in (scope.start, scope.end))
    counts = population.of(scope)
    by_day = _totals([_counts(scope.between(first, today), "day")], counts)
    days = [first + DAY * number for number in range((today - first) // DAY)]
    runs = _runs({*_near_suspects(by_day, days), days[-1], today}, scope.end)
    by_part = _totals([_counts(scope.between(*run), FROM_DAYS) for run in runs], counts)
    width = DAY // PARTS
    for subject, totals in by_day.items():
        for day in (day for day in totals if not any(start <= day < end for start, end in runs)):
            by_part[subject] |= {day + width * n: part for n, part in enumerate(_parts(totals[day]))}
    starts = [first + width * number for number in range(-((first - scope.end) // width))]
    return _timeline(starts, scope.end, width, DAY, by_part)


def _near_suspects(by_day: Totals, days: list[datetime]) -> set[datetime]:
    """Days that any subject makes suspect, with those beside them, where a stretch may have begun or ended."""
    listed = ([Slot(day, *totals.get(day, (0, 0))) for day in days] for totals in by_day.values())
    found = {days[index] for slots in listed for index in spells.suspects(slots)}
    return {day + DAY * beside for day in found for beside in (-1, 0, 1)} & set(days)


def _runs(days: set[datetime], end: datetime) -> list[tuple[datetime, datetime]]:
    """Stretches of days that follow each other, up to `end`; one over all of them where they are many."""
    ordered = sorted(days)
    breaks = [place for place, (a, b) in enumerate(pairwise(ordered), 1) if b - a > DAY]
    if len(breaks) >= MOST_RUNS:
        breaks = []
    edges = pairwise([0, *breaks, len(ordered)])
    runs = [(ordered[first], min(ordered[last - 1] + DAY, end)) for first, last in edges]
    return [run for run in runs if run[0] < run[1]]


def _parts(total: list[int]) -> list[list[int]]:
    """A day's [count, failed] in PARTS parts as equal as whole numbers can be."""
    return [[amount // PARTS + (part < amount % PARTS) for amount in total] for part in range(PARTS)]
