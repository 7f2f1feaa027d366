"""One request of the demo, stage by stage, as the events a client would send to the ingest."""

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from random import Random

from usage.demo import stories
from usage.demo.cast import EMBEDDING, FALLBACKS, MODELS, Feature, Model

_ERRORS = (
    ("timeout", None, 30_000),
    ("timeout", None, 30_000),
    ("rate_limit", 429, 260),
    ("rate_limit", 429, 260),
    ("provider_5xx", 502, 900),
    ("provider_5xx", 503, 700),
    ("network", None, 1_200),
    ("content_policy", 400, 380),
    ("context_length", 400, 210),
)
_FAILS = 0.009
_RETRIES = 0.02
_MAX_RETRIES = 2


@dataclass(frozen=True, slots=True)
class Circumstances:
    """Which stories touch a request, decided once by its start, feature and tenant."""

    outage: bool = False
    bloated: bool = False
    empty_retrieval: bool = False
    limited: bool = False


@dataclass(slots=True)
class Outcome:
    """How a model call ended, as its request sees it."""

    status: str = "success"
    error_type: str = ""
    http_status: int | None = 200
    fallback_from: str | None = None
    retries: int = 0


class Trace:
    """The events of one request in the making. `clock` is in epoch milliseconds and moves on with every stage."""

    def __init__(self, *, rng: Random, key: str, base: dict, start_ms: int):
        self.rng = rng
        self.key = key
        self.clock = start_ms
        self.root = f"{rng.getrandbits(64):016x}"
        self.base = base | {"trace_id": f"{rng.getrandbits(128):032x}", "request_id": f"req-{key}"}
        self.events: list[dict] = []

    def stage(self, operation: str, latency_ms: int, fields: dict, *, entry: bool = False) -> dict:
        """Appends a stage that starts at the clock, and moves the clock to its end."""
        event = {
            "event_id": f"{self.key}-{len(self.events)}",
            "occurred_at": moment(self.clock),
            "operation": operation,
            "span_id": self.root if entry else f"{self.rng.getrandbits(64):016x}",
            "latency_ms": latency_ms,
            "status": "success",
        }
        if not entry:
            event["parent_span_id"] = self.root
        event.update(self.base)
        event.update(fields)
        self.events.append(event)
        self.clock += latency_ms
        return event

    def open(self, operation: str) -> tuple[dict, int]:
        """Starts the entry stage; `close` gives it its latency. Returns it and when it started."""
        started = self.clock
        entry = self.stage(operation, 0, {}, entry=True)
        self.clock += self.rng.randint(3, 14)
        return entry, started


def moment(epoch_ms: int) -> str:
    """ISO 8601 in UTC with milliseconds."""
    return datetime.fromtimestamp(epoch_ms / 1000, UTC).isoformat(timespec="milliseconds")


def spread(rng: Random, median: float, sigma: float = 0.35) -> float:
    """A log-normal draw around its median: latencies and token counts have long tails."""
    return median * math.exp(rng.gauss(0, sigma))


def retrieval(trace: Trace, feature: Feature, how: Circumstances, index: str | None) -> bool:
    """Searches the index. Returns True if it found nothing."""
    rng = trace.rng
    share_empty = stories.RETRIEVAL_EMPTY if how.empty_retrieval else 0.006
    empty = rng.random() < share_empty
    fields = {
        "top_k": 8,
        "documents": 0 if empty else rng.randint(1, 3) if how.empty_retrieval else rng.randint(4, 8),
        "retriever_config": "hybrid-v2",
        "index_version": index,
        "http_status": 200,
    }
    if not empty:
        fields["top_score"] = round(rng.uniform(0.12, 0.31) if how.empty_retrieval else rng.betavariate(14, 4), 3)
    trace.stage("retrieval", round(spread(rng, 85)), fields)
    return empty


def rerank(trace: Trace) -> None:
    """Orders what was found, on an own machine: no tokens, no price."""
    trace.stage("rerank_documents", round(spread(trace.rng, 60, 0.3)), {"top_k": 4, "http_status": 200})


def guardrail(trace: Trace) -> bool:
    """Checks a text against the policy. Returns False if it must be blocked."""
    hit = trace.rng.random() < 0.008
    blocked = hit and trace.rng.random() < 0.6
    fields = {"policy_hit": hit, "status": "blocked" if blocked else "success"}
    if blocked:
        fields["error_type"] = "content_policy"
    trace.stage("guardrail", round(spread(trace.rng, 42, 0.3)), fields)
    return not blocked


def tool(trace: Trace, feature: Feature) -> None:
    """Runs one of the feature's tools; a failing tool leaves the answer to the model."""
    rng = trace.rng
    fields = {
        "tool_name": rng.choice(feature.tools),
        "tool_version": "1",
        "result_bytes": round(spread(rng, 2400, 0.8)),
    }
    if rng.random() < 0.014:
        fields |= {"status": "error", "error_type": "tool_failure", "http_status": 500, "result_bytes": 0}
    trace.stage("execute_tool", round(spread(rng, 240, 0.6)), fields)


def embeddings(trace: Trace, feature: Feature, how: Circumstances) -> Outcome:
    """Embeds the query; there is no second provider for it, so an outage is an error."""
    rng = trace.rng
    provider, model = EMBEDDING
    call = {"provider": provider, "model": model, "response_model": model, "region": trace.base["region"]}
    outcome = _attempts(rng, provider, how)
    if outcome.status == "error":
        trace.stage("embeddings", _waited(rng, outcome), call | _failure(outcome))
        return outcome
    tokens = max(3, round(spread(rng, feature.input_tokens, 0.4)))
    call |= {"input_tokens": tokens, "output_tokens": 0, "http_status": 200, "retry_count": outcome.retries}
    trace.stage("embeddings", round(spread(rng, 55)), call)
    return outcome


def chat(
    trace: Trace, feature: Feature, model: Model, how: Circumstances, extra: dict, *, entry: bool = False
) -> Outcome:
    """Calls the model: retries, then another provider where there is one. `extra` goes on the answering event."""
    rng = trace.rng
    outcome = _limited(rng, how) or _attempts(rng, model.provider, how)
    if outcome.status == "success":
        trace.stage("chat", *_answer(rng, feature, model, how, outcome, extra), entry=entry)
        return outcome
    trace.stage("chat", _waited(rng, outcome), _called(trace, model, feature) | _failure(outcome), entry=entry)
    if entry or feature.structured or how.limited or outcome.error_type == "content_policy":
        return outcome
    other = MODELS.get(FALLBACKS.get(model.name, ""))
    if other is None:
        return outcome
    rescued = Outcome(status="fallback", fallback_from=model.name)
    trace.stage("chat", *_answer(rng, feature, other, how, rescued, extra))
    return rescued


def _limited(rng: Random, how: Circumstances) -> Outcome | None:
    if how.limited and rng.random() < stories.BLEMISH_FAILS:
        return Outcome("error", "rate_limit", 429, retries=_MAX_RETRIES)
    return None


def _attempts(rng: Random, provider: str, how: Circumstances) -> Outcome:
    if how.outage and provider == stories.OUTAGE_PROVIDER:
        return _attempts_in_outage(rng)
    if rng.random() < _FAILS:
        error_type, http_status, _ = rng.choice(_ERRORS)
        return Outcome("error", error_type, http_status, retries=0 if http_status == 400 else rng.randint(0, 2))
    return Outcome(retries=1 if rng.random() < _RETRIES else 0)


def _attempts_in_outage(rng: Random) -> Outcome:
    for retries in range(_MAX_RETRIES + 1):
        if rng.random() >= stories.OUTAGE_FAILS:
            return Outcome(retries=retries)
    _, error_type, http_status, _ = rng.choices(
        stories.OUTAGE_KINDS, weights=[kind[0] for kind in stories.OUTAGE_KINDS]
    )[0]
    return Outcome("error", error_type, http_status, retries=_MAX_RETRIES)


_WAITS = {kind[0]: kind[2] for kind in _ERRORS}


def _waited(rng: Random, outcome: Outcome) -> int:
    wait = _WAITS[outcome.error_type]
    if outcome.error_type == "timeout":
        return wait + rng.randint(1, 40)
    return round(spread(rng, wait) * (1 + outcome.retries))


def _failure(outcome: Outcome) -> dict:
    fields = {"status": "error", "error_type": outcome.error_type, "retry_count": outcome.retries}
    if outcome.http_status is not None:
        fields["http_status"] = outcome.http_status
    return fields


def _called(trace: Trace, model: Model, feature: Feature) -> dict:
    return {"provider": model.provider, "model": model.name, "streaming": feature.streaming}


def _answer(
    rng: Random, feature: Feature, model: Model, how: Circumstances, outcome: Outcome, extra: dict
) -> tuple[int, dict]:
    """Latency in ms and the fields of a call that was answered."""
    tokens = _tokens(rng, feature, model, how)
    first_ms = spread(rng, model.first_token_ms + tokens["reasoning_tokens"] * model.per_token_ms, 0.3)
    first_ms += tokens["input_tokens"] * 0.012
    queue_ms = round(rng.expovariate(1 / 18))
    retried_ms = outcome.retries * rng.randint(700, 1600)
    written = tokens["output_tokens"] - tokens["reasoning_tokens"]
    latency_ms = round(queue_ms + retried_ms + first_ms + written * spread(rng, model.per_token_ms, 0.2))
    fields = {
        "provider": model.provider,
        "model": model.name,
        "response_model": model.answers_as,
        "streaming": feature.streaming,
        "queue_ms": queue_ms,
        "temperature": 0.0 if feature.structured else 0.3,
        "max_tokens": feature.output_tokens * 8,
        "stop_reason": "stop",
        "http_status": 200,
        "retry_count": outcome.retries,
        "status": outcome.status,
    }
    if feature.streaming:
        fields["ttft_ms"] = min(latency_ms, round(queue_ms + retried_ms + first_ms))
    if outcome.fallback_from:
        fields["fallback_from"] = outcome.fallback_from
    return latency_ms, fields | tokens | extra


def _tokens(rng: Random, feature: Feature, model: Model, how: Circumstances) -> dict:
    factor = stories.BLOAT_FACTOR if how.bloated else 1.0
    asked = max(8, round(spread(rng, feature.input_tokens * factor, 0.28)))
    answered = max(1, round(spread(rng, feature.output_tokens, 0.4)))
    reasoning = round(spread(rng, feature.output_tokens * 1.4, 0.5)) if model.thinks else 0
    cached = round(asked * feature.cached_share * rng.uniform(0.6, 1.4)) if model.caches and rng.random() < 0.7 else 0
    tokens = {
        "input_tokens": asked,
        "output_tokens": answered + reasoning,
        "cached_input_tokens": cached,
        "reasoning_tokens": reasoning,
        "cache_write_tokens": 0,
    }
    if model.provider == "anthropic" and feature.cached_share:
        tokens["cache_write_tokens"] = round((asked - cached) * 0.3)
    return tokens
