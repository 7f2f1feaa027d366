"""What was used of a slice of the calls, for many slices and windows in few queries."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

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
            found |= _from_events(alike, start, min(end, now), named, of_team)
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
SELECT {columns}, coalesce(sum(e.cost_usd), 0),
    coalesce(sum(coalesce(e.input_tokens, 0)::bigint + coalesce(e.output_tokens, 0))
        FILTER (WHERE s.operation <> ALL(%(wrappers)s)), 0),
    count(*) FILTER (WHERE s.operation = ANY(%(operations)s)),
    coalesce(sum(e.cost_usd) FILTER (WHERE e.reservation_id IS NOT NULL), 0),
    coalesce(sum(coalesce(e.input_tokens, 0)::bigint + coalesce(e.output_tokens, 0))
        FILTER (WHERE s.operation <> ALL(%(wrappers)s) AND e.reservation_id IS NOT NULL), 0),
    count(*) FILTER (WHERE s.operation = ANY(%(operations)s) AND e.reservation_id IS NOT NULL),
    count(*) FILTER (WHERE e.cost_state IN (2, 3))
FROM usage_event e JOIN usage_series s ON s.team_id = e.team_id AND s.id = e.series_id
WHERE e.occurred_at >= %(start)s AND e.occurred_at < %(end)s AND {where}
GROUP BY {columns}
"""
# Places of a unit's amount, and of the part of it that named a reservation, behind the columns of the slice.
_PLACES = {"usd": (0, 3), "tokens": (1, 4), "requests": (2, 5)}
_UNKNOWN = 6


def _from_events(
    asks: list[Ask], start: datetime, end: datetime, named: tuple[str, ...], of_team: bool
) -> dict[Ask, Used]:
    """One reading of the window's events, however many users are asked about. Column names come from SCOPE_FIELDS,
    never from people."""
    fields = (*(("team_id",) if of_team else ()), *named)
    columns = [f"{'e' if name in ('team_id', 'tenant', BY_USER) else 's'}.{name}" for name in fields]
    keys = {ask: tuple(getattr(ask.scope, name) for name in fields) for ask in asks}
    wanted = {name: sorted(set(values)) for name, values in zip(fields, zip(*keys.values(), strict=True), strict=True)}
    where = " AND ".join(f"{column} = ANY(%({name})s)" for column, name in zip(columns, fields, strict=True))
    with connection.cursor() as cursor:
        cursor.execute(
            _EVENTS.format(columns=", ".join(columns), where=where),
            wanted
            | {"start": start, "end": end, "operations": list(MODEL_OPERATIONS), "wrappers": list(WRAPPER_OPERATIONS)},
        )
        rows = {row[: len(fields)]: row[len(fields) :] for row in cursor.fetchall()}
    return {ask: _of_row(rows.get(keys[ask]), ask.unit) for ask in asks}


def _of_row(row: tuple | None, unit: str) -> Used:
    if row is None:
        return Used(Decimal(0))
    whole, named = _PLACES[unit]
    return Used(Decimal(row[whole]), row[_UNKNOWN] if unit == "usd" else 0, Decimal(row[named]))
