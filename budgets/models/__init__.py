from budgets.models.budgets import Budget, BudgetRevision, Grant, PendingChange, Threshold

__all__ = ["Budget", "BudgetRevision", "Grant", "PendingChange", "Threshold"]
