"""Opening a budget's period: its row with what was used before the guard knew of it, and what was rolled over."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from django.conf import settings
from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper

from budgets.models import Budget, BudgetPeriod
from budgets.queries.used import Ask, Used, used
from budgets.rules.allowance import NOTHING, carried_over
from budgets.rules.periods import period_of, previous_period
from usage.models.scopes import SCOPE_FIELDS

HOUR = timedelta(hours=1)
# Rows made in one transaction: where calls were made in the period already, reservations wait for it.
_AT_ONCE = 20

_OPEN = "SELECT guard_open(%s, %s::text[], %s, %s, %s::numeric, %s, %s::numeric, %s, %s::numeric, %s)"
_FILL = """
SELECT guard_fill(id, %s, %s::numeric, %s) FROM budgets_budgetperiod WHERE budget_id = %s AND starts_at = %s
"""
_COUNTERS = """
INSERT INTO budgets_ratecounter (key, second, requests, tokens, in_flight)
SELECT key, 0, array_fill(0::bigint, ARRAY[60]), array_fill(0::bigint, ARRAY[60]), 0 FROM unnest(%s::text[]) AS key
ON CONFLICT (key) DO NOTHING
"""


@dataclass(frozen=True)
class Opening:
    """A row to be. The database adds what holds say from `since` on; `before` is what guarded calls used until then."""

    budget: Budget
    starts_at: datetime
    ends_at: datetime
    used: Used
    carried: Decimal
    since: datetime
    before: Decimal


def open_periods(budgets: Iterable[Budget], at: datetime, now: datetime) -> int:
    """Make the rows of the periods that hold `at` where there are none; returns how many were new. Safe to repeat.

    What events say was used so far is measured first, outside of the transaction.
    """
    bounds = {budget: period_of(budget, at) for budget in budgets}
    asks = {budget: Ask(budget, budget.unit, *bounds[budget]) for budget in bounds}
    answers = used(asks.values(), now)
    carried = _carried(bounds)
    before = _before_holds(asks, now)
    rows = [
        Opening(budget, *bounds[budget], answers[ask], carried.get(budget.pk, NOTHING), *before[budget])
        for budget, ask in asks.items()
    ]
    return sum(_insert(rows[start : start + _AT_ONCE], now) for start in range(0, len(rows), _AT_ONCE))


def catch_up(budget: Budget, now: datetime) -> None:
    """Count its present period and the one before anew: what was held and settled while it was not in force counts."""
    start, end = period_of(budget, now)
    for bounds in ((start, end), previous_period(budget, start)):
        since, before = _before_holds({budget: Ask(budget, budget.unit, *bounds)}, now)[budget]
        with connection.cursor() as cursor:
            cursor.execute(_FILL, [since, before, now, budget.pk, bounds[0]])


def _before_holds(asks: dict[Budget, Ask], now: datetime) -> dict[Budget, tuple[datetime, Decimal]]:
    """By budget: from when on its period's holds are all kept, and what events say guarded calls used before that."""
    kept = _next_hour(now - timedelta(days=settings.RAW_RETENTION_DAYS))
    older = {budget: Ask(budget, ask.unit, ask.start, kept) for budget, ask in asks.items() if ask.start < kept}
    answers = used(older.values(), now)
    return {
        budget: (kept, answers[older[budget]].guarded) if budget in older else (ask.start, NOTHING)
        for budget, ask in asks.items()
    }


def _next_hour(at: datetime) -> datetime:
    """A whole hour, at least an hour later: roll-ups have it, and retention does not reach it meanwhile."""
    return at.replace(minute=0, second=0, microsecond=0) + 2 * HOUR


def _insert(rows: list[Opening], now: datetime) -> int:
    with transaction.atomic(), connection.cursor() as cursor:
        return sum(_made(cursor, row, now) for row in rows)


def _made(cursor: CursorWrapper, row: Opening, now: datetime) -> bool:
    period = (row.budget.pk, _counts(row.budget), row.starts_at, row.ends_at)
    figures = (row.used.amount - row.used.guarded, row.used.unknown_calls, row.carried, row.since, row.before)
    cursor.execute(_OPEN, (*period, *figures, now))
    return cursor.fetchone()[0]


def _counts(budget: Budget) -> list[str]:
    """What decides which calls and periods it counts, as guard_counts() of the database says it."""
    scope = [getattr(budget, name) for name in SCOPE_FIELDS]
    return [str(budget.team_id or ""), *scope, budget.unit, budget.period, budget.time_zone, str(budget.anchor)]


def _carried(bounds: dict[Budget, tuple[datetime, datetime]]) -> dict[int, Decimal]:
    """What the period before hands on, of budgets that roll over and had one."""
    rolling = {budget.pk: budget for budget in bounds if budget.rollover_share}
    if not rolling:
        return {}
    before = {budget.pk: previous_period(budget, start)[0] for budget, (start, _) in bounds.items()}
    rows = BudgetPeriod.objects.filter(budget__in=rolling, starts_at__in=set(before.values()))
    return {
        row.budget_id: handed_on(rolling[row.budget_id], row) for row in rows if row.starts_at == before[row.budget_id]
    }


def handed_on(budget: Budget, row: BudgetPeriod) -> Decimal:
    """What a period's row leaves to the next period, by the budget's limit as it is now."""
    return carried_over(budget.limit, row.carried, row.used, budget.rollover_share)


def open_counters(keys: list[str]) -> None:
    """Make the counters of rate limits where there are none."""
    if keys:
        with connection.cursor() as cursor:
            cursor.execute(_COUNTERS, [keys])
