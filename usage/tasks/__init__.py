"""Celery finds the tasks here: it imports `usage.tasks`, which imports each file of them."""

from usage.tasks import reconciliation, repricing, rollups

__all__ = ["reconciliation", "repricing", "rollups"]
