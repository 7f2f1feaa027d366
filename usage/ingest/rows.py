"""Events → lines of text COPY. The hottest Python of the product: about 10 µs an event, so it is flat on purpose.

NULL is the empty field; no text column ever stores ''. Texts are escaped only where the body has a backslash at all,
for without one JSON cannot hold a tab, a newline or a backslash.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import NamedTuple

import msgspec

from usage.ingest.series import Resolved
from usage.ingest.shape import Detail, Event, detail_of
from usage.measures import COST_NONE, COST_PRICED, COST_UNMETERED, COST_UNPRICED
from usage.pricing.book import Book
from usage.pricing.catalogue import DatedRate

# In the order of `RowMaker.row`; series_id comes first because it may have to be resolved again.
COLUMNS = (
    "series_id, team_id, batch_id, received_at, api_key_id, occurred_at, latency_ms, ttft_ms, queue_ms, input_tokens,"
    " output_tokens, cached_input_tokens, cache_write_tokens, reasoning_tokens, context_tokens, top_score, http_status,"
    " retry_count, documents, citations, feedback, refused, policy_hit, schema_valid, cache_hit, escalated,"
    " cost_state, cost_usd, reported_cost_usd, event_id, trace_id, span_id, parent_span_id, request_id,"
    " conversation_id, session_id, tenant, user_hash, response_model, detail"
)
_TEXTS = 10  # event_id … response_model
_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})
_PICO = Decimal("1e-12")
_THUMB = {None: "", "up": "1", "down": "-1"}
_encode = msgspec.json.Encoder().encode


class Row(NamedTuple):
    """A line of COPY without its series id, and what sorting, de-duplicating and marking need."""

    occurred_at: str  # UTC with microseconds, always the same width: sorts as time does
    event_id: str
    series: Resolved
    line: str


@dataclass(slots=True)
class Tariff:
    """A rate while it holds, with what it charges looked up once."""

    dated: DatedRate
    needs_input: bool
    needs_output: bool


@dataclass
class RowMaker:
    """Builds the rows of one request, which `batch_id` names. `escapes` as in `Parsed`."""

    team_id: int
    batch_id: int
    api_key_id: int | None
    now: datetime
    book: Book
    escapes: bool
    _tariffs: dict[tuple, Tariff] = field(default_factory=dict)
    _details: dict[tuple, str] = field(default_factory=dict)
    _head: str = ""

    def __post_init__(self) -> None:
        key = "" if self.api_key_id is None else self.api_key_id
        self._head = f"{self.team_id}\t{self.batch_id}\t{self.now.isoformat()}\t{key}"

    def row(self, e: Event, at: datetime, series: Resolved) -> Row:
        """One event as a row; `at` is its start in UTC."""
        moment = _moment(at)
        state, cost = self._cost(e, at, series)
        reported = e.reported_cost_usd if e.reported_cost_usd is not None else e.cost_usd
        texts = (
            f"{e.event_id}\t{e.trace_id or ''}\t{e.span_id or ''}\t{e.parent_span_id or ''}\t{e.request_id or ''}\t"
            f"{e.conversation_id or ''}\t{e.session_id or ''}\t{e.tenant or ''}\t{e.user_hash or ''}\t"
            f"{e.response_model or ''}"
        )
        detail = self._detail(e, series)
        if self.escapes:
            detail = detail.replace("\\", "\\\\")
            if "\\" in texts or "\n" in texts or "\r" in texts or texts.count("\t") != _TEXTS - 1:
                texts = _escaped_texts(e)
        line = (
            f"{self._head}\t{moment}\t"
            f"{'' if (v := e.latency_ms) is None else f'{v:.0f}'}\t{'' if (v := e.ttft_ms) is None else f'{v:.0f}'}\t"
            f"{'' if (v := e.queue_ms) is None else f'{v:.0f}'}\t{'' if (v := e.input_tokens) is None else v}\t"
            f"{'' if (v := e.output_tokens) is None else v}\t{'' if (v := e.cached_input_tokens) is None else v}\t"
            f"{'' if (v := e.cache_write_tokens) is None else v}\t{'' if (v := e.reasoning_tokens) is None else v}\t"
            f"{'' if (v := e.context_tokens) is None else v}\t{'' if (v := e.top_score) is None else v}\t"
            f"{'' if (v := e.http_status) is None else v}\t{'' if (v := e.retry_count) is None else v}\t"
            f"{'' if (v := e.documents) is None else v}\t{'' if (v := e.citations) is None else v}\t"
            f"{_THUMB[e.feedback]}\t{'' if (v := e.refused) is None else v}\t"
            f"{'' if (v := e.policy_hit) is None else v}\t{'' if (v := e.schema_valid) is None else v}\t"
            f"{'' if (v := e.cache_hit) is None else v}\t{'' if (v := e.escalated) is None else v}\t{state}\t{cost}\t"
            f"{'' if reported is None else _money(reported)}\t{texts}\t{detail}\n"
        )
        return Row(moment, e.event_id, series, line)

    def _detail(self, e: Event, series: Resolved) -> str:
        """The JSON of the rarely read fields, '' for none of them; remembered, for the events of a batch share it."""
        values = detail_of(e)
        if e.attributes is not None or series.folded is not None:
            return _encode(Detail(series.folded, *values)).decode()
        detail = self._details.get(values)
        if detail is None:
            text = _encode(Detail(None, *values)).decode()
            detail = self._details[values] = "" if text == "{}" else text
        return detail

    def _cost(self, e: Event, at: datetime, series: Resolved) -> tuple[int, str]:
        """`cost_state` and the cost as COPY takes it ('' where there is none)."""
        used, answered = e.input_tokens, e.output_tokens
        if used is None and answered is None:
            if series.refused_call or not series.model_operation:
                return COST_NONE, ""
        elif series.wraps_calls or not (series.model_operation or e.response_model or series.dimensions["model"]):
            return COST_NONE, ""
        tariff = self._tariff(e, at, series)
        rate = tariff.dated.rate
        if rate is None:
            return (COST_UNMETERED if used is None and answered is None else COST_UNPRICED), ""
        if (used is None and tariff.needs_input) or (answered is None and tariff.needs_output):
            return COST_UNMETERED, ""
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


def _moment(at: datetime) -> str:
    """UTC with microseconds, always as wide. Made by msgspec, which takes a tenth of isoformat's time."""
    text = _encode(at).decode()
    return text[1:-1] if at.microsecond else f"{text[1:-2]}.000000Z"


def _money(amount: Decimal) -> str:
    return f"{amount.quantize(_PICO):f}"


def _escaped_texts(e: Event) -> str:
    texts = (
        e.event_id,
        e.trace_id,
        e.span_id,
        e.parent_span_id,
        e.request_id,
        e.conversation_id,
        e.session_id,
        e.tenant,
        e.user_hash,
        e.response_model,
    )
    return "\t".join([(text or "").translate(_ESCAPES) for text in texts])


def in_utc(at: datetime) -> datetime:
    return at if at.tzinfo is UTC else at.astimezone(UTC)
