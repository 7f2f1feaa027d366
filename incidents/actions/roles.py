"""Roles in an incident: taken, given, handed over. One holder at a time; the history stays."""

from datetime import datetime

from django.core.exceptions import ValidationError

from accounts.actions import Author, audit
from accounts.models import User
from incidents.actions.incidents import locked, note_person
from incidents.actions.timeline import record
from incidents.models import Incident, IncidentRole, TimelineEntry


def give_role(*, author: Author, incident: Incident, role: str, user: User | None, at: datetime) -> None:
    """Make `user` the holder of the role, in place of whoever holds it; None gives it up.

    Raises ValidationError for a role that does not exist.
    """
    if role not in IncidentRole.Role.values:
        raise ValidationError(f"There is no role {role}. Roles: {', '.join(IncidentRole.Role.values)}.")
    with locked(incident) as current:
        held = IncidentRole.objects.filter(incident=current, role=role, until=None).select_related("user").first()
        before = held.user if held else None
        if before == user:
            return
        if held:
            held.until = max(at, held.since)
            held.save(update_fields=["until"])
        if user:
            IncidentRole.objects.create(incident=current, role=role, user=user, since=at)
        _tell(current, author, IncidentRole.Role(role).label, before, user, at)


def _tell(incident: Incident, author: Author, label: str, before: User | None, user: User | None, at: datetime) -> None:
    text = f"{label}: {user or 'nobody'}" + (f", handed over by {before}" if before and user else "")
    record(incident, TimelineEntry.Kind.ROLE, text, at=at, author=author.user)
    audit(
        **author.signature,
        action="incident.role",
        target=incident,
        team=incident.team,
        before={label: str(before) if before else None},
        after={label: str(user) if user else None},
    )
    note_person(incident, author, at)
