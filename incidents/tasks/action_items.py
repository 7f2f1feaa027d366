"""Reminders of action items."""

from celery import shared_task
from django.utils import timezone

from incidents.actions.action_items import remind


@shared_task
def remind_of_items() -> int:
    """Once an hour; each item at most once a day."""
    now = timezone.now()
    return remind(today=timezone.localdate(now), at=now)
