"""Sending notifications: looked for every few seconds and when something was written. Safe to run twice or late."""

from celery import shared_task
from django.utils import timezone

from incidents.actions.sending import expire
from incidents.outbound import sender


@shared_task
def send_due() -> int:
    return sender.send_due()


@shared_task
def expire_deliveries() -> int:
    return expire(timezone.now())
