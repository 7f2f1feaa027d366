"""What callers are told: a decision, its reason in words and by code, and the room that is left."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from budgets.guard.decide import Decided
from budgets.guard.plan import STALE_AFTER, Gate
from budgets.guard.snapshot import Known
from budgets.rules.options import Option
from budgets.rules.stance import NO_POLICY, tools_to_drop

UNITS = {"usd": "USD", "tokens": "tokens", "requests": "requests"}

REASONS = {
    "within_limits": "The call fits into every limit.",
    "mode_conserve": "Conserve mode is on: use the model and limits given here.",
    "mode_emergency": "Emergency mode is on: use the model and limits given here.",
    "tools_off": "Some of the tools are switched off: leave out those given here.",
    "failover": "Traffic is failed over to another provider: use the provider given here.",
    "blocked": "Calls like this are blocked: {reason}",
    "kill_switch": "This is switched off: {reason}",
    "breaker": "The circuit breaker is open: {reason}",
    "provider_stopped": "Every provider of this call is stopped.",
    "budget_exhausted": "{budget} has too little left for this call; it begins anew at {resets}.",
    "budget_unverified": "{budget} fails closed, and what it has used was not measured for over {minutes} minutes.",
    "unpriced_model": "{budget} cannot be kept: no price is known for this model. Add a price, or send cost_usd.",
    "unknown_tokens": "{limit} counts tokens, and the request does not say how many. Send input_tokens.",
    "requests_per_minute": "{limit} is reached: {rpm} requests per minute.",
    "tokens_per_minute": "{limit} is reached: {tpm} tokens per minute.",
    "concurrency": "{limit} is reached: {concurrency} calls at once.",
}


@dataclass(frozen=True)
class Room:
    """A budget over the call as it is after the decision, in its unit."""

    known: Known
    limit: Decimal
    used: Decimal
    reserved: Decimal
    resets_at: datetime
    is_stale: bool

    @property
    def left(self) -> Decimal:
        return self.limit - self.used - self.reserved


def plain(value: Decimal | None) -> str | None:
    """12.50 as "12.5", without an exponent; None stays None."""
    if value is None:
        return None
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def rooms(decided: Decided) -> list[Room]:
    """The budgets over the option that was chosen, or over the call as asked."""
    plan, told = decided.plan, decided.told
    return [
        Room(
            known,
            known.allowed(plan.at) + told.carried[place],
            told.used[place],
            told.reserved[place],
            known.period(plan.at)[1],
            told.stale[place],
        )
        for place, known in plan.budgets_of(told.option)
    ]


def answer(decided: Decided, team_id: int) -> dict[str, Any]:
    """The JSON of one decision. Amounts are exact texts in their unit; a budget of the whole organisation is named with
    its kind and reset only: its figures are not the team's."""
    told, found = decided.told, rooms(decided)
    denied = told.status == "ok" and told.option == 0
    return {
        "decision": "deny" if denied else _decision(decided),
        "mode": _mode(decided),
        **(_nothing() if denied else _granted(decided)),
        "reason": {"code": told.code, "message": _message(decided)},
        "estimate": _estimate(decided, denied=denied),
        "headroom": [_headroom(room, team_id) for room in found],
        "warnings": _warnings(decided, found),
        "desk": {"degraded": any(room.is_stale for room in found), "fail": _fail(found)},
        "reservation_id": str(decided.reservation) if decided.reservation else None,
        "expires_at": told.expires if decided.reservation else None,
        "retry_after": _retry_after(decided) if denied else None,
        "replayed": told.status == "replayed",
    }


def _option(decided: Decided) -> Option | None:
    number = decided.told.option
    return decided.plan.options[number - 1] if number else None


def _decision(decided: Decided) -> str:
    told, chosen = decided.told, _option(decided)
    if chosen is None:  # replayed
        return told.decision
    return "degrade" if told.output < chosen.output else chosen.decision


def _mode(decided: Decided) -> str:
    chosen = _option(decided)
    return decided.told.mode or (chosen.mode if chosen else decided.plan.stance.mode)


def _nothing() -> dict[str, Any]:
    return {"provider": None, "model": None, "max_output_tokens": None, "max_context_tokens": None, "top_k": None,
            "tools_off": []}  # fmt: skip


def _granted(decided: Decided) -> dict[str, Any]:
    """What to call, and with which limits."""
    plan, told, chosen = decided.plan, decided.told, _option(decided)
    policy = chosen.policy if chosen else NO_POLICY
    return {
        "provider": chosen.provider if chosen else told.provider,
        "model": chosen.model if chosen else told.model,
        "max_output_tokens": _cap(decided, chosen),
        "max_context_tokens": policy.max_context_tokens,
        "top_k": policy.top_k,
        "tools_off": tools_to_drop({*plan.stance.tools_off, *policy.tools_off}, plan.request.tools),
    }


def _cap(decided: Decided, chosen: Option | None) -> int | None:
    """The max_tokens to send; None: as the caller likes."""
    told, asked = decided.told, decided.plan.request.max_output_tokens
    if chosen is None:
        return asked if told.decision == "allow" else told.output
    return told.output if told.output < chosen.output else chosen.cap


def _message(decided: Decided) -> str:
    plan, told = decided.plan, decided.told
    text = REASONS.get(told.code, told.code)
    gate = plan.rates[told.rate - 1] if told.rate else None
    known = plan.budgets[told.budget - 1] if told.budget else None
    made_to_fit = told.option > 1 or (_decision(decided) == "degrade" and told.budget is not None)
    return ("Use the model and limit given here. " if made_to_fit else "") + text.format(
        reason=plan.stance.denied.reason if plan.stance.denied else "",
        budget=_budget_name(known),
        limit=f"The limit “{gate.name}”" if gate else _budget_name(known),
        resets=f"{known.period(plan.at)[1]:%Y-%m-%d %H:%M} UTC" if known else "",
        minutes=STALE_AFTER // timedelta(minutes=1),
        **_limits(gate),
    )


def _limits(gate: Gate | None) -> dict[str, str]:
    values = (gate.requests, gate.tokens, gate.concurrency) if gate else (None, None, None)
    return {name: f"{value or 0:,}" for name, value in zip(("rpm", "tpm", "concurrency"), values, strict=True)}


def _budget_name(known: Known | None) -> str:
    if known is None:
        return "A budget"
    if known.budget.team_id is None:
        return "A budget of the organisation"
    return f"The budget “{known.budget.name}”"


def _estimate(decided: Decided, *, denied: bool) -> dict[str, Any]:
    plan, told, chosen = decided.plan, decided.told, _option(decided)
    if denied:
        first = plan.options[0] if plan.options else None
        cost = first.fixed + (first.per_token or 0) * first.output if first and first.fixed is not None else None
        return _figures(cost, plan.request.input_tokens, plan.expected.tokens, plan.expected.source)
    source = plan.expected.source
    return _figures(told.usd, chosen.input if chosen else told.input, told.output, source)


def _figures(cost: Decimal | None, tokens: int | None, output: int, source: str) -> dict[str, Any]:
    return {"cost_usd": plain(cost), "input_tokens": tokens, "output_tokens": output, "output_tokens_from": source}


def _headroom(room: Room, team_id: int) -> dict[str, Any]:
    budget = room.known.budget
    shown = budget.team_id == team_id
    return {
        "budget": budget.name if shown else "organisation",
        "budget_id": budget.pk if shown else None,
        "unit": UNITS[budget.unit],
        "enforcement": budget.enforcement,
        "limit": plain(room.limit) if shown else None,
        "used": plain(room.used) if shown else None,
        "reserved": plain(room.reserved) if shown else None,
        "left": plain(room.left) if shown else None,
        "resets_at": room.resets_at,
        "on_failure": budget.on_failure,
    }


def _warnings(decided: Decided, found: list[Room]) -> list[dict[str, str]]:
    told = decided.told
    warnings = [
        {
            "code": "soft_budget_exceeded",
            "message": f"{_budget_name(room.known)} is used up; it is soft, so the call may go on.",
        }
        for room in found
        if room.known.budget.enforcement == "soft" and room.left < 0
    ]
    if told.option and told.usd is None and any(room.known.budget.unit == "usd" for room in found):
        warnings.append(
            {
                "code": "unpriced_model",
                "message": "No price is known for this model: no cost is reserved, and it stays unknown until priced.",
            }
        )
    if any(room.is_stale for room in found):
        warnings.append(
            {
                "code": "metered_stale",
                "message": "Spend reported by events is some minutes old; what guarded calls used is exact.",
            }
        )
    return warnings


def _fail(found: list[Room]) -> str:
    """What the caller should do when the desk does not answer next time: any budget that fails closed decides."""
    return "closed" if any(room.known.budget.on_failure == "closed" for room in found) else "open"


def _retry_after(decided: Decided) -> int | None:
    """Whole seconds until the same request may succeed by itself; None where time alone does not help."""
    plan, told = decided.plan, decided.told
    if told.rate is not None and told.code != "budget_exhausted":
        return told.wait
    if told.code == "budget_exhausted" and told.budget:
        left = plan.budgets[told.budget - 1].period(plan.at)[1] - plan.at
        return max(1, -(-left // timedelta(seconds=1)))
    if plan.stance.denied is not None and plan.stance.denied.expires_at:
        return max(1, -(-(plan.stance.denied.expires_at - plan.at) // timedelta(seconds=1)))
    return None
