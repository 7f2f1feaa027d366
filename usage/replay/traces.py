"""Which trace a file is: told by its first line, not by its name."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

from usage.replay.calls import Slice
from usage.replay.ndjson import Events
from usage.replay.reading import lines_of
from usage.replay.servegen import ServeGen
from usage.replay.shift import TimeShift
from usage.replay.single import azure, mooncake

# Files that belong to servegen_requests and are read with it.
_COMPANIONS = ("category,model,client", "model,client,period_start_s")


class UnknownTrace(ValueError):
    """The file is none of the formats a replay reads."""


class Trace(Protocol):
    """A source of events in time order; `start` and `end` in the trace's own seconds, `expected` events in all."""

    name: str
    start: float
    end: float
    expected: int

    def slices(self, shift: TimeShift, ids: str) -> Iterator[Slice]:
        """Events in slices that are in time order; `ids` begins each event id."""


_READERS: dict[str, Callable[..., Trace]] = {
    "model,client,window_start_s,requests": ServeGen,
    "TIMESTAMP,ContextTokens,GeneratedTokens": azure,
    "timestamp_ms,input_tokens,output_tokens": mooncake,
}


def open_traces(paths: list[Path], *, events: int | None, seed: str, teams: int) -> list[Trace]:
    """A trace for each file. `events` is the wanted number for each of them (None: as the trace has it)."""
    found: list[Trace] = []
    for path in paths:
        first = _first_line(path)
        if first.startswith("{"):
            found.append(Events(path))
        elif reader := next((made for head, made in _READERS.items() if first.startswith(head)), None):
            found.append(reader(path, events=events, seed=seed, teams=teams))
        elif not first.startswith(_COMPANIONS):
            raise UnknownTrace(f"{path}: expected a ServeGen, Azure 2023 or Mooncake trace, or events as NDJSON.")
    if not found:
        raise UnknownTrace("No trace among the files: give servegen_requests.csv.gz, not only its companions.")
    return found


def _first_line(path: Path) -> str:
    try:
        with lines_of(path) as lines:
            return lines.readline().strip()
    except (OSError, UnicodeDecodeError) as problem:
        raise UnknownTrace(f"{path}: cannot be read ({problem}).") from problem
