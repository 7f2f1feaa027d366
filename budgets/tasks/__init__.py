"""Celery finds the tasks here: it imports `budgets.tasks`, which imports each file of them."""

from budgets.tasks import automation, forecasts, guard, reports

__all__ = ["automation", "forecasts", "guard", "reports"]
