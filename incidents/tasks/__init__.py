"""Celery finds the tasks here: it imports `incidents.tasks`, which imports each file of them."""

from incidents.tasks import alert_rules, desk, incidents, sending

__all__ = ["alert_rules", "desk", "incidents", "sending"]
