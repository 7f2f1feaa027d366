"""A budget tried on traffic that was: the last whole period before now."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from budgets.facts import Draft
from budgets.models import Budget
from budgets.models.budgets import UNIT_LABELS
from budgets.queries.used import BY_USER, METRICS, Ask, used
from budgets.rules.periods import period_of, previous_period
from budgets.rules.preview import Crossing, crossings
from budgets.rules.thresholds import steps_in_force
from usage.metrics import MetricQuery, query


@dataclass(frozen=True)
class Preview:
    """What would have been: `total` used in [start, end), each threshold's crossing; None: cannot be said by hour."""

    start: datetime
    end: datetime
    total: Decimal
    limit: Decimal
    unit: str
    unknown_calls: int
    crossings: list[Crossing] | None

    @property
    def unit_label(self) -> str:
        return UNIT_LABELS[self.unit]

    @property
    def share(self) -> Decimal:
        return self.total / self.limit


def preview(draft: Draft, now: datetime) -> Preview:
    """The draft on its last whole period."""
    budget = Budget()
    draft.put_into(budget)
    start, end = previous_period(budget, period_of(budget, now)[0])
    total = next(iter(used([Ask(budget, budget.unit, start, end)], now).values()))
    found = None if budget.user_hash else _crossings(budget, draft, start, end, now)
    return Preview(start, end, total.amount, draft.limit, draft.unit, total.unknown_calls, found)


def _crossings(budget: Budget, draft: Draft, start: datetime, end: datetime, now: datetime) -> list[Crossing]:
    metric = METRICS[draft.unit]
    answer = query(
        MetricQuery(
            metrics=(metric,),
            start=start,
            end=end,
            step="minute" if draft.period == "hour" else "day" if draft.period == "quarter" else "hour",
            filters={name: values for name, values in budget.filters.items() if name != BY_USER},
            team_ids=(budget.team_id,) if budget.team_id else None,
        ),
        now,
    )
    steps = steps_in_force(draft.thresholds, draft.enforcement)
    return crossings(answer.points(metric), draft.limit, steps, start, end)
