"""The events that are sent: ServeGen's production trace where the shared data is there, else the demo's generator."""

import gzip
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count, islice
from pathlib import Path

import msgspec

from bench.connection import post
from usage.demo.cast import FEATURES
from usage.demo.hours import events_between
from usage.replay.servegen import ServeGen
from usage.replay.shift import TimeShift

SERVEGEN = Path(__file__).resolve().parents[2] / "shared" / "data" / "llm_traces" / "servegen_requests.csv.gz"
TEAMS = 4
_DEMO_TEAMS = sorted({feature.team for feature in FEATURES})
_PATH = "/api/v1/events"
_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Span:
    """When the events occur (aware datetimes): the trace is stretched or pressed into it."""

    start: datetime
    end: datetime


def source() -> str:
    """What the events are made from, for the report."""
    return "ServeGen trace" if SERVEGEN.exists() else "demo generator (../shared is not there)"


def events(wanted: int, span: Span, ids: str, part: int = 0, parts: int = 1) -> Iterator[tuple[int, bytes]]:
    """About `wanted` events in time order as (team number, JSON); `part` of `parts` is every so-manieth stretch."""
    make = _servegen if SERVEGEN.exists() else _demo
    return make(wanted, span, ids, part, parts)


def _servegen(wanted: int, span: Span, ids: str, part: int, parts: int) -> Iterator[tuple[int, bytes]]:
    trace = ServeGen(SERVEGEN, events=wanted, seed=ids, teams=TEAMS)
    trace.windows = {start: trace.windows[start] for start in sorted(trace.windows)[part::parts]}
    speed = (trace.end - trace.start) / (span.end - span.start).total_seconds()
    for piece in trace.slices(TimeShift(trace.end, span.end.timestamp(), speed), ids):
        yield from zip(piece.teams, piece.lines, strict=True)


def _demo(wanted: int, span: Span, ids: str, part: int, parts: int) -> Iterator[tuple[int, bytes]]:
    """Days of the demo, one after the other until there are enough, pressed into the span."""
    end = datetime(2026, 1, 15, tzinfo=UTC)
    step = (span.end - span.start) / max(wanted, 1)
    made = (event for day in count() for event in _demo_day(end - _DAY * day))
    for number, (team, event) in enumerate(islice(made, wanted)):
        if number % parts == part:
            own = {"event_id": f"{ids}-{number}", "occurred_at": (span.start + step * number).isoformat()}
            yield team, msgspec.json.encode(event | own)


def _demo_day(end: datetime) -> Iterator[tuple[int, dict]]:
    for number, team in enumerate(_DEMO_TEAMS):
        for event in events_between(end - _DAY, end, end, team=team, volume=4):
            yield number % TEAMS, event


def batches(made: Iterable[tuple[int, bytes]], size: int) -> Iterator[tuple[int, list[bytes]]]:
    """Events gathered into batches of one team, as a client's exporter does; the rest at the end is smaller."""
    waiting: dict[int, list[bytes]] = defaultdict(list)
    for team, line in made:
        waiting[team].append(line)
        if len(waiting[team]) == size:
            yield team, waiting.pop(team)
    yield from ((team, lines) for team, lines in waiting.items())


def batch_requests(made: Iterable[tuple[int, bytes]], keys: list[str], *, size: int, name: str) -> list[bytes]:
    """Whole requests with gzip bodies and an Idempotency-Key each; `keys` are API keys by team number."""
    requests = []
    for number, (team, lines) in enumerate(batches(made, size)):
        headers = (
            f"Authorization: Bearer {keys[team]}\r\nContent-Type: application/x-ndjson\r\n"
            f"Content-Encoding: gzip\r\nIdempotency-Key: {name}-{number}\r\n"
        )
        requests.append(post(_PATH, gzip.compress(b"\n".join(lines), 6, mtime=0), headers))
    return requests


def single_requests(made: Iterable[tuple[int, bytes]], keys: list[str]) -> list[bytes]:
    """Whole requests of one event each, as a client without an exporter sends them."""
    return [
        post(_PATH, line, f"Authorization: Bearer {keys[team]}\r\nContent-Type: application/json\r\n")
        for team, line in made
    ]


def just_now(minutes: float = 2) -> Span:
    """The last minutes."""
    now = datetime.now(UTC)
    return Span(now - timedelta(minutes=minutes), now)
