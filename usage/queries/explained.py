"""The metrics whose change can be explained: what each is made of, by which its parts sum to the whole."""

from dataclasses import dataclass
from typing import Literal

from usage.metrics import CATALOGUE
from usage.metrics.metric import Percentile
from usage.rules.explain import SYMPTOMS


@dataclass(frozen=True)
class Explained:
    """A metric of the catalogue as a sum, a ratio of two sums, or a percentile.

    `value` and `base` are metrics too: the value's change is split into that of the base (more calls) and of the value
    by base (more tokens per call). `weigh`: what a slice's size is taken from; traffic where the value is rare.
    """

    name: str
    label: str
    unit: str  # as aiops_site.formats.figure says it
    metric: str
    kind: Literal["sum", "ratio", "percentile"] = "sum"
    value: str = ""
    base: str = ""
    weigh: Literal["value", "base"] = "base"

    @property
    def sums(self) -> Literal["sum", "ratio"]:
        """How its cells add up; a percentile is explained by the ratio of what is slower than it was."""
        return "sum" if self.kind == "sum" else "ratio"

    @property
    def symptoms(self) -> frozenset[str]:
        """Dimensions that never are the cause; of a fallback also who answered in place of the one that failed."""
        return SYMPTOMS | ({"provider", "model"} if self.value == "fallbacks" else set())

    @property
    def better(self) -> str:
        return CATALOGUE[self.metric].better

    @property
    def quantile(self) -> float:
        value = CATALOGUE[self.metric].value
        return value.quantile if isinstance(value, Percentile) else 0.0

    @property
    def is_money(self) -> bool:
        return CATALOGUE[self.value].unit == "USD" if self.value else False

    @property
    def effects(self) -> dict[str, str]:
        """The causes its change is split by: name → words."""
        if self.name == "spend":
            return {"volume": "calls", "tokens": "tokens per call", "price": "price and mix"}
        if self.kind == "ratio":
            return {"within": "the rate itself", "mix": "traffic moved"}
        if self.base:
            return {"volume": CATALOGUE[self.base].label.lower(), "rate": f"{self.label.lower()} per {self.per}"}
        return {}

    @property
    def per(self) -> str:
        """One of what the value is by: request, call, retrieval."""
        return {"requests": "request", "calls": "call"}.get(self.base, "answer")


def _sum(name: str, label: str, unit: str, value: str, base: str = "", weigh: Literal["value", "base"] = "base"):
    return Explained(name, label, unit, value, "sum", value, base, weigh if base else "value")


def _ratio(name: str, label: str, unit: str, value: str, base: str, weigh: Literal["value", "base"] = "base"):
    return Explained(name, label, unit, name, "ratio", value, base, weigh)


def _percentile(name: str, label: str, metric: str) -> Explained:
    return Explained(name, label, "ms", metric, "percentile")


EXPLAINED: dict[str, Explained] = {
    one.name: one
    for one in (
        _sum("spend", "Spend", "USD", "cost_usd", "calls", "value"),
        _sum("tokens", "Tokens", "tokens", "total_tokens", "calls", "value"),
        _sum("requests", "Requests", "requests", "requests"),
        _sum("calls", "Model calls", "calls", "calls"),
        _sum("errors", "Failed requests", "requests", "errors", "requests"),
        _percentile("latency", "Latency p95", "latency_p95"),
        _sum("call_errors", "Failed model calls", "calls", "call_errors", "calls"),
        _sum("fallbacks", "Fallbacks", "calls", "fallbacks", "calls"),
        _sum("retries", "Retries", "calls", "retries", "calls"),
        _sum("rate_limited", "Rate limited calls", "calls", "rate_limited", "calls"),
        _ratio("error_rate", "Error rate", "%", "errors", "requests"),
        _ratio("call_error_rate", "Provider error rate", "%", "call_errors", "calls"),
        _ratio("fallback_rate", "Fallback rate", "%", "fallbacks", "calls"),
        _ratio("tokens_per_call", "Tokens per call", "tokens", "total_tokens", "calls"),
        _ratio("cost_per_request", "Cost per request", "USD", "cost_usd", "requests", "value"),
        _percentile("call_latency", "Model latency p95", "call_latency_p95"),
        _percentile("ttft", "Time to first token p95", "ttft_p95"),
        _ratio("empty_retrieval_rate", "Empty retrieval", "%", "empty_retrievals", "retrieval_checks"),
        _ratio("low_similarity_rate", "Low similarity", "%", "low_similarity", "similarity_checks"),
        _ratio("citation_coverage", "Citation coverage", "%", "cited_answers", "citation_checks"),
        _ratio("refusal_rate", "Refusal rate", "%", "refusals", "refusal_checks"),
    )
}
