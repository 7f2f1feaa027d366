"""Where budgets stand now: used, reserved, left and pace of the current period."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import cached_property

from django.db.models import prefetch_related_objects

from budgets.models import Budget
from budgets.queries.used import Ask, Used, used
from budgets.rules.pace import Pace, pace_of
from budgets.rules.periods import period_of


@dataclass(frozen=True)
class Standing:
    """One budget in its period [start, end). Amounts are in the budget's unit; `limit` has the valid grants in it."""

    budget: Budget
    start: datetime
    end: datetime
    now: datetime
    limit: Decimal
    used: Decimal
    unknown_calls: int
    reserved: Decimal = Decimal(0)

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
    """Each budget in its current period, in the order given."""
    found = list(budgets)
    prefetch_related_objects(found, "grants")
    asks = {budget.pk: Ask(budget, budget.unit, *period_of(budget, now)) for budget in found}
    amounts = used(asks.values(), now)
    return [_standing(budget, asks[budget.pk], amounts[asks[budget.pk]], now) for budget in found]


def _standing(budget: Budget, ask: Ask, amount: Used, now: datetime) -> Standing:
    granted = sum(
        (g.amount for g in budget.grants.all() if g.revoked_at is None and g.valid_from <= now < g.expires_at),
        Decimal(0),
    )
    return Standing(budget, ask.start, ask.end, now, budget.limit + granted, amount.amount, amount.unknown_calls)
