"""Usage events that name a reservation settle it: taken from the inbox that ingest writes, each exactly once."""

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.db import connection

from budgets.models import Budget, BudgetPeriod
from budgets.rules.coverage import Coverage
from budgets.rules.periods import period_of
from usage.measures import MODEL_OPERATIONS, WRAPPER_OPERATIONS

TAKEN_AT_ONCE = 500
MOST_PIECES = 20

_SETTLE = "SELECT taken, last_id FROM guard_settle_events(%s, %s, %s, %s, %s)"
# What is left after settling, up to the last id looked at: events that name no reservation of their team.
_UNKNOWN = """
SELECT i.id, i.team_id, i.occurred_at, s.feature, coalesce(e.tenant, ''), s.environment, coalesce(e.user_hash, ''),
    s.provider, s.model, s.cost_center, coalesce(e.cost_usd, 0),
    CASE WHEN s.operation = ANY (%s) THEN 0 ELSE coalesce(e.input_tokens, 0)::bigint + coalesce(e.output_tokens, 0) END,
    CASE WHEN s.operation = ANY (%s) THEN 1 ELSE 0 END
FROM usage_reservation_event i
JOIN usage_event e ON e.team_id = i.team_id AND e.occurred_at = i.occurred_at AND e.event_id = i.event_id
JOIN usage_series s ON s.team_id = e.team_id AND s.id = e.series_id
WHERE i.id <= %s ORDER BY i.id LIMIT %s
"""
_BOOK = "SELECT guard_book_unknown(%s::bigint[], %s::bigint[], %s::numeric[])"


@dataclass(frozen=True)
class Stray:
    """An event that names a reservation nobody has: a mistyped one, another team's, or one removed long ago."""

    inbox_id: int
    team_id: int
    occurred_at: datetime
    facts: tuple[str, ...]
    amounts: dict[str, Decimal]


def settle_events(now: datetime) -> int:
    """Book what the inbox holds, in bounded pieces; returns how many events were looked at."""
    seen, last = 0, 0
    for _ in range(MOST_PIECES):
        with connection.cursor() as cursor:
            cursor.execute(_SETTLE, [last, TAKEN_AT_ONCE, now, list(MODEL_OPERATIONS), list(WRAPPER_OPERATIONS)])
            taken, upto = cursor.fetchone()
        if not taken:
            break
        seen, last = seen + taken, upto
        _book_strays(_strays(upto))
    return seen


def _strays(upto: int) -> list[Stray]:
    with connection.cursor() as cursor:
        cursor.execute(_UNKNOWN, [list(WRAPPER_OPERATIONS), list(MODEL_OPERATIONS), upto, TAKEN_AT_ONCE])
        return [
            Stray(pk, team, at, tuple(facts), {"usd": usd, "tokens": Decimal(tokens), "requests": Decimal(calls)})
            for pk, team, at, *facts, usd, tokens, calls in cursor.fetchall()
        ]


def _book_strays(strays: list[Stray]) -> None:
    """Into the budgets over them, as they are no part of what is metered. A period that is not open yet will find them
    in the roll-ups when it is opened."""
    if not strays:
        return
    budgets: Coverage[Budget] = Coverage(Budget.objects.filter(is_active=True))
    amounts: dict[tuple[int, datetime], Decimal] = defaultdict(Decimal)
    for stray in strays:
        for budget in budgets.over(stray.team_id, stray.facts):
            amounts[budget.pk, period_of(budget, stray.occurred_at)[0]] += stray.amounts[budget.unit]
    starts = {start for _, start in amounts}
    rows = BudgetPeriod.objects.filter(starts_at__in=starts).values_list("budget_id", "starts_at", "pk")
    found = {pk: amounts[budget_id, start] for budget_id, start, pk in rows if (budget_id, start) in amounts}
    with connection.cursor() as cursor:
        cursor.execute(_BOOK, [[one.inbox_id for one in strays], list(found), list(found.values())])
