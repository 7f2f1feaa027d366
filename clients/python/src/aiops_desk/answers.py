"""What the desk answers, as objects. Fields this version does not know are passed over, so a newer desk is no error."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal, get_args

Json = Mapping[str, Any]
Verdict = Literal["allow", "degrade", "deny"]
_FRACTION = re.compile(r"\.(\d+)")


@dataclass(frozen=True)
class Reason:
    """`code` for programs, `message` for people."""

    code: str
    message: str


@dataclass(frozen=True)
class Estimate:
    """What was reserved. `output_tokens_from`: request, history or default."""

    cost_usd: Decimal | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    output_tokens_from: str = ""


@dataclass(frozen=True)
class Headroom:
    """One budget over the call. Amounts are in `unit` (USD, tokens or requests), None where not yours to see."""

    budget: str
    budget_id: int | None
    unit: str
    enforcement: str
    limit: Decimal | None
    used: Decimal | None
    reserved: Decimal | None
    left: Decimal | None
    resets_at: datetime | None
    on_failure: str


@dataclass(frozen=True)
class Decision:
    """allow: make the call. degrade: make it with the model and limits given here. deny: do not make it.

    `model` and the limits are what to use; a limit of None is none of the desk's. `guarded` is False where the desk did
    not answer and the call goes on under the policy fail-open: then nothing is reserved and there is no
    `reservation_id`. `desk_degraded`: some figures are older than they should be.
    """

    decision: Verdict
    mode: str
    provider: str | None
    model: str | None
    max_output_tokens: int | None
    reason: Reason
    max_context_tokens: int | None = None
    top_k: int | None = None
    tools_off: tuple[str, ...] = ()
    estimate: Estimate = field(default_factory=Estimate)
    headroom: tuple[Headroom, ...] = ()
    warnings: tuple[Reason, ...] = ()
    desk_degraded: bool = False
    fail: str = ""
    reservation_id: str | None = None
    expires_at: datetime | None = None
    retry_after: int | None = None
    replayed: bool = False
    guarded: bool = True


@dataclass(frozen=True)
class Closed:
    """A reservation after settle, release or extend. `cost_usd` is what is booked, None where not known; `cost_from`
    events, settle or estimate; `overrun_usd` how much more than reserved it cost."""

    reservation_id: str
    state: str
    cost_usd: Decimal | None
    cost_from: str | None
    estimate_usd: Decimal | None
    overrun_usd: Decimal | None
    expires_at: datetime | None
    closed_at: datetime | None
    replayed: bool


@dataclass(frozen=True)
class Rejected:
    """An event the desk did not take, and why."""

    index: int
    event_id: str | None
    field: str | None
    code: str
    message: str
    fix: str


@dataclass(frozen=True)
class Sent:
    """What became of a batch of events; all counted here are committed or refused for good."""

    accepted: int
    duplicates: int
    rejected_count: int
    rejected: tuple[Rejected, ...]


def decision(told: Json) -> Decision:
    """Raises KeyError, TypeError or ValueError where it is none."""
    if told["decision"] not in get_args(Verdict):
        raise ValueError(f"decision is {told['decision']!r}")
    return Decision(
        decision=told["decision"],
        mode=told["mode"],
        provider=told["provider"],
        model=told["model"],
        max_output_tokens=told["max_output_tokens"],
        reason=_reason(told["reason"]),
        max_context_tokens=told.get("max_context_tokens"),
        top_k=told.get("top_k"),
        tools_off=tuple(told.get("tools_off") or ()),
        estimate=_estimate(told.get("estimate") or {}),
        headroom=tuple(_headroom(one) for one in told.get("headroom") or ()),
        warnings=tuple(_reason(one) for one in told.get("warnings") or ()),
        desk_degraded=bool((told.get("desk") or {}).get("degraded")),
        fail=(told.get("desk") or {}).get("fail", ""),
        reservation_id=told.get("reservation_id"),
        expires_at=moment(told.get("expires_at")),
        retry_after=told.get("retry_after"),
        replayed=bool(told.get("replayed")),
    )


def closed(told: Json) -> Closed:
    """Raises KeyError, TypeError or ValueError where it is none."""
    return Closed(
        reservation_id=told["reservation_id"],
        state=told["state"],
        cost_usd=_amount(told.get("cost_usd")),
        cost_from=told.get("cost_from"),
        estimate_usd=_amount(told.get("estimate_usd")),
        overrun_usd=_amount(told.get("overrun_usd")),
        expires_at=moment(told.get("expires_at")),
        closed_at=moment(told.get("closed_at")),
        replayed=bool(told.get("replayed")),
    )


def sent(told: Json) -> Sent:
    """Raises KeyError, TypeError or ValueError where it is none."""
    return Sent(
        accepted=told["accepted"],
        duplicates=told["duplicates"],
        rejected_count=told["rejected_count"],
        rejected=tuple(_rejected(one) for one in told["rejected"]),
    )


def moment(text: str | None) -> datetime | None:
    """An ISO 8601 time; Python 3.10 reads neither Z nor fractions of other than 3 or 6 digits."""
    if text is None:
        return None
    exact = _FRACTION.sub(lambda found: "." + found[1][:6].ljust(6, "0"), text)
    return datetime.fromisoformat(exact.replace("Z", "+00:00"))


def _amount(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)


def _reason(told: Json) -> Reason:
    return Reason(told["code"], told["message"])


def _estimate(told: Json) -> Estimate:
    return Estimate(
        _amount(told.get("cost_usd")),
        told.get("input_tokens"),
        told.get("output_tokens"),
        told.get("output_tokens_from", ""),
    )


def _headroom(told: Json) -> Headroom:
    return Headroom(
        budget=told["budget"],
        budget_id=told.get("budget_id"),
        unit=told["unit"],
        enforcement=told["enforcement"],
        limit=_amount(told.get("limit")),
        used=_amount(told.get("used")),
        reserved=_amount(told.get("reserved")),
        left=_amount(told.get("left")),
        resets_at=moment(told.get("resets_at")),
        on_failure=told.get("on_failure", ""),
    )


def _rejected(told: Json) -> Rejected:
    return Rejected(
        told["index"],
        told.get("event_id"),
        told.get("field"),
        told.get("code", ""),
        told.get("message", ""),
        told.get("fix", ""),
    )
