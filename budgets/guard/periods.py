"""Opening a budget's period: its row with what was used before the guard knew of it, and what was rolled over."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.db import connection, transaction

from budgets.models import Budget, BudgetPeriod
from budgets.queries.used import Ask, Used, used
from budgets.rules.allowance import NOTHING, carried_over
from budgets.rules.periods import period_of, previous_period

# Rows are inserted under this lock. Their trigger takes it too; taken first, nobody waits in a circle.
_LOCK = "SELECT version FROM budgets_guardversion WHERE id = 1 FOR UPDATE"
_OPEN = """
INSERT INTO budgets_budgetperiod (budget_id, starts_at, ends_at, reserved, settled, metered, metered_at, unknown_calls,
    carried)
SELECT budget, starts_at, ends_at, 0, settled, metered, %s, unknown, carried
FROM unnest(%s::bigint[], %s::timestamptz[], %s::timestamptz[], %s::numeric[], %s::numeric[], %s::integer[],
    %s::numeric[]) AS p (budget, starts_at, ends_at, settled, metered, unknown, carried)
WHERE EXISTS (SELECT FROM budgets_budget b WHERE b.id = p.budget)
ON CONFLICT (budget_id, starts_at) DO NOTHING
"""
_COUNTERS = """
INSERT INTO budgets_ratecounter (key, second, requests, tokens, in_flight)
SELECT key, 0, array_fill(0::bigint, ARRAY[60]), array_fill(0::bigint, ARRAY[60]), 0 FROM unnest(%s::text[]) AS key
ON CONFLICT (key) DO NOTHING
"""
_CATCH_UP = """
UPDATE budgets_budgetperiod SET settled = greatest(settled, %s) WHERE budget_id = %s AND starts_at = %s
"""


@dataclass(frozen=True)
class Opening:
    """A row to be. What named a reservation before the row was there is settled from the start."""

    budget: Budget
    starts_at: datetime
    ends_at: datetime
    used: Used
    carried: Decimal


def open_periods(budgets: Iterable[Budget], at: datetime, now: datetime) -> int:
    """Make the rows of the periods that hold `at` where there are none; returns how many were new. Safe to repeat.

    What events say was used so far is measured first, outside of the transaction.
    """
    bounds = {budget: period_of(budget, at) for budget in budgets}
    asks = {budget: Ask(budget, budget.unit, *bounds[budget]) for budget in bounds}
    answers = used(asks.values(), now)
    carried = _carried(bounds)
    rows = [
        Opening(budget, *bounds[budget], answers[ask], carried.get(budget.pk, NOTHING)) for budget, ask in asks.items()
    ]
    return _insert(rows, now) if rows else 0


def catch_up(budget: Budget, now: datetime) -> None:
    """Book what guarded calls used while the budget was not in force, into its present period and the one before.

    Nothing held or settled it then; their events say what they cost.
    """
    present = period_of(budget, now)
    asks = [Ask(budget, budget.unit, *bounds) for bounds in (present, previous_period(budget, present[0]))]
    answers = used(asks, now)
    with connection.cursor() as cursor:
        for ask in asks:
            cursor.execute(_CATCH_UP, [answers[ask].guarded, budget.pk, ask.start])


def _insert(rows: list[Opening], now: datetime) -> int:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_LOCK)
        cursor.execute(
            _OPEN,
            [
                now,
                [row.budget.pk for row in rows],
                [row.starts_at for row in rows],
                [row.ends_at for row in rows],
                [row.used.guarded for row in rows],
                [row.used.amount - row.used.guarded for row in rows],
                [row.used.unknown_calls for row in rows],
                [row.carried for row in rows],
            ],
        )
        return cursor.rowcount


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
