"""What is forecast: budgets of a day and longer, the month's spend of every team, and of all teams."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from accounts.models import Team
from budgets.models import Budget
from budgets.queries.standing import standings
from budgets.queries.used import Ask, used
from budgets.rules.periods import period_of

# An hour is shorter than the days a forecast is made of; the pace says all there is to say.
TOO_SHORT = Budget.Period.HOUR


@dataclass(frozen=True, eq=False)
class Subject:
    """One thing to forecast within its period [start, end). `budget` is unsaved (and `limit` None) for plain spend."""

    budget: Budget
    start: datetime
    end: datetime
    limit: Decimal | None
    spent: Decimal
    unknown_calls: int


def subjects(now: datetime) -> list[Subject]:
    """Every subject as it stands now."""
    return [*_of_budgets(now), *_of_spend(now)]


def _of_budgets(now: datetime) -> list[Subject]:
    found = Budget.objects.filter(is_active=True).exclude(period=TOO_SHORT).select_related("team")
    return [
        Subject(one.budget, one.start, one.end, one.limit, one.used, one.unknown_calls) for one in standings(found, now)
    ]


def _of_spend(now: datetime) -> list[Subject]:
    plain = [Budget(team=team) for team in (None, *Team.objects.all())]
    asks = [Ask(budget, budget.unit, *period_of(budget, now)) for budget in plain]
    amounts = used(asks, now)
    return [
        Subject(budget, ask.start, ask.end, None, amounts[ask].amount, amounts[ask].unknown_calls)
        for budget, ask in zip(plain, asks, strict=True)
    ]
