from budgets.models.anomalies import Anomaly, AnomalyWatch
from budgets.models.attribution import SharedCost
from budgets.models.backlog import BacklogItem
from budgets.models.budgets import Budget, BudgetRevision, Grant, PendingChange, Threshold
from budgets.models.forecasts import Forecast, PlannedEvent
from budgets.models.guard import (
    BudgetPeriod,
    GuardCount,
    GuardVersion,
    Hold,
    OutputStatistic,
    RateCounter,
    RateLimit,
    StrayEvent,
)
from budgets.models.reports import Commitment, Report, ReportDelivery, ReportRecipient

__all__ = [
    "Anomaly",
    "AnomalyWatch",
    "BacklogItem",
    "Budget",
    "BudgetPeriod",
    "BudgetRevision",
    "Commitment",
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
    "Report",
    "ReportDelivery",
    "ReportRecipient",
    "SharedCost",
    "StrayEvent",
    "Threshold",
]
