"""Traces as trees of stages, conversations as lists of turns."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

from usage.measures import COST_PRICED, COST_UNMETERED, COST_UNPRICED
from usage.models import UsageEvent
from usage.queries.events import id_lookup, with_id, with_series

STAGES = 2_000
TURNS = 500
# A trace's stages lie this close to each other.
AROUND = timedelta(hours=12)


@dataclass
class Totals:
    """Sums over stages. `cost_usd` is of the priced ones; `unknown` counts those whose cost is not known."""

    stages: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: Decimal = Decimal(0)
    priced: int = 0
    unknown: int = 0
    failed: int = 0

    @property
    def known_cost(self) -> Decimal | None:
        """None where nothing is priced but something should be."""
        return None if self.unknown and not self.priced else self.cost_usd


@dataclass
class Stage:
    """One event of a trace: its depth, and its bar as shares of the trace's duration."""

    event: UsageEvent
    depth: int
    start_share: float
    width_share: float


@dataclass
class Trace:
    """A trace's stages in tree order. `start` and `end` are those of its first and last stage."""

    trace_id: str
    start: datetime
    end: datetime
    stages: list[Stage] = field(default_factory=list)
    totals: Totals = field(default_factory=Totals)
    cut: bool = False

    @property
    def duration_ms(self) -> float:
        return (self.end - self.start) / timedelta(milliseconds=1)

    @property
    def entry(self) -> UsageEvent:
        """The request: its first stage without a parent, else its first stage."""
        return next((s.event for s in self.stages if s.event.series.entry), self.stages[0].event)


def totals(events: Iterable[UsageEvent]) -> Totals:
    """Sums over events that have their `series`."""
    sums = Totals()
    for event in events:
        sums.stages += 1
        sums.input_tokens += event.input_tokens or 0
        sums.output_tokens += event.output_tokens or 0
        sums.cost_usd += event.cost_usd or 0
        sums.priced += event.cost_state == COST_PRICED
        sums.unknown += event.cost_state in (COST_UNPRICED, COST_UNMETERED)
        sums.failed += event.series.status == "error"
    return sums


def trace(team_id: int, trace_id: str, near: datetime | None = None) -> Trace | None:
    """The trace of a team; None when nothing of it is kept. At most STAGES stages (`cut` says so).

    `near`, the time of one of its stages, spares looking at every day that is kept.
    """
    wanted = with_id([team_id], "trace_id", trace_id).order_by("occurred_at", "event_id")
    with id_lookup():
        close = wanted.filter(occurred_at__gte=near - AROUND, occurred_at__lt=near + AROUND) if near else wanted.none()
        found = list(close[: STAGES + 1]) or list(wanted[: STAGES + 1])
    events = with_series(found)
    return _tree(trace_id, events[:STAGES], cut=len(events) > STAGES) if events else None


def _tree(trace_id: str, events: list[UsageEvent], *, cut: bool) -> Trace:
    start = min(event.occurred_at for event in events)
    end = max(_end(event) for event in events)
    result = Trace(trace_id, start, end, totals=totals(events), cut=cut)
    length = (end - start) or timedelta(milliseconds=1)
    result.stages = [
        Stage(event, depth, (event.occurred_at - start) / length, (_end(event) - event.occurred_at) / length)
        for event, depth in _walk(events)
    ]
    return result


def _end(event: UsageEvent) -> datetime:
    return event.occurred_at + timedelta(milliseconds=event.latency_ms or 0)


def _walk(events: list[UsageEvent]) -> Iterable[tuple[UsageEvent, int]]:
    """Depth first, siblings by time. A stage whose parent is not there, or is itself below it, stands at the top."""
    spans = {event.span_id for event in events if event.span_id}
    children: dict[str | None, list[UsageEvent]] = defaultdict(list)
    for event in events:
        children[event.parent_span_id if event.parent_span_id in spans else None].append(event)
    seen: set[str] = set()
    waiting = [(event, 0) for event in reversed(children[None])]
    while True:
        while waiting:
            event, depth = waiting.pop()
            if event.event_id not in seen:
                seen.add(event.event_id)
                yield event, depth
                below = children.get(event.span_id, []) if event.span_id else []
                waiting += [(child, depth + 1) for child in reversed(below)]
        left = next((event for event in events if event.event_id not in seen), None)
        if left is None:
            return
        waiting = [(left, 0)]


@dataclass
class Turn:
    """One trace of a conversation (or one event without a trace)."""

    entry: UsageEvent
    totals: Totals


def conversation(team_id: int, conversation_id: str) -> tuple[list[Turn], Totals, bool]:
    """Turns in time order, their sum, and whether the oldest were cut off (more than TURNS × 20 events)."""
    limit = TURNS * 20
    with id_lookup():
        found = with_id([team_id], "conversation_id", conversation_id).order_by("-occurred_at", "-event_id")
        events = list(found[: limit + 1])
    events = with_series(events)
    cut, events = len(events) > limit, events[:limit]
    groups: dict[str, list[UsageEvent]] = defaultdict(list)
    for event in reversed(events):
        groups[event.trace_id or f"event {event.event_id}"].append(event)
    turns = [
        Turn(next((event for event in group if event.series.entry), group[0]), totals(group))
        for group in groups.values()
    ]
    return turns, totals(events), cut
