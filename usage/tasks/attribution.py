"""Rules by API key: the events of before the rule move into series of their own, in the background."""

from celery import shared_task
from django.utils import timezone

from usage.attribution.keys import move_history, waiting_rules


@shared_task
def move_waiting() -> int:
    """Carry out every move that waits; safe to run twice and to be killed. Returns how many minutes changed."""
    now = timezone.now()
    return sum(move_history(rule, now) for rule in waiting_rules(now))
