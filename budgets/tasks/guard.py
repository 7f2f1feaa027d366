"""Upkeep of the guard. Each task is bounded and safe to run twice, late, or not at all: limits hold without it."""

from celery import shared_task
from django.utils import timezone

from budgets.guard import closing, history, inbox, metering, retention


@shared_task
def refresh_metered() -> int:
    return metering.refresh(timezone.now())


@shared_task
def settle_events() -> int:
    now = timezone.now()
    return inbox.settle_events(now) + inbox.correct(now)


@shared_task
def sweep_holds() -> int:
    return closing.sweep()


@shared_task
def measure_answers() -> int:
    return history.measure(timezone.now())


@shared_task
def expire_guard_rows() -> None:
    retention.expire(timezone.now())
