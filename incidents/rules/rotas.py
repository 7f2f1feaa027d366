"""Whose turn it is: turns of whole days in a zone, and overrides over them.

A turn begins at a wall-clock time, so it is an hour shorter or longer where clocks change. A time that the clocks skip
means the moment it would have been without the change; one that comes twice means the first (PEP 495, fold 0).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo


@dataclass(frozen=True)
class Cover:
    """An override: `person` instead of whoever's turn it is."""

    person: int
    start: datetime
    end: datetime


@dataclass(frozen=True)
class Rotation:
    """Persons by id in their order; `covers` in the order they were made, of which the last counts."""

    zone: str
    handover: time
    starts_on: date
    days: int
    persons: tuple[int, ...]
    covers: tuple[Cover, ...] = ()


@dataclass(frozen=True)
class Span:
    """From `start` to `end` the same `person`, None for nobody; `cover` where it is an override."""

    start: datetime
    end: datetime
    person: int | None
    cover: bool = False


def turn_start(rotation: Rotation, number: int) -> datetime:
    """When turn `number` (0 is the first) begins, in UTC; it ends when the next begins."""
    day = rotation.starts_on + timedelta(days=number * rotation.days)
    return datetime.combine(day, rotation.handover, ZoneInfo(rotation.zone)).astimezone(UTC)


def turn_at(rotation: Rotation, at: datetime) -> int:
    """The number of the turn that `at` falls into; below 0 before the rota begins."""
    day = at.astimezone(ZoneInfo(rotation.zone)).date()
    number = (day - rotation.starts_on).days // rotation.days
    if at < turn_start(rotation, number):
        return number - 1
    return number + 1 if at >= turn_start(rotation, number + 1) else number


def spans(rotation: Rotation, start: datetime, end: datetime) -> list[Span]:
    """Who is on call from `start` to `end`, without a gap or an overlap: spans of nobody are among them."""
    found: list[Span] = []
    for span in _pieces(rotation, start, end):
        last = found[-1] if found else None
        if last and (last.person, last.cover) == (span.person, span.cover) and _same_turn(rotation, last, span):
            found[-1] = Span(last.start, span.end, span.person, span.cover)
        else:
            found.append(span)
    return found


def _same_turn(rotation: Rotation, one: Span, other: Span) -> bool:
    """Turns of one person are told apart, unless nobody or a cover is on call anyway."""
    return one.cover or one.person is None or turn_at(rotation, one.start) == turn_at(rotation, other.start)


def _pieces(rotation: Rotation, start: datetime, end: datetime) -> Iterator[Span]:
    while start < end:
        span = span_from(rotation, start)
        yield Span(start, min(span.end, end), span.person, span.cover)
        start = span.end


def span_from(rotation: Rotation, at: datetime) -> Span:
    """From `at` until anything changes: a turn, or a cover that begins or ends."""
    number = turn_at(rotation, at)
    changes = [turn_start(rotation, number + 1)]
    changes += [moment for cover in rotation.covers for moment in (cover.start, cover.end) if moment > at]
    covering = [cover for cover in rotation.covers if cover.start <= at < cover.end]
    if covering:
        return Span(at, min(changes), covering[-1].person, cover=True)
    turn = rotation.persons[number % len(rotation.persons)] if rotation.persons and number >= 0 else None
    return Span(at, min(changes), turn)
