"""Alert rules, evaluated every 30 seconds."""

from dataclasses import asdict

from celery import shared_task
from django.db import OperationalError
from django.utils import timezone

from incidents.actions.evaluation import evaluate


# That rules are not evaluated has an alert of its own; a database that is away or full needs no traceback here.
@shared_task(throws=(OperationalError,))
def evaluate_rules() -> dict[str, int]:
    return asdict(evaluate(timezone.now()))
