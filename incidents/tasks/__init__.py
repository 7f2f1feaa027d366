"""Celery finds the tasks here: it imports `incidents.tasks`, which imports each file of them."""

from incidents.tasks import action_items, alert_rules, canaries, desk, incidents, oncall, sending

__all__ = ["action_items", "alert_rules", "canaries", "desk", "incidents", "oncall", "sending"]
