"""Signals: what may move in an incident, each counted as so much of so much, and how strongly it moved.

The strength of a signal is 0 to 1: the smaller of how sure the move is and how large. How sure a share's move is comes
from the signed root of the likelihood ratio of two binomials (the G-test: Wilks, Annals of Mathematical Statistics 9,
1938), which is a standard score; how sure an amount's is from its logarithm over the usual scatter of single calls.
"""

from dataclasses import dataclass, field
from math import copysign, log, sqrt
from typing import Literal, NamedTuple

SURE_FROM, SURE_AT = 3.0, 6.0  # standard scores: below says nothing (many places are looked at), above says all
SCATTER = 0.8  # standard deviation of the logarithm of tokens, or cost, of single calls of one feature and model


class Reading(NamedTuple):
    """`bad` of `base` in the window, and as usual. Of an amount, `usual_bad` is what this window's own calls would
    have used at their features' and models' usual rates, so a shift of traffic is no move.
    """

    bad: float
    base: int
    usual_bad: float
    usual_base: int

    @property
    def rate(self) -> float | None:
        return self.bad / self.base if self.base else None

    @property
    def usual(self) -> float | None:
        return self.usual_bad / self.usual_base if self.usual_base else None


NOTHING = Reading(0, 0, 0, 0)


@dataclass(frozen=True)
class Signal:
    """One thing that may move, always for the worse when it rises.

    bad, base: counters of `incidents.queries.triage`. floor: a rise that says nothing; full: one that counts in full;
    both of a share in points, of an amount as a part of the usual. says: what follows the rate and the count.
    explained: a metric of the page that explains changes; evidence: filters of the events behind it.
    """

    name: str
    label: str
    bad: str
    base: str
    floor: float
    full: float
    says: str
    kind: Literal["share", "amount"] = "share"
    unit: str = "%"
    explained: str = ""
    evidence: dict[str, str] = field(default_factory=dict)

    @property
    def noun(self) -> str:
        """What is counted: "model calls"."""
        return NOUNS[self.base]


SIGNALS = (
    Signal(
        "calls_fail", "Failed model calls", "call_errors", "calls", 0.01, 0.15, "of {count} model calls fail",
        explained="call_error_rate", evidence={"status": "error"},
    ),
    Signal(
        "limited", "Calls refused for their rate (429)", "rate_limited", "calls", 0.01, 0.08,
        "of {count} model calls are refused for their rate (429)",
        explained="rate_limited", evidence={"error_type": "rate_limit"},
    ),
    Signal(
        "slow", "Slow model calls", "slow_calls", "timed_calls", 0.05, 0.25,
        "of {count} model calls are slower than the usual p95", explained="call_latency",
    ),
    Signal(
        "empty", "Empty retrieval", "empty_retrievals", "retrieval_checks", 0.02, 0.3,
        "of {count} retrievals find nothing",
        explained="empty_retrieval_rate", evidence={"operation": "retrieval"},
    ),
    Signal(
        "weak", "Weak retrieval", "low_similarity", "similarity_checks", 0.05, 0.4,
        "of {count} retrievals score below 0.5",
        explained="low_similarity_rate", evidence={"operation": "retrieval"},
    ),
    Signal(
        "uncited", "Answers without a source", "uncited_answers", "citation_checks", 0.05, 0.4,
        "of {count} answers cite no source", explained="citation_coverage",
    ),
    Signal(
        "tools", "Tool failures", "tool_failures", "tool_executions", 0.02, 0.2, "of {count} tool calls fail",
        evidence={"error_type": "tool_failure"},
    ),
    Signal(
        "policy", "Policy hits", "policy_hits", "policy_checks", 0.01, 0.1, "of {count} checks hit a policy",
        evidence={"operation": "guardrail"},
    ),
    Signal(
        "blocked", "Blocked requests", "blocked", "requests", 0.01, 0.1, "of {count} requests are blocked",
        evidence={"status": "blocked"},
    ),
    Signal(
        "refused", "Refusals", "refusals", "refusal_checks", 0.02, 0.12, "of {count} answers are refusals",
        explained="refusal_rate",
    ),
    Signal(
        "invalid", "Answers that break their schema", "invalid_answers", "schema_checks", 0.02, 0.15,
        "of {count} answers break their schema", evidence={"error_type": "schema_invalid"},
    ),
    Signal(
        "tokens", "Tokens per call", "total_tokens", "calls", 0.25, 1.0, "a model call, of {count}",
        kind="amount", unit="tokens", explained="tokens_per_call",
    ),
    Signal(
        "requests_fail", "Failed requests", "errors", "requests", 0.01, 0.15, "of {count} requests fail",
        explained="error_rate", evidence={"status": "error", "entries": "1"},
    ),
    Signal(
        "fallbacks", "Fallbacks", "fallbacks", "calls", 0.01, 0.15, "of {count} model calls are answered by a fallback",
        explained="fallback_rate", evidence={"status": "fallback"},
    ),
    Signal(
        "retries", "Retried calls", "retried_calls", "calls", 0.03, 0.2, "of {count} model calls are retried",
        explained="retries",
    ),
    Signal(
        "turns", "Requests per conversation", "talk_requests", "conversations", 0.25, 1.0,
        "a conversation, of {count}", kind="amount", unit="requests",
    ),
)  # fmt: skip
BY_NAME = {signal.name: signal for signal in SIGNALS}
# Says nothing about a cause; shows what a limit does.
LOAD = Signal(
    "load", "Model calls a minute", "calls", "minutes", 0.25, 1.0, "a minute, of {count}",
    kind="amount", unit="calls/min",
)  # fmt: skip
WATCHED = BY_NAME | {LOAD.name: LOAD}


NOUNS = {
    "calls": "model calls",
    "timed_calls": "model calls",
    "requests": "requests",
    "retrieval_checks": "retrievals",
    "similarity_checks": "retrievals",
    "citation_checks": "answers",
    "refusal_checks": "answers",
    "schema_checks": "answers",
    "policy_checks": "checks",
    "tool_executions": "tool calls",
    "conversations": "conversations",
    "minutes": "minutes",
}


def score(signal: Signal, reading: Reading) -> float | None:
    """Standard score of the move, negative where it fell; None where a side is not known."""
    if not reading.base or not reading.usual_base:
        return None
    if signal.kind == "amount":
        if reading.bad <= 0 or reading.usual_bad <= 0:
            return 0.0
        return log(reading.bad / reading.usual_bad * (reading.usual_base / reading.base)) * sqrt(reading.base) / SCATTER
    return likelihood_root(reading)


def likelihood_root(reading: Reading) -> float:
    """Signed root of the likelihood ratio of two shares against one common share."""
    bad, base, usual_bad, usual_base = reading
    pooled = (bad + usual_bad) / (base + usual_base)
    ratio = sum(
        count * log(count / (size * share))
        for part, size in ((bad, base), (usual_bad, usual_base))
        for count, share in ((part, pooled), (size - part, 1 - pooled))
        if count > 0 and share > 0
    )
    return copysign(sqrt(max(2 * ratio, 0.0)), bad / base - usual_bad / usual_base)


def rise(signal: Signal, reading: Reading) -> float:
    """By how much it rose: points of a share, part of the usual of an amount; 0.0 where a side is not known."""
    if reading.rate is None or reading.usual is None:
        return 0.0
    if signal.kind == "amount":
        return reading.rate / reading.usual - 1 if reading.usual else 0.0
    return reading.rate - reading.usual


def strength(signal: Signal, reading: Reading) -> float:
    """How strongly it rose, 0 to 1."""
    sure = (score(signal, reading) or 0.0) - SURE_FROM
    large = rise(signal, reading) - signal.floor
    return between(min(sure / (SURE_AT - SURE_FROM), large / (signal.full - signal.floor)))


def between(value: float) -> float:
    return min(max(value, 0.0), 1.0)
