"""Declaring an incident from alerts."""

from datetime import datetime

from django.db import transaction

from accounts.actions import Author
from incidents.actions.grouping import attach
from incidents.actions.incidents import declare_incident
from incidents.models import AlertGroup, Incident


def declare_for_group(*, author: Author, group: AlertGroup, at: datetime, visible: set[int], **facts) -> Incident:
    """A person's incident of an alert group; the one it has where that is open and in `visible` (incident ids).

    A private incident that the person does not see is neither told nor taken away from the group.
    """
    with transaction.atomic():
        group = AlertGroup.objects.select_for_update(of=("self",)).select_related("incident").get(pk=group.pk)
        if group.incident and group.incident.is_open and group.incident_id in visible:
            return group.incident
        incident = declare_incident(author=author, at=at, **facts)
        if group.incident is None or not group.incident.is_open:
            attach(author=author, group=group, incident=incident)
    return incident
