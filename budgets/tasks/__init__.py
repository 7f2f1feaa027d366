"""Celery finds the tasks here: it imports `budgets.tasks`, which imports each file of them."""

from budgets.tasks import forecasts, guard

__all__ = ["forecasts", "guard"]
