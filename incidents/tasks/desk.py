"""The desk watches itself: each queue proves that it is worked off, and two queues look at that."""

from celery import shared_task
from django.utils import timezone

from incidents.actions.desk import beat
from incidents.actions.evaluation import evaluate
from incidents.models import AlertRule


@shared_task
def beat_realtime() -> None:
    beat("realtime", timezone.now())


@shared_task
def beat_batch() -> None:
    """In the batch queue, so that rules about the desk are judged also while the realtime queue is stuck."""
    now = timezone.now()
    beat("batch", now)
    evaluate(now, kinds=[AlertRule.Kind.DESK])
