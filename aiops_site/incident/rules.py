"""Limits and decisions of the incident view: pure arithmetic, no ORM, no clock.

The limits are the shipped alert defaults. A limit on a share is passed only when the share is above it beyond chance,
so that one failure among five requests at night wakes nobody.
"""

from dataclasses import dataclass, field
from math import sqrt
from typing import Any, Literal

from aiops_site import formats

# A figure of the metric query.
Value = Any
Tone = Literal["bad", "warn", "ok", ""]
TONE_RANK = {"bad": 0, "warn": 1, "ok": 2, "": 3}

MIN_REQUESTS = 20  # fewer in a window say nothing about a rate or a percentile
MIN_FAILURES = 3
Z = 1.96  # two-sided 95 %
UNUSUAL = 1.5  # a figure over its limit is only news when it is also this far above the same hours last week
SILENT_AFTER_MINUTES = 10
SILENT_EXPECTED = 5  # a gap is silence when this many requests would usually have come in it (chance of none: 0.7 %)
MOST_FAIL = 0.5  # SEV1 begins here


@dataclass(frozen=True)
class Reading:
    """A figure now, the same a week earlier, and of how many requests or calls it speaks."""

    value: Value
    usual: Value
    count: int


@dataclass(frozen=True)
class Signal:
    """One thing to watch. `kind` says how `warn` and `bad` are meant:

    share: above the limit beyond chance; level: above the limit and unusual; factor: times the usual figure.
    """

    metric: str
    label: str
    unit: str
    kind: Literal["share", "level", "factor"]
    warn: float | None
    bad: float | None
    base: str = "requests"  # the metric that counts what the figure speaks of
    floor: float = 0.0  # a factor below this figure is no news
    needs: int = MIN_REQUESTS  # a level or factor of fewer is chance
    says: str = ""  # the sentence: {value}, {count}, {noun}
    drill: dict[str, str] = field(default_factory=dict)  # filters of the events behind it

    def limit_text(self, limit: float | None) -> str:
        """A limit in words, for the page that explains itself: "5.0 %", "5 s and unusual", "2 × usual"."""
        if limit is None:
            return "–"
        if self.kind == "factor":
            return f"{limit:g} × usual"
        said = formats.figure(limit, self.unit)
        return f"{said} and unusual" if self.kind == "level" else said

    @property
    def warn_text(self) -> str:
        return self.limit_text(self.warn)

    @property
    def bad_text(self) -> str:
        return self.limit_text(self.bad)


FAILED = {"status": "error", "entries": "1"}
ENTRIES = {"entries": "1"}

EMPTY_BAD = 0.2  # answers without sources are no outage, but one in five is a feature that does not work

# In order of weight: the first that is bad is the answer to "is it down?".
SIGNALS = (
    Signal(
        "error_rate", "Error rate", "%", "share", 0.02, 0.05,
        says="{value} of {count} {noun} end in an error", drill=FAILED,
    ),
    Signal(
        "call_error_rate", "Provider error rate", "%", "share", 0.02, 0.05, base="calls",
        says="{value} of {count} model calls fail", drill={"status": "error"},
    ),
    Signal(
        "rate_limited_rate", "429 rate", "%", "share", None, 0.02, base="calls",
        says="providers refuse {value} of {count} model calls for their rate (429)", drill={"error_type": "rate_limit"},
    ),
    Signal("latency_p99", "p99 latency", "ms", "level", None, 10_000, needs=1000,
        says="one in a hundred takes over {value}", drill=ENTRIES),
    Signal("latency_p95", "p95 latency", "ms", "level", 3_000, 5_000, needs=200, says="p95 latency is {value}",
        drill=ENTRIES),
    Signal(
        "empty_retrieval_rate", "Empty retrieval", "%", "share", 0.02, EMPTY_BAD, base="retrieval_checks",
        says="{value} of {count} retrievals find nothing", drill={"operation": "retrieval"},
    ),
    Signal(
        "tool_failure_rate", "Tool failures", "%", "factor", 2.0, None, base="tool_executions", floor=0.02,
        says="{value} of {count} tool calls fail", drill={"error_type": "tool_failure"},
    ),
    Signal(
        "fallback_rate", "Fallback rate", "%", "factor", 2.0, None, base="calls", floor=0.01,
        says="{value} of model calls were answered by a fallback", drill={"status": "fallback"},
    ),
    Signal("retry_rate", "Retry rate", "%", "factor", 2.0, None, base="calls", floor=0.04,
        says="{value} of model calls were retried"),
    Signal("refusal_rate", "Refusals", "%", "factor", 2.0, None, base="refusal_checks", floor=0.02,
        says="{value} of answers are refusals"),
    Signal("policy_hit_rate", "Policy hits", "%", "factor", 2.0, None, base="policy_checks", floor=0.02,
        says="{value} of checks hit a policy"),
    Signal("cost_per_hour", "Spend per hour", "USD/h", "factor", 1.5, 2.0, needs=200, says="spend runs at {value}"),
    Signal("tokens_per_minute", "Tokens per minute", "tokens/min", "factor", 1.5, None, needs=200,
        says="tokens run at {value}"),
    Signal("cost_per_request", "Cost per request", "USD", "level", 0.10, None, needs=200,
        says="{noun} cost {value} each"),
)  # fmt: skip
BY_METRIC = {signal.metric: signal for signal in SIGNALS}


def lower_bound(hits: float, count: int, z: float = Z) -> float:
    """Lower end of the Wilson score interval of hits/count; 0.0 of nothing."""
    if not count:
        return 0.0
    share = min(hits / count, 1.0)
    centre = share + z * z / (2 * count)
    spread = z * sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    return max((centre - spread) / (1 + z * z / count), 0.0)


def exceeds(hits: float, count: int, limit: float, z: float = Z) -> bool:
    """Whether hits/count is above `limit` beyond chance, with at least MIN_FAILURES hits."""
    return hits >= MIN_FAILURES and lower_bound(hits, count, z) > limit


def grade(signal: Signal, reading: Reading) -> Tone:
    """bad, warn or ok; "" where there is no figure or too little traffic to judge it."""
    if reading.value is None or not reading.count:
        return ""
    limits: tuple[tuple[Tone, float | None], ...] = (("bad", signal.bad), ("warn", signal.warn))
    for tone, limit in limits:
        if limit is not None and _passes(signal, reading, limit):
            return tone
    return "ok" if signal.kind == "share" or reading.count >= signal.needs else ""


def _passes(signal: Signal, reading: Reading, limit: float) -> bool:
    value = float(reading.value)
    usual = None if reading.usual is None else float(reading.usual)
    if signal.kind == "share":
        return exceeds(value * reading.count, reading.count, limit)
    if reading.count < signal.needs:
        return False
    if signal.kind == "level":
        return value > limit and (usual is None or value > usual * UNUSUAL)
    if not usual or value < signal.floor or value <= usual * limit:
        return False
    # A doubled share must also be more than chance; an amount of money or tokens has no such test.
    return signal.unit != "%" or exceeds(value * reading.count, reading.count, usual)


def is_silent(gap_minutes: float, usual_per_hour: Value) -> bool:
    """Whether so long a gap means that events stopped coming, given how many requests an hour usually has."""
    expected = float(usual_per_hour or 0) * gap_minutes / 60
    return gap_minutes >= SILENT_AFTER_MINUTES and expected >= SILENT_EXPECTED
