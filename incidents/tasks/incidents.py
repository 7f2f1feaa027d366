"""Open incidents: their timelines write themselves, promised updates are nagged for, messages mailed."""

from celery import shared_task
from django.utils import timezone

from incidents.actions.following import follow_open
from incidents.actions.mailing import mail_due
from incidents.actions.nagging import nag
from incidents.public.kept import refresh


@shared_task
def follow_incidents() -> int:
    return follow_open(timezone.now())


@shared_task
def nag_for_updates() -> int:
    return nag(timezone.now())


@shared_task
def mail_messages() -> int:
    return mail_due(timezone.now())


@shared_task
def refresh_status_page() -> None:
    """Kept for the day on which the database is away."""
    refresh(timezone.now())
