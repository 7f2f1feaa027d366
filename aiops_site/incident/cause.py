"""Is it us, our data or the provider: what fails, which stage is slow, how each provider does."""

from dataclasses import dataclass

from aiops_site import formats
from aiops_site.charts import Bar, Bars
from aiops_site.incident import links, rules
from aiops_site.incident.rules import Reading, Tone, Value
from aiops_site.incident.situation import Situation
from usage.scope import UNTAGGED, Scope

# Who an error type speaks of, so that "us, our data or the provider" can be read off.
OWNERS = {
    "timeout": "provider",
    "rate_limit": "provider",
    "provider_5xx": "provider",
    "network": "provider",
    "provider_4xx": "our request",
    "auth": "our request",
    "context_length": "our request",
    "schema_invalid": "our prompt",
    "tool_failure": "our tools",
    "retrieval_empty": "our data",
    "content_policy": "policy",
    "cancelled": "caller",
}
SLOWER = 1.3  # a stage this much slower than usual, and by SLOWER_MS, is marked
SLOWER_MS = 100
STAGES, ERRORS = 7, 7


@dataclass(frozen=True)
class ProviderRow:
    """A provider as our own calls see it, in the focus and a week earlier."""

    name: str
    calls: int
    error_rate: Value
    usual_error_rate: Value
    p95: Value
    usual_p95: Value
    rate_limited: Value
    tone: Tone
    word: str
    url: str


@dataclass(frozen=True)
class Cause:
    """What the template draws; `finding` is the sentence over it."""

    finding: str
    errors: Bars
    stages: Bars
    providers: list[ProviderRow]


def read(situation: Situation) -> Cause:
    """Six metric queries: error types, stages and providers, each in the focus and a week earlier."""
    failures = _by(situation, "error_type", ("failures",))
    stages = _by(situation, "operation", ("stage_latency_p95", "events"))
    providers = provider_rows(situation)
    return Cause(
        finding=finding(failures[0], providers),
        errors=error_bars(situation.focus, *failures),
        stages=stage_bars(situation.focus, *stages),
        providers=providers,
    )


Values = dict[str, dict[str, Value]]


def _by(situation: Situation, dimension: str, metrics: tuple[str, ...]) -> tuple[Values, Values]:
    """Figures by value of a dimension, in the focus and as usual."""
    return _values(situation.focus, dimension, metrics), _values(situation.usual, dimension, metrics)


def _values(scope: Scope, dimension: str, metrics: tuple[str, ...]) -> Values:
    return {row.key[0]: row.values for row in scope.query(metrics, group_by=(dimension,)).rows}


def finding(failures: Values, providers: list[ProviderRow]) -> str:
    """Whose errors they are, said only where one side has most of them."""
    total = sum(values["failures"] for values in failures.values())
    if not total:
        return "No stage failed."
    owners: dict[str, int] = {}
    for name, values in failures.items():
        owner = OWNERS.get(name, "other")
        owners[owner] = owners.get(owner, 0) + values["failures"]
    owner, most = max(owners.items(), key=lambda item: item[1])
    bad = " and ".join(row.name for row in providers if row.tone == "bad")
    side = {"provider": f"the provider side: {bad}" if bad else "the provider side", "other": "no known kind"}
    if most / total < rules.MOST_FAIL:
        return f"{formats.exact(total)} failed stages, of several kinds."
    return f"{formats.percent(most / total)} of {formats.exact(total)} failed stages point to {side.get(owner, owner)}."


def error_bars(scope: Scope, now: Values, usual: Values) -> Bars:
    """Failed stages by error type, with a tick where the same window a week earlier was."""
    ranked = sorted(now.items(), key=lambda item: item[1]["failures"], reverse=True)
    bars = [
        Bar(
            name or UNTAGGED,
            values["failures"],
            url=links.evidence(scope, error_type=name, status="error"),
            note=OWNERS.get(name, ""),
            previous=usual.get(name, {}).get("failures"),
            tone="bad" if values["failures"] > 2 * (usual.get(name, {}).get("failures") or 0) else "",
        )
        for name, values in ranked
        if values["failures"]
    ]
    return Bars("What fails", "", bars[:ERRORS], note="Failed stages by error type; the tick is a week earlier")


def stage_bars(scope: Scope, now: Values, usual: Values) -> Bars:
    """p95 of each stage, slowest first, with a tick where it was a week earlier."""
    known = [(name, values) for name, values in now.items() if values["stage_latency_p95"] is not None]
    ranked = sorted(known, key=lambda item: item[1]["stage_latency_p95"], reverse=True)
    bars = [_stage(scope, name, values, usual.get(name, {}).get("stage_latency_p95")) for name, values in ranked]
    return Bars("Where time goes", "ms", bars[:STAGES], share=False, note="p95 by stage; the tick is a week earlier")


def _stage(scope: Scope, name: str, values: dict[str, Value], usual: Value) -> Bar:
    p95 = values["stage_latency_p95"]
    slower = bool(usual) and p95 > usual * SLOWER and p95 - usual > SLOWER_MS and values["events"] >= rules.MIN_REQUESTS
    return Bar(
        name or UNTAGGED,
        p95,
        url=links.evidence(scope, operation=name),
        note=f"slower, was {formats.duration(usual)}" if slower else "",
        previous=usual,
        tone="warn" if slower else "",
    )


def provider_rows(situation: Situation) -> list[ProviderRow]:
    """Every provider called in the focus, the busiest first."""
    now, usual = _by(situation, "provider", ("calls", "call_error_rate", "call_latency_p95", "rate_limited_rate"))
    rows = [
        _provider(situation.focus, name, values, usual.get(name, {}))
        for name, values in sorted(now.items(), key=lambda item: item[1]["calls"], reverse=True)
        if name and values["calls"]
    ]
    return sorted(rows, key=lambda row: rules.TONE_RANK[row.tone if row.tone == "bad" else "ok"])


def _provider(scope: Scope, name: str, values: dict[str, Value], usual: dict[str, Value]) -> ProviderRow:
    reading = Reading(values["call_error_rate"], usual.get("call_error_rate"), values["calls"])
    tone = rules.grade(rules.BY_METRIC["call_error_rate"], reading)
    few = values["calls"] < rules.MIN_REQUESTS and tone == "ok"
    return ProviderRow(
        name=name,
        calls=values["calls"],
        error_rate=values["call_error_rate"],
        usual_error_rate=usual.get("call_error_rate"),
        p95=values["call_latency_p95"],
        usual_p95=usual.get("call_latency_p95"),
        rate_limited=values["rate_limited_rate"],
        tone="" if few else tone,
        word="Few calls" if few else {"bad": "Failing", "warn": "Errors", "ok": "Answering"}.get(tone, "No calls"),
        url=links.evidence(scope, provider=name, **({"status": "error"} if tone in ("bad", "warn") else {})),
    )
