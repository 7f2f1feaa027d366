"""What the metrics of the catalogue are made of: populations, sums and the shapes that many of them share."""

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
def sum_of(*measures: str, where: str = "") -> Sum:
    return Sum(measures, where)


REQUESTS = sum_of("events", where=REQUEST)
CALLS = sum_of("events", where=CALL)
COST = sum_of("cost_usd")
INPUT, OUTPUT = sum_of("input_tokens", where=OWN_TOKENS), sum_of("output_tokens", where=OWN_TOKENS)
TOKENS = sum_of("input_tokens", "output_tokens", where=OWN_TOKENS)
CONVERSATIONS = Distinct("conversation")
PRICED = sum_of("priced")
UNKNOWN_COST = sum_of("unpriced", "unmetered")


def cost(name: str, label: str, description: str, **options) -> Metric:
    return Metric(name, label, "USD", description, COST, better="down", known=PRICED, unknown=UNKNOWN_COST, **options)


def share(name: str, label: str, description: str, part: Sum, whole: Sum, better: Literal["up", "down", ""]) -> Metric:
    return Metric(name, label, "ratio", description, part, per=whole, better=better)


def checks(name: str, label: str, value: Sum) -> Metric:
    return Metric(name, label, "count", f"{label}: the sample of a quality proxy", value)


def tokens(name: str, label: str, description: str) -> Metric:
    return Metric(name, label, "tokens", description, sum_of(name, where=OWN_TOKENS))


def percentiles(prefix: str, label: str, description: str, histogram, where: str) -> list[Metric]:
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


def quota(of: Literal["requests", "tokens"], what: str, noun: str) -> Metric:
    return Metric(
        f"quota_use_{of}",
        f"Quota use, {noun}",
        "ratio",
        f"{what} of the busiest minute by the {noun} that the provider allows in a minute. Of several limits the one"
        " used most; unknown where none is recorded. Read from minutes, kept for 14 days",
        Peak(of),
        better="down",
    )
