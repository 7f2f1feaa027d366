"""Which figures the page shows, and of how many answers each speaks."""

from dataclasses import dataclass

from usage.metrics import CATALOGUE
from usage.scope import Scope

# Units as the charts and the `figure` filter say them.
_UNITS = {"ratio": "%", "count": "requests", "USD": "USD", "ms": "ms", "tokens": "tokens"}


@dataclass(frozen=True)
class Signal:
    """One figure. `n` is the metric of its sample ("" where it is no share), `of` names what is counted."""

    metric: str
    label: str
    n: str = ""
    of: str = ""
    drill: tuple[tuple[str, str], ...] = ()

    @property
    def unit(self) -> str:
        return _UNITS[CATALOGUE[self.metric].unit]

    @property
    def better(self) -> str:
        return CATALOGUE[self.metric].better

    @property
    def share(self) -> bool:
        """Whether an interval can be given: a part of a counted whole."""
        return CATALOGUE[self.metric].unit == "ratio"

    @property
    def description(self) -> str:
        return CATALOGUE[self.metric].description


REQUESTS = (
    Signal("completion_rate", "Completion rate", "requests", "requests", (("status", "error"),)),
    Signal("error_rate", "Error rate", "requests", "requests", (("status", "error"),)),
)
# An entry event names no model: filtered by one, the page speaks of model calls.
CALLS = (Signal("call_error_rate", "Failed model calls", "calls", "calls", (("status", "error"),)),)
ANSWERS = (
    Signal("refusal_rate", "Refusals", "refusal_checks", "answers"),
    Signal("citation_coverage", "Citation coverage", "citation_checks", "answers"),
    Signal("feedback_score", "Thumbs up", "feedback_count", "thumbs"),
    Signal("schema_validity", "Schema validity", "schema_checks", "answers"),
    Signal(
        "tool_failure_rate", "Tool failures", "tool_executions", "tool calls",
        (("operation", "execute_tool"), ("status", "error")),
    ),
    Signal(
        "empty_retrieval_rate", "Empty retrieval", "retrieval_checks", "retrievals", (("operation", "retrieval"),)
    ),
    Signal("cache_hit_rate", "Cache hits", "cache_checks", "answers"),
)  # fmt: skip
# Said of whole requests and conversations: a call to a model does not know them.
TALKS = (
    Signal("escalation_rate", "Escalated to a person", "escalation_checks", "requests"),
    Signal("cost_per_conversation", "Cost per conversation", "conversations", "conversations"),
)
SPEED = (
    Signal("ttft_p50", "First token p50"),
    Signal("ttft_p95", "First token p95"),
)
EFFORT = (
    Signal("tokens_per_call", "Tokens per call", "calls", "calls"),
    Signal("cost_per_request", "Cost per request", "requests", "requests"),
)
EFFORT_BY_CALL = (
    Signal("tokens_per_call", "Tokens per call", "calls", "calls"),
    Signal("cost_per_call", "Cost per call", "calls", "calls"),
)


def by_calls(scope: Scope) -> bool:
    """Whether the scope picks models or providers, so that calls are counted instead of requests."""
    return bool({"model", "provider"} & scope.filters.keys())


def tiles(scope: Scope) -> tuple[Signal, ...]:
    """The tiles of the page, in order."""
    if by_calls(scope):
        return CALLS + ANSWERS[:3] + SPEED + ANSWERS[3:]
    return REQUESTS[:1] + ANSWERS[:3] + TALKS[:1] + SPEED + ANSWERS[3:] + TALKS[1:]


def compared(scope: Scope) -> tuple[Signal, ...]:
    """The rows of a comparison of two versions."""
    if by_calls(scope):
        return CALLS + ANSWERS + SPEED + EFFORT_BY_CALL
    return REQUESTS + ANSWERS + TALKS[:1] + SPEED + (Signal("latency_p95", "Latency p95"),) + EFFORT + TALKS[1:]


def metrics(signals: tuple[Signal, ...]) -> tuple[str, ...]:
    """Their metrics and those of their samples, each once."""
    return tuple(dict.fromkeys(name for signal in signals for name in (signal.metric, signal.n) if name))
