"""Celery finds the tasks here: it imports `budgets.tasks`, which imports each file of them."""

from budgets.tasks import guard

__all__ = ["guard"]
