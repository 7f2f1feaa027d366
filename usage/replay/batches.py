"""Cuts the events of one or several traces into numbered batches; the same input gives the same batches, so that a
replay can go on at a number.
"""

import heapq
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from usage.replay.calls import Slice

LIVE_SLOT_S = 1.0


@dataclass(frozen=True, slots=True)
class Batch:
    """Events that are sent in one request with the key number `team`; `due` is the time of the last one."""

    number: int
    team: int
    due: float
    lines: list[bytes]


def batches(traces: Sequence[Iterable[Slice]], *, size: int, live: bool, limit: int | None) -> Iterator[Batch]:
    """Batches of at most `size` events. Live ones also end with each second of event time, so that nothing waits."""
    for number, group in enumerate(_groups(islice(_events(traces), limit), size, live)):
        yield Batch(number, *group)


def _events(traces: Sequence[Iterable[Slice]]) -> Iterator[tuple[float, int, bytes]]:
    for part in heapq.merge(*traces, key=lambda part: part.start):
        yield from zip(part.times, part.teams, part.lines, strict=True)


def _groups(events: Iterable, size: int, live: bool) -> Iterator[tuple[int, float, list[bytes]]]:
    waiting: dict[int, list[bytes]] = defaultdict(list)
    slot, at = None, 0.0
    for at, team, line in events:
        if live and (now := at // LIVE_SLOT_S) != slot:
            yield from _flush(waiting, at)
            slot = now
        lines = waiting[team]
        lines.append(line)
        if len(lines) == size:
            waiting[team] = []
            yield team, at, lines
    yield from _flush(waiting, at)


def _flush(waiting: dict[int, list[bytes]], at: float) -> Iterator[tuple[int, float, list[bytes]]]:
    for team in sorted(waiting):
        if waiting[team]:
            yield team, at, waiting.pop(team)
