"""Reconciliation in the background."""

from datetime import timedelta

from celery import shared_task
from django.utils import timezone

from usage import reconcile
from usage.models import Reconciliation

NIGHTLY_DAYS = 3


@shared_task
def reconcile_run(run_id: int) -> None:
    reconcile.run(run_id)


@shared_task
def reconcile_nightly() -> None:
    """Prove the latest days once a night."""
    end = timezone.now().date() + timedelta(days=1)
    reconcile.run(reconcile.request_run(start=end - timedelta(days=NIGHTLY_DAYS), end=end).pk)


@shared_task
def reconcile_waiting() -> None:
    """Take up runs whose nudge was lost."""
    for run_id in Reconciliation.objects.filter(state="waiting").values_list("pk", flat=True):
        reconcile.run(run_id)
