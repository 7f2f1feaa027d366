"""Celery finds the tasks here: it imports `usage.tasks`, which imports each file of them."""

from usage.tasks import attribution, reconciliation, repricing, rollups

__all__ = ["attribution", "reconciliation", "repricing", "rollups"]
