"""What was used without the guard: brought up to date from the roll-ups every few seconds, in few queries."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import Decimal

from django.db import connection, transaction

from budgets.guard.periods import handed_on, open_periods
from budgets.models import Budget, BudgetPeriod
from budgets.queries.used import Ask, Used, used
from budgets.rules.periods import period_of, previous_period

# Rows of the coming period are made this long before it begins, so that no call has to wait for them.
OPENED_AHEAD = timedelta(minutes=2)

# In the order every other writer locks them; `used` of the period that is over may move what the next was handed.
_UPDATE = """
WITH measured AS (
    SELECT * FROM unnest(%s::bigint[], %s::numeric[], %s::integer[], %s::numeric[]) AS m (id, metered, unknown, carried)
), locked AS (
    SELECT p.id FROM budgets_budgetperiod p WHERE p.id = ANY (%s::bigint[]) ORDER BY p.id FOR UPDATE
)
UPDATE budgets_budgetperiod p
SET metered = m.metered, unknown_calls = m.unknown, metered_at = %s, carried = coalesce(m.carried, p.carried)
FROM measured m JOIN locked ON locked.id = m.id WHERE p.id = m.id
"""
_AT_ONCE = 200


def refresh(now: datetime) -> int:
    """Measure the current and the last period of every budget again, and open what is about to begin.

    Returns how many periods were measured. Safe to run twice: it writes what is, not what was added.
    """
    budgets = list(Budget.objects.filter(is_active=True).select_related("team"))
    open_periods(_without_row(budgets, now), now, now)
    open_periods(_without_row(budgets, now + OPENED_AHEAD), now + OPENED_AHEAD, now)
    rows = _rows(budgets, now)
    answers = _measure(rows, now)
    carried = _handed_on(rows, answers)
    for start in range(0, len(rows), _AT_ONCE):
        _write(rows[start : start + _AT_ONCE], answers, carried, now)
    return len(rows)


def _without_row(budgets: Iterable[Budget], at: datetime) -> list[Budget]:
    bounds = {budget: period_of(budget, at)[0] for budget in budgets}
    there = set(BudgetPeriod.objects.filter(starts_at__in=set(bounds.values())).values_list("budget_id", "starts_at"))
    return [budget for budget, start in bounds.items() if (budget.pk, start) not in there]


def _rows(budgets: list[Budget], now: datetime) -> list[BudgetPeriod]:
    """The rows of the current period and of the one before, for late events."""
    by_id = {budget.pk: budget for budget in budgets}
    starts = {}
    for budget in budgets:
        start, _ = period_of(budget, now)
        starts[budget.pk] = {start, previous_period(budget, start)[0]}
    wanted = set().union(*starts.values()) if starts else set()
    rows = BudgetPeriod.objects.filter(budget__in=by_id, starts_at__in=wanted).order_by("pk")
    found = [row for row in rows if row.starts_at in starts[row.budget_id]]
    for row in found:
        row.budget = by_id[row.budget_id]
    return found


def _measure(rows: list[BudgetPeriod], now: datetime) -> dict[int, Used]:
    asks = {row.pk: Ask(row.budget, row.budget.unit, row.starts_at, row.ends_at) for row in rows}
    answers = used(asks.values(), now)
    return {pk: answers[ask] for pk, ask in asks.items()}


def _handed_on(rows: list[BudgetPeriod], answers: dict[int, Used]) -> dict[int, Decimal]:
    """By the row of the current period: what the one before left it, by what that used as measured now."""
    ends = {(row.budget_id, row.ends_at): row for row in rows}
    carried = {}
    for row in rows:
        before = ends.get((row.budget_id, row.starts_at))
        if before is not None and row.budget.rollover_share:
            before.metered = answers[before.pk].amount - answers[before.pk].guarded
            carried[row.pk] = handed_on(row.budget, before)
    return carried


def _write(rows: list[BudgetPeriod], answers: dict[int, Used], carried: dict[int, Decimal], now: datetime) -> None:
    ids = [row.pk for row in rows]
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            _UPDATE,
            [
                ids,
                [answers[pk].amount - answers[pk].guarded for pk in ids],
                [answers[pk].unknown_calls for pk in ids],
                [carried.get(pk) for pk in ids],
                ids,
                now,
            ],
        )
