"""From columns of calls (numpy) to lines of JSON: the part every trace shares."""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np

from usage.replay.cast import ERROR_RATE, Client
from usage.replay.draws import bits, normal, uniform

# Fields of `draws`; the traces use those below 16.
_CACHED, _STATUS, _ERROR, _LATENCY, _WRITING, _USER, _SPAN, _TRACE = 16, 17, 18, 20, 24, 26, 27, 28

# Quantiles of cached_prefix_tokens / input_tokens over the 12,031 requests of the Mooncake conversation trace.
PROBABILITIES = np.array([0, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999, 1])
_CACHED_SHARE = np.array([0, 0.0071, 0.0177, 0.0276, 0.0688, 0.3626, 0.7123, 0.9481, 0.9756, 0.9994, 1, 1])

# Error type, HTTP status (0: none), milliseconds until it was known; drawn evenly.
_ERRORS = (
    ("rate_limit", 429, 250),
    ("rate_limit", 429, 250),
    ("timeout", 0, 30_000),
    ("provider_5xx", 503, 900),
    ("provider_5xx", 500, 700),
    ("network", 0, 1_200),
    ("context_length", 400, 200),
    ("content_policy", 400, 350),
)
_ERROR_TYPES = np.array([row[0] for row in _ERRORS], dtype=object)
_ERROR_CODES = np.array([row[1] for row in _ERRORS])
_ERROR_WAITS = np.array([row[2] for row in _ERRORS], dtype=float)


class Event(msgspec.Struct, omit_defaults=True):
    """One event as it is sent: the fields a replay fills, those it does not know left out."""

    event_id: str
    occurred_at: str
    operation: str
    initiator: str
    streaming: bool
    trace_id: str
    span_id: str
    environment: str
    service: str
    feature: str
    endpoint: str
    tenant: str
    user_hash: str
    provider: str
    model: str
    latency_ms: int
    input_tokens: int
    output_tokens: int
    status: str
    ttft_ms: int | None = None
    cached_input_tokens: int | None = None
    reasoning_tokens: int | None = None
    error_type: str | None = None
    http_status: int | None = None
    cost_center: str | None = None


@dataclass(frozen=True, slots=True)
class Calls:
    """Columns of equal length. `times` in epoch seconds; `who` indexes the clients; (keys, numbers) name an event."""

    times: np.ndarray
    who: np.ndarray
    keys: np.ndarray
    numbers: np.ndarray
    ids: list[str]
    input_tokens: np.ndarray
    output_tokens: np.ndarray
    reasoning_tokens: np.ndarray | None = None
    cached_tokens: np.ndarray | None = None


@dataclass(frozen=True, slots=True)
class Slice:
    """A stretch of events in time order: when, with which key, and the JSON of each."""

    start: float
    times: list[float]
    teams: list[int]
    lines: list[bytes]


class Writer:
    """Turns calls of a fixed set of clients into slices."""

    def __init__(self, clients: Sequence[Client]):
        self.clients = clients
        self.encode = msgspec.json.Encoder().encode
        self.first_token = np.array([client.model.first_token_ms for client in clients])
        self.per_token = np.array([client.model.per_token_ms for client in clients])
        self.caches = np.array([client.model.caches for client in clients])
        self.teams = np.array([client.team for client in clients])
        self.users = np.array([client.users for client in clients], dtype=object)
        self.texts = {name: self._texts(name) for name in _CLIENT_FIELDS}

    def _texts(self, name: str) -> np.ndarray:
        values = [getattr(client.model if name in ("provider", "name") else client, name) for client in self.clients]
        return np.array(values, dtype=object)

    def slice(self, calls: Calls) -> Slice:
        """The calls as a slice; they must be in time order."""
        rows = zip(*self._columns(calls), strict=True)
        lines = [self.encode(Event(*row)) for row in rows]
        return Slice(float(calls.times[0]), calls.times.tolist(), self.teams[calls.who].tolist(), lines)

    def _columns(self, calls: Calls) -> list[list]:
        failed = uniform(calls.keys, calls.numbers, _STATUS) < ERROR_RATE
        error = (uniform(calls.keys, calls.numbers, _ERROR) * len(_ERRORS)).astype(int)
        latency, ttft = self._latency(calls, failed, error)
        output = np.where(failed, 0, calls.output_tokens)
        code = np.where(failed, _ERROR_CODES[error], 200)
        user = (uniform(calls.keys, calls.numbers, _USER) ** 2 * self.users.shape[1]).astype(int)
        text = {name: values[calls.who].tolist() for name, values in self.texts.items()}
        return [
            calls.ids,
            _moments(calls.times),
            ["chat"] * len(failed),
            ["user"] * len(failed),
            [True] * len(failed),
            [f"{high:016x}{low:016x}" for high, low in zip(*self._identity(calls), strict=True)],
            [f"{span:016x}" for span in bits(calls.keys, calls.numbers, _SPAN).tolist()],
            text["environment"],
            text["service"],
            text["feature"],
            text["endpoint"],
            text["tenant"],
            self.users[calls.who, user].tolist(),
            text["provider"],
            text["name"],
            latency.tolist(),
            calls.input_tokens.tolist(),
            output.tolist(),
            np.where(failed, "error", "success").tolist(),
            _unless(ttft, failed),
            _unless(self._cached(calls), failed),
            _unless(calls.reasoning_tokens, failed),
            _unless(_ERROR_TYPES[error], ~failed),
            _unless(code, code == 0),
            text["cost_center"],
        ]

    def _identity(self, calls: Calls) -> tuple[list[int], list[int]]:
        return (
            bits(calls.keys, calls.numbers, _TRACE).tolist(),
            bits(calls.keys, calls.numbers, _TRACE + 1).tolist(),
        )

    def _cached(self, calls: Calls) -> np.ndarray:
        if calls.cached_tokens is not None:
            return calls.cached_tokens
        share = np.interp(uniform(calls.keys, calls.numbers, _CACHED), PROBABILITIES, _CACHED_SHARE)
        return np.where(self.caches[calls.who], np.floor(share * calls.input_tokens), 0).astype(np.int64)

    def _latency(self, calls: Calls, failed: np.ndarray, error: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        first = self.first_token[calls.who] + calls.input_tokens * 0.012
        ttft = first * np.exp(0.35 * normal(calls.keys, calls.numbers, _LATENCY))
        pace = self.per_token[calls.who] * np.exp(0.2 * normal(calls.keys, calls.numbers, _WRITING))
        total = np.where(failed, _ERROR_WAITS[error], ttft + pace * calls.output_tokens)
        return np.rint(total).astype(np.int64), np.rint(ttft).astype(np.int64)


_CLIENT_FIELDS = ("environment", "service", "feature", "endpoint", "tenant", "cost_center", "provider", "name")


def _moments(times: np.ndarray) -> list[str]:
    stamps = np.rint(times * 1000).astype("int64").astype("datetime64[ms]")
    return np.datetime_as_string(stamps, unit="ms", timezone="UTC").tolist()


def _unless(values: np.ndarray | None, absent: np.ndarray) -> list:
    """The values as a list with None where `absent`; all None if the trace has no such values."""
    if values is None:
        return [None] * len(absent)
    kept = values.astype(object)
    kept[absent] = None
    return kept.tolist()
