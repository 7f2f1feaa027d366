"""Synthetic checks: looked for every few seconds. Safe to run twice or late."""

from celery import shared_task
from django.utils import timezone

from incidents.actions.canaries import expire
from incidents.outbound.canaries import run_due


@shared_task
def run_canaries() -> int:
    return run_due()


@shared_task
def expire_canary_runs() -> int:
    return expire(timezone.now())
