from budgets.models.attribution import SharedCost
from budgets.models.budgets import Budget, BudgetRevision, Grant, PendingChange, Threshold
from budgets.models.forecasts import Forecast, PlannedEvent
from budgets.models.guard import BudgetPeriod, GuardCount, GuardVersion, Hold, OutputStatistic, RateCounter, RateLimit

__all__ = [
    "Budget",
    "BudgetPeriod",
    "BudgetRevision",
    "Forecast",
    "Grant",
    "GuardCount",
    "GuardVersion",
    "Hold",
    "OutputStatistic",
    "PendingChange",
    "PlannedEvent",
    "RateCounter",
    "RateLimit",
    "SharedCost",
    "Threshold",
]
