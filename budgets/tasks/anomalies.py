"""Looking for anomalies: bounded, and safe to run twice, late, or not at all."""

from celery import shared_task
from django.utils import timezone

from budgets.anomalies.evaluate import evaluate


@shared_task
def find_anomalies() -> int:
    return evaluate(timezone.now())
