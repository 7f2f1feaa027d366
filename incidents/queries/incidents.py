"""Reads of incidents."""

from dataclasses import dataclass, field

from django.db.models import Prefetch, Q, QuerySet
from django.shortcuts import get_object_or_404

from accounts.access import can, teams_where, visible_teams
from accounts.models import User
from incidents.models import Incident, IncidentRole

OPEN_FIRST = ("severity", "-detected_at", "-id")


def visible_incidents(user: User) -> QuerySet[Incident]:
    """Of the user's teams, and the organisation's for organisation-wide roles.

    A private one is seen by who declared it, who has or had a role in it, and who may see private ones of its team.
    """
    mine = Q(team__in=visible_teams(user)) | (Q(team=None) if can(user, "team.view") else Q())
    seen = Incident.objects.filter(mine).select_related("team")
    if can(user, "incident.private"):
        return seen
    private = Q(declared_by=user) | Q(pk__in=Incident.objects.filter(roles__user=user).values("pk"))
    return seen.filter(Q(is_private=False) | private | Q(team__in=teams_where(user, "incident.private")))


def with_roles(incidents: QuerySet[Incident]) -> QuerySet[Incident]:
    """The same with their roles at hand, for lists."""
    return incidents.prefetch_related(Prefetch("roles", IncidentRole.objects.select_related("user")))


def get_incident(user: User, pk: int) -> Incident:
    """The incident of that number. Raises Http404 when it does not exist or is not the user's to see."""
    return get_object_or_404(visible_incidents(user), pk=pk)


@dataclass(frozen=True)
class Filter:
    """What the list is narrowed to; empty means any."""

    text: str = ""
    team: str = ""
    severities: list[int] = field(default_factory=list)
    failure_mode: str = ""
    drills: bool = False

    @property
    def any(self) -> bool:
        return bool(self.text or self.team or self.severities or self.failure_mode or self.drills)


def narrowed(incidents: QuerySet[Incident], by: Filter) -> QuerySet[Incident]:
    """The incidents that fit; a text is looked for in title and summary, and is a number where it reads INC-12."""
    if by.text:
        number = by.text.upper().removeprefix("INC-")
        by_number = Q(pk=int(number)) if number.isascii() and number.isdigit() and len(number) <= 18 else Q()
        incidents = incidents.filter(Q(title__icontains=by.text) | Q(summary__icontains=by.text) | by_number)
    if by.team:
        incidents = incidents.filter(team__slug=by.team)
    if by.severities:
        incidents = incidents.filter(severity__in=by.severities)
    if by.failure_mode:
        incidents = incidents.filter(failure_mode=by.failure_mode)
    return incidents if by.drills else incidents.filter(is_drill=False)
