"""Re-pricing the raw events of one team, a chunk at a time, in key order.

Hours without a call of the wanted series are jumped over: every committed event is either in its hour's roll-up or has
a mark, because both change in one transaction, so one statement that reads both misses none.
"""

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

from django.db import connection

from usage.measures import COST_UNMETERED, COST_UNPRICED
from usage.models import RollupMark
from usage.pricing.book import Book
from usage.pricing.rates import Tokens, price_call
from usage.pricing.repricing.calls import CallSeries
from usage.pricing.repricing.progress import Chunk, Cursor
from usage.rollups.drain import mark

CHUNK_EVENTS = 5_000
CHUNK_HOURS = 200  # hours looked into by one chunk, however few events they hold
HOUR = timedelta(hours=1)
COST_UNKNOWN = (COST_UNPRICED, COST_UNMETERED)
TEAM_LOCK = 7_301_003  # one run at a time changes events of a team, so that two never wait for each other

_HOURS = """
    SELECT bucket FROM usage_hour
    WHERE team_id = %(team)s AND bucket >= %(hour)s AND bucket < %(end)s AND series_id = ANY(%(series)s::bigint[])
    UNION
    SELECT date_trunc('hour', bucket, 'UTC') FROM usage_rollup_mark
    WHERE tier IN (0, 1) AND team_id = %(team)s AND bucket >= %(hour)s AND bucket < %(end)s
    ORDER BY 1 LIMIT %(hours)s
"""

_READ = """
    SELECT e.occurred_at, e.event_id, e.series_id, e.response_model,
        coalesce(e.detail->>'service_tier', ''), e.detail->'folded',
        e.input_tokens, e.output_tokens, e.cached_input_tokens, e.cache_write_tokens, e.reasoning_tokens,
        e.cost_state, e.cost_usd
    FROM usage_event e
    WHERE e.team_id = %(team)s AND e.occurred_at >= %(start)s AND e.occurred_at < %(end)s
        AND (e.occurred_at, e.event_id) > (%(start)s, %(event)s)
        AND e.series_id = ANY(%(series)s::bigint[]) AND e.cost_state <> 0 AND e.received_at >= %(since)s
    ORDER BY e.occurred_at, e.event_id LIMIT %(limit)s
"""

# Only rows still as they were read: a row that something else changed meanwhile is left to that change.
_WRITE = """
    UPDATE usage_event e SET cost_state = v.state, cost_usd = v.cost
    FROM unnest(%(ats)s::timestamptz[], %(ids)s::text[], %(states)s::smallint[], %(costs)s::numeric[],
        %(old_states)s::smallint[], %(old_costs)s::numeric[]) v(at, id, state, cost, old_state, old_cost)
    WHERE e.team_id = %(team)s AND e.occurred_at >= %(start)s AND e.occurred_at < %(end)s
        AND e.occurred_at = v.at AND e.event_id = v.id
        AND e.cost_state = v.old_state AND e.cost_usd IS NOT DISTINCT FROM v.old_cost
    RETURNING e.occurred_at, v.old_cost, e.cost_usd, e.event_id, e.reservation_id, v.old_state, e.cost_state
"""

# What the guard has booked of events that name a reservation is to change with them. One that is still in the inbox is
# not booked yet, and will be at its new cost; whoever is booking it now is waited for.
_CORRECT = """
    WITH pending AS (
        SELECT i.occurred_at, i.event_id FROM usage_reservation_event i
        JOIN unnest(%(ats)s::timestamptz[], %(ids)s::text[]) c (at, id) ON i.occurred_at = c.at AND i.event_id = c.id
        WHERE i.team_id = %(team)s ORDER BY i.id FOR UPDATE OF i
    )
    INSERT INTO usage_reservation_correction (team_id, occurred_at, event_id, reservation_id, usd, unknown)
    SELECT %(team)s, c.at, c.id, c.name, c.usd, c.unknown
    FROM unnest(%(ats)s::timestamptz[], %(ids)s::text[], %(names)s::text[], %(usd)s::numeric[], %(unknown)s::smallint[])
        c (at, id, name, usd, unknown)
    WHERE NOT EXISTS (SELECT FROM pending p WHERE p.occurred_at = c.at AND p.event_id = c.id)
"""


@dataclass(frozen=True)
class Span:
    """What of a team's events is looked at: [start, end), and only those received since then."""

    team: int
    end: datetime
    since: datetime


@dataclass(frozen=True)
class _Change:
    at: datetime
    event_id: str
    state: int
    cost: str | None
    old_state: int
    old_cost: Decimal | None


class _Written(NamedTuple):
    """An event as it was and is: costs in USD, None where not known."""

    at: datetime
    old: Decimal | None
    new: Decimal | None
    event_id: str
    reservation: str | None
    old_state: int
    state: int


def reprice_chunk(span: Span, place: Cursor, series: dict[int, CallSeries], book: Book) -> Chunk:
    """Re-price the next chunk after `place`, inside the caller's transaction; marks the minutes it touched."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", [TEAM_LOCK, span.team % 2**31])
        chunk = Chunk(cursor=None)
        hours = _hours(cursor, span, place, list(series))
        for hour in hours:
            if chunk.done >= CHUNK_EVENTS:
                return chunk
            place = _reprice_hour(cursor, span, place, hour, series, book, chunk)
            chunk.cursor = place
        if len(hours) < CHUNK_HOURS and (not hours or place.at >= hours[-1] + HOUR):
            chunk.cursor = None
        return chunk


def _hours(cursor, span: Span, place: Cursor, series: list[int]) -> list[datetime]:
    hour = place.at.replace(minute=0, second=0, microsecond=0)
    cursor.execute(_HOURS, {"team": span.team, "hour": hour, "end": span.end, "series": series, "hours": CHUNK_HOURS})
    return [bucket for (bucket,) in cursor.fetchall()]


def _reprice_hour(cursor, span: Span, place: Cursor, hour: datetime, series, book: Book, chunk: Chunk) -> Cursor:
    """Re-price what fits of one hour; returns the place to go on from: its last key, or the hour's end."""
    start, event = (place.at, place.event_id) if place.at >= hour else (hour, "")
    end = min(hour + HOUR, span.end)
    limit = CHUNK_EVENTS - chunk.done
    parameters = {"team": span.team, "start": start, "end": end, "event": event, "series": list(series)}
    cursor.execute(_READ, parameters | {"since": span.since, "limit": limit})
    rows = cursor.fetchall()
    changes = [change for row in rows if (change := _change(span.team, row, series, book))]
    if changes:
        _write(cursor, span.team, start, end, changes, chunk)
    chunk.done += len(rows)
    if len(rows) == limit:
        return Cursor(place.stage, span.team, rows[-1][0], rows[-1][1])
    return Cursor(place.stage, span.team, hour + HOUR)


def _change(team: int, row: tuple, series: dict[int, CallSeries], book: Book) -> _Change | None:
    at, event_id, series_id, answered, tier, folded, given, out, cached, cache_write, reasoning, old_state, old_cost = (
        row
    )
    call = series[series_id].unfolded(json.loads(folded) if folded else None)
    rate = book.rate(team, call.provider, call.model, call.region, tier, at, answered or "")
    state, cost = price_call(rate, Tokens(given, out, cached, cache_write, reasoning))
    if state == old_state and (cost is None or Decimal(cost) == old_cost):
        return None
    return _Change(at, event_id, state, cost, old_state, old_cost)


def _write(cursor, team: int, start: datetime, end: datetime, changes: list[_Change], chunk: Chunk) -> None:
    cursor.execute(
        _WRITE,
        {
            "team": team,
            "start": start,
            "end": end,
            "ats": [change.at for change in changes],
            "ids": [change.event_id for change in changes],
            "states": [change.state for change in changes],
            "costs": [change.cost for change in changes],
            "old_states": [change.old_state for change in changes],
            "old_costs": [change.old_cost for change in changes],
        },
    )
    written = [_Written(*row) for row in cursor.fetchall()]
    chunk.changed += len(written)
    chunk.newly_priced += sum(1 for one in written if one.old is None and one.new is not None)
    chunk.before += sum((one.old for one in written if one.old is not None), Decimal(0))
    chunk.after += sum((one.new for one in written if one.new is not None), Decimal(0))
    _correct(cursor, team, [one for one in written if one.reservation is not None])
    mark(cursor, team, RollupMark.MINUTE, {one.at.replace(second=0, microsecond=0) for one in written})


def _correct(cursor, team: int, written: list[_Written]) -> None:
    """Tell the guard, in the same transaction, what changed of events that name a reservation."""
    if not written:
        return
    cursor.execute(
        _CORRECT,
        {
            "team": team,
            "ats": [one.at for one in written],
            "ids": [one.event_id for one in written],
            "names": [one.reservation for one in written],
            "usd": [(one.new or 0) - (one.old or 0) for one in written],
            "unknown": [(one.state in COST_UNKNOWN) - (one.old_state in COST_UNKNOWN) for one in written],
        },
    )
