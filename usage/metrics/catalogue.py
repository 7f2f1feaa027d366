"""The metrics catalogue (DOMAIN §3): each metric as additive measures over a condition on the series.

Three populations: an *event* is one stage; a *request* is an event without a parent (what the caller saw); a *call*
is an event whose operation calls a model.
"""

from functools import cache
from typing import Literal

from usage.measures import MODEL_OPERATIONS, WRAPPER_OPERATIONS
from usage.metrics.metric import Distinct, Metric, Peak, Percentile, Sum

# What metrics ask of a series by name (SQL on the alias s): worked out once for each series, not for each row.
FLAGS = {
    "is_call": f"s.operation IN ({', '.join(repr(name) for name in MODEL_OPERATIONS)})",
    "own_tokens": f"s.operation NOT IN ({', '.join(repr(name) for name in WRAPPER_OPERATIONS)})",
    "failed": "s.status = 'error'",
    "answered": "s.status IN ('success', 'fallback')",
}
REQUEST, CALL, FAILED, ANSWERED = "s.entry", "s.is_call", "s.failed", "s.answered"
# Tokens of a wrapper are sums of its calls' tokens: counting them would double them.
OWN_TOKENS = "s.own_tokens"


@cache
def _of(*measures: str, where: str = "") -> Sum:
    return Sum(measures, where)


REQUESTS = _of("events", where=REQUEST)
CALLS = _of("events", where=CALL)
COST = _of("cost_usd")
INPUT, OUTPUT = _of("input_tokens", where=OWN_TOKENS), _of("output_tokens", where=OWN_TOKENS)
TOKENS = _of("input_tokens", "output_tokens", where=OWN_TOKENS)
CONVERSATIONS = Distinct("conversation")
PRICED = _of("priced")
UNKNOWN_COST = _of("unpriced", "unmetered")


def _cost(name: str, label: str, description: str, **options) -> Metric:
    return Metric(name, label, "USD", description, COST, better="down", known=PRICED, unknown=UNKNOWN_COST, **options)


def _share(name: str, label: str, description: str, part: Sum, whole: Sum, better: Literal["up", "down", ""]) -> Metric:
    return Metric(name, label, "ratio", description, part, per=whole, better=better)


def _checks(name: str, label: str, value: Sum) -> Metric:
    return Metric(name, label, "count", f"{label}: the sample of a quality proxy", value)


def _tokens(name: str, label: str, description: str) -> Metric:
    return Metric(name, label, "tokens", description, _of(name, where=OWN_TOKENS))


def _percentiles(prefix: str, label: str, description: str, histogram, where: str) -> list[Metric]:
    return [
        Metric(
            f"{prefix}_p{percent}",
            f"{label} p{percent}",
            "ms",
            f"{description}; {percent} % were faster. Relative error at most 2 %.",
            Percentile(histogram, percent / 100, where),
            better="down",
        )
        for percent in (50, 95, 99)
    ]


def _quota(of: Literal["requests", "tokens"], what: str, noun: str) -> Metric:
    return Metric(
        f"quota_use_{of}",
        f"Quota use, {noun}",
        "ratio",
        f"{what} of the busiest minute by the {noun} that the provider allows in a minute. Of several limits the one"
        " used most; unknown where none is recorded. Read from minutes, kept for 14 days",
        Peak(of),
        better="down",
    )


_METRICS = [
    # Traffic
    Metric("requests", "Requests", "count", "Events without a parent: requests as the caller saw them", REQUESTS),
    Metric("calls", "Model calls", "count", "Events whose operation calls a model", CALLS),
    Metric("events", "Events", "count", "All stages", _of("events")),
    Metric(
        "conversations",
        "Conversations",
        "count",
        "Distinct conversation ids; exact below 2,048, from there on an estimate with a standard error of 2.2 %",
        CONVERSATIONS,
    ),
    Metric("requests_per_minute", "Requests per minute", "count", "Requests by time", REQUESTS, per_time="minute"),
    Metric(
        "concurrency",
        "Concurrency",
        "count",
        "Requests in flight on average: time spent in requests by time passed",
        _of("latency_ms", where=REQUEST),
        per_time="ms",
    ),
    # Errors
    Metric(
        "errors",
        "Failed requests",
        "count",
        "Requests that ended in an error",
        _of("events", where=f"{REQUEST} AND {FAILED}"),
        better="down",
    ),
    _share(
        "error_rate",
        "Error rate",
        "Failed requests by requests",
        _of("events", where=f"{REQUEST} AND {FAILED}"),
        REQUESTS,
        "down",
    ),
    _share(
        "availability",
        "Availability",
        "Requests answered (also by a fallback) by requests answered or failed",
        _of("events", where=f"{REQUEST} AND {ANSWERED}"),
        _of("events", where=f"{REQUEST} AND ({ANSWERED} OR {FAILED})"),
        "up",
    ),
    _share(
        "completion_rate",
        "Completion rate",
        "Requests answered by all requests, blocked and cancelled ones too",
        _of("events", where=f"{REQUEST} AND {ANSWERED}"),
        REQUESTS,
        "up",
    ),
    Metric(
        "successes",
        "Successful requests",
        "count",
        "Requests answered, also by a fallback",
        _of("events", where=f"{REQUEST} AND {ANSWERED}"),
        better="up",
    ),
    Metric(
        "failures",
        "Failed events",
        "count",
        "Stages that failed, for the error taxonomy",
        _of("events", where=FAILED),
        better="down",
    ),
    Metric(
        "call_errors",
        "Failed model calls",
        "count",
        "Model calls that ended in an error, also where a fallback answered",
        _of("events", where=f"{CALL} AND {FAILED}"),
        better="down",
    ),
    _share(
        "call_error_rate",
        "Provider error rate",
        "Failed model calls by model calls",
        _of("events", where=f"{CALL} AND {FAILED}"),
        CALLS,
        "down",
    ),
    Metric(
        "timeouts",
        "Time-outs",
        "count",
        "Stages that timed out",
        _of("events", where="s.error_type = 'timeout'"),
        better="down",
    ),
    Metric(
        "rate_limited",
        "Rate limited (429)",
        "count",
        "Model calls refused for their rate",
        _of("events", where=f"{CALL} AND s.error_type = 'rate_limit'"),
        better="down",
    ),
    _share(
        "rate_limited_rate",
        "429 rate",
        "Model calls refused for their rate by model calls",
        _of("events", where=f"{CALL} AND s.error_type = 'rate_limit'"),
        CALLS,
        "down",
    ),
    Metric(
        "fallbacks",
        "Fallbacks",
        "count",
        "Model calls answered by a fallback",
        _of("events", where=f"{CALL} AND s.status = 'fallback'"),
        better="down",
    ),
    _share(
        "fallback_rate",
        "Fallback rate",
        "Model calls answered by a fallback by model calls",
        _of("events", where=f"{CALL} AND s.status = 'fallback'"),
        CALLS,
        "down",
    ),
    Metric("retries", "Retries", "count", "Retries the client made", _of("retry_count"), better="down"),
    _share(
        "retry_rate",
        "Retry rate",
        "Model calls that were retried by model calls",
        _of("retried", where=CALL),
        CALLS,
        "down",
    ),
    # Latency and saturation
    *_percentiles("latency", "Latency", "Time of a request from end to end", "latency", REQUEST),
    *_percentiles("stage_latency", "Stage latency", "Time of one stage; break it down by operation", "latency", ""),
    *_percentiles("call_latency", "Model latency", "Time of a model call", "latency", CALL),
    *_percentiles("ttft", "Time to first token", "Time from the start of a model call to its first token", "ttft", ""),
    *_percentiles("queue", "Queue wait", "Time waited before the work began", "queue", ""),
    _quota("requests", "Model calls", "requests"),
    _quota("tokens", "Input and output tokens", "tokens"),
    # Tokens
    Metric("total_tokens", "Tokens", "tokens", "Input and output tokens", TOKENS),
    _tokens("input_tokens", "Input tokens", "Tokens sent, cached ones included"),
    _tokens("output_tokens", "Output tokens", "Tokens generated, reasoning included"),
    _tokens("cached_input_tokens", "Cached input tokens", "Part of the input read from the provider's cache"),
    _tokens("cache_write_tokens", "Cache write tokens", "Part of the input written to the provider's cache"),
    _tokens("reasoning_tokens", "Reasoning tokens", "Part of the output spent on reasoning"),
    _tokens("context_tokens", "Context tokens", "Part of the input that is retrieved text"),
    Metric(
        "tokens_per_minute", "Tokens per minute", "tokens", "Input and output tokens by time", TOKENS, per_time="minute"
    ),
    Metric("tokens_per_call", "Tokens per call", "tokens", "Input and output tokens by model call", TOKENS, per=CALLS),
    Metric(
        "input_tokens_per_call",
        "Input tokens per call",
        "tokens",
        "Input tokens by model call",
        INPUT,
        per=CALLS,
    ),
    Metric(
        "output_tokens_per_call",
        "Output tokens per call",
        "tokens",
        "Output tokens by model call",
        OUTPUT,
        per=CALLS,
    ),
    _share(
        "cached_input_share",
        "Cached input",
        "Input tokens read from the provider's cache by input tokens",
        _of("cached_input_tokens", where=OWN_TOKENS),
        INPUT,
        "up",
    ),
    _share(
        "output_input_ratio",
        "Output by input",
        "Output tokens by input tokens",
        OUTPUT,
        INPUT,
        "",
    ),
    # Cost
    _cost("cost_usd", "Spend", "Computed cost of the calls with a known price"),
    _cost("cost_per_hour", "Spend per hour", "Computed cost by time", per_time="hour"),
    _cost("cost_per_request", "Cost per request", "Computed cost by request", per=REQUESTS),
    _cost(
        "cost_per_1k_requests", "Cost per 1k requests", "Computed cost by thousand requests", per=REQUESTS, scale=1000
    ),
    _cost("cost_per_call", "Cost per call", "Computed cost by model call with a known price", per=PRICED),
    _cost(
        "cost_per_success",
        "Cost per success",
        "Computed cost by successful request",
        per=_of("events", where=f"{REQUEST} AND {ANSWERED}"),
    ),
    Metric(
        "cost_per_conversation",
        "Cost per conversation",
        "USD",
        "Computed cost of the calls that name a conversation by conversations; from 2,048 of them on,"
        " their number is an estimate with a standard error of 2.2 %",
        _of("conversation_cost_usd"),
        per=CONVERSATIONS,
        better="down",
        known=_of("conversation_priced"),
        unknown=_of("conversation_unknown"),
    ),
    _cost("cost_per_1k_tokens", "Cost per 1k tokens", "Computed cost by thousand tokens", per=TOKENS, scale=1000),
    # Calls that name a reservation of the guard.
    Metric("guarded_cost_usd", "Guarded spend", "USD", "Cost of guarded calls", _of("guarded_cost_usd")),
    Metric("guarded_tokens", "Guarded tokens", "tokens", "Of guarded calls", _of("guarded_tokens", where=OWN_TOKENS)),
    Metric("guarded_calls", "Guarded calls", "count", "Guarded model calls", _of("guarded_events", where=CALL)),
    Metric(
        "unpriced_calls",
        "Calls without a price",
        "count",
        "Calls whose model has no known price: their cost is unknown",
        _of("unpriced"),
        better="down",
    ),
    Metric(
        "unmetered_calls",
        "Calls without usage",
        "count",
        "Calls that reported no token counts: their cost is unknown",
        _of("unmetered"),
        better="down",
    ),
    Metric(
        "reported_cost_usd",
        "Reported cost",
        "USD",
        "Cost as the clients reported it",
        _of("reported_cost_usd"),
        known=_of("reported"),
        unknown=_of("events"),
    ),
    # Quality proxies
    _share(
        "refusal_rate",
        "Refusal rate",
        "Refused answers by answers that say whether they refused",
        _of("refused"),
        _of("refused_known"),
        "down",
    ),
    _share(
        "policy_hit_rate",
        "Policy hit rate",
        "Policy hits by events that say whether a policy was hit",
        _of("policy_hits"),
        _of("policy_known"),
        "down",
    ),
    _share(
        "schema_validity",
        "Schema validity",
        "Answers that met their schema by answers checked",
        _of("schema_valid"),
        _of("schema_known"),
        "up",
    ),
    _share(
        "citation_coverage",
        "Citation coverage",
        "Answers with a citation by answers that count them",
        _of("cited"),
        _of("citations_known"),
        "up",
    ),
    _share(
        "empty_retrieval_rate",
        "Empty retrieval",
        "Retrievals without a document by retrievals that count them",
        _of("empty_retrievals"),
        _of("documents_known"),
        "down",
    ),
    _share(
        "low_similarity_rate",
        "Low similarity",
        "Retrievals whose best score is below 0.5 by retrievals with a score",
        _of("low_scores"),
        _of("scores_known"),
        "down",
    ),
    _share(
        "tool_failure_rate",
        "Tool failure rate",
        "Failed tool executions by tool executions",
        _of("events", where=f"s.operation = 'execute_tool' AND {FAILED}"),
        _of("events", where="s.operation = 'execute_tool'"),
        "down",
    ),
    _share(
        "cache_hit_rate",
        "Response cache hits",
        "Answers from the response cache by answers that say so",
        _of("cache_hits"),
        _of("cache_known"),
        "up",
    ),
    _share(
        "feedback_score",
        "Thumbs up",
        "Thumbs up by thumbs given",
        _of("feedback_up"),
        _of("feedback_up", "feedback_down"),
        "up",
    ),
    Metric(
        "escalations",
        "Escalations",
        "count",
        "Requests handed over to a person",
        _of("escalated"),
        better="down",
    ),
    _share(
        "escalation_rate",
        "Escalation rate",
        "Requests handed over to a person by requests that say whether they were",
        _of("escalated"),
        _of("escalated_known"),
        "down",
    ),
    Metric("feedback_count", "Feedback", "count", "Thumbs given", _of("feedback_up", "feedback_down")),
    # What the proxies above are shares of: how many answers say so, and how many of them did
    _checks("refusal_checks", "Answers that say whether they refused", _of("refused_known")),
    _checks("policy_checks", "Events that say whether a policy was hit", _of("policy_known")),
    _checks("schema_checks", "Answers checked against their schema", _of("schema_known")),
    _checks("citation_checks", "Answers that count their citations", _of("citations_known")),
    _checks("retrieval_checks", "Retrievals that count their documents", _of("documents_known")),
    _checks("similarity_checks", "Retrievals with a score", _of("scores_known")),
    _checks("cache_checks", "Answers that say whether they came from the response cache", _of("cache_known")),
    _checks("escalation_checks", "Requests that say whether they were handed over to a person", _of("escalated_known")),
    Metric("refusals", "Refusals", "count", "Refused answers", _of("refused"), better="down"),
    Metric("policy_hits", "Policy hits", "count", "Events that hit a policy", _of("policy_hits"), better="down"),
    Metric(
        "valid_answers", "Valid answers", "count", "Answers that met their schema", _of("schema_valid"), better="up"
    ),
    Metric("cited_answers", "Answers with a citation", "count", "Answers with a citation", _of("cited"), better="up"),
    Metric(
        "empty_retrievals",
        "Empty retrievals",
        "count",
        "Retrievals without a document",
        _of("empty_retrievals"),
        better="down",
    ),
    Metric(
        "low_similarity",
        "Weak retrievals",
        "count",
        "Retrievals whose best score is below 0.5",
        _of("low_scores"),
        better="down",
    ),
    _checks("tool_executions", "Tool executions", _of("events", where="s.operation = 'execute_tool'")),
    Metric(
        "tool_failures",
        "Failed tool executions",
        "count",
        "Tool executions that ended in an error",
        _of("events", where=f"s.operation = 'execute_tool' AND {FAILED}"),
        better="down",
    ),
    Metric("policy_hits", "Policy hits", "count", "Events that hit a policy", _of("policy_hits"), better="down"),
    Metric("valid_answers", "Valid answers", "count", "Answers that met a schema", _of("schema_valid"), better="up"),
    Metric("retried_calls", "Retried calls", "count", "Model calls retried", _of("retried", where=CALL), better="down"),
    Metric(
        "blocked",
        "Blocked requests",
        "count",
        "Requests that a policy or a control stopped",
        _of("events", where=f"{REQUEST} AND s.status = 'blocked'"),
        better="down",
    ),
]

CATALOGUE: dict[str, Metric] = {metric.name: metric for metric in _METRICS}
