"""Periodic upkeep of the roll-ups. Each task is bounded and safe to run twice, late, or not at all."""

from celery import shared_task
from django.utils import timezone

from usage import partitions, retention
from usage.models import RollupMark
from usage.rollups import drain_tier


@shared_task
def drain_minutes() -> int:
    return drain_tier(RollupMark.MINUTE)


@shared_task
def drain_hours() -> int:
    return drain_tier(RollupMark.HOUR)


@shared_task
def drain_days() -> int:
    return drain_tier(RollupMark.DAY)


@shared_task
def maintain_partitions() -> None:
    partitions.maintain(timezone.now())


@shared_task
def expire() -> None:
    retention.expire(timezone.now())
