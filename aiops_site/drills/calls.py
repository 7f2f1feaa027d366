"""One simulated request of a drill, as the events its caller would send. Pure: the random stream is an argument."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from random import Random
from typing import Any

from incidents.rules.drills import Fault
from usage.measures import DRILL_ENVIRONMENT

NOTHING_WRONG = Fault()
# The retrieval is named to the guard among the tools, as the kill switch that skips it is over a tool of this name.
RETRIEVAL, EVERY = "retrieval", "*"


@dataclass(frozen=True)
class Route:
    """Where the guard sends a call, and the tools it takes away; `denied` where the call may not be made.

    `most_input`, `most_output`: tokens it may have at most; None is as many as it likes.
    """

    provider: str
    model: str
    denied: bool = False
    tools_off: tuple[str, ...] = ()
    most_input: int | None = None
    most_output: int | None = None

    def without(self, tool: str) -> bool:
        return tool in self.tools_off or EVERY in self.tools_off


@dataclass(frozen=True)
class Caller:
    """A feature of the drill: what it asks for, and what its calls are like when all is well.

    A share of its requests goes to the counterpart at the other provider, so that provider and feature are told apart.
    """

    feature: str
    per_minute: float
    provider: str
    model: str
    input_tokens: int
    output_tokens: int
    retrieves: bool = False
    tool: str = ""
    elsewhere: float = 0.25

    @property
    def tools(self) -> list[str]:
        """What it names to the guard."""
        return [name for name in (self.tool, RETRIEVAL if self.retrieves else "") if name]

    def of_request(self, rng: Random) -> "Caller":
        """With the provider of one request."""
        if rng.random() >= self.elsewhere:
            return self
        other = next(provider for provider in COUNTERPARTS if provider != self.provider)
        return replace(self, provider=other, model=COUNTERPARTS[other])


# The model a caller would use at another provider, where the guard names only the provider.
COUNTERPARTS = {"openai": "gpt-4o", "anthropic": "claude-sonnet-4-5"}
CALLERS = (
    Caller("drill-assistant", 20, "openai", "gpt-4o", 1_800, 220, retrieves=True),
    Caller("drill-agent", 10, "anthropic", "claude-sonnet-4-5", 2_400, 80, tool="web_search"),
)
# Of a provider: median milliseconds to the first token, and for each token after it.
SPEED = {"openai": (300, 5.0), "anthropic": (350, 5.0)}
OTHER_SPEED = (400, 6.0)
Ask = Callable[[Caller], Route]


def as_asked(caller: Caller) -> Route:
    return Route(caller.provider, caller.model)


class Request:
    """The events of one request. `clock` moves on with every stage."""

    def __init__(self, rng: Random, key: str, caller: Caller, at: datetime, fault: Fault) -> None:
        self.rng, self.key, self.caller, self.clock, self.fault = rng, key, caller, at, fault
        self.root = f"{rng.getrandbits(64):016x}"
        version = fault.prompt_version if fault.touches(caller.feature, caller.provider) else ""
        self.base = {
            "environment": DRILL_ENVIRONMENT,
            "service": "drill",
            "feature": caller.feature,
            "endpoint": f"/drill/{caller.feature}",
            "initiator": "system" if caller.tool else "user",
            "region": "eu-west-1",
            "prompt_version": version or "drill-v1",
            "trace_id": f"{rng.getrandbits(128):032x}",
        }
        self.events: list[dict[str, Any]] = []

    def stage(self, operation: str, latency_ms: float, fields: dict[str, Any]) -> dict[str, Any]:
        event = self.base | {
            "event_id": f"{self.key}-{len(self.events)}",
            "occurred_at": self.clock.isoformat(),
            "operation": operation,
            "span_id": f"{self.rng.getrandbits(64):016x}",
            "parent_span_id": self.root,
            "latency_ms": round(latency_ms),
            "status": "success",
        }
        self.events.append(event | fields)
        self.clock += timedelta(milliseconds=round(latency_ms))
        return self.events[-1]


def request(rng: Random, key: str, caller: Caller, at: datetime, fault: Fault, ask: Ask) -> list[dict[str, Any]]:
    """The events of one request that begins at `at`, the entry first."""
    made = Request(rng, key, caller.of_request(rng), at, fault)
    entry = made.stage("invoke_agent" if caller.tool else "gateway", 0, {})
    entry["span_id"] = made.root
    del entry["parent_span_id"]
    entry |= _run(made, ask)
    entry["latency_ms"] = round((made.clock - at) / timedelta(milliseconds=1))
    return made.events


def _run(made: Request, ask: Ask) -> dict[str, Any]:
    """The stages in order; what the entry says of the outcome."""
    route = ask(made.caller)
    if made.caller.retrieves and not route.denied and not route.without(RETRIEVAL):
        _retrieve(made)
    last = _call(made, route)
    for _ in range(_tool_rounds(made, route)):
        if last["status"] != "success":
            break
        _use_tool(made)
        last = _call(made, ask(made.caller))
    if last["status"] != "success":
        return {name: last[name] for name in ("status", "error_type", "http_status") if name in last}
    return {name: last[name] for name in ("refused", "schema_valid")} | {"http_status": 200}


def _tool_rounds(made: Request, route: Route) -> int:
    """How often the agent uses its tool and asks again: once, more often where it loops."""
    if not made.caller.tool or route.without(made.caller.tool):
        return 0
    return made.fault.rounds if made.fault.touches(made.caller.feature, made.caller.provider) else 1


def _retrieve(made: Request) -> None:
    share = made.fault.empty if made.fault.empty is not None and _is_hit(made) else 0.004
    empty = made.rng.random() < share
    fields: dict[str, Any] = {"top_k": 8, "documents": 0 if empty else made.rng.randint(4, 8)}
    if not empty:
        fields["top_score"] = round(made.rng.betavariate(14, 4), 3)
    made.stage("retrieval", _spread(made.rng, 80), fields)


def _is_hit(made: Request) -> bool:
    return made.fault.feature in ("", made.caller.feature)


def _use_tool(made: Request) -> None:
    made.stage("execute_tool", _spread(made.rng, 260), {"tool_name": made.caller.tool, "tool_version": "1"})


def _call(made: Request, route: Route) -> dict[str, Any]:
    """One call of a model where the guard sends it; its event."""
    call = {"provider": route.provider, "model": route.model, "streaming": True}
    if route.denied:
        return made.stage("guardrail", 3, {"status": "blocked", "error_type": "other", "policy_hit": False})
    fault = made.fault if made.fault.touches(made.caller.feature, route.provider) else NOTHING_WRONG
    if made.rng.random() < max(fault.fails, 0.004):
        _, kind, status, waited = _failure(made.rng, fault)
        failed = call | {"status": "error", "error_type": kind, "retry_count": made.rng.randint(1, 2)}
        return made.stage("chat", _spread(made.rng, waited), failed | ({"http_status": status} if status else {}))
    return made.stage("chat", *_answer(made, route, fault, call))


def _failure(rng: Random, fault: Fault) -> tuple[float, str, int | None, int]:
    kinds = fault.kinds or ((1.0, "timeout", None, 20_000),)
    return rng.choices(kinds, [kind[0] for kind in kinds])[0]


def _answer(made: Request, route: Route, fault: Fault, call: dict[str, Any]) -> tuple[float, dict[str, Any]]:
    rng, caller = made.rng, made.caller
    asked = _at_most(round(_spread(rng, caller.input_tokens * fault.token_factor)), route.most_input)
    answered = _at_most(max(1, round(_spread(rng, caller.output_tokens))), route.most_output)
    first, each = SPEED.get(route.provider, OTHER_SPEED)
    ttft = _spread(rng, first) * fault.latency_factor
    latency = ttft + answered * each * fault.latency_factor
    fields = call | {
        "response_model": route.model,
        "http_status": 200,
        "input_tokens": asked,
        "output_tokens": answered,
        "ttft_ms": round(ttft),
        "queue_ms": round(rng.expovariate(1 / 15)),
        "stop_reason": "stop",
        "refused": rng.random() < (0.01 if fault.refused is None else fault.refused),
        "schema_valid": rng.random() >= (0.005 if fault.schema_invalid is None else fault.schema_invalid),
    }
    return latency, fields


def _at_most(tokens: int, most: int | None) -> int:
    return tokens if most is None else min(tokens, most)


def _spread(rng: Random, median: float) -> float:
    """A log-normal draw around its median: latencies and token counts have long tails."""
    return median * math.exp(rng.gauss(0, 0.3))
