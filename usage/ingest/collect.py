"""Raw events → sorted rows: decode, check, find series, price, in pieces so that memory stays bounded."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby, islice
from operator import itemgetter
from secrets import randbits

from usage import partitions
from usage.ingest import series
from usage.ingest.checks import CLOCK_SKEW, Window, event_problem, text_problem
from usage.ingest.decode import decode, event_id_of
from usage.ingest.parse import Parsed, RawEvent
from usage.ingest.problems import Problem, Rejections
from usage.ingest.rows import Row, RowMaker, in_utc
from usage.ingest.series import Known, Resolved
from usage.ingest.shape import Event, dimensions_of
from usage.ingest.stamps import stamp
from usage.pricing.book import Book

# Decoded events held at once.
PIECE = 500
_identity = itemgetter(0, 1)


@dataclass
class Collector:
    """Collects the rows and rejections of one request; `batch_id` tells the roll-ups which events it brought."""

    team_id: int
    team: str
    environment: str
    api_key_id: int | None
    now: datetime
    rows: list[Row] = field(default_factory=list)
    rejections: Rejections = field(default_factory=Rejections)
    seen: int = 0
    known: Known = field(default_factory=dict)
    # The API key, where its calls have series of their own.
    own_key: int | None = None
    # Random rather than from a sequence: no round trip, and nothing shared between writers. 63 bits do not meet.
    batch_id: int = field(default_factory=lambda: randbits(63))

    def __post_init__(self) -> None:
        self._window = Window(partitions.raw_horizon(self.now), self.now + CLOCK_SKEW)

    def take(self, parsed: Parsed, book: Book) -> None:
        """Turn every event of a body into a row, priced by `book`, or a rejection."""
        self.own_key = self.api_key_id if self.api_key_id in book.keys_apart else None
        self.known = series.known(self.team_id, self.environment, self.own_key)
        maker = RowMaker(self.team_id, self.batch_id, self.api_key_id, self.now, book)
        while piece := list(islice(parsed.events, PIECE)):
            self._take_piece(piece, maker, oddities=parsed.oddities)

    def _take_piece(self, piece: list[RawEvent], maker: RowMaker, *, oddities: bool) -> None:
        events = list(self._decoded(piece, oddities=oddities))
        self._stamp([event for _, event in events if event.occurred_at is None])
        append, window = self.rows.append, self._window
        for (index, event), found in zip(events, self._series_of(events), strict=True):
            at = event.occurred_at or self.now
            if isinstance(found, Problem):
                self.rejections.add(index, event.event_id, found)
            elif problem := window.problem(at):
                self.rejections.add(index, event.event_id, problem)
            else:
                append(maker.row(event, in_utc(at), found))

    def _series_of(self, events: list[tuple[int, Event]]) -> list[Resolved | Problem]:
        """The series of each event, or why it has none. One look-up each: hashing twenty texts is a good part of it."""
        keys = [(not event.parent_span_id, *dimensions_of(event)) for _, event in events]
        found = [self.known.get(key) for key in keys]
        if missing := {key for key, one in zip(keys, found, strict=True) if one is None}:
            series.learn(self.team_id, self.environment, missing, self.known, self.own_key)
        return [one or self.known[key] for key, one in zip(keys, found, strict=True)]

    def _decoded(self, piece: list[RawEvent], *, oddities: bool) -> Iterator[tuple[int, Event]]:
        team, reject = self.team, self.rejections.add
        for index, raw in enumerate(piece, self.seen):
            event = decode(raw)
            if isinstance(event, Problem):
                reject(index, _printable(event_id_of(raw)), event)
            elif problem := (text_problem(event) if oddities else None) or event_problem(event, team):
                reject(index, _printable(event.event_id), problem)
            else:
                yield index, event
        self.seen += len(piece)

    def _stamp(self, events: list[Event]) -> None:
        stamps = stamp(self.team_id, [event.event_id for event in events], self.now)
        for event in events:
            event.occurred_at = stamps[event.event_id]

    def unique_rows(self) -> list[Row]:
        """The rows in the order of their key, the first of each key."""
        self.rows.sort(key=_identity)
        return [next(same) for _, same in groupby(self.rows, key=_identity)]


def _printable(event_id: str | None) -> str | None:
    return None if event_id is None else event_id.replace("\x00", "\ufffd")
