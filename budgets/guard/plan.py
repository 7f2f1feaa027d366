"""From a request to what is asked of the database: the options for the call, and the budgets and limits over each."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from accounts.models import ApiKey
from budgets.guard.arrays import booleans, numbers, texts
from budgets.guard.history import Expected, expected_output
from budgets.guard.requests import Reserve
from budgets.guard.snapshot import Known, Snapshot
from budgets.rules.coverage import MODEL, PROVIDER, Facts
from budgets.rules.options import Option, Wish, cheaper, option, shortest, under
from budgets.rules.stance import NO_POLICY, Policy, Stance, is_stopped, stance_of, stricter_modes, tools_to_drop
from incidents.models import Control
from usage.pricing.rates import Rate

# Spend that events report is brought up to date every few seconds; after so long, a closed budget stops calls.
STALE_AFTER = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Gate:
    """A rate limit or a throttle: its counter's key and limits, None for none; `name` for people."""

    key: str
    name: str
    requests: int | None
    tokens: int | None
    concurrency: int | None


@dataclass(frozen=True)
class Plan:
    """What one request comes to under one snapshot. `budgets` and `rates` are of any option, in locking order."""

    snapshot: Snapshot
    at: datetime
    request: Reserve
    environment: str
    stance: Stance
    expected: Expected
    options: list[Option]
    denied: str
    budgets: list[Known]
    rates: list[Gate]
    over: list[tuple[set[int], set[str]]]

    @property
    def unopened(self) -> list[Known]:
        """Budgets whose period has no row yet."""
        return [known for known in self.budgets if known.period_id(self.at) is None]

    def budgets_of(self, number: int) -> list[tuple[int, Known]]:
        """(place, budget) of those over an option, counted from 1; 0 is the call as asked."""
        covering = self.over[max(number, 1) - 1][0]
        return [(place, known) for place, known in enumerate(self.budgets) if known.budget.pk in covering]


def make_plan(snapshot: Snapshot, key: ApiKey, request: Reserve, at: datetime) -> Plan:
    """The options for a call and everything that has a say in them."""
    environment = key.environment or request.environment
    facts = (
        request.feature,
        request.tenant,
        environment,
        request.user_hash,
        request.provider,
        request.model,
        request.cost_center,
    )
    team_id = key.team_id
    stance = stance_of(_in_force(snapshot, team_id, facts, at), request.queue_class)
    expected = _expected(request, team_id)
    options, denied = _options(snapshot, team_id, request, facts, stance, expected, at)
    covered = [_with(facts, one.provider, one.model) for one in options] or [facts]
    budgets = [snapshot.budgets.over(team_id, one) for one in covered]
    throttles = [_gate_of(one, f"throttle of {one.queue_class}") for one in stance.throttles]
    gates = [throttles + _limits(snapshot, team_id, one, at) for one in covered]
    rates = {gate.key: gate for some in gates for gate in some}
    known = {one.budget.pk: one for some in budgets for one in some}
    return Plan(
        snapshot,
        at,
        request,
        environment,
        stance,
        expected,
        options,
        denied,
        sorted(known.values(), key=lambda one: one.period_id(at) or 0),
        [rates[name] for name in sorted(rates)],
        [
            ({one.budget.pk for one in some}, {gate.key for gate in few})
            for some, few in zip(budgets, gates, strict=True)
        ],
    )


def _in_force(snapshot: Snapshot, team_id: int, facts: Facts, at: datetime) -> list[Control]:
    return [one for one in snapshot.controls.over(team_id, facts) if _holds(one, at)]


def _holds(control: Control, at: datetime) -> bool:
    return control.expires_at is None or control.expires_at > at


def _expected(request: Reserve, team_id: int) -> Expected:
    if request.max_output_tokens is not None:
        return Expected(request.max_output_tokens, "request")
    return expected_output(team_id, request.feature, request.model)


def _options(
    snapshot: Snapshot,
    team_id: int,
    request: Reserve,
    facts: Facts,
    stance: Stance,
    expected: Expected,
    at: datetime,
) -> tuple[list[Option], str]:
    """The options in order of preference, and why there is none."""
    if stance.denied is not None:
        return [], "blocked" if stance.denied.kind == "mode" else stance.denied.kind
    policy = snapshot.policy(team_id, request.feature, stance.mode) if stance.mode != "normal" else NO_POLICY
    asked = Wish(
        request.provider,
        request.model,
        request.input_tokens,
        expected.tokens,
        request.max_output_tokens,
        request.cost_usd,
    )
    wish = under(asked, policy)
    stopped = partial(_stopped, snapshot, team_id, facts, at)
    here = (request.provider, wish.model)
    targets = [(provider, model or wish.model) for provider, model in stance.targets] or [here]
    place = next((one for one in targets if not stopped(*one)), None)
    if place is None:
        return [], "provider_stopped"
    pricing = partial(_rate, snapshot, team_id, request, at)
    code = "failover" if place != here else _why(asked, wish, stance, policy, request.tools)
    if place != here:
        wish = replace(wish, provider=place[0], model=place[1], cost=None)
    decision = "allow" if code == "within_limits" else "degrade"
    first = option(wish, pricing, policy=policy, mode=stance.mode, decision=decision, code=code)
    others = cheaper(asked, first, _stricter(snapshot, team_id, request.feature, stance.mode), pricing)
    return [first, *(one for one in others if not stopped(one.provider, one.model))], ""


def _why(asked: Wish, wish: Wish, stance: Stance, policy: Policy, tools: list[str]) -> str:
    """What makes the caller do something else than asked at its provider; within_limits where nothing does."""
    if wish != asked or policy.top_k is not None or (tools and tools_to_drop(policy.tools_off, tools)):
        return f"mode_{stance.mode}"
    return "tools_off" if tools and tools_to_drop(stance.tools_off, tools) else "within_limits"


def _stricter(snapshot: Snapshot, team_id: int, feature: str, mode: str) -> Iterator[tuple[str, Policy]]:
    if snapshot.policies:
        yield from ((one, snapshot.policy(team_id, feature, one)) for one in stricter_modes(mode))


def _stopped(snapshot: Snapshot, team_id: int, facts: Facts, at: datetime, provider: str, model: str) -> bool:
    return is_stopped(_in_force(snapshot, team_id, _with(facts, provider, model), at))


def _rate(snapshot: Snapshot, team_id: int, request: Reserve, at: datetime, provider: str, model: str) -> Rate | None:
    return snapshot.book.rate(team_id, provider, model, request.region, request.service_tier, at)


def _with(facts: Facts, provider: str, model: str) -> Facts:
    if facts[PROVIDER] == provider and facts[MODEL] == model:
        return facts
    changed = list(facts)
    changed[PROVIDER], changed[MODEL] = provider, model
    return tuple(changed)


def _limits(snapshot: Snapshot, team_id: int, facts: Facts, at: datetime) -> list[Gate]:
    """Rate limits over a call as it would be made: those that last, and those set for a time."""
    lasting = [
        Gate(f"limit:{row.pk}", row.name, row.requests_per_minute, row.tokens_per_minute, row.concurrency)
        for row in snapshot.limits.over(team_id, facts)
    ]
    for_now = [one for one in snapshot.limits_for_now.over(team_id, facts) if _holds(one, at)]
    return lasting + [_gate_of(one, f"rate limit for now: {one.scope_label}") for one in for_now]


def _gate_of(control: Control, name: str) -> Gate:
    amounts = (control.requests_per_minute, control.tokens_per_minute, control.concurrency)
    return Gate(f"throttle:{control.pk}", name, *amounts)


def parameters(plan: Plan, key: ApiKey, digest: int | None, now: datetime | None) -> list[Any]:
    """What guard_decide takes after p_again. `now`: the moment to go by, None for the database's clock."""
    request, budgets, rates, options = plan.request, plan.budgets, plan.rates, plan.options
    rows = [known.budget for known in budgets]
    return [
        digest,
        key.pk,
        key.team_id,
        numbers(plan.snapshot.versions),
        texts(
            [
                request.feature,
                request.tenant,
                plan.environment,
                request.user_hash,
                request.cost_center,
                request.model,
                plan.stance.mode,
            ]
        ),
        request.ttl_seconds,
        now,
        STALE_AFTER,
        numbers([known.period_id(plan.at) for known in budgets]),
        numbers([row.pk for row in rows]),
        numbers([known.allowed(plan.at) for known in budgets]),
        booleans([row.enforcement == "hard" for row in rows]),
        booleans([row.on_failure == "closed" for row in rows]),
        texts([row.unit for row in rows]),
        texts([one.key for one in rates]),
        numbers([one.requests for one in rates]),
        numbers([one.tokens for one in rates]),
        numbers([one.concurrency for one in rates]),
        texts([one.provider for one in options]),
        texts([one.model for one in options]),
        numbers([request.input_tokens if request.input_tokens is None else one.input for one in options]),
        numbers([one.output for one in options]),
        numbers([one.fixed for one in options]),
        numbers([one.per_token for one in options]),
        texts([one.decision for one in options]),
        texts([one.code for one in options]),
        booleans([row.pk in covering for covering, _ in plan.over[: len(options)] for row in rows]),
        booleans([one.key in covering for _, covering in plan.over[: len(options)] for one in rates]),
        shortest(options[-1]) if options and request.cost_usd is None else None,
        plan.denied,
    ]
