"""Re-pricing hours whose raw events are gone, from the tokens of their roll-ups.

Only where the sums tell the price of every call in them: one flat rate held for the whole hour, for every region and
service tier, and every call reported its usage. Other hours are left as they are and counted.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import connection

from usage.models import RollupMark
from usage.pricing.aliases import normal
from usage.pricing.book import Book
from usage.pricing.catalogue import normal_tier
from usage.pricing.rates import Rate
from usage.pricing.repricing.calls import CallSeries
from usage.pricing.repricing.progress import Chunk, Cursor
from usage.rollups.drain import mark

CHUNK_HOURS = 100
HOUR = timedelta(hours=1)
TABLES = {"usage_hour": "''", "usage_tenant_hour": "tenant"}
# Each event's cost was rounded to 12 decimals, the sum's is not: no change within half a unit per call.
ROUNDING = Decimal("5e-13")

_HOURS = """
    SELECT DISTINCT bucket FROM usage_hour
    WHERE team_id = %(team)s AND bucket >= %(start)s AND bucket < %(end)s AND series_id = ANY(%(series)s::bigint[])
    ORDER BY 1 LIMIT %(limit)s
"""

_READ = """
    SELECT bucket, series_id, {tenant}, coalesce(priced, 0), coalesce(unpriced, 0), coalesce(unmetered, 0),
        coalesce(input_tokens, 0), coalesce(cached_input_tokens, 0), coalesce(cache_write_tokens, 0),
        coalesce(output_tokens, 0), coalesce(reasoning_tokens, 0), coalesce(cost_usd, 0)
    FROM {table}
    WHERE team_id = %(team)s AND bucket = ANY(%(hours)s) AND series_id = ANY(%(series)s::bigint[])
        AND (priced > 0 OR unpriced > 0)
    ORDER BY 1, 2, 3
"""

_IN_CONVERSATION = "coalesce(r.conversation_priced, 0) + coalesce(r.conversation_unknown, 0)"
# Where only some of the row's calls name a conversation, the sums do not tell what those cost: it becomes unknown.
_WRITE = """
    UPDATE {table} r SET cost_usd = v.cost, priced = v.calls, unpriced = NULL,
        conversation_cost_usd = CASE WHEN ({in_conversation}) = v.calls THEN v.cost END,
        conversation_priced = CASE WHEN ({in_conversation}) = v.calls THEN v.calls END,
        conversation_unknown = CASE WHEN ({in_conversation}) NOT IN (0, v.calls) THEN ({in_conversation}) END
    FROM unnest(%(hours)s::timestamptz[], %(series)s::bigint[], %(tenants)s::text[], %(costs)s::numeric[],
        %(calls)s::bigint[]) v(bucket, series_id, tenant, cost, calls)
    WHERE r.team_id = %(team)s AND r.bucket = v.bucket AND r.series_id = v.series_id {same_tenant}
"""


@dataclass(frozen=True)
class _Sum:
    """The calls of one row of an hour's roll-up."""

    hour: datetime
    series_id: int
    tenant: str
    priced: int
    unpriced: int
    unmetered: int
    input: int
    cached: int
    cache_write: int
    output: int
    reasoning: int
    cost: Decimal

    @property
    def calls(self) -> int:
        return self.priced + self.unpriced


def reprice_hours(team: int, place: Cursor, end: datetime, series: dict[int, CallSeries], book: Book) -> Chunk:
    """Re-price the next hours from `place` on, in both hour tables; marks the days. In the caller's transaction."""
    with connection.cursor() as cursor:
        parameters: dict[str, Any] = {
            "team": team,
            "start": place.at,
            "end": end,
            "series": list(series),
            "limit": CHUNK_HOURS,
        }
        cursor.execute(_HOURS, parameters)
        hours = [bucket for (bucket,) in cursor.fetchall()]
        chunk = Chunk(cursor=None)
        if not hours:
            return chunk
        changed = {}
        for table, tenant in TABLES.items():
            cursor.execute(_READ.format(table=table, tenant=tenant), parameters | {"hours": hours})
            sums = [_Sum(*row) for row in cursor.fetchall()]
            changed[table] = _reprice_sums(cursor, team, table, sums, series, book, chunk)
        touched = {one.hour for one, _ in changed["usage_hour"]}
        mark(cursor, team, RollupMark.DAY, {hour.replace(hour=0) for hour in touched})
        chunk.hours = len(touched)
        if len(hours) == CHUNK_HOURS:
            chunk.cursor = Cursor(place.stage, team, hours[-1] + HOUR)
        return chunk


def _reprice_sums(cursor, team, table, sums, series, book, chunk) -> list[tuple[_Sum, Decimal]]:
    """Write the rows that change. Money and skipped hours are counted on the main table only, which has every call."""
    counted = table == "usage_hour"
    changes, skipped = [], set()
    for one in sums:
        rate = flat_rate(book, team, series[one.series_id], one.hour)
        if rate is None or one.unmetered:
            skipped.add(one.hour)
        elif (cost := sum_cost(rate, one)) is not None:
            changes.append((one, cost))
    if changes:
        _write(cursor, team, table, changes)
    if counted:
        chunk.skipped += len(skipped)
        chunk.changed += sum(one.calls for one, _ in changes)
        chunk.newly_priced += sum(one.unpriced for one, _ in changes)
        chunk.before += sum((one.cost for one, _ in changes), Decimal(0))
        chunk.after += sum((cost for _, cost in changes), Decimal(0))
    return changes


def flat_rate(book: Book, team: int, call: CallSeries, hour: datetime) -> Rate | None:
    """The one rate that held for every call of the series in that hour; None where the sums cannot tell."""
    source = book.explain(team, call.provider, call.model, "", "", hour)
    if source.rate is None or source.rate.tiers or source.start > hour or source.end < hour + HOUR:
        return None
    if source.entry is not None and source.entry.tiers:
        return None
    for price in book.own_prices(call.provider, call.model):
        special = normal(price.region) or normal_tier(price.tier)
        holds = price.valid_from < hour + HOUR and (price.valid_to is None or price.valid_to > hour)
        if special and holds and price.team_id in (None, team):
            return None
    return source.rate


def sum_cost(rate: Rate, one: _Sum) -> Decimal | None:
    """The exact cost of all calls of the row in USD; None when it is what the row says already."""
    atto = rate.cost_atto(one.input, one.cached, one.cache_write, one.output, one.reasoning)
    cost = Decimal(atto + rate.request * (one.calls - 1)).scaleb(-18)
    if not one.unpriced and abs(cost - one.cost) <= ROUNDING * one.calls:
        return None
    return cost


def _write(cursor, team: int, table: str, changes: list[tuple[_Sum, Decimal]]) -> None:
    same_tenant = "AND r.tenant = v.tenant" if table == "usage_tenant_hour" else ""
    cursor.execute(
        _WRITE.format(table=table, same_tenant=same_tenant, in_conversation=_IN_CONVERSATION),
        {
            "team": team,
            "hours": [one.hour for one, _ in changes],
            "series": [one.series_id for one, _ in changes],
            "tenants": [one.tenant for one, _ in changes],
            "costs": [cost for _, cost in changes],
            "calls": [one.calls for one, _ in changes],
        },
    )
