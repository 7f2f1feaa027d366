"""Thresholds of budgets, evaluated every few seconds."""

from celery import shared_task
from django.utils import timezone

from budgets.automation import evaluate


@shared_task
def evaluate_thresholds() -> dict[str, int]:
    return evaluate(timezone.now())
