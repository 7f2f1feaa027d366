"""What re-pricing would change, from the roll-ups: quick, and near enough to decide."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from django.db import connection

from usage.pricing.book import Book

# Longer windows are read from the daily roll-ups.
HOURLY = timedelta(days=62)

_SUMS = """
    SELECT r.team_id, date_trunc('day', r.bucket, 'UTC'), s.region,
        sum(coalesce(r.priced, 0) + coalesce(r.unpriced, 0)), coalesce(sum(r.unpriced), 0),
        coalesce(sum(r.input_tokens), 0), coalesce(sum(r.cached_input_tokens), 0),
        coalesce(sum(r.cache_write_tokens), 0), coalesce(sum(r.output_tokens), 0),
        coalesce(sum(r.reasoning_tokens), 0), coalesce(sum(r.cost_usd), 0)
    FROM {table} r JOIN usage_series s ON s.team_id = r.team_id AND s.id = r.series_id
    WHERE r.bucket >= %(start)s AND r.bucket < %(end)s AND (%(teams)s::bigint[] IS NULL OR r.team_id = ANY(%(teams)s))
        AND lower(s.provider) = %(provider)s AND lower(s.model) = %(model)s
        AND (r.priced > 0 OR r.unpriced > 0)
    GROUP BY 1, 2, 3
"""


@dataclass(frozen=True)
class Estimate:
    """Calls in the window, how many have no price now and how many will have none, and the cost of the others in USD.

    `flat` is False where the price depends on each call's size, so that sums cannot tell it well.
    """

    calls: int
    unpriced: int
    unpriced_after: int
    known_before: Decimal
    known_after: Decimal
    flat: bool

    @property
    def before(self) -> Decimal | None:
        """Cost of the priced calls now; None where none is priced."""
        return self.known_before if self.calls > self.unpriced else None

    @property
    def after(self) -> Decimal | None:
        """About the cost of the calls that today's book prices; None where it prices none."""
        return self.known_after if self.calls > self.unpriced_after else None

    @property
    def change(self) -> Decimal:
        """What every sum of cost changes by, about."""
        return self.known_after - self.known_before


def _sums(team_ids: list[int] | None, provider: str, model: str, start: datetime, end: datetime) -> list[tuple]:
    table = "usage_hour" if end - start <= HOURLY else "usage_day"
    parameters = {
        "teams": team_ids,
        "provider": provider,
        "model": model,
        "start": start.replace(minute=0, second=0, microsecond=0),
        "end": end,
    }
    with connection.cursor() as cursor:
        cursor.execute(_SUMS.format(table=table), parameters)
        return cursor.fetchall()


def count_calls(*, team_ids: list[int] | None, provider: str, model: str, start: datetime, end: datetime) -> int:
    """Calls of the model in the window that have or lack a price; `team_ids` None: of every team."""
    return int(sum(row[3] for row in _sums(team_ids, provider, model, start, end)))


def estimate(
    book: Book, *, team_ids: list[int] | None, provider: str, model: str, start: datetime, end: datetime
) -> Estimate:
    """What today's book would make of those calls, day by day and region by region."""
    calls, unpriced, unknown, before, after, flat = 0, 0, 0, Decimal(0), Decimal(0), True
    for team, day, region, count, missing, given, cached, written, out, reasoning, cost in _sums(
        team_ids, provider, model, start, end
    ):
        rate = book.rate(team, provider, model, region, "", max(day, start))
        calls, unpriced, before = calls + int(count), unpriced + int(missing), before + cost
        if rate is None:
            unknown += int(count)
        else:
            atto = rate.cost_atto(*(int(part) for part in (given, cached, written, out, reasoning)))
            after += Decimal(atto + rate.request * (int(count) - 1)).scaleb(-18)
            flat = flat and not rate.tiers
    return Estimate(calls, unpriced, unknown, before, after, flat)
