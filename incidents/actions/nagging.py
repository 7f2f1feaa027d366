"""The next-update timer: who promised news and sent none is told so, on the timeline and by notification."""

from datetime import datetime, timedelta

from django.db import transaction

from aiops_site import formats
from incidents.actions.announcing import announce
from incidents.actions.timeline import record
from incidents.models import Incident, TimelineEntry

AGAIN = timedelta(minutes=30)


def nag(now: datetime) -> int:
    """Tell of every overdue update, when it falls due and every half hour after; returns how many were told.

    Each telling has a key of its own, so a run that is doubled tells nothing twice.
    """
    overdue = Incident.objects.filter(resolved_at=None, next_update_at__lte=now).select_related("team")
    return sum(_tell(incident, now) for incident in overdue)


def _tell(incident: Incident, now: datetime) -> bool:
    promised = incident.next_update_at
    if promised is None:
        return False
    number = (now - promised) // AGAIN
    key = f"nag:{promised.isoformat()}:{number}"
    if TimelineEntry.objects.filter(incident=incident, source_key=key).exists():
        return False
    late = now - promised
    text = f"The update promised for {promised:%H:%M} UTC is " + (
        f"{formats.in_minutes(late)} overdue" if number else "due"
    )
    with transaction.atomic():
        record(incident, TimelineEntry.Kind.STATE, text, at=now, source_key=key)
        announce(incident, kind="reminder", title=f"{incident.number}: an update is due", body=text, key=key, at=now)
    return True
