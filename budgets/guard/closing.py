"""The end of a reservation: settled with what the call cost, released, extended, or swept when it expired."""

from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import connection
from django.utils import timezone

from accounts.models import ApiKey
from budgets.guard import statement
from budgets.guard.answers import plain
from budgets.guard.decide import KeyGone
from budgets.guard.requests import Extend, Refused, Release, Settle
from budgets.guard.statement import Closed
from budgets.models import Hold
from usage.pricing import book
from usage.pricing.rates import Tokens, price_call

SWEPT_AT_ONCE = 200


def settle(key: ApiKey, request: Settle, at: datetime | None = None) -> dict[str, Any]:
    """Book what the call cost. Raises Refused (unknown reservation; settled before with other figures) and KeyGone."""
    hold = _id(request.reservation_id)
    cost = _cost(key, hold, request, at or timezone.now())
    used = [count for count in (request.input_tokens, request.output_tokens) if count is not None]
    told = statement.settle(key.pk, key.team_id, hold, cost, sum(used) if used else None, at)
    _refuse(told)
    if told.status == "differs":
        raise Refused(
            "settled_differently",
            "This reservation was settled before with other figures; those stand.",
            "Settle each reservation once. To correct a cost, send a usage event that names it.",
            "reservation_id",
        )
    return _answer(request.reservation_id, told)


def release(key: ApiKey, request: Release, at: datetime | None = None) -> dict[str, Any]:
    """Give back what is held. Raises Refused (unknown reservation; already settled) and KeyGone."""
    told = statement.release(key.pk, key.team_id, _id(request.reservation_id), at)
    _refuse(told)
    if told.status == "settled":
        raise Refused(
            "already_settled",
            "This reservation was settled: what the call cost is booked.",
            "Release only what was not used.",
            "reservation_id",
        )
    return _answer(request.reservation_id, told)


def extend(key: ApiKey, request: Extend, at: datetime | None = None) -> dict[str, Any]:
    """Let it end later. Raises Refused (unknown reservation; no longer open) and KeyGone."""
    told = statement.extend(key.pk, key.team_id, _id(request.reservation_id), request.ttl_seconds, at)
    _refuse(told)
    if told.status == "closed":
        raise Refused(
            "not_open",
            f"This reservation is {'expired' if told.state == 'open' else told.state}: others may use its room.",
            "Reserve again.",
            "reservation_id",
        )
    return _answer(request.reservation_id, told)


def sweep(at: datetime | None = None) -> int:
    """Tidy expired reservations, up to SWEPT_AT_ONCE; returns how many. Nothing depends on when it runs."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT guard_sweep(%s, %s)", [SWEPT_AT_ONCE, at])
        return cursor.fetchone()[0]


def _id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError as exc:
        raise Refused(
            "invalid", "reservation_id is no UUID.", "Send the reservation_id of the reserve.", "reservation_id"
        ) from exc


def _refuse(told: Closed) -> None:
    if told.status == "no_key":
        raise KeyGone
    if told.status == "unknown":
        raise Refused(
            "unknown_reservation",
            "This team has no such reservation; those that ended are kept for some weeks.",
            "Check reservation_id, and that the key belongs to the team that reserved.",
            "reservation_id",
        )


def _cost(key: ApiKey, hold: UUID, request: Settle, at: datetime) -> Decimal | None:
    """The client's figure, else the price of its tokens; None where neither is known."""
    if request.cost_usd is not None:
        return request.cost_usd
    if request.input_tokens is None and request.output_tokens is None:
        return None
    provider, model = request.provider, request.model
    if not model:
        provider, model = _reserved(key, hold)
    rate = book.current().rate(key.team_id, provider, model, request.region, request.service_tier, at)
    tokens = Tokens(
        request.input_tokens,
        request.output_tokens,
        request.cached_input_tokens,
        request.cache_write_tokens,
        request.reasoning_tokens,
    )
    _, cost = price_call(rate, tokens)
    return None if cost is None else Decimal(cost)


def _reserved(key: ApiKey, hold: UUID) -> tuple[str, str]:
    """Provider and model it was reserved for; blank where there is no such reservation."""
    found = Hold.objects.filter(pk=hold, team=key.team_id).values_list("provider", "model").first()
    return found or ("", "")


def _answer(reservation: str, told: Closed) -> dict[str, Any]:
    """`cost_usd` is what is booked, null where it is not known; `overrun_usd` how much that is above the estimate."""
    over = None
    if told.cost_usd is not None and told.estimate_usd is not None:
        over = max(told.cost_usd - told.estimate_usd, Decimal(0))
    return {
        "reservation_id": reservation,
        "state": told.state,
        "cost_usd": plain(told.cost_usd),
        "cost_from": _source(told),
        "estimate_usd": plain(told.estimate_usd),
        "overrun_usd": plain(over),
        "expires_at": told.expires,
        "closed_at": told.closed,
        "replayed": told.status == "again",
    }


def _source(told: Closed) -> str | None:
    if told.state != "settled":
        return None
    return "events" if told.from_events else "settle" if told.client_known else "estimate"
