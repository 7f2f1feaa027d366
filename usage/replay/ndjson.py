"""A file of usage events, one JSON object a line, as the ingest takes them; their times are kept unless shifted."""

import math
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import numpy as np

from usage.replay.calls import Slice
from usage.replay.reading import lines_of
from usage.replay.shift import TimeShift

_SLICE = 5_000


class Unreadable(ValueError):
    """A line that is no event with a time; names the line."""


class Events:
    """Events as they stand. `--events` does not apply: what is in the file is what is sent."""

    name = "events"

    def __init__(self, path: Path):
        self.path = path
        self.start, self.end, self.expected = math.inf, -math.inf, 0
        for at, _ in self._events():
            self.start, self.end = min(self.start, at), max(self.end, at)
            self.expected += 1
        if not self.expected:
            raise Unreadable(f"{path} holds no events.")

    def slices(self, shift: TimeShift, ids: str) -> Iterator[Slice]:
        """Slices in the file's order with shifted times. Their own event ids stay, so `ids` is not used."""
        found: list[tuple[float, dict]] = []
        for pair in self._events():
            found.append(pair)
            if len(found) == _SLICE:
                yield _slice(found, shift)
                found = []
        if found:
            yield _slice(found, shift)

    def _events(self) -> Iterator[tuple[float, dict]]:
        with lines_of(self.path) as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    yield _read(line, f"{self.path}, line {number}")


def _read(line: str, where: str) -> tuple[float, dict]:
    try:
        event = msgspec.json.decode(line)
        return datetime.fromisoformat(event["occurred_at"]).timestamp(), event
    except (msgspec.DecodeError, KeyError, TypeError, ValueError) as problem:
        raise Unreadable(f"{where}: not an event with an ISO 8601 occurred_at ({problem!r}).") from problem


def _slice(found: list[tuple[float, dict]], shift: TimeShift) -> Slice:
    times = shift(np.array([at for at, _ in found])).tolist()
    encode = msgspec.json.Encoder().encode
    lines = [encode(event | {"occurred_at": _text(at)}) for at, (_, event) in zip(times, found, strict=True)]
    return Slice(min(times), times, [0] * len(times), lines)


def _text(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="microseconds")
