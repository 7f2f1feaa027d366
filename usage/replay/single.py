"""Events from traces with one row per request: Azure 2023 (conversation and code) and Mooncake."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from usage.replay.calls import Calls, Slice, Writer
from usage.replay.cast import CODESTRAL, GPT_4O, SONNET, Client, client
from usage.replay.draws import key_of, uniform
from usage.replay.reading import lines_of
from usage.replay.shift import TimeShift

_SLICE = 5_000
_COPY, _MOVE = 0, 1
_COPIES = 4096  # more copies of a row than this would share draws
_SPREAD_S = 30.0  # copies of a row land within this many seconds of each other


@dataclass(frozen=True, slots=True)
class Requests:
    """A trace as columns in time order: seconds (any epoch) and token counts; `cached` only where the trace has it."""

    times: np.ndarray
    input_tokens: np.ndarray
    output_tokens: np.ndarray
    cached: np.ndarray | None = None


class SingleRequests:
    """A trace of requests. More `events` than rows repeats rows a little apart in time, fewer drops some by draw."""

    def __init__(self, caller: Client, trace: Requests, *, events: int | None, seed: str):
        self.name = caller.id
        self.trace = trace
        self.clients = [caller]
        self.key = key_of(seed, caller.id)
        self.row, self.copy, self.times = self._scaled((events or len(trace.times)) / len(trace.times))
        self.start, self.end = float(trace.times[0]), float(trace.times[-1])
        self.expected = len(self.row)

    def _scaled(self, ratio: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Which row and which copy of it each event is, and when, in time order."""
        times = self.trace.times
        rows = np.arange(len(times))
        copies = np.floor(ratio + uniform(self._keys(rows), rows, _COPY)).astype(int)
        row = np.repeat(rows, copies)
        copy = np.arange(len(row)) - np.repeat(np.cumsum(copies) - copies, copies)
        moved = _SPREAD_S * (uniform(self._keys(row), row * _COPIES + copy, _MOVE) - 0.5)
        at = np.clip(times[row] + np.where(copy == 0, 0, moved), times[0], times[-1])
        order = np.argsort(at, kind="stable")
        return row[order], copy[order], at[order]

    def _keys(self, like: np.ndarray) -> np.ndarray:
        return np.full(len(like), self.key, np.uint64)

    def slices(self, shift: TimeShift, ids: str) -> Iterator[Slice]:
        """Slices of a few thousand events, in order. `ids` begins each event id."""
        writer = Writer(self.clients)
        for at in range(0, len(self.row), _SLICE):
            yield writer.slice(self._calls(slice(at, at + _SLICE), shift, f"{ids}-{self.name}"))

    def _calls(self, part: slice, shift: TimeShift, ids: str) -> Calls:
        row, copy, cached = self.row[part], self.copy[part], self.trace.cached
        return Calls(
            times=shift(self.times[part]),
            who=np.zeros(len(row), dtype=int),
            keys=self._keys(row),
            numbers=row * _COPIES + copy,
            ids=[f"{ids}-{r}-{c}" for r, c in zip(row.tolist(), copy.tolist(), strict=True)],
            input_tokens=self.trace.input_tokens[row],
            output_tokens=self.trace.output_tokens[row],
            cached_tokens=None if cached is None else cached[row],
        )


def azure(path: Path, *, events: int | None, seed: str, teams: int) -> SingleRequests:
    """One of the two Azure 2023 files; the file name says which service it is."""
    coding = "code" in path.name
    columns = zip(*((_seconds(at), int(asked), int(made)) for at, asked, made in _rows(path)), strict=True)
    trace = Requests(*map(np.array, columns))
    if coding:
        caller = client(trace="azure", name="code", models=(CODESTRAL,), teams=teams, feature="code-completion")
    else:
        caller = client(trace="azure", name="conversation", models=(GPT_4O,), teams=teams, feature="assistant")
    return SingleRequests(caller, trace, events=events, seed=seed)


def mooncake(path: Path, *, events: int | None, seed: str, teams: int) -> SingleRequests:
    """The Mooncake conversation trace, the one with cached tokens per request."""
    rows = np.array([[int(value) for value in row] for row in _rows(path)])
    trace = Requests(rows[:, 0] / 1000, rows[:, 1], rows[:, 2], rows[:, 4])
    caller = client(trace="mooncake", name="conversation", models=(SONNET,), teams=teams, feature="assistant")
    return SingleRequests(caller, trace, events=events, seed=seed)


def _rows(path: Path) -> Iterator[list[str]]:
    with lines_of(path) as lines:
        reader = csv.reader(lines)
        next(reader)
        yield from reader


def _seconds(text: str) -> float:
    """Azure writes seven decimals, one more than Python reads; the zone is not stated, so UTC is assumed."""
    return datetime.fromisoformat(text[:26]).replace(tzinfo=UTC).timestamp()
