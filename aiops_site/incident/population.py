"""What the page counts: requests as the caller saw them, or model calls where a filter picks a provider or model.

An entry event names no model, so with such a filter there would be no request to speak of.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

from aiops_site.incident.rules import Value
from usage.scope import Scope

# The metric of model calls for a metric of requests.
_TWINS = {
    "requests": "calls",
    "error_rate": "call_error_rate",
    "latency_p50": "call_latency_p50",
    "latency_p95": "call_latency_p95",
    "latency_p99": "call_latency_p99",
    "cost_per_request": "cost_per_call",
}
# Worked out from calls and their error rate, as the catalogue has them for requests only.
_DERIVED = {"errors", "successes", "availability", "requests_per_minute"}


@dataclass(frozen=True)
class Population:
    """noun: how one reads ("requests"); calls: whether model calls are counted instead of requests."""

    noun: str
    calls: bool

    def metric(self, name: str) -> str:
        """The catalogue's name for a metric of requests in this population."""
        return _TWINS.get(name, name) if self.calls else name


COUNTED = ("requests", "errors", "calls", "call_errors")
REQUESTS, MODEL_CALLS = Population("requests", False), Population("model calls", True)


def of(scope: Scope) -> Population:
    return MODEL_CALLS if {"provider", "model"} & set(scope.filters) else REQUESTS


def figures(scope: Scope, names: Iterable[str]) -> dict[str, Value]:
    """Figures over the scope's window under the names of requests, whatever is counted; one metric query."""
    population = of(scope)
    asked = {n: population.metric(n) for n in names if not (population.calls and n in _DERIVED)}
    result = scope.query(tuple(dict.fromkeys(asked.values())))
    found = {name: result.value(metric) for name, metric in asked.items()}
    return found | _derived(found, result.end - result.start) if population.calls else found


def _derived(found: dict[str, Value], length: timedelta) -> dict[str, Value]:
    count, rate = found["requests"], found["error_rate"]
    failed = round((rate or Decimal(0)) * count)
    return {
        "errors": failed,
        "successes": count - failed,
        "availability": None if rate is None else 1 - rate,
        "requests_per_minute": Decimal(count) / Decimal(str(max(length / timedelta(minutes=1), 1))),
    }


def counted(values: dict, population: Population) -> tuple[int, int]:
    """(count, failed) of a row that has COUNTED."""
    if population.calls:
        return values["calls"], values["call_errors"]
    return values["requests"], values["errors"]
