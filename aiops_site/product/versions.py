"""The release switcher: figures by prompt version, release or variant of each feature."""

import re
from dataclasses import dataclass, replace

from aiops_site.product import links, signals
from aiops_site.product.rules import Value
from usage.measures import NARROW_DIMENSIONS
from usage.metrics import MetricResult
from usage.metrics import Row as MetricRow
from usage.scope import UNTAGGED, Scope

DIMENSIONS = {"prompt_version": "Prompt version", "release": "Release", "variant": "Variant"}
LIMIT = 20
BY_REQUESTS = (
    "requests", "completion_rate", "refusal_rate", "refusal_checks", "citation_coverage", "citation_checks",
    "feedback_score", "feedback_count", "ttft_p95", "tokens_per_call", "cost_per_request",
)  # fmt: skip
BY_CALLS = (
    "calls", "call_error_rate", "refusal_rate", "refusal_checks", "citation_coverage", "citation_checks",
    "feedback_score", "feedback_count", "ttft_p95", "tokens_per_call", "cost_per_call",
)  # fmt: skip


@dataclass(frozen=True)
class Version:
    """One version of one feature with its figures by metric name; `count` is of requests, or of calls."""

    feature: str
    name: str
    count: int
    values: dict[str, Value]
    url: str
    compare_url: str  # against the version before it; "" for the first
    chosen: str = ""  # "before" or "after" in the comparison shown

    @property
    def completion(self) -> Value:
        """Completed requests, or calls that did not fail, by all of them."""
        if "completion_rate" in self.values:
            return self.values["completion_rate"]
        failed = self.values["call_error_rate"]
        return None if failed is None else 1 - failed

    @property
    def unit_cost(self) -> Value:
        return self.values.get("cost_per_request", self.values.get("cost_per_call"))


@dataclass(frozen=True)
class Versions:
    """The table. `refusal` says why there is none; `rest` is how many rows are not shown."""

    by: str
    tabs: list[tuple[str, str, bool]]
    rows: list[Version]
    rest: int
    noun: str
    refusal: str = ""
    several: tuple[str, ...] = ()  # features with more than one version, busiest first

    def of(self, feature: str) -> list[Version]:
        """The versions of a feature, oldest name first."""
        return [row for row in self.rows if row.feature == feature]

    @property
    def shown(self) -> list[Version]:
        return self.rows[:LIMIT]


def read(scope: Scope, by: str) -> Versions:
    """One metric query. An unknown dimension is the prompt version; versions nobody named are left out."""
    by = by if by in DIMENSIONS else "prompt_version"
    tabs = [
        (label, links.page(scope, by=name, of=None, a=None, b=None) + "#versions", name == by)
        for name, label in DIMENSIONS.items()
    ]
    noun = "Calls" if signals.by_calls(scope) else "Requests"
    if "tenant" in scope.filters and by not in NARROW_DIMENSIONS:
        text = "Figures of one tenant are not kept by version. Remove the tenant filter to compare versions."
        return Versions(by, tabs, [], 0, noun, refusal=text)
    metrics = BY_CALLS if signals.by_calls(scope) else BY_REQUESTS
    result = scope.query(metrics, group_by=("feature", by))
    rows = ordered(scope, by, result, metrics[0])
    return Versions(by, tabs, rows, max(len(rows) - LIMIT, 0), noun, several=several(rows))


def ordered(scope: Scope, by: str, result: MetricResult, count: str) -> list[Version]:
    """Features with several versions first, busy ones before quiet ones; versions in the order people name them."""
    features: dict[str, list[MetricRow]] = {}
    for row in result.rows:
        if row.key[1] and row.values[count]:
            features.setdefault(row.key[0], []).append(row)
    weight = {name: (len(rows) > 1, sum(row.values[count] for row in rows)) for name, rows in features.items()}
    return [
        version
        for name in sorted(features, key=weight.__getitem__, reverse=True)
        for version in _versions(scope, by, name, sorted(features[name], key=lambda row: natural(row.key[1])), count)
    ]


def natural(name: str) -> tuple:
    """Sort key by which v9 comes before v14."""
    return tuple((0, int(text), "") if text.isdigit() else (1, 0, text) for text in re.findall(r"\d+|\D+", name))


def _versions(scope: Scope, by: str, feature: str, rows: list[MetricRow], count: str) -> list[Version]:
    names = [row.key[1] for row in rows]
    return [
        Version(
            feature=feature,
            name=name,
            count=row.values[count],
            values=row.values,
            url=links.evidence(scope, feature=feature, **{by: name}),
            compare_url=compare_url(scope, by, feature, before, name) if before else "",
        )
        for row, before, name in zip(rows, [None, *names], names, strict=False)
    ]


def compare_url(scope: Scope, by: str, feature: str, before: str, after: str) -> str:
    """This page comparing two versions of a feature."""
    return links.page(scope, by=by, of=feature or UNTAGGED, a=before, b=after, change=None) + "#versions"


def several(rows: list[Version]) -> tuple[str, ...]:
    features = [row.feature for row in rows]
    return tuple(name for name in dict.fromkeys(features) if features.count(name) > 1)


def mark(rows: list[Version], feature: str, before: str, after: str) -> list[Version]:
    """The rows with the two that are compared marked."""
    words = {(feature, before): "before", (feature, after): "after"}
    return [replace(row, chosen=words.get((row.feature, row.name), "")) for row in rows]
