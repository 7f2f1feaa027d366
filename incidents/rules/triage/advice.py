"""What helps against a failure mode, reversible first: controls with their slice filled in, and roll-backs to do.

A *control* acts through the guard at once and ends by itself; a *step* is done outside the desk and told to it, so that
its effect is watched all the same.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from aiops_site import formats
from incidents.models import FailureMode
from incidents.rules.triage.limits import Rate, rate_in, slices, suggested
from incidents.rules.triage.picture import Picture, Recent
from incidents.rules.triage.radius import Radius
from incidents.rules.triage.signals import BY_NAME, LOAD, strength

MOST_SLICES = 3  # a control each for so many values; of more, one over all
HEALTHY_CALLS = 10  # a provider with fewer calls is no place to send traffic to unseen
LEAST_RATE = 1  # requests a minute


@dataclass(frozen=True)
class Mitigation:
    """One thing to do. where, what: as incidents.controls has them, without the team; a step has neither.

    signal, watched: what shows whether it helped, and of which slice (dimension → values). amounts: of a rate limit,
    what is suggested by field. usual: (bad, base) of the load on a usual day, where it is watched and known.
    """

    key: str
    kind: Literal["control", "step"]
    title: str
    why: str
    signal: str
    what: dict[str, Any] = field(default_factory=dict)
    where: dict[str, str] = field(default_factory=dict)
    watched: dict[str, list[str]] = field(default_factory=dict)
    change: dict[str, str] = field(default_factory=dict)  # of a step: the change marker it leaves
    amounts: dict[str, int | None] = field(default_factory=dict)
    usual: tuple[float, int] | None = None


@dataclass(frozen=True)
class Situation:
    """What the advice is made from. within: the slice that the incident is about (dimension → value): no control
    reaches beyond it, so that one of a drill never touches real traffic.
    """

    picture: Picture
    radius: Radius | None
    recent: list[Recent]
    signal: str
    within: dict[str, str] = field(default_factory=dict)

    def values(self, dimension: str) -> list[str]:
        return self.radius.values.get(dimension, []) if self.radius else []

    @property
    def watched(self) -> dict[str, list[str]]:
        """The slice whose signal shows what helped: features and the like, never the provider that is left."""
        found = {name: self.values(name) for name in ("feature", "tenant", "environment") if self.values(name)}
        return found | {name: [value] for name, value in self.within.items()}


def fitting(mode: str, at: Situation) -> list[Mitigation]:
    """What fits a failure mode, the gentlest reversible one first."""
    return list(ADVICE[FailureMode(mode)](at))


# --- By failure mode ------------------------------------------------------------------------------------------------
def _provider(at: Situation) -> Iterator[Mitigation]:
    yield from _failover(at)
    for provider in _failing(at):
        why = "Nobody waits for its time-outs: its calls are denied, or go to the failover's next."
        yield _control(
            at,
            f"breaker:{provider}",
            f"Open the circuit breaker of {provider}",
            why,
            {"kind": "breaker"},
            {"provider": provider},
        )
    yield from _conserve(at)
    yield from _throttle(at)


def _rate_limit(at: Situation) -> Iterator[Mitigation]:
    yield from _throttle(at)
    yield from _limit(at, "Below the provider's: refused calls cost nothing, and are told when to come again.", True)
    yield from _conserve(at)
    yield from _failover(at)


def _retrieval(at: Situation) -> Iterator[Mitigation]:
    yield from _rollback(at, ("retrieval",), "the index or its configuration")
    for where in _slices(at):
        of = _of(where)
        why = "Answers come without sources at once, where your program names “retrieval” among its tools."
        yield _control(
            at,
            f"skip-retrieval{of}",
            f"Skip retrieval{of}",
            why,
            {"kind": "kill_switch", "tool_name": "retrieval"},
            where,
        )
    yield from _kill(at)


def _prompt(at: Situation) -> Iterator[Mitigation]:
    yield from _version_back(at, "prompt_version", "prompt")
    yield from _rollback(at, ("prompt",), "the prompt")
    yield from _conserve(at)
    yield from _kill(at)


def _model(at: Situation) -> Iterator[Mitigation]:
    yield from _version_back(at, "model", "model")
    yield from _rollback(at, ("model", "routing"), "model or routing")
    yield from _conserve(at)
    yield from _kill(at)


def _tool(at: Situation) -> Iterator[Mitigation]:
    for tool in at.values("tool_name") or _failing_tools(at):
        why = "The model answers without it. The guard tells callers to leave it out."
        yield _control(
            at, f"tool:{tool}", f"Take the tool {tool} away", why, {"kind": "kill_switch", "tool_name": tool}
        )
    yield from _mode(at, "emergency", "Tools off and short answers, as the policies say.")
    yield from _kill(at)


def _safety(at: Situation) -> Iterator[Mitigation]:
    yield from _kill(at)
    yield from _mode(at, "emergency", "Without tools nothing is done on anybody's behalf.")
    yield from _rollback(at, ("policy", "prompt", "deploy"), "the change before it")


def _cost(at: Situation) -> Iterator[Mitigation]:
    yield from _conserve(at)
    yield from _limit(at, "A loop gets no further than that, and what it costs is bounded.")
    yield from _throttle(at)
    yield from _version_back(at, "prompt_version", "prompt")
    for one in _mode(at, "emergency", "Tools off and short answers, as the policies say: an agent that loops ends."):
        yield _by_load(at, one)
    yield from _kill(at)


def _drift(at: Situation) -> Iterator[Mitigation]:
    why = "What people ask about has moved away from what is indexed."
    yield Mitigation(
        "step:index",
        "step",
        "Rebuild the index from current documents",
        why,
        at.signal,
        watched=at.watched,
        change={"kind": "retrieval", "title": "Index rebuilt from current documents"},
    )
    yield from _mode(at, "conserve", "Fewer, better documents, as the policies say.")


def _application(at: Situation) -> Iterator[Mitigation]:
    yield from _version_back(at, "release", "release")
    yield from _rollback(at, ("deploy", "flag"), "the release or flag")
    yield from _kill(at)
    yield from _throttle(at)


def _other(at: Situation) -> Iterator[Mitigation]:
    yield from _conserve(at)
    yield from _throttle(at)
    yield from _limit(at, "Fewer calls of these, whatever it is.")
    yield from _kill(at)


ADVICE: dict[FailureMode, Callable[[Situation], Iterator[Mitigation]]] = {
    FailureMode.PROVIDER: _provider,
    FailureMode.RATE_LIMIT: _rate_limit,
    FailureMode.RETRIEVAL: _retrieval,
    FailureMode.PROMPT: _prompt,
    FailureMode.MODEL: _model,
    FailureMode.TOOL: _tool,
    FailureMode.SAFETY: _safety,
    FailureMode.COST: _cost,
    FailureMode.DATA_DRIFT: _drift,
    FailureMode.APPLICATION: _application,
    FailureMode.OTHER: _other,
}


# --- Pieces ---------------------------------------------------------------------------------------------------------
def _control(
    at: Situation, key: str, title: str, why: str, what: dict, where: dict[str, str] | None = None
) -> Mitigation:
    return Mitigation(key, "control", title, why, at.signal, what, at.within | (where or {}), at.watched)


def _slices(at: Situation) -> list[dict[str, str]]:
    """The slices a control is set over: each feature that is hit, else everything; a control has one value of each."""
    features = at.values("feature")
    return [{"feature": name} for name in features] if 0 < len(features) <= MOST_SLICES else [{}]


def _of(where: dict[str, str]) -> str:
    return f" of {where['feature']}" if where else ""


def _failing(at: Situation) -> list[str]:
    """The providers that are hit: those of the radius, else those whose calls fail more than usual."""
    signal, table = BY_NAME["calls_fail"], at.picture.table
    known = table.by_dimension.get("provider", {})
    risen = [name for name, places in known.items() if strength(signal, table.reading(signal, places)) > 0]
    return at.values("provider") or risen


def _healthy(at: Situation) -> list[tuple[str, str]]:
    """Providers that answer as ever, busiest first, with how they do."""
    signal, table, failing = BY_NAME["calls_fail"], at.picture.table, _failing(at)
    read = {name: table.reading(signal, places) for name, places in table.by_dimension.get("provider", {}).items()}
    well = {
        name: one
        for name, one in read.items()
        if name not in failing and one.base >= HEALTHY_CALLS and strength(signal, one) == 0
    }
    ranked = sorted(well, key=lambda name: (-well[name].base, name))
    return [
        (name, f"{name} fails {formats.percent(well[name].rate)} of {formats.exact(well[name].base)} calls")
        for name in ranked
    ]


def _failover(at: Situation) -> Iterator[Mitigation]:
    healthy = _healthy(at)
    for provider in _failing(at) if healthy else []:
        order = [_at_provider(at, provider, name) for name, _ in healthy]
        what = {"kind": "failover", "failover_order": order}
        why = f"{healthy[0][1]}. A breaker beside it is not needed."
        yield _control(
            at, f"failover:{provider}", f"Fail {provider} over to {order[0]}", why, what, {"provider": provider}
        )


def _at_provider(at: Situation, failing: str, healthy: str) -> str:
    """The healthy provider; with its busiest model of these calls where it serves none of the failing one's."""
    here, there = (_models(at, provider) for provider in (failing, healthy))
    return healthy if here.keys() & there.keys() or not there else f"{healthy}/{max(there, key=lambda one: there[one])}"


def _models(at: Situation, provider: str) -> dict[str, int]:
    """Models of a provider in this slice → their calls."""
    table = at.picture.table
    calls = table.column("now", BY_NAME["calls_fail"].base) + table.column("usual", BY_NAME["calls_fail"].base)
    groups = table.groups(("provider", "model"))
    return {key[1]: int(calls[places].sum()) for key, places in groups.items() if key[0] == provider and key[1]}


def _mode(at: Situation, mode: str, why: str) -> Iterator[Mitigation]:
    for where in _slices(at):
        yield _control(
            at,
            f"{mode}{_of(where)}",
            f"{mode.capitalize()} mode{_of(where)}",
            why,
            {"kind": "mode", "mode": mode},
            where,
        )


def _conserve(at: Situation) -> Iterator[Mitigation]:
    yield from _mode(at, "conserve", "Shorter context and a cheaper model, as the policies say.")


def _kill(at: Situation) -> Iterator[Mitigation]:
    """Stopping a feature altogether: last, and only where it is one of few."""
    for where in _slices(at):
        if where:
            why = "Its calls are denied: people see that it is off instead of wrong answers."
            yield _control(
                at, f"kill{_of(where)}", f"Switch {where['feature']} off", why, {"kind": "kill_switch"}, where
            )


def _throttle(at: Situation) -> Iterator[Mitigation]:
    minutes = at.picture.hours * 60
    rate = max(round(at.picture.table.sum("calls") / minutes / 2), LEAST_RATE)
    why = f"Batch work waits: half of the {at.picture.table.sum('calls') / minutes:.1f} calls a minute there are now."
    what = {"kind": "throttle", "queue_class": "batch", "requests_per_minute": rate}
    yield _control(at, "throttle:batch", f"Throttle batch work to {formats.counted(rate, 'calls')} a minute", why, what)


def _limit(at: Situation, why: str, is_refused: bool = False) -> Iterator[Mitigation]:
    """A rate limit over each part of the blast radius. Where it is against 429s these are watched, else the load."""
    by_429s = is_refused and at.signal == "limited"
    for where in slices(at.radius) or _slices(at):
        over = where | at.within
        rate = rate_in(at.picture, over)
        found = suggested(rate, at.picture.impact.p95, is_refused=is_refused)
        named = " · ".join(where.values())
        yield Mitigation(
            f"limit:{named}",
            "control",
            f"Limit the calls of {named}" if named else "Limit the calls",
            f"{why} {found.why}",
            at.signal if by_429s else LOAD.name,
            {"kind": "rate_limit"},
            over,
            at.watched if by_429s else _named(over),
            amounts=found.amounts,
            usual=None if by_429s else _usual_load(rate),
        )


def _by_load(at: Situation, one: Mitigation) -> Mitigation:
    """The same, watched by the calls a minute it holds down."""
    usual = _usual_load(rate_in(at.picture, one.where))
    return replace(one, signal=LOAD.name, watched=_named(one.where), usual=usual)


def _named(where: dict[str, str]) -> dict[str, list[str]]:
    return {name: [value] for name, value in where.items()}


def _usual_load(rate: Rate) -> tuple[float, int] | None:
    return (rate.usual_calls, round(rate.usual_minutes)) if rate.usual_minutes else None


def _failing_tools(at: Situation) -> list[str]:
    signal, table = BY_NAME["tools"], at.picture.table
    tools = table.by_dimension.get("tool_name", {})
    return [name for name, places in tools.items() if strength(signal, table.reading(signal, places)) > 0]


def _version_back(at: Situation, dimension: str, noun: str) -> Iterator[Mitigation]:
    """Back to what served the slice before."""
    kind = {"prompt_version": "prompt", "release": "deploy", "model": "model"}[dimension]
    for one in at.radius.new if at.radius else []:
        if one.dimension != dimension or not one.instead:
            continue
        of = f" of {', '.join(at.values('feature'))}" if at.values("feature") else ""
        title = f"Roll the {noun}{of} back to {one.instead}"
        change = {"kind": kind, "title": f"Roll-back of {noun}{of} to {one.instead}", "ref": one.instead}
        change |= {"feature": at.values("feature")[0]} if len(at.values("feature")) == 1 else {}
        why = f"{one.value} came with the trouble; {one.instead} served this traffic before."
        yield Mitigation(
            f"back:{dimension}:{one.instead}", "step", title, why, at.signal, watched=at.watched, change=change
        )


def _rollback(at: Situation, kinds: tuple[str, ...], noun: str) -> Iterator[Mitigation]:
    """Taking back the likeliest change of a kind, unless the version before it is known and offered already."""
    fitting_ones = [one for one in at.recent if one.kind in kinds and one.names_it]
    known = {one.value for one in at.radius.new} if at.radius else set()
    for one in fitting_ones[:1]:
        if known.isdisjoint(one.title.replace(":", " ").split()):
            change = {"kind": one.kind, "title": f"Roll-back of “{one.title}”"[:200]}
            title = f"Take back “{one.title}”"
            yield Mitigation(
                f"rollback:{one.id}",
                "step",
                title,
                f"It is the likeliest change of {noun}: {one.why}.",
                at.signal,
                watched=at.watched,
                change=change,
            )
