"""Where to look: the timeline of the scope, the spells in it, and the window every part of the page speaks of."""

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from django.utils import timezone

from aiops_site.incident import population, spells
from aiops_site.incident.population import MODEL_CALLS, Population
from aiops_site.incident.spells import Slot, Spell
from usage.metrics import MetricResult, kept_step
from usage.queries.history import known_since
from usage.scope import Scope

DAY = timedelta(days=1)
LIVE_WITHIN = timedelta(minutes=2)  # a window that ends this close to now is "now"
SHORT, LONG = timedelta(minutes=15), timedelta(hours=1)
REQUESTS = ""  # the subject of spells of requests, beside the providers' names
# What is usual is read over so much more on both sides of the hour a week earlier: one hour of thin traffic is chance.
AROUND = timedelta(minutes=90)
SHORT_NEEDS = 50  # requests in the short window, else the verdict speaks of the long one
# The step of the timeline for windows up to so long.
STEPS = ((DAY, "5min"), (timedelta(days=8), "hour"), (timedelta(days=35), "6hour"))


@dataclass(frozen=True)
class Timeline:
    """Slots of requests and, by provider, of model calls; `width` is their length."""

    start: datetime
    end: datetime
    width: timedelta
    subjects: dict[str, list[Slot]]

    @property
    def requests(self) -> list[Slot]:
        return self.subjects[REQUESTS]

    @property
    def seen(self) -> bool:
        """Whether any request or call came at all."""
        return any(slot.count for slots in self.subjects.values() for slot in slots)


@dataclass(frozen=True)
class Situation:
    """The answer to "where do I look?".

    live: the scope ends now. spell: the failing stretch the page speaks of, None when nothing stands out. focus: the
    window of that spell, else the scope's own; usual: the same window whole weeks earlier. history: since when there
    are figures; rates over a time before it would be too low.
    """

    scope: Scope
    timeline: Timeline
    live: bool
    spell: Spell | None
    past: Spell | None
    focus: Scope
    usual: Scope
    history: datetime | None


def look(scope: Scope) -> Situation:
    """Two queries: the timeline, and since when there are figures. A live page speaks of a spell only while it lasts; a
    past one of its worst.
    """
    now = timezone.now()
    timeline = read_timeline(scope, now)
    found = [s for s in all_spells(timeline) if s.end > scope.start]
    live = is_live(scope)
    worst = spells.worst(found)
    spell = worst if worst and (worst.ongoing or not live) else None
    focus = scope.between(max(spell.start, scope.start), min(spell.end, scope.end)) if spell else scope
    return Situation(
        scope,
        timeline,
        live,
        spell,
        past=worst if not spell else None,
        focus=focus,
        usual=focus.shifted("week"),
        history=known_since(scope.team_ids),
    )


def is_live(scope: Scope) -> bool:
    """Whether the scope ends now, so that the page refreshes and speaks of the last minutes."""
    return timezone.now() - scope.end < LIVE_WITHIN


def all_spells(timeline: Timeline) -> list[Spell]:
    """Spells of requests and of each provider."""
    return [
        spell
        for subject, slots in timeline.subjects.items()
        for spell in spells.find(subject, slots, timeline.end)
    ]  # fmt: skip


def read_timeline(scope: Scope, now: datetime) -> Timeline:
    """The scope's window, at least 24 h of it, in slots as short as the roll-ups still allow."""
    length = max(scope.end - scope.start, DAY)
    start = scope.end - length
    step = kept_step(next((step for limit, step in STEPS if length <= limit), "day"), start, now)
    result = scope.between(start, scope.end).query(
        ("requests", "errors", "calls", "call_error_rate"), step=step, group_by=("provider",)
    )
    return _timeline(result, scope.end, population.of(scope))


def _timeline(result: MetricResult, end: datetime, counts: Population) -> Timeline:
    totals: dict[str, dict[datetime, list[int]]] = defaultdict(lambda: defaultdict(lambda: [0, 0]))
    for row, at in ((row, row.at) for row in result.rows if row.at):
        _add(totals[REQUESTS], at, *population.counted(row.values, counts))
        if row.key[0]:
            _add(totals[row.key[0]], at, *population.counted(row.values, MODEL_CALLS))
    starts = [start for start in result.buckets if start < end]
    slots = {
        subject: [Slot(start, *by_start.get(start, (0, 0))) for start in starts] for subject, by_start in totals.items()
    }
    slots.setdefault(REQUESTS, [Slot(start, 0, 0) for start in starts])
    width = min((b - a for a, b in pairwise(starts)), default=end - result.start)
    return Timeline(result.start, end, width, slots)


def _add(slots: dict[datetime, list[int]], at: datetime, count: int, failed: int) -> None:
    slots[at][0] += count
    slots[at][1] += failed


@dataclass(frozen=True)
class Windows:
    """short: what the verdict speaks of; long: what stands beside it; usual: the hours a week earlier, AROUND wider."""

    short: Scope
    long: Scope
    usual: Scope


def windows(situation: Situation) -> Windows:
    """Live: the last 15 minutes, or with too little traffic in them the spell that lasts or the last hour; the last
    hour; the hours round it a week ago. Past: the spell or the whole window; the whole window; the former a week ago.
    """
    scope = situation.scope
    if not situation.live:
        return Windows(situation.focus, scope, _around(situation.usual, situation.history))
    hour = scope.last(LONG)
    if _busy(situation):
        short = scope.last(SHORT)
    else:
        short = scope.between(max(situation.focus.start, hour.start), hour.end) if situation.spell else hour
    return Windows(short, hour, _around(hour.shifted("week"), situation.history))


def _around(scope: Scope, history: datetime | None) -> Scope:
    return scope.between(scope.start - AROUND, scope.end + AROUND).since(history)


def _busy(situation: Situation) -> bool:
    first = situation.scope.end - SHORT
    return sum(slot.count for slot in situation.timeline.requests if slot.start >= first) >= SHORT_NEEDS
