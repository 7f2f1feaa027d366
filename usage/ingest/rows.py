"""Events → rows, and rows → CSV for COPY. The hottest Python of the product, so it is flat on purpose.

msgspec writes the rows: a JSON array without its brackets is a line of CSV whose escape is the backslash, and its
`null` is COPY's. No text column ever stores ''. What JSON escapes and CSV does not is put back where it may be at all.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from operator import attrgetter
from typing import Any

import msgspec

from usage.ingest.series import Resolved
from usage.ingest.shape import Detail, Event, detail_of
from usage.measures import COST_NONE, COST_PRICED, COST_UNMETERED, COST_UNPRICED
from usage.pricing.book import Book
from usage.pricing.catalogue import DatedRate

_COUNTS = (
    "input_tokens", "output_tokens", "cached_input_tokens", "cache_write_tokens", "reasoning_tokens", "context_tokens",
    "top_score", "http_status", "retry_count", "documents", "citations", "refused", "policy_hit", "schema_valid",
    "cache_hit", "escalated",
)  # fmt: skip
_TEXTS = (
    "trace_id", "span_id", "parent_span_id", "request_id", "conversation_id", "session_id", "tenant", "user_hash",
    "response_model", "reservation_id",
)  # fmt: skip
# The values of a row, in this order: occurred_at (UTC) and event_id are its key, and the order of writing.
COLUMNS = (
    "occurred_at", "event_id", "series_id", "team_id", "batch_id", "received_at", "api_key_id",
    "latency_ms", "ttft_ms", "queue_ms", *_COUNTS, "feedback", "cost_state", "cost_usd", "reported_cost_usd",
    *_TEXTS, "detail",
)  # fmt: skip
OCCURRED_AT, EVENT_ID, SERIES, RESERVATION, DETAIL = 0, 1, 2, -2, -1
Row = tuple[Any, ...]

_counts_of, _texts_of = attrgetter(*_COUNTS), attrgetter(*_TEXTS)
_NOTHING = (None, "")
_PICO = Decimal("1e-12")
_THUMB = {None: None, "up": 1, "down": -1}
_encode = msgspec.json.Encoder().encode
_ESCAPE = re.compile(rb"\\(?:u00([0-9a-f]{2})|.)")
_CONTROLS = {b"\\n": b"\n", b"\\r": b"\r", b"\\t": b"\t", b"\\b": b"\b", b"\\f": b"\f"}


@dataclass(slots=True)
class Tariff:
    """A rate while it holds, with what it charges looked up once."""

    dated: DatedRate
    needs_input: bool
    needs_output: bool


@dataclass
class RowMaker:
    """Builds the rows of one request, which `batch_id` names."""

    team_id: int
    batch_id: int
    api_key_id: int | None
    now: datetime
    book: Book
    _tariffs: dict[tuple, Tariff] = field(default_factory=dict)
    _details: dict[tuple, str | None] = field(default_factory=dict)
    _head: tuple = ()

    def __post_init__(self) -> None:
        self._head = (self.team_id, self.batch_id, self.now.isoformat(), self.api_key_id)

    def row(self, e: Event, at: datetime, series: Resolved) -> Row:
        """One event as a row; `at` is its start in UTC."""
        latency, ttft, queue = e.latency_ms, e.ttft_ms, e.queue_ms
        reported = e.cost_usd if e.reported_cost_usd is None else e.reported_cost_usd
        return (
            at,
            e.event_id,
            series.id,
            *self._head,
            round(latency) if latency.__class__ is float else latency,
            round(ttft) if ttft.__class__ is float else ttft,
            round(queue) if queue.__class__ is float else queue,
            *_counts_of(e),
            _THUMB[e.feedback],
            *self._cost(e, at, series),
            None if reported is None else f"{reported.quantize(_PICO):f}",
            *_texts(e),
            self._detail(e, series),
        )

    def _detail(self, e: Event, series: Resolved) -> str | None:
        """The JSON of the rarely read fields, None without any; remembered, for the events of a batch share it."""
        values = detail_of(e)
        if e.attributes is not None or series.folded is not None:
            return _encode(Detail(series.folded, *values)).decode()
        try:
            return self._details[values]
        except KeyError:
            text = _encode(Detail(None, *values)).decode()
            detail = self._details[values] = None if text == "{}" else text
            return detail

    def _cost(self, e: Event, at: datetime, series: Resolved) -> tuple[int, str | None]:
        """`cost_state` and the cost in USD with 12 decimals, None where there is none."""
        used, answered = e.input_tokens, e.output_tokens
        if used is None and answered is None:
            if series.refused_call or not series.model_operation:
                return COST_NONE, None
        elif series.wraps_calls or not (series.model_operation or e.response_model or series.dimensions["model"]):
            return COST_NONE, None
        tariff = self._tariff(e, at, series)
        rate = tariff.dated.rate
        if rate is None:
            return (COST_UNMETERED if used is None and answered is None else COST_UNPRICED), None
        if (used is None and tariff.needs_input) or (answered is None and tariff.needs_output):
            return COST_UNMETERED, None
        return COST_PRICED, rate.cost_text(
            used or 0, e.cached_input_tokens or 0, e.cache_write_tokens or 0, answered or 0, e.reasoning_tokens or 0
        )

    def _tariff(self, e: Event, at: datetime, series: Resolved) -> Tariff:
        key = (series, e.response_model, e.service_tier)
        tariff = self._tariffs.get(key)
        if tariff is None or not tariff.dated.start <= at < tariff.dated.end:
            tariff = self._tariffs[key] = self._look_up(e, at, series.dimensions)
        return tariff

    def _look_up(self, e: Event, at: datetime, dims: dict[str, str]) -> Tariff:
        dated = self.book.dated_rate(
            self.team_id,
            dims["provider"],
            dims["model"],
            dims["region"],
            e.service_tier or "",
            at,
            e.response_model or "",
        )
        rate = dated.rate
        return Tariff(dated, bool(rate and rate.charges_input), bool(rate and rate.charges_output))


def _texts(e: Event) -> tuple[str | None, ...]:
    """The texts of an event; an empty one says nothing."""
    texts = _texts_of(e)
    return tuple(text or None for text in texts) if "" in texts else texts


def as_json(rows: Sequence[Row]) -> str:
    """Rows as a JSON array of objects by column, without what is empty or null."""
    return _encode([_named(row) for row in rows]).decode()


def _named(row: Row) -> dict[str, Any]:
    named = {name: value for name, value in zip(COLUMNS, row, strict=True) if value not in _NOTHING}
    if detail := row[DETAIL]:
        named["detail"] = msgspec.Raw(detail.encode())
    return named


def as_csv(rows: Sequence[Row], *, escapes: bool) -> bytes:
    """Rows as lines for COPY with CSV_FORMAT. `escapes`: some text may have a control character (see `Parsed`)."""
    # Row by row: to cut the brackets out of all of them costs more than the writing.
    lines = b"\n".join([_encode(row)[1:-1] for row in rows])
    return (_ESCAPE.sub(_as_written, lines) if escapes else lines) + b"\n"


CSV_FORMAT = "FORMAT csv, NULL 'null', QUOTE '\"', ESCAPE '\\'"


def _as_written(escape: re.Match[bytes]) -> bytes:
    """A control character as itself; an escaped quote or backslash stays, for CSV escapes it the same way."""
    return bytes([int(escape[1], 16)]) if escape[1] else _CONTROLS.get(escape[0], escape[0])


def in_utc(at: datetime) -> datetime:
    return at if at.tzinfo is UTC else at.astimezone(UTC)
