"""Alert rules, evaluated every 30 seconds."""

from dataclasses import asdict

from celery import shared_task
from django.utils import timezone

from incidents.actions.evaluation import evaluate


@shared_task
def evaluate_rules() -> dict[str, int]:
    return asdict(evaluate(timezone.now()))
