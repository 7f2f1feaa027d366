"""Alert rules, evaluated every 30 seconds; windows with late events again, every minute."""

from dataclasses import asdict

from celery import shared_task
from django.utils import timezone

from incidents.actions.evaluation import evaluate
from incidents.actions.late import evaluate_late


@shared_task
def evaluate_rules() -> dict[str, int]:
    return asdict(evaluate(timezone.now()))


@shared_task
def look_at_late_windows() -> dict[str, int]:
    return asdict(evaluate_late(timezone.now()))
