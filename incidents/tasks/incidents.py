"""Open incidents: their timelines write themselves, and promised updates are nagged for."""

from celery import shared_task
from django.utils import timezone

from incidents.actions.following import follow_open
from incidents.actions.nagging import nag


@shared_task
def follow_incidents() -> int:
    return follow_open(timezone.now())


@shared_task
def nag_for_updates() -> int:
    return nag(timezone.now())
