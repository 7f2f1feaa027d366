"""Pages that climb. Looked at every few seconds; safe to run twice, late, or not at all."""

from celery import shared_task
from django.utils import timezone

from incidents.actions.escalating import evaluate


@shared_task
def escalate() -> int:
    return evaluate(timezone.now())
