"""Celery finds the tasks here: it imports `budgets.tasks`, which imports each file of them."""

from budgets.tasks import anomalies, automation, forecasts, guard, reports

__all__ = ["anomalies", "automation", "forecasts", "guard", "reports"]
