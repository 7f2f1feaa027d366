"""What was used of a slice of the calls, for many slices and windows in few queries."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import connection

from usage.measures import MODEL_OPERATIONS, WRAPPER_OPERATIONS
from usage.metrics import MetricQuery, query
from usage.models.scopes import SCOPE_FIELDS, CallScope

METRICS = {"usd": "cost_usd", "tokens": "total_tokens", "requests": "calls"}
# The part of each that named a reservation, so that the guard's ledger has it.
GUARDED = {"usd": "guarded_cost_usd", "tokens": "guarded_tokens", "requests": "guarded_calls"}
UNPRICED = ("unpriced_calls", "unmetered_calls")
# Who a call was for is not part of any roll-up: such slices are read from the events.
BY_USER = "user_hash"


@dataclass(frozen=True)
class Used:
    """`amount` in the budget's unit, `guarded` the part of it that named a reservation. `unknown_calls`: calls in it
    whose cost is not known, and so not part of it."""

    amount: Decimal
    unknown_calls: int = 0
    guarded: Decimal = Decimal(0)


@dataclass(frozen=True, eq=False)
class Ask:
    """One slice and window; `unit` is usd, tokens or requests (model calls). The slice need not be stored."""

    scope: CallScope
    unit: str
    start: datetime
    end: datetime


def used(asks: Iterable[Ask], now: datetime) -> dict[Ask, Used]:
    """What each was used. Asks of the same window and kind of slice are answered by one query together."""
    together: dict[tuple, list[Ask]] = defaultdict(list)
    for ask in asks:
        named = tuple(name for name in SCOPE_FIELDS if getattr(ask.scope, name))
        together[(ask.start, ask.end, named, ask.scope.team_id is not None)].append(ask)
    found: dict[Ask, Used] = {}
    for (start, end, named, of_team), alike in together.items():
        if start >= now:
            found |= dict.fromkeys(alike, Used(Decimal(0)))
        elif BY_USER in named:
            found |= {ask: _from_events(ask, now) for ask in alike}
        else:
            found |= _from_rollups(alike, start, min(end, now), named, of_team, now)
    return found


def _from_rollups(
    asks: list[Ask], start: datetime, end: datetime, named: tuple[str, ...], of_team: bool, now: datetime
) -> dict[Ask, Used]:
    teams = tuple(sorted({ask.scope.team_id for ask in asks if ask.scope.team_id is not None}))
    units = {ask.unit for ask in asks}
    metrics = tuple(name for unit in units for name in (METRICS[unit], GUARDED[unit]))
    answer = query(
        MetricQuery(
            metrics=(*metrics, *UNPRICED),
            start=start,
            end=end,
            group_by=(*(("team",) if of_team else ()), *named),
            filters={name: tuple(sorted({getattr(ask.scope, name) for ask in asks})) for name in named},
            team_ids=teams if of_team else None,
        ),
        now,
    )
    slugs = {ask: (*((ask.scope.team.slug,) if of_team and ask.scope.team else ()),) for ask in asks}
    keys = {ask: (*slugs[ask], *(getattr(ask.scope, name) for name in named)) for ask in asks}
    return {ask: _read(answer.value, ask.unit, keys[ask]) for ask in asks}


def _read(value, unit: str, key: tuple[str, ...]) -> Used:
    unknown = sum(value(name, key) or 0 for name in UNPRICED) if unit == "usd" else 0
    return Used(Decimal(value(METRICS[unit], key) or 0), unknown, Decimal(value(GUARDED[unit], key) or 0))


_EVENTS = """
SELECT coalesce(sum(e.cost_usd), 0),
    coalesce(sum(coalesce(e.input_tokens, 0) + coalesce(e.output_tokens, 0))
        FILTER (WHERE s.operation <> ALL(%(wrappers)s)), 0),
    count(*) FILTER (WHERE s.operation = ANY(%(operations)s)),
    count(*) FILTER (WHERE e.cost_state IN (2, 3)),
    coalesce(sum(e.cost_usd) FILTER (WHERE e.reservation_id IS NOT NULL), 0),
    coalesce(sum(coalesce(e.input_tokens, 0) + coalesce(e.output_tokens, 0))
        FILTER (WHERE s.operation <> ALL(%(wrappers)s) AND e.reservation_id IS NOT NULL), 0),
    count(*) FILTER (WHERE s.operation = ANY(%(operations)s) AND e.reservation_id IS NOT NULL)
FROM usage_event e JOIN usage_series s ON s.team_id = e.team_id AND s.id = e.series_id
WHERE e.occurred_at >= %(start)s AND e.occurred_at < %(end)s AND {where}
"""


def _from_events(ask: Ask, now: datetime) -> Used:
    where, values = _conditions(ask.scope)
    values |= {"start": ask.start, "end": min(ask.end, now), "operations": list(MODEL_OPERATIONS)}
    values["wrappers"] = list(WRAPPER_OPERATIONS)
    with connection.cursor() as cursor:
        cursor.execute(_EVENTS.format(where=where), values)
        cost, tokens, calls, unknown, *guarded = cursor.fetchone()
    amounts = {"usd": (cost, guarded[0]), "tokens": (tokens, guarded[1]), "requests": (calls, guarded[2])}
    amount, named = amounts[ask.unit]
    return Used(Decimal(amount), unknown if ask.unit == "usd" else 0, Decimal(named))


def _conditions(scope: CallScope) -> tuple[str, dict[str, Any]]:
    """SQL over `e` and `s` with its values; column names come from SCOPE_FIELDS, never from people."""
    parts: list[str] = []
    values: dict[str, Any] = {}
    if scope.team_id is not None:
        parts, values = ["e.team_id = %(team)s"], {"team": scope.team_id}
    for name in SCOPE_FIELDS:
        if value := getattr(scope, name):
            parts.append(f"{'e' if name in ('tenant', BY_USER) else 's'}.{name} = %({name})s")
            values[name] = value
    return " AND ".join(parts) or "true", values
