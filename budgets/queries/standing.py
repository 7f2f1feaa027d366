"""Where budgets stand now: used, reserved, left and pace of the current period."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from functools import cached_property

from budgets.guard.snapshot import Known, known_budgets
from budgets.models import Budget, BudgetPeriod, Forecast
from budgets.queries.forecasts import of_budgets
from budgets.queries.used import Ask, Used, used
from budgets.rules.pace import Pace, pace_of
from budgets.rules.periods import period_of

NOTHING = Decimal(0)


@dataclass(frozen=True)
class Standing:
    """One budget in its period [start, end), in its unit. `limit` has grants and what was rolled over in it.

    `metered_at`: how new the part is that the guard did not see; None where it was read just now. `forecast`: the
    latest of this period, without its days.
    """

    budget: Budget
    start: datetime
    end: datetime
    now: datetime
    limit: Decimal
    used: Decimal
    unknown_calls: int
    reserved: Decimal = NOTHING
    metered_at: datetime | None = None
    forecast: Forecast | None = None

    @property
    def left(self) -> Decimal:
        """What may still be reserved; below 0 where more was used than the limit."""
        return self.limit - self.used - self.reserved

    @property
    def share(self) -> Decimal:
        """Used by limit; 1 is all of it."""
        return self.used / self.limit

    @property
    def reserved_share(self) -> Decimal:
        return self.reserved / self.limit

    @property
    def elapsed(self) -> float:
        """How much of the period is over, 0 to 1."""
        return (self.now - self.start) / (self.end - self.start)

    @cached_property
    def pace(self) -> Pace:
        return pace_of(used=self.used, limit=self.limit, start=self.start, end=self.end, now=self.now)

    @property
    def tone(self) -> str:
        """bad from 100 %, warn from 85 %."""
        return "bad" if self.share >= 1 else "warn" if self.share >= Decimal("0.85") else "ok"


def standings(budgets: Iterable[Budget], now: datetime) -> list[Standing]:
    """Each budget in its current period, in the order given: as the guard's ledger has it.

    Budgets without a row in it (just made, or ended) are read from the roll-ups.
    """
    found = list(budgets)
    bounds = {budget.pk: period_of(budget, now) for budget in found}
    active = [budget for budget in found if budget.is_active]
    known = {one.budget.pk: one for one in known_budgets(active, now)}
    rows = {
        row.budget_id: row
        for row in BudgetPeriod.objects.filter(budget__in=active, starts_at__lte=now, ends_at__gt=now)
        if row.starts_at == bounds[row.budget_id][0]
    }
    asks = {one.pk: Ask(one, one.unit, *bounds[one.pk]) for one in found if one.pk not in rows}
    read = used(asks.values(), now)
    shown = [
        _from_ledger(known[one.pk], rows[one.pk], now)
        if one.pk in rows
        else _from_rollups(one, known.get(one.pk), asks[one.pk], read[asks[one.pk]], now)
        for one in found
    ]
    ahead = of_budgets(active, now)
    return [replace(one, forecast=ahead.get(one.budget.pk)) for one in shown]


def _from_ledger(known: Known, row: BudgetPeriod, now: datetime) -> Standing:
    return Standing(
        budget=known.budget,
        start=row.starts_at,
        end=row.ends_at,
        now=now,
        limit=known.allowed(now) + row.carried,
        used=row.used,
        unknown_calls=row.unknown_calls,
        reserved=row.reserved,
        metered_at=row.metered_at,
    )


def _from_rollups(budget: Budget, known: Known | None, ask: Ask, amount: Used, now: datetime) -> Standing:
    limit = known.allowed(now) if known else budget.limit
    return Standing(budget, ask.start, ask.end, now, limit, amount.amount, amount.unknown_calls)
