from budgets.models.budgets import Budget, BudgetRevision, Grant, PendingChange, Threshold
from budgets.models.guard import BudgetPeriod, GuardCount, GuardVersion, Hold, OutputStatistic, RateCounter, RateLimit

__all__ = [
    "Budget",
    "BudgetPeriod",
    "BudgetRevision",
    "Grant",
    "GuardCount",
    "GuardVersion",
    "Hold",
    "OutputStatistic",
    "PendingChange",
    "RateCounter",
    "RateLimit",
    "Threshold",
]
